//! The ledger of a process, over all the programs that it becomes by exec.
//!
//! An image's own books ([`super::image`], [`crate::rings::books`]) end with it, in any order. This module
//! adds up the events, losses and costs of the process until no image of it is left.

use slab::Slab;

/// The events, losses and costs of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Stamped events delivered.
    pub events: u64,
    /// Events lost.
    pub lost: u64,
    /// Hooked calls, of the images whose books are closed.
    pub calls: u64,
    /// Nanoseconds spent in the sensor, of the images whose books are closed.
    pub sensor_ns: u64,
}

/// Names a process, in whatever namespace, for as long as an image of it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LifeId(usize);

/// The processes of which an image is known.
#[derive(Debug, Default)]
pub struct Lives(Slab<Life>);

#[derive(Debug)]
struct Life {
    ledger: Ledger,
    images: usize,
}

impl Lives {
    /// The process of a new image: the one of the image before it, or a new one.
    pub fn enter(&mut self, before: Option<LifeId>) -> LifeId {
        if let Some(LifeId(index)) = before
            && let Some(life) = self.0.get_mut(index)
        {
            life.images += 1;
            return LifeId(index);
        }
        LifeId(self.0.insert(Life { ledger: Ledger::default(), images: 1 }))
    }

    /// An image is forgotten, and its process if this was its last.
    pub fn leave(&mut self, LifeId(index): LifeId) {
        let Some(life) = self.0.get_mut(index) else { return };
        life.images -= 1;
        if life.images == 0 {
            self.0.remove(index);
        }
    }

    /// Adds to a process's ledger.
    #[inline]
    pub fn add(&mut self, LifeId(index): LifeId, more: Ledger) {
        if let Some(Life { ledger, .. }) = self.0.get_mut(index) {
            *ledger = Ledger {
                events: ledger.events.saturating_add(more.events),
                lost: ledger.lost.saturating_add(more.lost),
                calls: ledger.calls.saturating_add(more.calls),
                sensor_ns: ledger.sensor_ns.saturating_add(more.sensor_ns),
            };
        }
    }

    /// Takes back that an event went on.
    pub fn take_back(&mut self, LifeId(index): LifeId) {
        if let Some(Life { ledger, .. }) = self.0.get_mut(index) {
            ledger.events = ledger.events.saturating_sub(1);
        }
    }

    /// A process's ledger so far.
    pub fn ledger(&self, LifeId(index): LifeId) -> Ledger {
        self.0.get(index).map(|life| life.ledger).unwrap_or_default()
    }
}
