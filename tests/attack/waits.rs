//! How long the collector could have run and no processor was free.
//!
//! The scheduler divides the processors, and a machine of tests is shared: that time is no work of the
//! collector's, so [`Waits::without`] takes it from what is measured. The kernel counts it for each thread
//! (`/proc/PID/task/TID/schedstat`, second number: Documentation/scheduler/sched-stats.rst).

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// What the threads of the collector have waited, looked at again and again.
#[derive(Clone, Debug, Default)]
pub struct Waits(Vec<Look>);

#[derive(Clone, Debug)]
struct Look {
    at: Instant,
    /// Each thread of the collector by its number, and all that it has waited.
    threads: Vec<(u32, Duration)>,
    /// All that the thread has waited that looks.
    watcher: Duration,
}

impl Look {
    fn of(&self, thread: u32) -> Duration {
        let found = self.threads.iter().find(|(number, _)| *number == thread);
        found.map(|(_, waited)| *waited).unwrap_or_default()
    }
}

impl Waits {
    /// Looks at the threads of a process, and at the calling one.
    pub fn look(&mut self, pid: u32) {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let threads = tasks.filter_map(|task| {
            let number = task.file_name().to_str()?.parse().ok()?;
            Some((number, waited(&task.path())?))
        });
        let threads = threads.collect();
        let watcher = waited(Path::new("/proc/thread-self")).unwrap_or_default();
        self.0.push(Look { at: Instant::now(), threads, watcher });
    }

    /// The longest that one thread of the collector waited in this time, and the watcher's part. Threads work
    /// beside each other, so their waits are not added.
    fn between(&self, from: Instant, to: Instant) -> Duration {
        let before = self.0.partition_point(|look| look.at <= from).saturating_sub(1);
        let after = self.0.partition_point(|look| look.at < to).min(self.0.len().saturating_sub(1));
        let (Some(before), Some(after)) = (self.0.get(before), self.0.get(after)) else {
            return Duration::ZERO;
        };
        let threads = after.threads.iter();
        let waits = threads.map(|(number, waited)| waited.saturating_sub(before.of(*number)));
        waits.max().unwrap_or_default() + after.watcher.saturating_sub(before.watcher)
    }

    /// The longest of these times, each without what was waited in it.
    pub fn without(&self, times: impl IntoIterator<Item = (Instant, Instant)>) -> Duration {
        let net = |(from, to): (Instant, Instant)| {
            to.saturating_duration_since(from).saturating_sub(self.between(from, to))
        };
        times.into_iter().map(net).max().unwrap_or_default()
    }

    /// The longest that one thread of the collector waited in all.
    pub fn in_all(&self) -> Duration {
        let threads = self.0.iter().flat_map(|look| look.threads.iter());
        threads.map(|(_, waited)| *waited).max().unwrap_or_default()
    }
}

/// What a thread has waited; `None` where it is gone.
fn waited(folder: &Path) -> Option<Duration> {
    let text = fs::read_to_string(folder.join("schedstat")).ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn look(at: Instant, threads: &[(u32, u64)], watcher: u64) -> Look {
        let of_thread = |(number, seconds): &(u32, u64)| (*number, Duration::from_secs(*seconds));
        let threads = threads.iter().map(of_thread).collect();
        Look { at, threads, watcher: Duration::from_secs(watcher) }
    }

    #[test]
    fn the_longest_wait_of_a_thread_is_taken_from_a_time() {
        let start = Instant::now();
        let waits = Waits(vec![
            look(start, &[(7, 10)], 1),
            look(start + SECOND * 5, &[(7, 12), (8, 1)], 1),
            look(start + SECOND * 9, &[(7, 12), (8, 4)], 2),
        ]);

        assert_eq!(SECOND * 3, waits.without([(start, start + SECOND * 5)]));
        assert_eq!(SECOND * 4, waits.without([(start, start + SECOND * 9)]));
        assert_eq!(SECOND * 12, waits.in_all());
    }

    #[test]
    fn a_time_without_waits_stays_and_none_is_below_zero() {
        let start = Instant::now();
        let waits = Waits(vec![look(start, &[(7, 0)], 0), look(start + SECOND, &[(7, 9)], 0)]);

        assert_eq!(Duration::ZERO, waits.without([(start, start + SECOND)]));
        assert_eq!(SECOND, Waits::default().without([(start, start + SECOND)]));
    }

    #[test]
    fn the_kernel_counts_what_a_thread_waits() {
        let mut waits = Waits::default();
        // SAFETY: takes nothing.
        let here = unsafe { libc::sched_getcpu() } as usize;
        let is_over = Arc::new(AtomicBool::new(false));
        let work = move |is_over: Arc<AtomicBool>| {
            // SAFETY: the set is a local one, of the length that is said, and holds one processor.
            unsafe {
                let mut one: libc::cpu_set_t = std::mem::zeroed();
                libc::CPU_SET(here, &mut one);
                assert_eq!(0, libc::sched_setaffinity(0, size_of_val(&one), &one));
            }
            while !is_over.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        };
        let begun = Instant::now();
        waits.look(std::process::id());

        // Two on one processor: each waits half of the time.
        let threads = [(); 2].map(|()| {
            let is_over = Arc::clone(&is_over);
            std::thread::spawn(move || work(is_over))
        });
        std::thread::sleep(SECOND / 5);
        waits.look(std::process::id());
        is_over.store(true, Ordering::Relaxed);
        let waited = waits.between(begun, Instant::now());
        threads.into_iter().for_each(|thread| thread.join().unwrap());

        assert!(waited >= SECOND / 40, "{waited:?}");
    }
}
