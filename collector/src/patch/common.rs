//! The options that every kind of file has.

use std::path::{Path, PathBuf};

use clap::Args;
use deploy::config::{Config, LONGEST};
use notify::Level;

use crate::settings::command;
use crate::settings::keys::OUTPUT;
use crate::shell::failure::Failure;

/// The file, and what is written.
#[derive(Args, Debug)]
pub struct Common {
    /// The file; '-' reads stdin and writes stdout
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Write to PATH ('-' is stdout) and leave FILE as it is
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Only print the changes that would be made: exit status 0 if there are none, 1 if there are some,
    /// or if something makes containers in a way that no patch takes
    #[arg(long)]
    pub check: bool,
    /// As --check, and the changes to stdout as a unified diff, which patch(1) takes
    #[arg(long, conflicts_with = "output")]
    pub diff: bool,
}

/// The supervisor in front of a command.
#[derive(Args, Clone, Debug)]
pub struct Supervisor {
    /// Start each program by 'glassbox exec --notify LEVEL --', which has the kernel tell of static and Go
    /// programs: exec, security or full (docs/notify.md); off takes it out [default: what is there]
    ///
    /// A command that the file does not say is refused: the image's own is not known here. Health checks,
    /// probes and hooks are started beside the program, and have no supervisor.
    #[arg(long, value_name = "LEVEL", value_parser = str::parse::<Level>)]
    pub notify: Option<Level>,
    /// With --notify: end the container with status 69 where the level cannot be had, instead of running
    /// without it
    #[arg(long, requires = "notify")]
    pub require_notify: bool,
}

impl Supervisor {
    /// As the crate `deploy` takes it.
    pub fn request(&self) -> Option<deploy::notify::Notify> {
        let level = self.notify?;
        let level = (level != Level::Off).then(|| level.name().to_owned());
        Some(deploy::notify::Notify { level, is_required: self.require_notify })
    }
}

/// The configuration that a deployment file carries, from a file that the collector would take. Fails with
/// status 65 where it is malformed, 66 where it cannot be read.
pub fn config(path: Option<&Path>) -> Result<Option<Config>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let (text, configuration) = command::usable(path)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    if text.len() > LONGEST {
        let (name, most) = (path.display(), LONGEST >> 10);
        return Err(Failure::malformed(format!(
            "the configuration '{name}' has more than {most} KiB, which is too long for a deployment file; shorten it"
        )));
    }
    Ok(Some(Config { text, has_outputs: configuration.values.contains_key(OUTPUT.name) }))
}
