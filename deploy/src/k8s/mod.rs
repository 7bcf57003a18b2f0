//! Puts the sensor into Kubernetes manifests, and into pods as the API server asks about them.
//!
//! [`patch`] takes a file of any documents and changes those that make pods; [`admission`] answers an
//! `AdmissionReview` with the same change as a JSON patch. [`pod`] decides for both how a pod is changed.
//!
//! A pod gets, in this order:
//!
//! - an init container that copies the sensor out of the image into an emptyDir;
//! - a native sidecar that collects: an init container with `restartPolicy: Always`, which is ready before
//!   the others start and ends after them;
//! - in each chosen container, that folder read-only, `LD_PRELOAD` and `GLASSBOX_SOCKET`; with `--notify`
//!   also `glassbox exec` before its command, and the program for that beside the sensor.
//!
//! The two added containers always stand before the pod's own init containers. So every pod is made the same
//! way, and an init container can be chosen later without a change of anything's place.

mod added;
pub mod admission;
mod check;
mod choose;
mod command;
mod names;
pub mod pod;
mod request;
mod stop;
mod weight;

use serde_json::Value;

use crate::yaml::Documents;
use crate::{Error, Note, Patched};
use names::one_line;
use stop::Stop;

pub use request::Request;

/// The kinds of objects that make pods: kind, API group, and the path of the pod or its template.
const KINDS: [(&str, &str, &str); 12] = [
    ("Pod", "", ""),
    ("PodTemplate", "", "/template"),
    ("ReplicationController", "", "/spec/template"),
    ("Deployment", "apps", "/spec/template"),
    ("StatefulSet", "apps", "/spec/template"),
    ("DaemonSet", "apps", "/spec/template"),
    ("ReplicaSet", "apps", "/spec/template"),
    ("Job", "batch", "/spec/template"),
    ("CronJob", "batch", "/spec/jobTemplate/spec/template"),
    // Removed from clusters in 1.16, but still found in files.
    ("Deployment", "extensions", "/spec/template"),
    ("DaemonSet", "extensions", "/spec/template"),
    ("ReplicaSet", "extensions", "/spec/template"),
];

/// The deepest nesting of lists in lists that is read.
const LISTS_DEEP: usize = 8;

/// Patches a manifest: YAML with any number of documents, or JSON.
///
/// # Errors
/// [`Error::Malformed`] with a line, if the text is not YAML or a pod in it does not have the shape of one;
/// [`Error::Refused`] if a pod cannot have the sensor and is not marked `off`.
pub fn patch(text: &str, request: &Request) -> Result<Patched, Error> {
    let documents = Documents::read(text).map_err(|error| match error {
        Error::Malformed(why) if text.contains("{{") => Error::Malformed(format!(
            "{why} (a template? patch what it makes: 'helm template … | glassbox patch k8s -')"
        )),
        error => error,
    })?;
    let (mut after, mut notes, mut pods) = (documents.values().to_vec(), Vec::new(), 0);
    for (index, document) in after.iter_mut().enumerate() {
        each_pod(document, "", LISTS_DEEP, &mut |name, path, pod| {
            pods += 1;
            let at = |path: &str| format!("line {}: {name}: ", documents.line(index, path));
            match pod.map_or_else(|| Err(Stop::missing(path)), |pod| pod::put_in(pod, request)) {
                Ok(put) => notes.extend(put.notes(name)),
                Err(Stop::LeftAlone(why)) => notes.push(Note::Skipped(format!("{name}: {why}"))),
                Err(Stop::Refused(why)) => return Err(Error::Refused(format!("{}{why}", at(path)))),
                Err(Stop::Malformed(inside, why)) => {
                    return Err(Error::Malformed(format!("{}{why}", at(&format!("{path}{inside}")))));
                }
            }
            Ok(())
        })?;
    }
    for document in documents.values() {
        if pods == 0 && document["services"].is_object() && document.get("kind").is_none() {
            return Err(Error::Malformed(
                "it has 'services' and no 'kind', so it is a compose file; give it to 'glassbox patch compose'".into(),
            ));
        }
        missed(document, LISTS_DEEP, &mut notes);
    }
    if pods == 0 {
        notes.push(Note::Warning("no document in it makes a pod".into()));
    }
    Ok(Patched { text: documents.edited(&after)?, notes })
}

/// The name of an object that makes pods, and the path of the pod or its template in it.
fn pod_of(document: &Value) -> Option<(String, &'static str)> {
    let (kind, group) = kind_of(document);
    let (_, _, way) = KINDS.iter().find(|row| row.0 == kind && row.1 == group)?;
    let metadata = &document["metadata"];
    let own_name =
        ["name", "generateName"].iter().find_map(|key| metadata[*key].as_str()).unwrap_or("without a name");
    Some((format!("{kind} '{}'", one_line(own_name)), way))
}

/// Notes the objects that make pods and are of none of [`KINDS`]: what is an operator's is known by a list of
/// containers with images anywhere in it.
fn missed(document: &Value, deep: usize, notes: &mut Vec<Note>) {
    let (kind, _) = kind_of(document);
    if kind.is_empty() || pod_of(document).is_some() {
        return;
    }
    match document["items"].as_array() {
        Some(items) if kind.ends_with("List") && deep > 0 => {
            items.iter().for_each(|item| missed(item, deep - 1, notes));
        }
        _ if has_containers(document) => {
            let name = one_line(document["metadata"]["name"].as_str().unwrap_or("without a name"));
            let (kind, version) = (one_line(kind), document["apiVersion"].as_str().unwrap_or_default());
            notes.push(Note::Missed(format!(
                "{kind} '{name}' ({}) makes containers, and no patch takes that kind; have the webhook put the sensor into \
                 its pods (docs/operations.md)",
                one_line(version)
            )));
        }
        _ => {}
    }
}

fn has_containers(value: &Value) -> bool {
    let is_container = |value: &Value| value["image"].is_string() && value["name"].is_string();
    match value {
        Value::Array(items) => items.iter().any(has_containers),
        Value::Object(members) => members.iter().any(|(name, value)| {
            let list = value.as_array().filter(|_| name == "containers");
            list.is_some_and(|list| list.iter().any(is_container)) || has_containers(value)
        }),
        _ => false,
    }
}

/// The kind and the API group of an object.
fn kind_of(document: &Value) -> (&str, &str) {
    let word = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default();
    let group = word("apiVersion").split_once('/').map_or("", |(group, _)| group);
    (word("kind"), group)
}

/// Visits each pod or pod template of a document, with its name, its path, and its value if there is one.
fn each_pod(
    document: &mut Value,
    path: &str,
    deep: usize,
    visit: &mut impl FnMut(&str, &str, Option<&mut Value>) -> Result<(), Error>,
) -> Result<(), Error> {
    if let Some((name, way)) = pod_of(document) {
        return visit(&name, &format!("{path}{way}"), document.pointer_mut(way));
    }
    let (kind, group) = kind_of(document);
    // `List`, and the lists of one kind (`DeploymentList`) that kubectl and client libraries write.
    let is_list = kind.ends_with("List") && ["", "apps", "batch", "extensions"].contains(&group);
    match document.get_mut("items").and_then(Value::as_array_mut) {
        Some(_) if is_list && deep == 0 => {
            Err(Error::Malformed(format!("more than {LISTS_DEEP} lists in each other")))
        }
        Some(items) if is_list => {
            for (index, item) in items.iter_mut().enumerate() {
                each_pod(item, &format!("{path}/items/{index}"), deep - 1, visit)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
