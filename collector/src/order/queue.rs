//! The records of one image, in the order of their numbers.
//!
//! The threads of a program may write to the ring slightly out of order. A missing number is waited for,
//! since its record may be on its way: a little ([`LOST_NS`]) if the process counted a loss that is not
//! accounted for, and longer ([`LATE_NS`]) if it did not, for then its thread has most likely lost the
//! processor between taking the number and reserving the record's place.

use std::collections::VecDeque;

use wire::record::{Flags, Head};

use crate::allowance::Share;
use crate::arrival::Numbering;
use crate::ids::MonoNs;

/// A record is held back for so long, for one with an earlier number that probably was lost.
pub const LOST_NS: u64 = 3_000_000;
/// The same for one that probably was not.
pub const LATE_NS: u64 = 60_000_000;

#[derive(Clone, Copy, Debug)]
struct Entry {
    head: Head,
    numbering: Numbering,
    /// Where its payload begins, counted from the first payload ever.
    at: u64,
    len: u32,
}

/// A record that was taken out.
#[derive(Clone, Copy, Debug)]
pub struct Popped {
    /// Its head.
    pub head: Head,
    /// How its origin numbers events.
    pub numbering: Numbering,
    /// Its time, never earlier than that of the record before it.
    pub at: MonoNs,
}

/// Records of one image that were read and are not yet due.
#[derive(Debug, Default)]
pub struct Queue {
    entries: VecDeque<Entry>,
    bytes: Vec<u8>,
    /// How many of these belong to records that wait.
    live: usize,
    /// How many bytes were thrown away before `bytes`.
    base: u64,
    next_seq: Option<u64>,
    last: MonoNs,
    /// Numbers that were passed over and have not come since.
    skipped: u64,
    /// Records that the process lost, as far as it says.
    lost: u64,
    /// The bytes of the records that wait.
    share: Share,
    /// Entries that were stepped over since the last pass, to find the places of later ones.
    steps: usize,
}

/// Entries that are stepped over between two passes: a thread that lost the processor comes some thousands
/// late, numbers that descend would make each record dearer than the one before.
const MOST_STEPS: usize = 1 << 20;
/// Bytes of records that are gone and stay between others.
const MOST_GAPS: usize = 1 << 16;
/// Bytes of an entry beside its payload: the entries' memory grows by doubling.
const ENTRY_BYTES: usize = 2 * size_of::<Entry>();
/// Places for entries that a queue keeps when it is empty.
const KEPT_ENTRIES: usize = (1 << 16) / ENTRY_BYTES;

impl Queue {
    /// An empty queue, whose records' bytes come out of `share`.
    pub fn new(share: Share) -> Self {
        Self { share, ..Self::default() }
    }

    /// How many records wait.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The bytes that they take.
    pub fn size_bytes(&self) -> usize {
        self.share.held()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a record with this head could go straight on: nothing waits, and it has the number that is
    /// next.
    #[inline]
    pub fn is_next(&self, head: &Head) -> bool {
        self.entries.is_empty()
            && (head.flags & Flags::STAMPED == 0 || self.next_seq.unwrap_or(head.seq) == head.seq)
    }

    /// Notes that a record goes on. Gives its time, never earlier than that of the one before it.
    #[inline]
    pub fn pass(&mut self, head: &Head) -> MonoNs {
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
        self.last = self.last.max(MonoNs(head.time_ns));
        self.last
    }

    /// Says that numbers begin at 0: a missing first record is a gap then.
    pub fn begins(&mut self) {
        self.next_seq = Some(0);
    }

    /// Begins a pass: the steps are counted anew.
    pub fn begin_pass(&mut self) {
        self.steps = 0;
    }

    /// Says how many of its records the process counts as lost: a gap that this does not explain is waited
    /// for longer.
    pub fn set_lost(&mut self, lost: u64) {
        self.lost = lost;
    }

    /// Adds a record at its place: among the records of its ring by its number, among those of other origins
    /// by its time. A ring's record without a number stays behind the ring's records that were read before.
    ///
    /// False where there are no bytes for it, or the search for its place took too long.
    pub fn push(&mut self, head: Head, numbering: Numbering, payload: &[u8]) -> bool {
        if self.steps > MOST_STEPS || !self.share.grow(ENTRY_BYTES + payload.len()) {
            return false;
        }
        self.make_room(payload.len());
        let entry =
            Entry { head, numbering, at: self.base + self.bytes.len() as u64, len: payload.len() as u32 };
        self.bytes.extend_from_slice(payload);
        self.live += payload.len();
        let is_numbered = |head: &Head| head.flags & Flags::STAMPED != 0;
        let mut place = self.entries.len();
        for (index, earlier) in self.entries.iter().enumerate().rev() {
            self.steps += 1;
            if numbering == Numbering::None || earlier.numbering == Numbering::None {
                if earlier.head.time_ns <= head.time_ns {
                    break;
                }
                place = index;
            } else if !is_numbered(&head) {
                break;
            } else if is_numbered(&earlier.head) {
                if earlier.head.seq <= head.seq {
                    break;
                }
                place = index;
            }
        }
        if place == self.entries.len() {
            self.entries.push_back(entry);
        } else {
            self.entries.insert(place, entry);
        }
        true
    }

    /// Makes room for a record of `more` bytes: by closing the gaps of records that are gone, where they take
    /// much, and else by no more than a quarter.
    fn make_room(&mut self, more: usize) {
        if self.bytes.len() > self.live + self.live / 4 + MOST_GAPS {
            let mut bytes = Vec::with_capacity(self.live + more);
            for entry in &mut self.entries {
                let at = (entry.at - self.base) as usize;
                let payload = self.bytes.get(at..at + entry.len as usize).unwrap_or_default();
                entry.at = bytes.len() as u64;
                bytes.extend_from_slice(payload);
            }
            (self.bytes, self.base) = (bytes, 0);
        }
        if self.bytes.capacity() - self.bytes.len() < more {
            self.bytes.reserve_exact(more.max(self.bytes.len() / 4).max(1 << 12));
        }
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact((self.entries.len() / 4).max((1 << 12) / ENTRY_BYTES));
        }
    }

    /// The head of the first record.
    #[inline]
    pub fn peek(&self) -> Option<&Head> {
        self.entries.front().map(|entry| &entry.head)
    }

    /// The time of the first record, never earlier than that of the one before it.
    #[inline]
    pub fn first(&self) -> Option<MonoNs> {
        Some(self.last.max(MonoNs(self.peek()?.time_ns)))
    }

    /// Until when the first record waits for one with an earlier number; `None` where none is missing.
    #[inline]
    pub fn waits_until(&self) -> Option<MonoNs> {
        let head = &self.entries.front()?.head;
        let is_gap = head.flags & Flags::STAMPED != 0 && self.next_seq.is_some_and(|next| head.seq > next);
        let wait_ns = if self.lost > self.skipped { LOST_NS } else { LATE_NS };
        is_gap.then(|| self.last.max(MonoNs(head.time_ns)).plus(wait_ns))
    }

    /// Takes the first record out: its payload into `payload`.
    pub fn pop(&mut self, payload: &mut Vec<u8>) -> Option<Popped> {
        let entry = self.entries.pop_front()?;
        self.share.shrink(ENTRY_BYTES + entry.len as usize);
        self.live -= entry.len as usize;
        let at_time = self.pass(&entry.head);
        let at = (entry.at - self.base) as usize;
        payload.clear();
        payload.extend_from_slice(&self.bytes[at..at + entry.len as usize]);
        if self.entries.is_empty() {
            self.base += self.bytes.len() as u64;
            self.bytes.clear();
            // A burst is over; what it took is not kept for ever.
            self.bytes.shrink_to(1 << 16);
            self.entries.shrink_to(KEPT_ENTRIES);
        }
        Some(Popped { head: entry.head, numbering: entry.numbering, at: at_time })
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
            let Popped { head, .. } = queue.pop(&mut payload)?;
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
            queue.push(head(seq, time), Numbering::PerImage, payload.as_bytes());
        }

        let expected = [(0, "a"), (1, "b"), (2, "cc"), (3, "ddd"), (4, "e")];
        assert_eq!(expected.map(|(seq, text)| (Some(seq), text.to_owned())).to_vec(), all(&mut queue));
    }

    #[test]
    fn record_without_number_stays_behind_what_was_read_before_it() {
        let mut queue = Queue::default();
        queue.push(head(0, 10), Numbering::PerImage, b"a");
        queue.push(unstamped(20), Numbering::PerImage, b"u");
        queue.push(head(1, 30), Numbering::PerImage, b"b");

        let seqs: Vec<Option<u64>> = all(&mut queue).into_iter().map(|(seq, _)| seq).collect();

        assert_eq!(vec![Some(0), None, Some(1)], seqs);
    }

    #[test]
    fn missing_number_delays_what_follows_and_times_never_go_back() {
        let mut queue = Queue::default();
        queue.begins();
        queue.push(head(1, 100), Numbering::PerImage, b"b");

        assert_eq!((Some(MonoNs(100)), Some(MonoNs(100 + LATE_NS))), (queue.first(), queue.waits_until()));
        queue.set_lost(1);
        assert_eq!(Some(MonoNs(100 + LOST_NS)), queue.waits_until());
        queue.push(head(0, 150), Numbering::PerImage, b"a");
        assert_eq!((Some(MonoNs(150)), None), (queue.first(), queue.waits_until()));
        let mut payload = Vec::new();
        assert_eq!(MonoNs(150), queue.pop(&mut payload).unwrap().at);
        assert_eq!(Some(MonoNs(150)), queue.first());
        assert_eq!(MonoNs(150), queue.pop(&mut payload).unwrap().at);
    }

    #[test]
    fn payloads_stay_right_while_old_bytes_are_thrown_away() {
        let mut queue = Queue::default();
        let mut payload = Vec::new();
        let mut popped = 0;
        for seq in 0..5000_u64 {
            // Every second pair is written the wrong way round.
            let number = if seq % 4 >= 2 { seq ^ 1 } else { seq };
            queue.push(head(number, number), Numbering::PerImage, &number.to_le_bytes().repeat(5));
            if seq % 3 > 0 && queue.waits_until().is_none() && queue.first() == Some(MonoNs(popped)) {
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

    #[test]
    fn queue_takes_little_more_memory_than_its_records_and_gives_a_bursts_back() {
        let mut queue = Queue::default();
        let taken = |queue: &Queue| queue.bytes.capacity() + queue.entries.capacity() * ENTRY_BYTES;
        for seq in 0..50_000 {
            queue.push(head(seq, seq), Numbering::PerImage, b"sixteen bytes ..");
            assert!(taken(&queue) <= queue.share.held() + queue.share.held() / 4 + (1 << 16), "{seq}");
        }

        while queue.pop(&mut Vec::new()).is_some() {}

        assert!(taken(&queue) <= 1 << 17, "{}", taken(&queue));
    }
}
