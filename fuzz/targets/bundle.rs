//! The `config.json` of an OCI bundle, prepared as `glassbox runc` prepares it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| collector::fuzzing::bundle(bytes));
