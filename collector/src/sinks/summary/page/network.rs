//! The part on the network.

use std::cmp::Reverse;

use super::Page;
use crate::sinks::look::Sort;
use crate::sinks::summary::network::{Bytes, Net, Shared, Traffic, address_and_name};
use crate::sinks::summary::table::Capped;
use crate::sinks::text::{self, Paint};

/// Lines of each sort.
const MOST_PEERS: usize = 8;
/// Peers of one socket that are listed.
const MOST_TOGETHER: usize = 3;

impl Page<'_> {
    /// Who was spoken to.
    pub fn net(&mut self, net: &Net) {
        let Net { listening, accepted, peers, shared, rest, names, .. } = net;
        let are_empty = [listening.is_empty(), accepted.is_empty(), peers.is_empty(), shared.is_empty()];
        if are_empty == [true; 4] && names.is_empty() {
            return;
        }
        let connections = [peers, accepted].into_iter().flat_map(Capped::all).map(|traffic| traffic.bytes);
        let mut total = *rest;
        connections
            .chain(listening.all().map(|listener| listener.bytes))
            .chain(shared.all().map(|shared| shared.bytes))
            .for_each(|bytes| total.add(bytes));
        self.heading("Network", &went(total));
        let mut listeners: Vec<_> = listening.iter().collect();
        listeners.sort_by_key(|(key, _)| *key);
        let most = self.look.most(MOST_PEERS);
        for (key, listener) in listeners.iter().take(most) {
            let (local, kind) = address_and_name(key);
            self.label(Paint::Magenta, "listen", &String::from_utf8_lossy(kind));
            self.quoted(local);
            self.bytes(listener.bytes);
            self.by(&listener.program);
            self.plain("\n");
        }
        self.more(most, listeners.len(), "address");
        self.traffic(accepted, "accept", |local| (local, b"".as_slice()));
        self.traffic(peers, "connect", address_and_name);
        self.shared(shared);
        self.names(net);
    }

    /// Appends what went through sockets, if anything did.
    fn bytes(&mut self, bytes: Bytes) {
        if bytes.sent > 0 || bytes.received > 0 {
            self.dim(&format!("  {}", went(bytes)));
        }
    }

    fn traffic(&mut self, table: &Capped<Traffic>, verb: &str, names: impl Fn(&[u8]) -> (&[u8], &[u8])) {
        let mut list: Vec<_> = table.iter().collect();
        let sort = self.look.sort;
        list.sort_by_key(|(key, traffic)| {
            let (is_vain, failed) = (traffic.connections == 0, traffic.failed);
            let amount = match sort {
                Sort::Name => (false, 0, 0),
                Sort::Failures => (true, failed, traffic.bytes.sum()),
                Sort::Bytes | Sort::Time => (!is_vain, traffic.bytes.sum(), traffic.connections),
            };
            (Reverse(amount), *key)
        });
        let most = self.look.most(MOST_PEERS);
        for (key, traffic) in list.iter().take(most) {
            let times = traffic.connections + traffic.failed;
            self.label(Paint::Magenta, verb, &format!("{} ×", text::count(times)));
            let (address, host) = names(key);
            self.quoted(address);
            if !host.is_empty() {
                self.plain(" ");
                self.quoted(host);
            }
            self.bytes(traffic.bytes);
            self.fault(times, traffic.failed, traffic.error);
            self.by(&traffic.program);
            self.plain("\n");
        }
        self.more(most, list.len(), "address");
    }

    /// Sockets that sent to several peers, which stand above one by one: with the sum of their bytes.
    fn shared(&mut self, table: &Capped<Shared>) {
        let mut list: Vec<_> = table.iter().collect();
        list.sort_by_key(|(peers, shared)| (Reverse(shared.bytes.sum()), *peers));
        let most = self.look.most(MOST_PEERS);
        for (peers, shared) in list.iter().take(most) {
            self.label(Paint::Magenta, "together", &format!("{} ×", text::count(shared.sockets)));
            let listed = peers.split(|byte| *byte == 0).filter(|peer| !peer.is_empty());
            for (index, peer) in listed.take(MOST_TOGETHER).enumerate() {
                self.plain(if index == 0 { "" } else { ", " });
                self.quoted(peer);
            }
            if shared.peers > MOST_TOGETHER as u64 {
                self.plain(&format!(", … ({} peers)", text::count(shared.peers)));
            }
            self.bytes(shared.bytes);
            self.by(&shared.program);
            self.plain("\n");
        }
        self.more(most, list.len(), "group");
    }

    fn fault(&mut self, times: u64, failed: u64, error: &str) {
        if failed > 0 {
            let count = if failed < times { format!("{} × ", text::count(failed)) } else { String::new() };
            self.paint(Paint::Red, &format!("  {count}{error}"));
        }
    }

    fn names(&mut self, net: &Net) {
        let mut list: Vec<_> = net.names.iter().collect();
        list.sort_by_key(|(host, lookup)| (Reverse(lookup.queries), *host));
        let most = self.look.most(MOST_PEERS);
        for (host, lookup) in list.iter().take(most) {
            self.label(Paint::Magenta, "look up", &format!("{} ×", text::count(lookup.queries)));
            self.quoted(host);
            let answers: Vec<&[u8]> =
                lookup.answers.split(|byte| *byte == 0).filter(|answer| !answer.is_empty()).collect();
            for (index, answer) in answers.iter().take(2).enumerate() {
                self.plain(if index == 0 { " → " } else { ", " });
                self.quoted(answer);
            }
            if answers.len() > 2 {
                self.plain(", …");
            }
            self.fault(lookup.queries, lookup.failed, lookup.error);
            self.plain("\n");
        }
        self.more(most, list.len(), "name");
    }
}

/// Bytes that were sent and received, as text.
fn went(Bytes { sent, received }: Bytes) -> String {
    format!("{} sent, {} received", text::size(sent), text::size(received))
}
