//! Events that one output was too slow for: the output reports them, by process, as soon as it has room
//! again.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use wire::events::Kind;

use crate::event::{Batch, Event, Program, Shape, Value, Who};
use crate::ids::{Pid, ProcessKey, UtcNs};
use crate::loss::LossReason;
use crate::system::procfs;

/// Processes whose losses are counted apart. Those of all others are reported as the collector's own.
const MOST_PROCESSES: usize = 1024;

/// Losses of one output that do not stand in it yet.
#[derive(Debug, Default)]
pub struct Owed {
    by_process: FxHashMap<ProcessKey, (Arc<Who>, u64)>,
}

impl Owed {
    /// Whether nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.by_process.is_empty()
    }

    /// Counts the events of a batch that the output does not get.
    pub fn add(&mut self, batch: &Batch) {
        for event in &batch.events {
            let who = &batch.whos[event.who as usize];
            let key = who.key();
            if self.by_process.len() < MOST_PROCESSES || self.by_process.contains_key(&key) {
                self.by_process.entry(key).or_insert_with(|| (Arc::clone(who), 0)).1 += 1;
            } else {
                let own = ProcessKey::here(Pid(std::process::id()));
                self.by_process.entry(own).or_insert_with(|| (Arc::new(own_who()), 0)).1 += 1;
            }
        }
    }

    /// The `sensor.loss` events that report them, as of `time`; `None` where nothing is owed.
    pub fn pay(&mut self, time: UtcNs) -> Option<Batch> {
        if self.is_empty() {
            return None;
        }
        let place = |name| Shape::place(Kind::SensorLoss, name);
        let (count_at, reason_at) = (place("count"), place("reason"));
        let mut batch = Batch::default();
        for (_, (who, count)) in self.by_process.drain() {
            batch.push(Event {
                time,
                kind: Kind::SensorLoss,
                via: None,
                is_truncated: false,
                call: "",
                error: "",
                seq: None,
                ret: None,
                tid: who.pid().main_thread(),
                number: 0,
                who: batch.whos.len() as u32,
                values_at: 0,
            });
            batch.set(count_at, Value::Uint(count));
            batch.set(reason_at, Value::Word(LossReason::SinkFull.name()));
            batch.whos.push(who);
        }
        batch.number();
        Some(batch)
    }
}

/// The collector itself.
fn own_who() -> Who {
    let pid = std::process::id();
    let exe = procfs::exe(pid).unwrap_or_default();
    Who {
        program: Program::new(Pid(pid), exe.into(), Arc::default(), None),
        ppid: Some(Pid(std::os::unix::process::parent_id())),
        uid: Some(rustix::process::getuid().as_raw()),
        euid: Some(rustix::process::geteuid().as_raw()),
        ..Who::default()
    }
}
