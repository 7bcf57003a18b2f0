//! The findings of `glassbox doctor`: a list of programs, and remarks on all of them.

use crate::enrich::blind::ASKED_ABOUT;
use crate::system::program::Program;

/// All findings.
#[derive(Debug, Default)]
pub struct Findings {
    /// The programs, in the order of their paths.
    pub programs: Vec<Finding>,
    /// Facts about the whole environment, and places that could not be examined.
    pub remarks: Vec<String>,
}

/// One program, and the process that runs it.
#[derive(Debug)]
pub struct Finding {
    pub program: Program,
    pub pid: Option<u32>,
    /// A remedy that is better than that of the program's reason.
    pub fix: Option<String>,
    pub notes: Vec<String>,
}

impl Finding {
    /// A finding about a program's file alone.
    pub fn of(program: Program) -> Self {
        let notes = program.notes.iter().map(|&note| note.to_owned()).collect();
        Self { program, pid: None, fix: None, notes }
    }

    /// Whether the kernel tells of the program's calls below `--notify`.
    pub fn is_told_with_notify(&self) -> bool {
        ASKED_ABOUT.contains(&self.program.reason.name)
    }

    /// The remedy.
    pub fn fix(&self) -> &str {
        self.fix.as_deref().unwrap_or(self.program.reason.fix)
    }
}
