//! From a record to an event: paths made absolute, descriptors and addresses named, hosts remembered.
//!
//! Called by the drain thread with records in their final order. [`Process`] is what is known of one process at that
//! moment; [`Enricher`] writes events into the batch that goes to the sinks next. Values follow the event table, so
//! only what one event needs beyond its own fields stands here by name.

mod addresses;
pub mod descriptors;
mod paths;
mod places;
pub mod requests;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use wire::events::{Counters, Decoded, Kind, ProcessStart};
use wire::fields::{self, AT_FDCWD, Shown};
use wire::names;
use wire::record::{Flags, Head, Via};

use crate::clock::Clock;
use crate::container::Container;
use crate::errors;
use crate::event::{Batch, Event, Span, Value, Who};
use crate::procfs;

use addresses::Address;
use descriptors::{Descriptor, Descriptors, Owner, Socket, Target};
use places::Places;
use requests::Requests;

/// Names that a process resolved, by address. More than this are not remembered.
const MOST_HOSTS: usize = 4096;

/// What is known of one process.
#[derive(Clone, Debug)]
pub struct Process {
    /// How its events show it.
    pub who: Arc<Who>,
    /// The number of the image, in its descriptors.
    pub owner: Owner,
    /// Its current directory; empty where it is unknown.
    pub cwd: Arc<[u8]>,
    /// Its open descriptors.
    pub descriptors: Arc<Descriptors>,
    /// What it had at numbers that were opened anew before their close was told of, the oldest first.
    displaced: VecDeque<Displaced>,
    /// The number of the record that is being told.
    seq: u64,
    /// Names that it, or the process it was forked from, resolved last.
    hosts: Arc<FxHashMap<IpAddr, Arc<[u8]>>>,
    /// The batch that knows `who`, and its number there.
    listed: (u64, u32),
}

/// A descriptor whose number was opened anew while its close was on its way: a thread takes the record's number, closes,
/// and may lose the processor before it writes the record.
#[derive(Clone, Debug)]
struct Displaced {
    fd: i32,
    /// The number of the record that opened it anew.
    by_seq: u64,
    descriptor: Descriptor,
}

/// Descriptors whose close is still awaited; one that never comes passed the sensor by.
const MOST_DISPLACED: usize = 64;

impl Process {
    /// A process of which only its numbers are known.
    pub fn new(who: Who, owner: Owner) -> Self {
        Self {
            who: Arc::new(who),
            owner,
            cwd: Arc::from([].as_slice()),
            descriptors: Arc::default(),
            displaced: VecDeque::new(),
            seq: 0,
            hosts: Arc::default(),
            listed: (0, 0),
        }
    }

    /// A process that was forked from this one.
    pub fn fork(&self, who: Who, owner: Owner) -> Self {
        let displaced = VecDeque::new();
        Self { who: Arc::new(who), owner, displaced, listed: (0, 0), ..self.clone() }
    }

    /// Says that its events show another image from here on.
    pub fn set_exe(&mut self, exe: &[u8]) {
        self.who = Arc::new(Who { exe: exe.into(), ..(*self.who).clone() });
        self.listed = (0, 0);
    }

    /// Says that its events show `after` from here on, if they showed the container `before`.
    pub fn rename(&mut self, before: &Arc<Container>, after: &Arc<Container>) {
        if self.who.container.as_ref().is_some_and(|container| Arc::ptr_eq(container, before)) {
            self.who = Arc::new(Who { container: Some(Arc::clone(after)), ..(*self.who).clone() });
            self.listed = (0, 0);
        }
    }

    /// Says that its events show another identity from here on.
    fn set_ids(&mut self, uid: u32, euid: u32) {
        if (self.who.uid, self.who.euid) != (Some(uid), Some(euid)) {
            self.who = Arc::new(Who { uid: Some(uid), euid: Some(euid), ..(*self.who).clone() });
            self.listed = (0, 0);
        }
    }

    /// The process that a pidfd stands for.
    fn behind_pidfd(&mut self, fd: i32) -> Option<i64> {
        let path = self.path(fd)?;
        match path.strip_prefix(b"pidfd:") {
            Some(pid) => std::str::from_utf8(pid).ok()?.parse().ok(),
            None => procfs::behind_pidfd(self.visible_pid()?, fd),
        }
    }

    /// The pid to look up in /proc; `None` where that would be another process.
    fn visible_pid(&self) -> Option<u32> {
        self.who.pid_ns.is_none().then_some(self.who.pid)
    }

    /// Notes a descriptor as `/proc/PID/fd` shows it, unless a call told more.
    pub fn seed(&mut self, fd: i32, link: &[u8]) {
        let is_known = self.descriptors.get(fd).is_some_and(|known| match &known.target {
            Target::File(path) => **path == *link,
            // The socket's number adds nothing to its addresses.
            Target::Socket(_) => link.starts_with(b"socket:"),
        });
        if !is_known {
            // Whoever opened it was not this image; a close on exec it did not survive.
            let descriptor = Descriptor::new(target_of(link), 0, 0, false);
            Arc::make_mut(&mut self.descriptors).insert(fd, descriptor);
        }
    }

    /// The descriptor's target; asks /proc for one that no call told of.
    fn target(&mut self, fd: i32) -> Option<&Target> {
        if self.descriptors.get(fd).is_none() {
            let link = procfs::descriptor(self.visible_pid()?, fd)?;
            self.seed(fd, &link);
        }
        Some(&self.descriptors.get(fd)?.target)
    }

    /// The path behind a descriptor.
    fn path(&mut self, fd: i32) -> Option<Arc<[u8]>> {
        match self.target(fd)? {
            Target::File(path) => Some(Arc::clone(path)),
            Target::Socket(_) => None,
        }
    }

    fn socket(&self, fd: i32) -> Option<&Arc<Socket>> {
        match &self.descriptors.get(fd)?.target {
            Target::Socket(socket) => Some(socket),
            Target::File(_) => None,
        }
    }

    /// Lets `change` alter what is known of the socket `fd`; one that was inherited from outside begins empty.
    fn change_socket(&mut self, fd: i32, change: impl FnOnce(&mut Socket)) {
        let owner = self.owner;
        let descriptors = Arc::make_mut(&mut self.descriptors);
        if let Some(Descriptor { target: Target::Socket(socket), .. }) = descriptors.get_mut(fd) {
            change(Arc::make_mut(socket));
        } else {
            let mut socket = Socket::default();
            change(&mut socket);
            descriptors.insert(fd, Descriptor::new(Target::Socket(Arc::new(socket)), owner, 0, false));
        }
    }

    fn open(&mut self, fd: i32, target: Target, time_ns: u64, is_cloexec: bool) {
        let descriptor = Descriptor::new(target, self.owner, time_ns, is_cloexec);
        let descriptors = Arc::make_mut(&mut self.descriptors);
        if let Some(descriptor) = descriptors.remove(fd) {
            if self.displaced.len() >= MOST_DISPLACED {
                self.displaced.pop_front();
            }
            self.displaced.push_back(Displaced { fd, by_seq: self.seq, descriptor });
        }
        descriptors.insert(fd, descriptor);
    }

    /// Takes out what the close with the number `seq` closed.
    fn close(&mut self, fd: i32, seq: u64) -> Option<Descriptor> {
        let is_its = |late: &Displaced| late.fd == fd && late.by_seq > seq;
        if let Some(index) = self.displaced.iter().position(is_its) {
            return self.displaced.remove(index).map(|late| late.descriptor);
        }
        // Looked for first: a table that is shared with a parent is not copied for nothing.
        self.descriptors.get(fd)?;
        Arc::make_mut(&mut self.descriptors).remove(fd)
    }

    fn duplicate(&mut self, fd: i32, target: i32, time_ns: u64, is_cloexec: bool) {
        let _ = self.target(fd);
        if let Some(original) = self.descriptors.get(fd) {
            let copy = original.target.clone();
            self.open(target, copy, time_ns, is_cloexec);
        } else {
            // Better nothing than what was there before.
            Arc::make_mut(&mut self.descriptors).remove(target);
        }
    }
}

/// What a link of `/proc/PID/fd` stands for.
fn target_of(link: &[u8]) -> Target {
    if link.starts_with(b"socket:") { Target::Socket(Arc::default()) } else { Target::File(link.into()) }
}

/// What a record meant beyond its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The process made another, by its own view's number; `None` where it failed, or did not learn the number.
    Forked(Option<u32>),
    /// A program is about to be executed. Its path is [`Enricher::last_path`].
    ExecAsked,
    /// A wait told how a child ended: its number, the wait status, what it used.
    ChildEnded(u32, i32, Option<wire::events::Usage>),
}

/// Writes events.
#[derive(Debug)]
pub struct Enricher {
    /// Where events go.
    pub batch: Batch,
    batch_number: u64,
    /// Full batches that come before it: a batch holds events of one request only.
    sealed: Vec<Batch>,
    /// Which request was served when.
    pub requests: Requests,
    /// Turns the sensors' times into UTC.
    pub clock: Clock,
    places: Places,
    /// Calls' names by number: the table's own look-up walks two lists.
    calls: Vec<&'static str>,
    text: Vec<u8>,
}

impl Default for Enricher {
    fn default() -> Self {
        Self {
            batch: Batch::default(),
            batch_number: 1,
            sealed: Vec::new(),
            requests: Requests::default(),
            clock: Clock::sample(),
            places: Places::default(),
            calls: Vec::new(),
            text: Vec::new(),
        }
    }
}

impl Enricher {
    /// Puts `empty` in place of the batch and gives the filled one.
    pub fn take_batch(&mut self, mut empty: Batch) -> Batch {
        self.batch_number += 1;
        empty.request_id.clone_from(&self.batch.request_id);
        std::mem::replace(&mut self.batch, empty)
    }

    /// The batches that come before the one that [`Self::take_batch`] gives.
    pub fn take_sealed(&mut self) -> Vec<Batch> {
        std::mem::take(&mut self.sealed)
    }

    /// Makes sure that what is pushed next, which happened at `time_ns`, is in a batch of its request.
    #[inline]
    fn turn_to(&mut self, time_ns: u64) {
        if self.requests.at(time_ns) != self.batch.request_id.as_ref() {
            let request_id = self.requests.at(time_ns).cloned();
            if !self.batch.is_empty() {
                let sealed = self.take_batch(Batch::default());
                self.sealed.push(sealed);
            }
            self.batch.request_id = request_id;
        }
    }

    fn list(&mut self, process: &mut Process) -> u32 {
        if process.listed.0 != self.batch_number {
            process.listed = (self.batch_number, self.batch.whos.len() as u32);
            self.batch.whos.push(Arc::clone(&process.who));
        }
        process.listed.1
    }

    fn call(&mut self, number: u16) -> &'static str {
        let index = usize::from(number);
        if index >= self.calls.len() {
            let known = self.calls.len();
            self.calls.extend((known..=index).map(|id| hook_table::name(id as u16).unwrap_or("")));
        }
        self.calls[index]
    }

    /// Begins an event that the collector makes itself.
    pub fn begin(&mut self, process: &mut Process, kind: Kind, time_ns: u64) {
        self.turn_to(time_ns);
        let event = Event {
            time_ns: self.clock.utc_ns(time_ns),
            kind,
            via: None,
            is_truncated: false,
            call: "",
            error: "",
            seq: None,
            ret: None,
            tid: process.who.pid,
            who: self.list(process),
            values_at: 0,
        };
        self.batch.push(event);
    }

    fn begin_from(&mut self, process: &mut Process, head: &Head, kind: Kind, time_ns: u64) {
        self.turn_to(time_ns);
        let is_returned = head.flags & Flags::RETURNED != 0;
        let call = self.call(head.call);
        let event = Event {
            time_ns: self.clock.utc_ns(time_ns),
            kind,
            via: Via::from_byte(head.via),
            is_truncated: head.flags & Flags::TRUNCATED != 0,
            call,
            error: error_of(head, kind, call),
            seq: (head.flags & Flags::STAMPED != 0).then_some(head.seq),
            ret: is_returned.then_some(head.ret),
            tid: head.tid,
            who: self.list(process),
            values_at: 0,
        };
        self.batch.push(event);
    }

    /// What a program's first record says of it; `before` is the image that it follows in the same process, or the
    /// process that it was forked from.
    pub fn start(
        &mut self,
        start: &ProcessStart<'_>,
        who: Who,
        owner: Owner,
        before: Option<&Process>,
    ) -> Process {
        let mut process = match before {
            Some(before) => before.fork(who, owner),
            None => Process::new(who, owner),
        };
        self.text.clear();
        paths::resolve(b"/", start.cwd, &mut self.text);
        process.cwd = if start.cwd.is_empty() { process.cwd } else { self.text.as_slice().into() };
        process
    }

    /// Turns a record into an event of `process` at `time_ns`, and keeps the picture of the process right.
    pub fn record(
        &mut self,
        process: &mut Process,
        head: &Head,
        time_ns: u64,
        decoded: &Decoded<'_>,
    ) -> Effect {
        // What counts is what the process has afterwards; a failed call changed nothing.
        let has_failed = head.errno != 0;
        if head.flags & Flags::STAMPED != 0 {
            process.seq = head.seq;
        }
        match decoded {
            Decoded::FdClosed(closed) => {
                self.closed(process, head, time_ns, closed.fd, closed.counters.unwrap_or_default());
                return Effect::None;
            }
            Decoded::FdDuped(duped) => {
                process.duplicate(duped.fd, duped.target, time_ns, duped.cloexec);
                return Effect::None;
            }
            Decoded::FdRange(range) => {
                Arc::make_mut(&mut process.descriptors).in_range(range.first, range.last, |slot| {
                    if range.cloexec {
                        slot.iter_mut().for_each(|descriptor| descriptor.is_cloexec = true);
                    } else {
                        *slot = None;
                    }
                });
                return Effect::None;
            }
            Decoded::DirChange(change) => {
                self.text.clear();
                if path_text(process, &change.path, false, &mut self.text) {
                    process.cwd = self.text.as_slice().into();
                }
                return Effect::None;
            }
            Decoded::FdFlags(flags) => {
                if let Some(descriptor) = Arc::make_mut(&mut process.descriptors).get_mut(flags.fd) {
                    descriptor.is_cloexec = flags.cloexec;
                }
                return Effect::None;
            }
            Decoded::ChildStatus(child) => {
                return Effect::ChildEnded(child.child, child.status, child.usage);
            }
            Decoded::FdMade(made) => {
                let target = match made.label {
                    label if label.starts_with(b"socket:") => {
                        let text = |address: &[u8]| {
                            let mut text = Vec::new();
                            Address::of(address).write(&process.cwd, &mut text);
                            (!text.is_empty()).then(|| text.into())
                        };
                        // A pair is of the Unix family, without addresses (socketpair(2)).
                        let family = if made.local.0.is_empty() {
                            libc::AF_UNIX
                        } else {
                            addresses::family(made.local.0)
                        };
                        let (local, remote) = (text(made.local.0), text(made.remote.0));
                        Target::Socket(Arc::new(Socket {
                            family: Some(family),
                            local,
                            remote,
                            ..Socket::default()
                        }))
                    }
                    label => Target::File(label.into()),
                };
                process.open(made.fd, target, time_ns, made.cloexec);
                return Effect::None;
            }
            _ => {}
        }
        let Some(kind) = Kind::from_number(head.kind) else { return Effect::None };
        self.begin_from(process, head, kind, time_ns);
        let is_named = is_name(decoded, self.batch.events.last().map_or("", |event| event.call));
        let batch = &mut self.batch;
        decoded.show(&mut |place, shown| {
            let value = value_of(batch, process, shown, is_named);
            batch.set(place, value);
        });
        match decoded {
            Decoded::ProcessStart(_) => self.batch.set(self.places.start_coverage, Value::Word("hooked")),
            Decoded::ProcessFork(fork) => {
                return Effect::Forked(fork.child.filter(|_| !has_failed));
            }
            Decoded::ProcessExec(_) if head.flags & Flags::RETURNED == 0 => return Effect::ExecAsked,
            Decoded::FileOpen(open) => {
                if let (Some(fd), false) = (open.fd, has_failed) {
                    const CLOEXEC: u32 = 0o2_000_000;
                    let path = self.text_shown(self.places.open_path).unwrap_or_default();
                    let target = Target::File(path.into());
                    process.open(fd, target, time_ns, open.flags.0 & CLOEXEC != 0);
                }
            }
            Decoded::ProcessSignal(sent) => {
                if let Some(pidfd) = sent.pidfd.0 {
                    let target = process.behind_pidfd(pidfd).map_or(Value::Absent, Value::Int);
                    self.batch.set(self.places.signal_target, target);
                }
            }
            Decoded::ProcessCredentials(changed) => {
                if let (Some(uid), Some(euid)) = (changed.real_uid.0, changed.effective_uid.0) {
                    process.set_ids(uid, euid);
                }
            }
            Decoded::ProcessNamespace(changed) => {
                let table = match changed.what {
                    b"mount" => &names::MOUNT,
                    b"umount" => &names::UMOUNT,
                    _ => &names::NAMESPACE,
                };
                self.batch.set(self.places.namespace_flags, Value::Names(table, changed.flags.0));
            }
            Decoded::FileSymlink(link) => self.points_at(link.path.raw.unwrap_or_default()),
            Decoded::NetSocket(made) => {
                if let (Some(fd), false) = (made.fd, has_failed) {
                    let socket = Socket {
                        family: Some(made.family.0),
                        kind: Some(made.r#type.0 & 0xf),
                        protocol: Some(made.protocol.0),
                        ..Socket::default()
                    };
                    let is_cloexec = made.r#type.0 & libc::SOCK_CLOEXEC != 0;
                    process.open(fd, Target::Socket(Arc::new(socket)), time_ns, is_cloexec);
                }
            }
            Decoded::NetBind(bind) => {
                let local = self.text_shown(self.places.bind_local);
                let family = (!bind.local.0.is_empty()).then(|| addresses::family(bind.local.0));
                if !has_failed && let Some(local) = local {
                    process.change_socket(bind.fd, |socket| {
                        socket.local = Some(local.into());
                        socket.family = socket.family.or(family);
                    });
                }
                let socket = process.socket(bind.fd).cloned().unwrap_or_default();
                self.batch.set(self.places.bind_family, family_value(family.or(socket.family)));
                self.batch.set(self.places.bind_type, kind_value(socket.kind));
                self.batch.set(self.places.bind_protocol, protocol_value(socket.protocol));
            }
            Decoded::NetListen(listen) => {
                let socket = process.socket(listen.fd).cloned().unwrap_or_default();
                self.set_text(self.places.listen_local, socket.local.as_deref());
                self.batch.set(self.places.listen_family, family_value(socket.family));
                self.batch.set(self.places.listen_type, kind_value(socket.kind));
                self.batch.set(self.places.listen_protocol, protocol_value(socket.protocol));
            }
            Decoded::NetConnect(connect) => self.connected(process, head, connect.fd, connect.remote.0),
            Decoded::NetAccept(accept) => {
                let listener = process.socket(accept.listener.0).cloned().unwrap_or_default();
                let family = listener
                    .family
                    .or_else(|| (!accept.remote.0.is_empty()).then(|| addresses::family(accept.remote.0)));
                self.set_text(self.places.accept_local, listener.local.as_deref());
                self.batch.set(self.places.accept_family, family_value(family));
                if let (Some(fd), false) = (accept.fd, has_failed) {
                    let remote = self.text_shown(self.places.accept_remote).map(Box::from);
                    let socket = Socket { family, remote, ..(*listener).clone() };
                    process.open(fd, Target::Socket(Arc::new(socket)), time_ns, false);
                }
            }
            Decoded::DnsQuery(query) => {
                // An address in place of a name is resolved to itself.
                let is_name = |host: &[u8]| {
                    std::str::from_utf8(host).map_or(true, |host| host.parse::<IpAddr>().is_err())
                };
                if let Some(host) = query.host.filter(|host| !query.answers.0.is_empty() && is_name(host)) {
                    let hosts = Arc::make_mut(&mut process.hosts);
                    let host: Arc<[u8]> = host.into();
                    for ip in addresses::answers(query.answers.0) {
                        if hosts.len() < MOST_HOSTS || hosts.contains_key(&ip) {
                            hosts.insert(ip, Arc::clone(&host));
                        }
                    }
                }
            }
            Decoded::MemoryMap(map) => {
                if let Some(path) = process.path(map.fd.0) {
                    self.set_text(self.places.map_path, Some(&path));
                }
            }
            Decoded::FdDuplicate(duplicate) => {
                match process.target(duplicate.fd) {
                    Some(Target::File(path)) => {
                        let path = Arc::clone(path);
                        self.set_text(self.places.duplicate_path, Some(&path));
                    }
                    Some(Target::Socket(socket)) => {
                        let socket = Arc::clone(socket);
                        self.set_text(self.places.duplicate_remote, socket.remote.as_deref());
                    }
                    None => {}
                }
                if !has_failed {
                    process.duplicate(duplicate.fd, duplicate.target, time_ns, duplicate.cloexec.0);
                }
            }
            _ => {}
        }
        Effect::None
    }

    /// A symbolic link is relative to the directory that it stands in, not to the caller's.
    fn points_at(&mut self, target: &[u8]) {
        if target.is_empty() || target.starts_with(b"/") {
            return;
        }
        let Some(link) = self.text_shown(self.places.symlink_new_path) else { return };
        let parent = link.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash.max(1));
        let mut text = Vec::new();
        paths::resolve(link.get(..parent).unwrap_or_default(), target, &mut text);
        let (path, raw) = (self.batch.keep(&text), self.batch.keep(target));
        self.batch.set(self.places.symlink_path, Value::Path(path, Some(raw)));
    }

    fn connected(&mut self, process: &mut Process, head: &Head, fd: i32, remote: &[u8]) {
        let is_pending = i32::from(head.errno) == libc::EINPROGRESS;
        let family = (!remote.is_empty()).then(|| addresses::family(remote));
        self.batch.set(self.places.connect_family, family_value(family));
        if let Some(ip) = Address::of(remote).ip() {
            let host = process.hosts.get(&ip.to_canonical()).or_else(|| process.hosts.get(&ip)).cloned();
            self.set_text(self.places.connect_host, host.as_deref());
        }
        if is_pending {
            self.batch.set(self.places.connect_pending, Value::Bool(true));
        }
        if (head.errno == 0 || is_pending)
            && let Some(text) = self.text_shown(self.places.connect_remote)
        {
            process.change_socket(fd, |socket| {
                socket.remote = Some(text.into());
                socket.family = socket.family.or(family);
            });
        }
    }

    /// A descriptor was closed by a call.
    fn closed(&mut self, process: &mut Process, head: &Head, time_ns: u64, fd: i32, counters: Counters) {
        let descriptor = process.close(fd, head.seq);
        let target = descriptor.as_ref().map(|descriptor| &descriptor.target);
        let kind = if matches!(target, Some(Target::Socket(_))) { Kind::NetClose } else { Kind::FileClose };
        self.begin_from(process, head, kind, time_ns);
        self.describe_close(process.owner, fd, descriptor.as_ref(), counters, time_ns);
    }

    /// Reports a descriptor that ends with its image.
    pub fn ended(
        &mut self,
        process: &mut Process,
        time_ns: u64,
        fd: i32,
        descriptor: Option<&Descriptor>,
        counters: Counters,
    ) {
        let is_socket = matches!(descriptor, Some(Descriptor { target: Target::Socket(_), .. }));
        self.begin(process, if is_socket { Kind::NetClose } else { Kind::FileClose }, time_ns);
        self.describe_close(process.owner, fd, descriptor, counters, time_ns);
    }

    fn describe_close(
        &mut self,
        owner: Owner,
        fd: i32,
        descriptor: Option<&Descriptor>,
        counters: Counters,
        time_ns: u64,
    ) {
        let own = descriptor.filter(|descriptor| descriptor.owner == owner);
        let carried = own.and_then(|descriptor| descriptor.carried.as_deref().copied());
        let counters = descriptors::sum(counters, carried.unwrap_or_default());
        let opened_ns = own.map_or(0, |descriptor| descriptor.opened_ns);
        let open_ns = match opened_ns {
            0 => Value::Absent,
            opened_ns => Value::Uint(time_ns.saturating_sub(opened_ns)),
        };
        let fd = Value::Int(i64::from(fd));
        match descriptor.map(|descriptor| &descriptor.target) {
            Some(Target::Socket(socket)) => {
                let places = self.places.net_close;
                self.batch.set(places.fd, fd);
                self.batch.set(places.family, family_value(socket.family));
                self.set_text(places.local, socket.local.as_deref());
                self.set_text(places.remote, socket.remote.as_deref());
                self.batch.set(places.bytes_sent, Value::Uint(counters.bytes_out));
                self.batch.set(places.bytes_received, Value::Uint(counters.bytes_in));
                self.batch.set(places.sends, Value::Uint(counters.calls_out));
                self.batch.set(places.receives, Value::Uint(counters.calls_in));
                self.batch.set(places.open_ns, open_ns);
            }
            target => {
                let places = self.places.file_close;
                if let Some(Target::File(path)) = target
                    && !path.is_empty()
                {
                    let span = self.batch.keep(path);
                    self.batch.set(places.path, Value::Path(span, None));
                }
                self.batch.set(places.fd, fd);
                self.batch.set(places.bytes_read, Value::Uint(counters.bytes_in));
                self.batch.set(places.bytes_written, Value::Uint(counters.bytes_out));
                self.batch.set(places.reads, Value::Uint(counters.calls_in));
                self.batch.set(places.writes, Value::Uint(counters.calls_out));
                self.batch.set(places.open_ns, open_ns);
            }
        }
    }

    /// Reports that events of a process were lost.
    pub fn lost(&mut self, process: &mut Process, time_ns: u64, count: u64, reason: &'static str) {
        self.begin(process, Kind::SensorLoss, time_ns);
        self.batch.set(self.places.loss_count, Value::Uint(count));
        self.batch.set(self.places.loss_reason, Value::Word(reason));
    }

    /// Reports a program that cannot be seen into.
    pub fn blind(&mut self, process: &mut Process, time_ns: u64, path: &[u8], reason: &'static str) {
        self.begin(process, Kind::SensorBlind, time_ns);
        self.set_text(self.places.blind_path, (!path.is_empty()).then_some(path));
        self.batch.set(self.places.blind_reason, Value::Word(reason));
    }

    /// Reports the end of a process.
    pub fn exited(&mut self, process: &mut Process, time_ns: u64, exit: &Exit) {
        self.begin(process, Kind::ProcessExit, time_ns);
        let places = self.places.exit;
        let status = exit.wait_status;
        match status {
            Some(status) if libc::WIFSIGNALED(status) => {
                self.batch.set(places.signal, Value::Int(i64::from(libc::WTERMSIG(status))));
            }
            Some(status) => self.batch.set(places.code, Value::Int(i64::from(libc::WEXITSTATUS(status)))),
            None => self.batch.set(places.cause, Value::Word("unknown")),
        }
        let or_absent = |value: Option<u64>| value.map_or(Value::Absent, Value::Uint);
        self.batch.set(places.user_ns, or_absent(exit.user_ns));
        self.batch.set(places.system_ns, or_absent(exit.system_ns));
        self.batch.set(places.max_rss, or_absent(exit.max_rss));
        self.batch.set(places.sensor_ns, Value::Uint(exit.sensor_ns));
        self.batch.set(places.calls, Value::Uint(exit.calls));
        self.batch.set(places.events, Value::Uint(exit.events));
        self.batch.set(places.lost, Value::Uint(exit.lost));
    }

    fn set_text(&mut self, place: usize, text: Option<&[u8]>) {
        if let Some(text) = text {
            let span = self.batch.keep(text);
            self.batch.set(place, Value::Text(span));
        }
    }

    /// The text at `place` of the event written last; `None` where it is absent or empty.
    fn text_shown(&self, place: usize) -> Option<&[u8]> {
        let event = self.batch.events.last()?;
        let value = *self.batch.values(event).get(place)?;
        self.batch.text(value).filter(|text| !text.is_empty())
    }

    /// The program of the `process.exec` written last.
    pub fn last_path(&self) -> &[u8] {
        self.text_shown(self.places.exec_path).unwrap_or_default()
    }

    /// The peer of the `net.connect` written last, where it has an IP address.
    pub fn last_remote(&self) -> Option<SocketAddr> {
        let text = std::str::from_utf8(self.text_shown(self.places.connect_remote)?).ok()?;
        let address: SocketAddr = text.parse().ok()?;
        // Programs with sockets of both families have IPv4 addresses inside IPv6's.
        Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }
}

/// The end of a process: how, and its two ledgers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// As waitpid(2) gives it; `None` where it cannot be known.
    pub wait_status: Option<i32>,
    /// Processor time in user mode.
    pub user_ns: Option<u64>,
    /// Processor time in the kernel.
    pub system_ns: Option<u64>,
    /// Largest resident set, bytes.
    pub max_rss: Option<u64>,
    /// Time spent in the sensor.
    pub sensor_ns: u64,
    /// Hooked calls.
    pub calls: u64,
    /// Events delivered.
    pub events: u64,
    /// Events lost.
    pub lost: u64,
}

fn error_of(head: &Head, kind: Kind, call: &str) -> &'static str {
    let is_pending = kind == Kind::NetConnect && i32::from(head.errno) == libc::EINPROGRESS;
    if is_pending {
        return "";
    }
    if head.errno != 0 {
        return errors::errno_name(head.errno);
    }
    if kind == Kind::DnsQuery && call == "getaddrinfo" {
        return errors::resolver_name(head.ret).unwrap_or("");
    }
    ""
}

/// Whether the event's path is a name that is not relative to any directory.
fn is_name(decoded: &Decoded<'_>, call: &str) -> bool {
    match decoded {
        Decoded::LibLoad(load) => !load.path.raw.unwrap_or_default().contains(&b'/'),
        Decoded::FileOpen(_) => call == "memfd_create",
        _ => false,
    }
}

/// Appends the absolute form of a record's path; false where there is nothing to say.
fn path_text(process: &mut Process, path: &fields::Path<'_>, is_named: bool, out: &mut Vec<u8>) -> bool {
    let raw = path.raw.unwrap_or_default();
    let is_relative = raw.first() != Some(&b'/');
    if is_named || (path.dir < 0 && path.dir != AT_FDCWD && is_relative) {
        out.extend_from_slice(raw);
        return !raw.is_empty();
    }
    if !is_relative {
        paths::resolve(b"/", raw, out);
        return true;
    }
    if path.dir == AT_FDCWD {
        if process.cwd.is_empty()
            && let Some(cwd) = process.visible_pid().and_then(procfs::cwd)
        {
            process.cwd = cwd.into();
        }
        paths::resolve(&process.cwd, raw, out);
        return true;
    }
    match process.path(path.dir) {
        Some(directory) => paths::resolve(&directory, raw, out),
        // A descriptor that nobody knows anything of.
        None if path.raw.is_none() => return false,
        None => out.extend_from_slice(raw),
    }
    true
}

fn path_value(batch: &mut Batch, process: &mut Process, path: &fields::Path<'_>, is_named: bool) -> Value {
    let mut is_known = false;
    let resolved = batch.keep_with(|out| is_known = path_text(process, path, is_named, out));
    if !is_known {
        return Value::Absent;
    }
    let raw = path.raw.filter(|raw| batch.bytes(resolved) != *raw);
    let raw: Option<Span> = raw.map(|raw| batch.keep(raw));
    Value::Path(resolved, raw)
}

fn value_of(batch: &mut Batch, process: &mut Process, shown: Shown<'_>, is_named: bool) -> Value {
    match shown {
        Shown::Absent => Value::Absent,
        Shown::Int(number) => Value::Int(number),
        Shown::Uint(number) => Value::Uint(number),
        Shown::Bool(truth) => Value::Bool(truth),
        Shown::Text(text) => Value::Text(batch.keep(text)),
        Shown::Path(path) => path_value(batch, process, &path, is_named),
        Shown::List(list) => Value::List(strings(batch, list)),
        Shown::Map(list) => Value::Map(strings(batch, list)),
        Shown::Word(word) => Value::Word(word),
        Shown::Names(table, bits) => Value::Names(table, bits),
        Shown::Address(bytes) => {
            let cwd = Arc::clone(&process.cwd);
            let span = batch.keep_with(|out| Address::of(bytes).write(&cwd, out));
            if batch.bytes(span).is_empty() { Value::Absent } else { Value::Text(span) }
        }
        Shown::Answers(bytes) => Value::List(batch.keep_with(|out| {
            for ip in addresses::answers(bytes) {
                out.extend_from_slice(ip.to_string().as_bytes());
                out.push(0);
            }
        })),
    }
}

fn strings(batch: &mut Batch, list: fields::Args<'_>) -> Span {
    match list {
        fields::Args::Packed(bytes) if bytes.is_empty() || bytes.ends_with(&[0]) => batch.keep(bytes),
        other => batch.keep_with(|out| {
            for string in other.iter() {
                out.extend_from_slice(string);
                out.push(0);
            }
        }),
    }
}

fn named(table: &'static [(i64, &'static str)], value: Option<i32>) -> Value {
    value.map_or(Value::Absent, |value| {
        names::word(table, i64::from(value)).map_or(Value::Int(i64::from(value)), Value::Word)
    })
}

fn family_value(family: Option<i32>) -> Value {
    named(names::FAMILY, family)
}

fn kind_value(kind: Option<i32>) -> Value {
    named(names::SOCKET_TYPE, kind)
}

fn protocol_value(protocol: Option<i32>) -> Value {
    named(names::PROTOCOL, protocol)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> Target {
        Target::File(path.as_bytes().into())
    }

    fn process() -> Process {
        Process::new(Who::default(), 1)
    }

    fn open(process: &mut Process, seq: u64, fd: i32, path: &str) {
        process.seq = seq;
        process.open(fd, file(path), 0, false);
    }

    fn close(process: &mut Process, seq: u64, fd: i32) -> Option<Target> {
        process.close(fd, seq).map(|closed| closed.target)
    }

    #[test]
    fn close_told_after_its_number_was_opened_anew_is_that_of_the_first() {
        let mut process = process();
        for (seq, path) in [(1, "/a"), (3, "/b"), (5, "/c")] {
            open(&mut process, seq, 3, path);
        }

        let told = [2, 6, 4].map(|seq| close(&mut process, seq, 3));

        assert_eq!(["/a", "/c", "/b"].map(|path| Some(file(path))), told);
        assert_eq!(None, close(&mut process, 7, 3));
    }

    #[test]
    fn close_that_was_never_told_harms_no_later_one() {
        let mut process = process();
        for seq in 0..1000 {
            open(&mut process, seq, 3, "/unclosed");
        }

        open(&mut process, 1000, 3, "/closed");

        assert_eq!(Some(file("/closed")), close(&mut process, 1001, 3));
        assert!(process.displaced.len() <= MOST_DISPLACED);
    }
}
