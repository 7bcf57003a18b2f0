//! The event in a message of NATS, read as `glassbox judge` reads it, in every format, and sent on.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| collector::fuzzing::fragment(bytes));
