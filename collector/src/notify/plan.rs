//! What a run asks the kernel for: the filter of a level, proven.

use std::path::PathBuf;
use std::sync::Arc;

use notify::{Filter, Instruction, Level, Machine, Sites};

use super::libraries::{self, Library};
use super::modules::Trusted;
use super::proof;

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
    pub fn prove(level: Level, sensors: Vec<PathBuf>) -> Result<Self, String> {
        Self::prove_with(level, libraries::scan(&sensors), sensors, false)
    }

    /// The same for processes that load these `libraries`, which were scanned, and one of `sensors`. Where no
    /// sensor is to tell of what libc does, its calls are asked about like all others.
    pub fn prove_with(
        level: Level,
        libraries: Vec<Library>,
        sensors: Vec<PathBuf>,
        is_libc_asked_about: bool,
    ) -> Result<Self, String> {
        let passing = libraries.iter().filter(|_| !is_libc_asked_about);
        let sites: Vec<&Sites> = passing.map(|library| &library.sites).collect();
        let filter = Filter::new(level, Machine::NATIVE, &sites).map_err(|error| error.to_string())?;
        let program = program(&filter);
        proof::prove(&program)?;
        let sensors: Vec<PathBuf> = sensors
            .iter()
            .filter_map(|path| path.canonicalize().ok())
            .chain(sensors.iter().cloned())
            .collect();
        let libraries = libraries
            .into_iter()
            .map(|library| library.path)
            .filter(|path| !sensors.contains(path))
            .collect();
        let trusted = Trusted { libraries, sensors, is_libc_asked_about, ..Trusted::default() };
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
