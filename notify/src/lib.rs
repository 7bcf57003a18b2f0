//! Seccomp user notification as values: which system calls the kernel is asked to tell of, from where libc
//! makes them itself, and the filter that tells the two apart.
//!
//! [`CALLS`] is the table of the calls. [`Sites`] are the system call instructions of a libc, found by a scan
//! of its file. [`Filter`] is the program in classic BPF (seccomp(2)) made from both. [`Interpreter`] runs
//! such a program as the kernel does, and [`asks`] states in plain Rust what it decides; both serve tests and
//! fuzzing.
//!
//! The crate makes no system call and opens no file. The collector installs the filter, and receives.
#![forbid(unsafe_code)]

mod abi;
mod block;
mod calls;
mod filter;
mod interpreter;
mod judgement;
mod level;
mod region;
mod rules;
mod sites;

pub use abi::{Abi, Machine};
pub use block::Instruction;
pub use calls::{CALLS, Call, From, When, call};
pub use filter::{ALLOW, Filter, MOST_INSTRUCTIONS, NOTIFY, TooLong};
pub use interpreter::{Interpreter, Refused, Run};
pub use judgement::{Data, asks};
pub use level::{Level, UnknownLevel};
pub use rules::{Compare, Is, Rule, Split, rules};
pub use sites::{Sites, Unscannable};
