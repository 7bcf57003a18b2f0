//! The files of a spool.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| collector::fuzzing::spool(bytes));
