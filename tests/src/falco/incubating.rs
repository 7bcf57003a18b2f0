//! Falco's incubating rules (`falco-incubating_rules.yaml`), in the order of the file.

use super::Row;

/// The rules.
pub const ROWS: &[Row] = &[];
