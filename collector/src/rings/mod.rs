//! The rings: reads records out of shared memory, one ring a turn.
//!
//! The pipeline calls [`Rings::read`] until a ring has no more, and decides about everything else: this
//! module knows no process, calls no other part, and gives each find as a value.

pub mod bells;
pub mod books;
pub mod clocks;
pub mod mapping;
pub mod ring;
pub mod slots;
pub mod track;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use slab::Slab;
use wire::codec;
use wire::record::Head;
use wire::ring::layout::{Mapped, Slot};
use wire::ring::{Next, Unfinished};

use crate::allowance::Account;
use crate::arrival::{Arrival, Origin};
use crate::ids::{ImageId, MonoNs, Pid, RingIndex};
use books::Books;
use ring::Ring;

/// A record's time may be later than the round that reads it, but not by more than this.
const FUTURE_NS: u64 = 50_000_000;

/// How much is read in a round: of one ring, and of all rings of one account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// As much as there is, within reason.
    #[default]
    Full,
    /// A little of each account, because an output's queue, which has room for so many bytes, is filling: the
    /// account that fills it has its ring full first, and the others lose nothing.
    Slow(u64),
}

impl Pace {
    /// Bytes of one ring, and of an account.
    fn turns(self) -> (u64, u64) {
        match self {
            Self::Full => (1 << 20, 4 << 20),
            // A round takes a millisecond at least: 16 MB/s for each account, which most outputs take.
            Self::Slow(room) => {
                let turn = (room / 8).clamp(16 << 10, 1 << 20);
                (turn, turn)
            }
        }
    }
}

/// Pages of all rings that stay in the page tables after they were read, in bytes.
const MOST_RESIDENT: u64 = 4 << 20;
/// Bytes read before the writers get their space back.
const RELEASE_BYTES: u64 = 64 * 1024;

/// A find of [`Rings::read`].
#[derive(Debug)]
pub enum Read<'b> {
    /// A record.
    Arrival(Arrival<'b>),
    /// The writers got back the space of the records read so far; there may be more records.
    Released,
    /// The turn is over: the ring is empty, or the others have their turn.
    TurnOver,
    /// A record that is reserved and not finished stands before the rest.
    Unfinished(Unfinished),
    /// The ring holds bytes that no sensor writes.
    Corrupt,
}

/// The rings that are read.
#[derive(Default)]
pub struct Rings {
    rings: Slab<Ring>,
    /// Counts rounds.
    round: u64,
    pace: Pace,
    /// The ring that a round begins with: the first that had no turn in the last one.
    first: usize,
}

impl Rings {
    /// Adds a ring.
    pub fn add(&mut self, ring: Ring) -> RingIndex {
        RingIndex(self.rings.insert(ring))
    }

    /// Forgets a ring.
    pub fn remove(&mut self, ring: RingIndex) -> Option<Ring> {
        self.rings.try_remove(ring.0)
    }

    /// The ring.
    pub fn get(&self, ring: RingIndex) -> Option<&Ring> {
        self.rings.get(ring.0)
    }

    /// The ring, to change it.
    pub fn get_mut(&mut self, ring: RingIndex) -> Option<&mut Ring> {
        self.rings.get_mut(ring.0)
    }

    /// Every ring.
    pub fn iter(&self) -> impl Iterator<Item = (RingIndex, &Ring)> {
        self.rings.iter().map(|(index, ring)| (RingIndex(index), ring))
    }

    /// The indices of all rings.
    pub fn indices(&self) -> Vec<RingIndex> {
        self.iter().map(|(index, _)| index).collect()
    }

    /// Begins a round at a pace: gives the rings in the order of their turns.
    pub fn begin_round(&mut self, pace: Pace) -> Vec<RingIndex> {
        self.round += 1;
        self.pace = pace;
        let mut indices = self.indices();
        let first = indices.partition_point(|index| index.0 < self.first);
        indices.rotate_left(first);
        self.first = 0;
        indices
    }

    /// Notes that the time since `begun` went into records of a ring. Gives the time.
    pub fn took(&self, index: RingIndex, begun: MonoNs) -> MonoNs {
        let now = MonoNs::now();
        if let Some(ring) = self.get(index) {
            ring.account().took(begun, now);
        }
        now
    }

    /// Ends the turn of a ring. True if anything was read.
    pub fn end_turn(&mut self, index: RingIndex, now: MonoNs) -> bool {
        let Some(ring) = self.get_mut(index) else { return false };
        ring.account().read(ring.turn_bytes());
        ring.end_turn(now)
    }

    /// How many rings there are.
    pub fn len(&self) -> usize {
        self.rings.len()
    }

    /// Reads the next record of a ring, copied into `into`, in the turn that [`Ring::begin_turn`] began.
    #[inline]
    pub fn read<'b>(&mut self, index: RingIndex, now: MonoNs, into: &'b mut [u8]) -> Read<'b> {
        let Some(ring) = self.rings.get_mut(index.0).filter(|ring| !ring.is_corrupt) else {
            return Read::TurnOver;
        };
        if ring.release_after(RELEASE_BYTES) {
            return Read::Released;
        }
        let (of_ring, of_account) = self.pace.turns();
        let has_turn = |ring: &Ring| match ring.turn_bytes() {
            0 => ring.account().has_turn(self.round, of_account),
            _ => !ring.account().is_out_of_time(),
        };
        if ring.turn_bytes() >= of_ring || !has_turn(ring) {
            let has_more = ring.track.reader.pending() > 0;
            ring.is_drained = !has_more;
            if has_more && self.first == 0 {
                self.first = index.0;
            }
            return Read::TurnOver;
        }
        ring.track.look_ahead();
        match ring.track.reader.next(into) {
            Next::Empty => Read::TurnOver,
            Next::Record { slot, len } => {
                let bytes: &'b [u8] = into;
                let Ok((mut head, payload)) = codec::decode::<Head>(bytes.get(..len).unwrap_or_default())
                else {
                    return Read::Corrupt;
                };
                head.time_ns = ring.our_time(slot, head.time_ns);
                // Strict seccomp forbids the clock; and only a liar's is far ahead of ours.
                if head.time_ns == 0 || head.time_ns > now.plus(FUTURE_NS).0 {
                    head.time_ns = now.0;
                }
                ring.last = MonoNs(head.time_ns);
                Read::Arrival(Arrival { origin: Origin::Ring { ring: index, slot }, head, payload })
            }
            Next::Unfinished(unfinished) => Read::Unfinished(unfinished),
            Next::Corrupt => Read::Corrupt,
        }
    }

    /// Marks a ring that holds nonsense: it is read no further. False where that was known.
    pub fn give_up(&mut self, ring: RingIndex) -> bool {
        let Some(ring) = self.rings.get_mut(ring.0).filter(|ring| !ring.is_corrupt) else { return false };
        ring.is_corrupt = true;
        ring.is_drained = true;
        true
    }

    /// The time of the earliest record that may still be unread and that others wait for, at `now`; `None`
    /// where there is no such record.
    pub fn unread_from(&self, now: MonoNs) -> Option<MonoNs> {
        self.rings.iter().filter_map(|(_, ring)| ring.holds_others_from(now)).min()
    }

    /// Whether a ring is filling that may be read as fast as it can be.
    pub fn is_filling(&self) -> bool {
        self.pace == Pace::Full && self.rings.iter().any(|(_, ring)| ring.is_filling())
    }

    /// Lets go of the pages that were read, where they are many: they count as this process's memory as long
    /// as its page tables have them.
    pub fn let_go(&mut self) {
        let resident: u64 = self.rings.iter().map(|(_, ring)| ring.resident()).sum();
        if resident > MOST_RESIDENT {
            self.rings.iter_mut().for_each(|(_, ring)| ring.let_go());
        }
    }

    /// Rings of an account with records to read, at most `most`.
    pub fn unread_of(&self, account: &Arc<Account>, most: usize) -> Vec<RingIndex> {
        let own = self.iter().filter(|(_, ring)| Arc::ptr_eq(ring.account(), account));
        own.filter(|(_, ring)| !ring.is_corrupt && ring.track.reader.pending() > 0)
            .take(most)
            .map(|(index, _)| index)
            .collect()
    }

    /// The process that `slot` belongs to, by its own number; `None` for a free slot, and while it is being
    /// taken.
    pub fn taken_by(&self, ring: RingIndex, slot: u8) -> Option<Pid> {
        let own_pid = self.get(ring)?.memory().slot(slot).pid.load(Ordering::Acquire);
        (own_pid != 0 && own_pid != Slot::CLAIMED).then_some(Pid(own_pid))
    }

    /// A copy of what a process wrote into its slot. A ring that holds nonsense is believed only where it was
    /// read before.
    pub fn books(&self, ring: RingIndex, slot: u8) -> Option<Books> {
        let ring = self.get(ring)?;
        let books = Books::of(ring.mapping(), slot);
        Some(if ring.is_corrupt { books.without_descriptors() } else { books })
    }

    /// The same without what it says of descriptors, of which there may be many.
    pub fn brief_books(&self, ring: RingIndex, slot: u8) -> Option<Books> {
        Some(Books::without_descriptors_of(self.get(ring)?.mapping(), slot))
    }

    /// Notes for the collector that may follow this one how much of an image's records every sink is done
    /// with.
    pub fn note_delivered(&self, ring: RingIndex, slot: u8, delivered: u64) {
        if let Some(ring) = self.get(ring) {
            // Relaxed: read by a collector that starts after this one's death.
            ring.memory().slot(slot).delivered.store(delivered, Ordering::Relaxed);
        }
    }

    /// Sets every bell to `mode`. `None` where there is something to read after all.
    pub fn lie_down(&mut self, mode: u32) -> Option<Vec<Mapped>> {
        let mut memories = Vec::with_capacity(self.len());
        for (_, ring) in self.rings.iter_mut().filter(|(_, ring)| !ring.is_corrupt) {
            if !ring.track.may_sleep(mode) {
                return None;
            }
            memories.push(ring.memory());
        }
        Some(memories)
    }

    /// Sets every bell to awake.
    pub fn get_up(&self) {
        self.rings.iter().for_each(|(_, ring)| ring.track.reader.wake_up());
    }

    /// Notes which image writes into a slot.
    pub fn give_slot(&mut self, ring: RingIndex, slot: u8, image: ImageId) {
        if let Some(ring) = self.get_mut(ring) {
            ring.give_slot(slot, image);
        }
    }
}
