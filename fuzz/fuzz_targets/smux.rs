//! A multiplexer of streams with a hostile peer, a session and a clock made of the input: see `src/smux.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ssm_proxy_fuzz::smux::run(data));
