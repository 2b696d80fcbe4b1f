//! Bytes that begin as this container does.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| scriptorium_media_fuzz::forced(&[(0, b"OggS\0\x02")], bytes));
