//! `human`: one line an event.
//!
//! ```text
//! 22:13:20.123Z 4121       cat             file.open      /etc/hosts O_RDONLY = 3
//! ```
//! Once events of a second container come, the line has the container's name before the program's. The table
//! of events says which fields there are, and [`Show`] how each is shown: a new event needs no line here.

use std::io::Write;

use deploy::visible::visible;
use rules::format::Format;
use wire::events::Kind;
use wire::schema::EVENTS;

use super::carrier::kind::Only;
use super::encoder::{self, Encoder, Plan};
use super::framing::{Found, Framing};
use super::look::{Clock, Show as Wanted};
use super::text::{self, Paint, Style};
use super::{carrier, signals};
use crate::container::Container;
use crate::event::{Alert, Batch, Event, Rule, Shape, Span, Value, Who};
use crate::ids::Tid;
use crate::picture::fields::base;
use crate::stages::fields::FIELDS;
use crate::stages::view::View;
use crate::system::clock::TimeWriter;
use crate::system::local_time::local_time_of_day;

/// The row of the table.
pub const FORMAT: encoder::Format = encoder::Format {
    name: "human",
    help: "one line an event, coloured on a terminal",
    framing: Framing::Lines,
    reaches: carrier::LOCAL,
    holds: &[Only::Events, Only::Alerts],
    shows: &["color", "time", "print"],
    service: None,
    build: |plan| Box::new(Human::wanted(plan)),
};

/// Characters of one string, at most.
const LONGEST: usize = 400;
/// Characters of an argument vector, at most.
const LONGEST_LIST: usize = 600;

/// Writes events for people.
#[derive(Debug)]
pub struct Human {
    style: Style,
    /// Which of events and alerts are written, where not both.
    only: Option<Only>,
    time: TimeWriter,
    clock: Clock,
    /// The time of the first line, and of the line before.
    before: Option<(u64, u64)>,
    /// What each line has, where that is asked for.
    print: Option<Format>,
    /// Events so far.
    number: u64,
    /// How each field shows, by number of the kind and place of the field.
    shows: Vec<Vec<Show>>,
    containers: Containers,
}

/// Whether all events so far are of one container, or of none.
#[derive(Debug, Default)]
enum Containers {
    #[default]
    Unknown,
    /// By its id; empty for none.
    One(Box<str>),
    Several,
}

/// How a field shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Show {
    /// Not at all.
    Never,
    /// The value alone.
    Bare,
    /// The value in brackets.
    Brackets,
    /// The value after a word.
    After(&'static str),
    /// `name=value`.
    Labelled(&'static str),
    /// `name=value`, unless it is 0.
    Number(&'static str),
    /// Bytes, unless 0.
    Size(&'static str),
    /// Nanoseconds, unless 0.
    Duration(&'static str),
    /// Permissions.
    Octal(&'static str),
    /// An address in memory.
    Hex(&'static str),
    /// Whether the sensor is in it, unless it is.
    Coverage,
    /// A signal by its name.
    Signal(&'static str),
}

impl Show {
    fn of(kind: Kind, name: &'static str) -> Self {
        match (kind, name) {
            (Kind::ProcessStart, "env" | "gid" | "egid") => Self::Never,
            (_, "argv") => Self::Brackets,
            (Kind::ProcessExit, "code" | "lost") => Self::Labelled(name),
            (Kind::NetSocket, "family" | "type" | "protocol") => Self::Bare,
            (_, "family" | "type" | "protocol") => Self::Never,
            (_, "coverage") => Self::Coverage,
            (_, "cwd") => Self::After("in"),
            (_, "new_path" | "remote") => Self::After("->"),
            (_, "path" | "local" | "what" | "flags" | "prot" | "answers" | "mapping" | "reason") => {
                Self::Bare
            }
            (Kind::NetConnect, "host") => Self::Labelled(name),
            (_, "host") => Self::Bare,
            (_, "mode") => Self::Octal(name),
            (_, "addr") => Self::Hex(name),
            (_, "signal") => Self::Signal(name),
            (_, "max_rss") => Self::Size(name),
            (_, "reads" | "writes" | "sends" | "receives" | "calls" | "events") => Self::Number(name),
            _ if name.starts_with("bytes_") => Self::Size(name.trim_start_matches("bytes_")),
            _ => name.strip_suffix("_ns").map_or(Self::Labelled(name), Self::Duration),
        }
    }
}

impl Human {
    /// An encoder of what is asked for.
    fn wanted(plan: &Plan) -> Self {
        let Wanted { clock, print, .. } = &plan.show;
        // It was read when the option was.
        let print = print.as_ref().and_then(|format| Format::parse(format, &*FIELDS).ok());
        Self {
            only: plan.only,
            clock: clock.unwrap_or_default(),
            print: print.map(Format::showing_missing),
            ..Self::new(plan.look.style)
        }
    }

    /// An encoder in this style.
    pub fn new(style: Style) -> Self {
        let mut shows = Vec::new();
        for spec in EVENTS {
            let number = spec.kind as usize;
            if shows.len() <= number {
                shows.resize(number + 1, Vec::new());
            }
            shows[number] =
                Shape::of(spec.kind).fields.iter().map(|name| Show::of(spec.kind, name)).collect();
        }
        let (time, containers) = (TimeWriter::default(), Containers::default());
        Self {
            style,
            only: None,
            time,
            clock: Clock::default(),
            before: None,
            print: None,
            number: 0,
            shows,
            containers,
        }
    }

    fn line(&mut self, batch: &Batch, event: &Event, out: &mut Vec<u8>) {
        self.number += 1;
        if let Some(print) = &self.print {
            if let Some(line) = print.resolve(&View::new(batch, event, self.number)) {
                out.extend_from_slice(visible(&line.message).as_bytes());
                out.push(b'\n');
            }
            return;
        }
        let style = self.style;
        self.columns(batch, event, out);
        let name = event.kind.name();
        style.text(paint(event.kind), name, out);
        text::pad(name.len(), 14, out);
        for (show, value) in
            self.shows.get(event.kind as usize).into_iter().flatten().zip(batch.values(event))
        {
            field(batch, *show, *value, out);
        }
        self.result(event, out);
        while out.last() == Some(&b' ') {
            out.pop();
        }
        out.push(b'\n');
    }

    /// What a rule says of the event above it.
    fn alert(&mut self, batch: &Batch, event: &Event, alert: &Alert, out: &mut Vec<u8>) {
        const NAME: &str = "alert";
        self.columns(batch, event, out);
        self.style.text(Paint::Red, NAME, out);
        text::pad(NAME.len(), 14, out);
        let Rule { name, priority, .. } = &*alert.rule;
        self.style.text(Paint::Red, priority.name(), out);
        for part in [name, &alert.output.message] {
            out.push(b' ');
            text::quote(part.as_bytes(), LONGEST_LIST, out);
        }
        out.push(b'\n');
    }

    /// The columns before what happened: time, process, container, program.
    fn columns(&mut self, batch: &Batch, event: &Event, out: &mut Vec<u8>) {
        let style = self.style;
        let who = batch.who(event);
        let (clock, before, now) = (self.clock, self.before, event.time.0);
        let (first, last) = before.unwrap_or((now, now));
        self.before = Some((first, now));
        let time = &mut self.time;
        style.paint(Paint::Dim, out, |out| match clock {
            // Without the date, which a reader knows.
            Clock::Utc => {
                out.extend_from_slice(time.utc(now).get(11..23).unwrap_or_default());
                out.push(b'Z');
            }
            Clock::Local => {
                let [hour, minute, second] = local_time_of_day(now);
                let milli = now / 1_000_000 % 1000;
                let _ = write!(out, "{hour:02}:{minute:02}:{second:02}.{milli:03}");
            }
            Clock::Relative => since(first, now, out),
            Clock::Delta => since(last, now, out),
        });
        out.push(b' ');
        let columns = whole(out, |out| {
            number(u64::from(who.pid().0), out);
            if event.tid != Tid(0) && event.tid != who.pid().main_thread() {
                out.push(b'(');
                number(u64::from(event.tid.0), out);
                out.push(b')');
            }
        });
        text::pad(columns, 10, out);
        self.container(who, out);
        let mut columns = 0;
        style.paint(Paint::Cyan, out, |out| columns = text::quote(program(who.exe()), 15, out));
        text::pad(columns, 16, out);
    }

    /// Appends the name of the container, if there are several.
    fn container(&mut self, who: &Who, out: &mut Vec<u8>) {
        let container = who.container.as_deref();
        let id = container.map_or("", Container::id);
        match &self.containers {
            Containers::Unknown => self.containers = Containers::One(id.into()),
            Containers::One(first) if **first != *id => self.containers = Containers::Several,
            Containers::One(_) | Containers::Several => {}
        }
        if let Containers::Several = self.containers {
            let name = container.map_or("-", Container::short_name);
            let mut columns = 0;
            self.style.paint(Paint::Magenta, out, |out| columns = text::quote(name.as_bytes(), 15, out));
            text::pad(columns, 16, out);
        }
    }

    fn result(&self, event: &Event, out: &mut Vec<u8>) {
        if !event.error.is_empty() {
            self.style.paint(Paint::Red, out, |out| {
                out.extend_from_slice(b"= ");
                out.extend_from_slice(event.error.as_bytes());
            });
            out.push(b' ');
        } else if let Some(ret) = event.ret.filter(|ret| *ret != 0) {
            self.style.paint(Paint::Dim, out, |out| {
                // Pointers are easier on the eye in hexadecimal.
                let _ = if ret > 0xffff_ffff { write!(out, "= {ret:#x}") } else { write!(out, "= {ret}") };
            });
            out.push(b' ');
        }
        if event.is_truncated {
            self.style.text(Paint::Yellow, "(cut)", out);
        }
    }
}

impl Encoder for Human {
    fn begin(&mut self, found: Found, out: &mut Vec<u8>) {
        if found == Found::Torn {
            out.push(b'\n');
        }
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) {
        let mut alerts = batch.alerts.iter().peekable();
        for (place, event) in batch.events.iter().enumerate() {
            if self.only != Some(Only::Alerts) {
                self.line(batch, event, out);
            }
            while let Some(alert) = alerts.next_if(|alert| alert.event <= place) {
                if self.only != Some(Only::Events) {
                    self.alert(batch, event, alert, out);
                }
            }
        }
    }
}

/// Appends the seconds between two times; the ends of a process that died come late, so it may be less than
/// none.
fn since(from: u64, to: u64, out: &mut Vec<u8>) {
    let sign = if to < from { '-' } else { '+' };
    let nanoseconds = to.abs_diff(from);
    let text = format!("{sign}{}.{:06}", nanoseconds / 1_000_000_000, nanoseconds / 1000 % 1_000_000);
    // A vector takes everything.
    let _ = write!(out, "{text:>12}");
}

/// The program's name; a question mark for one that is not known.
fn program(exe: &[u8]) -> &[u8] {
    if exe.is_empty() { b"?" } else { base(exe) }
}

fn paint(kind: Kind) -> Paint {
    match kind.name().split('.').next() {
        Some("process") => Paint::Green,
        Some("file" | "fd") => Paint::Blue,
        Some("net" | "dns") => Paint::Magenta,
        Some("sensor" | "kernel") => Paint::Red,
        _ => Paint::Yellow,
    }
}

/// Appends a field and a space, or nothing.
fn field(batch: &Batch, show: Show, value: Value, out: &mut Vec<u8>) {
    let number = match value {
        Value::Absent => return,
        Value::Uint(number) => i128::from(number),
        Value::Int(number) => i128::from(number),
        _ => -1,
    };
    let label = match show {
        Show::Never => return,
        Show::Coverage if matches!(value, Value::Word("hooked")) => return,
        Show::Number(_) | Show::Size(_) | Show::Duration(_) if number == 0 => return,
        Show::Bare | Show::Coverage | Show::Brackets => "",
        Show::After(word) => {
            out.extend_from_slice(word.as_bytes());
            out.push(b' ');
            ""
        }
        Show::Labelled(label)
        | Show::Number(label)
        | Show::Size(label)
        | Show::Duration(label)
        | Show::Octal(label)
        | Show::Hex(label)
        | Show::Signal(label) => label,
    };
    if !label.is_empty() {
        out.extend_from_slice(label.as_bytes());
        out.push(b'=');
    }
    // A vector takes everything that is written to it.
    let _ = match (show, value) {
        (Show::Size(_), Value::Uint(bytes)) => out.write_all(text::size(bytes).replace(' ', "").as_bytes()),
        (Show::Duration(_), Value::Uint(time)) => {
            out.write_all(text::duration(time).replace(' ', "").as_bytes())
        }
        (Show::Octal(_), Value::Uint(mode)) => write!(out, "0{mode:03o}"),
        (Show::Hex(_), Value::Uint(address)) => write!(out, "{address:#x}"),
        (Show::Brackets, value) => {
            out.push(b'(');
            plain(batch, value, out);
            out.push(b')');
            Ok(())
        }
        (Show::Signal(_), _) => out.write_all(signals::name(number).as_bytes()),
        _ => {
            plain(batch, value, out);
            Ok(())
        }
    };
    out.push(b' ');
}

fn plain(batch: &Batch, value: Value, out: &mut Vec<u8>) {
    match value {
        Value::Absent => {}
        Value::Int(number) => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
        Value::Uint(value) => number(value, out),
        Value::Bool(truth) => out.extend_from_slice(if truth { b"true" } else { b"false" }),
        Value::Text(span) | Value::Path(span, _) | Value::LexicalPath(span, _) => {
            text::quote(batch.bytes(span), LONGEST, out);
        }
        Value::List(span) | Value::Map(span) => list(batch, span, out),
        Value::Word(word) => out.extend_from_slice(word.as_bytes()),
        Value::Names(table, bits) => {
            let start = out.len();
            let rest = table.names(bits, |name| {
                out.extend_from_slice(name.as_bytes());
                out.push(b'|');
            });
            if rest != 0 || out.len() == start {
                let _ = write!(out, "{rest:#x}|");
            }
            out.pop();
        }
    }
}

fn list(batch: &Batch, span: Span, out: &mut Vec<u8>) {
    let mut left = LONGEST_LIST;
    for (index, item) in batch.strings(span).enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        if left == 0 {
            out.extend_from_slice("…".as_bytes());
            return;
        }
        left = left.saturating_sub(text::quote(item, left, out) + 1);
    }
}

fn number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// The columns of the ASCII that `write` appends.
fn whole(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> usize {
    let start = out.len();
    write(out);
    out.len() - start
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::sample;

    fn shown(style: Style, batch: &Batch) -> String {
        let mut out = Vec::new();
        Human::new(style).batch(batch, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn batch_of(event: Event, values: impl FnOnce(&mut Batch)) -> Batch {
        let mut batch = Batch::default();
        batch.whos.push(sample::who());
        batch.push(event);
        values(&mut batch);
        batch
    }

    #[test]
    fn line_has_time_process_program_event_fields_and_result() {
        let batch = batch_of(sample::head(Kind::FileOpen), |batch| {
            let path = batch.keep(b"/etc/host name");
            batch.set(Shape::place(Kind::FileOpen, "path"), Value::Path(path, None));
            batch.set(Shape::place(Kind::FileOpen, "fd"), Value::Int(3));
            batch.set(Shape::place(Kind::FileOpen, "flags"), Value::Names(&wire::names::OPEN, 0o2_000_101));
            batch.set(Shape::place(Kind::FileOpen, "mode"), Value::Uint(0o644));
        });

        assert_eq!(
            "22:13:20.123Z 4121      cat             file.open     \"/etc/host name\" fd=3 O_WRONLY|O_CREAT|O_CLOEXEC \
             mode=0644 = 3\n",
            shown(Style::Plain, &batch)
        );
    }

    #[test]
    fn thread_and_error_are_shown() {
        let head =
            Event { tid: Tid(4125), error: "ECONNREFUSED", ret: Some(-1), ..sample::head(Kind::NetConnect) };
        let batch = batch_of(head, |batch| {
            let remote = batch.keep(b"[::1]:443");
            let host = batch.keep(b"example.org");
            batch.set(Shape::place(Kind::NetConnect, "fd"), Value::Int(5));
            batch.set(Shape::place(Kind::NetConnect, "remote"), Value::Text(remote));
            batch.set(Shape::place(Kind::NetConnect, "host"), Value::Text(host));
        });

        assert_eq!(
            "22:13:20.123Z 4121(4125) cat             net.connect   fd=5 -> [::1]:443 host=example.org = ECONNREFUSED\n",
            shown(Style::Plain, &batch)
        );
    }

    #[test]
    fn exit_shows_what_it_used_and_leaves_zeros_out() {
        let batch = batch_of(Event { ret: None, call: "", ..sample::head(Kind::ProcessExit) }, |batch| {
            let place = |name| Shape::place(Kind::ProcessExit, name);
            batch.set(place("signal"), Value::Int(9));
            batch.set(place("user_ns"), Value::Uint(1_540_000));
            batch.set(place("system_ns"), Value::Uint(0));
            batch.set(place("max_rss"), Value::Uint(5_000_000));
            batch.set(place("lost"), Value::Uint(0));
        });

        let line = shown(Style::Plain, &batch);

        assert!(line.ends_with(" process.exit  signal=SIGKILL user=1.5ms max_rss=5.0MB lost=0\n"), "{line}");
    }

    #[test]
    fn every_kind_is_one_line_without_controls_even_from_hostile_values() {
        let mut batch = sample::every_kind();
        batch.whos[0] = sample::who_of(4121, 4100, b"/x/\x1b]0;gotcha\x07\n\xe2\x80\xae");

        let text = shown(Style::Plain, &batch);

        assert_eq!(batch.events.len(), text.lines().count());
        assert!(!text.chars().any(|letter| deploy::visible::is_hidden(letter) && letter != '\n'), "{text}");
    }

    #[test]
    fn container_shows_from_the_second_one_on() {
        let mut batch = Batch::default();
        batch.whos.push(sample::who_in(&sample::container("a", "web")));
        batch.whos.push(sample::who_in(&sample::container("b", "")));
        batch.whos.push(sample::who());
        for who in [0, 1, 0, 2] {
            batch.push(Event { who, ret: None, ..sample::head(Kind::ProcessExit) });
        }

        let text = shown(Style::Plain, &batch);

        let pids_to_kinds: Vec<&str> = text.lines().map(|line| &line[14..line.len() - 13]).collect();
        assert_eq!(
            vec![
                "4121      cat            ",
                "4121      b               cat            ",
                "4121      web             cat            ",
                "4121      -               cat            ",
            ],
            pids_to_kinds
        );
    }

    #[test]
    fn colours_are_reset_before_the_line_ends() {
        for line in shown(Style::Coloured, &sample::every_kind()).lines() {
            let last = line.rfind("\x1b[").map(|at| &line[at..]);

            assert!(last.is_some_and(|last| last.starts_with("\x1b[0m")), "{line:?}");
        }
    }
}
