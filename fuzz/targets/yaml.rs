//! YAML: read, and edited so that it stays the same.
#![no_main]

use deploy::yaml::Documents;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(documents) = Documents::read(text) else { return };
    if let Ok(same) = documents.edited(documents.values()) {
        assert_eq!(text, same, "an edit that changes nothing");
    }
});
