//! The time of day where the user is.

#![allow(unsafe_code, reason = "the C library's own time zones")]

/// The time of day here: hours, minutes and seconds by `localtime_r(3)`, which asks TZ and /etc/localtime.
pub fn local_time_of_day(time_ns: u64) -> [u64; 3] {
    let seconds = (time_ns / 1_000_000_000) as libc::time_t;
    let mut broken_down = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to locals of the types that the function wants. It fills the second, or
    // leaves it as it is, zero, which is a value of that type too.
    let time = unsafe {
        libc::localtime_r(&seconds, broken_down.as_mut_ptr());
        broken_down.assume_init()
    };
    [time.tm_hour, time.tm_min, time.tm_sec].map(|part| u64::try_from(part).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_of_this_place_differ_from_those_of_utc_by_quarters_of_an_hour() {
        let [hour, minute, second] = local_time_of_day(1_700_000_000_000_000_000);

        // 2023-11-14T22:13:20Z.
        assert!(hour < 24 && minute % 15 == 13 && second == 20, "{hour}:{minute}:{second}");
    }
}
