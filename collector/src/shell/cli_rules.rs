//! The command line of `glassbox rules`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `glassbox rules`
#[derive(Debug, Subcommand)]
pub enum Rules {
    /// List all rules with priority, tags and place
    List {
        #[command(flatten)]
        files: GivenRules,
        /// One JSON object a line for each rule
        #[arg(long)]
        json: bool,
    },
    /// Load files of Falco rules and say every problem as file:line:column; status 65 if there is an error
    Check {
        /// The files, of which later ones change earlier ones
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// Without glassbox's own rules before them
        #[arg(long)]
        no_default_rules: bool,
    },
    /// Say which rules an event matches, and which part of a condition decides that the others do not
    Explain {
        /// Lines of 'jsonl' in a file, or '-' for stdin: the last is the event; those before it
        /// tell its ancestors
        #[arg(value_name = "EVENT.json")]
        event: PathBuf,
        #[command(flatten)]
        files: GivenRules,
        /// Only this rule
        #[arg(long, value_name = "NAME")]
        rule: Option<String>,
    },
    /// Run the examples that stand beside rules (x-glassbox-examples); status 1 if one goes otherwise
    Test {
        /// The files; without any, glassbox's own
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Without glassbox's own rules before them
        #[arg(long)]
        no_default_rules: bool,
    },
}

/// The rules of a command that judges nothing.
#[derive(Args, Debug)]
pub struct GivenRules {
    /// The Falco rules of FILE, too; may be given again
    #[arg(long, value_name = "FILE")]
    pub rules: Vec<PathBuf>,
    /// Without glassbox's own rules
    #[arg(long)]
    pub no_default_rules: bool,
}
