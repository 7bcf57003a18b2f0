//! Puts the sensor into one pod: two containers, a folder, and an environment.

use serde_json::{Map, Value, json};

use super::added::{Socket, added};
use super::check::check;
use super::choose::{Chosen, check_wanted, choose};
use super::command::{command, has_supervised};
use super::names::{
    COLLECTOR, CONTAINERS, FOLDER, INJECTED, LEFT, PRELOADED, VOLUME, add, list, name, name_of, object,
    one_line, place, quoted,
};
use super::request::Request;
use super::stop::{Stop, malformed};
use crate::choice::ANNOTATION;
use crate::config::{Config, VARIABLE};
use crate::{Note, preload};

/// The result of a patch of one pod.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Put {
    /// The containers that have the sensor.
    pub containers: Vec<String>,
    /// The containers that were left alone, and why.
    pub left: Vec<(String, String)>,
    /// The containers whose command has got, changed or lost its supervisor.
    pub started_anew: Vec<String>,
    /// The level that the supervisors ask for, if one is asked for.
    pub level: Option<String>,
    /// The parts that may not work as meant.
    pub warnings: Vec<String>,
    /// Whether the pod had everything already.
    pub is_same: bool,
}

impl Put {
    /// The notes on the pod that is called `name`.
    pub fn notes(&self, name: &str) -> Vec<Note> {
        let mut notes = Vec::new();
        if !self.is_same {
            notes.push(Note::Done(format!(
                "{name}: the sensor is in {}, a collector beside it",
                quoted(&self.containers)
            )));
        }
        if !self.started_anew.is_empty() {
            let how = match &self.level {
                Some(level) => format!("by glassbox exec --notify {level}"),
                None => "without glassbox exec --notify".to_owned(),
            };
            notes.push(Note::Done(format!("{name}: starts {} {how}", quoted(&self.started_anew))));
        }
        notes.extend(
            self.left
                .iter()
                .map(|(container, why)| Note::Skipped(format!("{name}: '{}': {why}", one_line(container)))),
        );
        notes.extend(self.warnings.iter().map(|warning| Note::Warning(format!("{name}: {warning}"))));
        notes
    }
}

/// Puts the sensor into a pod or a pod template: an object with `metadata` and `spec`. On an error the value
/// stays as it is.
///
/// # Errors
/// See [`Stop`].
pub fn put_in(pod: &mut Value, request: &Request) -> Result<Put, Stop> {
    let mut after = pod.clone();
    let mut put = change(&mut after, request)?;
    put.is_same = after == *pod;
    *pod = after;
    Ok(put)
}

/// As [`put_in`], for a caller that keeps the value as it was: an error leaves the pod half changed, and
/// [`Put::is_same`] is not set.
///
/// # Errors
/// See [`Stop`].
pub fn change(pod: &mut Value, request: &Request) -> Result<Put, Stop> {
    if !pod.is_object() {
        return Err(malformed("", "a pod is not an object"));
    }
    let annotations = annotations(pod)?;
    let said = |key: &str| annotations.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    check_wanted(said(ANNOTATION), request.is_opt_in)?;
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else {
        return Err(malformed("/spec", "'spec' is missing or no object"));
    };
    check(spec, said(INJECTED).is_some())?;

    let Chosen { places, model, left } = choose(spec, said(CONTAINERS), request)?;
    let level = request.notify.as_ref().and_then(|notify| notify.level.clone());
    let mut put = Put { left, level, ..Put::default() };
    let socket = Socket::of(spec);
    let commands: Vec<_> =
        places.iter().map(|(key, index)| command(spec, &spec[*key][*index], request)).collect();
    for ((key, index), command) in places.iter().zip(commands) {
        let place = format!("/spec/{key}/{index}");
        let Some(container) = spec[*key][*index].as_object_mut() else { continue };
        if let Some(warning) = hidden(container) {
            put.warnings.push(format!("'{}': {warning}", one_line(name_of(container))));
        }
        match command {
            Ok(None) => {}
            Ok(Some(words)) => {
                container.insert("command".into(), words);
                put.started_anew.push(name_of(container).to_owned());
            }
            Err(why) => {
                let name = one_line(name_of(container));
                put.warnings.push(format!("'{name}' has the sensor alone: {why}"));
            }
        }
        set_environment(container, &socket, &place)?;
        mount(container, &place)?;
        put.containers.push(name_of(container).to_owned());
    }
    let ours = added(spec, model, &socket, request);
    // The sensor, and its next version beside it; the command line is a static program of some 12 MiB.
    let size = if has_supervised(spec) { "48Mi" } else { "16Mi" };
    let volumes = list(spec, "volumes", "/spec")?;
    add(volumes, json!({"name": VOLUME, "emptyDir": {"sizeLimit": size}}), volumes.len());
    let containers = list(spec, "initContainers", "/spec")?;
    for (index, container) in ours.into_iter().enumerate() {
        add(containers, container, index);
    }
    if request.config.as_ref().is_some_and(Config::is_none) {
        let collector = containers.iter_mut().find(|container| name(container) == COLLECTOR);
        let entries = collector.and_then(|collector| collector.get_mut("env")?.as_array_mut());
        entries.into_iter().for_each(|entries| entries.retain(|entry| name(entry) != VARIABLE));
    }
    annotate(pod, &put)?;
    Ok(put)
}

/// The pod's annotations that begin with `glassbox/`; each must be text.
fn annotations(pod: &Value) -> Result<Vec<(String, String)>, Stop> {
    let place = "/metadata/annotations";
    let present = match pod.pointer(place) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(present)) => present,
        Some(_) => return Err(malformed(place, "'annotations' is not an object")),
    };
    let ours = present.iter().filter(|(key, _)| key.starts_with("glassbox/"));
    ours.map(|(key, value)| match value.as_str() {
        Some(value) => Ok((key.clone(), value.to_owned())),
        None => {
            let at = format!("{place}/{}", key.replace('/', "~1"));
            Err(malformed(&at, &format!("the annotation {key} is not text; put it in quotes")))
        }
    })
    .collect()
}

/// Warns of `envFrom`, whose variables' names are not in the pod.
fn hidden(container: &Map<String, Value>) -> Option<String> {
    let sources =
        container.get("envFrom").and_then(Value::as_array).is_some_and(|sources| !sources.is_empty());
    let entries = container.get("env").and_then(Value::as_array).into_iter().flatten();
    let has_own = entries.into_iter().any(|entry| name(entry) == "LD_PRELOAD" && entry["value"] != PRELOADED);
    (sources && !has_own).then(|| {
        "an LD_PRELOAD in its envFrom no longer counts; if there is one, write it in env and patch again"
            .to_owned()
    })
}

fn set_environment(container: &mut Map<String, Value>, socket: &Socket, at: &str) -> Result<(), Stop> {
    let entries = list(container, "env", at)?;
    let mut has_preload = false;
    for (index, entry) in entries.iter_mut().enumerate().filter(|(_, entry)| name(entry) == "LD_PRELOAD") {
        has_preload = true;
        let present = match entry.get("value") {
            None | Some(Value::Null) => "",
            Some(Value::String(present)) => present,
            Some(_) => {
                return Err(malformed(&format!("{at}/env/{index}"), "the value of LD_PRELOAD is not text"));
            }
        };
        entry["value"] = json!(preload::appended(present, PRELOADED));
    }
    if !has_preload {
        entries.push(json!({"name": "LD_PRELOAD", "value": PRELOADED}));
    }
    if !socket.is_of_pod {
        entries.retain(|entry| name(entry) != "GLASSBOX_POD");
    }
    for entry in socket.environment() {
        place(entries, entry);
    }
    Ok(())
}

fn mount(container: &mut Map<String, Value>, at: &str) -> Result<(), Stop> {
    // A read-only mount does not prevent connecting to a socket, which asks for the socket's own mode
    // (unix(7)). It prevents an attacker in the program from putting another socket there.
    place(
        list(container, "volumeMounts", at)?,
        json!({"name": VOLUME, "mountPath": FOLDER, "readOnly": true}),
    );
    Ok(())
}

fn annotate(pod: &mut Value, put: &Put) -> Result<(), Stop> {
    let pod = pod.as_object_mut().ok_or_else(|| malformed("", "a pod is not an object"))?;
    let metadata = object(pod, "metadata", "")?;
    let annotations = object(metadata, "annotations", "/metadata")?;
    annotations.insert(INJECTED.into(), json!(put.containers.join(",")));
    let left: Vec<String> = put.left.iter().map(|(name, why)| format!("{}: {why}", one_line(name))).collect();
    match left.is_empty() {
        true => drop(annotations.shift_remove(LEFT)),
        false => drop(annotations.insert(LEFT.into(), json!(left.join(". ")))),
    }
    Ok(())
}
