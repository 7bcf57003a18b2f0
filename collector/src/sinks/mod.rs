//! Where events end: each output in a thread of its own, behind a queue.
//!
//! ```text
//! stages ─ queue ─→ worker: encoder (bytes) ─→ carrier (where they go)
//! ```
//!
//! A format is a row of [`formats`] with an [`encoder`] beside it; a kind of place is a row of [`carrier`].
//! Neither knows the other, but for [`framing`].

pub mod carrier;
mod clickhouse;
pub mod encoder;
mod falco;
pub mod formats;
pub mod framing;
mod html;
pub mod human;
pub mod jsonl;
pub mod look;
pub mod message;
pub mod nats;
mod ocsf;
pub mod otlp;
mod outlet;
mod owed;
pub mod parcel;
mod queue;
mod reading;
pub mod recording;
mod report;
mod signals;
mod strain;
pub mod summary;
pub mod text;
pub mod worker;

pub use encoder::RunFacts;
pub use outlet::{Backlog, Haste, OutletId};
pub use queue::{Exchange, Outlets, OutputChange, Ready};
pub use report::SinkReport;

#[cfg(test)]
pub mod tests;
