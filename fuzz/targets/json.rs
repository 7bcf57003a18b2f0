//! JSON as text: read, and edited so that it stays the same, and so that it does not.
#![no_main]

use deploy::json::Document;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(document) = Document::parse(text) else { return };
    assert_eq!(text, document.edited(document.value()), "an edit that changes nothing");
    let mut after = document.value().clone();
    if let Some(object) = after.as_object_mut() {
        object.insert("added".to_owned(), json!(["value", {"x": 1}]));
        let edited = document.edited(&after);
        assert_eq!(Some(&after), serde_json::from_str::<Value>(&edited).ok().as_ref(), "{edited}");
    }
});
