//! Real programs under the sensor, compared with the bare run and with strace.
//!
//! What is built (`artefacts`) is put under a small C program, a victim (`victim`), in a scene of its own
//! (`scene`): bare, under an empty preload library, with the sensor dormant, switched off, under
//! `glassbox run`, and under `glassbox collect`. Output, exit status and the files that were left must be the
//! same byte for byte, and what was reported (`events`) must hold together on every run. `recall` measures
//! what was reported against what was done.
//!
//! The tests themselves are in `tests/tests/*.rs`; the victims in `tests/programs/*.c`, one a trap.

pub mod artefacts;
pub mod child;
pub mod collector;
pub mod compare;
pub mod containers;
pub mod events;
pub mod kubelet;
pub mod last_moment;
pub mod node;
pub mod patched;
pub mod python;
pub mod recall;
pub mod rootfs;
pub mod scene;
pub mod server;
pub mod victim;

pub use artefacts::{glassbox, sensor};
pub use child::{Ending, Status};
pub use collector::Collector;
pub use events::{Event, Events};
pub use scene::{Scene, sensed, unnoticed};
