//! libFuzzer's way into `uartnet_fuzz::frames`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| uartnet_fuzz::frames(data));
