//! `nats`: events and alerts for NATS JetStream, one message each.
//!
//! The lane of a parcel is its subject, `glassbox.events.CLUSTER.NODE.NOUN.PARTITION` or
//! `glassbox.alerts.CLUSTER.NODE.PRIORITY.PARTITION`. All events of one process are in one partition of 64,
//! so that one judge sees them all. The body has two parts, see [`message`]: the event's fragment, which
//! becomes a header, and the JSON, which becomes the message.

use super::carrier;
use super::carrier::kind::Only;
use super::encoder::{Encoder, Format, Plan};
use super::falco;
use super::framing::Framing;
use super::message::{self, ALERTS, EVENTS, PARTITIONS};
use super::parcel;
use super::recording::fragment::FragmentWriter;
use crate::event::{Alert, Batch, Event, Shape, Who, id};
use crate::json::JsonWriter;

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "nats",
    help: "events and alerts as messages of NATS JetStream",
    framing: Framing::Parcels,
    reaches: carrier::BROKERS,
    holds: &Only::ALL,
    shows: &[],
    service: None,
    build: |plan| Box::new(Nats::new(plan)),
};

/// The cluster of an output that names none.
pub const DEFAULT_CLUSTER: &str = "default";

/// Makes messages.
struct Nats {
    cluster: String,
    node: String,
    hostname: String,
    has_events: bool,
    has_alerts: bool,
    json: JsonWriter,
    fragments: FragmentWriter,
    fragment: Vec<u8>,
}

impl Nats {
    fn new(plan: &Plan) -> Self {
        let name = rustix::system::uname();
        let hostname = name.nodename().to_string_lossy().into_owned();
        Self {
            cluster: token(plan.cluster.as_deref().unwrap_or(DEFAULT_CLUSTER)),
            node: token(&hostname),
            hostname,
            has_events: plan.has_events(),
            has_alerts: plan.has_alerts(),
            json: JsonWriter::with_ids(),
            fragments: FragmentWriter::default(),
            fragment: Vec::new(),
        }
    }

    fn lane(&self, topic: &str, kind: &str, batch: &Batch, who: &Who) -> Vec<u8> {
        let Self { cluster, node, hostname, .. } = self;
        // Alerts of a judge stand under the machine of their events.
        let (node, hostname) = match &batch.node {
            Some(other) => (&token(other), &**other),
            None => (node, hostname.as_str()),
        };
        format!("{topic}.{cluster}.{node}.{kind}.{}", partition(hostname, who)).into_bytes()
    }

    fn event(&mut self, batch: &Batch, event: &Event, out: &mut Vec<u8>) {
        let noun = Shape::of(event.kind).name.split('.').next().unwrap_or_default();
        let lane = self.lane(EVENTS, noun, batch, batch.who(event));
        let mut name = Vec::new();
        id::write(batch.origin, event.number, &mut name);
        self.fragment.clear();
        self.fragments.write(batch, event, &mut self.fragment);
        let Self { json, fragment, .. } = self;
        parcel::append(&lane, &name, 1, out, |out| {
            message::begin(fragment, out);
            json.write(batch, event, out);
            // A message needs no end of a line.
            out.pop();
        });
    }

    fn alert(&self, batch: &Batch, alert: &Alert, out: &mut Vec<u8>) {
        let Some(event) = batch.events.get(alert.event) else { return };
        let priority = alert.rule.priority.name().to_lowercase();
        let lane = self.lane(ALERTS, &priority, batch, batch.who(event));
        let mut name = Vec::new();
        id::write_alert(batch.origin, event.number, &alert.rule.name, &mut name);
        let json = falco::json(batch.node.as_deref().unwrap_or(&self.hostname), event, alert);
        // Beside its event an alert is no event of its own.
        let events = u32::from(!self.has_events);
        parcel::append(&lane, &name, events, out, |out| {
            message::begin(b"", out);
            out.extend_from_slice(b"{\"id\":\"");
            out.extend_from_slice(&name);
            out.extend_from_slice(b"\",");
            out.extend_from_slice(json.as_bytes().get(1..).unwrap_or_default());
        });
    }
}

impl Encoder for Nats {
    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) {
        if self.has_events {
            batch.events.iter().for_each(|event| self.event(batch, event, out));
        }
        if self.has_alerts {
            batch.alerts.iter().for_each(|alert| self.alert(batch, alert, out));
        }
    }
}

/// The partition of a process: the same for all its events, over each exec, and each collector of its node.
fn partition(hostname: &str, who: &Who) -> u32 {
    let key = who.key();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(hostname.as_bytes());
    for number in [key.namespace.unwrap_or(0), key.pid.0.into(), key.claimant] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.finalize() % PARTITIONS
}

/// A text as one token of a subject: what separates tokens there, stands for several, or does not show
/// becomes `_`, and so does each byte beyond ASCII.
pub fn token(text: &str) -> String {
    let clean = |byte: u8| match byte {
        b'.' | b'*' | b'>' => '_',
        byte if byte.is_ascii_graphic() => byte.into(),
        _ => '_',
    };
    match text {
        "" => "_".to_owned(),
        text => text.bytes().map(clean).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::event::{Origin, sample};
    use crate::sinks::parcel::Parcel;

    fn encoded(batch: &Batch, plan: &Plan) -> Vec<u8> {
        let mut out = Vec::new();
        Nats::new(plan).batch(batch, &mut out);
        out
    }

    #[test]
    fn each_event_is_a_message_with_its_id_and_its_line() {
        let mut batch = sample::every_kind();
        batch.number();
        let out = encoded(&batch, &Plan { cluster: Some("a.b".into()), ..Plan::default() });

        for (event, parcel) in batch.events.iter().zip(Parcel::all(&out)) {
            let (mut name, mut line) = (Vec::new(), Vec::new());
            id::write(batch.origin, event.number, &mut name);
            JsonWriter::with_ids().write(&batch, event, &mut line);
            let (fragment, json) = message::divided(parcel.body).unwrap();
            let noun = Shape::of(event.kind).name.split('.').next().unwrap();

            assert_eq!((name.as_slice(), line.trim_ascii_end(), 1), (parcel.id, json, parcel.events));
            assert!(!fragment.is_empty());
            let subject = String::from_utf8(parcel.lane.to_vec()).unwrap();
            let tokens: Vec<&str> = subject.split('.').collect();
            assert_eq!(["glassbox", "events", "a_b"], tokens[..3], "{subject}");
            assert_eq!((6, noun), (tokens.len(), tokens[4]), "{subject}");
            assert!(tokens[5].parse::<u32>().unwrap() < PARTITIONS);
        }
        assert_eq!(batch.events.len(), Parcel::all(&out).count());
    }

    #[test]
    fn a_process_has_one_partition_over_its_execs_and_processes_are_spread() {
        let of = |host: &str, pid, exe: &[u8]| partition(host, &sample::who_of(pid, 1, exe));
        let all: BTreeSet<u32> = (1..1000).map(|pid| of("a", pid, b"/x")).collect();

        assert_eq!(of("a", 7, b"/bin/sh"), of("a", 7, b"/bin/cat"));
        assert_eq!(PARTITIONS as usize, all.len());
        assert!((1..100).any(|pid| of("a", pid, b"/x") != of("b", pid, b"/x")));
    }

    #[test]
    fn no_name_makes_a_token_of_its_own() {
        assert_eq!("ip-10-0-0-1_ec2_internal", token("ip-10-0-0-1.ec2.internal"));
        assert_eq!("_______", token("*> \n\u{e9}\0"));
        assert_eq!("_", token(""));
    }

    #[test]
    fn what_is_not_wanted_is_left_out() {
        let mut batch = sample::every_kind();
        batch.origin = Origin(1);
        let only = |only| encoded(&batch, &Plan { only: Some(only), ..Plan::default() });

        assert_eq!(0, Parcel::all(&only(Only::Alerts)).count());
        assert_eq!(batch.events.len(), Parcel::all(&only(Only::Events)).count());
        assert!(message::divided(b"\x05\0\0\0abcd").is_none() && message::divided(b"\0\0").is_none());
    }
}
