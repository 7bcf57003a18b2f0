//! A model of a family of processes that fork, execute, open and end in any order: whatever the collector
//! hears of first, each process ends once, with its own events counted, under its own name.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value as Json;
use wire::ring::layout::MIN_DATA_LEN;

use super::simulated::{Harness, Sensor};

/// An act of one of the live processes; `0` is the index among them.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// It opens a file, relative to its directory.
    Open(usize),
    /// It makes a child; the parent gets to tell of it only before its own next event.
    Fork(usize),
    /// It becomes another program.
    Exec(usize),
    /// It ends.
    End(usize),
    /// The collector has its turn.
    Round,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..8usize).prop_map(Step::Open),
        3 => (0..8usize).prop_map(Step::Fork),
        2 => (0..8usize).prop_map(Step::Exec),
        2 => (0..8usize).prop_map(Step::End),
        2 => Just(Step::Round),
    ]
}

/// When the collector hears of it all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// While it happens: the processes live in a namespace of their own.
    Live,
    /// When all processes are dead: /proc knows none of them.
    Late,
}

/// A process of the model.
#[derive(Clone, Debug)]
struct Actor {
    pid: u32,
    ppid: u32,
    /// Its ring, among all.
    ring: usize,
    /// Its slot there, once it has written.
    slot: Option<u8>,
    /// A child that it has not told of.
    untold: Option<u32>,
}

struct World {
    harness: Harness,
    pace: Pace,
    rings: Vec<Sensor>,
    /// Rings whose hello has not been heard, with the parent's number.
    hellos: Vec<(usize, u32)>,
    live: Vec<Actor>,
    dead: Vec<u32>,
    /// Stamped events by process.
    written: BTreeMap<u32, u64>,
    next_pid: u32,
}

impl World {
    fn new(pace: Pace) -> Self {
        // No process of ours has such a number: pid_max is at most 4194304 (proc(5)).
        let first = if pace == Pace::Late { 5_000_000 } else { 10 };
        let mut world = Self {
            harness: Harness::new(),
            pace,
            rings: Vec::new(),
            hellos: Vec::new(),
            live: Vec::new(),
            dead: Vec::new(),
            written: BTreeMap::new(),
            next_pid: first,
        };
        let pid = world.new_pid();
        let ring = world.start(pid, 1);
        world.live.push(Actor { pid, ppid: 1, ring, slot: Some(0), untold: None });
        world
    }

    fn new_pid(&mut self) -> u32 {
        self.next_pid += 1;
        self.next_pid - 1
    }

    /// A new image of `pid`, with a ring of its own.
    fn start(&mut self, pid: u32, ppid: u32) -> usize {
        let sensor = Sensor::new(pid, MIN_DATA_LEN);
        sensor.start(&format!("/bin/p{pid}"), "/home/u");
        self.rings.push(sensor);
        self.hellos.push((self.rings.len() - 1, ppid));
        *self.written.entry(pid).or_default() += 1;
        self.rings.len() - 1
    }

    fn act(&mut self, step: Step) {
        match step {
            Step::Round if self.pace == Pace::Live => self.round(),
            Step::Round => {}
            Step::Open(index) | Step::Fork(index) | Step::Exec(index) | Step::End(index) => {
                if self.live.is_empty() {
                    return;
                }
                let index = index % self.live.len();
                match step {
                    Step::Fork(_) => self.fork(index),
                    Step::Exec(_) => self.exec(index),
                    Step::End(_) => {
                        self.tell(index);
                        self.dead.push(self.live.remove(index).pid);
                    }
                    _ => self.open(index),
                }
            }
        }
    }

    /// The slot of a process that is about to write, after what its parent's side of a fork has to tell.
    fn slot_of(&mut self, index: usize) -> (usize, u8) {
        let actor = &mut self.live[index];
        let ring = &self.rings[actor.ring];
        let slot = *actor.slot.get_or_insert_with(|| ring.take_slot(actor.pid, actor.ppid));
        let (place, untold, pid) = (actor.ring, actor.untold.take(), actor.pid);
        if let Some(child) = untold {
            self.rings[place].forked(slot, child);
            *self.written.entry(pid).or_default() += 1;
        }
        (place, slot)
    }

    /// Has a process tell of the child that it made, as it does before anything else.
    fn tell(&mut self, index: usize) {
        if self.live[index].untold.is_some() {
            self.slot_of(index);
        }
    }

    fn open(&mut self, index: usize) {
        let (ring, slot) = self.slot_of(index);
        self.rings[ring].open(slot, "file", 5, 0);
        *self.written.entry(self.live[index].pid).or_default() += 1;
    }

    fn fork(&mut self, index: usize) {
        if self.live.len() == 8 {
            return;
        }
        self.tell(index);
        let pid = self.new_pid();
        let parent = &mut self.live[index];
        parent.untold = Some(pid);
        let (ppid, ring) = (parent.pid, parent.ring);
        self.live.push(Actor { pid, ppid, ring, slot: None, untold: None });
    }

    fn exec(&mut self, index: usize) {
        self.tell(index);
        let Actor { pid, ppid, .. } = self.live[index];
        let ring = self.start(pid, ppid);
        let actor = &mut self.live[index];
        (actor.ring, actor.slot) = (ring, Some(0));
    }

    fn round(&mut self) {
        for (ring, ppid) in std::mem::take(&mut self.hellos) {
            let sensor = &self.rings[ring];
            if self.pace == Pace::Live {
                self.harness.attach(sensor, ppid);
            } else {
                self.harness.attach_visible(sensor, ppid);
            }
        }
        self.harness.round();
        let dead = std::mem::take(&mut self.dead);
        for pid in dead {
            // It is watched from when the collector knows it.
            if self.harness.is_known(pid) { self.harness.die(pid, 0) } else { self.dead.push(pid) }
        }
    }

    fn finish(mut self) -> (Vec<Json>, BTreeMap<u32, u64>) {
        for index in 0..self.live.len() {
            self.tell(index);
        }
        self.dead.extend(self.live.drain(..).map(|actor| actor.pid));
        for _ in 0..4 {
            self.round();
        }
        (self.harness.finish(), self.written)
    }
}

fn check(events: &[Json], written: &BTreeMap<u32, u64>) -> Result<(), TestCaseError> {
    let mut exits: BTreeMap<u32, u64> = BTreeMap::new();
    let mut seen: BTreeMap<u32, u64> = BTreeMap::new();
    for event in events {
        let pid = event["pid"].as_u64().unwrap_or(0) as u32;
        prop_assert_ne!(&event["event"], "sensor.loss", "{}", event);
        prop_assert!(event["uid"].is_u64() && event["euid"].is_u64(), "{}", event);
        prop_assert!(event["exe"].as_str().is_some_and(|exe| exe.starts_with('/')), "{}", event);
        if let Some(path) = event["path"].as_str() {
            prop_assert!(path.starts_with('/'), "{}", event);
        }
        if event["seq"].is_u64() {
            *seen.entry(pid).or_default() += 1;
            prop_assert!(!exits.contains_key(&pid), "after its end: {}", event);
        }
        if event["event"] == "process.exit" {
            let events = event["events"].as_u64().unwrap_or(u64::MAX);
            prop_assert!(exits.insert(pid, events).is_none(), "a second end: {}", event);
        }
    }
    prop_assert_eq!(&seen, written);
    for (pid, written) in written {
        prop_assert_eq!(exits.get(pid), Some(written), "the ledger of {}", pid);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_process_ends_once_with_its_own_events_counted(
        steps in vec(step(), 1..40),
        pace in prop_oneof![Just(Pace::Live), Just(Pace::Late)],
    ) {
        let mut world = World::new(pace);
        for step in steps {
            world.act(step);
        }
        let (events, written) = world.finish();
        check(&events, &written)?;
    }
}
