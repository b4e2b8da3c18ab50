//! libFuzzer's way into `uartnet_fuzz::session`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| uartnet_fuzz::session(data));
