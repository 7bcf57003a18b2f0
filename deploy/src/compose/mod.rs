//! Puts the sensor into a compose file.
//!
//! A service of the sensor's image collects; the engine fills its volume with what the image has in the same folder, and the
//! other services mount that volume: read-only, as nobody needs to write in order to load a library or to connect to a socket.
//! They wait until the collector listens, and start without it where it does not.
//!
//! An engine fills an empty volume only, and keeps it: behind a newer image the old files would lie for ever. So the volume has
//! the image's tag in its name.
//!
//! [`service`] changes one service; this file chooses them, and adds the collector.

mod service;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use self::service::Service;
use crate::yaml::Documents;
use crate::{Error, Note, Patched, image};

/// What is put into a compose file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wish {
    /// The image that brings the sensor and the collector; what is in the file, or the default, where there is none.
    pub image: Option<String>,
    /// What the collector's service is called.
    pub name: String,
    /// The services that get the sensor; all where none is named.
    pub services: Vec<String>,
    /// Whether only services get it whose label says `on`.
    pub is_opt_in: bool,
    /// The options of `glassbox collect`; what is in the file, or the default, where there are none.
    pub options: Vec<String>,
}

/// What the collector's service is called where nobody says.
pub const DEFAULT_NAME: &str = "glassbox";

/// The options of the collector where nobody says: every event to the service's log.
const DEFAULT_OPTIONS: [&str; 2] = ["-o", "jsonl"];

/// The label by which a service says `on` or `off`: as labels are written in compose files, and as annotations are elsewhere.
const LABELS: [&str; 2] = ["glassbox.sensor", "glassbox/sensor"];

/// Where the collector listens.
const SOCKET: &str = "/opt/glassbox/socket";

/// A name that a service and a volume can have.
///
/// # Errors
/// What is wrong with it.
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
/// What is no compose file, by line; and what cannot be patched safely.
pub fn patch(text: &str, wish: &Wish) -> Result<Patched, Error> {
    let documents = Documents::read(text)?;
    let before = match documents.values() {
        [] => &Value::Null,
        [before] => before,
        _ => {
            let what = "it has several documents, and a compose file is one; split it";
            return Err(Error::Malformed(what.into()));
        }
    };
    let at = |path: &[&str], what: &str| {
        let pointer: String =
            path.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect();
        Error::Malformed(format!("line {}: {} {what}", documents.line(0, &pointer), path.join(".")))
    };
    let Some(services) = before.get("services") else {
        return Err(Error::Malformed(
            "it has no 'services', so it is no compose file; give the path of one".into(),
        ));
    };
    let services =
        services.as_object().ok_or_else(|| at(&["services"], "is no mapping; name services in it"))?;
    for (name, service) in services {
        if !service.is_object() {
            return Err(at(&["services", name], "is no mapping; describe the service in it"));
        }
    }
    let volumes = before.get("volumes").unwrap_or(&Value::Null);
    if !volumes.is_object() && !volumes.is_null() {
        return Err(at(&["volumes"], "is no mapping; name volumes in it"));
    }

    let present = services.get(&wish.name);
    if let Some(present) = present
        && service::our_volume(present, &wish.name).is_none()
    {
        return Err(Error::Refused(format!(
            "a service is called '{0}', and mounts no volume {0}… at {1}, so it is not ours; give ours another name by --name",
            wish.name,
            image::FOLDER
        )));
    }
    let ours = |service| service::our_volume(service, &wish.name);
    let mut notes = Vec::new();
    if before.get("include").is_some() {
        notes.push(Note::Skipped("the files of 'include'; patch them, too".into()));
    }
    let image = wish.image.as_deref().or(present.and_then(|present| present["image"].as_str()));
    let image = image.unwrap_or(image::DEFAULT);
    // A volume that is there stays, unless it would bring the files of another image.
    let is_moved = wish.image.is_some() && present.is_some_and(|present| present["image"] != image);
    let volume = match present.and_then(ours).filter(|_| !is_moved) {
        Some(volume) => volume.to_owned(),
        None => volume_of(&wish.name, image),
    };
    if tag(image).is_none_or(|tag| tag == "latest") {
        notes.push(Note::Warning(format!(
            "'{image}' may be another image tomorrow, and the volume keeps today's files; name a version"
        )));
    }

    let mut after = before.clone();
    let mut replaced = BTreeSet::new();
    let mut count = 0;
    for (name, service) in chosen(services, wish)? {
        let service =
            Service { name, before: service, all: services, collector: &wish.name, volume: &volume };
        if let Some(why) = service.why_not(wish.is_opt_in)? {
            notes.push(Note::Skipped(format!("service '{name}': {why}")));
            continue;
        }
        count += 1;
        replaced.extend(ours(service.before).filter(|old| *old != volume).map(str::to_owned));
        notes.extend(service.warnings());
        let changed = service.patched().map_err(|(field, what)| at(&["services", name, field], what))?;
        if changed != *service.before {
            notes.push(Note::Done(format!(
                "service '{name}': preloads the sensor, and waits for '{}'",
                wish.name
            )));
            after["services"][name.as_str()] = changed;
        }
    }
    if count == 0 {
        notes.push(Note::Warning("no service gets the sensor; choose one by --service or its label".into()));
        return Ok(Patched { text: text.to_owned(), notes });
    }
    let collector = collector(present, image, &volume, wish);
    if present != Some(&collector) {
        notes.push(Note::Done(format!("service '{}': collects, from the image '{image}'", wish.name)));
        replaced.extend(present.and_then(ours).filter(|old| *old != volume).map(str::to_owned));
        after["services"][wish.name.as_str()] = collector;
    }
    let volumes = with_volume(volumes, &volume, &replaced);
    if before.get("volumes") != Some(&volumes) {
        after["volumes"] = volumes;
    }
    Ok(Patched { text: documents.edited(&[after])?, notes })
}

/// The services that were asked for, but for the collector.
fn chosen<'a>(
    services: &'a Map<String, Value>,
    wish: &'a Wish,
) -> Result<Vec<(&'a String, &'a Value)>, Error> {
    for name in &wish.services {
        if !services.contains_key(name) {
            let all: Vec<&str> = services.keys().map(String::as_str).collect();
            return Err(Error::Refused(format!(
                "no service is called '{name}'; there are {}",
                all.join(", ")
            )));
        }
    }
    let is_chosen = |name: &String| wish.services.is_empty() || wish.services.contains(name);
    Ok(services.iter().filter(|(name, _)| is_chosen(name) && **name != wish.name).collect())
}

/// The collector's service: what is there with what was asked for, or all of it.
fn collector(present: Option<&Value>, image: &str, volume: &str, wish: &Wish) -> Value {
    let default: Vec<String> = DEFAULT_OPTIONS.map(str::to_owned).into();
    let mut service = match present {
        Some(present) => {
            let mut service = present.clone();
            service::mount(&mut service, &wish.name, volume, "");
            service
        }
        None => {
            let options = if wish.options.is_empty() { &default } else { &wish.options };
            let mut service = json!({
                "image": image,
                "command": options,
                "volumes": [format!("{volume}:{}", image::FOLDER)],
                "healthcheck": {
                    "test": ["CMD", image::COLLECTOR, "health"],
                    // The others wait for the first.
                    "interval": "2s",
                    "timeout": "5s",
                },
                "restart": "unless-stopped",
                // It reads what other containers hand to it: nothing more than the socket is given to it.
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
    if !wish.options.is_empty() {
        service["command"] = json!(wish.options);
    }
    service
}

/// The file's volumes with ours, at the place of one that it replaces.
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

/// The name of the volume with the files of an image.
fn volume_of(name: &str, image: &str) -> String {
    match tag(image) {
        Some(tag) => format!("{name}-{tag}"),
        None => name.to_owned(),
    }
}

/// What tells images of one name apart: the tag, or the beginning of the digest.
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
