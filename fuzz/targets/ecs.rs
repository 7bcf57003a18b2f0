//! Task definitions of ECS, JSON and YAML, patched twice.
#![no_main]

use deploy::ecs::{Request, patch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let request = Request { image: Some("registry/glassbox:1".to_owned()), ..Request::default() };
    collector::fuzzing::deployment(bytes, |text| patch(text, &request));
});
