//! A message between the launcher and its collector, and the note about a ring in it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| collector::fuzzing::launcher(bytes));
