//! A half of a bond with a hostile other half, and its openings: see `src/bond.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ssm_proxy_fuzz::bond::run(data));
