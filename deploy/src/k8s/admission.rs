//! Answers the API server's `AdmissionReview` (admission.k8s.io/v1) for a pod that is being made.
//!
//! Only a text that is no `AdmissionReview` is an error. A pod that cannot have the sensor is admitted
//! unchanged, with a warning that kubectl shows to its user, or refused if that is configured.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::stop::Stop;
use super::{LISTS_DEEP, Request, each_pod, pod};
use crate::change::Change;
use crate::{Error, Note};

/// The only version that is supported.
const VERSION: &str = "admission.k8s.io/v1";

/// The answer for a pod that cannot have the sensor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnFailure {
    /// Admit it unchanged.
    Open,
    /// Refuse it.
    Closed,
}

/// The answer to a review, and the notes on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The `AdmissionReview` with the response.
    pub review: Value,
    /// The notes, one line each.
    pub notes: Vec<Note>,
}

/// Answers an `AdmissionReview`.
///
/// # Errors
/// [`Error::Malformed`] if the value is no `AdmissionReview`.
pub fn answer(review: &Value, wanted: &Request, on_failure: OnFailure) -> Result<Answer, Error> {
    let malformed = |what: &str| Err(Error::Malformed(format!("cannot answer this request: {what}")));
    if review["apiVersion"] != VERSION || review["kind"] != "AdmissionReview" {
        return malformed(&format!(
            "it is not an AdmissionReview of {VERSION}; name that in admissionReviewVersions"
        ));
    }
    let request = &review["request"];
    let Some(uid) = request["uid"].as_str() else { return malformed("'request.uid' is missing or no text") };
    let before = &request["object"];
    if !before.is_object() && !before.is_null() {
        return malformed("'request.object' is not an object");
    }

    let (mut after, mut notes, mut failure) = (before.clone(), Vec::new(), None);
    // The object's own kind counts; an object without one has the kind of the request.
    let kind = &request["kind"];
    if after.is_object() && after["kind"].is_null() {
        let group = kind["group"].as_str().unwrap_or_default();
        let version = kind["version"].as_str().unwrap_or_default();
        after["kind"] = kind["kind"].clone();
        after["apiVersion"] =
            json!(if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") });
    }
    let namespace = request["namespace"].as_str().unwrap_or_default();
    let result = each_pod(&mut after, "", LISTS_DEEP, &mut |name, path, found| {
        let name = if namespace.is_empty() { name.to_owned() } else { format!("{name} in '{namespace}'") };
        match found.map_or_else(|| Err(Stop::missing(path)), |found| pod::put_in(found, wanted)) {
            Ok(put) => notes.extend(put.notes(&name)),
            Err(Stop::LeftAlone(why)) => notes.push(Note::Skipped(format!("{name}: {why}"))),
            Err(Stop::Refused(why) | Stop::Malformed(_, why)) => failure = Some(format!("{name}: {why}")),
        }
        Ok(())
    });
    if let Err(error) = result {
        failure = Some(error.to_string());
    }
    if before["kind"].is_null()
        && let Some(after) = after.as_object_mut()
    {
        after.shift_remove("kind");
        after.shift_remove("apiVersion");
    }

    let mut response = json!({"uid": uid, "allowed": true});
    let mut warnings: Vec<String> = notes.iter().filter_map(warning).collect();
    match (failure, on_failure) {
        (Some(why), OnFailure::Closed) => {
            let message = format!("glassbox: {why}");
            response["allowed"] = json!(false);
            response["status"] = json!({"code": 422, "reason": "Invalid", "message": message});
            notes.push(Note::Warning(format!("{why}; refused")));
        }
        (Some(why), OnFailure::Open) => {
            warnings.push(format!("glassbox: {why}; let through without the sensor"));
            notes.push(Note::Warning(format!("{why}; let through without the sensor")));
        }
        (None, _) => {
            let patch = Change::between(before, &after).json_patch();
            if !patch.is_empty() {
                response["patchType"] = json!("JSONPatch");
                response["patch"] = json!(BASE64_STANDARD.encode(Value::Array(patch).to_string()));
            }
        }
    }
    if !warnings.is_empty() {
        response["warnings"] = json!(warnings);
    }
    let review = json!({"apiVersion": VERSION, "kind": "AdmissionReview", "response": response});
    Ok(Answer { review, notes })
}

/// The warning that kubectl shows.
fn warning(note: &Note) -> Option<String> {
    match note {
        Note::Warning(why) => Some(format!("glassbox: {why}")),
        Note::Done(_) | Note::Skipped(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::tests::request;

    fn review(object: Value) -> Value {
        json!({
            "apiVersion": VERSION, "kind": "AdmissionReview",
            "request": {"uid": "u-1", "namespace": "shop", "operation": "CREATE",
                        "kind": {"group": "", "version": "v1", "kind": "Pod"}, "object": object},
        })
    }

    fn response(object: Value, on_failure: OnFailure) -> Value {
        answer(&review(object), &request(), on_failure).unwrap().review["response"].take()
    }

    fn pod(container: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}})
    }

    #[test]
    fn the_patch_adds_and_never_replaces_what_is_there() {
        let response = response(pod(json!({"name": "app", "image": "i"})), OnFailure::Open);

        let patch = BASE64_STANDARD.decode(response["patch"].as_str().unwrap()).unwrap();
        let patch: Vec<Value> = serde_json::from_slice(&patch).unwrap();
        let paths: Vec<_> = patch.iter().map(|operation| operation["path"].as_str().unwrap()).collect();
        assert_eq!(
            (&json!("u-1"), &json!(true), &json!("JSONPatch")),
            (&response["uid"], &response["allowed"], &response["patchType"])
        );
        assert!(patch.iter().all(|operation| operation["op"] == "add"), "{patch:?}");
        assert_eq!(
            [
                "/metadata/annotations",
                "/spec/containers/0/env",
                "/spec/containers/0/volumeMounts",
                "/spec/volumes",
                "/spec/initContainers"
            ],
            paths.as_slice()
        );
    }

    #[test]
    fn an_object_without_a_kind_has_that_of_the_request() {
        let mut bare = pod(json!({"name": "app"}));
        bare.as_object_mut().unwrap().retain(|key, _| key == "metadata" || key == "spec");

        let patch = response(bare, OnFailure::Open)["patch"].take();

        let patch = String::from_utf8(BASE64_STANDARD.decode(patch.as_str().unwrap()).unwrap()).unwrap();
        assert!(patch.contains("glassbox-collector") && !patch.contains("\"/kind\""), "{patch}");
    }

    #[test]
    fn a_pod_that_cannot_have_it_is_let_through_with_a_warning_or_refused() {
        let odd = || pod(json!({"name": "app", "env": [{"name": "LD_PRELOAD", "valueFrom": {}}]}));

        let (open, closed) = (response(odd(), OnFailure::Open), response(odd(), OnFailure::Closed));

        assert_eq!((&json!(true), &Value::Null), (&open["allowed"], &open["patch"]));
        assert!(
            open["warnings"][0]
                .as_str()
                .unwrap()
                .ends_with("write its value; let through without the sensor"),
            "{open}"
        );
        assert_eq!((&json!(false), &json!(422)), (&closed["allowed"], &closed["status"]["code"]));
    }

    #[test]
    fn what_makes_no_pod_or_is_going_is_let_through() {
        for object in [Value::Null, json!({"apiVersion": "v1", "kind": "Secret", "spec": 3})] {
            let response = response(object.clone(), OnFailure::Closed);

            assert_eq!((&json!(true), &Value::Null), (&response["allowed"], &response["patch"]), "{object}");
        }
    }

    #[test]
    fn odd_pods_are_no_fault_of_the_question() {
        for spec in [Value::Null, json!([]), json!({"containers": {}}), json!({"containers": [7]})] {
            let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": spec});

            let response = response(object, OnFailure::Open);

            assert_eq!(
                (&json!(true), 1),
                (&response["allowed"], response["warnings"].as_array().unwrap().len())
            );
        }
    }

    #[test]
    fn other_questions_are_errors() {
        for (question, words) in [
            (json!(null), "not an AdmissionReview"),
            (
                json!({"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview"}),
                "admissionReviewVersions",
            ),
            (json!({"apiVersion": VERSION, "kind": "AdmissionReview", "request": {}}), "'request.uid'"),
            (
                json!({"apiVersion": VERSION, "kind": "AdmissionReview", "request": {"uid": "u", "object": []}}),
                "'request.object'",
            ),
        ] {
            let why = answer(&question, &request(), OnFailure::Open).unwrap_err().to_string();

            assert!(why.contains(words), "{question}: {why}");
        }
    }
}
