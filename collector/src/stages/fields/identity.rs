//! `user.*`, `group.*`, `container.*` and `k8s.*`: in whose name, and where.

use rules::{Answer, Argument, Type};

use super::super::view::{View, text, text_unless_empty, uint};
use super::row::Field;
use crate::container::{Container, image_parts};
use crate::event::{Names, Place};

/// The rows of this file.
pub const FIELDS: &[Field] = &[
    Field::new("user.uid", Type::Uint, uid, "The effective user.", "the kernel")
        .limits("as the collector's user namespace counts"),
    Field::new("user.name", Type::Text, name, "The user's name.", "/etc/passwd")
        .limits("of processes with the collector's root; else root's only"),
    Field::new("group.gid", Type::Uint, gid, "The effective group.", "the program's start, and its calls"),
    Field::new("group.name", Type::Text, group_name, "The group's name.", "/etc/group")
        .limits("as `user.name`"),
    Field::new(
        "container.id",
        Type::Text,
        container_id,
        "The first 12 bytes of the container's id.",
        "the kernel's control groups, or the task's metadata",
    )
    .limits("`host` outside of containers, `<NA>` in a container or sandbox without a known id, none where neither is known"),
    Field::new(
        "container.full_id",
        Type::Text,
        container_full_id,
        "The container's id.",
        "the kernel's control groups, or the task's metadata",
    ),
    Field::new("container.name", Type::Text, container_name, "The container's name.", "the task's metadata")
        .limits("ECS only"),
    Field::new("container.image", Type::Text, image, "The container's image.", "the task's metadata")
        .limits("ECS only"),
    Field::new("container.image.id", Type::Text, image_id, "The image's id.", "the task's metadata")
        .limits("ECS only"),
    Field::new(
        "container.image.repository",
        Type::Text,
        repository,
        "The image without tag and digest.",
        "the task's metadata",
    )
    .limits("ECS only"),
    Field::new("container.image.tag", Type::Text, tag, "The image's tag.", "the task's metadata")
        .limits("ECS only"),
    Field::new("container.image.digest", Type::Text, digest, "The image's digest.", "the task's metadata")
        .limits("ECS only"),
];

/// The effective user, as Falco's drivers report it.
pub fn uid<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    uint(view.who.euid)
}

/// The user's name.
pub fn name<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    named(view, view.who.euid, |names| names.user.as_deref())
}

/// A name that is known; root's is the same everywhere.
fn named<'a>(view: &View<'a>, id: Option<u32>, of: fn(&'a Names) -> Option<&'a str>) -> Answer<'a> {
    let known = view.who.circumstances.names.as_deref().and_then(of);
    text(known.or((id == Some(0)).then_some("root")).map(str::as_bytes))
}

/// The effective group.
pub fn gid<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    uint(view.who.circumstances.egid)
}

/// The group's name.
pub fn group_name<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    named(view, view.who.circumstances.egid, |names| names.group.as_deref())
}

fn container<'a>(view: &View<'a>) -> Option<&'a Container> {
    view.who.container.as_deref()
}

/// The fact of this name, where it is known.
fn fact<'a>(view: &View<'a>, name: &str) -> Option<&'a str> {
    container(view)?.fact(name)
}

fn text_of(known: Option<&str>) -> Answer<'_> {
    text_unless_empty(known.unwrap_or_default().as_bytes())
}

/// The first 12 bytes of the id; `host` for a process that is in no container.
pub fn container_id<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    const SHOWN: usize = 12;
    match (container(view).map(Container::id), view.who.circumstances.place) {
        (Some(id), _) => text_of(Some(id.get(..SHOWN).unwrap_or(id))),
        (None, Place::Host) => text(Some(b"host")),
        // A value, so that rules about containers hold.
        (None, Place::Sandbox) => text(Some(b"<NA>")),
        (None, Place::Unknown) => Answer::Absent,
    }
}

/// The whole id.
pub fn container_full_id<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text_of(container(view).map(Container::id))
}

/// The name.
pub fn container_name<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text_of(fact(view, "name"))
}

/// The image as it was asked for.
pub fn image<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text_of(fact(view, "image"))
}

/// The image's name without tag and digest.
pub fn repository<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text_of(fact(view, "image").map(|image| image_parts(image).0))
}

/// The image's tag.
pub fn tag<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text_of(fact(view, "image").and_then(|image| image_parts(image).1))
}

/// The image's digest.
pub fn digest<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text_of(fact(view, "image").and_then(|image| image_parts(image).2))
}

/// The image's id.
pub fn image_id<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text_of(fact(view, "image_id"))
}
