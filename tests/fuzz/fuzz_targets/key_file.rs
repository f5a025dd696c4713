#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    cosign_tests::fuzz::key_file(data);
});
