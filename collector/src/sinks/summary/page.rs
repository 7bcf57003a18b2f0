//! Writes the page.

use std::cmp::Reverse;

use wire::events::Kind;
use wire::schema::EVENTS;

use super::gathered::{Blind, FileUse, Files, Gathered, Notable};
use super::network::{Bytes, Net, Shared, Traffic, address_and_name};
use super::table::{Capped, sum};
use super::tree;
use crate::enrich::blind::ASKED_ABOUT;
use crate::picture::{Picture, Process};
use crate::sinks::encoder::RunFacts;
use crate::sinks::text::{self, Paint, Style};

/// Files read, and files written, that are listed.
const MOST_FILES: usize = 10;
/// Files read that are listed, if there are files written as well.
const FEWER_FILES: usize = 5;
/// Lines of each sort in the part on the network.
const MOST_PEERS: usize = 8;
/// Peers of one socket that are listed.
const MOST_TOGETHER: usize = 3;
/// Kinds of events in the last part.
const MOST_KINDS: usize = 6;
/// Columns of a path or name.
const WIDEST: usize = 72;

/// Appends the page.
pub fn write(summary: &Gathered, style: Style, facts: &RunFacts, out: &mut Vec<u8>) {
    let mut page = Page { style, out };
    page.title(summary);
    if facts.restarts > 0 {
        let again = text::plural(facts.restarts.into(), "time");
        page.warn(&format!(
            "the collector died and was started again ({again}); this page begins after that"
        ));
    }
    // What a rule says comes first.
    let has_alerts = !summary.alerts.is_empty();
    if has_alerts {
        page.notable(summary);
    }
    if summary.picture.len() > 0 {
        page.heading("Processes", "");
        tree::write(&summary.picture, style, summary.last_ns, page.out);
    }
    page.files(&summary.files);
    page.net(&summary.net);
    page.blind(summary);
    if !has_alerts {
        page.notable(summary);
    }
    page.events(summary);
    page.lost(summary);
    page.cost(summary, facts);
}

/// The page while it is written.
struct Page<'a> {
    style: Style,
    out: &'a mut Vec<u8>,
}

impl Page<'_> {
    fn plain(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// A part's first line.
    fn heading(&mut self, name: &str, rest: &str) {
        self.style.text(Paint::Bold, name, self.out);
        if !rest.is_empty() {
            text::pad(name.len(), 11, self.out);
            self.plain(rest);
        }
        self.plain("\n");
    }

    fn warn(&mut self, line: &str) {
        self.style.text(Paint::Yellow, line, self.out);
        self.plain("\n");
    }

    /// The first columns of a listed line.
    fn label(&mut self, paint: Paint, label: &str, amount: &str) {
        self.plain("  ");
        self.style.text(paint, label, self.out);
        text::pad(label.len(), 9, self.out);
        self.plain(&format!("{amount:>7}  "));
    }

    fn quoted(&mut self, text: &[u8]) {
        text::quote(text, WIDEST, self.out);
    }

    fn dim(&mut self, text: &str) {
        self.style.text(Paint::Dim, text, self.out);
    }

    fn more(&mut self, shown: usize, all: usize, noun: &str) {
        if all > shown {
            self.dim(&format!("  {}\n", text::more((all - shown) as u64, noun)));
        }
    }

    fn title(&mut self, summary: &Gathered) {
        let events: u64 = summary.kinds.iter().sum();
        let lasted = summary.last_ns.saturating_sub(summary.first_ns);
        let text = format!(
            "glassbox: {}, {} in {}",
            text::plural(summary.picture.len(), "process"),
            text::plural(events, "event"),
            text::duration(lasted)
        );
        self.style.text(Paint::Bold, &text, self.out);
        let (paint, lost) = match summary.lost {
            0 => (Paint::Green, ", none lost".to_owned()),
            lost => (Paint::Red, format!(", {} lost", text::count(lost))),
        };
        self.style.text(paint, &lost, self.out);
        self.plain("\n");
    }

    fn files(&mut self, files: &Files) {
        if files.opened == 0 && files.failed == 0 && files.by_path.is_empty() {
            return;
        }
        let mut rest = format!("opened {} ×", text::count(files.opened));
        if files.failed > 0 {
            rest.push_str(&format!(", {} failed", text::count(files.failed)));
            let mut errors: Vec<_> = files.errors.0.iter().collect();
            errors.sort_by_key(|(name, count)| (Reverse(*count), *name));
            let errors: Vec<String> = errors
                .iter()
                .take(3)
                .map(|(name, count)| format!("{name} {}", text::count(*count)))
                .collect();
            rest.push_str(&format!(" ({})", errors.join(", ")));
        }
        let total = |bytes: fn(&FileUse) -> u64| {
            sum(files.by_path.iter().map(|(_, file)| bytes(file)).chain([bytes(&files.by_path.others)]))
        };
        rest.push_str(&format!(
            "; {} written, {} read",
            text::size(total(|file| file.bytes_written)),
            text::size(total(|file| file.bytes_read))
        ));
        self.heading("Files", &rest);
        let written = self.used(&files.by_path, "wrote", MOST_FILES, FileUse::written);
        let most = if written > 0 { FEWER_FILES } else { MOST_FILES };
        self.used(&files.by_path, "read", most, FileUse::read);
        if files.by_path.has_others {
            self.dim("  beyond 10 000 paths only the sums above were counted\n");
        }
        let verbs = [
            (Kind::FileUnlink, "removed"),
            (Kind::FileRmdir, "rmdir"),
            (Kind::FileRename, "renamed"),
            (Kind::FileMkdir, "mkdir"),
        ];
        for (kind, verb) in verbs {
            if let Some(change) = files.changes.get(&kind) {
                self.label(Paint::Blue, verb, &format!("{} ×", text::count(change.times)));
                self.first(change);
            }
        }
    }

    /// Lists the files with the most bytes read or written; gives the number of all files.
    fn used(
        &mut self,
        files: &Capped<FileUse>,
        verb: &str,
        most: usize,
        used: fn(&FileUse) -> Option<(u64, u64)>,
    ) -> usize {
        let mut list: Vec<(&[u8], (u64, u64))> =
            files.iter().filter_map(|(path, file)| Some((path, used(file)?))).collect();
        list.sort_by_key(|(path, (bytes, calls))| (Reverse(*bytes), Reverse(*calls), *path));
        for (path, (bytes, calls)) in list.iter().take(most) {
            self.label(Paint::Blue, verb, &text::size(*bytes));
            self.quoted(path);
            self.dim(&format!("  {} ×\n", text::count(*calls)));
        }
        self.more(most, list.len(), "file");
        list.len()
    }

    /// Ends a line with the first event of a count.
    fn first(&mut self, notable: &Notable) {
        if !notable.first.is_empty() {
            self.quoted(&notable.first);
        }
        let more = if notable.times > 1 { ", …" } else { "" };
        self.plain(more);
        self.by(&notable.program);
        self.plain("\n");
    }

    fn by(&mut self, program: &[u8]) {
        if !program.is_empty() {
            let style = self.style;
            style.paint(Paint::Dim, self.out, |out| {
                out.extend_from_slice(b"  by ");
                text::quote(program, 24, out);
            });
        }
    }

    fn net(&mut self, net: &Net) {
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
        for (key, listener) in listeners.iter().take(MOST_PEERS) {
            let (local, kind) = address_and_name(key);
            self.label(Paint::Magenta, "listen", &String::from_utf8_lossy(kind));
            self.quoted(local);
            self.bytes(listener.bytes);
            self.by(&listener.program);
            self.plain("\n");
        }
        self.more(MOST_PEERS, listeners.len(), "address");
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
        list.sort_by_key(|(key, traffic)| {
            let is_vain = traffic.connections == 0;
            (is_vain, Reverse(traffic.bytes.sum()), Reverse(traffic.connections), *key)
        });
        for (key, traffic) in list.iter().take(MOST_PEERS) {
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
        self.more(MOST_PEERS, list.len(), "address");
    }

    /// Sockets that sent to several peers, which stand above one by one: with the sum of their bytes.
    fn shared(&mut self, table: &Capped<Shared>) {
        let mut list: Vec<_> = table.iter().collect();
        list.sort_by_key(|(peers, shared)| (Reverse(shared.bytes.sum()), *peers));
        for (peers, shared) in list.iter().take(MOST_PEERS) {
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
        self.more(MOST_PEERS, list.len(), "group");
    }

    fn fault(&mut self, times: u64, failed: u64, error: &str) {
        if failed > 0 {
            let count = if failed < times { format!("{} × ", text::count(failed)) } else { String::new() };
            self.style.text(Paint::Red, &format!("  {count}{error}"), self.out);
        }
    }

    fn names(&mut self, net: &Net) {
        let mut list: Vec<_> = net.names.iter().collect();
        list.sort_by_key(|(host, lookup)| (Reverse(lookup.queries), *host));
        for (host, lookup) in list.iter().take(MOST_PEERS) {
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
        self.more(MOST_PEERS, list.len(), "name");
    }

    fn blind(&mut self, summary: &Gathered) {
        if summary.blind.is_empty() {
            return;
        }
        self.heading("Not seen", "programs that the sensor could not look into");
        let mut list: Vec<_> = summary.blind.iter().collect();
        list.sort_by_key(|(path, blind)| (Reverse(blind.times), *path));
        for (path, blind) in list.iter().take(MOST_PEERS) {
            self.label(Paint::Yellow, "blind", &format!("{} ×", text::count(blind.times)));
            self.quoted(path);
            self.style.text(Paint::Yellow, &format!("  {}", blind.reason), self.out);
            self.plain("\n");
        }
        self.more(MOST_PEERS, list.len(), "program");
        let is_told_with_notify = |blind: &Blind| ASKED_ABOUT.contains(&blind.reason);
        if list.iter().any(|(_, blind)| is_told_with_notify(blind)) {
            self.dim("  --notify security has the kernel tell of what static and Go programs do\n");
        }
    }

    fn notable(&mut self, summary: &Gathered) {
        if summary.notable.is_empty() && summary.alerts.is_empty() {
            return;
        }
        self.heading("Notable", "");
        summary.alerts.write(self.style, self.out);
        let mut list: Vec<_> = summary.notable.iter().collect();
        list.sort_by_key(|(kind, _)| **kind);
        for (kind, notable) in list {
            let what = match kind {
                Kind::MemoryMap => "memory that is writable and executable",
                Kind::FileChmod => "set-user-id or set-group-id bits set",
                kind => kind.name(),
            };
            self.label(Paint::Yellow, "", &format!("{} ×", text::count(notable.times)));
            self.style.text(Paint::Yellow, what, self.out);
            self.plain(if notable.first.is_empty() { "" } else { "  " });
            self.first(notable);
        }
    }

    fn events(&mut self, summary: &Gathered) {
        let mut kinds: Vec<(u64, &str)> = EVENTS
            .iter()
            .filter_map(|spec| Some((*summary.kinds.get(spec.kind as usize)?, spec.name)))
            .filter(|(count, _)| *count > 0)
            .collect();
        kinds.sort_by_key(|(count, name)| (Reverse(*count), *name));
        let listed: Vec<String> = kinds
            .iter()
            .take(MOST_KINDS)
            .map(|(count, name)| format!("{name} {}", text::count(*count)))
            .collect();
        let more = if kinds.len() > MOST_KINDS { ", …" } else { "" };
        let all: u64 = kinds.iter().map(|(count, _)| count).sum();
        let listed = if listed.is_empty() { String::new() } else { format!(": {}{more}", listed.join(", ")) };
        self.heading("Events", &format!("{}{listed}", text::count(all)));
    }

    fn lost(&mut self, summary: &Gathered) {
        if summary.lost == 0 {
            return self.heading("Lost", "0");
        }
        self.style.text(Paint::Red, "Lost", self.out);
        text::pad(4, 11, self.out);
        self.plain(&text::count(summary.lost));
        self.plain("\n");
        let mut list: Vec<_> = summary.losses.iter().collect();
        list.sort_by_key(|(key, loss)| (Reverse(loss.count), **key));
        for ((reason, pid), loss) in list.iter().take(MOST_PEERS) {
            self.label(Paint::Red, "", &text::count(loss.count));
            self.plain(reason);
            self.by(&loss.program);
            self.dim(&format!(" ({pid})"));
            self.plain("\n");
        }
        self.more(MOST_PEERS, list.len(), "process");
    }

    fn cost(&mut self, summary: &Gathered, facts: &RunFacts) {
        let cost = &summary.cost;
        let mut text = format!("{} in {}", text::duration(cost.sensor_ns), text::plural(cost.calls, "call"));
        if let Some(each) = cost.sensor_ns.checked_div(cost.calls) {
            text.push_str(&format!(" ({} each, with what starting a process takes)", text::duration(each)));
        }
        if cost.processor_ns > 0 {
            let share = cost.sensor_ns as f64 * 100.0 / cost.processor_ns as f64;
            text.push_str(&format!(", {share:.1} % of {} processor time", text::duration(cost.processor_ns)));
        }
        if facts.collector_ns > 0 {
            text.push_str(&format!("; the collector used {}", text::duration(facts.collector_ns)));
        }
        self.heading("Sensor", &text);
        let dearest = dearest(&summary.picture, 3);
        if cost.processes > 1 && !dearest.is_empty() {
            self.plain("  most in ");
            for (index, Process { program, key, sensor_ns, .. }) in dearest.iter().enumerate() {
                self.plain(if index == 0 { "" } else { ", " });
                text::quote(program, 24, self.out);
                self.plain(&format!(" ({}) {}", key.pid, text::duration(*sensor_ns)));
            }
            self.plain("\n");
        }
        let running = summary.picture.running();
        if running > 0 {
            self.dim(&format!("  without what {} still running spent\n", text::plural(running, "process")));
        }
    }
}

/// Bytes that were sent and received, as text.
fn went(Bytes { sent, received }: Bytes) -> String {
    format!("{} sent, {} received", text::size(sent), text::size(received))
}

/// The processes that the sensor cost most.
fn dearest(picture: &Picture, most: usize) -> Vec<&Process> {
    let mut processes: Vec<&Process> =
        picture.processes().iter().filter(|process| process.sensor_ns > 0).collect();
    processes.sort_by_key(|process| Reverse(process.sensor_ns));
    processes.truncate(most);
    processes
}
