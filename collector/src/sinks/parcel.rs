//! Parcels: what an encoder makes for a receiver, and a carrier brings there, whole.
//!
//! An encoder appends parcels to its output as it would append lines. The carrier of a receiver takes them
//! off again, and may join those of one lane into one message. A parcel also is what waits in a spool, so its
//! form is fixed: see [`append`].

/// One piece for a receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parcel<'a> {
    /// Where at the receiver: a subject, a table. Its meaning is the format's and the transport's.
    pub lane: &'a [u8],
    /// By which the receiver knows a parcel that comes twice; empty where the format has no use for one.
    pub id: &'a [u8],
    /// How many events are lost if it is.
    pub events: u32,
    pub body: &'a [u8],
}

/// Bytes in front of lane, id and body: their lengths and the number of events.
const HEAD_BYTES: usize = 12;
/// The longest lane or id.
pub const MOST_NAME: usize = u16::MAX as usize;

/// Appends a parcel whose body `write` appends: little-endian lengths of lane (2 bytes), id (2) and body (4),
/// the number of events (4), then lane, id, body. A lane or id is cut to [`MOST_NAME`] bytes.
pub fn append(lane: &[u8], id: &[u8], events: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let (lane, id) = (&lane[..lane.len().min(MOST_NAME)], &id[..id.len().min(MOST_NAME)]);
    let at = out.len();
    out.extend_from_slice(&(lane.len() as u16).to_le_bytes());
    out.extend_from_slice(&(id.len() as u16).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&events.to_le_bytes());
    out.extend_from_slice(lane);
    out.extend_from_slice(id);
    let body_at = out.len();
    write(out);
    let body_len = u32::try_from(out.len() - body_at).unwrap_or(u32::MAX);
    out[at + 4..at + 8].copy_from_slice(&body_len.to_le_bytes());
}

impl<'a> Parcel<'a> {
    /// The first parcel of `bytes`, and how many bytes it takes; `None` where it is not whole.
    pub fn first(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
        let short = |at: usize| usize::from(u16::from_le_bytes([head[at], head[at + 1]]));
        let long = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (lane, rest) = rest.split_at_checked(short(0))?;
        let (id, rest) = rest.split_at_checked(short(2))?;
        let (body, _) = rest.split_at_checked(long(4) as usize)?;
        let parcel = Self { lane, id, events: long(8), body };
        Some((parcel, HEAD_BYTES + lane.len() + id.len() + body.len()))
    }

    /// The parcels of `bytes`, as far as they are whole.
    pub fn all(mut bytes: &'a [u8]) -> impl Iterator<Item = Self> {
        std::iter::from_fn(move || {
            let (parcel, len) = Self::first(bytes)?;
            bytes = bytes.get(len..)?;
            Some(parcel)
        })
    }
}

/// The events that the parcels of `bytes` stand for.
pub fn events(bytes: &[u8]) -> u64 {
    Parcel::all(bytes).map(|parcel| u64::from(parcel.events)).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parcels_read_back_as_they_were_appended(
            parcels in prop::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>(), any::<u32>(), any::<Vec<u8>>()), 0..5),
            rest in prop::collection::vec(any::<u8>(), 0..11),
        ) {
            let mut out = Vec::new();
            for (lane, id, events, body) in &parcels {
                append(lane, id, *events, &mut out, |out| out.extend_from_slice(body));
            }
            out.extend_from_slice(&rest);

            let read: Vec<Parcel<'_>> = Parcel::all(&out).collect();

            let same = parcels.iter().map(|(lane, id, events, body)| Parcel { lane, id, events: *events, body });
            prop_assert_eq!(same.collect::<Vec<_>>(), read);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in any::<Vec<u8>>()) {
            prop_assert!(Parcel::all(&bytes).count() <= bytes.len() / HEAD_BYTES);
        }
    }
}
