//! The container, the pod and the cloud around a process.

use super::members::text;
use crate::container::Container;
use crate::event::Pod;
use crate::json::key;

/// Facts of a container that OCSF has no attribute for, by the names that OpenTelemetry has for them.
const TAGS: [(&str, &str); 5] = [
    ("aws.ecs.container.arn", "arn"),
    ("aws.ecs.task.arn", "task"),
    ("aws.ecs.task.family", "family"),
    ("aws.ecs.task.revision", "revision"),
    ("aws.ecs.cluster.arn", "cluster"),
];

/// Appends a container as an object, without its end.
pub fn container(container: &Container, pod: Option<&Pod>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (attribute, name) in [("uid", "id"), ("name", "name")] {
        if let Some(fact) = container.fact(name) {
            text(attribute, fact.as_bytes(), out);
        }
    }
    let image = container.fact("image");
    if let Some(id) = container.fact("image_id").or(image) {
        key("image", "", out);
        out.push(b'{');
        text("uid", id.as_bytes(), out);
        if let Some(name) = image {
            text("name", name.as_bytes(), out);
        }
        out.push(b'}');
    }
    if let Some(pod) = pod.filter(|pod| is_uuid(pod.uid.as_bytes())) {
        text("pod_uuid", pod.uid.as_bytes(), out);
    }
    if out.ends_with(b"{") {
        // A container needs some name.
        text("name", b"unknown", out);
    }
}

/// Appends the member `tags` of a container; nothing where there are none.
pub fn tags(container: &Container, pod: Option<&Pod>, out: &mut Vec<u8>) {
    let mut tags: Vec<(&str, &str)> =
        TAGS.iter().filter_map(|(tag, name)| Some((*tag, container.fact(name)?))).collect();
    if let Some(pod) = pod {
        tags.extend([("k8s.pod.name", &*pod.name), ("k8s.namespace.name", &*pod.namespace)]);
    }
    tags.retain(|(_, value)| !value.is_empty());
    if tags.is_empty() {
        return;
    }
    key("tags", "", out);
    out.push(b'[');
    for (index, (tag, value)) in tags.into_iter().enumerate() {
        out.extend_from_slice(if index > 0 { b",{" } else { b"{" });
        text("name", tag.as_bytes(), out);
        text("value", value.as_bytes(), out);
        out.push(b'}');
    }
    out.push(b']');
}

/// Appends the member `cloud` of a task of ECS, in whose names the region and the account stand; nothing
/// elsewhere.
pub fn cloud(container: &Container, out: &mut Vec<u8>) {
    let Some(arn) = container.fact("task").or(container.fact("arn")) else { return };
    let mut parts = arn.split(':').skip(1);
    let (partition, _, region, account) = (parts.next(), parts.next(), parts.next(), parts.next());
    key("cloud", "", out);
    out.extend_from_slice(b"{\"provider\":\"AWS\"");
    for (name, value) in [("cloud_partition", partition), ("region", region)] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            text(name, value.as_bytes(), out);
        }
    }
    if let Some(account) = account.filter(|account| !account.is_empty()) {
        key("account", "", out);
        out.extend_from_slice(b"{\"type_id\":10,\"type\":\"AWS Account\"");
        text("uid", account.as_bytes(), out);
        out.push(b'}');
    }
    out.push(b'}');
}

/// Whether a text has the form that the schema asks of a uuid. The uid of a static pod is another one.
fn is_uuid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
