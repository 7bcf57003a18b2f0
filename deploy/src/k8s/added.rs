//! The two containers that a pod gets: one that installs the sensor, and one that collects.

use serde_json::{Map, Value, json};

use super::command::has_supervised;
use super::names::{COLLECTOR, FOLDER, INSTALLER, LISTS, Place, VOLUME, name};
use super::request::Request;
use crate::config;
use crate::image::{COLLECTOR_PATH, DEFAULT_IMAGE};

/// The user of the added containers where the pod names none: the number that images without root use.
const USER: u32 = 65532;

/// The limits of the added containers where neither the request nor the pod gives others.
const CPU: &str = "500m";
const MEMORY: &str = "128Mi";

/// The names that tell the collector's records of one pod from those of others, from the downward API.
const NAMES: [(&str, &str); 4] = [
    ("K8S_POD_NAME", "metadata.name"),
    ("K8S_NAMESPACE_NAME", "metadata.namespace"),
    ("K8S_POD_UID", "metadata.uid"),
    ("K8S_NODE_NAME", "spec.nodeName"),
];

/// Where the collector listens.
pub struct Socket {
    path: String,
    /// A pod on the host's network shares the host's abstract names, and the collector listens at the
    /// abstract name equal to its path. There the path holds the pod's uid.
    pub is_of_pod: bool,
}

impl Socket {
    /// The socket in a pod with this `spec`.
    pub fn of(spec: &Map<String, Value>) -> Self {
        let is_of_pod = spec.get("hostNetwork") == Some(&json!(true));
        let file = if is_of_pod { "$(GLASSBOX_POD)" } else { "socket" };
        Self { path: format!("{FOLDER}/{file}"), is_of_pod }
    }

    /// The variables in order: the kubelet expands references to the variables in front.
    pub fn environment(&self) -> Vec<Value> {
        let pod = json!({"name": "GLASSBOX_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}});
        let socket = json!({"name": "GLASSBOX_SOCKET", "value": self.path});
        if self.is_of_pod { vec![pod, socket] } else { vec![socket] }
    }
}

/// The two added containers, for a pod whose own containers are prepared. Settings of present ones that the
/// request does not name stay as they are.
pub fn added(spec: &Map<String, Value>, model: Place, socket: &Socket, request: &Request) -> [Value; 2] {
    let present = spec.get("initContainers").and_then(Value::as_array).into_iter().flatten();
    let present = present.into_iter().find(|container| name(container) == COLLECTOR).unwrap_or(&Value::Null);
    let image = match &request.image {
        Some(image) => json!(image),
        None if present["image"].is_string() => present["image"].clone(),
        None => json!(DEFAULT_IMAGE),
    };
    let start = || vec![COLLECTOR_PATH.to_owned(), "collect".to_owned()];
    let command = if request.outputs.is_empty() {
        let words = present["command"].as_array().map(|words| {
            words.iter().map(|word| word.as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
        });
        let words = words.unwrap_or_else(|| [start(), config::DEFAULT.map(str::to_owned).into()].concat());
        match words.strip_prefix(start().as_slice()) {
            Some(rest) => [start(), config::options(rest, request.config.as_ref())].concat(),
            None => words,
        }
    } else {
        let options = request.outputs.iter().flat_map(|output| ["-o".to_owned(), output.clone()]);
        start().into_iter().chain(options).collect()
    };
    let configured = request.config.as_ref().filter(|config| !config.is_none());
    let configured =
        configured.map(|config| json!({"name": config::VARIABLE, "value": config.for_kubernetes()}));
    let resources = resources(spec, &present["resources"]["limits"], request);
    let security_context = security_context(spec, model);
    let names =
        NAMES.map(|(name, path)| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}));
    let with_command = has_supervised(spec).then_some("--with-command");
    let install: Vec<&str> =
        [COLLECTOR_PATH, "install"].into_iter().chain(with_command).chain([FOLDER]).collect();
    let installer = json!({
        "name": INSTALLER,
        "image": image,
        "command": install,
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
        "env": names.into_iter().chain(socket.environment()).chain(configured).collect::<Vec<_>>(),
        "volumeMounts": [{"name": VOLUME, "mountPath": FOLDER}],
        "startupProbe": {
            "exec": {"command": [COLLECTOR_PATH, "health"]},
            "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 60,
        },
        "resources": resources,
        "securityContext": security_context,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    });
    [installer, collector]
}

/// The resources of the added containers. If every container of the pod requests exactly its limits, the
/// added ones do too, so that the pod's quality of service stays `Guaranteed`; otherwise they request little,
/// since a collector that sleeps needs no processor of its own.
fn resources(spec: &Map<String, Value>, present: &Value, request: &Request) -> Value {
    let all = LISTS.into_iter().filter_map(|key| spec.get(key)?.as_array()).flatten();
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
    let cpu = limit(&request.cpu, &present["cpu"], CPU);
    let memory = limit(&request.memory, &present["memory"], MEMORY);
    let requested = if is_guaranteed { cpu.clone() } else { json!("10m") };
    json!({"requests": {"cpu": requested, "memory": memory}, "limits": {"cpu": cpu, "memory": memory}})
}

/// A context as strict as the restricted Pod Security Standard demands, with the user of the container that
/// gets the sensor.
fn security_context(spec: &Map<String, Value>, (key, index): Place) -> Value {
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
    // In a pod that runs as root the added containers run as root too, as the pod's policy may demand.
    context["runAsNonRoot"] = json!(*user != json!(0));
    context
}
