//! Descriptors that close: by a call, at an exec, at the end of a process.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use wire::events::{Counters, Kind};
use wire::record::Head;
use wire::ring::layout::FdState;

use super::Enricher;
use super::descriptors::{Descriptor, Descriptors, Target, sum};
use super::process::Process;
use super::record::is_notified;
use super::threads::Threads;
use super::values::{family_value, kind_value, protocol_value};
use crate::event::Value;
use crate::ids::{ImageId, MonoNs};
use crate::notify::decode::UNKNOWN;
use crate::rings::books::Books;

/// Descriptors that no call told of and that an image can close at its end: a scribbled table holds any
/// number.
const MOST_UNKNOWN: usize = 1024;

/// The bytes and calls of a close, [`Value::Absent`] where they are not known.
#[derive(Clone, Copy)]
struct Amounts {
    bytes_in: Value,
    bytes_out: Value,
    calls_in: Value,
    calls_out: Value,
}

impl Amounts {
    fn of(counters: Counters, value: fn(u64) -> Value) -> Self {
        let Counters { bytes_in, bytes_out, calls_in, calls_out } = counters;
        let [bytes_in, bytes_out, calls_in, calls_out] =
            [bytes_in, bytes_out, calls_in, calls_out].map(value);
        Self { bytes_in, bytes_out, calls_in, calls_out }
    }

    /// As a supervisor has them.
    fn by_word(counters: Counters) -> Self {
        Self::of(counters, |number| if number == UNKNOWN { Value::Absent } else { Value::Uint(number) })
    }
}

/// What the process counted, and its earlier images before it.
fn counted(owner: ImageId, descriptor: Option<&Descriptor>, counters: Counters) -> Amounts {
    let own = descriptor.filter(|descriptor| descriptor.owner == owner);
    let carried = own.and_then(|descriptor| descriptor.carried.as_deref().copied());
    Amounts::of(sum(counters, carried.unwrap_or_default()), Value::Uint)
}

impl Enricher {
    /// A descriptor was closed by a call, or is about to be by one that the kernel notified of: then a
    /// supervisor has counted what it could.
    pub(super) fn closed(
        &mut self,
        process: &mut Process,
        head: &Head,
        at: MonoNs,
        fd: i32,
        counters: Counters,
    ) {
        let descriptor = process.close(fd, head.seq);
        let is_socket = matches!(descriptor, Some(Descriptor { target: Target::Socket(_), .. }));
        self.begin_from(process, head, if is_socket { Kind::NetClose } else { Kind::FileClose }, at);
        let amounts = match is_notified(head) {
            true => Amounts::by_word(counters),
            false => counted(process.owner, descriptor.as_ref(), counters),
        };
        self.describe_close(process.owner, fd, descriptor.as_ref(), amounts, at);
    }

    /// Reports a descriptor that ends with its image.
    fn ended(
        &mut self,
        process: &mut Process,
        at: MonoNs,
        fd: i32,
        descriptor: Option<&Descriptor>,
        counters: Counters,
    ) {
        let is_socket = matches!(descriptor, Some(Descriptor { target: Target::Socket(_), .. }));
        self.begin(process, if is_socket { Kind::NetClose } else { Kind::FileClose }, at);
        let amounts = counted(process.owner, descriptor, counters);
        self.describe_close(process.owner, fd, descriptor, amounts, at);
    }

    fn describe_close(
        &mut self,
        owner: ImageId,
        fd: i32,
        descriptor: Option<&Descriptor>,
        amounts: Amounts,
        at: MonoNs,
    ) {
        let own = descriptor.filter(|descriptor| descriptor.owner == owner);
        let Amounts { bytes_in, bytes_out, calls_in, calls_out } = amounts;
        let open_ns = match own.map_or(MonoNs::ZERO, |descriptor| descriptor.opened) {
            MonoNs::ZERO => Value::Absent,
            opened => Value::Uint(at.since(opened)),
        };
        let fd = Value::Int(i64::from(fd));
        match descriptor.map(|descriptor| &descriptor.target) {
            Some(Target::Socket(socket)) => {
                let places = self.places.net_close;
                self.batch.set(places.fd, fd);
                self.batch.set(places.family, family_value(socket.family));
                self.batch.set(places.kind, kind_value(socket.kind));
                self.batch.set(places.protocol, protocol_value(socket.family, socket.protocol));
                self.set_text(places.local, socket.local.as_deref());
                match socket.peers.if_many() {
                    Some((count, list)) => {
                        let list = self.batch.keep(list);
                        self.batch.set(places.remotes, Value::List(list));
                        self.batch.set(places.peers, Value::Uint(count));
                    }
                    None => {
                        self.set_text(places.remote, socket.remote.as_deref());
                        self.set_text(places.host, socket.host.as_deref());
                    }
                }
                self.batch.set(places.bytes_sent, bytes_out);
                self.batch.set(places.bytes_received, bytes_in);
                self.batch.set(places.sends, calls_out);
                self.batch.set(places.receives, calls_in);
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
                self.batch.set(places.bytes_read, bytes_in);
                self.batch.set(places.bytes_written, bytes_out);
                self.batch.set(places.reads, calls_in);
                self.batch.set(places.writes, calls_out);
                self.batch.set(places.open_ns, open_ns);
            }
        }
    }

    /// A process executed the program of the image `next`: reports the descriptors that this closed, and
    /// gives the picture that `next` inherits. `books` are those of the image that is over.
    pub fn replaced(&mut self, process: &mut Process, books: &Books, next: ImageId, at: MonoNs) -> Process {
        let mut kept = Descriptors::of(process.descriptors.account());
        let descriptors = Arc::clone(&process.descriptors);
        for (fd, descriptor) in descriptors.iter() {
            let counted = books.counters(fd);
            let is_own = descriptor.owner == process.owner;
            if descriptor.is_cloexec {
                if is_own || counted != Counters::default() {
                    self.ended(process, at, fd, Some(descriptor), counted);
                }
                continue;
            }
            let mut descriptor = descriptor.clone();
            if is_own || counted != Counters::default() {
                let carried = descriptor.carried.filter(|_| is_own).map(|carried| *carried);
                descriptor.carried = Some(Box::new(sum(counted, carried.unwrap_or_default())));
                descriptor.opened = if is_own { descriptor.opened } else { MonoNs::ZERO };
                descriptor.owner = next;
            }
            kept.insert(fd, descriptor);
        }
        // Descriptors that were counted on, but that no call told of.
        for (fd, state) in books.descriptors().iter().take(MOST_UNKNOWN) {
            if state.counters != Counters::default() && descriptors.get(*fd).is_none() {
                let target = Target::File(Arc::from([].as_slice()));
                let mut descriptor = Descriptor::new(target, next, MonoNs::ZERO, false);
                descriptor.carried = Some(Box::new(state.counters));
                kept.insert(*fd, descriptor);
            }
        }
        let mut inherited = process.clone();
        inherited.threads = Threads::default();
        inherited.descriptors = Arc::new(kept);
        inherited
    }

    /// Reports every descriptor that ends with an image; gives how many could not be reported.
    pub fn close_all(&mut self, process: &mut Process, books: &Books, at: MonoNs) -> u64 {
        process.turn_back();
        let descriptors = Arc::clone(&process.descriptors);
        let counted: FxHashMap<i32, FdState> = books.descriptors().iter().copied().collect();
        for (fd, known) in descriptors.iter() {
            let state = counted.get(&fd).copied();
            let is_own = known.owner == process.owner;
            // Below the end of its table the sensor knows which of those that the image opened still are
            // open.
            let is_open = known.carried.is_some() || fd >= books.fd_capacity;
            if state.is_some() || (is_own && is_open) {
                self.ended(process, at, fd, Some(known), state.unwrap_or_default().counters);
            }
        }
        let unknown = || books.descriptors().iter().filter(|(fd, _)| descriptors.get(*fd).is_none());
        for (fd, state) in unknown().take(MOST_UNKNOWN) {
            self.ended(process, at, *fd, None, state.counters);
        }
        unknown().count().saturating_sub(MOST_UNKNOWN) as u64
    }
}
