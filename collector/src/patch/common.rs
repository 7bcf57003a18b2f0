//! The options that every kind of file has.

use std::path::PathBuf;

use clap::Args;

/// The file, and what is written.
#[derive(Args, Debug)]
pub struct Common {
    /// The file; '-' reads stdin and writes stdout
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Write to PATH ('-' is stdout) and leave FILE as it is
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Only print the changes that would be made: exit status 0 if there are none, 1 if there are some
    #[arg(long)]
    pub check: bool,
}
