//! Runs real programs under the sensor, and compares them with the bare run and with strace.
//!
//! The built pair (`artefacts`) is put under a small C program, a victim (`victim`), in a scene of its own
//! (`scene`): bare, under an empty preload library, with the sensor dormant, switched off, under
//! `glassbox run`, and under `glassbox collect`. Output, exit status and the files left behind must be the
//! same byte for byte, and the events (`events`) must be consistent in every run. `recall` compares the
//! reported calls with the calls that strace saw.
//!
//! The tests themselves are in `tests/tests/*.rs`; the victims in `tests/programs/*.c`, one for each trap.

pub mod artefacts;
pub mod broker;
pub mod bundle;
pub mod child;
pub mod collector;
pub mod compare;
pub mod containers;
pub mod events;
pub mod falco;
pub mod judged;
pub mod kubelet;
pub mod last_moment;
pub mod node;
pub mod patched;
pub mod python;
pub mod recall;
pub mod receiver;
pub mod rootfs;
pub mod scap;
pub mod scene;
pub mod server;
pub mod steady;
pub mod terminal;
pub mod unseen;
pub mod victim;

pub use artefacts::{glassbox, sensor};
pub use child::{Ending, Status};
pub use collector::Collector;
pub use events::{Event, Events, canonical};
pub use scene::{Scene, sensed, unnoticed};
