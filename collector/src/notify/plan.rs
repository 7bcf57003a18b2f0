//! What a run asks the kernel for: the filter of a level, proven.

use std::path::PathBuf;
use std::sync::Arc;

use notify::{Filter, Instruction, Level, Machine, Sites};

use super::libraries::{self, Library};
use super::modules::Trusted;
use super::proof;

/// What becomes of the calls that libc makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfLibc {
    /// They pass: hooks tell of them, or libc makes them for itself.
    Passes,
    /// Those that it makes for itself are told too (`GLASSBOX_TELL=libc`).
    IsTold,
    /// No sensor is there to tell of any: they are asked about like all others.
    IsAskedAbout,
}

/// A filter that was proven to work here.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program for the kernel.
    pub program: Vec<libc::sock_filter>,
    /// The files that it was made from.
    pub trusted: Arc<Trusted>,
    /// The calls that it asks about.
    pub level: Level,
}

impl Plan {
    /// Makes the filter of a level for processes that load one of `sensors`, and proves it. The error says
    /// why it cannot be had here.
    pub fn prove(level: Level, sensors: Vec<PathBuf>, of_libc: OfLibc) -> Result<Self, String> {
        Self::prove_with(level, libraries::scan(&sensors), sensors, of_libc)
    }

    /// The same for processes that load these `libraries`, which were scanned, and one of `sensors`.
    pub fn prove_with(
        level: Level,
        libraries: Vec<Library>,
        sensors: Vec<PathBuf>,
        of_libc: OfLibc,
    ) -> Result<Self, String> {
        let sensors: Vec<PathBuf> = sensors
            .iter()
            .filter_map(|path| path.canonicalize().ok())
            .chain(sensors.iter().cloned())
            .collect();
        let (own, libcs): (Vec<&Library>, Vec<&Library>) =
            libraries.iter().partition(|library| sensors.contains(&library.path));
        let [own, libcs] =
            [own, libcs].map(|all| all.into_iter().map(|library| &library.sites).collect::<Vec<&Sites>>());
        let filter = match of_libc {
            OfLibc::Passes => Filter::new(level, Machine::NATIVE, &[own, libcs].concat()),
            OfLibc::IsTold => Filter::telling_libc(level, Machine::NATIVE, &own, &libcs),
            OfLibc::IsAskedAbout => Filter::new(level, Machine::NATIVE, &[]),
        };
        let program = program(&filter.map_err(|error| error.to_string())?);
        proof::prove(&program)?;
        let libraries = libraries
            .into_iter()
            .map(|library| library.path)
            .filter(|path| !sensors.contains(path))
            .collect();
        let trusted = Trusted {
            libraries,
            sensors,
            is_libc_asked_about: of_libc == OfLibc::IsAskedAbout,
            is_libc_told: of_libc == OfLibc::IsTold,
            ..Trusted::default()
        };
        Ok(Self { program, trusted: Arc::new(trusted), level })
    }
}

/// Proves that this host delivers, for a filter that another program installs.
pub fn prove_host() -> Result<(), String> {
    let filter = Filter::new(Level::Exec, Machine::NATIVE, &[]).map_err(|error| error.to_string())?;
    proof::prove(&program(&filter))
}

fn program(filter: &Filter) -> Vec<libc::sock_filter> {
    let kernels = |instruction: &Instruction| libc::sock_filter {
        code: instruction.code,
        jt: instruction.jt,
        jf: instruction.jf,
        k: instruction.k,
    };
    filter.instructions().iter().map(kernels).collect()
}
