//! `falco`: alerts as Falco's JSON, one a line.

use rules::format::{self, TimeFormat};

use super::carrier;
use super::encoder::{Encoder, Format};
use super::framing::{Found, Framing};
use crate::event::{Alert, Batch};

/// The row of the table.
pub const FORMAT: Format = Format {
    name: "falco",
    help: "alerts of rules as Falco's JSON, one a line",
    framing: Framing::Lines,
    reaches: carrier::LOCAL,
    build: |_| Box::new(Falco::default()),
};

/// Writes alerts.
#[derive(Debug)]
pub struct Falco {
    hostname: String,
}

impl Default for Falco {
    fn default() -> Self {
        let name = rustix::system::uname();
        Self { hostname: name.nodename().to_string_lossy().into_owned() }
    }
}

impl Encoder for Falco {
    fn begin(&mut self, found: Found, out: &mut Vec<u8>) {
        if found == Found::Torn {
            out.push(b'\n');
        }
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) {
        for Alert { event, rule, output } in &batch.alerts {
            let Some(event) = batch.events.get(*event) else { continue };
            let alert = format::Alert {
                hostname: &self.hostname,
                time_ns: event.time.0,
                priority: rule.priority,
                rule: &rule.name,
                source: &rule.source,
                tags: &rule.tags,
                output,
            };
            out.extend_from_slice(alert.to_json(TimeFormat::TimeOfDay).as_bytes());
            out.push(b'\n');
        }
    }
}
