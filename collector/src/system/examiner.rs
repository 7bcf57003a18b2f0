//! Looking at programs' files beside the pipeline: in a thread of its own, with a deadline.
//!
//! The paths come from records, so any path may be named, on any file system. A look that takes long is given
//! up: its thread is left behind, and until it comes back a question is answered with nothing at once, so
//! that the pipeline waits no more than [`DEADLINE`] for each thread, of which there are [`MOST_THREADS`]. The
//! time of all answers comes out of an account: see [`Account::may_ask`].
//!
//! `/proc/PID/environ` is read here too: it reads the process's own memory, and a page of that can be a file
//! whose server never answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::allowance::Account;
use crate::ids::MonoNs;

/// A question is waited for at most so long.
const DEADLINE: Duration = Duration::from_millis(50);
/// Threads that did not come back, and the one that works.
const MOST_THREADS: usize = 4;

/// A question, with the way for its answer.
type Question = Box<dyn FnOnce() + Send>;

#[derive(Debug)]
struct Thread {
    question_tx: Sender<Question>,
    is_busy: Arc<AtomicBool>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Examiner(Vec<Thread>);

impl Examiner {
    /// The answer of `look`, asked for the sake of `account`; `None` where that takes longer than the deadline,
    /// others still do, or the account has asked for too much.
    pub fn ask<T: Send + 'static>(
        &mut self,
        account: &Account,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let begun = MonoNs::now();
        let answer = if account.may_ask(begun) { self.wait_for(look) } else { None };
        account.asked_for(MonoNs::now().since(begun));
        answer
    }

    fn wait_for<T: Send + 'static>(&mut self, look: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let thread = self.idle()?;
        let (answer_tx, answer_rx): (Sender<T>, Receiver<T>) = bounded(1);
        thread.is_busy.store(true, Ordering::Release);
        let question = move || {
            // An answer that comes too late is wanted by nobody.
            let _ = answer_tx.send(look());
        };
        thread.question_tx.send(Box::new(question)).ok()?;
        answer_rx.recv_timeout(DEADLINE).ok()
    }

    /// A thread that waits for a question; a new one where there is none and may be one more.
    fn idle(&mut self) -> Option<&Thread> {
        let idle = self.0.iter().position(|thread| !thread.is_busy.load(Ordering::Acquire));
        let place = match idle {
            Some(place) => place,
            None if self.0.len() < MOST_THREADS => {
                self.0.push(Thread::start()?);
                self.0.len() - 1
            }
            None => return None,
        };
        self.0.get(place)
    }
}

impl Thread {
    fn start() -> Option<Self> {
        let (question_tx, question_rx) = bounded::<Question>(1);
        let is_busy = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&is_busy);
        let builder = std::thread::Builder::new().name("examiner".into()).stack_size(256 * 1024);
        let work = move || {
            for question in question_rx {
                question();
                done.store(false, Ordering::Release);
            }
        };
        builder.spawn(work).ok()?;
        Some(Self { question_tx, is_busy })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn looks_that_hang_are_given_up_and_others_are_answered() {
        let mut examiner = Examiner::default();
        let (release_tx, release_rx) = bounded::<()>(0);
        let begun = Instant::now();

        let first = examiner.wait_for(|| 1);
        let hanging: Vec<Option<()>> = (0..MOST_THREADS)
            .map(|_| {
                let release_rx = release_rx.clone();
                examiner.wait_for(move || release_rx.recv().unwrap_or(()))
            })
            .collect();
        let refused = examiner.wait_for(|| 2);
        let waited = begun.elapsed();
        drop(release_tx);
        let later = (0..1000).find_map(|_| {
            std::thread::sleep(Duration::from_millis(1));
            examiner.wait_for(|| 3)
        });

        assert_eq!((Some(1), vec![None; MOST_THREADS], None, Some(3)), (first, hanging, refused, later));
        assert!(waited < DEADLINE * (MOST_THREADS as u32 + 20), "{waited:?}");
    }
}
