//! Falco's condition language, and an engine that judges events by rules written in it.
//!
//! The way of a condition: text → [`parser`] → [`ast::Expr`] → [`compile`] → [`Program`] → [`Engine`]. The
//! crate knows no sensor and no event: a [`Catalog`] says which fields exist, and a [`Subject`] answers for
//! one event.
#![forbid(unsafe_code)]

pub mod ast;
mod compare;
pub mod compile;
pub mod engine;
pub mod eval;
pub mod examples;
pub mod field;
pub mod file;
pub mod format;
mod gates;
mod glob;
mod names;
pub mod parser;
pub mod priority;
pub mod problem;
mod scanner;
mod sets;
mod slot;
mod tables;
mod transform;
pub mod window;

pub use ast::{Check, Expr, Operand, Operator, Span};
pub use compile::{CompileError, EventTypes, Macros, Program, compile};
pub use engine::{Engine, EventType, Match, Matching};
pub use eval::Step;
pub use field::{
    Answer, Argument, ArgumentKind, ArgumentRule, Catalog, FieldId, FieldSpec, Subject, Success, Type,
};
pub use glob::Glob;
pub use names::did_you_mean;
pub use parser::{ParseError, parse, parse_operand, parse_with_depth};
