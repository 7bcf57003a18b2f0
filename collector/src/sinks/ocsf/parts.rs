//! Attributes that fields of events fill: a [`Part`] is a row's building stone. Here are those of processes,
//! the kernel and memory; those of files and of the network have files of their own.

use self::Field::{Reads, Takes};
use super::known::{Context, pid};
use super::members::{command_line, number, program_file, text};
use crate::event::Value;
use crate::json::{key, signed};
use crate::sinks::reading::Given;

/// A field that a part reads.
#[derive(Clone, Copy, Debug)]
pub enum Field {
    /// Its whole value stands in the attribute.
    Takes(&'static str),
    /// It stands in `unmapped` too.
    Reads(&'static str),
}

impl Field {
    /// The field's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Takes(name) | Self::Reads(name) => name,
        }
    }
}

/// Attributes of a line.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// The attributes, for the documentation.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test compares the documentation with it"))]
    pub fills: &'static str,
    /// The fields that it reads, by number.
    pub fields: &'static [Field],
    /// Whether the evidence of a finding has the attributes too.
    pub is_evidence: bool,
    /// Appends the attributes to an object that is open.
    pub write: Write,
}

/// Appends attributes to an object that is open.
pub type Write = fn(&Given<'_>, &Context<'_>, &mut Vec<u8>);

impl Part {
    /// Attributes that no evidence has.
    pub const fn new(fills: &'static str, fields: &'static [Field], write: Write) -> Self {
        Self { fills, fields, is_evidence: false, write }
    }

    /// The same of an evidence, too.
    pub const fn in_evidence(self) -> Self {
        Self { is_evidence: true, ..self }
    }
}

/// A process that executed another program.
pub const BY_EXEC: Part = Part::new("`launch_type_id`", &[], |_, _, out| launch(3, "Exec", out));
/// A process that is a copy of another.
pub const BY_FORK: Part = Part::new("`launch_type_id`", &[], |_, _, out| launch(2, "Fork", out));
/// A process that libc makes and that executes a program at once.
pub const BY_SPAWN: Part = Part::new("`launch_type_id`", &[], |_, _, out| launch(1, "Spawn", out));

fn launch(id: u64, name: &str, out: &mut Vec<u8>) {
    number("launch_type_id", id, out);
    text("launch_type", name.as_bytes(), out);
}

/// The process itself.
pub const OWN: Part = Part::new("`process`", &[], |_, context, out| {
    key("process", "", out);
    context.known.brief(out);
});

/// The process itself with all that is known of it.
pub const OWN_WITH_PARENT: Part = Part::new("`process`", &[], |given, context, out| {
    key("process", "", out);
    context.known.full(given.event.tid, true, out);
});

/// The process itself as its program begins. An argument vector stands in `unmapped` too: a command line does
/// not say where its arguments end.
pub const STARTED: Part = Part::new(
    "`process` with `cmd_line`, `working_directory`, `environment_variables`",
    &[Reads("argv"), Takes("cwd"), Takes("env"), Reads("path")],
    |given, context, out| {
        key("process", "", out);
        context.known.open(given.event.tid, out);
        match given.value(0) {
            Value::List(argv) => {
                key("cmd_line", "", out);
                command_line(given.batch.strings(argv), out);
            }
            _ => out.extend_from_slice(&context.known.cmd_line),
        }
        if let Some(cwd) = given.text(1) {
            text("working_directory", cwd, out);
        }
        if let Value::Map(env) = given.value(2) {
            key("environment_variables", "", out);
            out.push(b'[');
            for (index, entry) in given.batch.strings(env).enumerate() {
                let equals = entry.iter().position(|byte| *byte == b'=').unwrap_or(entry.len());
                out.extend_from_slice(if index > 0 { b",{" } else { b"{" });
                text("name", &entry[..equals], out);
                text("value", entry.get(equals + 1..).unwrap_or_default(), out);
                out.push(b'}');
            }
            out.push(b']');
        }
        context.known.close(true, out);
    },
);

/// The program that an exec asks for, as the process that it is to be.
pub const EXECUTED: Part =
    Part::new("`process` with `file`, `cmd_line`", &[Takes("path"), Reads("argv")], |given, _, out| {
        key("process", "", out);
        out.push(b'{');
        pid(given.who, out);
        if let Some(path) = given.text(0) {
            program_file(path, out);
        }
        if let Value::List(argv) = given.value(1) {
            key("cmd_line", "", out);
            command_line(given.batch.strings(argv), out);
        }
        out.push(b'}');
    });

/// The child that a process made.
pub const CHILD: Part =
    Part::new("`process.pid`", &[Takes("child")], |given, _, out| other(given.int(0), out));

/// The process that a call is aimed at.
pub const TARGET: Part =
    Part::new("`process.pid`", &[Reads("target")], |given, _, out| other(given.int(0), out));

/// Another process by its number; a negative one is that of a group.
fn other(number: Option<i64>, out: &mut Vec<u8>) {
    key("process", "", out);
    out.push(b'{');
    match number {
        Some(number) if number > 0 => {
            key("pid", "", out);
            signed(number, out);
        }
        // A process needs some name.
        Some(number) => text("uid", format!("group {}", number.unsigned_abs()).as_bytes(), out),
        None => text("uid", b"unknown", out),
    }
    out.push(b'}');
}

/// The status that a process ended with.
pub const EXIT_CODE: Part = Part::new("`exit_code`", &[Takes("code")], |given, _, out| {
    if let Some(code) = given.int(0) {
        key("exit_code", "", out);
        signed(code, out);
    }
});

/// How long something was open. Milliseconds, so the nanoseconds stay in `unmapped`.
pub const DURATION: Part = Part::new("`duration`", &[Reads("open_ns")], |given, _, out| {
    if let Some(ns) = given.uint(0) {
        number("duration", ns / 1_000_000, out);
    }
});

/// What of the kernel a call concerns: an option.
pub const KERNEL_OF_WHAT: Part = Part::new("`kernel`", &[Takes("what")], kernel);
/// What of the kernel a call concerns: a limit.
pub const KERNEL_OF_RESOURCE: Part = Part::new("`kernel`", &[Takes("resource")], kernel);
/// What of the kernel a call concerns: itself.
pub const KERNEL_OF_CALL: Part = Part::new("`kernel`", &[], kernel);

fn kernel(given: &Given<'_>, _: &Context<'_>, out: &mut Vec<u8>) {
    let call = given.event.call;
    key("kernel", "", out);
    out.push(b'{');
    match given.value(0) {
        Value::Int(_) | Value::Uint(_) => {
            let number = given.int(0).unwrap_or(i64::MAX);
            text("name", number.to_string().as_bytes(), out);
        }
        _ => text("name", given.text(0).unwrap_or(call.as_bytes()), out),
    }
    out.extend_from_slice(b",\"type_id\":2,\"type\":\"System Call\"");
    if !call.is_empty() {
        text("system_call", call.as_bytes(), out);
    }
    out.push(b'}');
}

/// Memory that becomes executable.
pub const PAGES: Part = Part::new(
    "`base_address`, `size`, `requested_permissions`",
    &[Takes("addr"), Takes("len"), Reads("prot")],
    |given, _, out| {
        if let Some(addr) = given.uint(0) {
            text("base_address", format!("{addr:#x}").as_bytes(), out);
        }
        if let Some(len) = given.uint(1) {
            number("size", len, out);
        }
        if let Some(bits) = given.bits(2) {
            number("requested_permissions", bits, out);
        }
    },
);

/// Glassbox itself.
pub const APP: Part = Part::new("`app`", &[], |_, context, out| {
    key("app", "", out);
    out.extend_from_slice(context.machine.product.as_bytes());
});
