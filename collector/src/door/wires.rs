//! The wires between the pipeline and the doorman: pidfds to watch one way, words the other way.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_channel::Sender;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

use super::news::{News, Word};
use crate::arrival::Sent;
use crate::ids::{ImageId, MonoNs};
use crate::rings::bells::Doorbell;

/// Marks the epoll token of a pidfd; the rest is an [`ImageId`].
pub const PIDFD: u64 = 1 << 63;

const _: () = assert!(ImageId::FREE_BITS >= 3, "the doorman's tokens take three bits");

/// What the doorman has told as news.
#[derive(Debug, Default)]
pub struct Told {
    /// Everything that was taken out of the epoll instance.
    pub is_all: AtomicBool,
    /// Everything that had happened by this moment, CLOCK_MONOTONIC in nanoseconds.
    pub until: AtomicU64,
}

/// The ways to the pipeline, whose doorbell is rung for both.
#[derive(Clone, Debug)]
pub struct ToPipeline {
    /// News of processes and of the session.
    pub news_tx: Sender<News>,
    /// What supervisors say.
    pub sent_tx: Sender<Sent>,
    /// Wakes the pipeline.
    pub doorbell: Arc<Doorbell>,
}

/// Watches pidfds for the pipeline: the doorman's epoll instance.
#[derive(Clone, Debug)]
pub struct Deathwatch {
    epoll: Arc<OwnedFd>,
    told: Arc<Told>,
}

impl Deathwatch {
    /// A watch in the doorman's `epoll`, which notes what it has `told`.
    pub fn new(epoll: Arc<OwnedFd>, told: Arc<Told>) -> Self {
        Self { epoll, told }
    }

    /// Watches `pidfd`, once; the death comes as [`super::news::News::Died`] with `image`. Closing the
    /// descriptor ends the watch.
    pub fn watch(&self, pidfd: impl AsFd, image: ImageId) {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ONESHOT;
        let data = epoll::EventData::new_u64(PIDFD | image.token());
        // Without a watch, the parent's wait still tells of the death.
        let _ = epoll::add(&*self.epoll, pidfd, data, flags);
    }

    /// Everything that had happened by this moment has been told as news.
    pub fn told_until(&self) -> MonoNs {
        // Acquire: the news are there.
        MonoNs(self.told.until.load(Ordering::Acquire))
    }

    /// Whether everything that had happened at the call has been told as news.
    pub fn has_told_all(&self) -> bool {
        // The doorman takes nothing out of the epoll instance while it says that it is idle, so an untold
        // event either is still in there, or the doorman is busy. In this order: an event between the two
        // looks is newer.
        let is_idle = self.told.is_all.load(Ordering::SeqCst);
        let mut polled = [PollFd::new(&*self.epoll, PollFlags::IN)];
        is_idle && matches!(poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0))
    }
}

/// The way back from the pipeline to the doorman.
#[derive(Clone, Debug)]
pub struct Reply {
    word_tx: Sender<Word>,
    alarm: Arc<OwnedFd>,
}

impl Reply {
    /// A way whose words go to `word_tx`; `alarm` is an eventfd that wakes the doorman.
    pub fn new(word_tx: Sender<Word>, alarm: Arc<OwnedFd>) -> Self {
        Self { word_tx, alarm }
    }

    /// Leaves word. The doorman hears it at the next alarm, or when something else wakes it.
    pub fn leave(&self, word: Word) {
        // The doorman outlives the pipeline.
        let _ = self.word_tx.send(word);
    }

    /// Makes the doorman hear what was left.
    pub fn alarm(&self) {
        let _ = rustix::io::write(&*self.alarm, &1_u64.to_ne_bytes());
    }

    /// The eventfd that [`Self::alarm`] writes to.
    pub fn alarm_fd(&self) -> &OwnedFd {
        &self.alarm
    }
}
