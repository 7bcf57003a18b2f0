//! A line for each process: what it did, in numbers.

use std::cmp::Reverse;

use super::Page;
use crate::picture::{End, Process};
use crate::sinks::look::Sort;
use crate::sinks::signals;
use crate::sinks::summary::gathered::Gathered;
use crate::sinks::summary::tree::with_arguments;
use crate::sinks::text::{self, Paint};

/// Processes that are listed.
const MOST: usize = 20;

impl Page<'_> {
    /// The processes, with a line of headings.
    pub fn processes(&mut self, summary: &Gathered) {
        let processes = summary.picture.processes();
        if processes.is_empty() {
            return;
        }
        let mut list: Vec<&Process> = processes.iter().collect();
        let lasted = |process: &Process| {
            let last_ns = if process.end == End::Running { summary.last_ns } else { process.ended_ns };
            last_ns.saturating_sub(process.began_ns)
        };
        match self.look.sort {
            Sort::Bytes => list.sort_by_key(|process| Reverse(process.did.bytes())),
            Sort::Time => list.sort_by_key(|process| Reverse(lasted(process))),
            Sort::Failures => list.sort_by_key(|process| Reverse(process.did.failures)),
            Sort::Name => list.sort_by_key(|process| (process.name().to_vec(), process.key.pid.0)),
        }
        const HEADINGS: [&str; 10] =
            ["pid", "events", "failed", "read", "written", "sent", "received", "cpu", "lasted", "end"];
        self.row(HEADINGS.map(str::to_owned), Paint::Bold);
        self.paint(Paint::Bold, "process\n");
        let most = self.look.most(MOST);
        for process in list.iter().take(most) {
            let did = &process.did;
            let end = match process.end {
                End::Running => "running".to_owned(),
                End::Code(code) => code.to_string(),
                End::Signal(signal) => signals::name(signal.into()),
                End::Unknown => "ended".to_owned(),
            };
            let size = |bytes| if bytes == 0 { "-".to_owned() } else { text::size(bytes).replace(' ', "") };
            let time = |ns| if ns == 0 { "-".to_owned() } else { text::duration(ns).replace(' ', "") };
            let cells = [
                process.key.pid.0.to_string(),
                did.events.to_string(),
                did.failures.to_string(),
                size(did.read),
                size(did.written),
                size(did.sent),
                size(did.received),
                time(process.cpu_ns),
                time(lasted(process)),
                end,
            ];
            self.row(cells, Paint::Dim);
            self.words(&with_arguments(process));
            self.plain("\n");
        }
        self.more(most, list.len(), "process");
    }

    fn row(&mut self, cells: [String; 10], paint: Paint) {
        /// Columns of a cell, with the space before it.
        const WIDTH: usize = 9;
        let mut line = String::new();
        for cell in cells {
            let columns = cell.chars().count();
            line.extend(std::iter::repeat_n(' ', WIDTH.saturating_sub(columns).max(1)));
            line.push_str(&cell);
        }
        line.push_str("  ");
        self.paint(paint, &line);
    }
}
