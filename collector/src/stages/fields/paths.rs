//! `fs.path.*`: the paths that a call on files works on.

use rules::{Answer, Argument, Type};

use super::super::view::{Key, View, text};
use super::row::Field;
use super::syscalls;

const FROM: &str = "the path and the caller's directory";
const RAW: &str = "the path as it was passed";
const LIMITS: &str = "of calls that succeeded";

/// The rows of this file.
pub const FIELDS: &[Field] = &[
    Field::new("fs.path.name", Type::Text, name, "The path of a call on one.", FROM).limits(LIMITS),
    Field::new("fs.path.nameraw", Type::Text, name_raw, "The same as it was passed.", RAW).limits(LIMITS),
    Field::new("fs.path.source", Type::Text, source, "The first path of a call on two.", FROM).limits(LIMITS),
    Field::new("fs.path.sourceraw", Type::Text, source_raw, "The same as it was passed.", RAW).limits(LIMITS),
    Field::new("fs.path.target", Type::Text, target, "The second path of a call on two.", FROM)
        .limits(LIMITS),
    Field::new("fs.path.targetraw", Type::Text, target_raw, "The same as it was passed.", RAW).limits(LIMITS),
];

/// Whether the event is a call on this many paths, and succeeded.
fn is_on(view: &View<'_>, paths: usize) -> bool {
    let known = 1 + usize::from(view.text(Key::NewPath).is_some());
    view.kind().name().starts_with("file.")
        && known == paths
        && view.event.error.is_empty()
        && !matches!(syscalls::name(view), "" | "close" | "close_range" | "memfd_create")
}

/// The path.
fn name<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text(view.text(Key::Path).filter(|_| is_on(view, 1)))
}

fn name_raw<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text(view.raw_path(Key::Path).filter(|_| is_on(view, 1)))
}

fn source<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text(view.text(Key::Path).filter(|_| is_on(view, 2)))
}

fn source_raw<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text(view.raw_path(Key::Path).filter(|_| is_on(view, 2)))
}

fn target<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text(view.text(Key::NewPath).filter(|_| is_on(view, 2)))
}

fn target_raw<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text(view.raw_path(Key::NewPath).filter(|_| is_on(view, 2)))
}
