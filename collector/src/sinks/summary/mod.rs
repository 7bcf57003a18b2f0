//! `summary`: gathers what happened while it happens, and says it in a page at the end.
//!
//! Everything on the page comes from events alone, so that a `replay` gives the summary that the run gave.

mod gathered;
mod page;
mod places;
mod table;
#[cfg(test)]
mod tests;
mod tree;

use super::carrier;
use super::encoder::{Encoder, Format, RunFacts};
use super::framing::Framing;
use super::text::Style;
use crate::event::Batch;

use gathered::Gathered;

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "summary",
    help: "a process tree, files written, network peers, losses and cost, at the end",
    framing: Framing::Page,
    reaches: carrier::LOCAL,
    build: |plan| Box::new(Summary::new(Style::new(plan.is_coloured))),
};

/// Writes one page.
#[derive(Debug)]
pub struct Summary {
    style: Style,
    gathered: Gathered,
}

impl Summary {
    /// An encoder in this style.
    pub fn new(style: Style) -> Self {
        Self {
            style,
            at: Places::default(),
            first_ns: u64::MAX,
            last_ns: 0,
            kinds: vec![0; KINDS],
            tree: Tree::default(),
            nodes: Vec::new(),
            files: Files {
                by_path: Capped::new(MOST_PATHS),
                opened: 0,
                failed: 0,
                errors: Errors::default(),
                changes: FxHashMap::default(),
            },
            net: Net {
                listening: Capped::new(MOST_PEERS),
                accepted: Capped::new(MOST_PEERS),
                peers: Capped::new(MOST_PEERS),
                names: Capped::new(MOST_PEERS),
            },
            losses: FxHashMap::default(),
            lost: 0,
            cost: Cost::default(),
            blind: Capped::new(MOST_PEERS),
            notable: FxHashMap::default(),
        }
    }

    /// The process that an event belongs to; `None` once there are too many.
    fn node(&mut self, batch: &Batch, event: &Event) -> Option<u32> {
        let slot = self.nodes.get_mut(event.who as usize)?;
        if slot.is_none() {
            *slot = self.tree.find(batch.who(event), event.time.0);
        }
        *slot
    }

    fn event(&mut self, batch: &Batch, event: &Event) {
        if let Some(count) = self.kinds.get_mut(event.kind as usize) {
            *count += 1;
        }
        // Not all are in order: the ends that a death brings have its time.
        self.first_ns = self.first_ns.min(event.time.0);
        self.last_ns = self.last_ns.max(event.time.0);
        let fields = Fields { batch, values: batch.values(event) };
        let has_failed = !event.error.is_empty();
        if event.kind == Kind::SensorLoss {
            // Of an output that was too slow for the collector, which is none of the processes.
            return self.lost(batch, event, fields);
        }
        let node = self.node(batch, event);
        match event.kind {
            Kind::FileOpen => self.opened(event, fields),
            Kind::FileClose => self.file_closed(fields),
            Kind::NetClose => self.net_closed(fields),
            Kind::NetConnect => self.connected(batch, event, fields),
            Kind::NetAccept if !has_failed => {
                let [local] = self.at.accept;
                self.net.accepted.at(fields.text(local).unwrap_or(b"?")).connections += 1;
            }
            Kind::NetListen if !has_failed => {
                let [local] = self.at.listen;
                self.listening(batch, event, fields.text(local).unwrap_or(b"?"), false);
            }
            Kind::NetBind if !has_failed => self.bound(batch, event, fields),
            Kind::DnsQuery => self.resolved(event, fields),
            Kind::ProcessStart => {
                let [argv, path, coverage] = self.at.start;
                let who = batch.who(event);
                let exe =
                    if who.exe().is_empty() { fields.text(path).unwrap_or_default() } else { who.exe() };
                self.tree.started(node, exe, fields.list(argv));
                if !matches!(fields.word(coverage), "" | "hooked") {
                    self.tree.blind(node, fields.word(coverage));
                }
            }
            Kind::ProcessExec if has_failed => {
                let [path] = self.at.exec;
                self.tree.failed(node, fields.text(path).unwrap_or_default(), event.error);
            }
            Kind::ProcessExit => self.exited(event, node, fields),
            Kind::SensorBlind => {
                let [path, reason] = self.at.blind;
                let path = fields.text(path).unwrap_or(batch.who(event).exe());
                let blind = self.blind.at(path);
                blind.times += 1;
                blind.reason = fields.word(reason);
                self.tree.blind(node, fields.word(reason));
            }
            Kind::FileUnlink | Kind::FileRmdir | Kind::FileRename | Kind::FileMkdir if !has_failed => {
                note(self.files.changes.entry(event.kind).or_default(), batch, event);
            }
            Kind::MemoryMap if is_writable_code(fields.value(self.at.map[0])) => {
                note(self.notable.entry(event.kind).or_default(), batch, event);
            }
            Kind::FileChmod if fields.number(self.at.chmod[0]) & 0o6000 != 0 => {
                note(self.notable.entry(event.kind).or_default(), batch, event);
            }
            Kind::ProcessTrace
            | Kind::ProcessNamespace
            | Kind::ProcessCredentials
            | Kind::KernelModule
            | Kind::KernelBpf
            | Kind::KernelUserfaultfd
            | Kind::KernelIoUring
            | Kind::SensorEvasion => note(self.notable.entry(event.kind).or_default(), batch, event),
            _ => {}
        }
    }

    fn opened(&mut self, event: &Event, fields: Fields<'_>) {
        if !event.error.is_empty() {
            self.files.failed += 1;
            self.files.errors.count(event.error);
            return;
        }
        self.files.opened += 1;
        let [path, flags] = self.at.open;
        if let Some(path) = fields.text(path) {
            let file = self.files.by_path.at(path);
            file.opens += 1;
            file.made += u64::from(makes_or_empties(fields.value(flags)));
        }
    }

    fn file_closed(&mut self, fields: Fields<'_>) {
        let [path, bytes_read, reads, bytes_written, writes] = self.at.file_close;
        let used = [bytes_read, reads, bytes_written, writes].map(|place| fields.number(place));
        let path = fields.text(path).filter(|path| path.starts_with(b"/"));
        if let (Some(path), true) = (path, used != [0; 4]) {
            let file = self.files.by_path.at(path);
            add(&mut file.bytes_read, used[0]);
            add(&mut file.reads, used[1]);
            add(&mut file.bytes_written, used[2]);
            add(&mut file.writes, used[3]);
        }
    }

    fn listening(&mut self, batch: &Batch, event: &Event, local: &[u8], is_datagram: bool) {
        let listener = self.net.listening.at(local);
        listener.is_datagram = is_datagram;
        if listener.program.is_empty() {
            listener.program = text::base(batch.who(event).exe()).into();
        }
    }

    /// A datagram socket with a port of its own waits for peers as a listening one does.
    fn bound(&mut self, batch: &Batch, event: &Event, fields: Fields<'_>) {
        let [local, kind, family] = self.at.bind;
        if fields.word(kind) == "SOCK_DGRAM"
            && matches!(fields.word(family), "AF_INET" | "AF_INET6")
            && let Some(local) = fields.text(local).filter(|local| !local.ends_with(b":0"))
        {
            self.listening(batch, event, local, true);
        }
    }

    fn connected(&mut self, batch: &Batch, event: &Event, fields: Fields<'_>) {
        let [remote, host] = self.at.connect;
        // Netlink and the like are no peers.
        let Some(remote) = fields.text(remote).filter(|remote| !remote.starts_with(b"AF_")) else { return };
        let peer = self.net.peers.at(remote);
        if event.error.is_empty() {
            peer.connections += 1;
        } else {
            peer.failed += 1;
            peer.error = event.error;
        }
        if let Some(host) = fields.text(host)
            && *peer.host != *host
        {
            peer.host = host.into();
        }
        if peer.program.is_empty() {
            peer.program = text::base(batch.who(event).exe()).into();
        }
    }

    fn net_closed(&mut self, fields: Fields<'_>) {
        let [remote, local, sent, received] = self.at.net_close;
        let (sent, received) = (fields.number(sent), fields.number(received));
        if sent == 0 && received == 0 {
            return;
        }
        let Net { peers, accepted, .. } = &mut self.net;
        let peer = fields.text(remote).and_then(|remote| peers.known(remote));
        if let Some(traffic) = peer.or_else(|| accepted.known(fields.text(local).unwrap_or(b"?"))) {
            add(&mut traffic.sent, sent);
            add(&mut traffic.received, received);
        }
    }

    fn resolved(&mut self, event: &Event, fields: Fields<'_>) {
        let [host, answers] = self.at.dns;
        let Some(host) = fields.text(host).filter(|host| !host.is_empty()) else { return };
        let name = self.net.names.at(host);
        name.queries += 1;
        if !event.error.is_empty() {
            name.failed += 1;
            name.error = event.error;
        }
        let answers = fields.list(answers);
        if !answers.is_empty() && *name.answers != *answers {
            name.answers = answers.into();
        }
    }

    fn exited(&mut self, event: &Event, node: Option<u32>, fields: Fields<'_>) {
        let [code, signal, user, system, sensor, calls, lost] = self.at.exit;
        let how = match (fields.number_if(code), fields.number_if(signal)) {
            (Some(code), _) => End::Code(code),
            (None, Some(signal)) => End::Signal(signal),
            (None, None) => End::Unknown,
        };
        let (sensor_ns, calls) = (fields.number(sensor), fields.number(calls));
        let processor_ns = fields.number(user).saturating_add(fields.number(system));
        self.cost.processes += 1;
        add(&mut self.cost.sensor_ns, sensor_ns);
        add(&mut self.cost.calls, calls);
        add(&mut self.cost.processor_ns, processor_ns);
        self.tree.ended(node, Ended { how, time_ns: event.time.0, sensor_ns, lost: fields.number(lost) });
    }

    fn lost(&mut self, batch: &Batch, event: &Event, fields: Fields<'_>) {
        let [count, reason] = self.at.loss;
        let (count, reason) = (fields.number(count), fields.word(reason));
        add(&mut self.lost, count);
        let who = batch.who(event);
        if self.losses.len() < MOST_LOSSES || self.losses.contains_key(&(reason, who.pid().0)) {
            let loss = self.losses.entry((reason, who.pid().0)).or_default();
            add(&mut loss.count, count);
            loss.program = text::base(who.exe()).into();
        }
    }
}

impl Encoder for Summary {
    fn batch(&mut self, batch: &Batch, _out: &mut Vec<u8>) {
        self.gathered.take(batch);
    }

    fn end(&mut self, facts: &RunFacts, out: &mut Vec<u8>) {
        page::write(&self.gathered, self.style, facts, out);
    }
}
