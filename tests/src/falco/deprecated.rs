//! Falco's deprecated rules (`falco-deprecated_rules.yaml`), in the order of the file.

use super::Row;

/// The rules.
pub const ROWS: &[Row] = &[];
