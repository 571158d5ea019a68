//! Decoding is total, and what it accepts is in order: see `src/message.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ssm_proxy_fuzz::message::run(data));
