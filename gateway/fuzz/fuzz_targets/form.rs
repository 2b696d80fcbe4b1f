//! Forms (`multipart/form-data`), in pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| scriptorium_gateway_fuzz::multipart::check::check(bytes));
