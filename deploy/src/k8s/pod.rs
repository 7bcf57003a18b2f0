//! What a pod gets: two containers, a folder, and an environment.

use serde_json::{Map, Value, json};

use super::{Settings, one_line};
use crate::image::{COLLECTOR as PROGRAM, DEFAULT as IMAGE};
use crate::{Note, preload};

/// The annotation by which a pod says `on` or `off`; the same as of an OCI bundle.
pub const SENSOR: &str = "glassbox/sensor";

/// The annotation by which a pod names the containers that get the sensor, separated by commas.
pub const CONTAINERS: &str = "glassbox/containers";

/// The annotation that names the containers that have it: the mark of a pod that was patched.
pub const INJECTED: &str = "glassbox/injected";

/// The annotation that says which containers were left alone, and why.
pub const LEFT: &str = "glassbox/left";

/// The folder that the pod's containers share, and the volume behind it.
const FOLDER: &str = "/glassbox";
const VOLUME: &str = "glassbox";

/// The sensor, in each container.
const PRELOADED: &str = "/glassbox/libglassbox.so";

const INSTALLER: &str = "glassbox-install";
const COLLECTOR: &str = "glassbox-collector";

/// The user of the added containers where the pod says none: the number that images without root use.
const USER: u32 = 65532;

/// What the added containers may use where nobody says otherwise.
const CPU: &str = "500m";
const MEMORY: &str = "128Mi";

/// Containers that other systems put into pods, and that nobody means when they say nothing.
const HELPERS: [&str; 12] = [
    "istio-proxy",
    "istio-init",
    "istio-validation",
    "linkerd-proxy",
    "linkerd-init",
    "consul-dataplane",
    "envoy",
    "vault-agent",
    "vault-agent-init",
    "cloud-sql-proxy",
    "datadog-agent",
    "otc-container",
];

/// What the collector's records can be told apart by, from the downward API.
const NAMES: [(&str, &str); 4] = [
    ("K8S_POD_NAME", "metadata.name"),
    ("K8S_NAMESPACE_NAME", "metadata.namespace"),
    ("K8S_POD_UID", "metadata.uid"),
    ("K8S_NODE_NAME", "spec.nodeName"),
];

/// What was put into a pod.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Put {
    /// The containers that have the sensor.
    pub containers: Vec<String>,
    /// The containers that were left alone, and why.
    pub left: Vec<(String, String)>,
    /// What may not work as meant.
    pub warnings: Vec<String>,
    /// Whether all of it was there already.
    pub is_same: bool,
}

/// Why nothing was put in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Stop {
    /// It is not wanted.
    LeftAlone(String),
    /// It is wanted and cannot be: why, and what to do.
    Refused(String),
    /// The pod is none: where in it, as a JSON pointer, and why.
    Malformed(String, String),
}

impl Stop {
    /// There is no pod where one should be.
    pub(super) fn missing(path: &str) -> Self {
        let place = path.trim_start_matches('/').replace('/', ".");
        Self::Malformed(String::new(), format!("it has no '{place}'"))
    }
}

impl Put {
    /// What there is to say of the pod that is called `name`.
    pub fn notes(&self, name: &str) -> Vec<Note> {
        let mut notes = Vec::new();
        if !self.is_same {
            notes.push(Note::Done(format!(
                "{name}: the sensor is in {}, a collector beside it",
                quoted(&self.containers)
            )));
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

/// Puts the sensor into a pod or a template of one: an object with `metadata` and `spec`. Without success it stays as it is.
///
/// # Errors
/// See [`Stop`].
pub fn put_in(pod: &mut Value, settings: &Settings) -> Result<Put, Stop> {
    let mut after = pod.clone();
    let mut put = change(&mut after, settings)?;
    put.is_same = after == *pod;
    *pod = after;
    Ok(put)
}

fn change(pod: &mut Value, settings: &Settings) -> Result<Put, Stop> {
    if !pod.is_object() {
        return Err(malformed("", "a pod is no object"));
    }
    let annotations = annotations(pod)?;
    let said = |key: &str| annotations.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    is_wanted(said(SENSOR), settings.is_opt_in)?;
    let is_ours = said(INJECTED).is_some();
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else {
        return Err(malformed("/spec", "'spec' is missing or no object"));
    };
    if is_windows(spec) {
        return Err(Stop::Refused(format!("it is for Windows; say {SENSOR}: \"off\" in its annotations")));
    }
    for key in ["containers", "initContainers"] {
        check_containers(spec, key)?;
    }
    if !is_ours {
        check_names(spec)?;
    }

    let (mut chosen, mut put) = choose(spec, said(CONTAINERS), settings)?;
    let socket = Socket::of(spec);
    let mut is_possible = true;
    chosen.retain(|(key, index)| {
        let container = &spec[*key][*index];
        let why = match why_not(container) {
            None => return true,
            Some(Reason::Unwanted(why)) => why,
            Some(Reason::Impossible(why)) => {
                is_possible = false;
                why
            }
        };
        put.left.push((name(container).to_owned(), why));
        false
    });
    let Some((key, index)) = chosen.first().copied() else {
        let reasons: Vec<String> = put.left.iter().map(|(name, why)| format!("'{name}': {why}")).collect();
        let why = if reasons.is_empty() { "it has no containers".into() } else { reasons.join("; ") };
        return Err(if is_possible { Stop::LeftAlone(why) } else { Stop::Refused(why) });
    };
    let ours = added(spec, (key, index), &socket, settings);
    for (key, index) in &chosen {
        let place = format!("/spec/{key}/{index}");
        let Some(container) = spec[*key][*index].as_object_mut() else { continue };
        if let Some(warning) = hidden(container) {
            put.warnings.push(format!("'{}': {warning}", name_of(container)));
        }
        set_environment(container, &socket, &place)?;
        mount(container, &place)?;
        put.containers.push(name_of(container).to_owned());
    }
    let volumes = list(spec, "volumes", "/spec")?;
    add(volumes, json!({"name": VOLUME, "emptyDir": {"sizeLimit": "16Mi"}}), volumes.len());
    let containers = list(spec, "initContainers", "/spec")?;
    for (index, container) in ours.into_iter().enumerate() {
        add(containers, container, index);
    }
    annotate(pod, &put)?;
    Ok(put)
}

/// The annotations that are ours, which must be text.
fn annotations(pod: &Value) -> Result<Vec<(String, String)>, Stop> {
    let place = "/metadata/annotations";
    let present = match pod.pointer(place) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(present)) => present,
        Some(_) => return Err(malformed(place, "'annotations' is no object")),
    };
    let ours = present.iter().filter(|(key, _)| key.starts_with("glassbox/"));
    ours.map(|(key, value)| match value.as_str() {
        Some(value) => Ok((key.clone(), value.to_owned())),
        None => {
            let at = format!("{place}/{}", key.replace('/', "~1"));
            Err(malformed(&at, &format!("the annotation {key} is no text; put it in quotes")))
        }
    })
    .collect()
}

fn is_wanted(said: Option<&str>, is_opt_in: bool) -> Result<(), Stop> {
    match said {
        Some("on") => Ok(()),
        Some("off") => Err(Stop::LeftAlone(format!("the annotation {SENSOR} says off"))),
        Some(other) => {
            let at = format!("/metadata/annotations/{}", SENSOR.replace('/', "~1"));
            Err(malformed(&at, &format!("the annotation {SENSOR} is '{other}'; say \"on\" or \"off\"")))
        }
        None if is_opt_in => Err(Stop::LeftAlone(format!("no annotation {SENSOR} says on"))),
        None => Ok(()),
    }
}

fn is_windows(spec: &Map<String, Value>) -> bool {
    let spec = |path: [&str; 2]| spec.get(path[0]).and_then(|value| value.get(path[1]));
    let places =
        [["os", "name"], ["nodeSelector", "kubernetes.io/os"], ["nodeSelector", "beta.kubernetes.io/os"]];
    places.into_iter().filter_map(spec).any(|value| value == "windows")
}

/// Containers are objects with a name; their lists and those that are read here are lists.
fn check_containers(spec: &Map<String, Value>, key: &str) -> Result<(), Stop> {
    let at = format!("/spec/{key}");
    let containers = match spec.get(key) {
        None | Some(Value::Null) if key == "initContainers" => return Ok(()),
        Some(Value::Array(containers)) => containers,
        _ => return Err(malformed(&at, &format!("'{key}' is missing or no list"))),
    };
    for (index, container) in containers.iter().enumerate() {
        let at = format!("{at}/{index}");
        if container.get("name").and_then(Value::as_str).is_none() {
            return Err(malformed(&at, "a container without a name"));
        }
        for inner in ["env", "envFrom", "volumeMounts"] {
            let entries = match container.get(inner) {
                None | Some(Value::Null) => continue,
                Some(Value::Array(entries)) => entries,
                Some(_) => return Err(malformed(&format!("{at}/{inner}"), &format!("'{inner}' is no list"))),
            };
            if let Some(odd) = entries.iter().position(|entry| !entry.is_object()) {
                let what = format!("'{inner}' holds something that is no object");
                return Err(malformed(&format!("{at}/{inner}/{odd}"), &what));
            }
        }
    }
    Ok(())
}

/// Refuses a pod that has something by our names and was not patched by us.
fn check_names(spec: &Map<String, Value>) -> Result<(), Stop> {
    let is_taken = |key: &str, names: &[&str]| {
        let items = spec.get(key).and_then(Value::as_array).into_iter().flatten();
        items.map(name).find(|name| names.contains(name)).map(str::to_owned)
    };
    let container =
        ["containers", "initContainers"].iter().find_map(|key| is_taken(key, &[INSTALLER, COLLECTOR]));
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

/// A container by its list and its place in there.
type Chosen = (&'static str, usize);

fn choose(
    spec: &Map<String, Value>,
    said: Option<&str>,
    settings: &Settings,
) -> Result<(Vec<Chosen>, Put), Stop> {
    let by_annotation: Vec<&str> = said
        .into_iter()
        .flat_map(|said| said.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    let named: Vec<&str> = match by_annotation.is_empty() {
        true => settings.containers.iter().map(String::as_str).collect(),
        false => by_annotation.clone(),
    };
    let all = ["containers", "initContainers"].into_iter().flat_map(|key| {
        let containers = spec.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        containers.iter().enumerate().map(move |(index, container)| ((key, index), name(container)))
    });
    let all: Vec<(Chosen, &str)> = all.filter(|(_, name)| ![INSTALLER, COLLECTOR].contains(name)).collect();
    if let Some(missing) = by_annotation.iter().find(|wanted| !all.iter().any(|(_, name)| name == *wanted)) {
        let there: Vec<String> = all.iter().map(|(_, name)| (*name).to_owned()).collect();
        let what = format!("the annotation {CONTAINERS} names '{missing}'; it has {}", quoted(&there));
        return Err(Stop::Refused(what));
    }
    let (mut chosen, mut put) = (Vec::new(), Put::default());
    for ((key, index), name) in all {
        let is_considered = key == "containers" || settings.with_init_containers;
        let is_helper = HELPERS.contains(&name);
        if settings.excluded.iter().any(|excluded| excluded == name) {
            continue;
        }
        match named.is_empty() {
            true if is_considered && is_helper => {
                put.left.push((
                    name.to_owned(),
                    "a helper of another system; name it to have the sensor there".into(),
                ));
            }
            true if is_considered => chosen.push((key, index)),
            false if named.contains(&name) => chosen.push((key, index)),
            _ => {}
        }
    }
    match chosen.is_empty() && !named.is_empty() {
        true => {
            let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
            Err(Stop::LeftAlone(format!("it has no container {}", quoted(&named))))
        }
        false => Ok((chosen, put)),
    }
}

/// Why a container does not get the sensor.
enum Reason {
    /// It does not want it.
    Unwanted(String),
    /// It cannot have it: why, and what to do.
    Impossible(String),
}

fn why_not(container: &Value) -> Option<Reason> {
    let entries = container.get("env").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let named = |wanted: &'static str| entries.iter().filter(move |entry| name(entry) == wanted);
    if named("GLASSBOX").any(|entry| entry["value"] == "off") {
        return Some(Reason::Unwanted("GLASSBOX=off is in its environment".into()));
    }
    for entry in named("LD_PRELOAD") {
        if entry.get("valueFrom").is_some_and(|from| !from.is_null()) {
            let why =
                "its LD_PRELOAD comes from elsewhere (valueFrom) and cannot be added to; write its value";
            return Some(Reason::Impossible(why.into()));
        }
        let value = entry["value"].as_str().unwrap_or_default();
        if preload::names(value).any(|path| path.ends_with("/libglassbox.so") && path != PRELOADED) {
            return Some(Reason::Unwanted("it brings a sensor of its own".into()));
        }
    }
    let mounts = container.get("volumeMounts").and_then(Value::as_array).into_iter().flatten();
    let below = |path: &str| path == FOLDER || path.starts_with(&format!("{FOLDER}/"));
    let is_taken = |mount: &Value| {
        mount["mountPath"].as_str().is_some_and(|path| below(path.trim_end_matches('/')))
            && name(mount) != VOLUME
    };
    let why = || Reason::Impossible(format!("something else is mounted at {FOLDER}; mount it elsewhere"));
    mounts.into_iter().any(is_taken).then(why)
}

/// Sources of the environment whose names nobody sees here.
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

/// Where the collector listens.
struct Socket {
    path: String,
    /// Pods on the host's network share its abstract names, of which the collector takes that of its path.
    is_of_pod: bool,
}

impl Socket {
    fn of(spec: &Map<String, Value>) -> Self {
        let is_of_pod = spec.get("hostNetwork") == Some(&json!(true));
        let file = if is_of_pod { "$(GLASSBOX_POD)" } else { "socket" };
        Self { path: format!("{FOLDER}/{file}"), is_of_pod }
    }

    /// In order: the kubelet puts in what stands before.
    fn environment(&self) -> Vec<Value> {
        let pod = json!({"name": "GLASSBOX_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}});
        let socket = json!({"name": "GLASSBOX_SOCKET", "value": self.path});
        if self.is_of_pod { vec![pod, socket] } else { vec![socket] }
    }
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
                return Err(malformed(&format!("{at}/env/{index}"), "the value of LD_PRELOAD is no text"));
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
    // Read-only does not keep anybody from connecting to a socket: that asks the socket's own mode (unix(7)). It keeps
    // whoever takes over the program from putting another socket there.
    place(
        list(container, "volumeMounts", at)?,
        json!({"name": VOLUME, "mountPath": FOLDER, "readOnly": true}),
    );
    Ok(())
}

/// The two containers that are added; what nobody says otherwise about stays as it is in those that are there.
fn added(spec: &Map<String, Value>, model: Chosen, socket: &Socket, settings: &Settings) -> [Value; 2] {
    let present = spec.get("initContainers").and_then(Value::as_array).into_iter().flatten();
    let present = present.into_iter().find(|container| name(container) == COLLECTOR).unwrap_or(&Value::Null);
    let image = match &settings.image {
        Some(image) => json!(image),
        None if present["image"].is_string() => present["image"].clone(),
        None => json!(IMAGE),
    };
    let command = match present["command"].is_array() && settings.outputs.is_empty() {
        true => present["command"].clone(),
        false => {
            let default = [String::from("jsonl")];
            let outputs = if settings.outputs.is_empty() { &default[..] } else { &settings.outputs[..] };
            let mut command = vec![PROGRAM, "collect"];
            outputs.iter().for_each(|output| command.extend(["-o", output]));
            json!(command)
        }
    };
    let resources = resources(spec, &present["resources"]["limits"], settings);
    let security_context = security_context(spec, model);
    let names =
        NAMES.map(|(name, path)| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}));
    let installer = json!({
        "name": INSTALLER,
        "image": image,
        "command": [PROGRAM, "install", FOLDER],
        "volumeMounts": [{"name": VOLUME, "mountPath": FOLDER}],
        "resources": resources,
        "securityContext": security_context,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    });
    let collector = json!({
        "name": COLLECTOR,
        "image": image,
        "restartPolicy": "Always",
        "command": command,
        "env": names.into_iter().chain(socket.environment()).collect::<Vec<_>>(),
        "volumeMounts": [{"name": VOLUME, "mountPath": FOLDER}],
        "startupProbe": {
            "exec": {"command": [PROGRAM, "health"]},
            "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 60,
        },
        "resources": resources,
        "securityContext": security_context,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    });
    [installer, collector]
}

/// What the added containers may use. A pod of which every container asks for exactly what it may use stays one (its quality
/// of service is then `Guaranteed`); else a processor is not kept waiting for a collector that sleeps.
fn resources(spec: &Map<String, Value>, present: &Value, settings: &Settings) -> Value {
    let all =
        ["containers", "initContainers"].into_iter().filter_map(|key| spec.get(key)?.as_array()).flatten();
    let is_exact = |container: &Value| {
        ["cpu", "memory"].into_iter().all(|what| {
            let (limit, request) =
                (&container["resources"]["limits"][what], &container["resources"]["requests"][what]);
            !limit.is_null() && (request.is_null() || request == limit)
        })
    };
    let is_guaranteed =
        all.filter(|container| ![INSTALLER, COLLECTOR].contains(&name(container))).all(is_exact);
    let limit = |said: &Option<String>, present: &Value, default: &str| match said {
        Some(said) => json!(said),
        None if present.is_null() => json!(default),
        None => present.clone(),
    };
    let cpu = limit(&settings.cpu, &present["cpu"], CPU);
    let memory = limit(&settings.memory, &present["memory"], MEMORY);
    let requested = if is_guaranteed { cpu.clone() } else { json!("10m") };
    json!({"requests": {"cpu": requested, "memory": memory}, "limits": {"cpu": cpu, "memory": memory}})
}

/// As strict as the restricted Pod Security Standard asks, with the user of the container that gets the sensor.
fn security_context(spec: &Map<String, Value>, (key, index): Chosen) -> Value {
    let pod = spec.get("securityContext").unwrap_or(&Value::Null);
    let container = &spec[key][index]["securityContext"];
    let mut context = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": true,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    for what in ["runAsUser", "runAsGroup", "seLinuxOptions"] {
        if !container[what].is_null() {
            context[what] = container[what].clone();
        }
    }
    let user = if container["runAsUser"].is_null() { &pod["runAsUser"] } else { &container["runAsUser"] };
    if user.is_null() {
        context["runAsUser"] = json!(USER);
        if container["runAsGroup"].is_null() && pod["runAsGroup"].is_null() {
            context["runAsGroup"] = json!(USER);
        }
    }
    // Of root's pods the added containers are root's too, as their policy may demand.
    context["runAsNonRoot"] = json!(*user != json!(0));
    context
}

fn annotate(pod: &mut Value, put: &Put) -> Result<(), Stop> {
    let pod = pod.as_object_mut().ok_or_else(|| malformed("", "a pod is no object"))?;
    let metadata = object(pod, "metadata", "")?;
    let annotations = object(metadata, "annotations", "/metadata")?;
    annotations.insert(INJECTED.into(), json!(put.containers.join(",")));
    let left: Vec<String> = put.left.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    match left.is_empty() {
        true => drop(annotations.shift_remove(LEFT)),
        false => drop(annotations.insert(LEFT.into(), json!(left.join(". ")))),
    }
    Ok(())
}

/// Puts an item in place of the one of its name, else at the end.
fn place(items: &mut Vec<Value>, item: Value) {
    match items.iter_mut().find(|present| name(present) == name(&item)) {
        Some(present) => *present = item,
        None => items.push(item),
    }
}

/// Brings the item of its name up to date, else puts it at an index.
fn add(items: &mut Vec<Value>, item: Value, index: usize) {
    match items.iter_mut().find(|present| name(present) == name(&item)) {
        Some(present) => update(present, item),
        None => items.insert(index.min(items.len()), item),
    }
}

/// Makes something of ours say what it should, and keeps what it says beyond that: what API servers fill in, a pull policy or
/// a mount that somebody added.
fn update(present: &mut Value, wanted: Value) {
    match (present, wanted) {
        (Value::Object(present), Value::Object(wanted)) => {
            // A variable has either.
            for (has, has_not) in [("value", "valueFrom"), ("valueFrom", "value")] {
                if wanted.contains_key(has) {
                    present.shift_remove(has_not);
                }
            }
            for (key, wanted) in wanted {
                match present.get_mut(&key) {
                    Some(present) => update(present, wanted),
                    None => drop(present.insert(key, wanted)),
                }
            }
        }
        (Value::Array(present), Value::Array(wanted)) if wanted.iter().all(|item| !name(item).is_empty()) => {
            for item in wanted {
                let end = present.len();
                add(present, item, end);
            }
        }
        (present, wanted) => *present = wanted,
    }
}

fn list<'v>(object: &'v mut Map<String, Value>, key: &str, at: &str) -> Result<&'v mut Vec<Value>, Stop> {
    let value = object.entry(key).or_insert(Value::Null);
    if value.is_null() {
        *value = json!([]);
    }
    value.as_array_mut().ok_or_else(|| malformed(&format!("{at}/{key}"), &format!("'{key}' is no list")))
}

fn object<'v>(
    object: &'v mut Map<String, Value>,
    key: &str,
    at: &str,
) -> Result<&'v mut Map<String, Value>, Stop> {
    let value = object.entry(key).or_insert(Value::Null);
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut().ok_or_else(|| malformed(&format!("{at}/{key}"), &format!("'{key}' is no object")))
}

fn name(item: &Value) -> &str {
    item.get("name").and_then(Value::as_str).unwrap_or_default()
}

fn name_of(container: &Map<String, Value>) -> &str {
    container.get("name").and_then(Value::as_str).unwrap_or_default()
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("'{}'", one_line(name))).collect::<Vec<_>>().join(", ")
}

fn malformed(at: &str, why: &str) -> Stop {
    Stop::Malformed(at.to_owned(), why.to_owned())
}
