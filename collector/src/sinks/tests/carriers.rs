//! A carrier that is no file: it refuses, takes in part, and asks to be tried again. Each event that was
//! delivered is counted once, as written or as lost.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::super::carrier::kind::{Carried, Carrier, Opened};
use super::super::encoder::RunFacts;
use super::super::framing::Found;
use super::super::jsonl::Jsonl;
use super::super::outlet::Backlog;
use super::super::queue::Outlets;
use super::super::report::{Lost, SinkReport};
use crate::event::{Batch, sample};

/// How a destination answers to the next bytes.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// Takes them all.
    Yes,
    /// Takes so many lines, and wants the others a little later.
    Some(usize),
    /// Refuses so many lines, and takes the others.
    Not(usize),
    /// Wants them all later: in so many milliseconds.
    Later(u64),
    /// Takes none, now and in future.
    Never,
    /// Forgets to say what became of them.
    Silence,
}

/// A destination in memory, which two threads look at.
#[derive(Clone, Default)]
struct Memory {
    lines: Arc<Mutex<Vec<u8>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    calls: Arc<Mutex<usize>>,
}

impl Memory {
    fn answering(answers: &[Answer]) -> Self {
        let memory = Self::default();
        memory.answers.lock().unwrap().extend(answers);
        memory
    }

    /// An output to it; `Fresh`.
    fn opened(&self) -> Opened {
        Opened::plain(Box::new(self.clone()), Found::Fresh)
    }

    fn lines(&self) -> u64 {
        self.lines.lock().unwrap().iter().filter(|byte| **byte == b'\n').count() as u64
    }

    fn calls(&self) -> usize {
        *self.calls.lock().unwrap()
    }

    /// The last answer stays.
    fn answer(&self) -> Answer {
        let mut answers = self.answers.lock().unwrap();
        if answers.len() > 1 {
            answers.pop_front().unwrap()
        } else {
            answers.front().copied().unwrap_or(Answer::Yes)
        }
    }
}

/// How many bytes so many lines are.
fn bytes_of(lines: usize, text: &[u8]) -> usize {
    text.split_inclusive(|byte| *byte == b'\n').take(lines).map(<[u8]>::len).sum()
}

impl Carrier for Memory {
    fn carry(&mut self, bytes: &mut Vec<u8>, events: u64) -> Carried {
        *self.calls.lock().unwrap() += 1;
        let later = |milliseconds| Some(Instant::now() + Duration::from_millis(milliseconds));
        let take = |bytes: &mut Vec<u8>, lines: usize| {
            let taken: Vec<u8> = bytes.drain(..bytes_of(lines, bytes)).collect();
            self.lines.lock().unwrap().extend(taken);
        };
        match self.answer() {
            Answer::Yes => {
                take(bytes, usize::MAX);
                Carried { written: events, ..Carried::default() }
            }
            Answer::Some(lines) => {
                let written = lines.min(events as usize);
                take(bytes, written);
                Carried { written: written as u64, retry_at: later(1), ..Carried::default() }
            }
            Answer::Not(lines) => {
                let lost = lines.min(events as usize);
                bytes.drain(..bytes_of(lost, bytes));
                take(bytes, usize::MAX);
                Carried { written: events - lost as u64, lost: lost as u64, ..Carried::default() }
            }
            Answer::Later(milliseconds) => {
                Carried { retry_at: later(milliseconds), error: Some("busy".into()), ..Carried::default() }
            }
            Answer::Never => Carried { error: Some("forbidden".into()), ..Carried::default() },
            Answer::Silence => Carried::default(),
        }
    }
}

fn outlets_to(memory: &Memory, backlog: Backlog) -> Outlets {
    let mut outlets = Outlets::none(backlog);
    outlets.add("jsonl to memory".into(), Box::<Jsonl>::default(), memory.opened()).unwrap();
    outlets
}

/// Delivers `batches` times the same events; gives how many those were, and how the output fared.
fn delivered(memory: &Memory, batches: u64) -> (u64, SinkReport) {
    let mut outlets = outlets_to(memory, Backlog::Wait);
    let batch = Arc::new(sample::every_kind());
    for _ in 0..batches {
        outlets.deliver(Arc::clone(&batch));
    }
    let report = outlets.close(RunFacts::default()).remove(0);
    (batches * batch.events.len() as u64, report)
}

#[test]
fn partly_taken_bytes_are_given_again_and_all_arrive_once_and_in_order() {
    let whole = Memory::default();
    let parts = Memory::answering(&[
        Answer::Some(7),
        Answer::Later(1),
        Answer::Some(0),
        Answer::Some(50),
        Answer::Yes,
    ]);

    let (all, of_whole) = delivered(&whole, 20);
    let (_, of_parts) = delivered(&parts, 20);

    assert_eq!((all, Lost::default()), (of_whole.written, of_whole.lost));
    assert_eq!((all, Lost::default()), (of_parts.written, of_parts.lost));
    assert_eq!(*whole.lines.lock().unwrap(), *parts.lines.lock().unwrap());
    assert_eq!(None, of_parts.error);
    assert_eq!(None, of_parts.line());
}

#[test]
fn refused_events_are_counted_and_reported() {
    let memory = Memory::answering(&[Answer::Not(3), Answer::Yes]);

    let (all, report) = delivered(&memory, 20);

    assert_eq!(Lost { refused: 3, ..Lost::default() }, report.lost);
    assert_eq!((all - 3, all - 3), (report.written, memory.lines()));
    assert_eq!(
        Some(format!(
            "jsonl to memory lacks 3 of {all} events: the destination refused 3; look there for the reason"
        )),
        report.line()
    );
}

#[test]
fn carrier_that_fails_is_not_called_again_and_all_that_follows_is_lost() {
    let memory = Memory::answering(&[Answer::Some(5), Answer::Never]);

    let (all, report) = delivered(&memory, 20);

    assert_eq!((5, 5, 2), (report.written, memory.lines(), memory.calls()));
    assert_eq!(Lost { failed: all - 5, ..Lost::default() }, report.lost);
    assert_eq!(Some("forbidden".to_owned()), report.error);
}

#[test]
fn events_that_a_carrier_says_nothing_of_are_lost() {
    let memory = Memory::answering(&[Answer::Silence, Answer::Yes]);

    let (all, report) = delivered(&memory, 20);

    assert!(report.lost.refused > 0);
    assert_eq!((all, report.written), (report.written + report.lost.all(), memory.lines()));
}

#[test]
fn while_a_carrier_is_tried_again_the_queue_fills_and_its_losses_stand_in_the_output() {
    let memory = Memory::answering(&[Answer::Later(20)]);
    let mut outlets = outlets_to(&memory, Backlog::Drop);
    let batch = Arc::new(sample::every_kind());
    let each = batch.events.len() as u64;
    let (mut all, mut longest) = (each, Duration::ZERO);
    // From here on the thread takes nothing out of the queue.
    outlets.deliver(Arc::clone(&batch));
    while memory.calls() == 0 {
        thread::yield_now();
    }

    while outlets.dropped().next() < Some(10 * each) {
        let before = Instant::now();
        outlets.deliver(Arc::clone(&batch));
        longest = longest.max(before.elapsed());
        all += each;
    }
    let meanwhile = outlets.reports().remove(0);
    memory.answers.lock().unwrap().push_back(Answer::Yes);
    while outlets.waiting()[0] > 0 {
        thread::yield_now();
    }
    outlets.deliver(Arc::clone(&batch));
    all += each;
    let report = outlets.close(RunFacts::default()).remove(0);

    assert!(longest < Duration::from_secs(1), "{longest:?}");
    assert_eq!((0, Some("busy".to_owned())), (meanwhile.written, meanwhile.error));
    assert_eq!(Lost { queue_full: 10 * each, ..Lost::default() }, report.lost);
    // One of the lines says what is missing.
    assert_eq!((all - 10 * each + 1, None), (report.written, report.error));
    assert_eq!(report.written, memory.lines());
    let text = String::from_utf8(memory.lines.lock().unwrap().clone()).unwrap();
    assert!(text.contains(&format!("\"count\":{},\"reason\":\"sink_full\"", 10 * each)));
}

#[test]
fn end_of_the_session_waits_for_a_carrier_only_so_long() {
    let memory = Memory::answering(&[Answer::Later(3_600_000)]);
    let mut outlets = outlets_to(&memory, Backlog::Drop);
    let batch = Arc::new(sample::every_kind());
    let each = batch.events.len() as u64;
    for _ in 0..5 {
        outlets.deliver(Arc::clone(&batch));
    }
    while memory.calls() == 0 {
        thread::yield_now();
    }

    let begun = Instant::now();
    let report = outlets.close(RunFacts::default()).remove(0);

    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(Lost { failed: 5 * each, ..Lost::default() }, report.lost);
    assert_eq!(Some("busy".to_owned()), report.error);
}

#[test]
fn output_that_is_added_gets_what_follows_and_one_that_is_removed_ends_while_the_others_go_on() {
    let (stays, comes) = (Memory::default(), Memory::default());
    let mut outlets = outlets_to(&stays, Backlog::Wait);
    let batch = Arc::new(sample::every_kind());
    let each = batch.events.len() as u64;

    outlets.deliver(Arc::clone(&batch));
    let id = outlets.add("jsonl to a view".into(), Box::<Jsonl>::default(), comes.opened()).unwrap();
    outlets.deliver(Arc::clone(&batch));
    let removed = outlets.remove(id, RunFacts::default()).unwrap().report();
    outlets.deliver(Arc::clone(&batch));
    let is_removed_twice = outlets.remove(id, RunFacts::default()).is_some();
    let rest = outlets.close(RunFacts::default());

    assert_eq!(("jsonl to a view", each), (removed.name.as_str(), removed.written));
    assert_eq!((each, 3 * each), (comes.lines(), stays.lines()));
    assert!(!is_removed_twice);
    assert_eq!((1, 3 * each), (rest.len(), rest[0].written));
}

#[test]
fn removing_an_output_that_stands_still_holds_nobody_up() {
    let (stays, stuck) = (Memory::default(), Memory::answering(&[Answer::Later(3_600_000)]));
    let mut outlets = outlets_to(&stays, Backlog::Drop);
    let batch = Arc::new(sample::every_kind());
    let id = outlets.add("jsonl to a view".into(), Box::<Jsonl>::default(), stuck.opened()).unwrap();
    outlets.deliver(Arc::clone(&batch));
    while stuck.calls() == 0 {
        thread::yield_now();
    }

    let begun = Instant::now();
    let leaving = outlets.remove(id, RunFacts::default()).unwrap();
    outlets.deliver(Arc::clone(&batch));
    let took = begun.elapsed();

    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(batch.events.len() as u64, leaving.report().lost.failed);
    let rest = outlets.close(RunFacts::default());
    assert_eq!((2 * batch.events.len() as u64, Lost::default()), (rest[0].written, rest[0].lost));
}

/// A batch that takes a little more than a third of the bytes that wait in front of all outputs.
fn large() -> Arc<Batch> {
    let mut batch = sample::every_kind();
    batch.keep(&vec![b'x'; 3 << 20]);
    Arc::new(batch)
}

#[test]
fn bytes_that_may_wait_are_shared_anew_when_outputs_come_and_go() {
    let stuck = || Memory::answering(&[Answer::Later(3_600_000)]);
    let (one, other) = (stuck(), stuck());
    let mut outlets = outlets_to(&one, Backlog::Drop);
    let batch = large();
    let each = batch.events.len() as u64;
    // The first batch is taken out of the queue, and waits in the thread.
    outlets.deliver(Arc::new(sample::every_kind()));
    while one.calls() == 0 {
        thread::yield_now();
    }

    let mut dropped = Vec::new();
    outlets.deliver(Arc::clone(&batch));
    outlets.deliver(Arc::clone(&batch));
    dropped.push(outlets.dropped().next().unwrap());
    let id = outlets.add("jsonl to a view".into(), Box::<Jsonl>::default(), other.opened()).unwrap();
    assert!(!outlets.has_room());
    outlets.deliver(Arc::clone(&batch));
    dropped.push(outlets.dropped().next().unwrap());
    let leaving = outlets.remove(id, RunFacts::default()).unwrap();
    outlets.deliver(Arc::new(sample::every_kind()));
    dropped.push(outlets.dropped().next().unwrap());

    assert_eq!(vec![0, each, each], dropped);
    let (left, stayed) = (leaving.report(), outlets.close(RunFacts::default()).remove(0));
    assert_eq!(each, left.written + left.lost.all());
    // Three batches of `every_kind`'s size each, a lost one, and the event that says so.
    assert_eq!(each + 3 * each + each + 1, stayed.written + stayed.lost.all());
}
