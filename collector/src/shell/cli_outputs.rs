//! The options that commands with outputs share: where events go, which do, and how texts of them look.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use crate::sinks::formats;

/// The options that `run`, `collect`, `replay` and `judge` share.
#[derive(Args, Clone, Debug)]
pub struct Outputs {
    #[arg(short, long = "output", value_name = "FORMAT[:DEST]")]
    #[arg(help = formats::short_help(), long_help = formats::long_help())]
    pub output: Vec<OsString>,
    /// Read the settings of FILE, in YAML (docs/configuration.md); options and the environment come before it
    /// [default: GLASSBOX_CONFIG, else /etc/glassbox/glassbox.yaml if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub show: Shown,
}

/// How texts for people look: options of outputs, for all of them.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "How it looks")]
pub struct Shown {
    /// human: a line for each event as the output of a rule has it, such as '%evt.time %proc.name %fd.name'
    #[arg(short = 'p', long, value_name = "FORMAT")]
    pub print: Option<OsString>,
    /// human: the time of each line: utc, local, relative (to the first line) or delta (to the one before)
    #[arg(long, value_name = "CLOCK")]
    pub time: Option<OsString>,
    /// human, summary: colours: auto (on a terminal, without NO_COLOR), always or never
    #[arg(long, value_name = "WHEN")]
    pub color: Option<OsString>,
    /// summary: N entries of each list, instead of some on a terminal and all in a file
    #[arg(long, value_name = "N")]
    pub top: Option<OsString>,
    /// summary: what lists are sorted by: bytes, time, failures or name
    #[arg(long, value_name = "WHAT")]
    pub sort: Option<OsString>,
}

/// The options that choose events: each is a condition, and all must hold.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Which events")]
pub struct Selection {
    /// Only events that meet CONDITION, in Falco's language over the fields of 'glassbox fields'
    ///
    /// Lost events and programs that are not seen into are told of in any case. The options below stand for a
    /// condition each; given together, all must hold.
    #[arg(long, value_name = "CONDITION")]
    pub filter: Vec<String>,
    /// Only these events, by name or by the first part of it (file.open,net): gb.event in (file.open) or
    /// gb.noun in (net)
    #[arg(short = 'e', long = "event", value_name = "NAMES", value_delimiter = ',')]
    pub events: Vec<String>,
    /// Only events about PATH and what lies below it: gb.paths = PATH or gb.paths startswith PATH/
    #[arg(short = 'P', long = "path", value_name = "PATH")]
    pub paths: Vec<OsString>,
    /// Only events of programs of this name, or path: gb.exe.name = NAME or proc.name = NAME
    #[arg(long, value_name = "NAME")]
    pub exe: Vec<OsString>,
    /// Only events of this process: proc.pid in (N)
    #[arg(long, value_name = "N")]
    pub pid: Vec<u32>,
    /// Only calls that failed: gb.error exists
    #[arg(long)]
    pub failed: bool,
    /// Judge events by the Falco rules of FILE, too; may be given again
    #[arg(long, value_name = "FILE", help_heading = "Rules")]
    pub rules: Vec<PathBuf>,
    /// Without glassbox's own rules
    #[arg(long, help_heading = "Rules")]
    pub no_default_rules: bool,
    /// Write secrets as they are: without it, passwords, tokens and keys in arguments, environments and
    /// addresses show as [redacted] in every output and recording
    #[arg(long, help_heading = "Redaction")]
    pub no_redact: bool,
    /// End with status 1 if an alert was as urgent as PRIORITY (emergency to debug), or more
    #[arg(long, value_name = "PRIORITY", help_heading = "Rules")]
    pub fail_on: Option<OsString>,
}

/// The options of `top`.
#[derive(Args, Clone, Debug)]
pub struct Top {
    /// The file that the key r records to
    #[arg(long, value_name = "FILE", default_value = "glassbox-top.gbx")]
    pub record: PathBuf,
    /// Read the settings of FILE, in YAML (docs/configuration.md)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub selection: Selection,
}
