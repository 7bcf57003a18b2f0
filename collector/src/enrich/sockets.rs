//! The network's records: sockets with their addresses, and the names that were resolved to them.

use std::net::IpAddr;
use std::sync::Arc;

use wire::events::{DnsQuery, NetAccept, NetBind, NetConnect, NetConnected, NetListen, NetSocket};
use wire::record::Head;

use super::Enricher;
use super::addresses::{self, Address};
use super::descriptors::{Socket, Target};
use super::peers::Peers;
use super::process::Process;
use super::values::{family_value, kind_value, protocol_value};
use crate::event::Value;
use crate::ids::MonoNs;

impl Enricher {
    pub(super) fn made_socket(
        &mut self,
        process: &mut Process,
        made: &NetSocket,
        has_failed: bool,
        at: MonoNs,
    ) {
        let (family, protocol) = (Some(made.family.0), Some(made.protocol.0));
        self.batch.set(self.places.socket_protocol, protocol_value(family, protocol));
        let Some(fd) = made.fd.filter(|_| !has_failed) else {
            if !has_failed {
                process.ask_socket(made.family.0, made.r#type.0, made.protocol.0);
            }
            return;
        };
        let socket = Socket { family, kind: Some(made.r#type.0 & 0xf), protocol, ..Socket::default() };
        let is_cloexec = made.r#type.0 & libc::SOCK_CLOEXEC != 0;
        process.open(fd, Target::Socket(Arc::new(socket)), at, is_cloexec);
    }

    pub(super) fn bound(&mut self, process: &mut Process, bind: &NetBind<'_>, has_failed: bool) {
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
        self.batch.set(self.places.bind_protocol, protocol_value(socket.family, socket.protocol));
    }

    pub(super) fn listens(&mut self, process: &mut Process, listen: &NetListen) {
        let socket = process.socket(listen.fd).cloned().unwrap_or_default();
        self.set_text(self.places.listen_local, socket.local.as_deref());
        self.batch.set(self.places.listen_family, family_value(socket.family));
        self.batch.set(self.places.listen_type, kind_value(socket.kind));
        self.batch.set(self.places.listen_protocol, protocol_value(socket.family, socket.protocol));
    }

    pub(super) fn connects(
        &mut self,
        process: &mut Process,
        head: &Head,
        connect: &NetConnect<'_>,
        at: MonoNs,
    ) {
        let is_pending = i32::from(head.errno) == libc::EINPROGRESS;
        let remote = connect.remote.0;
        let family = (!remote.is_empty()).then(|| addresses::family(remote));
        self.batch.set(self.places.connect_family, family_value(family));
        let own = process.address_text(connect.own.0.0);
        let socket = process.socket(connect.fd).cloned();
        let bound = socket.as_ref().and_then(|socket| socket.local.as_deref());
        self.set_text(self.places.connect_local, own.as_deref().or(bound));
        if let Some(socket) = socket {
            self.batch.set(self.places.connect_type, kind_value(socket.kind));
            self.batch.set(self.places.connect_protocol, protocol_value(socket.family, socket.protocol));
        }
        let host = Address::of(remote)
            .ip()
            .and_then(|ip| process.hosts.get(&ip.to_canonical()).or_else(|| process.hosts.get(&ip)).cloned());
        self.set_text(self.places.connect_host, host.as_deref());
        if is_pending {
            self.batch.set(self.places.connect_pending, Value::Bool(true));
        }
        if (head.errno == 0 || is_pending)
            && let Some(text) = self.text_shown(self.places.connect_remote)
        {
            process.change_socket(connect.fd, |socket| {
                if !matches!(socket.kind, Some(libc::SOCK_STREAM | libc::SOCK_SEQPACKET)) {
                    socket.peers.note(text);
                }
                socket.remote = Some(text.into());
                socket.is_accepted = Some(false);
                socket.family = socket.family.or(family);
                socket.host = host;
                // One that was under way is told of next.
                socket.asked = if is_pending { Some(at) } else { socket.asked };
                if own.is_some() {
                    socket.local = own;
                }
            });
        }
    }

    /// A connect that was under way has an outcome; `error` is not 0 where it failed.
    pub(super) fn connected(
        &mut self,
        process: &mut Process,
        connected: &NetConnected<'_>,
        has_failed: bool,
        at: MonoNs,
    ) {
        let Some(socket) = process.socket(connected.fd).cloned() else { return };
        let places = self.places.connected;
        self.set_text(places.remote, socket.remote.as_deref());
        self.set_text(places.host, socket.host.as_deref());
        self.batch.set(places.family, family_value(socket.family));
        self.batch.set(places.kind, kind_value(socket.kind));
        self.batch.set(places.protocol, protocol_value(socket.family, socket.protocol));
        let duration_ns = socket.asked.map_or(Value::Absent, |asked| Value::Uint(at.since(asked)));
        self.batch.set(places.duration_ns, duration_ns);
        let local = self.text_shown(places.local).map(Box::from);
        if local.is_none() {
            self.set_text(places.local, socket.local.as_deref());
        }
        process.change_socket(connected.fd, |socket| {
            socket.asked = None;
            if has_failed {
                (socket.remote, socket.host, socket.peers) = (None, None, Peers::default());
                socket.is_accepted = None;
            }
            if local.is_some() {
                socket.local = local;
            }
        });
    }

    pub(super) fn accepted(
        &mut self,
        process: &mut Process,
        accept: &NetAccept<'_>,
        has_failed: bool,
        at: MonoNs,
    ) {
        let listener = process.socket(accept.listener.0).cloned().unwrap_or_default();
        let remote = accept.remote.0;
        let family = listener.family.or_else(|| (!remote.is_empty()).then(|| addresses::family(remote)));
        self.set_text(self.places.accept_local, listener.local.as_deref());
        self.batch.set(self.places.accept_family, family_value(family));
        self.batch.set(self.places.accept_type, kind_value(listener.kind));
        self.batch.set(self.places.accept_protocol, protocol_value(listener.family, listener.protocol));
        if let (Some(fd), false) = (accept.fd, has_failed) {
            let remote = self.text_shown(self.places.accept_remote).map(Box::from);
            let (host, asked, peers, is_accepted) = (None, None, Peers::default(), Some(true));
            let socket = Socket { family, remote, host, asked, peers, is_accepted, ..(*listener).clone() };
            process.open(fd, Target::Socket(Arc::new(socket)), at, false);
        }
    }

    pub(super) fn resolved(&mut self, process: &mut Process, query: &DnsQuery<'_>) {
        // An address in place of a name is resolved to itself.
        let is_name =
            |host: &[u8]| std::str::from_utf8(host).map_or(true, |host| host.parse::<IpAddr>().is_err());
        let Some(host) = query.host.filter(|host| !query.answers.0.is_empty() && is_name(host)) else {
            return;
        };
        let hosts = Arc::make_mut(&mut process.hosts);
        let host: Arc<[u8]> = host.into();
        addresses::answers(query.answers.0).for_each(|ip| hosts.insert(ip, &host));
    }
}
