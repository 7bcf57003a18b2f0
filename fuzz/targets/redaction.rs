//! A text, arguments or an environment, with a secret planted before it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| collector::fuzzing::redaction(bytes));
