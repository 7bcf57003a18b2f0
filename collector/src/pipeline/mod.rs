//! The pipeline: the one thread that reads, orders and enriches everything that programs wrote.
//!
//! ```text
//! rings/ → census/ → order/ → enrich/ → stages/ → outputs' queues
//!           who       when     what
//! ```
//!
//! The [`Pipeline`] is the conductor: it calls each part and passes results on. No part calls another back;
//! effects are values. It goes in rounds: hear the news, read every ring to its end, deliver everything that
//! is due, conclude ends.
//!
//! | file | |
//! |---|---|
//! | `conductor` | the rounds, and a record's way |
//! | `passes` | what is due goes on |
//! | `session` | whether and how the session ends |
//! | `effects` | the effects of a record on other parts |
//! | `news` | news of the doorman and the launcher |
//! | `supervised` | processes that a supervisor speaks of |
//! | `inner` | calls of libc's, until it is known whether a hook tells of them |
//! | `ends` | losses, blind programs, and the ends of images |
//! | `evasion` | evidence that programs got past their hooks |
//! | `suspicions` | the same, as long as it waits for its turn |
//! | `flushes` | the flushes that wait |
//! | `requests` | answers to flushes, and the border between requests (AWS Lambda) |
//! | `outbox` | batches to the stages and outputs |
//! | `naps` | how long to rest |
//! | `control` | the handle for other threads |

mod conductor;
pub mod control;
mod effects;
mod ends;
mod evasion;
mod flushes;
#[cfg(fuzzing)]
pub mod fuzzed;
#[cfg(test)]
mod hostile;
mod inner;
#[cfg(test)]
mod model;
mod naps;
mod news;
#[cfg(test)]
mod notified;
#[cfg(test)]
mod origins;
mod outbox;
mod passes;
mod requests;
mod session;
#[cfg(any(test, fuzzing))]
#[cfg_attr(fuzzing, allow(dead_code, reason = "the tests use all of it"))]
pub mod simulated;
#[cfg(test)]
mod standing;
mod supervised;
mod suspicions;
#[cfg(test)]
mod tests;

pub use conductor::{Pipeline, Wires};
pub use outbox::Outbox;
