//! Reads the collector's output while it grows, and the collector's memory.
//!
//! An attack may fill the output with gigabytes, so only lines with [`MARK`] are looked at: the bystander's
//! opens, and the starts of fresh programs.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::waits::Waits;

/// In the names of the bystander and of its file, and in the argument of fresh programs.
pub const MARK: &str = "GBXKIT-";
/// The bystander.
pub const PROGRAM: &str = "GBXKIT-PROGRAM";
/// The bystander's file.
pub const FILE: &str = "GBXKIT-BYSTANDER";
/// Before the number of a fresh program.
pub const FRESH: &str = "GBXKIT-FRESH-";

/// The output and the memory are looked at so often.
const LOOK: Duration = Duration::from_millis(10);
/// Bytes of the output that are read at once.
const CHUNK: usize = 1 << 22;

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Opens of the bystander.
    pub opens: u64,
    /// When each open was made, and when its line was there.
    pub lags: Vec<(Instant, Instant)>,
    /// Longest time without an open, between the first and the last.
    pub silence: Duration,
    /// When the last open was seen.
    pub last: Option<Instant>,
    /// The fresh programs that were seen: number, and when.
    pub fresh: Vec<(usize, Instant)>,
    /// What is told of events that the bystander lost: how many, and why.
    pub losses: Vec<String>,
    /// Largest resident set of the collector, MiB.
    pub rss_mib: u64,
    /// What the collector waited for a processor.
    pub waits: Waits,
}

/// The thread that watches.
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches `output` and the process `pid`.
    pub fn start(output: &Path, pid: u32) -> Watch {
        let (seen, is_over) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let (of_thread, ends) = (Arc::clone(&seen), Arc::clone(&is_over));
        let output = output.to_path_buf();
        let thread = std::thread::spawn(move || watch(output, pid, &of_thread, &ends));
        Watch { seen, is_over, thread: Some(thread) }
    }

    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        self.seen.lock().map(|seen| seen.clone()).unwrap_or_default()
    }

    /// Reads to the end of the output as it is, and stops.
    pub fn finish(mut self) -> Seen {
        self.is_over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.seen()
    }
}

fn watch(output: PathBuf, pid: u32, seen: &Mutex<Seen>, is_over: &AtomicBool) {
    let mut file = File::open(&output).unwrap_or_else(|error| panic!("{}: {error}", output.display()));
    let (mut chunk, mut rest, mut waits) = (vec![0; CHUNK], Vec::new(), Waits::default());
    loop {
        let is_last = is_over.load(Ordering::SeqCst);
        let rss = largest_rss(pid);
        waits.look(pid);
        let mut is_idle = true;
        loop {
            let len = file.read(&mut chunk).unwrap_or(0);
            let Some(bytes) = chunk.get(..len).filter(|bytes| !bytes.is_empty()) else { break };
            is_idle = len < CHUNK;
            rest.extend_from_slice(bytes);
            let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            if let Ok(mut seen) = seen.lock() {
                seen.take_in(&rest[..whole]);
            }
            rest.drain(..whole);
            if is_idle {
                break;
            }
        }
        if let Ok(mut seen) = seen.lock() {
            seen.rss_mib = seen.rss_mib.max(rss);
        }
        if is_last {
            waits.look(pid);
            if let Ok(mut seen) = seen.lock() {
                seen.waits = waits;
            }
            return;
        }
        if is_idle {
            std::thread::sleep(LOOK);
        }
    }
}

/// The peak of the resident set as the kernel keeps it, MiB; 0 for a process that ended.
fn largest_rss(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) >> 10
}

impl Seen {
    fn take_in(&mut self, lines: &[u8]) {
        let mut at = 0;
        while let Some(found) = find(&lines[at..], MARK) {
            let mark = at + found;
            let start = lines[..mark].iter().rposition(|byte| *byte == b'\n').map_or(0, |before| before + 1);
            let end =
                lines[mark..].iter().position(|byte| *byte == b'\n').map_or(lines.len(), |len| mark + len);
            self.take(&lines[start..end]);
            at = end;
        }
    }

    fn take(&mut self, line: &[u8]) {
        let now = Instant::now();
        if find(line, "\"event\":\"file.open\"").is_some() && find(line, FILE).is_some() {
            self.opens += 1;
            self.lags.push((now.checked_sub(age(line)).unwrap_or(now), now));
            if let Some(last) = self.last {
                self.silence = self.silence.max(now - last);
            }
            self.last = Some(now);
        } else if find(line, "\"event\":\"process.start\"").is_some()
            && let Some(at) = find(line, FRESH)
        {
            let digits = line[at + FRESH.len()..].iter().take_while(|byte| byte.is_ascii_digit());
            let number = digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
            self.fresh.push((number, now));
        } else if let Some(at) = find(line, "\"count\":")
            && find(line, "\"event\":\"sensor.loss\"").is_some()
            && find(line, PROGRAM).is_some()
        {
            let rest = String::from_utf8_lossy(line.get(at..).unwrap_or_default());
            self.losses.push(rest.replace(['"', '{', '}'], ""));
        }
    }
}

/// The place of a string in bytes.
fn find(bytes: &[u8], what: &str) -> Option<usize> {
    // SAFETY: both ranges are valid for their lengths.
    let found = unsafe { libc::memmem(bytes.as_ptr().cast(), bytes.len(), what.as_ptr().cast(), what.len()) };
    (!found.is_null()).then(|| found as usize - bytes.as_ptr() as usize)
}

/// The time since that of an event's line: `{"time":"2026-11-28T23:03:35.381407421Z",…`.
fn age(line: &[u8]) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let field = |range: std::ops::Range<usize>| -> Option<i64> {
        std::str::from_utf8(line.get(range)?).ok()?.parse().ok()
    };
    let time = (|| {
        let (year, month, day) = (field(9..13)?, field(14..16)?, field(17..19)?);
        let seconds = field(20..22)? * 3600 + field(23..25)? * 60 + field(26..28)?;
        let nanoseconds = field(29..38)?;
        let days = days_since_1970(year, month, day);
        u64::try_from(days * 86_400 + seconds).ok().map(|s| Duration::new(s, nanoseconds as u32))
    })();
    time.map_or(Duration::ZERO, |time| now.saturating_sub(time))
}

/// Days of the proleptic Gregorian calendar (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// days_from_civil).
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_as_the_calendar_does() {
        assert_eq!(0, days_since_1970(1970, 1, 1));
        assert_eq!(11_016, days_since_1970(2000, 2, 29));
        assert_eq!(20_785, days_since_1970(2026, 11, 28));
    }

    #[test]
    fn lines_of_the_bystander_and_of_fresh_programs_are_counted() {
        let mut seen = Seen::default();

        seen.take_in(
            b"{\"event\":\"file.open\",\"path\":\"/x\"}\n\
              {\"time\":\"2026-11-28T23:03:35.381407421Z\",\"event\":\"file.open\",\"path\":\"/t/GBXKIT-BYSTANDER\"}\n\
              {\"event\":\"file.close\",\"path\":\"/t/GBXKIT-BYSTANDER\"}\n\
              {\"event\":\"process.start\",\"argv\":[\"true\",\"GBXKIT-FRESH-12\"]}\n",
        );

        assert_eq!((1, 1, 12), (seen.opens, seen.fresh.len(), seen.fresh[0].0));
    }
}
