//! How callers reach the wrappers, and how the wrappers reach what they wrap.

pub mod elf;
pub mod got;
pub mod hook;
pub mod inline;
pub mod maps;
pub mod real;
pub mod stdio;
pub mod streams;
