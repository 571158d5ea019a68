//! Handshakes of every form, and what a client makes of them: see `src/handshake.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ssm_proxy_fuzz::handshake::run(data));
