//! Any bytes as the simulator's parser of `segue::sim::hostile::control` meets them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| segue::sim::hostile::control(bytes));
