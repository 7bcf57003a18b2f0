//! The head of a request to the webhook or the Lambda listener, and a body in chunks.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| collector::fuzzing::http(bytes));
