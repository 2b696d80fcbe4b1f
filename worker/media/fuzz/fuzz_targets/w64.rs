//! Bytes that begin as this container does.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    scriptorium_media_fuzz::forced(&[(0, b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0"), (24, b"wave\xf3\xac\xd3\x11\x8c\xd1\0\xc0\x4f\x8e\xdb\x8afmt \xf3\xac\xd3\x11\x8c\xd1\0\xc0\x4f\x8e\xdb\x8a")], bytes)
});
