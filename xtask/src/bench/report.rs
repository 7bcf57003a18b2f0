//! The tables: on the terminal, and in `docs/performance.md`.

use std::fmt::Write as _;

use anyhow::{Context, Result};

use super::machine;
use super::stats::Spread;
use crate::shell;

/// One line of the main table.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// The case.
    pub what: String,
    /// The bare program's figure.
    pub bare: String,
    /// The figure with the sensor.
    pub watched: String,
    /// The ratio of the program's own processor time.
    pub cpu: String,
    /// The cost of a wrapper that does nothing, and the sensor's ratio to it.
    pub floor: String,
    /// The collector's processor time for the same unit of work.
    pub collector: String,
    /// Events lost, of those made.
    pub lost: String,
    /// The goal.
    pub must: String,
    /// Whether the goal is reached; `None` if there is no goal.
    pub is_reached: Option<bool>,
}

/// One line of the table of what `run --notify` costs.
#[derive(Clone, Debug, Default)]
pub struct Notified {
    /// The case.
    pub what: String,
    /// The bare program's figure.
    pub bare: String,
    /// The ratio of `glassbox run` to bare.
    pub off: String,
    /// The ratio of `glassbox run --notify security` to bare.
    pub security: String,
    /// The difference of the last two, or their ratio.
    pub over: String,
    /// Events that the kernel told of, in all.
    pub notified: String,
    /// Events lost.
    pub lost: String,
    /// The goal for `over`.
    pub must: String,
    /// Whether the goal is reached; `None` where the rounds do not say it.
    pub is_reached: Option<bool>,
}

/// The results of one run.
#[derive(Debug, Default)]
pub struct Results {
    rows: Vec<Row>,
    notified: Vec<Notified>,
    beside: Vec<[String; 4]>,
    skipped: Vec<[String; 2]>,
    texts: Vec<(String, String)>,
}

impl Results {
    /// Adds a row, and prints it at once.
    pub fn add(&mut self, row: Row) {
        eprintln!(
            "  {}: {} (must: {})",
            row.what,
            row.watched,
            if row.must.is_empty() { "–" } else { &row.must }
        );
        self.rows.push(row);
    }

    /// Adds a row of what `run --notify` costs, and prints it at once.
    pub fn add_notified(&mut self, row: Notified) {
        eprintln!("  {}: {}, {} (must: {})", row.what, row.security, row.over, row.must);
        self.notified.push(row);
    }

    /// Adds a peer's figure for a case.
    pub fn beside(&mut self, case: &str, peer: &str, value: String, note: String) {
        eprintln!("  beside, {peer}: {value} {note}");
        self.beside.push([case.to_owned(), peer.to_owned(), value, note]);
    }

    /// Adds a case that was not measured, and why.
    pub fn skip(&mut self, what: &str, why: String) {
        let line = [what.to_owned(), why];
        if !self.skipped.contains(&line) {
            self.skipped.push(line);
        }
    }

    /// Adds a block of another program's output.
    pub fn attach(&mut self, title: &str, text: String) {
        eprintln!("{text}");
        self.texts.push((title.to_owned(), text));
    }

    /// The number of figures that miss their goal.
    pub fn failures(&self) -> usize {
        let missed = self.rows.iter().filter(|row| row.is_reached == Some(false)).count();
        missed + self.notified.iter().filter(|row| row.is_reached == Some(false)).count()
    }

    /// All tables as markdown that reads well on a terminal too.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if !self.rows.is_empty() {
            let head = [
                "",
                "bare",
                "glassbox",
                "program's CPU",
                "empty wrapper",
                "collector's CPU",
                "lost",
                "must reach",
                "",
            ];
            let lines: Vec<Vec<String>> = self
                .rows
                .iter()
                .map(|row| {
                    let verdict = match row.is_reached {
                        Some(true) => "ok",
                        Some(false) => "MISSED",
                        None => "",
                    };
                    let cells = [
                        &row.what,
                        &row.bare,
                        &row.watched,
                        &row.cpu,
                        &row.floor,
                        &row.collector,
                        &row.lost,
                        &row.must,
                    ];
                    cells
                        .into_iter()
                        .map(String::as_str)
                        .chain([verdict])
                        .map(|cell| if cell.is_empty() { "–".to_owned() } else { cell.to_owned() })
                        .collect()
                })
                .collect();
            text += &table(&head, &lines);
        }
        if !self.notified.is_empty() {
            let head =
                ["", "bare", "off", "security", "security over off", "notified", "lost", "must reach", ""];
            let lines: Vec<Vec<String>> = self
                .notified
                .iter()
                .map(|row| {
                    let verdict = match row.is_reached {
                        Some(true) => "ok",
                        Some(false) => "MISSED",
                        None => "undecided",
                    };
                    let cells = [
                        &row.what,
                        &row.bare,
                        &row.off,
                        &row.security,
                        &row.over,
                        &row.notified,
                        &row.lost,
                        &row.must,
                    ];
                    cells.into_iter().cloned().chain([verdict.to_owned()]).collect()
                })
                .collect();
            text += &table(&head, &lines);
        }
        if !self.beside.is_empty() {
            text += "\nBeside it, in the same run:\n\n";
            let lines: Vec<Vec<String>> = self.beside.iter().map(|line| line.to_vec()).collect();
            text += &table(&["case", "tool", "figure", ""], &lines);
        }
        for (title, output) in &self.texts {
            let _ = write!(text, "\n{title}:\n\n```text\n{}\n```\n", output.trim_end());
        }
        if !self.skipped.is_empty() {
            text += "\nNot measured:\n\n";
            for [what, why] in &self.skipped {
                let _ = writeln!(text, "- {what}: {why}");
            }
        }
        text
    }

    /// Writes the page.
    ///
    /// `load_before` is the machine's load before the first case.
    pub fn write(&self, page: &Page, names: &[String], load_before: &str) -> Result<()> {
        let mut text = String::from(page.introduction);
        let command = [page.command].into_iter().chain(names.iter().map(String::as_str));
        let _ = writeln!(text, "Command: `{}`\n", command.collect::<Vec<_>>().join(" "));
        let mut machine: Vec<Vec<String>> =
            machine::describe().into_iter().map(|(name, value)| vec![name, value]).collect();
        machine.push(vec!["load before (quiet: 0)".to_owned(), load_before.to_owned()]);
        text += &table(&["machine", ""], &machine);
        text += "\n## Figures\n\n";
        text += &self.text();
        let file = shell::root().join(page.file);
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        eprintln!("wrote {}", file.display());
        Ok(())
    }
}

/// A page of figures.
pub struct Page {
    file: &'static str,
    command: &'static str,
    introduction: &'static str,
}

/// What the sensor costs.
pub const SENSOR: Page =
    Page { file: "docs/performance.md", command: "cargo xtask bench --write", introduction: INTRODUCTION };

/// What `run --notify` costs.
pub const NOTIFY: Page = Page {
    file: "docs/performance-notify.md",
    command: "cargo xtask bench --notify --write",
    introduction: "\
# What --notify costs

Written by `cargo xtask bench --notify --write`; do not edit.

Each round measures the bare program, the same program below `glassbox run` (*off*) and below `glassbox run
--notify security`, in an order that changes. *off* and *security* are medians of the ratios to the bare program
of the same round, with the middle half of them in brackets; *security over off* is what `--notify` adds. A
goal within the middle half is *undecided*: the machine had other work. Loops and servers time themselves,
without the start of the run; *in a run of its own* includes the start and the end of the launcher and the
collector. *notified* counts the events that the kernel told of, *lost* is the collector's own count.
[ADR 40](adr/0040-what-notify-costs.md) says where the time of a notified call goes.

",
};

const INTRODUCTION: &str = "\
# What the sensor costs

Written by `cargo xtask bench --write`; do not edit.

Each case alternates the bare program and the same program under the sensor. A ratio is the median of
the pairwise ratios, with the middle half of them in brackets; loops time themselves, so that the figure
does not include the start of the program. *program's CPU* is the ratio of user and system time;
*collector's CPU* is the time that the collector used on its own core for the same unit of work, which the
program does not wait for; under `glassbox run` it includes the launcher, and the starts of both. *empty
wrapper* is the same loop under a C library whose `read`, `write`, `open` and `close` call the real ones
through a pointer and return, measured in the same rounds: its difference to *glassbox* is the cost of
recording. *lost* is read from the recording: the collector's own count. Times hold for this machine;
ratios carry over to others.

*one event, hot* is a call of `open` whose next definition is an empty function: the figure is the hook alone.
";

fn table(head: &[&str], lines: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = lines.iter().map(|line| line[column].chars().count());
        cells.chain([head[column].chars().count(), 3]).max().unwrap_or(3)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let row = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("| {} |\n", padded.join(" | "))
    };
    let mut text = row(&mut head.iter().copied());
    text += &row(&mut widths
        .iter()
        .map(|width| "-".repeat(*width))
        .collect::<Vec<_>>()
        .iter()
        .map(String::as_str));
    for line in lines {
        text += &row(&mut line.iter().map(String::as_str));
    }
    text
}

/// The goal of a ratio that must not exceed a bound, and the verdict on its median.
pub fn at_most(ratio: &Spread, bound: f64) -> (String, Option<bool>) {
    (format!("×{bound:.2}"), Some(ratio.median <= bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_by_characters_not_bytes() {
        let text =
            table(&["what", "x"], &[vec!["µs".into(), "1".into()], vec!["longer".into(), "×2.00".into()]]);

        let expected = "\
| what   | x     |\n\
| ------ | ----- |\n\
| µs     | 1     |\n\
| longer | ×2.00 |\n";
        assert_eq!(expected, text);
    }

    #[test]
    fn a_missed_figure_is_counted() {
        let mut results = Results::default();
        let (must, is_reached) = at_most(&Spread { median: 1.2, low: 1.0, high: 1.3 }, 1.1);
        results.add(Row { what: "x".into(), must, is_reached, ..Row::default() });

        assert_eq!(1, results.failures());
        assert!(results.text().contains("MISSED"));
    }
}
