//! SIGHUP: reads configuration and rules again, while the session goes on.
//!
//! A thread of its own reads and opens, so that neither the doorman nor the pipeline waits for a disk. What
//! cannot be read stays as it was, and is said on stderr. The doorman passes the result on to the pipeline.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::event::Asks;
use crate::outputs::Output;
use crate::settings::judged::Judged;
use crate::shell::failure::{Failure, say};
use crate::sinks::carrier::kind::Opening;
use crate::sinks::{Exchange, Ready};
use crate::stages::Stages;

/// Reloads that wait for their turn, beside the one that goes on: it reads what is there then.
const MOST_WAITING: usize = 2;

/// The settings as they are read again.
pub struct Fresh {
    /// At least one.
    pub outputs: Result<Vec<Output>, Failure>,
    /// The filter, the rules, the redaction.
    pub judged: Result<Judged, Failure>,
}

/// Reads the settings again.
pub type Read = Box<dyn Fn() -> Result<Fresh, Failure> + Send>;

/// The changes to a session.
pub struct Reloaded {
    /// What events go through from here on, and what that asks of processes; `None` for what they went
    /// through before.
    pub stages: Option<(Stages, Asks)>,
    /// The outputs.
    pub outputs: Exchange,
    /// The outputs that are open from here on.
    pub open: Vec<Output>,
}

impl fmt::Debug for Reloaded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "reloaded, {:?}", self.outputs)
    }
}

/// See the module.
pub struct Reloader {
    state: Arc<Mutex<State>>,
    running: Arc<AtomicUsize>,
    reloaded_tx: Sender<Reloaded>,
    reloaded_rx: Receiver<Reloaded>,
}

struct State {
    read: Read,
    /// The outputs that are open.
    outputs: Vec<Output>,
}

impl fmt::Debug for Reloader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} reloads are under way", self.running.load(Ordering::Relaxed))
    }
}

impl Reloader {
    /// Reads by `read`, for a session that began with `outputs`.
    pub fn new(read: Read, outputs: Vec<Output>) -> Self {
        let (reloaded_tx, reloaded_rx) = unbounded();
        let state = Arc::new(Mutex::new(State { read, outputs }));
        Self { state, running: Arc::default(), reloaded_tx, reloaded_rx }
    }

    /// Begins to read; calls `tell` once [`Self::take`] has the result.
    pub fn begin(&self, tell: impl FnOnce() + Send + 'static) {
        if self.running.fetch_add(1, Ordering::Relaxed) >= MOST_WAITING {
            self.running.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let (state, running) = (Arc::clone(&self.state), Arc::clone(&self.running));
        let reloaded_tx = self.reloaded_tx.clone();
        let spawned = thread::Builder::new().name("reload".into()).spawn(move || {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            // The doorman has the other end until the process ends.
            let _ = reloaded_tx.send(state.reload());
            running.fetch_sub(1, Ordering::Relaxed);
            tell();
        });
        if let Err(error) = spawned {
            self.running.fetch_sub(1, Ordering::Relaxed);
            say(&format!("cannot reload: no thread can be started ({error}); raise the limit of threads"));
        }
    }

    /// A result that has come.
    pub fn take(&self) -> Option<Reloaded> {
        self.reloaded_rx.try_recv().ok()
    }
}

impl State {
    fn reload(&mut self) -> Reloaded {
        let (outputs, stages) = match (self.read)() {
            Ok(Fresh { outputs, judged }) => {
                let judged = or_said(judged, "the rules and the filter stay as they were");
                (or_said(outputs, "the outputs stay as they were"), judged)
            }
            Err(failure) => (or_said(Err(failure), "everything stays as it was"), None),
        };
        let stages = stages.map(|Judged { mut stages, asks, .. }| {
            stages.prepare();
            (stages, asks)
        });
        let outputs = self.exchange(outputs.unwrap_or_else(|| self.outputs.clone()));
        say(&format!(
            "reloaded: {}, outputs: {} opened anew, {} added, {} ended",
            if stages.is_some() { "rules and filter read again" } else { "rules and filter as before" },
            self.outputs.len() - outputs.added.len(),
            outputs.added.len(),
            outputs.removed.len()
        ));
        Reloaded { stages, outputs, open: self.outputs.clone() }
    }

    /// The way from the outputs that are open to those that are wanted.
    fn exchange(&mut self, wanted: Vec<Output>) -> Exchange {
        let mut left = std::mem::take(&mut self.outputs);
        let mut added = Vec::new();
        for output in wanted {
            match left.iter().position(|open| *open == output) {
                Some(place) => self.outputs.push(left.remove(place)),
                // Another output may have written to its file, so it is appended to.
                None => match Ready::of(&output, Opening::Resumed) {
                    Ok(ready) => {
                        added.push(ready);
                        self.outputs.push(output);
                    }
                    Err(failure) => say(&format!("{failure}; there is no {}", output.shown())),
                },
            }
        }
        Exchange { removed: left.iter().map(Output::spelling).collect(), added }
    }
}

fn or_said<T>(result: Result<T, Failure>, rest: &str) -> Option<T> {
    result.map_err(|failure| say(&format!("cannot reload: {failure}; {rest}"))).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::sinks::tests::Scratch;

    #[test]
    fn outputs_that_stay_are_not_opened_twice_and_what_cannot_be_opened_is_left_out() {
        let scratch = Scratch::new("exchange");
        let of = |name: &str| Output::to_file("jsonl", scratch.path(name));
        let mut state = State {
            read: Box::new(|| Err(Failure::usage("not asked".to_owned()))),
            outputs: vec![of("stays"), of("goes")],
        };

        let exchange = state.exchange(vec![of("comes"), of("stays"), of("no/such/folder")]);

        assert_eq!(vec![of("goes").spelling()], exchange.removed);
        assert_eq!(1, exchange.added.len());
        assert_eq!(vec![of("comes"), of("stays")], state.outputs);
        assert!(scratch.path("comes").exists() && !scratch.path("stays").exists());
    }

    #[test]
    fn settings_that_cannot_be_read_change_nothing_but_open_the_outputs_anew() {
        let is_told = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_told);
        let (tx, rx) = unbounded();
        let read: Read = Box::new(|| Err(Failure::malformed("line 3 is no line".to_owned())));
        let reloader = Reloader::new(read, vec![Output::to_file("jsonl", "/dev/null")]);

        reloader.begin(move || {
            told.store(true, Ordering::Relaxed);
            let _ = tx.send(());
        });
        rx.recv().unwrap();
        let reloaded = reloader.take().unwrap();

        assert!(reloaded.stages.is_none());
        assert_eq!((0, 0), (reloaded.outputs.added.len(), reloaded.outputs.removed.len()));
    }
}
