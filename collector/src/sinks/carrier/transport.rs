//! The trait of transports: how parcels get to a receiver, and what the receiver says.

use std::time::Duration;

use crate::sinks::parcel::Parcel;

/// How many parcels go into one shipment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// At most so many, at least 1.
    pub parcels: usize,
    /// Of at most so many bytes together; a single parcel may be longer.
    pub bytes: usize,
    /// Only of one lane.
    pub is_one_lane: bool,
    /// Less than `bytes` goes no more often than this.
    pub linger: Duration,
}

/// The fate of a shipment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shipped {
    /// The receiver has it, but for `refused` of its events.
    Taken {
        /// Events that it refused for good.
        refused: u64,
        /// Why it refused them.
        why: Option<String>,
    },
    /// The receiver refuses it for good: the events are lost.
    Refused(String),
    /// It is too much at once. A shipment of one parcel is lost.
    TooLarge(String),
    /// It is to be sent again.
    Later {
        /// Not before this has passed, where the receiver says so.
        after: Option<Duration>,
        /// Why, for a person.
        why: String,
    },
    /// The receiver failed over it: it is to be sent again a few times, and is lost then.
    Doubtful(String),
}

impl Shipped {
    /// The receiver has all of it.
    pub const TAKEN: Self = Self::Taken { refused: 0, why: None };

    /// To be sent again, with a reason.
    pub fn later(why: impl Into<String>) -> Self {
        Self::Later { after: None, why: why.into() }
    }
}

/// Sends shipments to one receiver. It may block for as long as its time-out, and for no longer.
pub trait Transport: Send {
    /// Which parcels may go together.
    fn bounds(&self) -> Bounds;
    /// Sends parcels, at least one, in their order.
    fn ship(&mut self, parcels: &[Parcel<'_>]) -> Shipped;
}
