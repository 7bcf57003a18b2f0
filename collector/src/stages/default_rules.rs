//! Glassbox's own rules, which hold unless `--no-default-rules` is given.

/// A file of `rules/default/`: its name in messages, and its text.
type File = (&'static str, &'static str);

/// How the names of these files begin.
pub const PREFIX: &str = "glassbox:";

/// All files, in the order in which they are loaded.
pub const FILES: &[File] = &[];
