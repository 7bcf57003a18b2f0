//! An alert as a Detection Finding, with the event that it is about as its evidence.

use rules::file::Priority;

use super::class::{Activity, FINDING};
use super::members::{number, text};
use super::mitre;
use crate::event::{Alert, Event, Origin, id};
use crate::json::key;

/// The activity of every alert.
pub const CREATE: Activity = FINDING.does(1, "Create");

/// `severity_id` of a priority.
pub fn severity(priority: Priority) -> u8 {
    match priority {
        Priority::Emergency => 6,
        Priority::Alert | Priority::Critical => 5,
        Priority::Error => 4,
        Priority::Warning => 3,
        Priority::Notice => 2,
        Priority::Informational | Priority::Debug => 1,
    }
}

/// The event that an alert is about.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    pub event: &'a Event,
    /// The collector that numbered it.
    pub origin: Origin,
    pub type_uid: u32,
}

/// Appends what is known of the finding itself, whose id is `uid`.
pub fn members(alert: &Alert, about: &About<'_>, uid: &[u8], out: &mut Vec<u8>) {
    let About { event, origin, type_uid } = *about;
    let rule = &alert.rule;
    out.extend_from_slice(b",\"is_alert\":true");
    text("message", alert.output.message.as_bytes(), out);
    key("finding_info", "", out);
    out.push(b'{');
    text("uid", uid, out);
    text("title", rule.name.as_bytes(), out);
    number("created_time", event.time.0 / 1_000_000, out);
    out.extend_from_slice(b",\"analytic\":{\"type_id\":1,\"type\":\"Rule\"");
    text("name", rule.name.as_bytes(), out);
    text("uid", rule.name.as_bytes(), out);
    out.push(b'}');
    mitre::attacks(&rule.tags, out);
    if !rule.tags.is_empty() {
        key("types", "", out);
        crate::json::list(rule.tags.iter().map(String::as_bytes), out);
    }
    out.extend_from_slice(b",\"data_sources\":");
    crate::json::list(std::iter::once(rule.source.as_bytes()), out);
    out.extend_from_slice(b",\"related_events\":[{\"uid\":\"");
    id::write(origin, event.number, out);
    out.push(b'"');
    number("type_uid", type_uid.into(), out);
    out.extend_from_slice(b"}]}");
}

/// Appends the fields that the alert names.
pub fn output_fields(alert: &Alert, out: &mut Vec<u8>) {
    key("output_fields", "", out);
    out.push(b'{');
    for (name, value) in &alert.output.fields {
        key_of(name, out);
        // Writing to a vector cannot fail.
        let _ = serde_json::to_writer(&mut *out, value);
    }
    out.push(b'}');
    text("priority", alert.rule.priority.name().as_bytes(), out);
}

/// A member's name that is no literal.
fn key_of(name: &str, out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    crate::json::string(name.as_bytes(), out);
    out.push(b':');
}
