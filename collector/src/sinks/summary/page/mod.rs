//! Writes the page, in the order of what matters: alerts, what failed, what could not be seen; then what
//! happened, and what it cost.

mod ends;
mod files;
mod network;
mod processes;
mod slow;
mod unseen;

use super::failures::{Failure, folded};
use super::gathered::{Gathered, Notable};
use super::tree;
use crate::sinks::encoder::RunFacts;
use crate::sinks::look::{self, By, Look, Sort};
use crate::sinks::text::{self, Paint};

/// Failures that are listed.
const MOST_FAILURES: usize = 10;

/// Appends the page.
pub fn write(summary: &Gathered, look: Look, facts: &RunFacts, out: &mut Vec<u8>) {
    let mut text = Vec::new();
    let mut page = Page { look, out: &mut text };
    if let Some(by) = look.by {
        page.part(by, summary);
        return look::laid_out(look, &text, out);
    }
    if look.columns.is_some() {
        // What CMD wrote last may have no end of its line.
        page.plain("\n");
    }
    page.title(summary);
    if facts.restarts > 0 {
        let again = text::plural(facts.restarts.into(), "time");
        page.warn(&format!(
            "the collector died and was started again ({again}); this page begins after that"
        ));
    }
    page.alerts(summary);
    page.failed(summary);
    page.unseen(summary);
    page.notable(summary);
    page.tree(summary);
    page.files(&summary.files);
    page.net(&summary.net);
    page.slow(&summary.slow);
    page.events(summary);
    page.lost(summary);
    page.cost(summary, facts);
    look::laid_out(look, &text, out);
}

/// Appends its end: events, losses and cost.
pub fn write_ends(summary: &Gathered, look: Look, out: &mut Vec<u8>) {
    let mut text = Vec::new();
    let mut page = Page { look, out: &mut text };
    page.unseen(summary);
    page.slow(&summary.slow);
    page.events(summary);
    page.lost(summary);
    page.cost(summary, &RunFacts::default());
    look::laid_out(look, &text, out);
}

/// The page while it is written.
struct Page<'a> {
    look: Look,
    out: &'a mut Vec<u8>,
}

impl Page<'_> {
    /// One part alone.
    fn part(&mut self, by: By, summary: &Gathered) {
        match by {
            By::Process => self.processes(summary),
            By::File => self.files(&summary.files),
            By::Peer => self.net(&summary.net),
            By::Rule => self.alerts(summary),
            By::Error => self.failed(summary),
            By::Tree => self.tree(summary),
        }
        if self.out.is_empty() {
            self.plain("nothing of that kind\n");
        }
    }

    fn alerts(&mut self, summary: &Gathered) {
        if !summary.alerts.is_empty() {
            self.heading("Alerts", &text::count(summary.alerts.len()));
            summary.alerts.write(self.look, self.out);
        }
    }

    fn tree(&mut self, summary: &Gathered) {
        if summary.picture.len() > 0 {
            self.heading("Processes", "");
            tree::write(&summary.picture, self.look, summary.last_ns, self.out);
        }
    }

    fn plain(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn paint(&mut self, paint: Paint, text: &str) {
        self.look.style.text(paint, text, self.out);
    }

    /// A part's first line.
    fn heading(&mut self, name: &str, rest: &str) {
        self.paint(Paint::Bold, name);
        if !rest.is_empty() {
            text::pad(name.len(), 11, self.out);
            self.plain(rest);
        }
        self.plain("\n");
    }

    fn warn(&mut self, line: &str) {
        self.paint(Paint::Yellow, line);
        self.plain("\n");
    }

    /// The first columns of a listed line.
    fn label(&mut self, paint: Paint, label: &str, amount: &str) {
        self.plain("  ");
        self.paint(paint, label);
        text::pad(label.len(), 9, self.out);
        let columns = amount.chars().count();
        self.out.resize(self.out.len() + 7_usize.saturating_sub(columns), b' ');
        self.plain(amount);
        self.plain("  ");
    }

    /// A path or name, cut where the line would be too long with what stands beside it.
    fn quoted(&mut self, text: &[u8]) {
        /// Columns before it, and of what usually follows.
        const BESIDE: usize = 20 + 28;
        text::quote(text, self.look.room(BESIDE), self.out);
    }

    fn dim(&mut self, text: &str) {
        self.paint(Paint::Dim, text);
    }

    fn more(&mut self, shown: usize, all: usize, noun: &str) {
        if all > shown {
            self.dim(&format!("  {}\n", text::more((all - shown) as u64, noun)));
        }
    }

    fn by(&mut self, program: &[u8]) {
        if !program.is_empty() {
            let style = self.look.style;
            style.paint(Paint::Dim, self.out, |out| {
                out.extend_from_slice(b"  by ");
                text::quote(program, 24, out);
            });
        }
    }

    /// Ends a line with the first event of a count.
    fn first(&mut self, notable: &Notable) {
        if !notable.first.is_empty() {
            self.quoted(&notable.first);
        }
        let more = if notable.times > 1 { ", …" } else { "" };
        self.plain(more);
        self.by(&notable.program);
        self.plain("\n");
    }

    fn title(&mut self, summary: &Gathered) {
        let events: u64 = summary.kinds.iter().sum();
        let lasted = summary.last_ns.saturating_sub(summary.first_ns);
        let text = format!(
            "glassbox: {}, {} in {}",
            text::plural(summary.picture.len(), "process"),
            text::plural(events, "event"),
            text::duration(lasted)
        );
        self.paint(Paint::Bold, &text);
        let (paint, lost) = match summary.lost {
            0 => (Paint::Green, ", none lost".to_owned()),
            lost => (Paint::Red, format!(", {} lost", text::count(lost))),
        };
        self.paint(paint, &lost);
        self.plain("\n");
    }

    /// What failed: the error, what it was about, and for whom.
    fn failed(&mut self, summary: &Gathered) {
        let failures = &summary.failures;
        let mut list = failures.sorted(&summary.picture);
        if list.is_empty() {
            return;
        }
        if self.look.sort == Sort::Name {
            list.sort_by(|one, other| one.what.cmp(&other.what));
        }
        let mut rest = text::plural(list.iter().map(|row| row.times).sum::<u64>() + failures.others, "time");
        if failures.looks > 0 {
            rest.push_str(&format!(
                "; besides {} for files that are not there",
                text::plural(failures.looks, "look")
            ));
        }
        self.heading("Failed", &rest);
        let most = self.look.most(MOST_FAILURES);
        if !self.look.is_whole && self.look.top.is_none() && self.look.by.is_none() {
            list = folded(list);
        }
        let width = list.iter().take(most).map(|row| row.error.len()).max().unwrap_or(0);
        for Failure { error, what, is_command, event, program, times, others, .. } in list.iter().take(most) {
            self.out.resize(self.out.len() + 2 + width.saturating_sub(error.len()), b' ');
            self.paint(Paint::Red, error);
            self.plain(" ");
            if *is_command {
                self.words(what);
            } else {
                self.quoted(what);
            }
            if !event.is_empty() {
                self.dim(&format!(" ({event})"));
            }
            if *others > 0 {
                self.dim(&format!(" and {} more", text::count(*others)));
            }
            if !program.is_empty() {
                self.dim(" by ");
                text::quote(program, 24, self.out);
            }
            if *times > 1 && *others == 0 {
                self.dim(&format!("  {} ×", text::count(*times)));
            }
            self.plain("\n");
        }
        self.more(most, list.len(), "failure");
    }

    /// A command, each word ended by a NUL.
    fn words(&mut self, command: &[u8]) {
        let mut left = self.look.room(32);
        for (index, word) in text::words_of(command).enumerate() {
            if left < 4 {
                return self.plain(" …");
            }
            self.plain(if index == 0 { "" } else { " " });
            left = left.saturating_sub(1 + text::quote(word, left, self.out));
        }
    }
}
