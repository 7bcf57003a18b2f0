//! What an attach knows of the machine: the registers of a stopped thread, and how it goes on with others.
//!
//! A file per machine has [`Registers`], `Waiting`, and the lists below it; all else is the same on each.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use aarch64::*;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;
