//! A file that may be a program: what `glassbox doctor`, and the collector, find in its headers.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| collector::fuzzing::program(bytes));
