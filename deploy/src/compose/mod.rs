//! Puts the sensor into a compose file.
//!
//! The patch adds a service of the sensor's image, which collects. The engine fills that service's volume
//! with the files of the same folder in the image, and the other services mount the volume. They mount it
//! read-only: loading a library and connecting to a socket need no write access. They wait until the
//! collector listens, and start without it if it does not.
//!
//! An engine fills an empty volume only, and keeps it: with a newer image, the old files would stay for ever.
//! So the volume has the image's tag in its name.
//!
//! [`service`] changes one service, [`command`] the way that it is started; this file chooses the services
//! and adds the collector.

mod command;
mod service;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use self::service::Service;
use crate::choice::Choice;
use crate::config::{self, Config};
use crate::notify::Notify;
use crate::yaml::Documents;
use crate::{Error, Note, Patched, hint, image};

/// The options of a patch of a compose file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// The image that brings the sensor and the collector. If it is `None`, the image in the file stays; a
    /// new service gets the default.
    pub image: Option<String>,
    /// The name of the collector's service.
    pub name: String,
    /// The services that get the sensor; all, if the list is empty.
    pub services: Vec<String>,
    /// Whether only services whose label says `on` get it.
    pub is_opt_in: bool,
    /// The options of `glassbox collect`. If the list is empty, the options in the file stay; a new service
    /// gets the default.
    pub options: Vec<String>,
    /// The collector's configuration. If it is `None`, one that is there already stays.
    pub config: Option<Config>,
    /// What `glassbox exec` asks of the kernel for each service. If it is `None`, a supervisor that is there
    /// stays as it is.
    pub notify: Option<Notify>,
}

/// The default name of the collector's service.
pub const DEFAULT_NAME: &str = "glassbox";

/// Checks a name for a service and a volume.
///
/// # Errors
/// A message that says how a name is written.
pub fn checked_name(name: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(is_plain) {
        return Err("a service's name is of letters, digits and ._-".into());
    }
    Ok(name.to_owned())
}

/// Patches a compose file.
///
/// # Errors
/// A text that is not a compose file, by line; and a file that cannot be patched safely.
pub fn patch(text: &str, request: &Request) -> Result<Patched, Error> {
    let documents = Documents::read(text)
        .map_err(|error| error.within(|why| format!("{why}{}", hint::template(text))))?;
    let file = File::of(&documents)?;
    let mut notes = Vec::new();
    let sensor = Sensor::of(&file, request, &mut notes)?;
    let mut after = file.before.clone();
    let Some(mut replaced) = file.patch_services(&sensor, request, &mut after, &mut notes)? else {
        notes
            .push(Note::Warning("no service gets the sensor; choose one with --service or its label".into()));
        return Ok(Patched { text: text.to_owned(), notes });
    };
    let collector = collector(sensor.present, sensor.image, &sensor.volume, request);
    if sensor.present != Some(&collector) {
        notes.push(Note::Done(format!(
            "service '{}': collects, from the image '{}'",
            request.name, sensor.image
        )));
        let old = sensor.present.and_then(|present| service::our_volume(present, &request.name));
        replaced.extend(old.filter(|old| *old != sensor.volume).map(str::to_owned));
        after["services"][request.name.as_str()] = collector;
    }
    let volumes = with_volume(file.volumes, &sensor.volume, &replaced);
    if file.before.get("volumes") != Some(&volumes) {
        after["volumes"] = volumes;
    }
    Ok(Patched { text: documents.edited(&[after])?, notes })
}

/// A compose file whose parts have the types that the specification gives them.
struct File<'a> {
    documents: &'a Documents<'a>,
    before: &'a Value,
    services: &'a Map<String, Value>,
    /// Null if the file has none.
    volumes: &'a Value,
}

impl<'a> File<'a> {
    fn of(documents: &'a Documents<'a>) -> Result<Self, Error> {
        let before = match documents.values() {
            [] => &Value::Null,
            [before] => before,
            _ => {
                let what = "it has several documents, and a compose file is one; split it";
                return Err(Error::Malformed(what.into()));
            }
        };
        let at = |path: &[&str], what: &str| malformed(documents, path, what);
        let Some(services) = before.get("services") else {
            return Err(Error::Malformed(
                "it has no 'services', so it is not a compose file; give the path of one".into(),
            ));
        };
        let services =
            services.as_object().ok_or_else(|| at(&["services"], "is not a mapping; name services in it"))?;
        for (name, service) in services {
            if !service.is_object() {
                return Err(at(&["services", name], "is not a mapping; describe the service in it"));
            }
        }
        let volumes = before.get("volumes").unwrap_or(&Value::Null);
        if !volumes.is_object() && !volumes.is_null() {
            return Err(at(&["volumes"], "is not a mapping; name volumes in it"));
        }
        Ok(Self { documents, before, services, volumes })
    }

    /// Puts the sensor into the chosen services. Gives the older volumes that the sensor's volume replaces,
    /// or `None` if no service is chosen.
    fn patch_services(
        &self,
        sensor: &Sensor,
        request: &Request,
        after: &mut Value,
        notes: &mut Vec<Note>,
    ) -> Result<Option<BTreeSet<String>>, Error> {
        let mut replaced = BTreeSet::new();
        let (mut has_any, mut refused) = (false, Vec::new());
        for (name, before) in chosen(self.services, request)? {
            let collector = request.name.as_str();
            let notify = request.notify.as_ref();
            let service =
                Service { name, before, all: self.services, collector, volume: &sensor.volume, notify };
            if let Choice::Out(why) = service.choice(request.is_opt_in)? {
                notes.push(Note::Skipped(format!("service '{name}': {why}")));
                continue;
            }
            let entry_point = match service.entry_point() {
                Ok(entry_point) => entry_point,
                Err(why) => {
                    refused.push(format!("service '{name}': {why}"));
                    continue;
                }
            };
            has_any = true;
            let old = service::our_volume(before, collector).filter(|old| *old != sensor.volume);
            replaced.extend(old.map(str::to_owned));
            notes.extend(service.warnings());
            let mut changed = service
                .patched()
                .map_err(|(field, what)| malformed(self.documents, &["services", name, field], what))?;
            if changed != *before {
                notes.push(Note::Done(format!(
                    "service '{name}': preloads the sensor, and waits for '{collector}'"
                )));
            }
            if let Some(entry_point) = entry_point {
                changed["entrypoint"] = entry_point;
                let how = match notify.and_then(|notify| notify.level.as_ref()) {
                    Some(level) => format!("by glassbox exec --notify {level}"),
                    None => "without glassbox exec --notify".to_owned(),
                };
                notes.push(Note::Done(format!("service '{name}': starts {how}")));
            }
            after["services"][name.as_str()] = changed;
        }
        if !has_any && !refused.is_empty() {
            return Err(Error::Refused(refused.join("; ")));
        }
        notes.extend(refused.into_iter().map(Note::Skipped));
        Ok(has_any.then_some(replaced))
    }
}

/// The collector's service as it is now, and its image and volume after the patch.
struct Sensor<'a> {
    present: Option<&'a Value>,
    image: &'a str,
    volume: String,
}

impl<'a> Sensor<'a> {
    /// Decides on the image and the volume.
    ///
    /// # Errors
    /// Another service that has the collector's name.
    fn of(file: &File<'a>, request: &'a Request, notes: &mut Vec<Note>) -> Result<Self, Error> {
        let present = file.services.get(&request.name);
        let own_volume = present.and_then(|present| service::our_volume(present, &request.name));
        if present.is_some() && own_volume.is_none() {
            return Err(Error::Refused(format!(
                "a service is called '{0}', and mounts no volume {0}… at {1}, so it is not the sensor's; give the \
                 sensor's another name with --name",
                request.name,
                image::FOLDER
            )));
        }
        if file.before.get("include").is_some() {
            notes.push(Note::Skipped("the files of 'include'; patch them, too".into()));
        }
        let image = request.image.as_deref().or(present.and_then(|present| present["image"].as_str()));
        let image = image.unwrap_or(image::DEFAULT_IMAGE);
        // The volume stays, unless it holds the files of another image.
        let is_moved = request.image.is_some() && present.is_some_and(|present| present["image"] != image);
        let volume = match own_volume.filter(|_| !is_moved) {
            Some(volume) => volume.to_owned(),
            None => volume_of(&request.name, image),
        };
        if tag(image).is_none_or(|tag| tag == "latest") {
            notes.push(Note::Warning(format!(
                "'{image}' may be another image tomorrow, and the volume keeps today's files; name a version"
            )));
        }
        Ok(Self { present, image, volume })
    }
}

/// An error at a member of the file.
fn malformed(documents: &Documents, path: &[&str], what: &str) -> Error {
    let escaped = path.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1")));
    let line = documents.line(0, &escaped.collect::<String>());
    Error::Malformed(format!("line {line}: {} {what}", path.join(".")))
}

/// The requested services, without the collector's.
fn chosen<'a>(
    services: &'a Map<String, Value>,
    request: &'a Request,
) -> Result<Vec<(&'a String, &'a Value)>, Error> {
    for name in &request.services {
        if !services.contains_key(name) {
            let all: Vec<&str> = services.keys().map(String::as_str).collect();
            return Err(Error::Refused(format!(
                "no service is called '{name}'; there are {}",
                all.join(", ")
            )));
        }
    }
    let is_chosen = |name: &String| request.services.is_empty() || request.services.contains(name);
    Ok(services.iter().filter(|(name, _)| is_chosen(name) && **name != request.name).collect())
}

/// The collector's service: the present one, changed as requested, or a new one.
fn collector(present: Option<&Value>, image: &str, volume: &str, request: &Request) -> Value {
    let default: Vec<String> = config::options(&config::DEFAULT.map(str::to_owned), request.config.as_ref());
    let mut service = match present {
        Some(present) => {
            let mut service = present.clone();
            service::mount(&mut service, &request.name, volume, "");
            service
        }
        None => {
            let options = if request.options.is_empty() { &default } else { &request.options };
            let mut service = json!({
                "image": image,
                "command": options,
                "volumes": [format!("{volume}:{}", image::FOLDER)],
                "healthcheck": {
                    "test": ["CMD", image::COLLECTOR_PATH, "health"],
                    // The other services wait for the first check.
                    "interval": "2s",
                    "timeout": "5s",
                },
                "restart": "unless-stopped",
                // The collector reads data from other containers, so it gets no access but to the socket.
                "network_mode": "none",
                "read_only": true,
                "cap_drop": ["ALL"],
                "security_opt": ["no-new-privileges:true"],
            });
            if options.iter().any(|option| option.contains("://")) {
                service.as_object_mut().map(|service| service.shift_remove("network_mode"));
            }
            service
        }
    };
    service["image"] = json!(image);
    if !request.options.is_empty() {
        service["command"] = json!(request.options);
    } else if let Some(words) = texts(&service["command"]) {
        service["command"] = json!(config::options(&words, request.config.as_ref()));
    }
    if let Some(config) = &request.config {
        let variable = (!config.is_none()).then(|| config.for_compose());
        service::set_variable(&mut service, config::VARIABLE, variable);
        if config.text.contains("://") {
            service.as_object_mut().map(|service| service.shift_remove("network_mode"));
        }
    }
    service
}

/// The words of a list of texts.
fn texts(list: &Value) -> Option<Vec<String>> {
    list.as_array()?.iter().map(|word| word.as_str().map(str::to_owned)).collect()
}

/// The file's volumes with the sensor's, which takes the place of an older one that it replaces.
fn with_volume(volumes: &Value, volume: &str, replaced: &BTreeSet<String>) -> Value {
    let mut result = Map::new();
    for (name, settings) in volumes.as_object().into_iter().flatten() {
        match replaced.contains(name) {
            true => drop(result.entry(volume).or_insert_with(|| settings.clone())),
            false => drop(result.insert(name.clone(), settings.clone())),
        }
    }
    result.entry(volume).or_insert_with(|| json!({}));
    Value::Object(result)
}

/// The name of the volume with an image's files.
fn volume_of(name: &str, image: &str) -> String {
    match tag(image) {
        Some(tag) => format!("{name}-{tag}"),
        None => name.to_owned(),
    }
}

/// The part of an image's name that changes with its version: the tag, or the beginning of the digest.
fn tag(image: &str) -> Option<&str> {
    if let Some((_, digest)) = image.split_once('@') {
        let digest = digest.split_once(':').map_or(digest, |(_, digest)| digest);
        return digest.get(..12).or(Some(digest));
    }
    let last = image.rsplit('/').next().unwrap_or_default();
    last.split_once(':').map(|(_, tag)| tag)
}

#[cfg(test)]
mod tests;
