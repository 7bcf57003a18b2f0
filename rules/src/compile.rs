//! An [`Expr`] becomes a [`Program`]: fields, types and values are checked against a catalog.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::{self, Display};

use crate::ast::Expr;
use crate::field::Catalog;

/// The macros that a condition may name.
pub type Macros = HashMap<String, Expr>;

/// Why a condition cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    /// The macro in whose condition the fault is; `None`: in the condition itself.
    pub within: Option<String>,
    /// The byte of that condition.
    pub at: usize,
    /// What is wrong there.
    pub message: String,
}

impl Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.within {
            write!(f, "macro '{name}', ")?;
        }
        write!(f, "byte {}: {}", self.at, self.message)
    }
}

impl Error for CompileError {}

/// A condition that can be evaluated.
#[derive(Clone, Debug)]
pub struct Program {}

/// Checks a condition against a catalog, and resolves its macros.
pub fn compile(expr: &Expr, macros: &Macros, _catalog: &dyn Catalog) -> Result<Program, CompileError> {
    let mut missing = None;
    expr.each_macro(&mut |name, span| {
        if !macros.contains_key(name) && missing.is_none() {
            missing = Some((name.to_owned(), span.start));
        }
    });
    match missing {
        Some((name, at)) => {
            Err(CompileError { within: None, at, message: format!("unknown macro '{name}'") })
        }
        None => Ok(Program {}),
    }
}
