//! The text of an `AdmissionReview`, answered as the webhook answers it.
#![no_main]

use deploy::k8s::Request;
use deploy::k8s::admission::{OnFailure, answer};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let request = Request { image: Some("registry/glassbox:1".to_owned()), ..Request::default() };
    let Ok(answer) = answer(bytes, &request, OnFailure::Closed) else { return };
    // Parts that are not needed are skipped, and not looked at as closely.
    let Ok(review) = serde_json::from_slice::<Value>(bytes) else { return };
    assert_eq!(review["request"]["uid"], answer.review["response"]["uid"]);
});
