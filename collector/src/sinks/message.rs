//! The parts of a message for a fleet, as the encoder [`super::nats`] and the transport agree on them.

/// Partitions that events are spread over.
pub const PARTITIONS: u32 = 64;
/// The first token of a subject of events, and of alerts.
pub const EVENTS: &str = "glassbox.events";
pub const ALERTS: &str = "glassbox.alerts";
/// Appends the beginning of a parcel's body: the fragment, empty for an alert. The message's text follows.
pub fn begin(fragment: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(fragment.len() as u32).to_le_bytes());
    out.extend_from_slice(fragment);
}

/// The fragment and the message of a parcel's body; `None` for a body that is none.
#[cfg(any(test, feature = "nats"))]
pub fn divided(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = body.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*len) as usize)
}
