//! What lines say of a process and of the machine: the same in many lines, so it is written once and kept.

use std::sync::Arc;

use super::class::VERSION;
use super::members::{command_line, number, program_file, text};
use super::surroundings;
use crate::event::{Program, Who};
use crate::ids::Tid;
use crate::json::{key, string, unsigned};
use crate::sinks::reading::{base, cut};

/// Bytes of a command line in lines that are not about the process itself.
const LONGEST_COMMAND: usize = 1024;
/// Ancestors in a line.
const MOST_ANCESTORS: usize = 16;

/// What a part may say besides the fields of its event.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub machine: &'a Machine,
    pub known: &'a Known,
}

/// The machine that the collector runs at, and glassbox itself.
#[derive(Debug)]
pub struct Machine {
    pub hostname: String,
    /// The object `device`.
    pub device: Vec<u8>,
    /// Glassbox as an object.
    pub product: String,
    /// The object `metadata` without its end, for each set of profiles.
    pub metadata: [Vec<u8>; Profiles::SETS],
}

/// The profiles of a line besides those of every line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Profiles {
    pub has_container: bool,
    pub has_cloud: bool,
}

impl Profiles {
    const SETS: usize = 4;

    fn of(set: usize) -> Self {
        Self { has_container: set & 1 != 0, has_cloud: set & 2 != 0 }
    }

    /// The number of the set.
    pub fn set(self) -> usize {
        usize::from(self.has_container) | usize::from(self.has_cloud) << 1
    }

    /// The names of all profiles of a line.
    fn names(self) -> Vec<&'static str> {
        let mut names = vec!["datetime", "host", "linux/linux_users"];
        names.extend(self.has_container.then_some("container"));
        names.extend(self.has_cloud.then_some("cloud"));
        names
    }
}

impl Machine {
    /// This machine.
    pub fn this() -> Self {
        let name = rustix::system::uname();
        let [host, kernel, system] =
            [name.nodename(), name.release(), name.sysname()].map(|text| text.to_bytes());
        let mut device = Vec::from(b"{");
        text("hostname", host, &mut device);
        device.extend_from_slice(b",\"type_id\":0,\"os\":{");
        text("name", system, &mut device);
        device.extend_from_slice(b",\"type_id\":200,\"type\":\"Linux\"");
        text("kernel_release", kernel, &mut device);
        device.extend_from_slice(b"}}");
        let product = format!(
            "{{\"name\":\"glassbox\",\"vendor_name\":\"glassbox\",\"version\":\"{}\"}}",
            env!("CARGO_PKG_VERSION")
        );
        let metadata = std::array::from_fn(|set| {
            let profiles = Profiles::of(set).names().join("\",\"");
            format!(
                "{{\"metadata\":{{\"version\":\"{VERSION}\",\"product\":{product},\"profiles\":[\"{profiles}\"],\
                 \"extensions\":[{{\"name\":\"linux\",\"uid\":\"1\",\"version\":\"{VERSION}\"}}],\
                 \"log_name\":\"glassbox\""
            )
            .into_bytes()
        });
        Self { hostname: String::from_utf8_lossy(host).into_owned(), device, product, metadata }
    }
}

/// The text of one process image.
#[derive(Debug, Default)]
pub struct Known {
    pub profiles: Profiles,
    /// Members of the process: who it is.
    brief: Vec<u8>,
    /// The member `cmd_line`, cut.
    pub cmd_line: Vec<u8>,
    /// Members of the process: all else.
    rest: Vec<u8>,
    /// The container without its end; empty for none.
    container: Vec<u8>,
    /// The member `tags` of the container.
    tags: Vec<u8>,
    /// The object `user`; empty where it is not known.
    user: Vec<u8>,
    /// The process that made it, an object.
    pub parent: Vec<u8>,
    /// The member `cloud`, empty where that is not known.
    pub cloud: Vec<u8>,
    /// Members of `unmapped`.
    pub unmapped: Vec<u8>,
}

impl Known {
    /// The text of an image.
    pub fn of(who: &Who) -> Self {
        let mut known = Self::default();
        let program = &who.program;
        pid(who, &mut known.brief);
        program_file(&program.exe, &mut known.brief);
        user(who, &mut known.user);
        if !known.user.is_empty() {
            key("user", "", &mut known.brief);
            known.brief.extend_from_slice(&known.user);
        }
        command(program, &mut known.cmd_line);
        known.identity(who);
        known.ancestors(who);
        if let Some(container) = &who.container {
            known.profiles.has_container = true;
            let pod = who.circumstances.pod.as_deref();
            surroundings::container(container, pod, &mut known.container);
            surroundings::tags(container, pod, &mut known.tags);
            surroundings::cloud(container, &mut known.cloud);
            known.profiles.has_cloud = !known.cloud.is_empty();
        }
        known.unmapped_text(who);
        known
    }

    fn identity(&mut self, who: &Who) {
        let circumstances = &who.circumstances;
        let facts = &who.program.facts;
        let login = circumstances.background.as_deref().and_then(|background| background.login);
        for (name, id) in [("euid", who.euid), ("egid", circumstances.egid), ("auid", login)] {
            if let Some(id) = id {
                number(name, id.into(), &mut self.rest);
            }
        }
        if let Some(gid) = circumstances.egid {
            key("group", "", &mut self.rest);
            self.rest.push(b'{');
            text("uid", gid.to_string().as_bytes(), &mut self.rest);
            if let Some(group) = circumstances.names.as_deref().and_then(|names| names.group.as_deref()) {
                text("name", group.as_bytes(), &mut self.rest);
            }
            self.rest.push(b'}');
        }
        if let Some(started) = facts.started {
            number("created_time", started.0 / 1_000_000, &mut self.rest);
        }
        if let Some(own) = facts.own_pid.filter(|own| *own != who.pid()) {
            self.profiles.has_container = true;
            number("namespace_pid", own.0.into(), &mut self.rest);
        }
    }

    fn ancestors(&mut self, who: &Who) {
        let parent = who.program.parent.as_deref();
        match (parent, who.ppid) {
            (Some(parent), _) => {
                self.parent.push(b'{');
                number("pid", parent.pid.0.into(), &mut self.parent);
                program_name(parent, &mut self.parent);
                program_file(&parent.exe, &mut self.parent);
                command(parent, &mut self.parent);
                self.parent.push(b'}');
            }
            (None, Some(ppid)) => {
                self.parent.push(b'{');
                number("pid", ppid.0.into(), &mut self.parent);
                self.parent.push(b'}');
            }
            (None, None) => {}
        }
        if !self.parent.is_empty() {
            key("parent_process", "", &mut self.rest);
            self.rest.extend_from_slice(&self.parent);
        }
        if parent.is_none() {
            return;
        }
        key("ancestry", "", &mut self.rest);
        self.rest.push(b'[');
        for (index, ancestor) in who.program.ancestors().take(MOST_ANCESTORS).enumerate() {
            self.rest.extend_from_slice(if index > 0 { b",{" } else { b"{" });
            number("pid", ancestor.pid.0.into(), &mut self.rest);
            program_name(ancestor, &mut self.rest);
            if !ancestor.exe.is_empty() {
                text("path", &ancestor.exe, &mut self.rest);
            }
            self.rest.push(b'}');
        }
        self.rest.push(b']');
    }

    fn unmapped_text(&mut self, who: &Who) {
        let out = &mut self.unmapped;
        for (name, number) in [("pid_ns", who.pid_ns), ("mnt_ns", who.mnt_ns)] {
            if let Some(number) = number {
                key(name, "", out);
                unsigned(number, out);
            }
        }
        if let Some(uid) = who.uid_inside {
            number("uid_inside", uid.into(), out);
        }
        if !who.claimed.is_empty() {
            key("claimed", "", out);
            crate::json::list(who.claimed.names().map(str::as_bytes), out);
        }
    }

    /// Appends the process as an object: who it is, and its command line.
    pub fn brief(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        out.extend_from_slice(members(&self.brief));
        out.extend_from_slice(&self.cmd_line);
        out.push(b'}');
    }

    /// Appends the process as an object with all that is known; the names of its container too if
    /// `is_described`.
    pub fn full(&self, tid: Tid, is_described: bool, out: &mut Vec<u8>) {
        self.open(tid, out);
        out.extend_from_slice(&self.cmd_line);
        self.close(is_described, out);
    }

    /// Begins the process as an object.
    pub fn open(&self, tid: Tid, out: &mut Vec<u8>) {
        out.push(b'{');
        out.extend_from_slice(members(&self.brief));
        if tid != Tid(0) {
            number("ptid", tid.0.into(), out);
        }
    }

    /// Ends the process as an object.
    pub fn close(&self, is_described: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.rest);
        if !self.container.is_empty() {
            key("container", "", out);
            out.extend_from_slice(&self.container);
            if is_described {
                out.extend_from_slice(&self.tags);
            }
            out.push(b'}');
        }
        out.push(b'}');
    }

    /// Appends the member `actor`: the process, or the one that made it.
    pub fn actor(&self, tid: Tid, is_parent: bool, is_described: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"actor\":{\"process\":");
        if is_parent && !self.parent.is_empty() {
            out.extend_from_slice(&self.parent);
        } else {
            self.full(tid, is_described, out);
        }
        if !self.user.is_empty() {
            out.extend_from_slice(b",\"user\":");
            out.extend_from_slice(&self.user);
        }
        out.push(b'}');
    }
}

/// Members without the comma before the first, for an object that is open.
fn members(text: &[u8]) -> &[u8] {
    text.strip_prefix(b",").unwrap_or(text)
}

/// Appends `pid` and `name` of a process.
pub fn pid(who: &Who, out: &mut Vec<u8>) {
    number("pid", who.pid().0.into(), out);
    program_name(&who.program, out);
}

fn program_name(program: &Program, out: &mut Vec<u8>) {
    let name = match program.facts.comm.bytes() {
        [] => base(&program.exe),
        comm => comm,
    };
    if !name.is_empty() {
        text("name", name, out);
    }
}

fn command(program: &Program, out: &mut Vec<u8>) {
    let Some(argv) = program.argv.strip_suffix(b"\0") else { return };
    key("cmd_line", "", out);
    if argv.len() > LONGEST_COMMAND {
        let line: Vec<u8> =
            cut(argv, LONGEST_COMMAND).iter().map(|byte| if *byte == 0 { b' ' } else { *byte }).collect();
        return string(&[&*line, "…".as_bytes()].concat(), out);
    }
    command_line(argv.split(|byte| *byte == 0), out);
}

/// The real user: the effective one stands in `euid`.
fn user(who: &Who, out: &mut Vec<u8>) {
    let Some(uid) = who.uid else { return };
    out.push(b'{');
    text("uid", uid.to_string().as_bytes(), out);
    let names = who.circumstances.names.as_deref().filter(|_| who.euid == Some(uid));
    let name = names.and_then(|names| names.user.as_deref()).or((uid == 0).then_some("root"));
    if let Some(name) = name {
        text("name", name.as_bytes(), out);
    }
    out.push(b'}');
}

/// The texts of images that came lately. Events of several processes alternate, so it keeps more than one.
#[derive(Debug, Default)]
pub struct Lately {
    kept: Vec<Option<(Arc<Who>, Known)>>,
}

impl Lately {
    const PLACES: usize = 64;

    /// The text of an image.
    pub fn known(&mut self, who: &Arc<Who>) -> &Known {
        if self.kept.is_empty() {
            self.kept.resize_with(Self::PLACES, || None);
        }
        // An image has an address of its own while it is kept; the lowest bits are the same for all.
        let place = (Arc::as_ptr(who) as usize >> 6) % Self::PLACES;
        let kept = &mut self.kept[place];
        if kept.as_ref().is_none_or(|(of, _)| !Arc::ptr_eq(of, who)) {
            *kept = None;
        }
        &kept.get_or_insert_with(|| (Arc::clone(who), Known::of(who))).1
    }
}
