//! What a task definition becomes: one more container, and in each application what leads to it.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::case::{Case, function, kind};
use super::{Condition, Options, agents, fargate};
use crate::image::{COLLECTOR, DEFAULT, FOLDER, SENSOR};
use crate::{Error, Note, preload};

/// Where the collector listens, as the image's own environment says it too.
const SOCKET: &str = "/opt/glassbox/socket";

/// The name of the container, unless another is there.
const NAME: &str = "glassbox";

/// The docker labels by which a container says `on` or `off`: the second is the annotation of `glassbox runc`.
const LABELS: [&str; 2] = ["glassbox.sensor", "glassbox/sensor"];

/// The smallest interval that ECS takes: the applications wait for the first check. Its default is 30 s.
const CHECK_INTERVAL_S: u32 = 5;

/// What is reserved where the task has no memory of its own and so every container needs some: thrice what a flood of events
/// takes (docs/performance.md).
const MEMORY_RESERVATION_MIB: u32 = 64;

/// How many containers a task definition may have (a quota of ECS that cannot be raised).
const CONTAINERS_MAX: usize = 10;

/// Log options that say where an application's own events begin; they would tear a line apart or glue lines together.
const LOG_OPTIONS_OF_APPLICATIONS: [&str; 2] = ["awslogs-datetime-format", "awslogs-multiline-pattern"];

/// A task definition.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// How its keys are spelt.
    pub case: Case,
    /// All its fields; `None` where only the containers are known.
    pub fields: Option<&'a Value>,
    /// Its containers.
    pub containers: &'a [Value],
}

/// What becomes of it.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The containers, with the sensor's among them.
    pub containers: Vec<Value>,
    /// What was done, and what was not.
    pub notes: Vec<Note>,
}

impl Task<'_> {
    /// The names of the containers, as far as they are written out.
    pub fn names(&self) -> Vec<String> {
        self.containers.iter().filter_map(|it| self.case.text(it, "name")).map(str::to_owned).collect()
    }

    /// Whether the containers are Windows'.
    pub fn is_windows(&self) -> bool {
        let platform = self.fields.and_then(|fields| self.case.get(fields, "runtimePlatform"));
        let system = platform.and_then(|platform| self.case.text(platform, "operatingSystemFamily"));
        let is_windows_image = |container: &Value| {
            self.case
                .text(container, "image")
                .is_some_and(|image| image.starts_with("mcr.microsoft.com/windows/"))
        };
        system.is_some_and(|system| system.starts_with("WINDOWS"))
            || self.containers.iter().any(is_windows_image)
    }

    /// The task definition with the sensor in it.
    ///
    /// # Errors
    /// Fields of a wrong type, and what cannot be patched safely.
    pub fn prepared(&self, options: &Options) -> Result<Prepared, Error> {
        self.check_shape()?;
        if self.is_windows() {
            return Err(super::windows());
        }
        let ours = self.ours()?;
        let mut notes = Vec::new();
        let mut chosen = Vec::new();
        for (index, container) in self.containers.iter().enumerate().filter(|(index, _)| Some(*index) != ours)
        {
            let label = self.label(index);
            if let Some(name) = function(container) {
                notes.push(Note::Warning(format!(
                    "{label} is given by {name}; put the sensor in there by hand"
                )));
                continue;
            }
            match self
                .reason_to_leave(container, options)
                .map_err(|error| error.within(|why| format!("{label}: {why}")))?
            {
                None => chosen.push(index),
                Some(why) => {
                    let is_prepared = self.environment(container, "LD_PRELOAD").any(names_sensor);
                    let rest = if is_prepared { ", and what it has of the sensor stays" } else { "" };
                    notes.push(Note::Skipped(format!("{label}: {why}{rest}")));
                }
            }
        }
        let mut containers = self.containers.to_vec();
        if chosen.is_empty() {
            notes.push(Note::Warning("no container gets the sensor; name one by --container".into()));
            return Ok(Prepared { containers, notes });
        }
        if ours.is_none() {
            containers.push(Value::Object(Map::new()));
        }
        let index = ours.unwrap_or(self.containers.len());
        let sensor = self.sensor(ours.map(|index| &self.containers[index]), &chosen, options, &mut notes);
        let name = sensor[&self.case.key("name")].clone();
        containers[index] = sensor;
        for index in chosen {
            let label = self.label(index);
            let within = |why: String| format!("{label}: {why}");
            let container = containers[index]
                .as_object_mut()
                .ok_or_else(|| Error::Malformed(within("it is no object".into())))?;
            self.prepare(container, &name, options).map_err(|error| error.within(within))?;
            if containers[index] != self.containers[index] {
                notes.push(Note::Done(format!("puts the sensor into {label}")));
            }
            if self.is_overriding_files(&containers[index]) {
                notes.push(Note::Warning(within(
                    "an LD_PRELOAD in its environmentFiles does not count beside the one in its environment; name its \
                     libraries there too"
                        .into(),
                )));
            }
        }
        if containers.len() > CONTAINERS_MAX {
            return Err(Error::Refused(format!(
                "with the sensor's it has {} containers, and a task definition may have {CONTAINERS_MAX}; move one to another task",
                containers.len()
            )));
        }
        let after = Task { containers: &containers, ..*self };
        if let Some((label, name)) = after.unknown_dependency() {
            // "Cannot depend on container + 'NAME' because it does not exist", says the API.
            return Err(Error::Refused(format!(
                "{label} depends on '{name}', which is no container of the task, so registering it would fail; correct it first"
            )));
        }
        if let Some(circle) = after.circle() {
            return Err(Error::Refused(format!(
                "containers wait for each other: {}; take one of these out of dependsOn or volumesFrom",
                circle.join(" → ")
            )));
        }
        notes.extend(fargate::check(&after, options.is_fargate)?);
        Ok(Prepared { containers, notes })
    }

    fn check_shape(&self) -> Result<(), Error> {
        if self.containers.is_empty() {
            return Err(Error::Malformed("it has no container; a task definition needs one".into()));
        }
        for (index, container) in self.containers.iter().enumerate() {
            let label = self.label(index);
            if self.case.is_function(container) {
                continue;
            }
            if !container.is_object() {
                return Err(Error::Malformed(format!(
                    "{label} is {}, not an object; correct it",
                    kind(container)
                )));
            }
            match self.case.get(container, "name") {
                Some(Value::String(_)) => {}
                Some(name) if self.case.is_function(name) => {}
                Some(name) => {
                    return Err(Error::Malformed(format!(
                        "{label}: its name is {}, not a text; correct it",
                        kind(name)
                    )));
                }
                None => return Err(Error::Malformed(format!("{label} has no name; give it one"))),
            }
        }
        Ok(())
    }

    /// What a message calls a container.
    pub fn label(&self, index: usize) -> String {
        let name = self.containers.get(index).and_then(|container| self.case.text(container, "name"));
        name.map_or_else(|| format!("container {}", index + 1), |name| format!("container '{name}'"))
    }

    /// Which container is the sensor's.
    fn ours(&self) -> Result<Option<usize>, Error> {
        let is_ours = |container: &Value| {
            let check =
                self.case.get(container, "healthCheck").and_then(|check| self.case.get(check, "command"));
            check.is_some_and(|command| any_text(command, &|text| text.contains(COLLECTOR)))
        };
        let mut found = (0..self.containers.len()).filter(|index| is_ours(&self.containers[*index]));
        let (first, second) = (found.next(), found.next());
        if let (Some(first), Some(second)) = (first, second) {
            let (first, second) = (self.label(first), self.label(second));
            return Err(Error::Refused(format!(
                "{first} and {second} are both the sensor's; remove one of them"
            )));
        }
        if first.is_none() && self.containers.iter().any(|it| self.case.text(it, "name") == Some(NAME)) {
            return Err(Error::Refused(format!(
                "container '{NAME}' is not the sensor's (its health check is not {COLLECTOR}); rename it"
            )));
        }
        Ok(first)
    }

    /// Why a container does not get the sensor.
    fn reason_to_leave(&self, container: &Value, options: &Options) -> Result<Option<String>, Error> {
        let name = self.case.text(container, "name");
        let is_in = |list: &[String]| name.is_some_and(|name| list.iter().any(|listed| listed == name));
        if is_in(&options.excluded) {
            return Ok(Some("it is excluded".into()));
        }
        if !options.containers.is_empty() && !is_in(&options.containers) {
            return Ok(Some("it is not among those named".into()));
        }
        let mut is_asked_for = !options.containers.is_empty();
        for name in LABELS {
            let said = self.case.get(container, "dockerLabels").and_then(|labels| labels.get(name));
            match said.map(|said| (said, said.as_str())) {
                None => {}
                Some((_, Some("on"))) => is_asked_for = true,
                Some((_, Some("off"))) => return Ok(Some(format!("its label {name} says off"))),
                Some((other, _)) => {
                    return Err(Error::Malformed(format!("its label {name} is {other}; say on or off")));
                }
            }
        }
        if !is_asked_for {
            if self.case.get(container, "firelensConfiguration").is_some() {
                return Ok(Some("it is the log router".into()));
            }
            if let Some(what) = self.image(container).and_then(|image| agents::known(&image)) {
                return Ok(Some(format!("it is {what}")));
            }
        }
        self.case.list(container, "environment")?;
        if self.environment(container, "GLASSBOX").any(|value| value == "off") {
            return Ok(Some("GLASSBOX=off is in its environment".into()));
        }
        let is_foreign = |library: &str| library.ends_with("/libglassbox.so") && library != SENSOR;
        if self
            .environment(container, "LD_PRELOAD")
            .any(|value| value.as_str().is_some_and(|value| preload::names(value).any(is_foreign)))
        {
            return Ok(Some("it brings a sensor of its own".into()));
        }
        Ok(None)
    }

    /// The values of a variable of a container's environment.
    fn environment<'c>(&self, container: &'c Value, name: &'static str) -> impl Iterator<Item = &'c Value> {
        let case = self.case;
        let entries = case.get(container, "environment").and_then(Value::as_array).map(Vec::as_slice);
        let entries = entries.unwrap_or_default().iter();
        entries
            .filter(move |entry| case.text(entry, "name") == Some(name))
            .filter_map(move |entry| case.get(entry, "value"))
    }

    /// The image's name, or its end where a function puts it together.
    fn image(&self, container: &Value) -> Option<String> {
        let image = self.case.get(container, "image")?;
        let text = match function(image) {
            Some("Fn::Sub") => image["Fn::Sub"].as_str().or_else(|| image["Fn::Sub"][0].as_str()),
            Some("Fn::Join") => image["Fn::Join"][1].as_array().and_then(|parts| parts.last()?.as_str()),
            _ => image.as_str(),
        };
        text.map(str::to_owned)
    }

    /// The sensor's container: as it is, with what is asked for; or a fresh one.
    fn sensor(
        &self,
        present: Option<&Value>,
        chosen: &[usize],
        options: &Options,
        notes: &mut Vec<Note>,
    ) -> Value {
        let key = |camel: &str| self.case.key(camel);
        let mut sensor = present.and_then(Value::as_object).cloned().unwrap_or_default();
        let mut set = |camel: &str, value: Value| drop(sensor.insert(key(camel), value));
        if present.is_none() {
            set("name", json!(NAME));
            set("image", json!(DEFAULT));
            set("essential", json!(false));
            set("command", json!(["-o", "jsonl"]));
            set(
                "healthCheck",
                json!({key("command"): ["CMD", COLLECTOR, "health"], key("interval"): CHECK_INTERVAL_S}),
            );
            let log = self.log(chosen);
            if let Some((log, _)) = &log {
                set("logConfiguration", log.clone());
            }
            let has_memory = self.fields.is_none_or(|fields| self.case.get(fields, "memory").is_some());
            if !has_memory {
                set("memoryReservation", json!(MEMORY_RESERVATION_MIB));
            }
            notes.extend(self.notes_on_fresh(options, log.map(|(_, from)| from)));
        }
        if let Some(image) = &options.image {
            set("image", json!(image));
        }
        if !options.outputs.is_empty() {
            let command = options.outputs.iter().flat_map(|output| ["-o", output]);
            set("command", command.collect());
        }
        if options.is_essential {
            set("essential", json!(true));
        }
        if let Some(reservation) = options.memory_reservation_mib {
            set("memoryReservation", json!(reservation));
        }
        let sensor = Value::Object(sensor);
        if let Some(present) = present
            && *present != sensor
        {
            notes.push(Note::Done(format!("changes the sensor's container to {}", sensor[&key("image")])));
        }
        sensor
    }

    fn notes_on_fresh(&self, options: &Options, log: Option<String>) -> Vec<Note> {
        let mut notes = Vec::new();
        let image = options.image.as_deref().unwrap_or(DEFAULT);
        let log_of =
            log.as_ref().map_or(String::new(), |from| format!(", with the log configuration of {from}"));
        notes.push(Note::Done(format!("adds container '{NAME}' of image '{image}'{log_of}")));
        if options.image.is_none() {
            notes.push(Note::Warning(format!(
                "image '{DEFAULT}' names no registry; push the image to one and give its name by --image"
            )));
        }
        if log.is_none() {
            notes.push(Note::Warning(format!(
                "no container has a log configuration to copy, so what the sensor writes to stdout may go nowhere; give container \
                 '{NAME}' one"
            )));
        }
        let has_memory =
            |it: &Value| ["memory", "memoryReservation"].iter().any(|key| self.case.get(it, key).is_some());
        if self.fields.is_none()
            && options.memory_reservation_mib.is_none()
            && self.containers.iter().all(has_memory)
        {
            notes.push(Note::Warning(
                "a list does not say whether the task has memory of its own; if it has none, give --memory-reservation MIB".into(),
            ));
        }
        notes
    }

    /// The log configuration to copy, and whose it is: a chosen container's before any other's.
    fn log(&self, chosen: &[usize]) -> Option<(Value, String)> {
        let others = (0..self.containers.len()).filter(|index| !chosen.contains(index));
        let mut from = chosen.iter().copied().chain(others);
        from.find_map(|index| {
            let mut log = self.case.get(&self.containers[index], "logConfiguration")?.clone();
            if let Some(options) = log.get_mut(self.case.key("options")).and_then(Value::as_object_mut) {
                options.retain(|name, _| !LOG_OPTIONS_OF_APPLICATIONS.contains(&name.as_str()));
            }
            Some((log, self.label(index)))
        })
    }

    /// Puts into an application what leads to the sensor.
    fn prepare(
        &self,
        container: &mut Map<String, Value>,
        sensor: &Value,
        options: &Options,
    ) -> Result<(), Error> {
        let case = self.case;
        let key = |camel: &str| case.key(camel);
        let before = Value::Object(container.clone());
        for mount in case.list(&before, "mountPoints")? {
            if case.text(mount, "containerPath").is_some_and(|path| path.trim_end_matches('/') == FOLDER) {
                return Err(Error::Refused(format!(
                    "something else is mounted at {FOLDER}; mount it elsewhere"
                )));
            }
        }
        for variable in ["LD_PRELOAD", "GLASSBOX_SOCKET"] {
            if case.get(&before, "secrets").is_some_and(|secrets| self.sets(secrets, variable)) {
                return Err(Error::Refused(format!(
                    "{variable} comes from its secrets, and cannot be added to; write it into its environment, or leave the \
                     container out by --exclude"
                )));
            }
        }
        let entries = case.list_mut(container, "environment")?;
        self.set_preload(entries)?;
        let socket = json!(SOCKET);
        let mut has_socket = false;
        for entry in entries.iter_mut().filter(|entry| case.text(entry, "name") == Some("GLASSBOX_SOCKET")) {
            has_socket = true;
            entry[&key("value")] = socket.clone();
        }
        if !has_socket {
            entries.push(json!({key("name"): "GLASSBOX_SOCKET", key("value"): socket}));
        }
        let volumes = case.list_mut(container, "volumesFrom")?;
        if !volumes.iter().any(|volume| case.get(volume, "sourceContainer") == Some(sensor)) {
            volumes.push(json!({key("sourceContainer"): sensor, key("readOnly"): true}));
        }
        let condition = options.condition.map(Condition::name);
        let dependencies = case.list_mut(container, "dependsOn")?;
        match dependencies.iter_mut().find(|it| case.get(it, "containerName") == Some(sensor)) {
            Some(present) => {
                if let Some(condition) = condition {
                    present[&key("condition")] = json!(condition);
                }
            }
            None => {
                let condition = condition.unwrap_or(Condition::Healthy.name());
                dependencies.push(json!({key("containerName"): sensor, key("condition"): condition}));
            }
        }
        Ok(())
    }

    /// Whether one of these secrets, or a function among them, may set a variable.
    fn sets(&self, secrets: &Value, variable: &str) -> bool {
        let sets = |secret: &Value| match self.case.is_function(secret) {
            true => any_text(secret, &|text| text == variable),
            false => self.case.text(secret, "name") == Some(variable),
        };
        secrets.as_array().map_or_else(|| sets(secrets), |secrets| secrets.iter().any(sets))
    }

    fn set_preload(&self, entries: &mut Vec<Value>) -> Result<(), Error> {
        let (name, value) = (self.case.key("name"), self.case.key("value"));
        let by_hand = format!("append ':{SENSOR}' to it by hand, or leave the container out by --exclude");
        let mut has_preload = false;
        for (index, entry) in entries.iter_mut().enumerate() {
            if self.case.is_function(entry) {
                if any_text(entry, &|text| text == "LD_PRELOAD") && !names_sensor(entry) {
                    return Err(Error::Refused(format!("a function decides on its LD_PRELOAD; {by_hand}")));
                }
                has_preload |= names_sensor(entry);
                continue;
            }
            let Some(entry) = entry.as_object_mut() else {
                return Err(Error::Malformed(format!(
                    "element {index} of '{}' is {}, not an object; correct it",
                    self.case.key("environment"),
                    kind(entry)
                )));
            };
            if entry.get(&name).and_then(Value::as_str) != Some("LD_PRELOAD") {
                continue;
            }
            has_preload = true;
            let present = entry.entry(value.clone()).or_insert(Value::Null);
            match present {
                Value::Null => *present = json!(SENSOR),
                Value::String(text) => *text = preload::appended(text, SENSOR),
                other if self.case.is_function(other) => {
                    if !names_sensor(other) {
                        return Err(Error::Refused(format!(
                            "its LD_PRELOAD is given by {}; {by_hand}",
                            function(other).unwrap_or("a function")
                        )));
                    }
                }
                other => {
                    return Err(Error::Malformed(format!(
                        "its LD_PRELOAD is {}, not a text; correct it",
                        kind(other)
                    )));
                }
            }
        }
        if !has_preload {
            entries.push(json!({name: "LD_PRELOAD", value: SENSOR}));
        }
        Ok(())
    }

    /// Whether a variable of a file may be hidden: what `environment` says goes before it.
    fn is_overriding_files(&self, container: &Value) -> bool {
        let files = self.case.get(container, "environmentFiles");
        let has_files = files.is_some_and(|files| files.as_array().is_none_or(|files| !files.is_empty()));
        has_files && self.environment(container, "LD_PRELOAD").all(|value| value == SENSOR)
    }

    /// A container whose `dependsOn` names nobody, with the name; none where a function may give that name to one.
    fn unknown_dependency(&self) -> Option<(String, String)> {
        let names = self.names();
        if names.len() != self.containers.len() {
            return None;
        }
        self.containers.iter().enumerate().find_map(|(index, container)| {
            let dependencies = self.case.get(container, "dependsOn")?.as_array()?;
            let mut named = dependencies.iter().filter_map(|it| self.case.text(it, "containerName"));
            let unknown = named.find(|name| !names.iter().any(|known| known == name))?;
            Some((self.label(index), unknown.to_owned()))
        })
    }

    /// The names of containers that wait for each other in a circle.
    ///
    /// A container waits for those in its `dependsOn` and `volumesFrom`, and for the log router that it logs through.
    fn circle(&self) -> Option<Vec<String>> {
        let case = self.case;
        let name = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let router = self.containers.iter().find(|it| case.get(it, "firelensConfiguration").is_some());
        let mut waits: HashMap<String, Vec<String>> = HashMap::new();
        for container in self.containers {
            let Some(own) = case.get(container, "name").map(name) else { continue };
            let mut of = Vec::new();
            for (list, field) in [("dependsOn", "containerName"), ("volumesFrom", "sourceContainer")] {
                let list = case.get(container, list).and_then(Value::as_array).map(Vec::as_slice);
                of.extend(list.unwrap_or_default().iter().filter_map(|it| case.get(it, field)).map(name));
            }
            let driver = case.get(container, "logConfiguration").and_then(|log| case.text(log, "logDriver"));
            if driver == Some("awsfirelens") {
                of.extend(router.and_then(|router| case.get(router, "name")).map(name));
            }
            waits.entry(own).or_default().extend(of);
        }
        // Who waits for nobody is taken out, until only circles and those that wait for them are left.
        loop {
            let left = waits.len();
            let free: Vec<String> = waits
                .iter()
                .filter(|(_, of)| !of.iter().any(|name| waits.contains_key(name)))
                .map(|(name, _)| name.clone())
                .collect();
            for name in free {
                waits.remove(&name);
            }
            if waits.len() == left {
                break;
            }
        }
        let mut path = vec![waits.keys().min()?.clone()];
        loop {
            let of = waits.get(path.last()?)?;
            let next = of.iter().find(|name| waits.contains_key(*name))?.clone();
            if let Some(begin) = path.iter().position(|name| *name == next) {
                path.drain(..begin);
                path.push(next);
                return Some(path);
            }
            path.push(next);
        }
    }
}

impl Condition {
    fn name(self) -> &'static str {
        match self {
            Self::Healthy => "HEALTHY",
            Self::Start => "START",
        }
    }
}

/// Whether the sensor is named anywhere in a value of `LD_PRELOAD`.
fn names_sensor(value: &Value) -> bool {
    any_text(value, &|text| preload::names(text).any(|name| name == SENSOR))
}

/// Whether any text in a value is as wished.
fn any_text(value: &Value, is_wished: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => is_wished(text),
        Value::Array(list) => list.iter().any(|value| any_text(value, is_wished)),
        Value::Object(map) => map.values().any(|value| any_text(value, is_wished)),
        _ => false,
    }
}
