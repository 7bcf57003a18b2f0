//! A task definition as the patch reads it: where its containers have their names, variables and images.

use serde_json::Value;

use super::case::{Case, function, kind};
use crate::image::{COLLECTOR_PATH, SENSOR_PATH};
use crate::{Error, preload};

/// The name of the sensor's container, unless the task has one under another name.
pub const NAME: &str = "glassbox";

/// A task definition that is only read.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    pub case: Case,
    /// All its fields; `None` if only the containers are known.
    pub fields: Option<&'a Value>,
    pub containers: &'a [Value],
}

impl Task<'_> {
    /// The names of the containers; those that a function gives are left out.
    pub fn names(&self) -> Vec<String> {
        self.containers.iter().filter_map(|it| self.case.text(it, "name")).map(str::to_owned).collect()
    }

    /// Whether the containers are for Windows.
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

    /// Checks that every container is an object with a name, or is given by a function.
    ///
    /// # Errors
    /// The first container of another shape, or a task without containers.
    pub fn check_shape(&self) -> Result<(), Error> {
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

    /// The name of a container in messages.
    pub fn label(&self, index: usize) -> String {
        let name = self.containers.get(index).and_then(|container| self.case.text(container, "name"));
        name.map_or_else(|| format!("container {}", index + 1), |name| format!("container '{name}'"))
    }

    /// Finds the sensor's container by its health check, since it may have been renamed.
    ///
    /// # Errors
    /// Two of them, or another container of the sensor's name.
    pub fn ours(&self) -> Result<Option<usize>, Error> {
        let is_ours = |container: &Value| {
            let check =
                self.case.get(container, "healthCheck").and_then(|check| self.case.get(check, "command"));
            check.is_some_and(|command| any_text(command, &|text| text.contains(COLLECTOR_PATH)))
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
                "container '{NAME}' is not the sensor's (its health check is not {COLLECTOR_PATH}); rename it"
            )));
        }
        Ok(first)
    }

    /// The values of an environment variable of a container.
    pub fn environment<'c>(
        &self,
        container: &'c Value,
        name: &'static str,
    ) -> impl Iterator<Item = &'c Value> {
        let case = self.case;
        let entries = case.get(container, "environment").and_then(Value::as_array).map(Vec::as_slice);
        let entries = entries.unwrap_or_default().iter();
        entries
            .filter(move |entry| case.text(entry, "name") == Some(name))
            .filter_map(move |entry| case.get(entry, "value"))
    }

    /// The image's name; if a function builds it, the end of the name.
    pub fn image(&self, container: &Value) -> Option<String> {
        let image = self.case.get(container, "image")?;
        let text = match function(image) {
            Some("Fn::Sub") => image["Fn::Sub"].as_str().or_else(|| image["Fn::Sub"][0].as_str()),
            Some("Fn::Join") => image["Fn::Join"][1].as_array().and_then(|parts| parts.last()?.as_str()),
            _ => image.as_str(),
        };
        text.map(str::to_owned)
    }
}

/// Whether a value of `LD_PRELOAD` names the sensor, also within a function.
pub fn names_sensor(value: &Value) -> bool {
    any_text(value, &|text| preload::names(text).any(|name| name == SENSOR_PATH))
}

/// Whether any text in a value satisfies `is_wished`; the names of members do not count.
pub fn any_text(value: &Value, is_wished: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => is_wished(text),
        Value::Array(list) => list.iter().any(|value| any_text(value, is_wished)),
        Value::Object(map) => map.values().any(|value| any_text(value, is_wished)),
        _ => false,
    }
}

/// The error that nothing can be put into containers of Windows.
pub fn windows() -> Error {
    Error::Refused("its containers are Windows', where nothing can be preloaded; leave this file out".into())
}
