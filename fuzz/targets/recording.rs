//! A recording, read as `glassbox replay` reads it, and its events in every format.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| collector::fuzzing::recording(bytes));
