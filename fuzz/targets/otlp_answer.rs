//! The answer of a receiver of OTLP.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| collector::fuzzing::otlp_answer(bytes));
