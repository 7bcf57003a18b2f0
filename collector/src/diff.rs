//! `glassbox diff`: what two sessions have not in common, of what ran, was written, was contacted and failed.
//!
//! Two runs of one program never have the same numbers of processes, temporary names and ports. These are
//! taken out by [`generalised`], so that what is left differs for a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use wire::events::Kind;

use crate::event::{Batch, Event, Value};
use crate::picture::fields::{Fields, places};
use crate::replay;
use crate::shell::failure::Failure;
use crate::sinks::look::{Look, Show, Surface};
use crate::sinks::recording::reader::Frame;
use crate::sinks::summary::Gathered;
use crate::sinks::text::{self, Paint};

/// Things of each sort that are compared.
const MOST: usize = 100_000;
/// Characters of a line.
const WIDEST: usize = 400;

/// What a session did, by sort.
#[derive(Debug, Default, PartialEq, Eq)]
struct Deeds(BTreeMap<&'static str, BTreeSet<Vec<u8>>>);

/// The sorts, in the order in which they are told.
const SORTS: [&str; 6] = ["ran", "wrote", "removed", "contacted", "looked up", "failed"];

/// Writes what is in one recording and not in the other to stdout; gives whether there is anything.
///
/// Fails with status 66 if a file cannot be read, 65 if it is not a whole recording: half a session would
/// seem to differ.
pub fn compare(one: &Path, other: &Path, show: &Show) -> Result<bool, Failure> {
    if one == Path::new("-") && other == one {
        return Err(Failure::usage("stdin can be read once; give a file for A or B".to_owned()));
    }
    let (before, after) = (Deeds::of(one)?, Deeds::of(other)?);
    let look = Look::wanted(Surface::stdout(), show);
    let mut page = Vec::new();
    let differs = write(&before, &after, [one, other], look, &mut page);
    let written = io::stdout().lock().write_all(&page);
    written
        .map_err(|error| Failure::output(format!("cannot write to stdout: {error}; send it elsewhere")))?;
    Ok(differs)
}

/// Appends the differences, with the names of the files above them.
fn write(before: &Deeds, after: &Deeds, names: [&Path; 2], look: Look, out: &mut Vec<u8>) -> bool {
    if before == after {
        return false;
    }
    let style = look.style;
    for (sign, name, paint) in [("---", names[0], Paint::Red), ("+++", names[1], Paint::Green)] {
        style.paint(paint, out, |out| {
            out.extend_from_slice(sign.as_bytes());
            out.push(b' ');
            text::quote(name.as_os_str().as_encoded_bytes(), WIDEST, out);
        });
        out.push(b'\n');
    }
    for sort in SORTS {
        let of = |deeds: &'_ Deeds| deeds.0.get(sort).cloned().unwrap_or_default();
        let (old, new) = (of(before), of(after));
        if old == new {
            continue;
        }
        style.text(Paint::Bold, sort, out);
        out.push(b'\n');
        let gone = old.difference(&new).map(|deed| (b'-', Paint::Red, deed));
        let come = new.difference(&old).map(|deed| (b'+', Paint::Green, deed));
        let mut lines: Vec<_> = gone.chain(come).collect();
        lines.sort_by_key(|(sign, _, deed)| (*deed, *sign != b'-'));
        for (sign, paint, deed) in lines {
            style.paint(paint, out, |out| {
                out.extend_from_slice(&[b' ', b' ', sign, b' ']);
                shown(deed, out);
            });
            out.push(b'\n');
        }
    }
    true
}

/// Appends words that are divided by NULs.
fn shown(deed: &[u8], out: &mut Vec<u8>) {
    for (index, word) in deed.split(|byte| *byte == 0).enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        text::quote(word, WIDEST, out);
    }
}

impl Deeds {
    fn of(file: &Path) -> Result<Self, Failure> {
        let mut reader = replay::open(file, &[])?;
        let (mut deeds, mut gathered) = (Self::default(), Gathered::default());
        let mut events = 0;
        loop {
            match reader.next(Batch::default()) {
                Ok(Frame::Batch(batch)) => {
                    events += batch.events.len() as u64;
                    deeds.take(&batch);
                    gathered.take(&batch);
                }
                Ok(Frame::End(_)) => break,
                Err(trouble) => return Err(replay::failure(file, &trouble, events)),
            }
        }
        for failure in gathered.failures.sorted(&gathered.picture) {
            let mut words = vec![failure.error.as_bytes()];
            words.extend(text::words_of(&failure.what));
            let by = [b"by", &*failure.program];
            if !failure.program.is_empty() {
                words.extend(by);
            }
            deeds.add("failed", &words);
        }
        Ok(deeds)
    }

    fn add(&mut self, sort: &'static str, words: &[&[u8]]) {
        let words: Vec<Vec<u8>> = words.iter().map(|word| generalised(word)).collect();
        let deeds = self.0.entry(sort).or_default();
        if deeds.len() < MOST {
            deeds.insert(words.join(&0));
        }
    }

    fn take(&mut self, batch: &Batch) {
        for event in &batch.events {
            self.event(batch, event);
        }
    }

    fn event(&mut self, batch: &Batch, event: &Event) {
        let fields = Fields::of(batch, event);
        let named = |name| fields.text(places(event.kind, [name])[0]).unwrap_or_default();
        let is_on_its_way = event.error == "EINPROGRESS";
        match event.kind {
            Kind::ProcessStart | Kind::SensorBlind => {
                let argv: Vec<&[u8]> = text::words_of(fields.list(places(event.kind, ["argv"])[0])).collect();
                let path = named("path");
                self.add("ran", if argv.is_empty() { std::slice::from_ref(&path) } else { &argv });
            }
            Kind::NetConnect if event.error.is_empty() || is_on_its_way => {
                let remote = named("remote");
                if !remote.starts_with(b"AF_") {
                    let host = named("host");
                    let words = [remote, host];
                    self.add("contacted", if host.is_empty() { &words[..1] } else { &words });
                }
            }
            Kind::DnsQuery => self.add("looked up", &[named("host")]),
            _ if !event.error.is_empty() => {}
            Kind::NetListen => self.add("contacted", &[b"listen", named("local")]),
            Kind::FileOpen if writes(fields.value(places(event.kind, ["flags"])[0])) => {
                self.add("wrote", &[named("path")]);
            }
            Kind::FileRename => self.add("wrote", &[named("path"), b"->", named("new_path")]),
            Kind::FileMkdir | Kind::FileTruncate | Kind::FileChmod | Kind::FileChown => {
                self.add("wrote", &[named("path")]);
            }
            Kind::FileUnlink | Kind::FileRmdir => self.add("removed", &[named("path")]),
            _ => {}
        }
    }
}

/// Whether these flags of open(2) ask to write.
fn writes(flags: Value) -> bool {
    let Value::Names(_, bits) = flags else { return false };
    bits & libc::O_ACCMODE as u64 != libc::O_RDONLY as u64
}

/// A text without what is another one in each run: numbers of processes, what mkstemp(3) and its kin choose,
/// ports that the kernel chooses, addresses of memory.
fn generalised(text: &[u8]) -> Vec<u8> {
    let text = without_port(text);
    let mut out = Vec::with_capacity(text.len());
    let mut run = Vec::new();
    // Runs of letters and digits between other characters.
    for byte in text.iter().copied().chain([0]) {
        if byte.is_ascii_alphanumeric() {
            run.push(byte);
            continue;
        }
        let before = out.last().copied();
        match is_chosen(&run, before, &out) {
            Some(name) => out.push(name),
            None => out.extend_from_slice(&run),
        }
        run.clear();
        out.push(byte);
    }
    out.pop();
    out
}

/// What stands for a run that differs from session to session: `N` for a number, `*` for a name.
fn is_chosen(run: &[u8], before: Option<u8>, line: &[u8]) -> Option<u8> {
    let is_number = run.iter().all(u8::is_ascii_digit);
    let is_in = |folder: &[u8]| line.starts_with(folder);
    if is_number {
        // /proc/4121/maps, file.4121, pipe:[4121]; not a version or a port that stands for something.
        let is_process = line.ends_with(b"/proc/") || line.ends_with(b"/task/") || before == Some(b'[');
        return (is_process && !run.is_empty()
            || run.len() >= 4 && matches!(before, Some(b'.' | b'-' | b'_')))
        .then_some(b'N');
    }
    let has = |test: fn(&u8) -> bool| run.iter().any(test);
    let kinds = [has(u8::is_ascii_digit), has(u8::is_ascii_lowercase), has(u8::is_ascii_uppercase)];
    let mixed = kinds.iter().filter(|has| **has).count();
    // Six letters or more that are no word: of mkstemp, tempfile, uuids, hashes.
    let is_random = run.len() >= 6 && (mixed == 3 || mixed == 2 && (kinds[0] || is_mixed_case(run)));
    let is_temporary = is_in(b"/tmp/") || is_in(b"/var/tmp/") || is_in(b"/dev/shm/") || is_in(b"/run/");
    let follows = matches!(before, Some(b'.' | b'-' | b'_' | b'/') | None);
    (is_random && follows && (is_temporary || before == Some(b'.') && run.len() >= 6 && mixed == 3))
        .then_some(b'*')
}

/// Whether capitals stand inside: `aBcDeF`, not `README` or `Makefile`.
fn is_mixed_case(run: &[u8]) -> bool {
    run.windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}

/// An address without a port of the range that kernels choose from (ip_local_port_range: 32768 and above).
fn without_port(text: &[u8]) -> Vec<u8> {
    let Some(colon) = text.iter().rposition(|byte| *byte == b':') else { return text.to_vec() };
    let port = std::str::from_utf8(&text[colon + 1..]).ok().and_then(|port| port.parse::<u16>().ok());
    let is_address = text[..colon].iter().all(|byte| byte.is_ascii_hexdigit() || b".:[]%".contains(byte));
    match port {
        Some(32_768..) if is_address => [&text[..=colon], b"*"].concat(),
        _ => text.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Shape, sample};
    use crate::sinks::text::Style;

    fn of(text: &str) -> String {
        String::from_utf8(generalised(text.as_bytes())).unwrap()
    }

    #[test]
    fn what_each_run_chooses_anew_is_taken_out_and_all_else_stays() {
        for (text, expected) in [
            ("/proc/4121/maps", "/proc/N/maps"),
            ("/proc/self/task/77/comm", "/proc/self/task/N/comm"),
            ("pipe:[90210]", "pipe:[N]"),
            ("/tmp/tmp.aB3dE6gH9j", "/tmp/tmp.*"),
            ("/tmp/tmpk3x9qz1a/in.txt", "/tmp/*/in.txt"),
            ("/tmp/ccQx7PnL.o", "/tmp/*.o"),
            ("/tmp/build-9f3ac0de", "/tmp/build-*"),
            ("/var/log/app.31337", "/var/log/app.N"),
            ("127.0.0.1:45123", "127.0.0.1:*"),
            ("[::1]:60000", "[::1]:*"),
            ("10.0.0.5:5432", "10.0.0.5:5432"),
            ("/usr/lib/python3.11/os.py", "/usr/lib/python3.11/os.py"),
            ("/tmp/Makefile", "/tmp/Makefile"),
            ("/tmp/output.txt", "/tmp/output.txt"),
            ("/usr/lib/x86_64-linux-gnu/libssl.so.3", "/usr/lib/x86_64-linux-gnu/libssl.so.3"),
            ("-j4096", "-j4096"),
            ("", ""),
        ] {
            assert_eq!(expected, of(text), "{text}");
        }
    }

    fn session(argv: &[u8], path: &str) -> Deeds {
        let mut batch = Batch::default();
        batch.whos.push(sample::who());
        let argv = Value::List(batch.keep(argv));
        batch.push(sample::head(Kind::ProcessStart));
        batch.set(Shape::place(Kind::ProcessStart, "argv"), argv);
        let path = Value::Path(batch.keep(path.as_bytes()), None);
        batch.push(sample::head(Kind::FileUnlink));
        batch.set(Shape::place(Kind::FileUnlink, "path"), path);
        let mut deeds = Deeds::default();
        deeds.take(&batch);
        deeds
    }

    fn page(before: &Deeds, after: &Deeds) -> (bool, String) {
        let mut out = Vec::new();
        let look = Look::on(Surface::Other, Style::Plain);
        let differs = write(before, after, [Path::new("a.gbx"), Path::new("b.gbx")], look, &mut out);
        (differs, String::from_utf8(out).unwrap())
    }

    #[test]
    fn sessions_differ_in_what_one_of_them_did_alone() {
        let before = session(b"cc\0-O1\0a b.c\0", "/tmp/cc7aKq9Z.s");
        let after = session(b"cc\0-O2\0a b.c\0", "/tmp/ccZ1m0Qp.s");

        assert_eq!((false, String::new()), page(&before, &before));
        let expected = "--- a.gbx\n+++ b.gbx\nran\n  - cc -O1 \"a b.c\"\n  + cc -O2 \"a b.c\"\n";
        assert_eq!((true, expected.to_owned()), page(&before, &after));
    }
}
