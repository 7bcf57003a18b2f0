//! What could not be seen, with doctor's reasons and remedies; and what deserves a look.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use wire::events::Kind;

use super::Page;
use crate::enrich::blind::ASKED_ABOUT;
use crate::sinks::summary::gathered::{Blind, Gathered};
use crate::sinks::text::{self, Paint};
use crate::system::program;

/// Programs that are listed for each reason.
const MOST_PROGRAMS: usize = 8;

impl Page<'_> {
    /// Programs that the sensor could not look into, by reason.
    pub fn unseen(&mut self, summary: &Gathered) {
        if summary.blind.is_empty() {
            return;
        }
        self.heading("Not seen", "programs that the sensor could not look into");
        let mut reasons: BTreeMap<&str, Vec<(&[u8], &Blind)>> = BTreeMap::new();
        for (path, blind) in summary.blind.iter() {
            reasons.entry(blind.reason).or_default().push((path, blind));
        }
        let most = self.look.most(MOST_PROGRAMS);
        for (reason, mut list) in reasons {
            list.sort_by_key(|(path, blind)| (Reverse(blind.times), *path));
            for (path, blind) in list.iter().take(most) {
                self.label(Paint::Yellow, "blind", &format!("{} ×", text::count(blind.times)));
                self.quoted(path);
                self.paint(Paint::Yellow, &format!("  {reason}\n"));
            }
            self.more(most, list.len(), "program");
            if let Some(known) = program::reason(reason) {
                self.dim(&format!("    {}\n", known.why));
                if known.fix != "none" {
                    self.dim(&format!("    remedy: {}\n", known.fix));
                }
            }
            if ASKED_ABOUT.contains(&reason) {
                self.dim("    or: --notify security has the kernel tell of what static and Go programs do\n");
            }
        }
    }

    /// What deserves a look, though no rule speaks of it.
    pub fn notable(&mut self, summary: &Gathered) {
        if summary.notable.is_empty() {
            return;
        }
        self.heading("Notable", "");
        let mut list: Vec<_> = summary.notable.iter().collect();
        list.sort_by_key(|(kind, _)| **kind);
        for (kind, notable) in list {
            let what = match kind {
                Kind::MemoryMap => "memory that is writable and executable",
                Kind::FileChmod => "set-user-id or set-group-id bits set",
                kind => kind.name(),
            };
            self.label(Paint::Yellow, "", &format!("{} ×", text::count(notable.times)));
            self.paint(Paint::Yellow, what);
            self.plain(if notable.first.is_empty() { "" } else { "  " });
            self.first(notable);
        }
    }
}
