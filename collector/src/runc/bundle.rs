//! Prepares the `config.json` of an OCI bundle, and the file that describes a further process.
//!
//! The JSON itself is changed, so that unknown fields survive. The sensor is added to an `LD_PRELOAD` and to
//! mounts that are there. Preparing a prepared bundle again changes only the values that are different now.

use std::path::{Path, PathBuf};

use deploy::choice::{self, ANNOTATION, Choice, Mark};
use serde_json::{Value, json};

/// The name of the sensor's file on the host and in the container.
const SENSOR_FILE: &str = "libglassbox.so";

/// The folder inside the container. It is below /dev if the container has a /dev of its own: then the image's
/// files stay as they are, and the image may be read-only.
const FOLDER: &str = ".glassbox";

/// The file that the loader reads, whatever the environment says (ld.so(8)).
const PRELOAD_FILE: &str = "/etc/ld.so.preload";

/// The files to put into a container.
#[derive(Clone, Debug)]
pub struct Request {
    /// The sensor's file on the host.
    pub sensor: PathBuf,
    /// Where the collector listens on the host: a path, or `@name`.
    pub socket: String,
    /// A file to be mounted over `/etc/ld.so.preload`.
    pub preload_file: Option<PathBuf>,
}

/// The paths that the container's processes need to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Inside {
    /// The sensor's path in the container.
    pub sensor: String,
    /// The collector's socket in the container, as `GLASSBOX_SOCKET` names it.
    pub socket: String,
}

impl Inside {
    /// The paths in the container of `config`.
    ///
    /// # Errors
    /// The reason why the collector cannot be reached from the container.
    pub fn of(config: &Value, socket: &str) -> Result<Self, String> {
        let folder = folder(config);
        let sensor = format!("{folder}/{SENSOR_FILE}");
        if socket.starts_with('@') {
            if has_own_network(config) {
                return Err(format!(
                    "the container has a network of its own, from which '{socket}' cannot be reached; give --socket a path"
                ));
            }
            return Ok(Self { sensor, socket: socket.to_owned() });
        }
        let name = Path::new(socket).file_name().and_then(|name| name.to_str()).unwrap_or_default();
        Ok(Self { sensor, socket: format!("{folder}/socket/{name}") })
    }

    /// The paths in a prepared container; `None` if it was not prepared.
    pub fn found(config: &Value) -> Option<Self> {
        let sensor = mounts(config).iter().map(|mount| &mount["destination"]).filter_map(Value::as_str);
        let sensor = sensor.clone().find(|path| is_ours(path) && path.ends_with(SENSOR_FILE))?;
        let entries = config["process"]["env"].as_array()?;
        let socket = entries
            .iter()
            .filter_map(Value::as_str)
            .find_map(|entry| entry.strip_prefix("GLASSBOX_SOCKET="))?;
        Some(Self { sensor: sensor.to_owned(), socket: socket.to_owned() })
    }
}

/// Whether the container wants the sensor.
///
/// # Errors
/// An annotation that says neither `on` nor `off`.
pub fn choice(config: &Value, is_opt_in: bool) -> Result<Choice, String> {
    let said = &config["annotations"][ANNOTATION];
    if !said.is_null() && !said.is_string() {
        return Err(format!("the annotation {ANNOTATION} is not text"));
    }
    let entries = config["process"]["env"].as_array().map(Vec::as_slice).unwrap_or_default();
    let values = |name: &'static str| {
        let variables = entries.iter().filter_map(Value::as_str).filter_map(|entry| entry.split_once('='));
        variables.filter(move |(known, _)| *known == name).map(|(_, value)| value)
    };
    let choice = Mark::Annotation.choice(said.as_str(), is_opt_in)?;
    Ok(choice
        .and(|| choice::by_switch(values("GLASSBOX")))
        .and(|| choice::by_preload(values("LD_PRELOAD"), is_ours)))
}

/// Prepares the `config.json` of a bundle.
///
/// # Errors
/// A field that does not have the type of the OCI runtime specification. `config` may then be changed in
/// part.
pub fn prepare(config: &mut Value, request: &Request) -> Result<(), String> {
    if !config.is_object() {
        return Err("it is not an object".into());
    }
    let inside = Inside::of(config, &request.socket)?;
    let process = config.get_mut("process").ok_or("it has no 'process'")?;
    prepare_process(process, &inside).map_err(|why| format!("'process': {why}"))?;

    let mut ours = vec![mount(&request.sensor, &inside.sensor)];
    if !request.socket.starts_with('@')
        && let (Some(from), Some(to)) =
            (Path::new(&request.socket).parent(), Path::new(&inside.socket).parent())
    {
        // The folder is mounted and not the socket, because a restarted collector makes a new socket.
        ours.push(mount(from, &to.display().to_string()));
    }
    if let Some(file) = &request.preload_file {
        ours.push(mount(file, PRELOAD_FILE));
    }
    let mounts = config.as_object_mut().ok_or("it is not an object")?.entry("mounts").or_insert(Value::Null);
    if mounts.is_null() {
        *mounts = json!([]);
    }
    let mounts = mounts.as_array_mut().ok_or("'mounts' is not a list")?;
    let is_replaced = |path: &str| is_ours(path) || (path == PRELOAD_FILE && request.preload_file.is_some());
    mounts.retain(|mount| !mount["destination"].as_str().is_some_and(is_replaced));
    mounts.extend(ours);
    Ok(())
}

/// Prepares the description of one process: `process` of a `config.json`, or the file of `exec --process`.
///
/// # Errors
/// A field that does not have the type of the OCI runtime specification.
pub fn prepare_process(process: &mut Value, inside: &Inside) -> Result<(), String> {
    let process = process.as_object_mut().ok_or("it is not an object")?;
    let entries = process.entry("env").or_insert(Value::Null);
    if entries.is_null() {
        *entries = json!([]);
    }
    let entries = entries.as_array_mut().ok_or("'env' is not a list")?;
    if entries.iter().any(|entry| !entry.is_string()) {
        return Err("'env' holds something that is not text".into());
    }
    let (preload, socket) = ("LD_PRELOAD=", "GLASSBOX_SOCKET=");
    let mut has_preload = false;
    for entry in entries.iter_mut() {
        // Every entry of the name is changed: which one counts depends on the program (see
        // `environment::under_sensor`).
        if let Some(present) = entry.as_str().and_then(|entry| entry.strip_prefix(preload)) {
            has_preload = true;
            *entry = json!(format!("{preload}{}", deploy::preload::appended(present, &inside.sensor)));
        }
    }
    if !has_preload {
        entries.push(json!(format!("{preload}{}", inside.sensor)));
    }
    entries.retain(|entry| !entry.as_str().is_some_and(|entry| entry.starts_with(socket)));
    entries.push(json!(format!("{socket}{}", inside.socket)));
    Ok(())
}

fn mount(source: &Path, destination: &str) -> Value {
    // A read-only mount does not prevent connecting to a socket, which asks for the socket's own mode
    // (unix(7)).
    json!({
        "destination": destination,
        "type": "bind",
        "source": source,
        "options": ["bind", "ro", "nosuid", "nodev"],
    })
}

fn folder(config: &Value) -> String {
    let dev = mounts(config).iter().rev().find(|mount| mount["destination"] == "/dev");
    let is_own = dev.is_some_and(|dev| dev["type"] == "tmpfs");
    if is_own { format!("/dev/{FOLDER}") } else { format!("/{FOLDER}") }
}

fn is_ours(path: &str) -> bool {
    let mut parts = path.strip_prefix("/dev").unwrap_or(path).split('/').skip(1);
    parts.next() == Some(FOLDER)
}

fn mounts(config: &Value) -> &[Value] {
    config["mounts"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Whether the container gets a new network namespace; one with a path is shared.
fn has_own_network(config: &Value) -> bool {
    let namespaces = config["linux"]["namespaces"].as_array().map(Vec::as_slice).unwrap_or_default();
    namespaces.iter().any(|namespace| {
        namespace["type"] == "network" && namespace["path"].as_str().is_none_or(str::is_empty)
    })
}

/// The `config.json` of a bundle: it is prepared, and once more.
#[cfg(fuzzing)]
pub fn fuzz(bytes: &[u8]) {
    let Ok(mut config) = serde_json::from_slice::<Value>(bytes) else { return };
    let request =
        Request { sensor: "/usr/lib/s.so".into(), socket: "/run/g/s".to_owned(), preload_file: None };
    let _ = choice(&config, true);
    if prepare(&mut config, &request).is_ok() {
        let once = config.clone();
        assert_eq!(Ok(()), prepare(&mut config, &request));
        assert_eq!(once, config, "prepared twice");
        let (level, features) = (notify::Level::Full, super::seccomp::Features::default());
        if super::seccomp::ask(&mut config, level, "/run/l", &features).is_ok() {
            assert!(super::seccomp::ask(&mut config, level, "/run/l", &features).is_err());
            assert!(super::seccomp::release(&mut config, |path| path == "/run/l"));
            assert!(!super::seccomp::release(&mut config, |path| path == "/run/l"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            sensor: "/usr/lib/glassbox/libglassbox.so".into(),
            socket: "/run/glassbox/socket".into(),
            preload_file: None,
        }
    }

    fn config() -> Value {
        json!({
            "ociVersion": "1.0.2", "x-unknown": {"deep": [1, 2.5, null]},
            "process": {"args": ["sh"], "env": ["PATH=/bin"], "rlimits": [{"type": "RLIMIT_CORE", "hard": u64::MAX}]},
            "mounts": [{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}],
            "linux": {"namespaces": [{"type": "mount"}, {"type": "network"}]},
        })
    }

    fn prepared(mut config: Value, request: &Request) -> Value {
        prepare(&mut config, request).unwrap();
        config
    }

    #[test]
    fn sensor_and_socket_are_mounted_and_named_and_nothing_else_changes() {
        let after = prepared(config(), &request());

        let mut expected = config();
        expected["process"]["env"] = json!([
            "PATH=/bin",
            "LD_PRELOAD=/dev/.glassbox/libglassbox.so",
            "GLASSBOX_SOCKET=/dev/.glassbox/socket/socket"
        ]);
        let options = json!(["bind", "ro", "nosuid", "nodev"]);
        expected["mounts"].as_array_mut().unwrap().extend([
            json!({"destination": "/dev/.glassbox/libglassbox.so", "type": "bind", "options": options,
                   "source": "/usr/lib/glassbox/libglassbox.so"}),
            json!({"destination": "/dev/.glassbox/socket", "type": "bind", "source": "/run/glassbox", "options": options}),
        ]);
        assert_eq!(expected, after);
    }

    #[test]
    fn preparing_twice_changes_nothing_more() {
        let once = prepared(config(), &request());

        assert_eq!(once, prepared(once.clone(), &request()));
        let moved = prepared(once, &Request { sensor: "/opt/libglassbox.so".into(), ..request() });
        assert_eq!(3, moved["mounts"].as_array().unwrap().len());
        assert_eq!("/opt/libglassbox.so", moved["mounts"][1]["source"]);
    }

    #[test]
    fn present_preloads_are_appended_to_each_of_them() {
        let mut config = config();
        config["process"]["env"] = json!(["LD_PRELOAD=/a.so b.so", "GLASSBOX_SOCKET=@old", "LD_PRELOAD="]);

        assert_eq!(
            json!([
                "LD_PRELOAD=/a.so b.so:/dev/.glassbox/libglassbox.so",
                "LD_PRELOAD=/dev/.glassbox/libglassbox.so",
                "GLASSBOX_SOCKET=/dev/.glassbox/socket/socket"
            ]),
            prepared(config, &request())["process"]["env"]
        );
    }

    #[test]
    fn missing_lists_are_made() {
        let after = prepared(json!({"process": {"env": null}, "mounts": null}), &request());

        assert_eq!("LD_PRELOAD=/.glassbox/libglassbox.so", after["process"]["env"][0]);
        assert_eq!(2, after["mounts"].as_array().unwrap().len());
    }

    #[test]
    fn hosts_own_dev_is_not_written_to() {
        let mut config = config();
        config["mounts"]
            .as_array_mut()
            .unwrap()
            .push(json!({"destination": "/dev", "type": "bind", "source": "/dev"}));

        assert_eq!("/.glassbox/libglassbox.so", prepared(config, &request())["mounts"][2]["destination"]);
    }

    #[test]
    fn preload_file_replaces_the_images_own() {
        let mut config = config();
        config["mounts"]
            .as_array_mut()
            .unwrap()
            .push(json!({"destination": "/etc/ld.so.preload", "source": "/old"}));

        let after = prepared(config, &Request { preload_file: Some("/b/preload".into()), ..request() });

        let mounts = after["mounts"].as_array().unwrap();
        let over: Vec<_> =
            mounts.iter().filter(|mount| mount["destination"] == "/etc/ld.so.preload").collect();
        assert_eq!(1, over.len());
        assert_eq!("/b/preload", over[0]["source"]);
    }

    #[test]
    fn wrong_shapes_are_refused_by_name() {
        for (config, words) in [
            (json!(null), "it is not an object"),
            (json!([1]), "it is not an object"),
            (json!({}), "it has no 'process'"),
            (json!({"process": null}), "'process': it is not an object"),
            (json!({"process": {"env": "A=1"}}), "'process': 'env' is not a list"),
            (json!({"process": {"env": ["A=1", 2]}}), "'env' holds something that is not text"),
            (json!({"process": {}, "mounts": {}}), "'mounts' is not a list"),
        ] {
            let why = prepare(&mut config.clone(), &request()).unwrap_err();

            assert!(why.contains(words), "{config}: {why}");
        }
    }

    #[test]
    fn odd_but_allowed_members_do_no_harm() {
        let config = json!({"process": {"env": ["LD_PRELOAD", "=", ""]}, "mounts": [null, 3, {"destination": 7}],
                            "linux": {"namespaces": "none"}, "annotations": []});

        assert_eq!(Ok(Choice::In), choice(&config, false));
        assert_eq!(5, prepared(config, &request())["mounts"].as_array().unwrap().len());
    }

    #[test]
    fn containers_say_whether_they_want_the_sensor() {
        let with = |annotation: Value, env: &str| {
            let mut config = config();
            config["annotations"] = json!({ANNOTATION: annotation});
            config["process"]["env"] = json!([env]);
            config
        };
        let wanted = |config: &Value, is_opt_in| choice(config, is_opt_in).map(|choice| choice == Choice::In);

        assert_eq!(Ok(true), wanted(&config(), false));
        assert_eq!(Ok(false), wanted(&config(), true));
        assert_eq!(Ok(true), wanted(&with(json!("on"), ""), true));
        assert_eq!(Ok(false), wanted(&with(json!("off"), ""), false));
        assert_eq!(Ok(false), wanted(&with(json!("on"), "GLASSBOX=off"), false));
        assert_eq!(
            Ok(false),
            wanted(&with(Value::Null, "LD_PRELOAD=/a.so:/opt/glassbox/libglassbox.so"), false)
        );
        assert_eq!(Ok(true), wanted(&prepared(config(), &request()), false));
        assert!(
            wanted(&with(json!("maybe"), ""), false).unwrap_err().contains("'maybe'; say \"on\" or \"off\"")
        );
        assert!(wanted(&with(json!(true), ""), false).is_err());
    }

    #[test]
    fn abstract_name_is_refused_where_it_cannot_be_reached() {
        let request = Request { socket: "@glassbox".into(), ..request() };
        let mut shared = config();
        shared["linux"]["namespaces"][1]["path"] = json!("/run/netns/pod");

        assert!(prepare(&mut config(), &request).unwrap_err().contains("network of its own"));
        assert_eq!(2, prepared(shared.clone(), &request)["mounts"].as_array().unwrap().len());
        assert_eq!("@glassbox", Inside::found(&prepared(shared, &request)).unwrap().socket);
    }

    #[test]
    fn further_processes_get_what_the_first_one_got() {
        let first = prepared(config(), &request());
        let mut further = json!({"args": ["ls"], "env": ["LD_PRELOAD=/a.so"], "cwd": "/"});

        assert_eq!(None, Inside::found(&config()));
        prepare_process(&mut further, &Inside::found(&first).unwrap()).unwrap();

        assert_eq!(
            json!([
                "LD_PRELOAD=/a.so:/dev/.glassbox/libglassbox.so",
                "GLASSBOX_SOCKET=/dev/.glassbox/socket/socket"
            ]),
            further["env"]
        );
    }
}
