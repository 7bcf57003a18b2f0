//! What is known of the container and the pod around a process.

use rules::{Answer, Argument, Glob, Type};

use super::super::view::{View, made, text, text_unless_empty, truth};
use super::row::Field;
use crate::event::{Mount, Place, Pod, Surroundings};

const MOUNTS: &str = "/proc/PID/mountinfo, and the collector's own";
const PRIVILEGES: &str = "/proc/PID/status, /proc/PID/mountinfo";
/// Sources are paths of the collector.
const OF_MOUNTS: &str = "of a process in another mount namespace than the collector's; as the program \
                         began; not what every container gets (below /sys, /proc itself)";
const OF_DEST: &str = "`N/A` where nothing of the collector's files at that path, or pattern, is mounted; \
                       `<NA>` in a container of which that is not known: one whose mount namespace the \
                       collector is in itself, or cannot see";
const LAYER: &str = "exact where the collector sees the layer (from the host); else by the file's last \
                     change, which counts from the container's start, not from its making, and says nothing \
                     where the container shares the machine's processes; false on other file systems than \
                     overlay";
const PRIVILEGED: &str = "true where the bounding set has every capability and no part of /proc is hidden, \
                          so also of a container that was given both one by one; none outside of containers";
const POD: &str = "the control group, and the downward API as `glassbox patch k8s` gives it to the collector";
const OWN_POD: &str = "of the collector's own pod, as `glassbox patch k8s` makes it";

/// The rows of this file.
pub const FIELDS: &[Field] = &[
    Field::new(
        "proc.is_exe_upper_layer",
        Type::Bool,
        is_exe_added,
        "Whether the image was added to the container, or changed in it.",
        "/proc/PID/mountinfo, the layer or the file's time",
    )
    .limits(LAYER)
    .of_surroundings(),
    Field::new(
        "container.privileged",
        Type::Bool,
        is_privileged,
        "Whether the container has every right of the host.",
        PRIVILEGES,
    )
    .limits(PRIVILEGED)
    .of_surroundings(),
    Field::new(
        "container.mounts",
        Type::Text,
        mounts,
        "The mounts of the container: `source:place::rdwr:`, with blanks between them.",
        MOUNTS,
    )
    .limits(OF_MOUNTS)
    .of_surroundings(),
    Field::new(
        "container.mount",
        Type::Text,
        mount,
        "One of them, by its source, a path or pattern.",
        MOUNTS,
    )
    .keyed()
    .limits(OF_DEST)
    .of_surroundings(),
    Field::new(
        "container.mount.dest",
        Type::Text,
        destination,
        "Where it is mounted, by its source, a path or pattern.",
        MOUNTS,
    )
    .keyed()
    .limits(OF_DEST)
    .of_surroundings(),
    Field::new(
        "container.mount.source",
        Type::Text,
        source,
        "Its source, by where it is mounted, a path or pattern.",
        MOUNTS,
    )
    .keyed()
    .limits(OF_DEST)
    .of_surroundings(),
    Field::new("container.mount.rdwr", Type::Text, is_writable, "Whether it can be written.", MOUNTS)
        .keyed()
        .limits(OF_DEST)
        .of_surroundings(),
    Field::new("k8s.ns.name", Type::Text, pod_namespace, "The namespace of the pod.", POD).limits(OWN_POD),
    Field::new("k8s.pod.name", Type::Text, pod_name, "The pod.", POD).limits(OWN_POD),
    Field::new("k8s.pod.id", Type::Text, pod_uid, "The pod's uid.", POD),
    Field::new("k8s.pod.uid", Type::Text, pod_uid, "The pod's uid.", POD),
];

fn known<'a>(view: &View<'a>) -> Option<&'a Surroundings> {
    view.who.circumstances.surroundings.as_deref()
}

fn is_exe_added<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    truth(known(view).and_then(|known| known.is_exe_added))
}

fn is_privileged<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    truth(known(view).and_then(|known| known.is_privileged))
}

fn mounts<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    let known = known(view).and_then(|known| known.mounts.as_deref());
    made(known.map(|mounts| mounts.iter().map(line).collect::<Vec<_>>().join(b" ".as_slice())))
}

/// A mount as Falco writes it; mode and propagation are what the engine was told, and not known.
fn line(mount: &Mount) -> Vec<u8> {
    [&*mount.source, b":", &*mount.place, b"::", rdwr(mount), b":"].concat()
}

fn rdwr(mount: &Mount) -> &'static [u8] {
    if mount.is_writable { b"true" } else { b"false" }
}

/// A part of the first mount whose `key` matches the argument. Rules look for `N/A`, which is Falco's for
/// none, and take `<NA>` for none too.
fn part<'a>(
    view: &View<'a>,
    argument: Option<&Argument>,
    key: impl Fn(&'a Mount) -> &'a [u8],
    of: impl Fn(&'a Mount) -> Answer<'a>,
) -> Answer<'a> {
    let Some(Argument::Key(pattern)) = argument else { return Answer::Absent };
    let circumstances = &view.who.circumstances;
    let is_contained = view.who.container.is_some() || circumstances.place == Place::Sandbox;
    let Some(mounts) = known(view).and_then(|known| known.mounts.as_deref()) else {
        return text(Some(if is_contained { b"<NA>" } else { b"N/A" }));
    };
    let pattern = Glob::new(pattern.as_bytes(), false);
    let found = mounts.iter().find(|mount| pattern.matches(key(mount)));
    found.map_or(text(Some(b"N/A")), of)
}

fn mount<'a>(view: &View<'a>, argument: Option<&Argument>) -> Answer<'a> {
    part(view, argument, |mount| &mount.source, |mount| made(Some(line(mount))))
}

fn destination<'a>(view: &View<'a>, argument: Option<&Argument>) -> Answer<'a> {
    part(view, argument, |mount| &mount.source, |mount| text(Some(&mount.place)))
}

fn source<'a>(view: &View<'a>, argument: Option<&Argument>) -> Answer<'a> {
    part(view, argument, |mount| &mount.place, |mount| text(Some(&mount.source)))
}

fn is_writable<'a>(view: &View<'a>, argument: Option<&Argument>) -> Answer<'a> {
    part(view, argument, |mount| &mount.source, |mount| text(Some(rdwr(mount))))
}

fn of_pod<'a>(view: &View<'a>, of: impl Fn(&'a Pod) -> &'a str) -> Answer<'a> {
    let pod = view.who.circumstances.pod.as_deref();
    text_unless_empty(pod.map(of).unwrap_or_default().as_bytes())
}

fn pod_namespace<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    of_pod(view, |pod| &pod.namespace)
}

fn pod_name<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    of_pod(view, |pod| &pod.name)
}

fn pod_uid<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    of_pod(view, |pod| &pod.uid)
}
