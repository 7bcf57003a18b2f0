//! The part on calls that took long.

use std::cmp::Reverse;

use super::Page;
use crate::sinks::look::Sort;
use crate::sinks::summary::slow::{Calls, SlowCalls};
use crate::sinks::text::{self, Paint};

/// Calls that are listed.
const MOST_CALLS: usize = 8;
/// Calls of one sort that took less in all are left out: every program has many of these.
const NOTICED_NS: u64 = 10_000_000;

impl Page<'_> {
    /// The calls that took longest in all, with the slowest of each.
    pub fn slow(&mut self, slow: &SlowCalls) {
        let is_slow = |(_, calls): &(&[u8], &Calls)| calls.all_ns >= NOTICED_NS;
        let mut list: Vec<_> = slow.by_call.iter().filter(is_slow).collect();
        if list.is_empty() {
            return;
        }
        let is_by_name = self.look.sort == Sort::Name;
        list.sort_by_key(|(key, calls)| (Reverse(if is_by_name { 0 } else { calls.all_ns }), *key));
        self.heading("Slowest", "time in calls; begin: from an exec until its program runs");
        let most = self.look.most(MOST_CALLS);
        for (key, calls) in list.iter().take(most) {
            let mut parts = key.split(|byte| *byte == 0);
            let mut part = || parts.next().unwrap_or_default();
            let (verb, about, program) = (part(), part(), part());
            self.label(Paint::Magenta, &String::from_utf8_lossy(verb), &text::duration(calls.all_ns));
            self.quoted(about);
            if !calls.host.is_empty() {
                self.plain(" ");
                self.quoted(&calls.host);
            }
            if calls.times > 1 {
                let slowest = text::duration(calls.slowest_ns);
                self.dim(&format!("  {} ×, slowest {slowest}", text::count(calls.times)));
            }
            self.by(program);
            self.plain("\n");
        }
        self.more(most, list.len(), "call");
    }
}
