//! The network's part of the tables: listeners, peers, and the bytes that went through sockets.
//!
//! The sensor counts bytes for a descriptor. They stand with a peer only where it is the socket's single one.

use wire::events::Kind;

use super::places::Places;
use super::table::{Capped, add, kept};
use crate::event::Event;
use crate::picture::fields::Fields;

/// Addresses and names that are counted one by one, of each sort.
pub const MOST_PEERS: usize = 2_000;

/// The network.
#[derive(Debug)]
pub struct Net {
    at: Places,
    /// By [`peer_key`], the name being [`UDP`] for a datagram socket.
    pub listening: Capped<Listener>,
    /// By the address that they were accepted at.
    pub accepted: Capped<Traffic>,
    /// By [`peer_key`].
    pub peers: Capped<Traffic>,
    /// Sockets that sent datagrams to the same peers, by the list of these: bytes are counted for a socket.
    pub shared: Capped<Shared>,
    /// Bytes of sockets of which no peer and no listener is known.
    pub rest: Bytes,
    /// By name.
    pub names: Capped<Lookup>,
}

/// Bytes that went through sockets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bytes {
    pub sent: u64,
    pub received: u64,
}

impl Default for Net {
    fn default() -> Self {
        Self {
            at: Places::default(),
            listening: Capped::new(MOST_PEERS),
            accepted: Capped::new(MOST_PEERS),
            peers: Capped::new(MOST_PEERS),
            shared: Capped::new(MOST_PEERS),
            rest: Bytes::default(),
            names: Capped::new(MOST_PEERS),
        }
    }
}

impl Bytes {
    /// Both.
    pub fn sum(self) -> u64 {
        self.sent.saturating_add(self.received)
    }

    /// Adds others.
    pub fn add(&mut self, more: Self) {
        add(&mut self.sent, more.sent);
        add(&mut self.received, more.received);
    }
}

/// The listener at an address.
#[derive(Clone, Debug, Default)]
pub struct Listener {
    pub program: Box<[u8]>,
    /// Of a datagram socket, whoever its peers are.
    pub bytes: Bytes,
}

/// See [`Net::listening`].
const UDP: Option<&[u8]> = Some(b"udp");

/// Connections with an address.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    pub connections: u64,
    pub failed: u64,
    pub error: &'static str,
    pub program: Box<[u8]>,
    pub bytes: Bytes,
}

/// Sockets that have the same peers.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    pub sockets: u64,
    /// How many peers each has; more than those that are listed.
    pub peers: u64,
    pub program: Box<[u8]>,
    pub bytes: Bytes,
}

/// Look-ups of a name.
#[derive(Clone, Debug, Default)]
pub struct Lookup {
    pub queries: u64,
    pub failed: u64,
    pub error: &'static str,
    pub answers: Box<[u8]>,
}

impl Net {
    /// Adds an event of the network; any other changes nothing.
    pub fn take(&mut self, event: &Event, program: &[u8], fields: Fields<'_>) {
        let has_failed = !event.error.is_empty();
        match event.kind {
            Kind::NetClose => self.closed(program, fields),
            Kind::NetConnect => self.connected(event, program, fields),
            Kind::NetConnected if has_failed => self.refused(event, fields),
            Kind::NetAccept if !has_failed => {
                let [local] = self.at.accept;
                self.accepted.at(fields.text(local).unwrap_or(b"?")).connections += 1;
            }
            Kind::NetListen if !has_failed => {
                let [local] = self.at.listen;
                self.listening(program, &peer_key(fields.text(local).unwrap_or(b"?"), None));
            }
            Kind::NetBind if !has_failed => self.bound(program, fields),
            Kind::DnsQuery => self.resolved(event, fields),
            _ => {}
        }
    }

    fn listening(&mut self, program: &[u8], key: &[u8]) {
        let listener = self.listening.at(key);
        if listener.program.is_empty() {
            listener.program = kept(program);
        }
    }

    /// A datagram socket with a port of its own counts as a listener.
    fn bound(&mut self, program: &[u8], fields: Fields<'_>) {
        let [local, kind, family] = self.at.bind;
        if fields.word(kind) == "SOCK_DGRAM"
            && matches!(fields.word(family), "AF_INET" | "AF_INET6")
            && let Some(local) = fields.text(local).filter(|local| !local.ends_with(b":0"))
        {
            self.listening(program, &peer_key(local, UDP));
        }
    }

    /// A connect that had counted as a connection failed.
    fn refused(&mut self, event: &Event, fields: Fields<'_>) {
        let [remote, host] = self.at.connected;
        let Some(remote) = fields.text(remote) else { return };
        let peer = self.peers.at(&peer_key(remote, fields.text(host)));
        peer.connections = peer.connections.saturating_sub(1);
        peer.failed += 1;
        peer.error = event.error;
    }

    fn connected(&mut self, event: &Event, program: &[u8], fields: Fields<'_>) {
        let [remote, host] = self.at.connect;
        // An address without a port (netlink) is no peer.
        let Some(remote) = fields.text(remote).filter(|remote| !remote.starts_with(b"AF_")) else { return };
        let peer = self.peers.at(&peer_key(remote, fields.text(host)));
        if event.error.is_empty() {
            peer.connections += 1;
        } else {
            peer.failed += 1;
            peer.error = event.error;
        }
        if peer.program.is_empty() {
            peer.program = kept(program);
        }
    }

    fn closed(&mut self, program: &[u8], fields: Fields<'_>) {
        let [remote, host, local, kind, sent, received, remotes, count] = self.at.net_close;
        let bytes = Bytes { sent: fields.number(sent), received: fields.number(received) };
        if bytes.sent == 0 && bytes.received == 0 {
            return;
        }
        let Net { peers, accepted, listening, shared, rest, .. } = self;
        let local = fields.text(local).unwrap_or(b"?");
        // A datagram comes from anybody.
        if fields.word(kind) == "SOCK_DGRAM"
            && let Some(listener) = listening.known(&peer_key(local, UDP))
        {
            return listener.bytes.add(bytes);
        }
        let remotes = fields.list(remotes);
        if !remotes.is_empty() {
            let shared = shared.at(remotes);
            shared.sockets += 1;
            shared.peers = shared.peers.max(fields.number(count));
            shared.program = kept(program);
            return shared.bytes.add(bytes);
        }
        let peer = fields.text(remote).and_then(|remote| peers.known(&peer_key(remote, fields.text(host))));
        match peer.or_else(|| accepted.known(local)) {
            Some(traffic) => traffic.bytes.add(bytes),
            None => rest.add(bytes),
        }
    }

    fn resolved(&mut self, event: &Event, fields: Fields<'_>) {
        let [host, answers] = self.at.dns;
        let Some(host) = fields.text(host).filter(|host| !host.is_empty()) else { return };
        let name = self.names.at(host);
        name.queries += 1;
        if !event.error.is_empty() {
            name.failed += 1;
            name.error = event.error;
        }
        let answers = fields.list(answers);
        if !answers.is_empty() && *name.answers != *answers {
            name.answers = kept(answers);
        }
    }
}

/// The key of a peer: its address, and the name that it was resolved from.
fn peer_key(remote: &[u8], host: Option<&[u8]>) -> Vec<u8> {
    [remote, host.unwrap_or_default()].join(&0)
}

/// The address and the name, which may be empty, of a [`peer_key`].
pub fn address_and_name(key: &[u8]) -> (&[u8], &[u8]) {
    // An abstract Unix socket may have a NUL in its name; a name that was resolved has none.
    let at = key.iter().rposition(|byte| *byte == 0).unwrap_or(key.len());
    (key.get(..at).unwrap_or_default(), key.get(at + 1..).unwrap_or_default())
}
