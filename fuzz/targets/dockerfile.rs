//! A Dockerfile, patched twice.
#![no_main]

use deploy::dockerfile::{Request, patch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let request = Request { image: Some("registry/glassbox:1".to_owned()), ..Request::default() };
    let Ok(once) = patch(text, &request) else { return };
    let twice = patch(&once.text, &request);
    assert_eq!(Ok(&once.text), twice.as_ref().map(|twice| &twice.text), "patched twice");
});
