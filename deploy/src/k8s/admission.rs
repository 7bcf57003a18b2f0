//! Answers the API server's `AdmissionReview` (admission.k8s.io/v1) for a pod that is being made.
//!
//! Only a text that is no `AdmissionReview` is an error. A pod that cannot have the sensor is admitted
//! unchanged, with a warning that kubectl shows to its user, or refused if that is configured.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::names::one_line;
use super::stop::Stop;
use super::{Request, pod, pod_of, weight};
use crate::change::Change;
use crate::visible::visible;
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

/// The longest `uid` of a review: API servers make them of 36 characters.
const LONGEST_UID: usize = 256;

/// Answers the text of an `AdmissionReview`.
///
/// Takes memory for the parts that it needs, and refuses before it does if these are too many: some times
/// [`weight::MOST`], whatever the text.
///
/// # Errors
/// [`Error::Malformed`] if the text is no `AdmissionReview`.
pub fn answer(text: &[u8], wanted: &Request, on_failure: OnFailure) -> Result<Answer, Error> {
    let malformed = |what: &str| Error::Malformed(format!("cannot answer this request: {what}"));
    let no_json = |error: serde_json::Error| {
        // A message of serde_json can quote a whole value.
        malformed(&format!("no JSON: {}", error.to_string().chars().take(200).collect::<String>()))
    };
    let review =
        members(std::str::from_utf8(text).map_err(|_| malformed("it is not UTF-8"))?).map_err(no_json)?;
    if word(&review, "apiVersion").as_deref() != Some(VERSION)
        || word(&review, "kind").as_deref() != Some("AdmissionReview")
    {
        return Err(malformed(&format!(
            "it is not an AdmissionReview of {VERSION}; name that in admissionReviewVersions"
        )));
    }
    let request =
        review.get("request").map_or(Ok(Members::new()), |raw| members(raw.get())).unwrap_or_default();
    let Some(uid) = word(&request, "uid").filter(|uid| uid.len() <= LONGEST_UID) else {
        return Err(malformed("'request.uid' is missing or no text of the usual length"));
    };
    let raw = request.get("object").map_or("null", |raw| raw.get());
    let (mut notes, mut failure) = (Vec::new(), None);
    let before = if weight::of(raw) > weight::MOST {
        let least = 1 + raw.matches(',').count();
        failure = Some(format!(
            "an object of {} bytes with about {least} values cannot be looked at; divide it",
            raw.len()
        ));
        Value::Null
    } else {
        serde_json::from_str(raw).map_err(no_json)?
    };
    if !before.is_object() && !before.is_null() {
        return Err(malformed("'request.object' is not an object"));
    }
    let after = put_in(&before, &request, wanted, &mut notes, &mut failure);
    // Whatever quotes the client's names: it goes to the user's terminal, by kubectl.
    let failure = failure.map(|why| visible(&why).into_owned());
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
            let patch = Change::between(&before, &after).json_patch();
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

/// The members of an object, as texts that are not read yet.
type Members<'t> = BTreeMap<String, &'t RawValue>;

fn members(text: &str) -> serde_json::Result<Members<'_>> {
    serde_json::from_str(text)
}

/// A member that is text.
fn word(members: &Members, name: &str) -> Option<String> {
    serde_json::from_str(members.get(name)?.get()).ok()
}

/// The object with the sensor in it. Whatever stands against that becomes a note or the failure, and the
/// object is not used then.
fn put_in(
    before: &Value,
    request: &Members,
    wanted: &Request,
    notes: &mut Vec<Note>,
    failure: &mut Option<String>,
) -> Value {
    let mut after = before.clone();
    // The object's own kind counts; an object without one has the kind of the request.
    let kind = request.get("kind").and_then(|raw| members(raw.get()).ok()).unwrap_or_default();
    if after.is_object() && after["kind"].is_null() {
        let named = |name: &str| word(&kind, name).unwrap_or_default();
        let (group, version) = (named("group"), named("version"));
        after["kind"] = json!(named("kind"));
        after["apiVersion"] = json!(if group.is_empty() { version } else { format!("{group}/{version}") });
    }
    // API servers ask about one object at a time: a list is let through, as is all else that makes no pod.
    let Some((mut name, way)) = pod_of(&after) else { return before.clone() };
    if let Some(namespace) = word(request, "namespace").filter(|namespace| !namespace.is_empty()) {
        name = format!("{name} in '{}'", one_line(&namespace));
    }
    let result =
        after.pointer_mut(way).map_or_else(|| Err(Stop::missing(way)), |pod| pod::change(pod, wanted));
    match result {
        Ok(mut put) => {
            put.is_same = before.pointer(way) == after.pointer(way);
            notes.extend(put.notes(&name));
        }
        Err(Stop::LeftAlone(why)) => {
            notes.push(Note::Skipped(format!("{name}: {why}")));
            return before.clone();
        }
        Err(Stop::Refused(why) | Stop::Malformed(_, why)) => *failure = Some(format!("{name}: {why}")),
    }
    if before["kind"].is_null()
        && let Some(after) = after.as_object_mut()
    {
        after.shift_remove("kind");
        after.shift_remove("apiVersion");
    }
    after
}

/// The warning that kubectl shows.
fn warning(note: &Note) -> Option<String> {
    match note {
        Note::Warning(why) | Note::Missed(why) => Some(format!("glassbox: {}", visible(why))),
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
        answer(review(object).to_string().as_bytes(), &request(), on_failure).unwrap().review["response"]
            .take()
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
    fn absurd_objects_are_answered_without_being_read() {
        let many = |item: &str, times: usize| format!("[{}]", vec![item; times].join(","));
        let pod = |spec: String| {
            format!(r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"p"}},"spec":{spec}}}"#)
        };
        let containers = |list: String| pod(format!(r#"{{"containers":{list}}}"#));
        for (object, words) in [
            (containers(many(r#"{"name":"a"}"#, 100_000)), "cannot be looked at; divide it"),
            (containers(format!(r#"[{{"name":"a","x":{}}}]"#, many("{}", 100_000))), "cannot be looked at"),
            (containers(many(r#"{"name":"a"}"#, 1001)), "more than 1000 containers; divide it"),
        ] {
            let text = format!(
                r#"{{"apiVersion":"{VERSION}","kind":"AdmissionReview","request":{{"uid":"u","object":{object}}}}}"#
            );

            let open = answer(text.as_bytes(), &request(), OnFailure::Open).unwrap().review;
            let closed = answer(text.as_bytes(), &request(), OnFailure::Closed).unwrap().review;

            assert_eq!(
                (&json!(true), &Value::Null),
                (&open["response"]["allowed"], &open["response"]["patch"])
            );
            assert!(open["response"]["warnings"][0].as_str().unwrap().contains(words), "{open}");
            assert_eq!(json!(false), closed["response"]["allowed"]);
        }
    }

    #[test]
    fn parts_of_a_review_that_no_pod_is_made_of_weigh_nothing() {
        let object = pod(json!({"name": "app"})).to_string();
        let ballast = format!("[{}]", vec!["{}"; 200_000].join(","));
        let text = format!(
            r#"{{"apiVersion":"{VERSION}","kind":"AdmissionReview","x":{ballast},
                "request":{{"oldObject":{ballast},"uid":"u","object":{object}}}}}"#
        );

        let review = answer(text.as_bytes(), &request(), OnFailure::Closed).unwrap().review;

        assert!(review["response"]["patch"].is_string(), "{review}");
    }

    #[test]
    fn pod_with_as_many_variables_as_etcd_takes_is_patched() {
        let env: Vec<Value> =
            (0..39_000).map(|n| json!({"name": format!("VARIABLE_{n}"), "value": "some"})).collect();
        let object = pod(json!({"name": "app", "env": env}));
        assert!(object.to_string().len() > 3 << 19);

        assert!(response(object, OnFailure::Closed)["patch"].is_string());
    }

    #[test]
    fn names_in_warnings_neither_break_a_line_nor_turn_it_around() {
        let name = "a\u{202e}p\n";
        let refused = pod(json!({"name": name, "env": [{"name": "LD_PRELOAD", "valueFrom": {}}]}));
        let warned = pod(json!({"name": name, "envFrom": [{}]}));
        let mut marked = pod(json!({"name": "a"}));
        marked["metadata"]["annotations"] = json!({"glassbox/sensor": name});

        for object in [refused, warned, marked] {
            let warnings = response(object, OnFailure::Open)["warnings"].take();

            let warning = warnings[0].as_str().unwrap();
            assert!(
                !warning.contains(crate::visible::is_hidden) && warning.contains("\\u{202e}"),
                "{warning}"
            );
        }
    }

    #[test]
    fn other_questions_are_errors() {
        for (question, words) in [
            (json!(null), "no JSON"),
            (json!({}), "not an AdmissionReview"),
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
            let why =
                answer(question.to_string().as_bytes(), &request(), OnFailure::Open).unwrap_err().to_string();

            assert!(why.contains(words), "{question}: {why}");
        }
    }
}
