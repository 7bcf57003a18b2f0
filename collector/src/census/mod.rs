//! The census: the only owner of process images.
//!
//! The pipeline asks which image a record belongs to, and passes on everything that records, hellos and waits
//! tell of processes. Effects on other parts come back as values ([`Change`]): the census calls neither the
//! order nor the enricher. It reads the rings' slots, which say which process writes.
//!
//! | file | what it decides |
//! |---|---|
//! | `register` | look-ups, and the ends that are noted |
//! | `newcomers` | new images: from a hello, a slot |
//! | `notified` | new images: from the kernel's notification of a call |
//! | `identify` | the process behind a fork child's own number |
//! | `below` | the same in pid namespaces below the collector's |
//! | `relatives` | the children that a process tells of |
//! | `standpoints` | the user and mount namespace of a process at each of its events |
//! | `first_words` | the `Who`, directory and descriptors of an image |
//! | `asked` | the program of an exec, until it tells of itself |
//! | `verdict` | whether an end can be reported, and how the process ended |
//! | `closing` | losses, and the ledger at the end |
//! | `unreported` | losses that wait for their report |
//! | `within` | which calls of libc's a hook tells of |

mod asked;
mod below;
pub mod blind;
mod closing;
mod executions;
mod families;
mod first_words;
mod identify;
pub mod image;
pub mod life;
mod newcomers;
mod notified;
mod programs;
mod recent;
mod register;
mod relatives;
pub mod reports;
mod standpoints;
mod unreported;
pub mod verdict;
mod within;

pub use register::{Census, Change};
