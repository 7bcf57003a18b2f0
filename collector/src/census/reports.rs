//! Reports of waits: how processes ended, by their parents and by the launcher.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use wire::events::Usage;

use crate::ids::{MonoNs, ProcessKey};

/// Reports kept of one reporter; the oldest makes way. A report is wanted for moments: the child it is about
/// is known already, or was just heard.
const MOST_OF_ONE: usize = 16;
/// Reporters kept; the one that came first makes way. More than the images that one user may have
/// ([`crate::allowance`]), so that none makes another's go.
const MOST_REPORTERS: usize = 1 << 14;

/// With so many reports of the launcher, those that nothing asked for in [`REPORT_NS`] are forgotten.
const MANY_OF_LAUNCHER: usize = 1024;
const REPORT_NS: u64 = 10_000_000_000;

/// A wait's report of how a process ended.
#[derive(Clone, Copy, Debug)]
pub struct WaitReport {
    /// As waitpid(2) gives it.
    pub status: i32,
    /// As wait4(2) gives it.
    pub usage: Option<Usage>,
    /// It came from the launcher, whose word no program can forge.
    pub is_launcher: bool,
    /// When it came.
    pub at: MonoNs,
}

/// The reports of processes whose end was not concluded, by their reporter: no process displaces the report
/// of another.
#[derive(Debug, Default)]
pub struct WaitReports {
    by_reporter: FxHashMap<ProcessKey, VecDeque<(ProcessKey, WaitReport)>>,
    /// The reporters in the order in which they came.
    order: VecDeque<ProcessKey>,
    launcher: FxHashMap<ProcessKey, WaitReport>,
}

impl WaitReports {
    /// Notes the launcher's report on the process `key`.
    pub fn note_launchers(&mut self, key: ProcessKey, report: WaitReport) {
        if self.launcher.len() >= MANY_OF_LAUNCHER {
            self.launcher.retain(|_, old| report.at.since(old.at) < REPORT_NS);
        }
        self.launcher.insert(key, report);
    }

    /// Notes a report of `reporter` on the process `key`.
    pub fn note(&mut self, key: ProcessKey, reporter: ProcessKey, report: WaitReport) {
        if !self.by_reporter.contains_key(&reporter) {
            if self.order.len() >= MOST_REPORTERS
                && let Some(first) = self.order.pop_front()
            {
                self.by_reporter.remove(&first);
            }
            self.order.push_back(reporter);
        }
        let reports = self.by_reporter.entry(reporter).or_default();
        reports.retain(|(other, _)| *other != key);
        if reports.len() >= MOST_OF_ONE {
            reports.pop_front();
        }
        reports.push_back((key, report));
    }

    /// The report of the process `key`: the launcher's, else its parent's.
    pub fn get(&self, key: ProcessKey, parent: Option<ProcessKey>) -> Option<WaitReport> {
        let of_parent = || {
            let mut reports = self.by_reporter.get(&parent?)?.iter().rev();
            reports.find(|(other, _)| *other == key).map(|(_, report)| *report)
        };
        self.launcher.get(&key).copied().or_else(of_parent)
    }

    /// Forgets a process: reports on it, and its own.
    pub fn forget(&mut self, key: ProcessKey, parent: Option<ProcessKey>) {
        self.launcher.remove(&key);
        if let Some(reports) = parent.and_then(|parent| self.by_reporter.get_mut(&parent)) {
            reports.retain(|(other, _)| *other != key);
        }
        if self.by_reporter.remove(&key).is_some() {
            self.order.retain(|reporter| *reporter != key);
        }
    }
}
