//! Writes the findings: a table for people, or JSON with one object a line for programs.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

use deploy::visible::visible;

use super::finding::{Finding, Findings};
use crate::json;
use crate::system::program::{Coverage, Reason};

/// The most programs that a note names.
const MOST_NAMED: usize = 3;

/// Writes a line for each program (for all of them if `is_full`, else for those that are not fully seen or
/// have notes), then each reason once with its remedy, then the counts.
pub fn table(findings: &Findings, is_full: bool, out: &mut impl Write) -> io::Result<()> {
    let shown: Vec<&Finding> = findings
        .programs
        .iter()
        .filter(|finding| {
            is_full || finding.program.reason.coverage != Coverage::Hooked || !finding.notes.is_empty()
        })
        .collect();
    let cells: Vec<[String; 5]> = shown.iter().map(|finding| cells(finding)).collect();
    let header = ["COVERAGE", "REASON", "KIND", "LIBC", "PROGRAM"].map(str::to_owned);
    if !cells.is_empty() {
        let widths: [usize; 5] = std::array::from_fn(|column| {
            cells.iter().chain([&header]).map(|row| row[column].len()).max().unwrap_or(0)
        });
        for row in [&header].into_iter().chain(&cells) {
            let [coverage, reason, kind, libc, program] = row;
            let [first, second, third, fourth, _] = widths;
            writeln!(out, "{coverage:first$}  {reason:second$}  {kind:third$}  {libc:fourth$}  {program}")?;
        }
        writeln!(out)?;
    }
    let mut reasons: BTreeMap<(Coverage, &str), (&Reason, Vec<&Finding>)> = BTreeMap::new();
    for finding in &shown {
        let reason = finding.program.reason;
        if reason.coverage != Coverage::Hooked {
            reasons.entry((reason.coverage, reason.name)).or_insert((reason, Vec::new())).1.push(finding);
        }
    }
    for (reason, of) in reasons.values() {
        writeln!(out, "{}: {}", reason.name, reason.why)?;
        let mut fixes: Vec<&str> = of.iter().map(|finding| finding.fix()).collect();
        fixes.dedup();
        for fix in fixes {
            writeln!(out, "  fix: {}", visible(fix))?;
        }
    }
    let mut notes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for finding in &shown {
        for note in &finding.notes {
            notes.entry(note).or_default().push(text(finding.program.path.as_os_str().as_bytes()));
        }
    }
    for (note, of) in notes {
        let more = if of.len() > MOST_NAMED {
            format!(" and {} more", of.len() - MOST_NAMED)
        } else {
            String::new()
        };
        let named: Vec<&str> = of.iter().take(MOST_NAMED).map(String::as_str).collect();
        writeln!(out, "note: {}{more}: {}", named.join(", "), visible(note))?;
    }
    for remark in &findings.remarks {
        writeln!(out, "note: {}", visible(remark))?;
    }
    let counts = [Coverage::Hooked, Coverage::Partial, Coverage::Unknown, Coverage::Blind].map(|coverage| {
        let of = findings.programs.iter().filter(|finding| finding.program.reason.coverage == coverage);
        format!("{} {}", of.count(), coverage.name())
    });
    let number = findings.programs.len();
    let plural = if number == 1 { "" } else { "s" };
    writeln!(
        out,
        "{number} program{plural}: {}; the limits that hold for all are in CAPABILITIES.md",
        counts.join(", ")
    )
}

fn cells(finding: &Finding) -> [String; 5] {
    let program = &finding.program;
    let or_dash = |cell: &str| if cell.is_empty() { "-".to_owned() } else { cell.to_owned() };
    let path = text(program.path.as_os_str().as_bytes());
    let behind = match &program.interpreter {
        Some(interpreter) if program.kind == "script" => {
            format!("{path} (by {})", text(interpreter.as_os_str().as_bytes()))
        }
        _ => path,
    };
    let kind = match (program.kind, program.reason.name) {
        // The machine is of interest only then.
        (kind, "foreign_abi") => format!("{kind} {}", program.machine),
        (kind, _) => kind.to_owned(),
    };
    [
        program.reason.coverage.name().to_owned(),
        or_dash(program.reason.name),
        or_dash(kind.trim()),
        or_dash(program.libc),
        behind,
    ]
}

/// Text in which everything shows, so that a terminal takes none of it for a command and no name looks like
/// another.
fn text(bytes: &[u8]) -> String {
    visible(&String::from_utf8_lossy(bytes)).into_owned()
}

/// Writes one object a line: each program, then each remark.
pub fn json(findings: &Findings, out: &mut impl Write) -> io::Result<()> {
    let mut line = Vec::new();
    for finding in &findings.programs {
        line.clear();
        let program = &finding.program;
        line.extend_from_slice(b"{");
        member("path", program.path.as_os_str().as_bytes(), &mut line);
        if let Some(pid) = finding.pid {
            line.extend_from_slice(format!(",\"pid\":{pid}").as_bytes());
        }
        let interpreter = program.interpreter.as_ref().map(|path| path.as_os_str().as_bytes());
        for (name, value) in [
            ("coverage", program.reason.coverage.name().as_bytes()),
            ("reason", program.reason.name.as_bytes()),
            ("why", program.reason.why.as_bytes()),
            ("fix", finding.fix().as_bytes()),
            ("kind", program.kind.as_bytes()),
            ("machine", program.machine.as_bytes()),
            ("libc", program.libc.as_bytes()),
            ("interpreter", interpreter.unwrap_or_default()),
        ] {
            if !value.is_empty() {
                line.push(b',');
                member(name, value, &mut line);
            }
        }
        if finding.is_told_with_notify() {
            line.extend_from_slice(b",\"with_notify\":true");
        }
        if !finding.notes.is_empty() {
            line.extend_from_slice(b",\"notes\":[");
            for (position, note) in finding.notes.iter().enumerate() {
                if position > 0 {
                    line.push(b',');
                }
                json::string(note.as_bytes(), &mut line);
            }
            line.push(b']');
        }
        line.extend_from_slice(b"}\n");
        out.write_all(&line)?;
    }
    for remark in &findings.remarks {
        line.clear();
        line.extend_from_slice(b"{");
        member("remark", remark.as_bytes(), &mut line);
        line.extend_from_slice(b"}\n");
        out.write_all(&line)?;
    }
    Ok(())
}

fn member(name: &str, value: &[u8], out: &mut Vec<u8>) {
    json::string(name.as_bytes(), out);
    out.push(b':');
    json::string(value, out);
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::path::PathBuf;

    use super::*;
    use crate::system::program::{self, Program};

    #[test]
    fn names_of_files_neither_turn_the_table_around_nor_look_like_others() {
        let name = OsStr::from_bytes("/bin/exe\u{202e}gpj\u{1b}[2J\u{e0041}".as_bytes());
        let program = Program {
            path: PathBuf::from(name),
            kind: "script",
            machine: String::new(),
            libc: "",
            interpreter: Some(PathBuf::from("/bin/s\u{2066}h")),
            reason: &program::FOREIGN_ABI,
            notes: Vec::new(),
        };
        let finding = Finding { notes: vec!["a\u{200f}note".to_owned()], ..Finding::of(program) };
        let findings = Findings { programs: vec![finding], remarks: vec!["'a\nb\u{202a}'".to_owned()] };

        for is_json in [false, true] {
            let mut out = Vec::new();
            match is_json {
                true => json(&findings, &mut out).unwrap(),
                false => table(&findings, true, &mut out).unwrap(),
            }

            let text = String::from_utf8(out).unwrap();
            assert!(
                !text.chars().any(|letter| letter != '\n' && deploy::visible::is_hidden(letter)),
                "{text}"
            );
            assert!(text.contains("202e"), "{text}");
        }
    }
}
