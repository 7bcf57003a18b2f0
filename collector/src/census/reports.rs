//! Reports of waits: how processes ended, by their parents and by the launcher.

use rustc_hash::FxHashMap;
use wire::events::Usage;

use crate::ids::{MonoNs, ProcessKey};

/// Reports of children that are not known are forgotten after this time.
const REPORT_NS: u64 = 10_000_000_000;
/// With more reports than this, old ones are looked for.
const MANY_REPORTS: usize = 1024;

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

/// The reports of processes whose end was not concluded.
#[derive(Debug, Default)]
pub struct WaitReports(FxHashMap<ProcessKey, WaitReport>);

impl WaitReports {
    /// Notes a report; the launcher's word stays.
    pub fn note(&mut self, key: ProcessKey, report: WaitReport) {
        let is_old = |old: &WaitReport| report.at.since(old.at) >= REPORT_NS;
        if self.0.len() > MANY_REPORTS {
            self.0.retain(|_, old| !is_old(old));
        }
        let is_better = self.0.get(&key).is_none_or(|old| !old.is_launcher || is_old(old));
        if is_better {
            self.0.insert(key, report);
        }
    }

    /// The report of a process.
    pub fn get(&self, key: &ProcessKey) -> Option<WaitReport> {
        self.0.get(key).copied()
    }

    /// Forgets a process.
    pub fn forget(&mut self, key: &ProcessKey) {
        self.0.remove(key);
    }
}
