//! Looking at programs' files beside the pipeline: in a thread of its own, with a deadline.
//!
//! The paths come from records, so any path may be named, on any file system. A look that takes long is given
//! up: its thread is left behind. There are [`MOST_THREADS`]; with all of them away, a question is answered
//! with nothing at once. Questions, and the time that is waited for answers, come out of an account: see
//! [`Account::may_ask`].
//!
//! `/proc/PID/environ` is read here too: it reads the process's own memory, and a page of that can be a file
//! whose server never answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use crate::allowance::Account;
use crate::ids::MonoNs;

/// The pipeline waits for an answer at most so long.
const DEADLINE: Duration = Duration::from_millis(50);
/// An answer that the pipeline does not wait for may take so long: the thread may have to wait for a
/// processor.
pub const PATIENCE_NS: u64 = 2_000_000_000;
/// Threads that did not come back, and the one that works.
const MOST_THREADS: usize = 4;

/// A question, with the way for its answer.
type Question = Box<dyn FnOnce() + Send>;

/// A look that was begun.
#[derive(Debug)]
pub struct Pending<T> {
    answer_rx: Receiver<T>,
    asked: MonoNs,
}

/// The answer of a look, so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// There it is.
    Found(T),
    /// It may still come.
    Awaited,
    /// It has taken too long.
    Late,
}

impl<T> Pending<T> {
    /// The answer, without waiting.
    pub fn look(&self, now: MonoNs) -> Answer<T> {
        match self.answer_rx.try_recv() {
            Ok(answer) => Answer::Found(answer),
            Err(TryRecvError::Empty) if now.since(self.asked) < PATIENCE_NS => Answer::Awaited,
            Err(_) => Answer::Late,
        }
    }

    /// The answer, waited for at most for `patience`.
    pub fn wait(&self, patience: Duration) -> Option<T> {
        self.answer_rx.recv_timeout(patience).ok()
    }
}

#[derive(Debug)]
struct Thread {
    question_tx: Sender<Question>,
    is_busy: Arc<AtomicBool>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Examiner(Vec<Thread>);

impl Examiner {
    /// Whether a look could begin now: not while as many as there may be threads are under way.
    pub fn is_free(&self) -> bool {
        self.0.len() < MOST_THREADS || self.0.iter().any(|thread| !thread.is_busy.load(Ordering::Acquire))
    }

    /// Begins to look, for the sake of `account`. `None` where it is not free, or the account has asked for
    /// too much.
    pub fn begin<T: Send + 'static>(
        &mut self,
        account: &Account,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Option<Pending<T>> {
        let asked = MonoNs::now();
        if !self.is_free() || !account.may_ask(asked) {
            return None;
        }
        let thread = self.idle()?;
        let (answer_tx, answer_rx) = bounded(1);
        thread.is_busy.store(true, Ordering::Release);
        let question = move || {
            // An answer that comes too late is wanted by nobody.
            let _ = answer_tx.send(look());
        };
        thread.question_tx.send(Box::new(question)).ok()?;
        Some(Pending { answer_rx, asked })
    }

    /// The answer of `look`, which is waited for; `None` where that takes longer than [`DEADLINE`], and where
    /// [`Self::begin`] gives none.
    pub fn ask<T: Send + 'static>(
        &mut self,
        account: &Account,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let pending = self.begin(account, look)?;
        let answer = pending.wait(DEADLINE);
        account.asked(pending.asked, MonoNs::now());
        answer
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
        let (mut examiner, account) = (Examiner::default(), Account::boundless());
        let (release_tx, release_rx) = bounded::<()>(0);
        let begun = Instant::now();

        let first = examiner.ask(&account, || 1);
        let hanging: Vec<Option<()>> = (0..MOST_THREADS)
            .map(|_| {
                let release_rx = release_rx.clone();
                examiner.ask(&account, move || release_rx.recv().unwrap_or(()))
            })
            .collect();
        let refused = examiner.ask(&account, || 2);
        let waited = begun.elapsed();
        drop(release_tx);
        let later = (0..1000).find_map(|_| {
            std::thread::sleep(Duration::from_millis(1));
            examiner.ask(&account, || 3)
        });

        assert_eq!((Some(1), vec![None; MOST_THREADS], None, Some(3)), (first, hanging, refused, later));
        assert!(waited < DEADLINE * (MOST_THREADS as u32 + 20), "{waited:?}");
    }
}
