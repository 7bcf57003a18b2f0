//! What a process shows of itself to the looks for evasion: its mappings, its memory, and a module's file.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| collector::fuzzing::evasion(bytes));
