//! Programs that cannot be seen into: what is known of them comes from the exec that they were started by.

use std::sync::Arc;

use wire::events::Kind;

use super::Enricher;
use super::process::Process;
use crate::event::Value;
use crate::ids::MonoNs;
use crate::system::program;

/// The arguments that an exec gives its program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// Each ended by a NUL; empty where they are not known.
    pub argv: Arc<[u8]>,
    /// How many there were, where `argv` was cut.
    pub argc: Option<u64>,
}

/// A program that cannot be seen into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlindProgram {
    /// The path that was executed.
    pub path: Box<[u8]>,
    /// The executable.
    pub exe: Vec<u8>,
    /// The arguments.
    pub arguments: Arguments,
    /// Why.
    pub reason: &'static str,
    /// Its real and effective group, where they are known.
    pub gids: Option<(u32, u32)>,
    /// Its environment, as far as it is shown, each variable ended by a NUL.
    pub environment: Vec<u8>,
    /// When it was executed; where no exec was seen, when it was heard of.
    pub at: MonoNs,
    /// Whether the kernel asks about calls of its process.
    pub is_asked_about: bool,
}

/// The reason of a program whose environment does not ask for the sensor.
pub const ENV_CLEARED: &str = "env_cleared";

/// The reasons of programs whose calls the kernel asks about. Of others it asks about execs alone: they
/// have libc, whose calls pass unasked.
pub const ASKED_ABOUT: [&str; 5] = [
    program::STATIC.name,
    program::GO.name,
    program::NO_LIBC.name,
    program::FOREIGN_ABI.name,
    program::NO_SENSOR.name,
];

/// Whether no sensor ever says anything in a program that is silent for this reason, while the kernel asks
/// about its calls: none is loaded, or the one that is finds no libc. In the others it says why it is silent.
pub fn is_mute(reason: &str) -> bool {
    let all = [
        program::STATIC.name,
        program::FOREIGN_ABI.name,
        program::GO_ALONE.name,
        program::NO_LIBC.name,
        program::NO_SENSOR.name,
    ];
    all.contains(&reason)
}

impl Enricher {
    /// Reports a program that the sensor is not in: the events of its process show it from here on. It
    /// cannot be seen into, or the kernel asks about its calls.
    pub fn blind(&mut self, process: &mut Process, program: &BlindProgram) {
        let BlindProgram { path, exe, arguments, reason, gids, environment, at, is_asked_about } = program;
        let Arguments { argv, argc } = arguments;
        process.becomes(exe, path, argv);
        let places = match *is_asked_about && ASKED_ABOUT.contains(reason) {
            true => {
                self.begin(process, Kind::ProcessStart, *at);
                self.batch.set(self.places.start_coverage, Value::Word("notify"));
                if let Some((gid, egid)) = gids {
                    self.batch.set(self.places.start_gid, Value::Uint(u64::from(*gid)));
                    self.batch.set(self.places.start_egid, Value::Uint(u64::from(*egid)));
                }
                if !environment.is_empty() {
                    let span = self.batch.keep(environment);
                    self.batch.set(self.places.start_env, Value::Map(span));
                }
                self.set_text(self.places.start_cwd, (!process.cwd.is_empty()).then_some(&process.cwd));
                self.places.start
            }
            false => {
                self.begin(process, Kind::SensorBlind, *at);
                self.places.blind
            }
        };
        self.set_text(places.path, (!path.is_empty()).then_some(path));
        self.batch.set(places.reason, Value::Word(reason));
        if !argv.is_empty() {
            let span = self.batch.keep(argv);
            self.batch.set(places.argv, Value::List(span));
        }
        if let Some(argc) = argc {
            self.batch.set(places.argc, Value::Uint(*argc));
            if let Some(event) = self.batch.events.last_mut() {
                event.is_truncated = true;
            }
        }
    }

    /// The path and the arguments of the `process.exec` written last.
    pub fn last_exec(&self) -> (&[u8], Arguments) {
        let places = self.places.exec;
        let value = |place: usize| {
            let event = self.batch.events.last()?;
            self.batch.values(event).get(place).copied()
        };
        let argv = match value(places.argv) {
            Some(Value::List(span)) => self.batch.bytes(span).into(),
            _ => Arc::default(),
        };
        let argc = match value(places.argc) {
            Some(Value::Uint(argc)) => Some(argc),
            _ => None,
        };
        (self.text_shown(places.path).unwrap_or_default(), Arguments { argv, argc })
    }
}
