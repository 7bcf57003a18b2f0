//! Ids of events: unique over collectors and their restarts.
//!
//! An id is the origin, a number that a collector draws at its start, and the event's own number there:
//! `9f86d081884c7d65-1042`. Outputs that leave the machine write it, so that an event that arrives twice can
//! be told from two events.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::rand::{GetRandomFlags, getrandom};

/// The collector that numbered an event. 0 stands for none: not yet numbered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Origin(pub u64);

impl Origin {
    /// No collector.
    pub const NONE: Self = Self(0);

    /// This process.
    pub fn here() -> Self {
        static HERE: LazyLock<u64> = LazyLock::new(drawn);
        Self(*HERE)
    }
}

/// A random number that is not 0. Without the kernel's random numbers, the time and the process id.
fn drawn() -> u64 {
    let mut bytes = [0; 8];
    let filled = getrandom(&mut bytes, GetRandomFlags::empty());
    let drawn = if filled == Ok(bytes.len()) { u64::from_le_bytes(bytes) } else { 0 };
    if drawn != 0 {
        return drawn;
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let nanos = u64::try_from(now.as_nanos()).unwrap_or(1).max(1);
    nanos ^ (u64::from(std::process::id()) << 40)
}

/// Takes `count` numbers; gives the first. They begin with 1.
pub fn take(count: u64) -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // Relaxed: numbers that are taken once each, and order nothing.
    NEXT.fetch_add(count, Ordering::Relaxed)
}

/// Appends the id of the event `number` of `origin`.
pub fn write(origin: Origin, number: u64, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend((0..16).rev().map(|place| DIGITS[(origin.0 >> (4 * place)) as usize & 15]));
    out.push(b'-');
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends the id of what the rule of this name says of the same event.
pub fn write_alert(origin: Origin, number: u64, rule: &str, out: &mut Vec<u8>) {
    write(origin, number, out);
    out.extend_from_slice(format!("-{:08x}", crc32fast::hash(rule.as_bytes())).as_bytes());
}

/// Reads an id of an event back; `None` for a text that is none.
pub fn read(text: &str) -> Option<(Origin, u64)> {
    let (origin, number) = text.split_once('-')?;
    let is_origin = origin.len() == 16 && origin.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let origin = is_origin.then(|| u64::from_str_radix(origin, 16).ok()).flatten()?;
    let number = is_number.then(|| number.parse().ok()).flatten()?;
    Some((Origin(origin), number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_reads_back_as_it_is_written() {
        let mut text = Vec::new();
        write(Origin(0x9f86), 1042, &mut text);
        let text = String::from_utf8(text).unwrap();

        assert_eq!("0000000000009f86-1042", text);
        assert_eq!(Some((Origin(0x9f86), 1042)), read(&text));
        for other in [
            "",
            "-",
            "0000000000009f86",
            "0000000000009f86-",
            "9f86-1",
            "0000000000009f8g-1",
            "0000000000009f86-+1",
        ] {
            assert_eq!(None, read(other), "{other}");
        }
    }

    #[test]
    fn this_process_is_one_origin_and_gives_each_number_once() {
        let first = take(3);

        assert_eq!(Origin::here(), Origin::here());
        assert_ne!(Origin::NONE, Origin::here());
        assert!(take(1) >= first + 3);
    }

    #[test]
    fn two_rules_about_one_event_have_two_ids() {
        let id = |rule| {
            let mut text = Vec::new();
            write_alert(Origin(1), 2, rule, &mut text);
            text
        };

        assert_ne!(id("a"), id("b"));
        assert!(id("a").starts_with(b"0000000000000001-2-"));
    }
}
