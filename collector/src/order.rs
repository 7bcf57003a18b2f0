//! Puts records in order: of one image by their numbers, of all images by their times.
//!
//! Each image has a [`Queue`]; the drain thread fills them from the rings and takes out what is due, always the
//! earliest over all queues. A queue is in the order of the sequence numbers, which several threads of a program may
//! write to the ring slightly out of order. A number that is missing is waited for, since its record may be on its way:
//! a little ([`LOST_NS`]) if the process counted a loss that is not accounted for, and longer ([`LATE_NS`]) if it did
//! not, for then its thread has most likely lost the processor between taking the number and the record's place.

use std::collections::VecDeque;

use wire::record::{Flags, Head};

/// How long a record is held back for the sake of one with an earlier number that probably was lost.
pub const LOST_NS: u64 = 3_000_000;
/// The same for one that probably was not.
pub const LATE_NS: u64 = 60_000_000;

#[derive(Clone, Copy, Debug)]
struct Entry {
    head: Head,
    /// Where its payload begins, counted from the first payload ever.
    at: u64,
    len: u32,
}

/// Records of one image that were read and are not yet due.
#[derive(Debug, Default)]
pub struct Queue {
    entries: VecDeque<Entry>,
    bytes: Vec<u8>,
    /// How many bytes were thrown away before `bytes`.
    base: u64,
    next_seq: Option<u64>,
    last_ns: u64,
    /// Numbers that were passed over and have not come since.
    skipped: u64,
    /// Records that the process lost, as far as it says.
    lost: u64,
}

impl Queue {
    /// How many records wait.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a record with this head could go straight on: nothing waits, and it has the number that is next.
    #[inline]
    pub fn is_next(&self, head: &Head) -> bool {
        self.entries.is_empty()
            && (head.flags & Flags::STAMPED == 0 || self.next_seq.unwrap_or(head.seq) == head.seq)
    }

    /// Notes that a record goes on. Gives its time, never earlier than that of the one before it.
    #[inline]
    pub fn pass(&mut self, head: &Head) -> u64 {
        if head.flags & Flags::STAMPED != 0 {
            let next = self.next_seq.unwrap_or(head.seq);
            match head.seq.checked_sub(next) {
                Some(missing) => {
                    self.skipped = self.skipped.saturating_add(missing);
                    self.next_seq = Some(head.seq.wrapping_add(1));
                }
                None => self.skipped = self.skipped.saturating_sub(1),
            }
        }
        self.last_ns = self.last_ns.max(head.time_ns);
        self.last_ns
    }

    /// Says that numbers begin at 0: a missing first record is a gap then.
    pub fn begins(&mut self) {
        self.next_seq = Some(0);
    }

    /// Says how many of its records the process counts as lost: a gap that this does not explain is waited for longer.
    pub fn set_lost(&mut self, lost: u64) {
        self.lost = lost;
    }

    /// Adds a record at the place that its number gives it. One without a number stays behind what was read before.
    pub fn push(&mut self, head: Head, payload: &[u8]) {
        let entry = Entry { head, at: self.base + self.bytes.len() as u64, len: payload.len() as u32 };
        self.bytes.extend_from_slice(payload);
        let mut place = self.entries.len();
        if head.flags & Flags::STAMPED != 0 {
            for (index, earlier) in self.entries.iter().enumerate().rev() {
                if earlier.head.flags & Flags::STAMPED != 0 {
                    if earlier.head.seq <= head.seq {
                        break;
                    }
                    place = index;
                }
            }
        }
        if place == self.entries.len() {
            self.entries.push_back(entry);
        } else {
            self.entries.insert(place, entry);
        }
    }

    /// The time of the first record.
    #[inline]
    pub fn first_ns(&self) -> Option<u64> {
        Some(self.last_ns.max(self.entries.front()?.head.time_ns))
    }

    /// Until when the first record waits for one with an earlier number; `None` where none is missing.
    #[inline]
    pub fn waits_until_ns(&self) -> Option<u64> {
        let head = &self.entries.front()?.head;
        let is_gap = head.flags & Flags::STAMPED != 0 && self.next_seq.is_some_and(|next| head.seq > next);
        let wait_ns = if self.lost > self.skipped { LOST_NS } else { LATE_NS };
        is_gap.then(|| self.last_ns.max(head.time_ns).saturating_add(wait_ns))
    }

    /// Takes the first record out: its payload into `payload`; gives its head and its time.
    pub fn pop(&mut self, payload: &mut Vec<u8>) -> Option<(Head, u64)> {
        let entry = self.entries.pop_front()?;
        let time_ns = self.pass(&entry.head);
        let at = (entry.at - self.base) as usize;
        payload.clear();
        payload.extend_from_slice(&self.bytes[at..at + entry.len as usize]);
        if self.entries.is_empty() {
            self.base += self.bytes.len() as u64;
            self.bytes.clear();
            // A burst is over; what it took is not kept for ever.
            self.bytes.shrink_to(1 << 16);
        } else if at > self.bytes.len() / 2 && at > 1 << 12 {
            // Entries may stand out of the order of their bytes: what is thrown away is before all that are left.
            let first = self.entries.iter().map(|entry| entry.at).min().unwrap_or(self.base);
            let done = (first - self.base) as usize;
            self.bytes.drain(..done);
            self.base = first;
        }
        Some((entry.head, time_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(seq: u64, time_ns: u64) -> Head {
        Head {
            time_ns,
            seq,
            ret: 0,
            pid: 1,
            tid: 1,
            kind: 20,
            call: 0,
            errno: 0,
            via: 0,
            flags: Flags::STAMPED,
        }
    }

    fn unstamped(time_ns: u64) -> Head {
        Head { flags: 0, ..head(99, time_ns) }
    }

    fn all(queue: &mut Queue) -> Vec<(Option<u64>, String)> {
        let mut payload = Vec::new();
        std::iter::from_fn(|| {
            let (head, _) = queue.pop(&mut payload)?;
            let seq = (head.flags & Flags::STAMPED != 0).then_some(head.seq);
            Some((seq, String::from_utf8(payload.clone()).unwrap()))
        })
        .collect()
    }

    #[test]
    fn records_come_out_by_their_numbers_with_their_payloads() {
        let mut queue = Queue::default();
        queue.begins();
        for (seq, time, payload) in [(0, 10, "a"), (3, 40, "ddd"), (2, 50, "cc"), (1, 60, "b"), (4, 70, "e")]
        {
            queue.push(head(seq, time), payload.as_bytes());
        }

        let expected = [(0, "a"), (1, "b"), (2, "cc"), (3, "ddd"), (4, "e")];
        assert_eq!(expected.map(|(seq, text)| (Some(seq), text.to_owned())).to_vec(), all(&mut queue));
    }

    #[test]
    fn record_without_number_stays_behind_what_was_read_before_it() {
        let mut queue = Queue::default();
        queue.push(head(0, 10), b"a");
        queue.push(unstamped(20), b"u");
        queue.push(head(1, 30), b"b");

        let seqs: Vec<Option<u64>> = all(&mut queue).into_iter().map(|(seq, _)| seq).collect();

        assert_eq!(vec![Some(0), None, Some(1)], seqs);
    }

    #[test]
    fn missing_number_delays_what_follows_and_times_never_go_back() {
        let mut queue = Queue::default();
        queue.begins();
        queue.push(head(1, 100), b"b");

        assert_eq!((Some(100), Some(100 + LATE_NS)), (queue.first_ns(), queue.waits_until_ns()));
        queue.set_lost(1);
        assert_eq!(Some(100 + LOST_NS), queue.waits_until_ns());
        queue.push(head(0, 150), b"a");
        assert_eq!((Some(150), None), (queue.first_ns(), queue.waits_until_ns()));
        let mut payload = Vec::new();
        assert_eq!(150, queue.pop(&mut payload).unwrap().1);
        assert_eq!(Some(150), queue.first_ns());
        assert_eq!(150, queue.pop(&mut payload).unwrap().1);
    }

    #[test]
    fn payloads_stay_right_while_old_bytes_are_thrown_away() {
        let mut queue = Queue::default();
        let mut payload = Vec::new();
        let mut popped = 0;
        for seq in 0..5000_u64 {
            // Every second pair is written the wrong way round.
            let number = if seq % 4 >= 2 { seq ^ 1 } else { seq };
            queue.push(head(number, number), &number.to_le_bytes().repeat(5));
            if seq % 3 > 0 && queue.waits_until_ns().is_none() && queue.first_ns() == Some(popped) {
                queue.pop(&mut payload).unwrap();
                assert_eq!(popped.to_le_bytes().repeat(5), payload);
                popped += 1;
            }
        }
        while queue.pop(&mut payload).is_some() {
            assert_eq!(popped.to_le_bytes().repeat(5), payload);
            popped += 1;
        }
        assert_eq!(5000, popped);
    }
}
