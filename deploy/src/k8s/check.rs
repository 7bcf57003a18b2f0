//! Checks that a pod has the shape of one, and that the names of the sensor's parts are free in it.

use serde_json::{Map, Value};

use super::names::{COLLECTOR, INSTALLER, LISTS, MOST_CONTAINERS, VOLUME, name};
use super::stop::{FRAGMENT, Stop, malformed};
use crate::choice::ANNOTATION;

/// Checks a pod's `spec`; `is_ours` if the pod was patched before.
///
/// # Errors
/// [`Stop::Malformed`] for fields of a wrong type; [`Stop::Refused`] for a pod of Windows, for one with more
/// containers than can be, and for one that uses one of the sensor's names without having been patched.
pub fn check(spec: &Map<String, Value>, is_ours: bool) -> Result<(), Stop> {
    if is_windows(spec) {
        return Err(Stop::Refused(format!(
            "it is for Windows; say {ANNOTATION}: \"off\" in its annotations"
        )));
    }
    for key in LISTS {
        check_containers(spec, key)?;
    }
    if is_ours { Ok(()) } else { check_names(spec) }
}

fn is_windows(spec: &Map<String, Value>) -> bool {
    let spec = |path: [&str; 2]| spec.get(path[0]).and_then(|value| value.get(path[1]));
    let places =
        [["os", "name"], ["nodeSelector", "kubernetes.io/os"], ["nodeSelector", "beta.kubernetes.io/os"]];
    places.into_iter().filter_map(spec).any(|value| value == "windows")
}

/// Containers must be objects with a name, and the fields that the patch reads must be lists.
fn check_containers(spec: &Map<String, Value>, key: &str) -> Result<(), Stop> {
    let at = format!("/spec/{key}");
    let containers = match spec.get(key) {
        None | Some(Value::Null) if key == "initContainers" => return Ok(()),
        Some(Value::Array(containers)) => containers,
        _ => return Err(malformed(&at, &format!("'{key}' is missing or no list{FRAGMENT}"))),
    };
    if containers.len() > MOST_CONTAINERS {
        return Err(Stop::Refused(format!("it has more than {MOST_CONTAINERS} {key}; divide it")));
    }
    for (index, container) in containers.iter().enumerate() {
        let at = format!("{at}/{index}");
        if container.get("name").and_then(Value::as_str).is_none() {
            return Err(malformed(&at, "a container without a name"));
        }
        for inner in ["env", "envFrom", "volumeMounts"] {
            let entries = match container.get(inner) {
                None | Some(Value::Null) => continue,
                Some(Value::Array(entries)) => entries,
                Some(_) => {
                    return Err(malformed(&format!("{at}/{inner}"), &format!("'{inner}' is not a list")));
                }
            };
            if let Some(odd) = entries.iter().position(|entry| !entry.is_object()) {
                let what = format!("'{inner}' holds something that is not an object");
                return Err(malformed(&format!("{at}/{inner}/{odd}"), &what));
            }
        }
    }
    Ok(())
}

/// Refuses a pod that uses one of the sensor's names and was not patched before.
fn check_names(spec: &Map<String, Value>) -> Result<(), Stop> {
    let is_taken = |key: &str, names: &[&str]| {
        let items = spec.get(key).and_then(Value::as_array).into_iter().flatten();
        items.map(name).find(|name| names.contains(name)).map(str::to_owned)
    };
    let container = LISTS.iter().find_map(|key| is_taken(key, &[INSTALLER, COLLECTOR]));
    let what = container
        .map(|name| ("container", name))
        .or_else(|| is_taken("volumes", &[VOLUME]).map(|name| ("volume", name)));
    match what {
        Some((kind, name)) => {
            Err(Stop::Refused(format!("it has a {kind} '{name}' that is not ours; rename it")))
        }
        None => Ok(()),
    }
}
