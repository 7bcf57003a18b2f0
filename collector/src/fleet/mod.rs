//! A fleet: events of many collectors in NATS JetStream, and the judges that share them.
//!
//! [`publisher`] is the transport of `-o nats:`; [`judge`] is `glassbox judge`. Both are in builds with the
//! feature `nats` alone. See docs/fleet.md, and ADR 32 and 33.

mod connection;
mod from;
mod judge;
mod leases;
mod messages;
pub mod publisher;
mod streams;

pub use from::From;
pub use judge::judge;
