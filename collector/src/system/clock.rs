//! Converts times from the sensors' stamps (CLOCK_MONOTONIC) to those in events (RFC 3339, UTC).

use rustix::time::{ClockId, clock_gettime};

/// The offset between the monotonic clock and UTC.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    offset_ns: i64,
}

/// Nanoseconds of CLOCK_MONOTONIC.
pub fn now_ns() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

/// Nanoseconds of UTC since 1970.
pub fn utc_now_ns() -> u64 {
    nanoseconds(ClockId::Realtime)
}

/// Nanoseconds of processor time that this process has used.
pub fn processor_time_ns() -> u64 {
    nanoseconds(ClockId::ProcessCPUTime)
}

/// The same of the calling thread.
pub fn thread_time_ns() -> u64 {
    nanoseconds(ClockId::ThreadCPUTime)
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // Neither clock is ever negative on a machine whose date is after 1970.
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

/// A process loses the processor for less, as a rule, between looking at one clock and at the other.
const APART_NS: u64 = 100_000_000;

/// How far a clock is ahead of this process's CLOCK_MONOTONIC, which showed `monotonic_ns` at the moment
/// `utc_ns`; 0 for one that goes as this process's. Wrong where UTC was set since then.
pub fn ahead_of_ours(monotonic_ns: u64, utc_ns: u64) -> i64 {
    let ours = Clock::sample().offset_ns;
    let ahead = ours.wrapping_sub(utc_ns.wrapping_sub(monotonic_ns).cast_signed());
    if ahead.unsigned_abs() < APART_NS { 0 } else { ahead }
}

/// The least step of UTC that is followed; a smaller one is ignored, so that times stay in order while ntpd
/// slews.
const STEP_NS: u64 = 10_000_000;

impl Clock {
    /// Reads both clocks.
    pub fn sample() -> Self {
        // UTC is read between two readings of the monotonic clock; the closer these are, the smaller the
        // error.
        let best = (0..5)
            .map(|_| {
                let before = now_ns();
                let utc = nanoseconds(ClockId::Realtime);
                let after = now_ns();
                (after.wrapping_sub(before), utc.wrapping_sub(before.midpoint(after)).cast_signed())
            })
            .min();
        Self { offset_ns: best.map_or(0, |(_, offset)| offset) }
    }

    /// Takes the offset anew if UTC was set by more than [`STEP_NS`].
    pub fn follow(&mut self) {
        let fresh = Self::sample();
        if fresh.offset_ns.abs_diff(self.offset_ns) > STEP_NS {
            *self = fresh;
        }
    }

    /// Nanoseconds since 1970 for a monotonic time.
    pub fn utc_ns(&self, monotonic_ns: u64) -> u64 {
        monotonic_ns.wrapping_add_signed(self.offset_ns)
    }
}

/// Writes times; remembers the text of the last second, because the next event is mostly of the same one.
#[derive(Debug)]
pub struct TimeWriter {
    second: u64,
    text: [u8; 30],
}

impl Default for TimeWriter {
    fn default() -> Self {
        Self { second: u64::MAX, text: *b"0000-00-00T00:00:00.000000000Z" }
    }
}

impl TimeWriter {
    /// The 30 bytes of RFC 3339 with nanoseconds.
    pub fn utc(&mut self, time_ns: u64) -> &[u8; 30] {
        let second = time_ns / 1_000_000_000;
        if second != self.second {
            self.second = second;
            let (days, of_day) = (second / 86400, second % 86400);
            let (year, month, day) = civil(days);
            digits(&mut self.text[0..4], year);
            digits(&mut self.text[5..7], month);
            digits(&mut self.text[8..10], day);
            digits(&mut self.text[11..13], of_day / 3600);
            digits(&mut self.text[14..16], of_day / 60 % 60);
            digits(&mut self.text[17..19], of_day % 60);
        }
        digits(&mut self.text[20..29], time_ns % 1_000_000_000);
        &self.text
    }
}

fn digits(into: &mut [u8], mut value: u64) {
    for place in into.iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// The date of a day counted from 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_with_nanoseconds() {
        let mut writer = TimeWriter::default();
        let mut utc = |time_ns| String::from_utf8(writer.utc(time_ns).to_vec()).unwrap();

        assert_eq!("1970-01-01T00:00:00.000000000Z", utc(0));
        assert_eq!("2000-02-29T23:59:59.999999999Z", utc(951_868_799_999_999_999));
        assert_eq!("2023-11-14T22:13:20.000000001Z", utc(1_700_000_000_000_000_001));
        assert_eq!("2023-11-14T22:13:20.123456789Z", utc(1_700_000_000_123_456_789));
        assert_eq!("2100-03-01T00:00:00.000000000Z", utc(4_107_542_400_000_000_000));
    }

    #[test]
    fn offset_leads_from_one_clock_to_the_other() {
        let clock = Clock::sample();

        let utc = clock.utc_ns(now_ns());
        let now = nanoseconds(ClockId::Realtime);

        assert!(now.abs_diff(utc) < 50_000_000, "{now} {utc}");
    }
}
