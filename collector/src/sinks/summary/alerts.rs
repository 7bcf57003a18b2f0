//! Alerts of rules: how often each rule matched, and its first match with the programs that led to it.

use std::cmp::Reverse;

use rules::file::Priority;
use rustc_hash::FxHashMap;

use super::table::kept;
use crate::event::{Alert, Batch, Program};
use crate::picture::fields::base;
use crate::sinks::look::Look;
use crate::sinks::text::{self, Paint};

/// Rules that are counted one by one.
const MOST_RULES: usize = 1_000;
/// Rules that are listed.
const MOST_LISTED: usize = 20;
/// Programs of a line.
const MOST_PROGRAMS: usize = 6;
/// Columns of a rule's name, and of what it says.
const WIDEST_NAME: usize = 72;
const WIDEST_MESSAGE: usize = 400;

/// Alerts by rule.
#[derive(Debug, Default)]
pub struct Alerts {
    by_rule: FxHashMap<Box<str>, Noted>,
    all: u64,
}

/// The alerts of a rule.
#[derive(Debug)]
struct Noted {
    priority: Priority,
    times: u64,
    /// What the first one said.
    message: Box<[u8]>,
    /// The program that it was about, and those that it descends from.
    line: Vec<(Box<[u8]>, u32)>,
}

impl Alerts {
    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.all == 0
    }

    /// How many there were.
    pub fn len(&self) -> u64 {
        self.all
    }

    /// Adds those of a batch.
    pub fn take(&mut self, batch: &Batch) {
        for alert in &batch.alerts {
            self.all += 1;
            if let Some(noted) = self.by_rule.get_mut(alert.rule.name.as_str()) {
                noted.times += 1;
            } else if self.by_rule.len() < MOST_RULES
                && let Some(noted) = Noted::of(batch, alert)
            {
                self.by_rule.insert(alert.rule.name.as_str().into(), noted);
            }
        }
    }

    /// Appends the rules, the most urgent first.
    pub fn write(&self, look: Look, out: &mut Vec<u8>) {
        let (style, most) = (look.style, look.most(MOST_LISTED));
        let mut list: Vec<_> = self.by_rule.iter().collect();
        list.sort_by_key(|(name, noted)| (noted.priority, Reverse(noted.times), *name));
        for (name, Noted { priority, times, message, line }) in list.iter().take(most) {
            let paint = if *priority <= Priority::Error { Paint::Red } else { Paint::Yellow };
            out.extend_from_slice(b"  ");
            style.text(paint, priority.name(), out);
            text::pad(priority.name().len(), 9, out);
            out.extend_from_slice(format!("{:>7}  ", format!("{} ×", text::count(*times))).as_bytes());
            style.paint(paint, out, |out| {
                text::quote(name.as_bytes(), WIDEST_NAME, out);
            });
            out.extend_from_slice(b"\n    ");
            text::quote(message, WIDEST_MESSAGE, out);
            out.extend_from_slice(b"\n    ");
            style.paint(Paint::Dim, out, |out| write_line(line, out));
            out.push(b'\n');
        }
        if list.len() > most {
            let more = text::more((list.len() - most) as u64, "rule");
            style.text(Paint::Dim, &format!("  {more}\n"), out);
        }
    }
}

/// `by cat (12) ← sh (11) ← sshd (10)`
fn write_line(line: &[(Box<[u8]>, u32)], out: &mut Vec<u8>) {
    for (place, (name, pid)) in line.iter().enumerate() {
        out.extend_from_slice(if place == 0 { "by ".as_bytes() } else { " ← ".as_bytes() });
        text::quote(name, 24, out);
        out.extend_from_slice(format!(" ({pid})").as_bytes());
    }
}

impl Noted {
    fn of(batch: &Batch, alert: &Alert) -> Option<Self> {
        let program = &batch.who(batch.events.get(alert.event)?).program;
        let line = std::iter::once(program).chain(program.ancestors()).take(MOST_PROGRAMS);
        Some(Self {
            priority: alert.rule.priority,
            times: 1,
            message: kept(alert.output.message.as_bytes()),
            line: line.map(|program| (kept(name_of(program)), program.pid.0)).collect(),
        })
    }
}

/// The program's name, as a rule has it; else that of its file.
fn name_of(program: &Program) -> &[u8] {
    match program.facts.comm.bytes() {
        [] if program.exe.is_empty() => b"?",
        [] => base(&program.exe),
        name => name,
    }
}
