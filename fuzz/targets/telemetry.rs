//! A post to the listener that Lambda's Telemetry API is subscribed with.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| collector::fuzzing::telemetry(bytes));
