//! The command line: what can be typed, and what `--help` teaches about it.
//!
//! Parsing ends here in clap's own types; `commands` makes settings of them, because a default depends on the
//! command.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueHint};

use crate::lambda;
use crate::launch::collector::SUBCOMMAND;
use crate::patch::Patch;
use crate::runc;
use crate::settings::keys;
pub use crate::shell::cli_outputs::{Outputs, Selection, Shown, Top};
use crate::shell::cli_rules::Rules;
use crate::shell::failure::Failure;
use crate::shell::{pages, usage};
use crate::webhook::Webhook;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const BEFORE_ENVIRONMENT: &str = "\
Examples:
  glassbox run -- curl https://example.com        what did it do? a summary at the end
  glassbox run -o human -- make                   every event as it happens
  glassbox run -o jsonl:events.jsonl -o human:stderr -- ./server
  glassbox run -o recording:r.gbx -- ./server     and later: glassbox replay r.gbx
  glassbox collect -o jsonl &                     for programs started elsewhere:
  LD_PRELOAD=/path/to/libglassbox.so ./server

Environment:
";

const AFTER_ENVIRONMENT: &str = "
Exit status:
  of 'run' and 'exec' it is CMD's: 128+N if signal N killed it, 127 if it does not
  exist, 126 if it cannot be executed. Failures of glassbox itself: 64 wrong usage,
  65 an input is malformed, 66 an input is missing, 70 a fault of ours, 73 an output
  cannot be made";

fn after_help() -> String {
    [BEFORE_ENVIRONMENT, &keys::environment_help(), AFTER_ENVIRONMENT].concat()
}

/// Shows what happens inside a container: processes, files, network, from inside the process
#[derive(Debug, Parser)]
#[command(name = "glassbox", version, styles = STYLES, after_help = after_help(), max_term_width = 100)]
#[command(subcommand_required = true, args_override_self = false)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run CMD under the sensor and say what it did
    ///
    /// CMD's standard streams, terminal, signals and exit status are its own, as if it had been started
    /// without glassbox. The run ends when CMD ends, with everything written; descendants that live on are
    /// left alone.
    Run(Run),
    /// Collect from programs that are started elsewhere with LD_PRELOAD
    ///
    /// Listens where GLASSBOX_SOCKET says and ends cleanly, with everything written, on SIGTERM or ^C. SIGHUP
    /// opens the outputs anew and reads the rules again; SIGUSR1 writes a summary of what happened so far to
    /// stderr.
    Collect(Collect),
    /// Become CMD under the sensor, for a collector that runs elsewhere
    ///
    /// Appends the sensor to LD_PRELOAD and executes CMD in this very process. Without a collector at
    /// GLASSBOX_SOCKET, CMD runs exactly as without the sensor. With --notify it stays CMD's parent, as
    /// 'run' does, and tells the collector of what the kernel asks about; signals and the exit status are
    /// CMD's own.
    Exec(Exec),
    /// Put the sensor into a process that runs already
    ///
    /// The process must be this user's; it is held up for some milliseconds, and reports to the collector at
    /// GLASSBOX_SOCKET from then on, as do the programs that it starts. The sensor gets into dynamic programs
    /// only. With --notify the kernel asks about the system calls of all its threads, in static and Go
    /// programs too; a process of glassbox stays behind, which tells the collector of them. That cannot be
    /// undone while the program runs; without CAP_SYS_ADMIN it gets no_new_privs, so that set-user-id
    /// programs that it starts run without their rights.
    Attach(Attach),
    /// Send recordings to the outputs: every event again, or an answer in one look
    Replay(Replay),
    /// Compare two recordings: what ran, was written, was contacted and failed in one and not in the other
    ///
    /// Numbers of processes, temporary names and ports that the kernel chose count as the same. Ends with
    /// status 1 where something differs, as diff(1) does.
    Diff(Diff),
    /// Apply rules and outputs to the events of a fleet, which collectors send with -o nats:URL
    ///
    /// Judges with the same NAME share the events: all of one process go to one judge. A message is
    /// acknowledged once every output has written it. Ends cleanly on SIGTERM or ^C.
    Judge(Judge),
    /// Watch a running collector: processes, files, peers, failures, alerts, losses
    ///
    /// Shows what happens from now on, at the collector that listens where GLASSBOX_SOCKET says. Only root
    /// and the collector's own user may watch, from where the collector runs. Keys: 1 to 7 for the views,
    /// Enter for a process's last events, / to filter, s to sort, p to stand still, r to record, ? for all,
    /// q to leave. The collector and the programs go on in any case.
    Top(Top),
    /// Exit with status 0 while a collector is ready at GLASSBOX_SOCKET
    Health,
    /// Stand before the OCI runtime: put the sensor into the container, then become runc
    ///
    /// Takes runc's own command line (also under the name glassbox-runc). On `create` and `run` the bundle's
    /// config.json gets the sensor and the folder of the collector's socket as read-only mounts, LD_PRELOAD
    /// and GLASSBOX_SOCKET; on `exec` the new process gets the same. Then the real runtime takes over, with
    /// the same arguments. If the container cannot be prepared, the reason goes to the runtime's log, and the
    /// container starts without the sensor.
    Runc(runc::Options),
    /// Put the sensor into a deployment file
    ///
    /// The file is replaced as a whole or not at all; patching it again changes nothing more.
    Patch(Patch),
    /// Put the sensor into Kubernetes pods as they are made: a mutating admission webhook
    ///
    /// The same as 'glassbox patch k8s' does to files. Ends cleanly on SIGTERM or ^C.
    Webhook(Webhook),
    /// Copy the sensor into a folder, where every user can read it: what an init container does with the
    /// image
    Install(Install),
    /// Say what the sensor will and will not see, program by program, why, and what to do about it
    ///
    /// Examines CMD, a process, a folder or a container's root file system; without any of them, the
    /// programs in PATH.
    Doctor(Doctor),
    /// Write the AWS Lambda layer: the sensor, and the collector as an extension
    LambdaLayer(lambda::layer::Options),
    /// List the functions that the sensor wraps, the events they report and the symbols they export
    Hooks(Hooks),
    /// List rules, check files of them, and say why one matches an event or does not
    #[command(subcommand)]
    Rules(Rules),
    /// List the fields that rules and filters may name, with their type, source and limits
    Fields(Fields),
    /// Check a configuration file, show the settings that hold, and where they come from
    #[command(subcommand)]
    Config(Config),
    /// Write the completions of a shell to stdout: 'source <(glassbox completions bash)'
    Completions {
        /// The shell
        #[arg(value_name = "SHELL")]
        shell: pages::Completed,
    },
    /// Write a man page for each command into a folder
    Man {
        /// The folder, which exists
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Collect for a launcher: descriptors by number, passed down by `glassbox run`
    #[command(name = SUBCOMMAND, hide = true)]
    Collector(Collector),
    /// Collect inside an AWS Lambda sandbox, which starts the layer's extensions without arguments
    #[command(name = lambda::SUBCOMMAND, hide = true)]
    LambdaExtension,
}

/// The option of those that run on.
#[derive(Args, Clone, Debug)]
pub struct Metrics {
    /// Serve /metrics for Prometheus, and /healthz, at ADDR: an address and port, or a port of the loopback
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<OsString>,
}

/// What is asked of the kernel.
#[derive(Args, Clone, Debug)]
pub struct Notify {
    /// Have the kernel ask about system calls that no hook can see, of static and Go programs and of code
    /// that calls the kernel itself: off, exec (programs, and what changes the kernel's view), security
    /// (and files written, connections, identities), full (and files read, and closes with bytes). Without
    /// CAP_SYS_ADMIN set-user-id programs then run without their rights (docs/notify.md)
    #[arg(long, value_name = "LEVEL")]
    pub notify: Option<OsString>,
    /// End with status 69 where the level of --notify cannot be had
    #[arg(long)]
    pub require_notify: bool,
}

/// `glassbox run`
#[derive(Args, Debug)]
#[command(
    after_help = "Without -o: a summary on stderr. Without DEST: stderr.\n\nExample:\n  glassbox run -o \
                        jsonl:events.jsonl -o human -- sh -c 'cat /etc/hostname | wc -c'"
)]
pub struct Run {
    #[command(flatten)]
    pub outputs: Outputs,
    #[command(flatten)]
    pub selection: Selection,
    /// Wait for the descendants that outlive CMD, until none with the sensor in it runs; ^C ends the waiting
    #[arg(long)]
    pub follow: bool,
    #[command(flatten)]
    pub metrics: Metrics,
    #[command(flatten)]
    pub notify: Notify,
    /// Load ENGINE beside the sensor, so that calls that libc makes inside itself are seen too
    /// (docs/inline.md)
    #[arg(long, value_name = "ENGINE")]
    pub inline: Option<PathBuf>,
    /// Watch it in the terminal while it runs, as 'glassbox top' does
    ///
    /// CMD gets no stdin and no terminal; what it prints is a view of its own, and is printed once the view
    /// is left (q). ^C interrupts CMD.
    #[arg(long)]
    pub tui: bool,
    /// The program to run, and its arguments
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true)]
    #[arg(value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
}

/// `glassbox collect`
#[derive(Args, Clone, Debug)]
#[command(after_help = "Without -o: human on stdout. Without DEST: stdout.")]
pub struct Collect {
    #[command(flatten)]
    pub outputs: Outputs,
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub metrics: Metrics,
}

/// `glassbox exec`
#[derive(Args, Debug)]
pub struct Exec {
    #[command(flatten)]
    pub notify: Notify,
    /// The program to become, and its arguments
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true)]
    #[arg(value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
}

/// `glassbox hooks`
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  glassbox hooks --json | jq -r 'select(.events == [\"file.open\"]) | .function'"
)]
pub struct Hooks {
    /// One JSON object a line for each function
    #[arg(long)]
    pub json: bool,
}

/// `glassbox fields`
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  glassbox fields --json | jq -r 'select(.limits != \"\") | .name'")]
pub struct Fields {
    /// One JSON object a line for each field
    #[arg(long, conflicts_with = "markdown")]
    pub json: bool,
    /// As docs/fields.md
    #[arg(long, hide = true)]
    pub markdown: bool,
}

/// `glassbox config`
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "one is made for a process; clap cannot fill a box of options")]
pub enum Config {
    /// Say every problem of a configuration file as file:line:column; status 65 if there is one
    Check {
        /// The file; '-' reads stdin
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Write the settings that 'collect' has with these options as a configuration file, each with the layer
    /// that it comes from
    ///
    /// Secrets in it show as [redacted].
    Show {
        #[command(flatten)]
        outputs: Outputs,
        #[command(flatten)]
        selection: Selection,
    },
    /// Write the JSON schema of configuration files, for editors
    Schema,
}

/// `glassbox attach`
#[derive(Args, Debug)]
pub struct Attach {
    #[command(flatten)]
    pub notify: Notify,
    /// The process
    #[arg(value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: u32,
}

/// `glassbox doctor`
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  glassbox doctor --root / --json | jq -r 'select(.coverage == \"blind\") | .path'"
)]
pub struct Doctor {
    /// Look at a process that runs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with_all = ["root", "command"])]
    pub pid: Option<u32>,
    /// Look at every program in a folder and below; loaders and interpreters are looked for there too if it
    /// is a root file system
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub root: Option<PathBuf>,
    /// One JSON object a line for each program, instead of the table
    #[arg(long)]
    pub json: bool,
    /// Programs of which everything is seen, too
    #[arg(long)]
    pub all: bool,
    /// The program to look at; its arguments are not
    #[arg(value_name = "CMD", trailing_var_arg = true)]
    pub command: Vec<OsString>,
}

/// `glassbox install`
#[derive(Args, Debug)]
pub struct Install {
    /// Copy this program too, which starts others there: 'glassbox exec --notify'
    #[arg(long)]
    pub with_command: bool,
    /// The folder, which exists
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// `glassbox replay`
#[derive(Args, Debug)]
#[command(
    after_help = "Without -o: human on stdout. Without DEST: stdout.\n\nExamples:\n  glassbox replay --by error \
                        r.gbx            what failed\n  glassbox replay --by file --top 20 r.gbx\n  glassbox replay \
                        --filter 'fd.name = /etc/passwd' r.gbx"
)]
pub struct Replay {
    /// The recording, as 'run -o recording:FILE' made it; '-' reads stdin. Several follow each other
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// One part of the summary, whole, instead of the events: process, file, peer, rule or error
    #[arg(long, value_name = "WHAT", conflicts_with = "tree")]
    pub by: Option<OsString>,
    /// The tree of processes, whole, instead of the events
    #[arg(long)]
    pub tree: bool,
    /// Write to the terminal itself: without it, through GLASSBOX_PAGER, PAGER or less
    #[arg(long)]
    pub no_pager: bool,
    #[command(flatten)]
    pub outputs: Outputs,
    #[command(flatten)]
    pub selection: Selection,
}

/// `glassbox diff`
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  glassbox run -o recording:old.gbx -- ./build.sh\n  glassbox run -o recording:new.gbx -- \
                        ./build.sh\n  glassbox diff old.gbx new.gbx"
)]
pub struct Diff {
    /// A recording, as 'run -o recording:FILE' made it
    #[arg(value_name = "A")]
    pub one: PathBuf,
    /// The recording that it is compared with
    #[arg(value_name = "B")]
    pub other: PathBuf,
    /// Colours: auto (on a terminal, without NO_COLOR), always or never
    #[arg(long, value_name = "WHEN")]
    pub color: Option<OsString>,
}

/// `glassbox judge`
#[derive(Args, Debug)]
#[command(
    after_help = "Without -o: human on stdout. Without DEST: stdout.\n\nExample:\n  glassbox judge --from \
                        nats://broker:4222,creds=/run/login --durable soc -o falco:http://sidekick:2801"
)]
pub struct Judge {
    /// The NATS server, nats://HOST:PORT or tls://HOST:PORT, with the options of -o nats: behind it: creds,
    /// cluster (only its events; without it all), ca, cert, key, timeout
    #[arg(long, value_name = "URL")]
    pub from: OsString,
    /// The name of the judges that share the work: letters, digits, '-' and '_'
    #[arg(long, value_name = "NAME")]
    pub durable: String,
    #[command(flatten)]
    pub outputs: Outputs,
    #[command(flatten)]
    pub selection: Selection,
}

/// The hidden collector of a `run`.
#[derive(Args, Debug)]
pub struct Collector {
    #[arg(long)]
    pub channel: i32,
    #[arg(long)]
    pub sightings: Option<i32>,
    #[arg(long)]
    pub packets: Option<i32>,
    #[arg(long)]
    pub restarts: u32,
    #[arg(long)]
    pub listener: Vec<i32>,
    #[arg(long)]
    pub socket: Option<PathBuf>,
    #[arg(long)]
    pub output: Vec<OsString>,
    /// The launcher's settings: name, source and value of each
    #[arg(long, num_args = 3, allow_hyphen_values = true)]
    pub set: Vec<OsString>,
}

impl Cli {
    /// Parses the process's arguments.
    ///
    /// `Ok(None)` means that help or the version was asked for and has been printed.
    pub fn from_arguments(arguments: impl Iterator<Item = OsString>) -> Result<Option<Self>, Failure> {
        let arguments: Vec<OsString> = arguments.collect();
        match Self::try_parse_from(&arguments) {
            Ok(cli) => Ok(Some(cli)),
            Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
                // A reader that is gone does not need the help any more.
                let _ = error.print();
                Ok(None)
            }
            Err(error) => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                Err(usage::failure(&error, &Self::command(), &arguments, &path))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::formats;

    fn parse(arguments: &[&str]) -> Result<Command, Failure> {
        let arguments = ["glassbox"].iter().chain(arguments).map(OsString::from);
        Cli::from_arguments(arguments).map(|cli| cli.expect("help was not asked for").command)
    }

    #[test]
    fn declarations_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn everything_after_the_dashes_is_commands() {
        let Ok(Command::Run(run)) = parse(&["run", "-o", "human", "--", "ls", "-o", "--follow", "--"]) else {
            panic!("not run")
        };

        assert_eq!(vec!["human"], run.outputs.output);
        assert_eq!(vec!["ls", "-o", "--follow", "--"], run.command);
        assert!(!run.follow);
    }

    #[test]
    fn dashes_may_be_left_out_before_a_plain_command() {
        let Ok(Command::Exec(exec)) = parse(&["exec", "env", "-i", "true"]) else { panic!("not exec") };

        assert_eq!(vec!["env", "-i", "true"], exec.command);
    }

    #[test]
    fn help_has_every_format_and_every_variable() {
        let mut command = Cli::command();
        let run = command.find_subcommand_mut("run").unwrap().render_long_help().to_string();
        let run: String = run.split_whitespace().collect::<Vec<_>>().join(" ");
        let all = command.render_long_help().to_string();

        for format in formats::FORMATS {
            assert!(run.contains(format.help), "{}", format.name);
        }
        for key in keys::KEYS.iter().filter(|key| key.reader == keys::Reader::Every) {
            assert!(all.contains(key.variable), "{}", key.name);
        }
    }

    #[test]
    fn every_flag_of_the_settings_is_an_option_of_a_command() {
        let command = Cli::command();

        for flag in keys::KEYS.iter().map(|key| key.flag).filter(|flag| !flag.is_empty()) {
            let has =
                |command: &clap::Command| command.get_arguments().any(|arg| arg.get_long() == Some(flag));
            assert!(command.get_subcommands().any(has), "--{flag}");
        }
    }

    #[test]
    fn help_says_where_each_command_writes_without_an_output() {
        use crate::settings::{COLLECT_OUTPUT, RUN_OUTPUT};

        assert_eq!("summary:stderr", RUN_OUTPUT, "see the help of Run");
        assert_eq!("human:-", COLLECT_OUTPUT, "see the help of Collect and Replay");
    }
}
