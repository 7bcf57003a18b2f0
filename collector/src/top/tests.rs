//! What is drawn, and what keys change.

use std::path::PathBuf;
use std::sync::Arc;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use rules::file::Priority;
use rules::format::Resolved;
use wire::events::Kind;

use super::live::{Live, Standing};
use super::view::{View, Wish};
use crate::event::{Alert, Batch, Event, Rule, Shape, Value, sample};
use crate::ids::UtcNs;
use crate::sinks::recording::reader::{Frame, Reader};
use crate::stages::Stages;

/// A batch in which `exe` fails to open a file as often as that.
fn failing(pid: u32, exe: &str, times: usize) -> Batch {
    let mut batch = Batch::default();
    batch.whos.push(sample::who_of(pid, 1, exe.as_bytes()));
    for number in 0..times {
        let path = batch.keep(format!("/missing/{number}").as_bytes());
        let time = UtcNs(number as u64 * 1_000_000);
        batch.push(Event { time, error: "ENOENT", who: 0, ..sample::head(Kind::FileOpen) });
        batch.set(Shape::place(Kind::FileOpen, "path"), Value::Path(path, None));
    }
    batch
}

struct Shown {
    terminal: Terminal<TestBackend>,
    live: Live,
    view: View,
}

impl Shown {
    fn new(columns: u16, lines: u16) -> Self {
        let terminal = Terminal::new(TestBackend::new(columns, lines)).unwrap();
        let record_to = std::env::temp_dir().join(format!("glassbox-top-{}.gbx", std::process::id()));
        Self { terminal, live: Live::new(Stages::default()), view: View::new(record_to) }
    }

    /// The screen, after another second.
    fn screen(&mut self) -> String {
        let columns = usize::from(self.terminal.size().unwrap().width);
        self.view.look(&self.live, 1.0, columns);
        self.drawn()
    }

    fn drawn(&mut self) -> String {
        let columns = usize::from(self.terminal.size().unwrap().width);
        self.view.arrange(&self.live, columns);
        self.terminal.draw(|frame| self.view.draw(frame, &self.live)).unwrap();
        let buffer = self.terminal.backend().buffer();
        let rows = buffer.content.chunks(columns);
        rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>() + "\n").collect()
    }

    fn key(&mut self, code: KeyCode) -> Wish {
        self.view.key(KeyEvent::new(code, KeyModifiers::NONE), &mut self.live)
    }

    fn keys(&mut self, text: &str) {
        for letter in text.chars() {
            self.key(KeyCode::Char(letter));
        }
    }
}

#[test]
fn processes_are_listed_with_their_rates_the_busiest_first() {
    let mut shown = Shown::new(100, 12);
    shown.screen();
    shown.live.take(failing(10, "/bin/slow", 2));
    shown.live.take(failing(11, "/bin/busy", 9));

    let screen = shown.screen();

    let lines: Vec<&str> = screen.lines().collect();
    assert!(lines[0].starts_with("2 processes running, 11 events/s"), "{screen}");
    assert!(lines[3].contains("11") && lines[3].contains(" 9 ") && lines[3].contains("busy"), "{screen}");
    assert!(lines[4].contains("slow"), "{screen}");
    assert!(shown.screen().lines().next().unwrap().contains(" 0 events/s"));
}

#[test]
fn each_view_has_its_part_and_a_process_its_last_events() {
    let mut shown = Shown::new(100, 20);
    shown.live.take(failing(10, "/bin/one", 3));
    shown.screen();

    shown.keys("5");
    assert!(shown.drawn().contains("ENOENT /missing/0"), "failures");
    shown.keys("7");
    assert!(shown.drawn().contains("Lost"), "the sensor");
    shown.keys("1");
    shown.key(KeyCode::Enter);
    assert!(shown.drawn().contains("/missing/2"), "events of the process");
    shown.key(KeyCode::Esc);
    assert!(shown.drawn().contains("EVENTS/S"));
    assert_eq!(Wish::Leave, shown.key(KeyCode::Char('q')));
}

#[test]
fn filter_that_is_wrong_says_where_and_one_that_is_right_begins_anew() {
    let mut shown = Shown::new(100, 12);
    shown.live.take(failing(10, "/bin/one", 3));
    shown.screen();

    shown.keys("/proc.name = two and");
    shown.key(KeyCode::Enter);
    let screen = shown.drawn();
    assert!(screen.lines().last().is_some_and(|line| line.contains("byte 19")), "{screen}");
    assert!(!screen.lines().last().is_some_and(|line| line.contains("filter: ")), "{screen}");
    for _ in 0.." and".len() {
        shown.key(KeyCode::Backspace);
    }
    shown.key(KeyCode::Enter);
    shown.live.take(failing(10, "/bin/one", 3));
    shown.live.take(failing(11, "/bin/two", 3));

    let screen = shown.screen();
    assert!(screen.contains("two") && !screen.contains(" one"), "{screen}");
    assert!(screen.contains("[filter: proc.name = two]"), "{screen}");
    shown.key(KeyCode::Esc);
    assert!(!shown.screen().contains("[filter"));
}

#[test]
fn view_that_stands_still_loses_nothing() {
    let mut shown = Shown::new(100, 12);
    shown.screen();
    shown.keys("p");
    shown.live.take(failing(10, "/bin/one", 3));

    assert!(!shown.screen().contains(" one"));
    shown.keys("p");
    assert!(shown.screen().contains("one"));
}

#[test]
fn recording_from_here_has_what_came_since() {
    let mut shown = Shown::new(100, 12);
    let path = std::env::temp_dir().join(format!("glassbox-top-{}.gbx", std::process::id()));
    shown.live.take(failing(10, "/bin/one", 3));
    shown.keys("r");
    assert!(shown.screen().contains("[recording]"));
    shown.live.take(failing(11, "/bin/two", 4));
    shown.keys("r");

    assert!(shown.drawn().contains("4 events in"), "{}", shown.drawn());
    let mut reader = Reader::new(std::fs::File::open(&path).unwrap()).unwrap();
    let Ok(Frame::Batch(batch)) = reader.next(Batch::default()) else { panic!("no events") };
    assert_eq!(4, batch.events.len());
    assert!(matches!(reader.next(Batch::default()), Ok(Frame::End(_))));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn process_shows_its_alerts_where_there_are_any() {
    let mut shown = Shown::new(100, 12);
    shown.live.take(failing(10, "/bin/one", 3));
    assert!(!shown.screen().contains("ALERTS"));
    let mut batch = failing(11, "/bin/two", 3);
    for event in [1, 2] {
        let (name, priority) = ("Odd open".into(), Priority::Notice);
        let rule = Arc::new(Rule { name, priority, tags: Vec::new(), source: "syscall".into() });
        let output = Resolved { message: "odd".into(), fields: Vec::new() };
        batch.alerts.push(Alert { event, rule, output });
    }
    shown.live.gathered.take(&batch);

    let screen = shown.screen();

    let two = screen.lines().find(|line| line.contains(" two ")).unwrap();
    assert_eq!(["2", "two"], two.split_whitespace().collect::<Vec<_>>()[7..9]);
    assert!(screen.contains("FAILED ALERTS  PROGRAM"), "{screen}");
}

#[test]
fn recording_overwrites_no_file() {
    let mut live = Live::new(Stages::default());
    let folder = std::env::temp_dir().join(format!("glassbox-top-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    for _ in 0..2 {
        live.record(&folder.join("a.b.gbx"));
        live.take(failing(10, "/bin/one", 3));
        live.record(&folder.join("a.b.gbx"));
    }

    let lengths = ["a.b.gbx", "a.b-2.gbx"].map(|name| std::fs::metadata(folder.join(name)).unwrap().len());
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(lengths[0], lengths[1]);
    assert!(live.recorded.contains("a.b-2.gbx"), "{}", live.recorded);
}

/// What `exe` says of its start with these arguments, and of its end.
fn running(pid: u32, exe: &str, argv: &str, ends: bool) -> Batch {
    let mut batch = Batch::default();
    batch.whos.push(sample::who_of(pid, 1, exe.as_bytes()));
    batch.push(Event { who: 0, ..sample::head(Kind::ProcessStart) });
    let argv = Value::List(batch.keep(argv.replace(' ', "\0").as_bytes()));
    batch.set(Shape::place(Kind::ProcessStart, "argv"), argv);
    if ends {
        batch.push(Event { who: 0, time: UtcNs(u64::from(pid)), ..sample::head(Kind::ProcessExit) });
    }
    batch
}

#[test]
fn view_of_more_processes_than_there_is_room_for_goes_on() {
    let mut shown = Shown::new(100, 12);
    shown.live.take(running(5, "/bin/first", "first ", false));
    for pid in 10..10_100 {
        shown.live.take(running(pid, "/bin/short", "short ", true));
    }
    shown.screen();
    shown.live.take(failing(20_000, "/bin/late", 7));
    shown.live.take(failing(5, "/bin/first", 2));

    let screen = shown.screen();

    assert!(screen.starts_with("2 processes running, 9 events/s"), "{screen}");
    assert!(screen.contains("late") && screen.contains("first"), "{screen}");
}

#[test]
fn view_that_begins_anew_knows_what_runs_and_a_lost_collectors_programs_do_not() {
    let mut shown = Shown::new(100, 12);
    shown.keys("/proc.name = other");
    shown.key(KeyCode::Enter);
    shown.live.take(running(10, "/bin/one", "one --with words ", false));
    shown.key(KeyCode::Esc);
    shown.live.take(failing(10, "/bin/one", 3));
    assert!(shown.screen().contains("one --with words"), "{}", shown.screen());
    shown.keys("c");

    assert!(shown.screen().contains("one --with words"), "{}", shown.screen());
    assert!(shown.screen().starts_with("1 process running"), "{}", shown.screen());
    shown.live.begin_session();
    assert!(shown.screen().starts_with("0 processes running"), "{}", shown.screen());
}

#[test]
fn recording_that_cannot_be_made_is_said() {
    let mut live = Live::new(Stages::default());

    live.record(&PathBuf::from("/no/such/folder/x.gbx"));

    assert!(live.recorded.contains("/no/such/folder"), "{}", live.recorded);
    assert!(!live.is_recording());
}

#[test]
fn every_size_and_key_can_be_drawn_and_hostile_names_are_escaped() {
    let keys = "1234567?\t/x";
    for (columns, lines) in [(1, 1), (5, 2), (20, 5), (80, 24), (200, 50)] {
        let mut shown = Shown::new(columns, lines);
        shown.live.take(failing(10, "/bin/\x1b[31m\u{202e}evil", 30));
        shown.live.standing = Standing::Gone("the collector ended".to_owned());
        shown.screen();
        for letter in keys.chars() {
            shown.keys(&letter.to_string());
            for code in [KeyCode::Down, KeyCode::PageDown, KeyCode::End, KeyCode::Right, KeyCode::Home] {
                shown.key(code);
            }
            let screen = shown.screen();
            assert!(!screen.contains(['\x1b', '\u{202e}']), "{screen}");
        }
        shown.key(KeyCode::Esc);
        shown.keys("1");
        shown.key(KeyCode::Enter);
        shown.screen();
    }
}
