//! The handle by which another thread talks to a session, before it has begun too.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::door::news::{Flush, News, Turn};
use crate::ids::MonoNs;
use crate::rings::bells::Doorbell;

/// Sinks that have been told to write their events are waited for so long.
const SINKS_PATIENCE: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Clone, Debug)]
pub struct Control {
    /// For the doorman.
    pub news_tx: Sender<News>,
    /// For the pipeline.
    pub news_rx: Receiver<News>,
    /// Wakes the pipeline.
    pub doorbell: Arc<Doorbell>,
}

impl Default for Control {
    fn default() -> Self {
        let (news_tx, news_rx) = crossbeam_channel::unbounded();
        Self { news_tx, news_rx, doorbell: Arc::default() }
    }
}

impl Control {
    fn tell(&self, news: News) {
        // The other end is in `self` too.
        let _ = self.news_tx.send(news);
        self.doorbell.ring();
    }

    /// Says which request is served from here on, or from the border on where there is one.
    pub fn turn(&self, turn: Turn) {
        self.tell(News::Turn(turn, MonoNs::now()));
    }

    /// Waits, at most for `patience`, until everything that happened before is delivered and written; false
    /// where that was too short. With `is_border` later events belong to the next request, and are held back
    /// until [`Self::turn`].
    pub fn flush(&self, patience: Duration, is_border: bool) -> bool {
        let (done_tx, done_rx) = crossbeam_channel::bounded(0);
        let until = MonoNs::now();
        let deadline = until.plus(u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX));
        self.tell(News::Flush(Flush { until, deadline, is_border, told: None, done_tx }));
        done_rx.recv_timeout(patience + SINKS_PATIENCE) == Err(RecvTimeoutError::Disconnected)
    }
}
