//! Carries out each command, up to the boundary in `session` or the launcher.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;

use clap::CommandFactory;

use crate::door::news::KeptRing;
#[cfg(feature = "nats")]
use crate::fleet;
use crate::launch::channel::{Channel, CollectorEnd, Received};
use crate::launch::command::Program;
use crate::launch::protocol::ToCollector;
use crate::launch::{self, RunUntil, collector};
use crate::notify::way::Ends;
use crate::outputs::Output;
use crate::reload::{Read, Reloader};
use crate::session::{self, Session};
use crate::settings::judged::Judged;
use crate::settings::keys::{
    DEFAULT_RULES, FAIL_ON, FILTER, FOLLOW, INLINE, METRICS, NOTIFY, OUTPUT, REDACT, REQUIRE_NOTIFY, RULES,
    Reader, SENSOR, SOCKET,
};
use crate::settings::layers::Layers;
use crate::settings::rule_files::RuleFiles;
use crate::settings::setting::Source;
use crate::settings::{self, COLLECT_OUTPUT, PAGE_OUTPUT, RUN_OUTPUT, Settings};
use crate::shell::cli::{Cli, Command};
use crate::shell::failure::{Failure, say};
use crate::shell::pager::Pager;
use crate::shell::socket::{self, Files};
use crate::shell::stop::{Beside, StopSignals};
use crate::shell::{
    cli, cli_rules, environment, field_list, greeting, hook_list, inherited, install, pages, sensor_path,
};
use crate::sinks::carrier::kind::{Opening, Options};
#[cfg(not(feature = "nats"))]
use crate::sinks::carrier::nats;
use crate::sinks::carrier::stream;
use crate::sinks::look::Show;
#[cfg(feature = "nats")]
use crate::sinks::{Backlog, Outlets};
use crate::stages::selectors::Selectors;
use crate::top;
use crate::{attach, diff, doctor, lambda, patch, rulebook, runc, webhook};

/// How long the hidden collector waits for a launcher that hands rings over.
const HANDOVER_PATIENCE_S: i64 = 10;
/// Where the view of `run --tui` records to.
const TOP_RECORD: &str = "glassbox-top.gbx";

/// Carries out a command; the result is the exit status.
pub fn carry_out(cli: Cli) -> Result<u8, Failure> {
    match cli.command {
        Command::Run(arguments) => run(arguments),
        Command::Collect(arguments) => collect(arguments),
        Command::Exec(arguments) => exec(arguments),
        Command::Attach(arguments) => attach(arguments),
        Command::Replay(arguments) => {
            // `replay … | head` ends as any filter does.
            inherited::restore_pipe();
            let mut layers =
                layers(&arguments.outputs, &arguments.selection)?.without_outputs_of_default_file();
            let by = arguments.by.clone().or_else(|| arguments.tree.then(|| "tree".into()));
            layers.show = show(&arguments.outputs.show, by.as_ref())?;
            let default = if by.is_some() { PAGE_OUTPUT } else { COLLECT_OUTPUT };
            // Before outputs are made: they look at what stdout leads to.
            let outputs = settings::outputs(&layers, default)?;
            Output::check_all(&outputs)?;
            let Judged { stages, verdict, .. } = Judged::of(&layers, &outputs)?;
            let is_read = !arguments.no_pager && outputs.iter().any(Output::is_read_on_stdout);
            let _pager = if is_read { Pager::start() } else { None };
            session::replay(&arguments.files, &outputs, stages).map(|()| verdict.status())
        }
        Command::Diff(arguments) => {
            inherited::restore_pipe();
            let show = show(&cli::Shown { color: arguments.color.clone(), ..cli::Shown::default() }, None)?;
            diff::compare(&arguments.one, &arguments.other, &show).map(u8::from)
        }
        Command::Judge(arguments) => judge(arguments),
        Command::Top(arguments) => watch(arguments).map(|()| 0),
        Command::Health => socket::ask_health(&settings::socket()?).map(|()| 0),
        Command::Doctor(arguments) => {
            inherited::restore_pipe();
            doctor::examine(&arguments).map(|()| 0)
        }
        Command::Runc(arguments) => runc::become_runtime(&arguments),
        Command::LambdaLayer(options) => lambda::layer::write(&options).map(|()| 0),
        Command::LambdaExtension => lambda::extend(),
        Command::Patch(arguments) => patch::carry_out(&arguments),
        Command::Webhook(arguments) => webhook::run(&arguments).map(|()| 0),
        Command::Install(arguments) => {
            install::install(&arguments.folder, arguments.with_command).map(|()| 0)
        }
        Command::Hooks(arguments) => {
            inherited::restore_pipe();
            let write = if arguments.json { hook_list::write_json } else { hook_list::write };
            write(&mut std::io::stdout().lock()).map(|()| 0).map_err(|error| {
                Failure::output(format!("cannot write the hook table to stdout: {error}; send it elsewhere"))
            })
        }
        Command::Fields(arguments) => {
            inherited::restore_pipe();
            let form = match (arguments.json, arguments.markdown) {
                (true, _) => field_list::Form::Json,
                (false, true) => field_list::Form::Markdown,
                (false, false) => field_list::Form::Text,
            };
            field_list::write(form, &mut std::io::stdout().lock()).map(|()| 0).map_err(|error| {
                Failure::output(format!("cannot write the fields to stdout: {error}; send them elsewhere"))
            })
        }
        Command::Completions { shell } => {
            inherited::restore_pipe();
            pages::complete(shell, Cli::command(), &mut std::io::stdout().lock()).map(|()| 0)
        }
        Command::Man { folder } => pages::man(Cli::command(), &folder).map(|()| 0),
        Command::Config(arguments) => {
            inherited::restore_pipe();
            config(&arguments).map(|()| 0)
        }
        Command::Rules(arguments) => {
            inherited::restore_pipe();
            rules(arguments)
        }
        Command::Collector(arguments) => serve_launcher(arguments).map(|()| 0),
    }
}

/// The layers of a command that has `-o` and chooses events. Reads the environment and the configuration file
/// anew each time.
fn layers(given: &cli::Outputs, selection: &cli::Selection) -> Result<Layers, Failure> {
    let selection = selection.clone();
    let cli::Selection { filter: filters, events, paths, exe: programs, pid: pids, .. } = selection;
    let is_failed = selection.failed;
    let condition = Selectors { events, paths, programs, pids, is_failed, filters }.condition()?;
    let mut layers = Layers::read(Reader::Every, given.config.as_deref())?;
    layers.show = show(&given.show, None)?;
    let layers = layers
        .with_flag(&OUTPUT, given.output.iter().cloned())
        .with_flag(&FILTER, condition.map(OsString::from))
        .with_flag(&RULES, selection.rules.into_iter().map(OsString::from))
        .with_flag(&DEFAULT_RULES, selection.no_default_rules.then(|| "off".into()))
        .with_flag(&REDACT, selection.no_redact.then(|| "off".into()))
        .with_flag(&FAIL_ON, selection.fail_on);
    Ok(layers)
}

/// What the command line asks for of texts for people, by the table of the outputs' options.
fn show(given: &cli::Shown, by: Option<&OsString>) -> Result<Show, Failure> {
    let cli::Shown { print, time, color, top, sort } = given;
    let given = [("print", print), ("time", time), ("color", color), ("top", top), ("sort", sort)];
    let given = given.map(|(name, value)| (name, value.as_ref())).into_iter().chain([("by", by)]);
    let texts: Vec<OsString> = given
        .filter_map(|(name, value)| Some([OsStr::new(name), OsStr::new("="), value?].into_iter().collect()))
        .collect();
    Options::read(&texts, &stream::STDERR).map(|options| options.show).map_err(Failure::usage)
}

/// `glassbox config`
fn config(arguments: &cli::Config) -> Result<(), Failure> {
    let out = &mut std::io::stdout().lock();
    match arguments {
        cli::Config::Check { file } => settings::command::check(file, out),
        cli::Config::Show { outputs, selection } => {
            settings::command::show(&layers(outputs, selection)?.with_default(&OUTPUT, COLLECT_OUTPUT), out)
        }
        cli::Config::Schema => settings::command::schema(out),
    }
}

/// `glassbox rules`
fn rules(arguments: cli_rules::Rules) -> Result<u8, Failure> {
    let out = &mut std::io::stdout().lock();
    let given = |files: cli_rules::GivenRules| RuleFiles {
        paths: files.rules,
        has_defaults: !files.no_default_rules,
    };
    match arguments {
        cli_rules::Rules::List { files, json } => rulebook::list(&given(files), json, out).map(|()| 0),
        cli_rules::Rules::Check { files, no_default_rules } => {
            rulebook::check(files, !no_default_rules, out).map(|()| 0)
        }
        cli_rules::Rules::Explain { event, files, rule } => {
            rulebook::explain(&event, &given(files), rule.as_deref(), out).map(|()| 0)
        }
        cli_rules::Rules::Test { files, no_default_rules } => rulebook::test(files, !no_default_rules, out),
    }
}

/// `glassbox run`: CMD and a collector of its own.
fn run(arguments: cli::Run) -> Result<u8, Failure> {
    if arguments.tui {
        return run_watched(&arguments);
    }
    let layers = layers(&arguments.outputs, &arguments.selection)?
        .without_outputs_of_default_file()
        .with_flag(&METRICS, arguments.metrics.metrics)
        .with_flag(&FOLLOW, arguments.follow.then(|| "on".into()))
        .with_flag(&NOTIFY, arguments.notify.notify)
        .with_flag(&REQUIRE_NOTIFY, arguments.notify.require_notify.then(|| "on".into()))
        .with_flag(&INLINE, arguments.inline.map(OsString::from));
    let is_following = layers.setting(&FOLLOW).is_on();
    let inline = layers.setting(&INLINE);
    launch::run(launch::Request {
        outputs: settings::outputs(&layers, RUN_OUTPUT)?,
        until: if is_following { RunUntil::DescendantsEnd } else { RunUntil::CommandEnds },
        inline: inline.values.first().map(|path| sensor_path::engine(path.as_ref())).transpose()?,
        notify: launch::Notify::of(&layers),
        layers,
        command: arguments.command,
    })
}

/// `glassbox run --tui`: the same, with the view in front of it.
fn run_watched(arguments: &cli::Run) -> Result<u8, Failure> {
    let layers = layers(&arguments.outputs, &arguments.selection)?.without_outputs_of_default_file();
    let Judged { stages, .. } = Judged::of(&layers, &[])?;
    let all: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut options = all[..all.len().saturating_sub(arguments.command.len())].to_vec();
    options.retain(|option| option != "--tui" && option != "--");
    // Outputs that another layer names stay, beside the view's own.
    if arguments.outputs.output.is_empty() {
        for value in layers.setting(&OUTPUT).values {
            options.extend(["-o".into(), value]);
        }
    }
    top::run(&options, &arguments.command, stages, TOP_RECORD.into())
}

/// `glassbox collect`: the collector alone.
fn collect(arguments: cli::Collect) -> Result<u8, Failure> {
    let first = layers(&arguments.outputs, &arguments.selection)?
        .with_flag(&METRICS, arguments.metrics.metrics.clone());
    let settings = Settings::of(&first, COLLECT_OUTPUT)?;
    let socket = settings::named(&first.setting(&SOCKET))?;
    Output::check_all(&settings.outputs)?;
    let before = settings.judged.verdict.clone();
    // The file and the environment are read anew; where it listens stays.
    let read: Read = Box::new(move || {
        let layers = layers(&arguments.outputs, &arguments.selection)?;
        Ok(Settings::again(&layers, COLLECT_OUTPUT, &before))
    });
    let reloader = Some(Reloader::new(read, settings.outputs.clone()));
    let stop = StopSignals::watch(Beside::ReloadAndPage)?;
    // A container's first process is given the orphans of all others (the shells of health checks), for which
    // no process waits.
    inherited::set_ignored(libc::SIGCHLD, true);
    let listening = socket::shared(&socket)?;
    let verdict = settings.judged.verdict.clone();
    let result = session::serve(Session {
        stop: Some(stop),
        reloader,
        greeting: greeting::of(&socket),
        ends_with_readers: true,
        gathers_page: true,
        ..settings.session(listening.listeners)
    });
    drop(listening.files);
    result.map(|()| verdict.status())
}

/// `glassbox top`: a live view of a collector.
fn watch(arguments: cli::Top) -> Result<(), Failure> {
    let cli::Top { record, config, selection } = arguments;
    let given = cli::Outputs { output: Vec::new(), config, show: cli::Shown::default() };
    let Judged { stages, .. } = Judged::of(&layers(&given, &selection)?, &[])?;
    top::watch(settings::socket()?, stages, record)
}

/// `glassbox judge`: rules and outputs over the events of a fleet.
#[cfg(feature = "nats")]
fn judge(arguments: cli::Judge) -> Result<u8, Failure> {
    let cli::Judge { from, durable, outputs, selection } = arguments;
    let from = fleet::From::parse(&from, durable)?;
    let layers = layers(&outputs, &selection)?;
    let outputs = settings::outputs(&layers, COLLECT_OUTPUT)?;
    Output::check_all(&outputs)?;
    if outputs.iter().any(Output::is_judged_elsewhere) {
        return Err(Failure::usage(
            "a judge that sends events to NATS would get them again; add only=alerts to its -o nats:",
        ));
    }
    let Judged { stages, verdict, .. } = Judged::of(&layers, &outputs)?;
    let stop = StopSignals::watch(Beside::None)?;
    let outlets = Outlets::open(&outputs, Opening::Fresh, Backlog::Wait)?;
    fleet::judge(&from, stages, outlets, stop).map(|()| verdict.status())
}

#[cfg(not(feature = "nats"))]
fn judge(_: cli::Judge) -> Result<u8, Failure> {
    nats::check_build().map(|()| 0)
}

/// `glassbox exec`: becomes CMD with the sensor preloaded, or its parent.
fn exec(arguments: cli::Exec) -> Result<u8, Failure> {
    let cli::Exec { notify, command } = arguments;
    let layers = Layers::read(Reader::Every, None)?
        .with_flag(&NOTIFY, notify.notify)
        .with_flag(&REQUIRE_NOTIFY, notify.require_notify.then(|| "on".into()));
    let sensor = sensor_path::find(layers.setting(&SENSOR).values.pop())?;
    // The sensor reads the environment alone.
    let setting = layers.setting(&SOCKET);
    let socket = settings::named(&setting)?;
    let spelled = socket.spelling();
    let of_file = matches!(setting.source, Source::File(_)).then(|| ("GLASSBOX_SOCKET", spelled.as_os_str()));
    let environment = environment::under_sensor(&command, &sensor, of_file.as_slice());
    let hooked = Program::new(&command, environment)?;
    launch::exec::exec(&launch::exec::Request { hooked, sensor, socket, notify: launch::Notify::of(&layers) })
}

/// `glassbox attach`
fn attach(arguments: cli::Attach) -> Result<u8, Failure> {
    let cli::Attach { pid, notify } = arguments;
    let layers = Layers::read(Reader::Every, None)?
        .with_flag(&NOTIFY, notify.notify)
        .with_flag(&REQUIRE_NOTIFY, notify.require_notify.then(|| "on".into()));
    let sensor = sensor_path::find(layers.setting(&SENSOR).values.pop())?;
    let socket = settings::named(&layers.setting(&SOCKET))?;
    attach::attach(attach::target::Request { pid, sensor, socket }, launch::Notify::of(&layers))
}

/// The launcher's child: takes over the descriptors and rings that the launcher passed down, and collects.
fn serve_launcher(arguments: cli::Collector) -> Result<(), Failure> {
    collector::name_process();
    let listeners: Result<Vec<OwnedFd>, Failure> =
        arguments.listener.into_iter().map(collector::adopt).collect();
    let listeners = listeners?;
    let mut channel: CollectorEnd = Channel::new(collector::adopt(arguments.channel)?);
    let layers = Layers::handed_down(&arguments.set).with_flag(&OUTPUT, arguments.output);
    let settings = Settings::of(&layers, RUN_OUTPUT)?;
    // The launcher keeps the working directory free for CMD to leave; so do we. Paths are absolute.
    let _ = std::env::set_current_dir("/");
    let Some(handed_over) = take_over(&mut channel) else { return Ok(()) };
    let result = session::serve(Session {
        launcher: Some(channel),
        opening: if arguments.restarts == 0 { Opening::Fresh } else { Opening::Resumed },
        handed_over,
        sightings: arguments.sightings.map(|fd| ends(fd, arguments.packets)).transpose()?,
        restarts: arguments.restarts,
        ..settings.session(listeners.into())
    });
    // The launcher does this too, unless it was killed. After a failure the next collector needs them.
    if result.is_ok() {
        drop(arguments.socket.map(Files::of_private));
    }
    result
}

/// The collector's ends of a supervisor's way.
fn ends(socket: RawFd, memfd: Option<RawFd>) -> Result<Ends, Failure> {
    let memfd = memfd.map(collector::adopt).transpose()?;
    Ok(Ends { socket: collector::adopt(socket)?, memfd })
}

/// The rings of the collector that died; nothing if the launcher is gone.
fn take_over(channel: &mut CollectorEnd) -> Option<Vec<KeptRing>> {
    let mut rings = Vec::new();
    loop {
        match channel.receive() {
            Received::Message(ToCollector::Ring { id, blob }, Some(memfd)) => {
                rings.push(KeptRing { id, blob, memfd })
            }
            Received::Message(ToCollector::Ring { .. }, None) => {
                say(
                    "a ring was lost when the collector was started again: too many open files; raise the limit",
                );
            }
            Received::Message(ToCollector::Handover, _) => return Some(rings),
            // Nothing else comes before the handover.
            Received::Message(..) => {}
            Received::Nothing => {
                let mut polled = [rustix::event::PollFd::new(channel, rustix::event::PollFlags::IN)];
                let time = rustix::event::Timespec { tv_sec: HANDOVER_PATIENCE_S, tv_nsec: 0 };
                if rustix::event::poll(&mut polled, Some(&time)) == Ok(0) {
                    return None;
                }
            }
            Received::Closed => return None,
        }
    }
}
