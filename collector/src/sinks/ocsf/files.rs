//! Attributes of OCSF that are files.

use super::known::Context;
use super::members::{Type, file, text};
use super::parts::Field::{Reads, Takes};
use super::parts::Part;
use crate::json::{key, signed};
use crate::sinks::reading::Given;

/// A file by its path. Most events do not say what kind of file it is.
pub const FILE: Part = Part::new("`file`", &[Takes("path")], |given, _, out| {
    file("file", given.text(0), of_path(given.text(0)), |_| {}, out);
})
.in_evidence();

/// A directory.
pub const FOLDER: Part = Part::new("`file`", &[Takes("path")], |given, _, out| {
    file("file", given.text(0), Type::Folder, |_| {}, out);
})
.in_evidence();

/// A symbolic link.
pub const LINK: Part = Part::new("`file`", &[Takes("path")], |given, _, out| {
    file("file", given.text(0), Type::Link, |_| {}, out);
})
.in_evidence();

/// A file that is opened.
pub const OPENED: Part = Part::new("`file`", &[Takes("path"), Reads("flags")], |given, _, out| {
    let kind = match given.has(1, "O_DIRECTORY") {
        true if !given.has_failed() => Type::Folder,
        _ if given.event.call == "memfd_create" => Type::Regular,
        _ => of_path(given.text(0)),
    };
    file("file", given.text(0), kind, |_| {}, out);
})
.in_evidence();

/// The name that a file gets besides the one that it has.
pub const NEW: Part = Part::new("`file`", &[Takes("new_path")], |given, _, out| {
    file("file", given.text(0), of_path(given.text(0)), |_| {}, out);
})
.in_evidence();

/// A symbolic link that is made.
pub const NEW_LINK: Part = Part::new("`file`", &[Takes("new_path")], |given, _, out| {
    file("file", given.text(0), Type::Link, |_| {}, out);
})
.in_evidence();

/// The name that a file has after the call.
pub const RESULT: Part = Part::new("`file_result`", &[Takes("new_path")], |given, _, out| {
    if let Some(path) = given.text(0) {
        file("file_result", Some(path), of_path(Some(path)), |_| {}, out);
    }
});

/// A file that gets another owner.
pub const OWNED: Part =
    Part::new("`file` with `owner`", &[Takes("path"), Reads("owner")], |given, _, out| {
        let owner = given.uint(1).filter(|owner| *owner < u64::from(u32::MAX));
        let more = |out: &mut Vec<u8>| {
            if let Some(owner) = owner {
                key("owner", "", out);
                out.push(b'{');
                text("uid", owner.to_string().as_bytes(), out);
                out.push(b'}');
            }
        };
        file("file", given.text(0), of_path(given.text(0)), more, out);
    })
    .in_evidence();

/// A file that gets another length.
pub const SIZED: Part =
    Part::new("`file` with `size`", &[Takes("path"), Takes("length")], |given, _, out| {
        let more = |out: &mut Vec<u8>| {
            if let Some(length) = given.int(1) {
                key("size", "", out);
                signed(length, out);
            }
        };
        file("file", given.text(0), Type::Regular, more, out);
    })
    .in_evidence();

/// A file that gets other times: milliseconds, so the nanoseconds stay in `unmapped`.
pub const TIMED: Part = Part::new(
    "`file` with `accessed_time`, `modified_time`",
    &[Takes("path"), Reads("accessed"), Reads("modified")],
    |given, _, out| {
        let more = |out: &mut Vec<u8>| {
            for (name, ns) in [("accessed_time", given.int(1)), ("modified_time", given.int(2))] {
                if let Some(ns) = ns {
                    key(name, "", out);
                    signed(ns.div_euclid(1_000_000), out);
                }
            }
        };
        file("file", given.text(0), of_path(given.text(0)), more, out);
    },
)
.in_evidence();

/// A file that is made by name: `mode` says what kind it is.
pub const NODE: Part = Part::new("`file`", &[Takes("path"), Reads("mode")], |given, _, out| {
    const KIND: u64 = 0o170_000;
    let kind = match given.uint(1).map(|mode| mode & KIND) {
        Some(0 | 0o100_000) => Type::Regular,
        Some(0o010_000) => Type::Pipe,
        Some(0o020_000) => Type::CharacterDevice,
        Some(0o060_000) => Type::BlockDevice,
        Some(0o140_000) => Type::Socket,
        _ => Type::Unknown,
    };
    file("file", given.text(0), kind, |_| {}, out);
})
.in_evidence();

/// A library.
pub const MODULE: Part = Part::new("`module.file`", &[Takes("path")], |given, _, out| {
    key("module", "", out);
    out.extend_from_slice(b"{\"load_type_id\":1,\"load_type\":\"Standard\"");
    file("file", given.text(0), Type::Regular, |_| {}, out);
    out.push(b'}');
});

/// A module of the kernel.
pub const DRIVER: Part =
    Part::new("`driver.file`", &[Takes("path"), Reads("name")], |given: &Given<'_>, _: &Context<'_>, out| {
        key("driver", "", out);
        out.push(b'{');
        file("file", given.text(0).or(given.text(1)), Type::Regular, |_| {}, out);
        out.push(b'}');
    });

/// What links in /proc/PID/fd say of a descriptor that is no file with a name.
fn of_path(path: Option<&[u8]>) -> Type {
    match path.unwrap_or_default() {
        path if path.starts_with(b"/memfd:") || path.starts_with(b"memfd:") => Type::Regular,
        path if path.starts_with(b"pipe:") => Type::Pipe,
        path if path.starts_with(b"socket:") => Type::Socket,
        _ => Type::Unknown,
    }
}
