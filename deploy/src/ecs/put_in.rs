//! Puts the sensor's container into a task definition, and into each application the fields that lead to it.

use serde_json::{Map, Value, json};

use super::case::{function, kind};
use super::request::{Condition, Request};
use super::task::{NAME, Task, any_text, names_sensor};
use crate::config::{self, Config};
use crate::image::{COLLECTOR_PATH, DEFAULT_IMAGE, FOLDER, SENSOR_PATH, SOCKET_PATH};
use crate::{Error, Note, preload};

/// The smallest interval that ECS takes, in place of its default of 30 s: the applications wait for the first
/// check.
const CHECK_INTERVAL_S: u32 = 5;

/// The reservation in a task that has no memory of its own, where every container needs one: three times what
/// a flood of events takes (docs/performance.md).
const MEMORY_RESERVATION_MIB: u32 = 64;

/// Log options that say where an application's own events begin. They would split the collector's lines or
/// join them.
const LOG_OPTIONS_OF_APPLICATIONS: [&str; 2] = ["awslogs-datetime-format", "awslogs-multiline-pattern"];

impl Task<'_> {
    /// Gives the containers with the sensor's among them: at `ours` if there is one already, else at the end.
    /// The containers at `chosen` are prepared.
    ///
    /// # Errors
    /// Fields of a wrong type, and an application that cannot be patched safely.
    pub fn put_in(
        &self,
        ours: Option<usize>,
        chosen: &[usize],
        request: &Request,
        notes: &mut Vec<Note>,
    ) -> Result<Vec<Value>, Error> {
        let mut containers = self.containers.to_vec();
        let sensor = self.sensor(ours.map(|index| &self.containers[index]), chosen, request, notes);
        let name = sensor[&self.case.key("name")].clone();
        match ours {
            Some(index) => containers[index] = sensor,
            None => containers.push(sensor),
        }
        for index in chosen.iter().copied() {
            let label = self.label(index);
            let within = |why: String| format!("{label}: {why}");
            let container = containers[index]
                .as_object_mut()
                .ok_or_else(|| Error::Malformed(within("it is not an object".into())))?;
            self.prepare(container, &name, request).map_err(|error| error.within(within))?;
            let is_changed = Some(&*container) != self.containers[index].as_object();
            let supervision =
                request.notify.as_ref().and_then(|notify| self.supervise(container, &label, notify));
            if is_changed {
                notes.push(Note::Done(format!("puts the sensor into {label}")));
            }
            notes.extend(supervision);
            if self.is_overriding_files(&containers[index]) {
                notes.push(Note::Warning(within(
                    "an LD_PRELOAD in its environmentFiles does not count beside the one in its environment; name its \
                     libraries there too"
                        .into(),
                )));
            }
        }
        Ok(containers)
    }

    /// The sensor's container: the present one, changed as requested, or a new one.
    fn sensor(
        &self,
        present: Option<&Value>,
        chosen: &[usize],
        request: &Request,
        notes: &mut Vec<Note>,
    ) -> Value {
        let key = |camel: &str| self.case.key(camel);
        let mut sensor = present.and_then(Value::as_object).cloned().unwrap_or_default();
        let mut set = |camel: &str, value: Value| drop(sensor.insert(key(camel), value));
        if present.is_none() {
            set("name", json!(NAME));
            set("image", json!(DEFAULT_IMAGE));
            set("essential", json!(false));
            set("command", json!(["-o", "jsonl"]));
            set(
                "healthCheck",
                json!({key("command"): ["CMD", COLLECTOR_PATH, "health"], key("interval"): CHECK_INTERVAL_S}),
            );
            let log = self.log(chosen);
            if let Some((log, _)) = &log {
                set("logConfiguration", log.clone());
            }
            let has_memory = self.fields.is_none_or(|fields| self.case.get(fields, "memory").is_some());
            if !has_memory {
                set("memoryReservation", json!(MEMORY_RESERVATION_MIB));
            }
            notes.extend(self.notes_on_fresh(request, log.map(|(_, from)| from)));
        }
        if let Some(image) = &request.image {
            set("image", json!(image));
        }
        if !request.outputs.is_empty() {
            let command = request.outputs.iter().flat_map(|output| ["-o", output]);
            set("command", command.collect());
        }
        if request.is_essential {
            set("essential", json!(true));
        }
        if let Some(config) = &request.config {
            self.configure(&mut sensor, config);
        }
        let mut set = |camel: &str, value: Value| drop(sensor.insert(key(camel), value));
        if let Some(reservation) = request.memory_reservation_mib {
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

    /// Puts the configuration into the sensor's container, or takes it out.
    fn configure(&self, sensor: &mut Map<String, Value>, config: &Config) {
        let key = |camel: &str| self.case.key(camel);
        if let Some(words) = sensor.get(&key("command")).and_then(Value::as_array)
            && let Some(words) =
                words.iter().map(|word| word.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        {
            sensor.insert(key("command"), json!(config::options(&words, Some(config))));
        }
        let entries = sensor.entry(key("environment")).or_insert_with(|| json!([]));
        let Some(entries) = entries.as_array_mut() else { return };
        entries.retain(|entry| self.case.text(entry, "name") != Some(config::VARIABLE));
        if !config.is_none() {
            entries.push(json!({key("name"): config::VARIABLE, key("value"): config.text}));
        }
        if entries.is_empty() {
            sensor.shift_remove(&key("environment"));
        }
    }

    fn notes_on_fresh(&self, request: &Request, log: Option<String>) -> Vec<Note> {
        let mut notes = Vec::new();
        let image = request.image.as_deref().unwrap_or(DEFAULT_IMAGE);
        let log_of =
            log.as_ref().map_or(String::new(), |from| format!(", with the log configuration of {from}"));
        notes.push(Note::Done(format!("adds container '{NAME}' of image '{image}'{log_of}")));
        if request.image.is_none() {
            notes.push(Note::Warning(format!(
                "image '{DEFAULT_IMAGE}' names no registry; push the image to one and give its name with --image"
            )));
        }
        if log.is_none() {
            notes.push(Note::Warning(format!(
                "no container has a log configuration to copy, so the collector's output to stdout may be lost; give container \
                 '{NAME}' one"
            )));
        }
        let has_memory =
            |it: &Value| ["memory", "memoryReservation"].iter().any(|key| self.case.get(it, key).is_some());
        if self.fields.is_none()
            && request.memory_reservation_mib.is_none()
            && self.containers.iter().all(has_memory)
        {
            notes.push(Note::Warning(
                "a list does not say whether the task has memory of its own; if it has none, give --memory-reservation MIB".into(),
            ));
        }
        notes
    }

    /// The log configuration to copy, and the name of its container. A chosen container's is preferred.
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

    /// Puts the environment, `volumesFrom` and `dependsOn` into an application.
    fn prepare(
        &self,
        container: &mut Map<String, Value>,
        sensor: &Value,
        request: &Request,
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
                     container out with --exclude"
                )));
            }
        }
        let entries = case.list_mut(container, "environment")?;
        self.set_preload(entries)?;
        let socket = json!(SOCKET_PATH);
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
        let condition = request.condition.map(Condition::name);
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

    /// Whether a secret, or a function among the secrets, may set this variable.
    fn sets(&self, secrets: &Value, variable: &str) -> bool {
        let sets = |secret: &Value| match self.case.is_function(secret) {
            true => any_text(secret, &|text| text == variable),
            false => self.case.text(secret, "name") == Some(variable),
        };
        secrets.as_array().map_or_else(|| sets(secrets), |secrets| secrets.iter().any(sets))
    }

    fn set_preload(&self, entries: &mut Vec<Value>) -> Result<(), Error> {
        let (name, value) = (self.case.key("name"), self.case.key("value"));
        let by_hand =
            format!("append ':{SENSOR_PATH}' to it by hand, or leave the container out with --exclude");
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
                Value::Null => *present = json!(SENSOR_PATH),
                Value::String(text) => *text = preload::appended(text, SENSOR_PATH),
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
            entries.push(json!({name: "LD_PRELOAD", value: SENSOR_PATH}));
        }
        Ok(())
    }

    /// Whether the environment may hide a variable of the container's `environmentFiles`, which it overrides.
    fn is_overriding_files(&self, container: &Value) -> bool {
        let files = self.case.get(container, "environmentFiles");
        let has_files = files.is_some_and(|files| files.as_array().is_none_or(|files| !files.is_empty()));
        has_files && self.environment(container, "LD_PRELOAD").all(|value| value == SENSOR_PATH)
    }
}
