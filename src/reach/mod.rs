//! The ways of callers to the wrappers, and of the wrappers to the functions that they wrap.

pub mod elf;
pub mod got;
pub mod hook;
pub mod inline;
pub mod maps;
pub mod marks;
pub mod passage;
pub mod real;
pub mod stdio;
pub mod streams;
pub mod words;
