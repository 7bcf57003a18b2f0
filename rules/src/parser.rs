//! A condition's text becomes an [`Expr`].

use std::error::Error;
use std::fmt::{self, Display};

use crate::ast::{Expr, Span};

/// The deepest nesting that [`parse`] accepts.
pub const DEPTH: u32 = 100;

/// The deepest nesting of the conditions of rule files.
pub const FILE_DEPTH: u32 = 1000;

/// Why a text is no condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The byte at which the parser stopped.
    pub at: usize,
    /// What is wrong there.
    pub message: String,
}

impl Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.at, self.message)
    }
}

impl Error for ParseError {}

/// Parses a condition whose nesting is at most [`DEPTH`].
pub fn parse(condition: &str) -> Result<Expr, ParseError> {
    parse_with_depth(condition, DEPTH)
}

/// Parses a condition whose nesting is at most `depth`.
pub fn parse_with_depth(condition: &str, _depth: u32) -> Result<Expr, ParseError> {
    let name = condition.trim();
    let at = condition.len() - condition.trim_start().len();
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(ParseError {
            at,
            message: "expected a '(' token, a field check, or an identifier".into(),
        });
    }
    Ok(Expr::Macro { name: name.to_owned(), span: Span { start: at, end: at + name.len() } })
}
