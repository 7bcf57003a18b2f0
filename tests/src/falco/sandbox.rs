//! Falco's sandbox rules (`falco-sandbox_rules.yaml`), in the order of the file.

use super::Row;

/// The rules.
pub const ROWS: &[Row] = &[];
