//! What records come from: the service, the machine and the container, as attributes of a resource; and the
//! attributes of a process that all of its records share. Both are encoded once.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::message::{ATTRIBUTES, Any, RESOURCE_ATTRIBUTES, attribute, list};
use super::names::CONTAINER;
use crate::container::{Container, image_parts};
use crate::event::{Pod, Who};
use crate::sinks::reading::{base, cut};
use crate::system::clock::TimeWriter;

/// Bytes of an argument vector in records that are not about the process itself.
const LONGEST_ARGUMENTS: usize = 1024;
/// The name of the service where no variable says another.
const SERVICE: &str = "glassbox";

/// The attributes of the collector's machine and of the service, by name.
///
/// `OTEL_SERVICE_NAME` counts before `OTEL_RESOURCE_ATTRIBUTES`, and these before what is found out, as
/// <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/> has it.
pub fn of_machine(variable: impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let name = rustix::system::uname();
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut attributes: BTreeMap<String, String> = [
        ("service.name", SERVICE.to_owned()),
        ("host.name", name.nodename().to_string_lossy().into_owned()),
        ("host.arch", arch.to_owned()),
        ("os.type", "linux".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let given = variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    for pair in given.split(',') {
        let Some((name, value)) = pair.split_once('=') else { continue };
        let value = percent_decode_str(value.trim()).decode_utf8_lossy().into_owned();
        attributes.insert(name.trim().to_owned(), value);
    }
    if let Some(service) = variable("OTEL_SERVICE_NAME").filter(|service| !service.is_empty()) {
        attributes.insert("service.name".to_owned(), service);
    }
    attributes.retain(|name, _| !name.is_empty());
    attributes
}

/// Appends the attributes of a resource: those of the machine, and of a container and its pod. A variable's
/// attribute counts before one of the same name that is found out.
pub fn of_container(
    machine: &BTreeMap<String, String>,
    container: Option<&Container>,
    pod: Option<&Pod>,
    out: &mut Vec<u8>,
) {
    let mut found: Vec<(&str, String)> = Vec::new();
    let mut tags = Vec::new();
    if let Some(container) = container {
        for (name, fact) in CONTAINER {
            found.extend(container.fact(fact).map(|fact| (name, fact.to_owned())));
        }
        if let Some(image) = container.fact("image") {
            let (repository, tag, _) = image_parts(image);
            found.push(("container.image.name", repository.to_owned()));
            tags.extend(tag);
        }
        if let Some(arn) = container.fact("task") {
            let mut parts = arn.split(':').skip(3);
            found.push(("cloud.provider", "aws".to_owned()));
            found.push(("cloud.platform", "aws_ecs".to_owned()));
            found.extend(parts.next().map(|region| ("cloud.region", region.to_owned())));
            found.extend(parts.next().map(|account| ("cloud.account.id", account.to_owned())));
            found.extend(arn.rsplit('/').next().map(|id| ("aws.ecs.task.id", id.to_owned())));
        }
    }
    if let Some(pod) = pod {
        found.extend(
            [("k8s.pod.uid", &pod.uid), ("k8s.pod.name", &pod.name), ("k8s.namespace.name", &pod.namespace)]
                .map(|(name, value)| (name, value.to_string())),
        );
    }
    found.retain(|(name, value)| !value.is_empty() && !machine.contains_key(*name));
    let found = found.iter().map(|(name, value)| (*name, value));
    for (name, value) in machine.iter().map(|(name, value)| (&**name, value)).chain(found) {
        attribute(RESOURCE_ATTRIBUTES, name.as_bytes(), Any::Text(value.as_bytes()), out);
    }
    if !tags.is_empty() {
        list(RESOURCE_ATTRIBUTES, "container.image.tags", tags.into_iter().map(str::as_bytes), out);
    }
}

/// Attributes of records that belong to one process image.
#[derive(Debug, Default)]
pub struct Process {
    /// Those of every record.
    pub always: Vec<u8>,
    /// Those of records that are not about the start of the program, which has them itself.
    pub later: Vec<u8>,
}

impl Process {
    /// Of an image.
    pub fn of(who: &Who) -> Self {
        let mut process = Self::default();
        let (program, circumstances) = (&who.program, &who.circumstances);
        let out = &mut process.always;
        for (name, value) in [
            ("process.pid", Some(who.pid().0)),
            ("process.parent_pid", who.ppid.map(|ppid| ppid.0)),
            ("process.vpid", program.facts.own_pid.map(|pid| pid.0)),
            ("process.user.id", who.euid),
            ("process.real_user.id", who.uid),
            ("glassbox.uid_inside", who.uid_inside),
        ] {
            if let Some(value) = value {
                attribute(ATTRIBUTES, name.as_bytes(), Any::Int(value.into()), out);
            }
        }
        let user = circumstances.names.as_deref().and_then(|names| names.user.as_deref());
        if let Some(user) = user {
            attribute(ATTRIBUTES, b"process.user.name", Any::Text(user.as_bytes()), out);
        }
        if !who.exe().is_empty() {
            attribute(ATTRIBUTES, b"process.executable.path", Any::Text(who.exe()), out);
            attribute(ATTRIBUTES, b"process.executable.name", Any::Text(base(who.exe())), out);
        }
        if let Some(started) = program.facts.started {
            let mut time = TimeWriter::default();
            attribute(ATTRIBUTES, b"process.creation.time", Any::Text(time.utc(started.0)), out);
        }
        for (name, number) in [("glassbox.pid_ns", who.pid_ns), ("glassbox.mnt_ns", who.mnt_ns)] {
            if let Some(number) = number.and_then(|number| i64::try_from(number).ok()) {
                attribute(ATTRIBUTES, name.as_bytes(), Any::Int(number), out);
            }
        }
        if !who.claimed.is_empty() {
            list(ATTRIBUTES, "glassbox.claimed", who.claimed.names().map(str::as_bytes), out);
        }
        let out = &mut process.later;
        if let Some(argv) = program.argv.strip_suffix(b"\0") {
            let kept = cut(argv, LONGEST_ARGUMENTS).split(|byte| *byte == 0);
            list(ATTRIBUTES, "process.command_args", kept, out);
        }
        if !circumstances.cwd.is_empty() {
            attribute(ATTRIBUTES, b"process.working_directory", Any::Text(&circumstances.cwd), out);
        }
        process
    }
}
