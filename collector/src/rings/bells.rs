//! Waiting for records without asking for them: on the bells of all rings at once, and on the doorbell.
//!
//! The pipeline's thread calls [`Bells::wait`] when it has nothing to do. futex_waitv(2) waits on 128 words;
//! the rings beyond that, or all of them on kernels before 5.16, are watched by threads that ring the
//! doorbell. Their number follows that of the rings: one for 127 with futex_waitv, else one each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;

use wire::ring::layout::Mapped;
use wire::ring::{Memory, bell};

use crate::ids::MonoNs;
use crate::system::clock::now_ns;
use crate::system::kernel::{MOST_WAITERS, Waited, Waiter, wait_many, wait_one, wake};

/// The collector's own bell: its other threads ring it when they have news for the pipeline.
#[derive(Debug, Default)]
pub struct Doorbell {
    rings: AtomicU32,
    /// Whether a ring must wake the pipeline. While it naps, it need not: it will look within milliseconds.
    is_heard: AtomicBool,
}

impl Doorbell {
    /// Wakes the pipeline, or keeps it from falling asleep.
    pub fn ring(&self) {
        // SeqCst: either this thread sees that it is heard, or the pipeline, which says so before it waits,
        // finds another number than it expects. A thread that sees the number also sees the messages sent
        // before the number.
        self.rings.fetch_add(1, Ordering::SeqCst);
        if self.is_heard.load(Ordering::SeqCst) {
            wake(&self.rings);
        }
    }

    /// How often it was rung. Read it before looking for news, and pass it to [`Bells::wait`].
    pub fn count(&self) -> u32 {
        // Acquire: pairs with the SeqCst addition in `ring`.
        self.rings.load(Ordering::Acquire)
    }
}

/// A thread that watches the bells of rings, and rings the doorbell.
#[derive(Debug)]
struct Watcher {
    shared: Arc<Watch>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Watch {
    doorbell: Arc<Doorbell>,
    /// Bumped when the bells have been set: the watcher begins to wait. Also ends a wait, where it is waited
    /// on too.
    orders: AtomicU32,
    /// The orders that have been carried out: while they are not the last ones, the watcher waits.
    done: AtomicU32,
    is_over: AtomicBool,
    bells: std::sync::Mutex<Vec<Mapped>>,
}

/// Everything that the pipeline waits on.
#[derive(Debug)]
pub struct Bells {
    doorbell: Arc<Doorbell>,
    has_waitv: bool,
    watchers: Vec<Watcher>,
    waiters: Vec<Waiter>,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// A bell was rung.
    Rung,
    /// The time was up.
    Late,
}

impl Bells {
    /// Waits on `doorbell` and on rings to come.
    pub fn new(doorbell: Arc<Doorbell>) -> Self {
        let word = AtomicU32::new(0);
        let has_waitv = wait_many(&[Waiter::new(&word, 0)], Some(now_ns())) != Waited::Unsupported;
        Self { doorbell, has_waitv, watchers: Vec::new(), waiters: Vec::new() }
    }

    /// Waits until a ring's bell no longer holds `mode`, the doorbell was rung after it counted `seen`, or
    /// the monotonic clock reaches `deadline`.
    ///
    /// `rings` are those whose bell was set to `mode`. With [`bell::NAPPING`], rings beyond the first 127 are
    /// not waited on, and the doorbell is not heard: the nap is short.
    pub fn wait(&mut self, rings: &[Mapped], mode: u32, seen: u32, deadline: Option<MonoNs>) -> Wake {
        let direct = if self.has_waitv { rings.len().min(MOST_WAITERS - 1) } else { 0 };
        let (direct, rest) = rings.split_at(direct);
        if mode == bell::SLEEPING {
            self.watch(rest);
            self.doorbell.is_heard.store(true, Ordering::SeqCst);
        }
        let waited = if self.has_waitv {
            self.waiters.clear();
            self.waiters.push(Waiter::new(&self.doorbell.rings, seen));
            self.waiters.extend(direct.iter().map(|ring| Waiter::new(ring.bell(), mode)));
            wait_many(&self.waiters, deadline.map(|MonoNs(deadline)| deadline))
        } else {
            let timeout_ns = deadline.map(|deadline| deadline.since(MonoNs::now()));
            wait_one(&self.doorbell.rings, seen, timeout_ns)
        };
        self.doorbell.is_heard.store(false, Ordering::Relaxed);
        match waited {
            Waited::TimedOut => Wake::Late,
            _ => Wake::Rung,
        }
    }

    /// Lets watchers wait on `rings`.
    fn watch(&mut self, rings: &[Mapped]) {
        let each = if self.has_waitv { MOST_WAITERS - 1 } else { 1 };

        let mut used = 0;
        for group in rings.chunks(each) {
            if used == self.watchers.len() {
                self.watchers.push(Watcher::start(&self.doorbell, self.has_waitv));
            }
            if let Some(watcher) = self.watchers.get(used) {
                watcher.begin(group);
            }
            used += 1;
        }
        // A ring that is gone must not be waited on again: its memory is unmapped.
        for watcher in self.watchers.drain(used..) {
            watcher.stop();
        }
    }

    /// Makes sure that no thread waits on any ring: before one is unmapped.
    pub fn forget(&mut self) {
        for watcher in self.watchers.drain(..) {
            watcher.stop();
        }
    }
}

impl Drop for Bells {
    fn drop(&mut self) {
        self.forget();
    }
}

impl Watcher {
    fn start(doorbell: &Arc<Doorbell>, has_waitv: bool) -> Self {
        let shared = Arc::new(Watch {
            doorbell: Arc::clone(doorbell),
            orders: AtomicU32::new(0),
            done: AtomicU32::new(0),
            is_over: AtomicBool::new(false),
            bells: std::sync::Mutex::default(),
        });
        let watch = Arc::clone(&shared);
        let builder = std::thread::Builder::new().name("watch".into()).stack_size(64 * 1024);
        // Without the thread its rings are still looked at, only later.
        let thread = builder.spawn(move || watch.run(has_waitv)).ok();
        Self { shared, thread }
    }

    fn begin(&self, rings: &[Mapped]) {
        let mut bells = self.shared.lock();
        let is_same = bells.len() == rings.len()
            && bells.iter().zip(rings).all(|(one, other)| one.base() == other.base());
        if !is_same {
            bells.clear();
            bells.extend_from_slice(rings);
        }
        drop(bells);
        let orders = self.shared.orders.load(Ordering::Relaxed);
        if is_same && self.shared.done.load(Ordering::Acquire) != orders {
            // It has been waiting all the time.
            return;
        }
        self.shared.orders.fetch_add(1, Ordering::Release);
        wake(&self.shared.orders);
    }

    fn stop(self) {
        self.shared.is_over.store(true, Ordering::Release);
        // A watcher without futex_waitv waits on its ring's bell alone: that is woken too.
        let bells = self.shared.lock().clone();
        if let Some(thread) = self.thread {
            while !thread.is_finished() {
                self.shared.orders.fetch_add(1, Ordering::Release);
                wake(&self.shared.orders);
                for ring in &bells {
                    wake(ring.bell());
                }
                std::thread::yield_now();
            }
            // It does not panic; if it did, there is nothing of it to save.
            let _ = thread.join();
        }
    }
}

impl Watch {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Mapped>> {
        self.bells.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn run(&self, has_waitv: bool) {
        loop {
            let done = self.done.load(Ordering::Relaxed);
            let orders = self.orders.load(Ordering::Acquire);
            if self.is_over.load(Ordering::Acquire) {
                return;
            }
            if orders == done {
                wait_one(&self.orders, done, None);
                continue;
            }
            let bells = self.lock().clone();
            let is_rung = || bells.iter().any(|ring| ring.bell().load(Ordering::Relaxed) != bell::SLEEPING);
            if !is_rung() {
                if has_waitv {
                    let mut waiters = vec![Waiter::new(&self.orders, orders)];
                    waiters.extend(bells.iter().map(|ring| Waiter::new(ring.bell(), bell::SLEEPING)));
                    wait_many(&waiters, None);
                } else if let Some(ring) = bells.first() {
                    wait_one(ring.bell(), bell::SLEEPING, None);
                }
            }
            if self.is_over.load(Ordering::Acquire) {
                return;
            }
            if is_rung() {
                // Release: the doorbell's ring that follows is not missed by a drain thread that sees the
                // number.
                self.done.store(orders, Ordering::Release);
                self.doorbell.ring();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use wire::ring::layout::MIN_DATA_LEN;

    use super::*;
    use crate::pipeline::simulated::Sensor;

    fn rings(count: u32) -> Vec<Mapped> {
        let rings: Vec<Mapped> = (0..count).map(|pid| Sensor::new(pid, MIN_DATA_LEN).ring).collect();
        for ring in &rings {
            ring.bell().store(bell::SLEEPING, Ordering::Relaxed);
        }
        rings
    }

    fn bells(has_waitv: bool) -> Bells {
        let mut bells = Bells::new(Arc::default());
        bells.has_waitv &= has_waitv;
        bells
    }

    fn deadline(milliseconds: u64) -> Option<MonoNs> {
        Some(MonoNs::now().plus(milliseconds * 1_000_000))
    }

    /// Rings the bell of the ring at `place` after a moment, as a writer does.
    fn is_woken_by(bells: &mut Bells, rings: &[Mapped], place: usize) -> bool {
        let ring = rings[place];
        let begun = Instant::now();
        let ended = std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(30));
                ring.bell().store(bell::AWAKE, Ordering::Relaxed);
                wake(ring.bell());
            });
            bells.wait(rings, bell::SLEEPING, bells.doorbell.count(), deadline(10_000))
        });
        ring.bell().store(bell::SLEEPING, Ordering::Relaxed);
        ended == Wake::Rung && begun.elapsed() < Duration::from_secs(5)
    }

    #[test]
    fn any_of_many_rings_wakes_the_drain() {
        let rings = rings(300);
        let mut bells = bells(true);

        for place in [0, 126, 127, 253, 254, 299] {
            assert!(is_woken_by(&mut bells, &rings, place), "ring {place}");
        }
        if bells.has_waitv {
            assert_eq!(2, bells.watchers.len());
        }
    }

    #[test]
    fn rings_wake_the_drain_on_kernels_without_futex_waitv() {
        let rings = rings(4);
        let mut bells = bells(false);

        for place in [0, 3, 0] {
            assert!(is_woken_by(&mut bells, &rings, place), "ring {place}");
        }
        assert_eq!(4, bells.watchers.len());
        assert!(is_woken_by(&mut bells, &rings[..2], 1));
        assert_eq!(2, bells.watchers.len());
    }

    #[test]
    fn quiet_rings_let_the_time_pass() {
        let rings = rings(200);
        for has_waitv in [true, false] {
            let mut bells = bells(has_waitv);
            let rings = if has_waitv { &rings[..] } else { &rings[..3] };

            let seen = bells.doorbell.count();
            assert_eq!(Wake::Late, bells.wait(rings, bell::SLEEPING, seen, deadline(30)));
            assert_eq!(Wake::Late, bells.wait(rings, bell::SLEEPING, seen, deadline(30)));
        }
    }

    #[test]
    fn news_that_came_before_the_wait_end_it_at_once() {
        let mut bells = bells(true);
        let seen = bells.doorbell.count();
        bells.doorbell.ring();

        assert_eq!(Wake::Rung, bells.wait(&[], bell::SLEEPING, seen, None));
    }
}
