//! Bytes that begin as this container does.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| scriptorium_media_fuzz::forced(
    &[(0, b"caff\0\x01\0\0desc\0\0\0\0\0\0\0\x20")],
    bytes
));
