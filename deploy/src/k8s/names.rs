//! The names of the sensor's parts in a pod, and how a pod's lists are read and written.

use serde_json::{Map, Value, json};

use super::stop::{Stop, malformed};
use crate::visible::visible;

/// The annotation by which a pod names the containers that get the sensor, separated by commas.
pub const CONTAINERS: &str = "glassbox/containers";

/// The annotation that names the containers with the sensor: it marks a patched pod.
pub const INJECTED: &str = "glassbox/injected";

/// The annotation that says which containers were left alone, and why.
pub const LEFT: &str = "glassbox/left";

/// The folder that the pod's containers share, and the volume behind it.
pub const FOLDER: &str = "/glassbox";
pub const VOLUME: &str = "glassbox";

/// The sensor's path in each container.
pub const PRELOADED: &str = "/glassbox/libglassbox.so";

/// The path of the command line in each container, in a pod where it supervises.
pub const PROGRAM: &str = "/glassbox/glassbox";

pub const INSTALLER: &str = "glassbox-install";
pub const COLLECTOR: &str = "glassbox-collector";

/// The lists of containers in a pod's `spec`.
pub const LISTS: [&str; 2] = ["containers", "initContainers"];

/// More containers than any kubelet starts in one pod. The work for a pod grows with their number.
pub const MOST_CONTAINERS: usize = 1000;

/// A container by its list and its place in there.
pub type Place = (&'static str, usize);

/// Replaces the item of the same name, or appends.
pub fn place(items: &mut Vec<Value>, item: Value) {
    match items.iter_mut().find(|present| name(present) == name(&item)) {
        Some(present) => *present = item,
        None => items.push(item),
    }
}

/// Updates the item of the same name, or inserts at an index.
pub fn add(items: &mut Vec<Value>, item: Value, index: usize) {
    match items.iter_mut().find(|present| name(present) == name(&item)) {
        Some(present) => update(present, item),
        None => items.insert(index.min(items.len()), item),
    }
}

/// Gives one of the sensor's parts its values, and keeps other members: defaults that API servers fill in, a
/// pull policy or a mount that the user added.
pub fn update(present: &mut Value, wanted: Value) {
    match (present, wanted) {
        (Value::Object(present), Value::Object(wanted)) => {
            // A variable has one or the other.
            for (has, has_not) in [("value", "valueFrom"), ("valueFrom", "value")] {
                if wanted.contains_key(has) {
                    present.shift_remove(has_not);
                }
            }
            for (key, wanted) in wanted {
                match present.get_mut(&key) {
                    Some(present) => update(present, wanted),
                    None => drop(present.insert(key, wanted)),
                }
            }
        }
        (Value::Array(present), Value::Array(wanted)) if wanted.iter().all(|item| !name(item).is_empty()) => {
            for item in wanted {
                let end = present.len();
                add(present, item, end);
            }
        }
        (present, wanted) => *present = wanted,
    }
}

pub fn list<'v>(object: &'v mut Map<String, Value>, key: &str, at: &str) -> Result<&'v mut Vec<Value>, Stop> {
    let value = object.entry(key).or_insert(Value::Null);
    if value.is_null() {
        *value = json!([]);
    }
    value.as_array_mut().ok_or_else(|| malformed(&format!("{at}/{key}"), &format!("'{key}' is not a list")))
}

pub fn object<'v>(
    object: &'v mut Map<String, Value>,
    key: &str,
    at: &str,
) -> Result<&'v mut Map<String, Value>, Stop> {
    let value = object.entry(key).or_insert(Value::Null);
    if value.is_null() {
        *value = json!({});
    }
    value
        .as_object_mut()
        .ok_or_else(|| malformed(&format!("{at}/{key}"), &format!("'{key}' is not an object")))
}

pub fn name(item: &Value) -> &str {
    item.get("name").and_then(Value::as_str).unwrap_or_default()
}

pub fn name_of(container: &Map<String, Value>) -> &str {
    container.get("name").and_then(Value::as_str).unwrap_or_default()
}

pub fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("'{}'", one_line(name))).collect::<Vec<_>>().join(", ")
}

/// A name that cannot break a line nor turn it around: Kubernetes accepts no such name, but a file may hold
/// any.
pub fn one_line(name: &str) -> String {
    visible(name).into_owned()
}
