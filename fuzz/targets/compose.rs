//! A compose file, patched twice.
#![no_main]

use deploy::compose::{Request, patch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let request = Request {
        image: Some("registry/glassbox:1".to_owned()),
        name: deploy::compose::DEFAULT_NAME.to_owned(),
        services: Vec::new(),
        is_opt_in: false,
        config: None,
        options: Vec::new(),
        notify: None,
    };
    collector::fuzzing::deployment(bytes, |text| patch(text, &request));
});
