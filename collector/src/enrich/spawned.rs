//! The file actions of posix_spawn: as text, and where they lead.

use std::io::Write;
use std::sync::Arc;

use wire::fields::{Action, FileAction, actions};
use wire::names;

use super::paths;
use super::process::{MOST_PATH, Process};

/// Appends the actions as strings, each ended by a NUL.
pub fn write(bytes: &[u8], out: &mut Vec<u8>) {
    for FileAction { action, fd, other, mode, path } in actions(bytes) {
        // Writing to a vector cannot fail.
        let _ = match action {
            Action::Close => write!(out, "close {fd}"),
            Action::Duplicate => write!(out, "dup2 {fd} {other}"),
            Action::Open => {
                let _ = write!(out, "open {fd} ");
                out.extend_from_slice(path);
                let mut separator = ' ';
                let left = names::OPEN.names(u64::from(other.cast_unsigned()), |name| {
                    let _ = write!(out, "{separator}{name}");
                    separator = '|';
                });
                if left != 0 {
                    let _ = write!(out, "{separator}{left:#x}");
                }
                let makes = other & (libc::O_CREAT | libc::O_TMPFILE & !libc::O_DIRECTORY) != 0;
                if makes { write!(out, " {mode:#o}") } else { Ok(()) }
            }
            Action::Directory => {
                out.extend_from_slice(b"chdir ");
                out.extend_from_slice(path);
                Ok(())
            }
            Action::OpenDirectory => write!(out, "fchdir {fd}"),
            Action::CloseFrom => write!(out, "closefrom {fd}"),
            Action::Terminal => write!(out, "tcsetpgrp {fd}"),
        };
        out.push(0);
    }
}

/// Actions that are followed; behind them the directory counts as unknown. Each may look at all before it.
const MOST_FOLLOWED: usize = 64;

/// The directory of a child of `process` that took the actions; empty where it is unknown. `None` where it
/// stays in its parent's.
pub fn directory(process: &mut Process, bytes: &[u8]) -> Option<Arc<[u8]>> {
    let mut moved: Option<Vec<u8>> = None;
    if actions(bytes).nth(MOST_FOLLOWED).is_some() {
        return Some(Arc::from([].as_slice()));
    }
    for one in actions(bytes) {
        let next = match one.action {
            Action::Directory => {
                let base = moved.take().map_or_else(|| Arc::clone(&process.cwd), Arc::from);
                let mut next = Vec::new();
                paths::resolve(&base, one.path, &mut next);
                next
            }
            Action::OpenDirectory => opened(process, bytes, one.fd).to_vec(),
            _ => continue,
        };
        moved = Some(if next.len() <= MOST_PATH { next } else { Vec::new() });
    }
    moved.map(Arc::from)
}

/// The path behind a descriptor of the child: one that an action made, or its parent's.
fn opened(process: &mut Process, bytes: &[u8], fd: i32) -> Arc<[u8]> {
    let made = actions(bytes).find(|one| match one.action {
        Action::Open => one.fd == fd,
        Action::Duplicate => one.other == fd,
        _ => false,
    });
    match made {
        None => process.path(fd).unwrap_or_default(),
        Some(FileAction { action: Action::Duplicate, fd, .. }) => process.path(fd).unwrap_or_default(),
        Some(FileAction { path, .. }) => {
            let mut text = Vec::new();
            paths::resolve(&process.cwd, path, &mut text);
            text.into()
        }
    }
}
