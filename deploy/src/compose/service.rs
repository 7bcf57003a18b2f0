//! Puts the sensor into one service of a compose file.

use serde_json::{Map, Value, json};

use crate::choice::{self, Choice, LABELS, Mark};
use crate::notify::Notify;
use crate::{Error, Note, image, preload};

/// A longer chain of `extends` is a circle.
pub const DEEPEST: usize = 32;

/// The reason of a service whose `LD_PRELOAD` has no value in the file.
const PASSED_ON: &str = "compose takes its LD_PRELOAD from the shell that starts it, and nothing can be appended to that; write \
                         LD_PRELOAD: ${LD_PRELOAD}";

/// A service, and the parts of the file that it depends on.
pub struct Service<'a> {
    pub name: &'a str,
    /// The service before the patch.
    pub before: &'a Value,
    /// All services of the file, for `extends`.
    pub all: &'a Map<String, Value>,
    /// The name of the collector's service.
    pub collector: &'a str,
    /// The volume with the sensor.
    pub volume: &'a str,
    /// What its supervisor asks of the kernel.
    pub notify: Option<&'a Notify>,
}

/// A field of the wrong type, and what it is instead.
pub type Malformed = (&'static str, &'static str);

impl Service<'_> {
    /// Whether the service gets the sensor.
    ///
    /// # Errors
    /// A label that says neither `on` nor `off`.
    pub fn choice(&self, is_opt_in: bool) -> Result<Choice, Error> {
        let by_label = self.choice_by_label(is_opt_in)?;
        let values = |name| self.variable(name).into_iter();
        let (switch, preload): (Vec<_>, Vec<_>) =
            (values("GLASSBOX").collect(), values("LD_PRELOAD").collect());
        let is_ours = |path: &str| path == image::SENSOR_PATH;
        Ok(by_label
            .and(|| choice::by_switch(switch.iter().map(String::as_str)))
            .and(|| self.choice_by_platform())
            .and(|| Choice::out_if(self.is_passed_on("LD_PRELOAD"), PASSED_ON))
            .and(|| choice::by_preload(preload.iter().map(String::as_str), is_ours))
            .and(|| self.choice_by_mounts()))
    }

    fn choice_by_label(&self, is_opt_in: bool) -> Result<Choice, Error> {
        let said = entries(&self.before["labels"]).find(|(name, _)| LABELS.contains(&name.as_str()));
        let (label, text) = match &said {
            // YAML 1.1 reads on and off as booleans.
            Some((label, text)) if text == "true" => (label.as_str(), Some("on")),
            Some((label, text)) if text == "false" => (label.as_str(), Some("off")),
            Some((label, text)) => (label.as_str(), Some(text.as_str())),
            None => (LABELS[0], None),
        };
        let choice = Mark::Label(label).choice(text, is_opt_in);
        choice.map_err(|why| Error::Refused(format!("service '{}': {why}", self.name)))
    }

    fn choice_by_platform(&self) -> Choice {
        let text = |field: &str| self.before[field].as_str().unwrap_or_default();
        let is_windows = text("platform").starts_with("windows") || !self.before["isolation"].is_null();
        Choice::out_if(is_windows, "it is for Windows")
            .and(|| Choice::out_if(text("runtime").contains("glassbox"), "its runtime puts the sensor in"))
    }

    fn choice_by_mounts(&self) -> Choice {
        let is_taken = mounts(self.before).any(|(_, target)| target == image::FOLDER)
            && our_volume(self.before, self.collector).is_none();
        Choice::out_if(is_taken, &format!("it mounts something of its own at {}", image::FOLDER))
    }

    /// The parts of the service that may not work as meant.
    pub fn warnings(&self) -> Vec<Note> {
        let has_preload = entries(&self.before["environment"]).any(|(name, _)| name == "LD_PRELOAD");
        let extends = &self.before["extends"];
        let deploy = &self.before["deploy"];
        let is_swarms = ["mode", "placement", "update_config", "endpoint_mode"];
        let all = [
            (
                !self.before["env_file"].is_null() && !has_preload,
                "its env_file is not read: an LD_PRELOAD there is replaced; set it in 'environment' and patch again",
            ),
            (
                extends["file"].is_string() && !has_preload,
                "the file that it extends is not read: an LD_PRELOAD there is replaced; set it here and patch again",
            ),
            (
                self.before["platform"].is_string()
                    && self
                        .all
                        .get(self.collector)
                        .is_none_or(|own| own["platform"] != self.before["platform"]),
                "the sensor is for the platform of the collector's image; give that service the same 'platform'",
            ),
            (
                is_swarms.iter().any(|field| !deploy[*field].is_null()),
                "a swarm ignores depends_on, and each node has its own volumes; run the collector on each node instead \
                 (docs/operations.md)",
            ),
        ];
        let is_so = all.into_iter().filter(|(is_so, _)| *is_so);
        is_so.map(|(_, what)| Note::Warning(format!("service '{}': {what}", self.name))).collect()
    }

    /// The service with the sensor.
    ///
    /// # Errors
    /// A field that does not have the type that the compose specification gives it.
    pub fn patched(&self) -> Result<Value, Malformed> {
        let mut service = self.before.clone();
        let preload = preload::appended(&self.variable("LD_PRELOAD").unwrap_or_default(), image::SENSOR_PATH);
        let socket = self.variable("GLASSBOX_SOCKET").unwrap_or_else(|| image::SOCKET_PATH.to_owned());
        set_variables(&mut service, &[("LD_PRELOAD", preload), ("GLASSBOX_SOCKET", socket)])?;
        let volumes = &service["volumes"];
        if !volumes.is_null() && !volumes.is_array() {
            return Err(("volumes", "is not a list; write '- SOURCE:TARGET' lines"));
        }
        mount(&mut service, self.collector, self.volume, ":ro");
        self.wait(&mut service)?;
        Ok(service)
    }

    /// The value of a variable, in this service or in a service of this file that it extends.
    fn variable(&self, name: &str) -> Option<String> {
        let mut service = self.before;
        for _ in 0..DEEPEST {
            // The last entry counts.
            let found = entries(&service["environment"]).filter(|(known, _)| known == name).last();
            if let Some((_, value)) = found {
                return Some(value);
            }
            let extends = &service["extends"];
            if !extends["file"].is_null() {
                return None;
            }
            service = self.all.get(extends.as_str().or(extends["service"].as_str())?)?;
        }
        None
    }

    /// Whether a variable is named without a value: compose then passes its own on.
    fn is_passed_on(&self, name: &str) -> bool {
        match &self.before["environment"] {
            Value::Object(variables) => variables.get(name).is_some_and(Value::is_null),
            Value::Array(items) => items.iter().any(|item| item == name),
            _ => false,
        }
    }

    /// Adds the collector to `depends_on`, in the form that has conditions.
    fn wait(&self, service: &mut Value) -> Result<(), Malformed> {
        let mut all = match service["depends_on"].take() {
            Value::Null => Map::new(),
            Value::Object(all) => all,
            Value::Array(names) => {
                let all = names.iter().map(|name| {
                    // The meaning of a plain name.
                    name.as_str().map(|name| (name.to_owned(), json!({"condition": "service_started"})))
                });
                all.collect::<Option<_>>()
                    .ok_or(("depends_on", "holds something that is not a service's name"))?
            }
            _ => return Err(("depends_on", "is neither a list nor a mapping; name services in it")),
        };
        // Without the collector the service starts without the sensor, as it did before the patch.
        let condition = json!({"condition": "service_healthy", "required": false});
        all.entry(self.collector).or_insert(condition);
        service["depends_on"] = Value::Object(all);
        Ok(())
    }
}

/// The names and values of labels or variables, in the mapping or the list form.
fn entries(of: &Value) -> impl Iterator<Item = (String, String)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let all: Vec<_> = match of {
        Value::Object(members) => members
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), text(value)))
            .collect(),
        Value::Array(items) => items
            .iter()
            .filter_map(|item| item.as_str()?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        _ => Vec::new(),
    };
    all.into_iter()
}

/// Sets variables in the form that the file uses.
fn set_variables(service: &mut Value, variables: &[(&str, String)]) -> Result<(), Malformed> {
    let environment = &mut service["environment"];
    if environment.is_null() {
        *environment = json!({});
    }
    match environment {
        Value::Object(members) => {
            for (name, value) in variables {
                members.insert((*name).to_owned(), json!(value));
            }
        }
        Value::Array(items) => {
            if items.iter().any(|item| !item.is_string()) {
                return Err(("environment", "holds something that is not text; write '- NAME=VALUE'"));
            }
            for (name, value) in variables {
                let start = format!("{name}=");
                let entry = json!(format!("{start}{value}"));
                let is_it = |item: &Value| item.as_str().is_some_and(|item| item.starts_with(&start));
                match items.iter().rposition(is_it) {
                    Some(place) => items[place] = entry,
                    None => items.push(entry),
                }
            }
        }
        _ => return Err(("environment", "is neither a mapping nor a list; write NAME: VALUE lines")),
    }
    Ok(())
}

/// Sets a variable of the collector's service, or takes it out. A field of another type stays as it is.
pub fn set_variable(service: &mut Value, name: &str, value: Option<String>) {
    if let Some(value) = value {
        let _ = set_variables(service, &[(name, value)]);
        return;
    }
    let start = format!("{name}=");
    let is_empty = match &mut service["environment"] {
        Value::Object(members) => members.shift_remove(name).is_some() && members.is_empty(),
        Value::Array(items) => {
            items.retain(|item| !item.as_str().is_some_and(|item| item.starts_with(&start)));
            items.is_empty()
        }
        _ => true,
    };
    if is_empty {
        service.as_object_mut().map(|service| service.shift_remove("environment"));
    }
}

/// Mounts the sensor's volume, in place of an older one.
pub fn mount(service: &mut Value, collector: &str, volume: &str, options: &str) {
    let is_ours = our_volume(service, collector).is_some();
    let ours = json!(format!("{volume}:{}{options}", image::FOLDER));
    let volumes = &mut service["volumes"];
    if volumes.is_null() {
        *volumes = json!([]);
    }
    let Some(items) = volumes.as_array_mut() else { return };
    if !is_ours {
        items.push(ours);
        return;
    }
    for item in items {
        match mounted(item) {
            Some((source, target)) if target == image::FOLDER && source != volume => match item.is_object() {
                true => item["source"] = json!(volume),
                false => *item = ours.clone(),
            },
            _ => {}
        }
    }
}

/// The volume that a service mounts at the sensor's folder, if its name begins with that of the collector's
/// service.
pub fn our_volume<'a>(service: &'a Value, collector: &str) -> Option<&'a str> {
    let (source, _) = mounts(service).find(|(_, target)| *target == image::FOLDER)?;
    let rest = source.strip_prefix(collector)?;
    (rest.is_empty() || rest.starts_with('-')).then_some(source)
}

/// The source and target of each mount.
fn mounts(service: &Value) -> impl Iterator<Item = (&str, &str)> {
    service["volumes"].as_array().into_iter().flatten().filter_map(mounted)
}

/// Reads `SOURCE:TARGET[:OPTIONS]`, or a mapping of these.
fn mounted(item: &Value) -> Option<(&str, &str)> {
    let (source, target) = match item {
        Value::String(text) => {
            let mut parts = text.split(':');
            match (parts.next()?, parts.next()) {
                (source, Some(target)) => (source, target),
                (target, None) => ("", target),
            }
        }
        item => (item["source"].as_str().unwrap_or_default(), item["target"].as_str()?),
    };
    Some((source, target.trim_end_matches('/')))
}
