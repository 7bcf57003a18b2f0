//! The answer of `glassbox doctor`: a list of programs, and what holds for all of them.

use crate::program::Program;

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Each program, in the order of the paths.
    pub programs: Vec<Finding>,
    /// What holds for all of them, or could not be looked at.
    pub remarks: Vec<String>,
}

/// One program, and the process that runs it.
#[derive(Debug)]
pub struct Finding {
    pub program: Program,
    pub pid: Option<u32>,
    /// What to do, where that is not what the program's reason says.
    pub fix: Option<String>,
    pub notes: Vec<String>,
}

impl Finding {
    /// A program that no process was asked about.
    pub fn of(program: Program) -> Self {
        let notes = program.notes.iter().map(|&note| note.to_owned()).collect();
        Self { program, pid: None, fix: None, notes }
    }

    /// What to do about it.
    pub fn fix(&self) -> &str {
        self.fix.as_deref().unwrap_or(self.program.reason.fix)
    }
}
