//! The conductor: rounds, and the way of a record through the parts.

use std::net::SocketAddr;
use std::sync::Arc;

use crossbeam_channel::Receiver;
use wire::events::{Decoded, ProcessFork};
use wire::fields::Args;
use wire::record::{Flags, Head};
use wire::ring::{MAX_RECORD, Unfinished, bell};

use super::flushes::Flushes;
use super::inner::InnerCalls;
use super::naps::{Load, Naps};
use super::outbox::{Outbox, PAUSE_NS};
use super::session::SessionState;
use super::suspicions::Suspicions;
use crate::arrival::{Arrival, HOLD_NS, Numbering, Sent};
use crate::census::Census;
use crate::door::news::News;
use crate::door::wires::{Deathwatch, Reply};
use crate::enrich::Enricher;
use crate::enrich::record::Effect;
use crate::evasion::watch::Watch;
use crate::event::Asks;
use crate::ids::{ImageId, MonoNs, Pid, RingIndex, Tid};
use crate::loss::LossReason;
use crate::notify::sightings::Sightings;
use crate::order::Order;
use crate::rings::bells::{Bells, Doorbell};
use crate::rings::ring::STUCK_NS;
use crate::rings::{Pace, Read, Rings};
use crate::sinks::{Haste, Outlets};
use crate::stages::Stages;
use crate::system::pulse::Pulse;

/// Messages of origins that are no rings in one round, so that the rings have their turn.
pub(super) const MOST_SENT: usize = 4096;
/// Losses are reported and clocks compared so often.
const AUDIT_NS: u64 = 500_000_000;

/// The pipeline's connections to other threads.
pub struct Wires {
    /// Watches pidfds.
    pub deathwatch: Deathwatch,
    /// Answers the doorman.
    pub reply: Reply,
    /// News of the doorman, and of a thread beside the session.
    pub news_rx: Receiver<News>,
    /// Records of origins that are no rings.
    pub sent_rx: Receiver<Sent>,
    /// The ways of what supervisors say; they come as news.
    pub sightings: Vec<Sightings>,
    /// The kernel asks about calls of every process of the session.
    pub is_supervised: bool,
    /// Looks at processes for evasion; `None` where nothing does.
    pub watch: Option<Watch>,
    /// Rung for all of these.
    pub doorbell: Arc<Doorbell>,
    /// Tells that the pipeline's thread gets on.
    pub pulse: Arc<Pulse>,
}

/// See [`crate::pipeline`].
pub struct Pipeline {
    pub(super) rings: Rings,
    pub(super) census: Census,
    pub(super) order: Order,
    pub(super) enricher: Enricher,
    pub(super) outbox: Outbox,
    pub(super) flushes: Flushes,
    pub(super) wires: Wires,
    pub(super) session: SessionState,
    /// Evidence of evasion whose turn has not come.
    pub(super) suspicions: Suspicions,
    /// Calls of libc's whose turn has not come.
    pub(super) inner: InnerCalls,
    /// Records may come from elsewhere than rings.
    pub(super) has_other_origins: bool,
    /// What supervisors said is being taken in.
    pub(super) is_taking: bool,
    /// A record as it stands in its ring, and a payload that waited in the order.
    record: Vec<u8>,
    pub(super) payload: Vec<u8>,
    /// Records wait, so that those still in a ring are read first.
    pub(super) postpones: bool,
    audited: MonoNs,
    /// When the present round began.
    begun: MonoNs,
    /// Rings that turned out to hold nonsense, to be given up between two records.
    pub(super) nonsense: Vec<RingIndex>,
}

/// The result of a round.
#[derive(Clone, Copy, Debug, Default)]
pub struct Round {
    /// Records were read.
    pub has_read: bool,
    /// A ring still holds more, or more is due.
    pub has_more: bool,
}

impl Pipeline {
    /// A pipeline to `outlets`. A program that connects to `requests_from` is ready to serve requests.
    pub fn new(stages: Stages, outlets: Outlets, wires: Wires, requests_from: Option<SocketAddr>) -> Self {
        let mut census = Census::default();
        census.is_all_asked_about = wires.is_supervised;
        Self {
            rings: Rings::default(),
            order: Order::default(),
            enricher: Enricher::default(),
            has_other_origins: wires.is_supervised,
            is_taking: false,
            census,
            outbox: Outbox::new(stages, outlets),
            flushes: Flushes::new(requests_from),
            wires,
            session: SessionState::default(),
            suspicions: Suspicions::default(),
            inner: InnerCalls::default(),
            record: vec![0; MAX_RECORD],
            payload: Vec::new(),
            postpones: false,
            audited: MonoNs::ZERO,
            begun: MonoNs::ZERO,
            nonsense: Vec::new(),
        }
    }

    /// The same for rules that ask this of processes.
    #[must_use]
    pub fn asking(mut self, asks: Asks) -> Self {
        self.census.asks = asks;
        self
    }

    /// Runs until told to end; gives the outputs back once everything is drained, and how long they may take.
    pub fn run(mut self) -> (Outlets, Haste) {
        self.outbox.prepare();
        let mut bells = Bells::new(Arc::clone(&self.wires.doorbell));
        let mut naps = Naps::default();
        loop {
            let seen = self.wires.doorbell.count();
            self.wires.pulse.begin(MonoNs::now());
            if self.hear_news_after_sent() {
                naps.disturb();
            }
            if self.is_over() {
                break;
            }
            let before = self.rings.len();
            let pace = self.outbox.pace();
            let round = self.round_at(pace, MonoNs::now());
            if self.rings.len() < before {
                bells.forget();
            }
            if let Pace::Slow(_) = pace {
                self.answer_flushes(MonoNs::now());
                bells.wait(&[], bell::NAPPING, seen, Some(MonoNs::now().plus(PAUSE_NS)));
                continue;
            }
            if round.has_more {
                continue;
            }
            self.answer_flushes(MonoNs::now());
            let (mode, rest_ns) = naps.next(self.load(&round));
            if let Some(memories) = self.rings.lie_down(mode) {
                self.wires.pulse.rest();
                let wake = bells.wait(&memories, mode, seen, rest_ns.map(|ns| MonoNs::now().plus(ns)));
                if mode == bell::SLEEPING {
                    naps.woken(wake);
                }
            }
            self.rings.get_up();
        }
        drop(bells);
        self.finish();
        self.wires.pulse.rest();
        (self.outbox.into_outlets(), self.session.haste)
    }

    fn load(&self, round: &Round) -> Load {
        let is_waited_for = self.flushes.is_waited_for();
        // Records that are held back for the next request wait for news.
        let is_empty =
            self.order.waiting().is_empty() && self.session.unseen.is_empty() && self.inner.is_empty();
        let is_waiting = !is_empty && !self.order.frontier.has_border();
        // An end that still waits after a while is looked at now and then.
        let has_open_end = self.order.has_open_end(MonoNs::now().minus(2 * STUCK_NS));
        Load {
            is_busy: round.has_read || is_waiting || is_waited_for || has_open_end,
            is_waited_for,
            is_deserted: self.census.len() == 0,
            owes: self.outbox.owes(),
        }
    }

    // ---- a round ----

    /// Reads every ring, and delivers everything that is due.
    pub fn round(&mut self, now: MonoNs) -> Round {
        self.round_at(Pace::Full, now)
    }

    /// As [`Self::round`], at a pace.
    fn round_at(&mut self, pace: Pace, now: MonoNs) -> Round {
        let mut round = Round::default();
        self.begun = now;
        self.look_at_rings();
        for ring in self.rings.begin_round(pace) {
            self.read(ring, now);
            round.has_read |= self.rings.end_turn(ring, now);
            round.has_more |= self.rings.get(ring).is_some_and(|ring| !ring.is_drained);
        }
        self.rings.let_go();
        round.has_read |= self.take_sent();
        self.census.free_slots(&mut self.rings);
        let horizon = self.horizon(now);
        self.let_in_inner(horizon);
        if self.deliver_some(now, horizon) {
            self.report_unseen(self.rings.unread_from(now).unwrap_or(now).min(horizon));
            self.take_found();
            self.report_evasion(horizon);
        } else {
            round.has_more = true;
        }
        self.look_for_mute(now);
        if now.since(self.audited) >= AUDIT_NS {
            self.audited = now;
            self.audit(now);
            self.outbox.report_losses(now);
        }
        self.publish();
        if std::mem::take(&mut self.session.has_left_word) {
            self.wires.reply.alarm();
        }
        round
    }

    /// Everything that was stamped up to this time has been read.
    fn horizon(&self, now: MonoNs) -> MonoNs {
        let assumed = self.order.frontier.assumed();
        if self.is_alone() {
            return assumed;
        }
        self.rings.unread_from(now).unwrap_or(now).min(now).minus(HOLD_NS).min(assumed)
    }

    /// Whether no record of another image, or origin, can come before one that is read.
    pub(super) fn is_alone(&self) -> bool {
        self.census.len() <= 1 && !self.has_other_origins
    }

    /// Reads a ring until it is empty, blocked, or the others have their turn.
    fn read(&mut self, index: RingIndex, now: MonoNs) {
        let mut record = std::mem::take(&mut self.record);
        let mut begun = MonoNs::now();
        if let Some(ring) = self.rings.get_mut(index) {
            ring.begin_turn();
        }
        loop {
            match self.rings.read(index, now, &mut record) {
                Read::Arrival(arrival) => {
                    self.arrive(&arrival);
                    self.give_up_nonsense(now);
                }
                Read::Released => {
                    self.note_written();
                    self.look_at_rings();
                    begun = self.rings.took(index, begun);
                }
                Read::TurnOver => break,
                Read::Unfinished(unfinished) => {
                    if !self.step_over(index, unfinished, now) {
                        break;
                    }
                }
                Read::Corrupt => {
                    self.give_up(index, now);
                    break;
                }
            }
        }
        self.rings.took(index, begun);
        self.record = record;
    }

    /// A record's way in: to its image, then on at once or into the order.
    pub(super) fn arrive(&mut self, arrival: &Arrival<'_>) {
        let Arrival { origin, head, payload } = *arrival;
        let image = self.census.image_of(origin, &head, &mut self.rings);
        if self.census.has_changes() {
            self.carry_out_changes();
        }
        // Its ring is to be given up, or its account has no room for one more image.
        let Some(image) = image else { return };
        if self.notes_within(image, arrival) {
            return;
        }
        let numbering = origin.numbering();
        match self.order.passes(image, &head, self.is_alone() && !self.postpones) {
            Some(at) => self.deliver(image, numbering, head, at, payload),
            None => {
                if !self.order.push(image, head, numbering, payload) {
                    // Its account is used up: its records go on out of their turn, and no other's wait.
                    self.deliver_all(image);
                    if let Some(at) = self.order.pass(image, &head) {
                        self.deliver(image, numbering, head, at, payload);
                    }
                }
            }
        }
    }

    /// Steps over a record that will never be finished. False where it must be waited for.
    fn step_over(&mut self, index: RingIndex, unfinished: Unfinished, now: MonoNs) -> bool {
        let writer = unfinished.slot.and_then(|slot| self.census.writer(index, slot, &mut self.rings));
        self.carry_out_changes();
        let census = &self.census;
        let Some(ring) = self.rings.get_mut(index) else { return false };
        let is_dead = ring.is_writer_dead(&unfinished, |image| census.has_ended(image));
        if ring.stuck_for(unfinished, now) < STUCK_NS && !is_dead {
            ring.is_blocked = true;
            return false;
        }
        let Some(is_over) = ring.track.step_over() else {
            self.nonsense.push(index);
            return false;
        };
        // The records that the dead lost show when their numbers are compared at the end; the living go on.
        if is_over
            && !is_dead
            && let Some(writer) = writer
        {
            self.census.count_unfinished(writer, 1);
            self.lose(writer, now, 1, LossReason::KilledWriter);
        }
        true
    }

    // ---- a record's way on ----

    /// Whether the outputs have room for an event of an image.
    #[inline]
    fn takes(&mut self, image: ImageId, bytes: usize) -> bool {
        let now = self.begun;
        self.census.get(image).is_none_or(|image| self.outbox.takes(&image.account, bytes, now))
    }

    /// Turns one record, in its final order, into an event, and carries out its effects.
    #[inline]
    pub(super) fn deliver(
        &mut self,
        image: ImageId,
        numbering: Numbering,
        mut head: Head,
        mut at: MonoNs,
        payload: &[u8],
    ) {
        let kind = numbering.kind_of(&head);
        let arguments;
        let mut starting = None;
        let Some(mut decoded) = kind.and_then(|kind| Decoded::decode(kind, payload).ok()) else {
            self.census.begin(image, &self.rings);
            return self.census.count_undecoded(image, head.flags & Flags::STAMPED != 0);
        };
        if self.may_be_anothers(image, numbering, &head) {
            return;
        }
        if let Decoded::ProcessStart(start) = &mut decoded {
            starting = self.census.asked_at(image, start, at).map(|asked| (asked, at));
            if start.argv.iter().next().is_none()
                && let Some(asked) = self.census.exec_of(image, start)
            {
                arguments = asked.arguments.clone();
                start.argv = Args::Packed(&arguments.argv);
                start.argc = arguments.argc.and_then(|argc| u32::try_from(argc).ok());
                head.flags |= if start.argc.is_some() { Flags::TRUNCATED } else { 0 };
            }
            // A start is stamped before the process can be known. The start of one that lost the processor
            // before its hello counts from the hello.
            at = at.max(self.order.frontier.delivered());
            self.note_beginning(image, &head, start);
            self.start(image, start, at);
        } else {
            self.census.begin(image, &self.rings);
            if numbering == Numbering::None {
                self.report_mute_before(image);
            }
        }
        if let (Decoded::ProcessFork(ProcessFork { child: Some(child), .. }), 0) = (&decoded, head.errno) {
            self.await_child(image, Pid(*child));
        }
        let Some(known) = self.census.get_mut(image) else { return };
        // A thread that goes on has executed nothing itself: it failed, or had a child do it.
        let own_tid = Tid(head.tid);
        let asked = known.take_asked(|asked| asked.tid == own_tid);
        let is_below = known.is_below();
        if is_below {
            head.tid = known.thread_here(own_tid).unwrap_or(own_tid.gone()).0;
        }
        let begun = asked.as_ref().and_then(|asked| asked.child);
        known.note_spawned(&decoded, asked.as_ref());
        if let (Decoded::ProcessFork(fork @ ProcessFork { child: None, .. }), 0) = (&mut decoded, head.errno)
        {
            fork.child = begun.map(|Pid(child)| child);
        }
        known.come_to(at);
        let Some(process) = &mut known.process else { return };
        process.is_below = is_below;
        let (ids, mark) = (process.ids(), self.enricher.mark());
        let effect = self.enricher.record(process, &head, at, &decoded);
        if let Some((asked, at)) = starting {
            self.enricher.has_begun(asked, at);
        }
        if is_below {
            self.tell_target(image, &decoded);
        }
        match &decoded {
            // The kernel's word needs no confirmation, and comes before the change.
            Decoded::ProcessCredentials(_) if numbering == Numbering::None => {}
            Decoded::ProcessCredentials(changed) => {
                let said = (changed.real_uid.0, changed.effective_uid.0);
                self.census.confirm_ids(image, ids, said);
            }
            Decoded::ProcessNamespace(call) if head.errno == 0 => self.census.has_moved(image, at, call),
            _ => {}
        }
        let is_numbered = head.flags & Flags::STAMPED != 0;
        self.census.count_delivered(image, is_numbered);
        if is_numbered {
            self.order.frontier.deliver(at);
            self.outbox.touch(image);
        }
        match effect {
            Effect::None => {}
            effect => self.carry_out(image, &Head { tid: own_tid.0, ..head }, at, effect, asked),
        }
        // What it says of its process is known in any case.
        let written = self.enricher.written_since(mark);
        if is_numbered && written > 0 && !self.takes(image, written) {
            self.enricher.take_back(mark);
            self.census.count_refused(image);
        }
        if self.outbox.is_full(&self.enricher.batch) {
            self.publish();
        }
    }
}
