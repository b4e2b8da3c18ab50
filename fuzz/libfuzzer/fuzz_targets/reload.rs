//! libFuzzer's way into `uartnet_fuzz::reload`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| uartnet_fuzz::reload(data));
