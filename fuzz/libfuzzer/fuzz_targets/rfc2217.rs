//! libFuzzer's way into `uartnet_fuzz::rfc2217`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| uartnet_fuzz::rfc2217(data));
