//! Allowances: how much of the collector one user can take, so that the others have the rest.
//!
//! An [`Account`] stands for a user in a control group: both are the kernel's word, and a process leaves its
//! control group only with rights over another. A user other than root has several accounts' worth in all of
//! its groups together, since some systems let users make groups. So have all users but root of one group
//! together, since root of a container becomes any of its users, and some systems give users numbers to
//! become. Each thing that the collector keeps for a process holds a [`Share`] of its account, and gives it
//! back when it is dropped.
//!
//! Where an account is used up, the thing is not kept: the caller does with less, counts that as the peer's
//! loss, and goes on.

mod door;
mod measures;

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Weak};

use rustc_hash::FxHashMap;

use crate::ids::MonoNs;

pub use measures::{MeanCost, PerSecond};

/// A thing that an account has a bound for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Resource {
    /// Rings. A quiet one costs the collector some 15 KiB (1024 of them: 15 MiB, `cargo xtask attack "5000
    /// rings"`): its state, tables of its mapping, a few pages.
    Rings,
    /// Process images that are known, dead ones until their end is reported.
    Images,
    /// Bytes of memory: records that wait for their turn, paths and addresses behind descriptors, names.
    Bytes,
}

/// How many resources there are.
const RESOURCES: usize = 3;

/// The bounds of one account, by [`Resource`]. Over 1000 processes that run at once under one user in one
/// container are rare, and a server's children share one ring.
const MOST: [usize; RESOURCES] = [1024, 4096, 10 << 20];
/// The bounds of a user other than root in all control groups: so many times those of an account.
const ACCOUNTS_OF_USER: usize = 2;
/// The bounds of all users but root in one control group. Where the kernel tells no group, they may be all of
/// a machine's.
const ACCOUNTS_OF_GROUP: usize = 2;
const ACCOUNTS_WITHOUT_GROUP: usize = 8;
/// So many times an account's part of the pipeline's time have those that several accounts come out of.
const MOST_TIMES: u64 = 2;
/// Questions in a second, see [`Account::may_ask`].
const MOST_QUESTIONS: u64 = 512;
/// The time of the pipeline that the answers take in a second, at most.
const MOST_ASKING_NS: u64 = 50_000_000;
/// The time that the ends of an account's processes take in a second, at most.
const MOST_ENDING_NS: u64 = 200_000_000;
/// The time that the records of its rings take in a round, at most: on a busy machine a few bytes may.
const MOST_TURN_NS: u64 = 10_000_000;
/// Accounts that are remembered before unused ones are looked for.
const MANY_ACCOUNTS: usize = 256;

/// The owner of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The real user id, as the collector's user namespace counts; `None` where the kernel does not tell.
    pub uid: Option<u32>,
    /// The control group, 0 where the kernel tells none.
    pub cgroup: u64,
}

impl fmt::Display for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.uid {
            Some(uid) => write!(out, "uid {uid}"),
            None => write!(out, "an unknown user"),
        }
    }
}

/// Bytes of events that were made lately, see [`PerSecond::lately`].
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Those of the account.
    pub own: u64,
    /// The mean of the accounts in its group, for a user other than root.
    pub mean: u64,
    /// Those of all of them.
    pub together: u64,
    /// They are the first of this second.
    pub is_first: bool,
}

/// What an owner holds, and its bounds.
#[derive(Debug, Default)]
pub struct Account {
    /// The owner.
    pub peer: Peer,
    held: [AtomicUsize; RESOURCES],
    refused: [AtomicU64; RESOURCES],
    /// Questions, and the nanoseconds that their answers took.
    questions: PerSecond,
    asking_ns: PerSecond,
    /// The same of the doorman's.
    door_ns: PerSecond,
    /// The round in which its rings were to be read last.
    round: AtomicU64,
    /// Bytes that may be read of its rings before it has another turn; below 0 after a record that was
    /// longer.
    credit: AtomicI64,
    /// Nanoseconds that its records took in that round.
    turn_ns: AtomicU64,
    /// Bytes of its events that went to the outputs.
    told: PerSecond,
    /// Accounts that are parts of it and of which there were any.
    tellers: PerSecond,
    /// Nanoseconds that the ends of its processes took.
    ending_ns: PerSecond,
    /// The cost of the calls of its processes that write a record, and of those that only count.
    pub record_cost: MeanCost,
    /// See `record_cost`.
    pub count_cost: MeanCost,
    /// What it is a part of: the accounts of the user in all control groups, and of all users in its group;
    /// none for root, and for those themselves.
    whole: Vec<Arc<Account>>,
    /// How much it may hold.
    most: [usize; RESOURCES],
    /// How many accounts are its parts; 0 for no bound.
    times: usize,
}

impl Account {
    /// An account without bounds, for things that no peer asked for.
    pub fn boundless() -> Arc<Self> {
        static ONE: LazyLock<Arc<Account>> = LazyLock::new(Arc::default);
        Arc::clone(&ONE)
    }

    /// A share that holds nothing yet.
    pub fn share(self: &Arc<Self>, resource: Resource) -> Share {
        Share { account: Arc::clone(self), resource, held: 0, taken: 0 }
    }

    /// A share of one, if there is one left.
    pub fn take(self: &Arc<Self>, resource: Resource) -> Option<Share> {
        let mut share = self.share(resource);
        share.grow(1).then_some(share)
    }

    /// Whether the collector may look at one more file, or at one more child, for this account's sake. The
    /// looks of each second are counted, and their time.
    pub fn may_ask(&self, now: MonoNs) -> bool {
        let times = self.time_times();
        let may_ask = self.times == 0
            || self.questions.spent(now) < MOST_QUESTIONS * times
                && self.asking_ns.spent(now) < MOST_ASKING_NS * times;
        self.questions.spend(now, 1);
        // Each is asked, so that each counts.
        self.whole.iter().fold(may_ask, |may_ask, whole| whole.may_ask(now) && may_ask)
    }

    /// Whether the pipeline has time for one more question that costs microseconds: only the time of those
    /// is counted.
    pub fn has_time_to_ask(&self, now: MonoNs) -> bool {
        let has_time = self.times == 0 || self.asking_ns.spent(now) < MOST_ASKING_NS * self.time_times();
        has_time && self.whole.iter().all(|whole| whole.has_time_to_ask(now))
    }

    /// How many times an account's part of the pipeline's time it has.
    fn time_times(&self) -> u64 {
        (self.times as u64).min(MOST_TIMES)
    }

    /// Notes that questions which began at `begun` were answered at `now`.
    pub fn asked(&self, begun: MonoNs, now: MonoNs) {
        self.asking_ns.spend(now, now.since(begun));
        self.whole.iter().for_each(|whole| whole.asked(begun, now));
    }

    /// Whether its rings may be read further in this round, each of which gives it `turn` bytes.
    pub fn has_turn(&self, round: u64, turn: u64) -> bool {
        // Relaxed: only the pipeline's thread reads rings.
        let most = turn.saturating_mul(self.time_times()).cast_signed();
        if self.round.swap(round, Ordering::Relaxed) != round {
            let credit = self.credit.load(Ordering::Relaxed).saturating_add(most);
            self.credit.store(credit.min(most), Ordering::Relaxed);
            self.turn_ns.store(0, Ordering::Relaxed);
        }
        (self.times == 0 || self.credit.load(Ordering::Relaxed) > 0 && !self.is_out_of_time())
            && self.whole.iter().all(|whole| whole.has_turn(round, turn))
    }

    /// Whether its records have taken all the time that they may in this round.
    pub fn is_out_of_time(&self) -> bool {
        self.times != 0 && self.turn_ns.load(Ordering::Relaxed) >= MOST_TURN_NS * self.time_times()
    }

    /// Notes that bytes of its rings were read.
    pub fn read(&self, bytes: u64) {
        self.credit.fetch_sub(bytes.cast_signed(), Ordering::Relaxed);
        self.whole.iter().for_each(|whole| whole.read(bytes));
    }

    /// Notes that its records took the time from `begun` to `now`.
    pub fn took(&self, begun: MonoNs, now: MonoNs) {
        self.turn_ns.fetch_add(now.since(begun), Ordering::Relaxed);
        self.whole.iter().for_each(|whole| whole.took(begun, now));
    }

    /// Notes that so many bytes of events were made of its records: they count as read too, since a short
    /// record may make a long event.
    pub fn told(&self, now: MonoNs, bytes: u64) -> Told {
        self.read(bytes);
        self.told.spend(now, bytes);
        let (own, is_first) = (self.told.lately(now), self.told.spent(now) == bytes);
        // The last one is the group.
        let Some(group) = self.whole.last() else { return Told { own, mean: own, together: own, is_first } };
        group.told.spend(now, bytes);
        let of_group = group.told.spent(now) == bytes;
        group.tellers.spend(now, u64::from(is_first));
        let together = group.told.lately(now);
        Told { own, mean: together / group.tellers.most_lately(now).max(1), together, is_first: of_group }
    }

    /// Whether ends of its processes may be concluded at `now`: they take no more than a part of the
    /// pipeline's time in each second.
    pub fn has_time(&self, now: MonoNs) -> bool {
        (self.times == 0 || self.ending_ns.spent(now) < MOST_ENDING_NS * self.time_times())
            && self.whole.iter().all(|whole| whole.has_time(now))
    }

    /// Notes that an end which began to be concluded at `begun` was concluded at `now`.
    pub fn ended(&self, begun: MonoNs, now: MonoNs) {
        self.ending_ns.spend(now, now.since(begun));
        self.whole.iter().for_each(|whole| whole.ended(begun, now));
    }

    /// Whether nothing of it is left.
    pub fn is_used_up(&self, resource: Resource) -> bool {
        self.held[resource as usize].load(Ordering::Relaxed) >= self.most(resource)
            || self.whole.iter().any(|whole| whole.is_used_up(resource))
    }

    /// Counts something that was not kept because nothing of it is left.
    pub fn refuse(&self, resource: Resource) {
        self.refused[resource as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Takes the number of refusals since the last call.
    pub fn take_refused(&self, resource: Resource) -> u64 {
        self.refused[resource as usize].swap(0, Ordering::Relaxed)
    }

    fn most(&self, resource: Resource) -> usize {
        match self.times {
            0 => usize::MAX,
            _ => self.most[resource as usize],
        }
    }

    fn grow(&self, resource: Resource, more: usize) -> bool {
        // Relaxed: counters, of which each is right by itself.
        let held = &self.held[resource as usize];
        let before = held.fetch_add(more, Ordering::Relaxed);
        let fits_here = before.saturating_add(more) <= self.most(resource);
        let grown = match fits_here {
            true => self.whole.iter().take_while(|whole| whole.grow(resource, more)).count(),
            false => 0,
        };
        let fits = fits_here && grown == self.whole.len();
        if !fits {
            held.fetch_sub(more, Ordering::Relaxed);
            self.whole.iter().take(grown).for_each(|whole| whole.shrink(resource, more));
        }
        fits
    }

    fn shrink(&self, resource: Resource, less: usize) {
        self.held[resource as usize].fetch_sub(less, Ordering::Relaxed);
        self.whole.iter().for_each(|whole| whole.shrink(resource, less));
    }
}

/// A part of an account that something holds; given back when it is dropped.
///
/// Small changes do not reach the account: a share takes a little more than it needs, and keeps a little more
/// than it has to.
#[derive(Debug)]
pub struct Share {
    account: Arc<Account>,
    resource: Resource,
    /// What it needs.
    held: usize,
    /// What it took from the account.
    taken: usize,
}

impl Share {
    /// Bytes that are taken at once, and those that are kept while less is needed.
    const STEP: usize = 1024;
    const SLACK: usize = 4096;

    /// Takes `more`; false, and nothing taken, where the account is used up. The refusal is counted.
    #[inline]
    pub fn grow(&mut self, more: usize) -> bool {
        let fits = self.held.saturating_add(more) <= self.taken || self.take(more);
        if fits {
            self.held += more;
        }
        fits
    }

    fn take(&mut self, more: usize) -> bool {
        let missing = self.held.saturating_add(more) - self.taken;
        let step =
            if self.resource == Resource::Bytes { missing.next_multiple_of(Self::STEP) } else { missing };
        let taken = [step, missing].into_iter().find(|amount| self.account.grow(self.resource, *amount));
        match taken {
            Some(amount) => self.taken += amount,
            None => self.account.refuse(self.resource),
        }
        taken.is_some()
    }

    /// Gives back `less`, or everything where it holds less.
    #[inline]
    pub fn shrink(&mut self, less: usize) {
        self.held = self.held.saturating_sub(less);
        if self.taken - self.held > Self::SLACK || self.held == 0 {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        self.account.shrink(self.resource, self.taken - self.held);
        self.taken = self.held;
    }

    /// What it holds.
    pub fn held(&self) -> usize {
        self.held
    }

    /// The account.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }
}

impl Clone for Share {
    /// A copy of what holds it, which holds as much; nothing where the account is used up.
    fn clone(&self) -> Self {
        let mut copy = self.account.share(self.resource);
        copy.grow(self.held);
        copy
    }
}

impl Default for Share {
    /// A share of an account without bounds.
    fn default() -> Self {
        Account::boundless().share(Resource::Bytes)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.account.shrink(self.resource, self.taken);
    }
}

/// All accounts that are in use.
#[derive(Debug, Default)]
pub struct Allowances {
    accounts: FxHashMap<Peer, Weak<Account>>,
    /// The accounts of users in all groups, and of all users in a group.
    wholes: FxHashMap<Whole, Weak<Account>>,
    /// How many descriptors this process may have; 0 for no bound.
    descriptors: usize,
}

/// What several accounts are parts of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Whole {
    User(Option<u32>),
    Group(u64),
}

impl Allowances {
    /// Allowances in a process that may have so many descriptors: each image holds one, and each ring.
    pub fn within(descriptors: usize) -> Self {
        Self { descriptors, ..Self::default() }
    }

    /// The bounds of `times` accounts.
    fn most(&self, times: usize) -> [usize; RESOURCES] {
        let mut most = MOST;
        if self.descriptors > 0 {
            for (resource, part) in [(Resource::Rings, 16), (Resource::Images, 8)] {
                let bound = &mut most[resource as usize];
                *bound = (self.descriptors / part).clamp(1, *bound);
            }
        }
        most.map(|bound| bound.saturating_mul(times))
    }

    /// The bound of one account.
    pub fn bound(&self, resource: Resource) -> usize {
        self.most(1)[resource as usize]
    }

    /// The account of `peer`.
    pub fn account(&mut self, peer: Peer) -> Arc<Account> {
        if let Some(known) = self.accounts.get(&peer).and_then(Weak::upgrade) {
            return known;
        }
        if self.accounts.len() >= MANY_ACCOUNTS {
            self.accounts.retain(|_, account| account.strong_count() > 0);
            self.wholes.retain(|_, account| account.strong_count() > 0);
        }
        // Root of several containers is several users, although it has one number.
        let whole = match peer.uid {
            Some(0) => Vec::new(),
            uid => vec![self.whole(Whole::User(uid)), self.whole(Whole::Group(peer.cgroup))],
        };
        let account = Arc::new(Account { peer, whole, most: self.most(1), times: 1, ..Account::default() });
        self.accounts.insert(peer, Arc::downgrade(&account));
        account
    }

    fn whole(&mut self, of: Whole) -> Arc<Account> {
        if let Some(known) = self.wholes.get(&of).and_then(Weak::upgrade) {
            return known;
        }
        let (peer, times) = match of {
            Whole::User(uid) => (Peer { uid, cgroup: 0 }, ACCOUNTS_OF_USER),
            Whole::Group(0) => (Peer::default(), ACCOUNTS_WITHOUT_GROUP),
            Whole::Group(cgroup) => (Peer { uid: None, cgroup }, ACCOUNTS_OF_GROUP),
        };
        let account = Arc::new(Account { peer, most: self.most(times), times, ..Account::default() });
        self.wholes.insert(of, Arc::downgrade(&account));
        account
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uid: u32, cgroup: u64) -> Peer {
        Peer { uid: Some(uid), cgroup }
    }

    #[test]
    fn account_is_used_up_by_its_owner_alone_and_given_back_at_the_end() {
        let mut allowances = Allowances::default();
        let (greedy, modest) = (allowances.account(peer(65534, 1)), allowances.account(peer(0, 1)));
        let mut share = greedy.share(Resource::Bytes);

        let taken = [share.grow(MOST[Resource::Bytes as usize]), share.grow(1)];
        let others = modest.share(Resource::Bytes).grow(1);
        let refused = [greedy.take_refused(Resource::Bytes), greedy.take_refused(Resource::Bytes)];
        share.shrink(2);
        let held = share.held();
        let copy = share.clone();
        drop(share);
        let after = greedy.share(Resource::Bytes).grow(MOST[Resource::Bytes as usize]);

        assert_eq!(([true, false], true, [1, 0]), (taken, others, refused));
        assert_eq!(MOST[Resource::Bytes as usize] - 2, held);
        assert_eq!((0, true), (copy.held, after));
    }

    #[test]
    fn user_with_many_control_groups_has_a_bound_and_root_of_each_its_own() {
        let all = |uid| {
            let mut allowances = Allowances::default();
            let accounts: Vec<_> = (0..5).map(|cgroup| allowances.account(peer(uid, cgroup))).collect();
            let mut shares: Vec<_> = accounts.iter().map(|account| account.share(Resource::Rings)).collect();
            shares.iter_mut().map(|share| share.grow(MOST[0])).filter(|fits| *fits).count()
        };

        assert_eq!((ACCOUNTS_OF_USER, 5), (all(1000), all(0)));
    }

    #[test]
    fn users_of_a_group_have_a_bound_together_and_root_has_its_own() {
        let mut allowances = Allowances::default();
        let users: Vec<_> = (1000..1010).map(|uid| allowances.account(peer(uid, 7))).collect();
        let mut shares: Vec<_> = users.iter().map(|account| account.share(Resource::Rings)).collect();
        let second = MonoNs(1_000_000_000);

        let holders = shares.iter_mut().map(|share| share.grow(MOST[0])).filter(|fits| *fits).count();
        let turns = users
            .iter()
            .filter(|user| {
                user.has_turn(1, 100) && {
                    user.read(100);
                    true
                }
            })
            .count();
        users.iter().take(3).for_each(|user| user.ended(second, second.plus(MOST_ENDING_NS)));
        let (roots, others) = (allowances.account(peer(0, 7)), allowances.account(peer(1010, 8)));
        let free = [&users[5], &roots, &others]
            .map(|account| (account.take(Resource::Rings).is_some(), account.has_time(second.plus(1))));
        shares.clear();
        let after = users[5].take(Resource::Rings).is_some();

        assert_eq!((ACCOUNTS_OF_GROUP, MOST_TIMES as usize), (holders, turns));
        assert_eq!(([(false, false), (true, true), (true, true)], true), (free, after));
    }

    #[test]
    fn descriptors_bound_rings_and_images_where_there_are_few() {
        let held = |descriptors| {
            let account = Allowances::within(descriptors).account(peer(0, 1));
            [Resource::Rings, Resource::Images].map(|resource| {
                let mut share = account.share(resource);
                (0..MOST[resource as usize]).take_while(|_| share.grow(1)).count()
            })
        };

        assert_eq!(([64, 128], [1024, 4096]), (held(1024), held(1 << 20)));
    }

    #[test]
    fn costs_of_one_owners_calls_say_nothing_of_anothers() {
        let mut allowances = Allowances::default();
        let (liar, other) = (allowances.account(peer(65534, 1)), allowances.account(peer(0, 1)));

        let said = liar.record_cost.estimate((999_999_999 << 30, 1 << 30), 2);
        let of_unsampled = [&liar, &other].map(|account| account.record_cost.estimate((0, 0), 1000));

        assert_eq!((1_999_999_998, [999_999_999_000, 0]), (said, of_unsampled));
    }

    #[test]
    fn looks_and_ends_are_bounded_in_each_second() {
        let (account, second) = (Allowances::default().account(peer(1, 1)), 1_000_000_000);
        let asks = |now: u64| (0..2 * MOST_QUESTIONS).filter(|_| account.may_ask(MonoNs(now))).count() as u64;

        let looks = [asks(second), asks(second + 1), asks(2 * second)];
        account.asked(MonoNs(3 * second), MonoNs(3 * second + MOST_ASKING_NS));
        let after_a_long_one = asks(3 * second + MOST_ASKING_NS);
        account.asked_at_door(MonoNs(second), MonoNs(second + MOST_ASKING_NS));
        let at_door = [second + MOST_ASKING_NS, 2 * second].map(|now| account.has_time_at_door(MonoNs(now)));
        account.ended(MonoNs(second), MonoNs(second + MOST_ENDING_NS));
        let ends = [second + MOST_ENDING_NS, 2 * second].map(|now| account.has_time(MonoNs(now)));

        assert_eq!(([MOST_QUESTIONS, 0, MOST_QUESTIONS], 0), (looks, after_a_long_one));
        assert_eq!([[false, true]; 2], [at_door, ends]);
    }

    #[test]
    fn account_that_read_much_has_its_next_turn_later() {
        let account = Allowances::default().account(peer(1, 1));

        let first = account.has_turn(1, 100);
        account.read(350);
        let later = [2, 3, 4, 5].map(|round| account.has_turn(round, 100));

        assert_eq!((true, [false, false, true, true]), (first, later));
    }

    #[test]
    fn account_whose_records_took_long_has_its_next_turn_in_the_next_round() {
        let account = Allowances::default().account(peer(1, 1));

        let first = account.has_turn(1, 100);
        account.took(MonoNs(7), MonoNs(7 + MOST_TURN_NS));
        let later = [1, 2].map(|round| account.has_turn(round, 100));

        assert_eq!((true, [false, true]), (first, later));
        assert!(!Account::boundless().is_out_of_time());
    }

    #[test]
    fn accounts_without_shares_are_forgotten() {
        let mut allowances = Allowances::default();
        let kept = allowances.account(peer(1, 1));

        (0..10_000).for_each(|cgroup| drop(allowances.account(peer(2, cgroup))));

        assert!(allowances.accounts.len() <= MANY_ACCOUNTS && allowances.wholes.len() <= MANY_ACCOUNTS);
        assert!(Arc::ptr_eq(&kept, &allowances.account(peer(1, 1))));
    }
}
