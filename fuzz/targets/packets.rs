//! The ring of a supervisor that no launcher started.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| collector::fuzzing::packets(bytes));
