//! Queues, failing destinations, and what each sink makes of the same events.

mod carriers;
mod speed;

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::carrier::kind::Opening;
use super::*;
use crate::event::sample;
use crate::outputs::Output;

/// A directory that goes away with the test.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes a fresh directory; `name` tells tests of one process apart.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("glassbox-sinks-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl AsRef<Path> for Scratch {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Random numbers with a seed (Marsaglia's xorshift64).
pub struct Xorshift(pub u64);

impl Xorshift {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn lines(path: &Path) -> u64 {
    fs::read_to_string(path).unwrap().lines().count() as u64
}

#[test]
fn every_text_format_shows_whatever_a_program_chose() {
    use framing::Framing::{Frames, Parcels};

    for format in formats::FORMATS.iter().filter(|format| !matches!(format.framing, Frames(_) | Parcels)) {
        let (mut out, mut encoder) = (Vec::new(), (format.build)(&encoder::Plan::default()));

        encoder.batch(&sample::every_kind(), &mut out);
        encoder.end(&RunFacts::default(), &mut out);

        let hidden = |letter: &char| *letter != '\n' && deploy::visible::is_hidden(*letter);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(None, text.chars().find(hidden), "{}: {text}", format.name);
    }
}

/// A named pipe, open for reading.
fn fifo(path: &Path) -> File {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).unwrap()
}

#[test]
fn slow_sink_drops_and_counts_while_the_other_gets_everything() {
    let scratch = Scratch::new("slow");
    let pipe = fifo(&scratch.path("pipe"));
    let outputs =
        [Output::to_file("jsonl", scratch.path("pipe")), Output::to_file("jsonl", scratch.path("whole"))];
    let mut outlets = Outlets::open(&outputs, Opening::Fresh, Backlog::Drop).unwrap();
    let batch = Arc::new(sample::every_kind());
    let each = batch.events.len() as u64;
    let mut delivered = 0;

    while outlets.dropped().next().is_some_and(|dropped| dropped < 10 * each) {
        // As fast as the sink that works, so that only the other one has a reason to drop.
        while outlets.waiting()[1] > 0 {
            thread::yield_now();
        }
        outlets.deliver(Arc::clone(&batch));
        delivered += each;
    }
    assert!(!outlets.has_room());
    let reader = thread::spawn(move || drain(pipe));
    let reports = outlets.finish(RunFacts::default());

    assert_eq!(10 * each, reports[0].lost.queue_full);
    // And one that says so.
    assert_eq!(delivered - 10 * each + 1, reports[0].written);
    assert_eq!(reports[0].written, reader.join().unwrap());
    assert_eq!((delivered, 0), (reports[1].written, reports[1].lost.queue_full));
    assert_eq!(delivered, lines(&scratch.path("whole")));
    let line = reports[0].line().unwrap();
    assert!(line.contains(&format!("lacks {} of {} events", 10 * each, delivered + 1)), "{line}");
    assert_eq!(None, reports[1].line());
}

/// Counts the lines that come through a pipe until its writer closes it.
fn drain(mut pipe: File) -> u64 {
    let mut lines = 0;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return lines,
            Ok(read) => lines += buffer[..read].iter().filter(|byte| **byte == b'\n').count() as u64,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(1))
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn deliverer_that_waits_loses_nothing_to_a_slow_sink() {
    let scratch = Scratch::new("wait");
    let pipe = fifo(&scratch.path("pipe"));
    let outputs = [Output::to_file("jsonl", scratch.path("pipe"))];
    let mut outlets = Outlets::open(&outputs, Opening::Fresh, Backlog::Wait).unwrap();
    let reader = thread::spawn(move || drain(pipe));
    let batch = Arc::new(sample::every_kind());

    for _ in 0..200 {
        outlets.deliver(Arc::clone(&batch));
    }
    let reports = outlets.finish(RunFacts::default());

    assert_eq!(200 * batch.events.len() as u64, reader.join().unwrap());
    assert_eq!(0, reports[0].lost.queue_full);
}

#[test]
fn full_disk_under_one_sink_stops_it_alone() {
    let scratch = Scratch::new("full");
    let outputs = [Output::to_file("jsonl", "/dev/full"), Output::to_file("human", scratch.path("whole"))];
    let mut outlets = Outlets::open(&outputs, Opening::Fresh, Backlog::Drop).unwrap();
    let each = sample::every_kind().events.len() as u64;

    for _ in 0..10 {
        outlets.deliver(Arc::new(sample::every_kind()));
    }
    let reports = outlets.finish(RunFacts::default());

    assert_eq!((0, 10 * each), (reports[0].written, reports[0].lost.failed));
    assert_eq!(
        format!(
            "jsonl to '/dev/full' lacks {} events: No space left on device; make room there, or give it another \
             destination",
            10 * each
        ),
        reports[0].line().unwrap()
    );
    assert_eq!(10 * each, reports[1].written);
    assert_eq!(10 * each, lines(&scratch.path("whole")));
}

#[test]
fn reader_that_goes_away_stops_the_sink() {
    let scratch = Scratch::new("gone");
    let pipe = fifo(&scratch.path("pipe"));
    let outputs = [Output::to_file("jsonl", scratch.path("pipe"))];
    let mut outlets = Outlets::open(&outputs, Opening::Fresh, Backlog::Drop).unwrap();

    drop(pipe);
    outlets.deliver(Arc::new(sample::every_kind()));
    let reports = outlets.finish(RunFacts::default());

    assert_eq!(Some("Broken pipe".to_owned()), reports[0].error);
}

#[test]
fn output_that_cannot_be_made_is_a_failure_with_status_73() {
    let scratch = Scratch::new("unmade");
    let outputs = [Output::to_file("jsonl", scratch.path("no/such/directory"))];

    assert_eq!(73, Outlets::open(&outputs, Opening::Fresh, Backlog::Drop).unwrap_err().status());
}

#[test]
fn events_are_written_as_they_come() {
    let scratch = Scratch::new("prompt");
    let path = scratch.path("out");
    let mut outlets =
        Outlets::open(&[Output::to_file("jsonl", &path)], Opening::Fresh, Backlog::Drop).unwrap();
    let began = Instant::now();

    outlets.deliver(Arc::new(sample::every_kind()));
    while lines(&path) < sample::every_kind().events.len() as u64 {
        assert!(began.elapsed() < Duration::from_secs(10), "nothing was written");
        thread::sleep(Duration::from_millis(1));
    }

    outlets.finish(RunFacts::default());
}

#[test]
fn lines_that_go_on_end_a_torn_line_first() {
    let scratch = Scratch::new("torn");
    for (format, before, expected) in [
        ("jsonl", "{\"a\":1}\n{\"b", "{\"a\":1}\n{\"b\n"),
        ("jsonl", "{}\n", "{}\n"),
        ("jsonl", "", ""),
        ("human", "22:13:20.123 41", "22:13:20.123 41\n"),
    ] {
        let path = scratch.path("out");
        fs::write(&path, before).unwrap();

        let mut outlets =
            Outlets::open(&[Output::to_file(format, &path)], Opening::Resumed, Backlog::Drop).unwrap();
        outlets.deliver(Arc::new(sample::every_kind()));
        outlets.finish(RunFacts::default());

        let text = fs::read_to_string(&path).unwrap();
        let rest = text.strip_prefix(expected).unwrap_or_else(|| panic!("{text}"));
        let first = if format == "jsonl" { "{\"time\"" } else { "22:13:20.123Z 4121" };
        assert!(rest.starts_with(first), "{rest}");
    }
}

#[test]
fn batch_that_every_sink_is_done_with_gives_its_memory_back() {
    let scratch = Scratch::new("spare");
    let outputs = [Output::to_file("jsonl", scratch.path("a")), Output::to_file("human", scratch.path("b"))];
    let mut outlets = Outlets::open(&outputs, Opening::Fresh, Backlog::Drop).unwrap();
    let began = Instant::now();

    outlets.deliver(Arc::new(sample::every_kind()));

    let spare = loop {
        let spare = outlets.empty_batch();
        if spare.events.capacity() > 0 || began.elapsed() > Duration::from_secs(10) {
            break spare;
        }
    };
    assert!(spare.is_empty() && spare.events.capacity() > 0);
    outlets.finish(RunFacts::default());
}

/// Events a second of one core, in the release profile; the bound is a third of the design's.
#[test]
#[cfg(not(debug_assertions))]
fn sinks_keep_up_with_the_design() {
    use crate::event::{Event, Shape, Value};
    use wire::events::Kind;

    let mut batch = crate::event::Batch::default();
    batch.whos.push(sample::who());
    for number in 0..2000_u64 {
        let path = batch.keep(format!("/usr/lib/python3/dist-packages/module_{number}.py").as_bytes());
        let kind = if number % 2 == 0 { Kind::FileOpen } else { Kind::FileClose };
        batch.push(Event {
            time: crate::ids::UtcNs(1_700_000_000_000_000_000 + number * 700),
            seq: Some(number),
            ..sample::head(kind)
        });
        batch.set(Shape::place(kind, "path"), Value::Path(path, None));
        batch.set(Shape::place(kind, "fd"), Value::Int(3));
        if kind == Kind::FileOpen {
            batch.set(Shape::place(kind, "flags"), Value::Names(&wire::names::OPEN, 0o2_000_000));
        } else {
            for name in ["bytes_read", "bytes_written", "reads", "writes", "open_ns"] {
                batch.set(Shape::place(kind, name), Value::Uint(number * 3));
            }
        }
    }
    for (format, least) in
        [("recording", 2_000_000), ("jsonl", 500_000), ("human", 300_000), ("summary", 2_000_000)]
    {
        let mut file = File::create("/dev/null").unwrap();
        let mut sink = (formats::named(format.as_bytes()).unwrap().build)(&encoder::Plan::default());
        let mut out = Vec::new();
        let began = Instant::now();
        for _ in 0..500 {
            sink.batch(&batch, &mut out);
            carrier::file::write_all(&mut file, &out).unwrap();
            out.clear();
        }
        let rate = (500.0 * 2000.0 / began.elapsed().as_secs_f64()) as u64;
        println!("{}: {rate} events/s", format);
        assert!(rate > least / 3, "{}: {rate} events/s", format);
    }
}
