//! An encrypted session with a hostile peer made of the input: see `src/encryption.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ssm_proxy_fuzz::encryption::run(data));
