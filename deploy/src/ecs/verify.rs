//! Verifies that ECS would register a task definition that has the sensor, and that its containers can start.

use std::collections::HashMap;

use serde_json::Value;

use super::task::Task;
use crate::Error;

/// The quota of ECS for containers in a task definition; it cannot be raised.
const CONTAINERS_MAX: usize = 10;

impl Task<'_> {
    /// Checks the number of containers, and that each can wait for the containers it names.
    ///
    /// # Errors
    /// [`Error::Refused`] for the first rule of ECS that the task breaks.
    pub fn verify(&self) -> Result<(), Error> {
        if self.containers.len() > CONTAINERS_MAX {
            return Err(Error::Refused(format!(
                "with the sensor's it has {} containers, and a task definition may have {CONTAINERS_MAX}; move one to another task",
                self.containers.len()
            )));
        }
        if let Some((label, name)) = self.unknown_dependency() {
            // The API's words: "Cannot depend on container + 'NAME' because it does not exist".
            return Err(Error::Refused(format!(
                "{label} depends on '{name}', which is not a container of the task, so registering it would fail; correct it first"
            )));
        }
        if let Some(circle) = self.circle() {
            return Err(Error::Refused(format!(
                "containers wait for each other: {}; take one of these out of dependsOn or volumesFrom",
                circle.join(" → ")
            )));
        }
        Ok(())
    }

    /// The label of a container whose `dependsOn` names no container, and that name. `None` if a function may
    /// give a container that name.
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
    /// A container waits for those in its `dependsOn` and `volumesFrom`, and for the log router that it logs
    /// through.
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
        // A container that waits for no other is taken out, until only circles and the containers that wait
        // for them are left.
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
