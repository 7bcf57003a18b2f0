//! An `AdmissionReview`, answered as the webhook answers it.
#![no_main]

use deploy::k8s::Request;
use deploy::k8s::admission::{OnFailure, answer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(review) = serde_json::from_slice(bytes) else { return };
    let request = Request { image: Some("registry/glassbox:1".to_owned()), ..Request::default() };
    if let Ok(answer) = answer(&review, &request, OnFailure::Closed) {
        assert_eq!(review["request"]["uid"], answer.review["response"]["uid"]);
    }
});
