//! The agreement between the sensor and the collector: events, their encoding, and the ring that carries
//! them.
//!
//! Both processes link this crate, so it is `no_std`, allocates nothing and has no feature that would bring
//! either in. The way of a record: [`events`] declares it, [`codec`] turns it into bytes, [`ring`] carries
//! the bytes, [`hello`] hands the ring over. [`schema`] describes the same events as data, for JSON names and
//! documentation.
//!
//! Nothing here makes a system call: functions return that the caller must wake the other side.

#![cfg_attr(not(test), no_std)]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

#[cfg(test)]
extern crate std;

pub mod codec;
pub mod events;
pub mod fields;
pub mod hello;
mod named;
pub mod names;
pub mod record;
pub mod ring;
pub mod schema;

/// Version of everything in this crate that both processes must share; a collector refuses another one.
pub const VERSION: u16 = 4;

/// Hash of the event table: differs whenever an event or a field was added, renamed or moved.
pub const FINGERPRINT: u64 = schema::fingerprint();
