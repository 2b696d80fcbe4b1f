//! How the C library's allocator keeps memory. The engine computes in C++, and its buffers are most of what a worker holds.
//!
//! glibc gives threads that meet an arena of their own, up to eight a core, and raises the size from which a buffer is mapped by
//! itself to that of the largest one that was ever freed. Both leave memory that nobody uses with the process: over an hour of
//! recording, a worker's share grew by 200 MiB. See mallopt(3), `M_ARENA_MAX` and `M_MMAP_THRESHOLD`.

/// Bytes. Larger buffers go back to the system when they are freed. With half of it, page faults cost a tenth of the time.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED: i32 = 4 << 20;

/// To be called before the first thread is started.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn keep_little() {
    // SAFETY: mallopt takes two numbers and only changes parameters of the allocator, and no other thread runs yet.
    #[allow(unsafe_code, reason = "the C library offers it in no other way")]
    unsafe {
        // A refusal (0) leaves the default, which only costs memory.
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
    }
}

/// Other C libraries keep to their own rules.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub const fn keep_little() {}
