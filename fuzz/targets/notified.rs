//! A call that the kernel notifies of, with its arguments and the memory of the process.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| collector::fuzzing::notified(bytes));
