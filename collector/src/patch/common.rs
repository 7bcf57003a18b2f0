//! The options that every kind of file has.

use std::path::PathBuf;

use clap::Args;

/// Which file, and what becomes of it.
#[derive(Args, Debug)]
pub struct Common {
    /// The file; '-' reads stdin and writes stdout
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Write to PATH ('-' is stdout) and leave FILE as it is
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Only say what would be done: exit status 0 if nothing has to be, 1 if something has
    #[arg(long)]
    pub check: bool,
}
