//! A session with a peer, a network and a clock made of the input: see `src/session.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ssm_proxy_fuzz::session::run(data));
