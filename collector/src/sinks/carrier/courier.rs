//! The carrier of receivers: takes parcels off the encoder's output, sends them by a [`Transport`], tries
//! again with growing pauses, and counts what was refused.
//!
//! It keeps nothing: what the receiver does not take stays in the worker's buffer, and behind it the queue
//! fills. With a spool ([`super::spooled`]) it waits on the disk instead.

use std::time::{Duration, Instant};

use rustix::rand::{GetRandomFlags, getrandom};

use super::kind::{Carried, Carrier};
use super::transport::{Bounds, Shipped, Transport};
use crate::sinks::parcel::{self, Parcel};

/// The first pause before a receiver is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause, and the longest that a receiver may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_ASKED: Duration = Duration::from_secs(300);
/// A shipment over which the receiver fails so often is lost: it may be the cause.
const MOST_DOUBTS: u32 = 8;
/// Growing pauses with jitter, so that many collectors do not come back at one moment.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after one more failure; `asked` is what the receiver wants.
    pub fn next(&mut self, asked: Option<Duration>) -> Duration {
        let whole = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE);
        self.failures += 1;
        let pause = whole.mul_f64(0.5 + random_part() / 2.0);
        match asked {
            // Never sooner than it asks, and spread a little behind that.
            Some(asked) => asked.min(LONGEST_ASKED) + FIRST_PAUSE.mul_f64(random_part()),
            None => pause,
        }
    }

    /// The receiver took something.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A random number from 0 to 1; a half where the kernel has none.
fn random_part() -> f64 {
    let mut bytes = [0; 4];
    match getrandom(&mut bytes, GetRandomFlags::NONBLOCK) {
        Ok(4) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        _ => 0.5,
    }
}

/// The result of one shipment.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Bytes of parcels that are done with.
    pub done: usize,
    /// Events of these that arrived.
    pub written: u64,
    /// Events of these that were refused.
    pub lost: u64,
    /// When to go on; at once where there is none.
    pub retry_at: Option<Instant>,
    /// What is wrong.
    pub error: Option<String>,
}

/// Sends parcels, see the module.
pub struct Courier {
    transport: Box<dyn Transport>,
    backoff: Backoff,
    /// Bytes of a shipment at present: less after one that was too large, or took too long.
    most_bytes: usize,
    /// When the last shipment arrived.
    arrived: Option<Instant>,
    /// How often the receiver failed over the first parcel.
    failures_of_one: u32,
}

impl Courier {
    /// A courier by this transport.
    pub fn new(transport: Box<dyn Transport>) -> Self {
        let most_bytes = transport.bounds().bytes;
        Self { transport, backoff: Backoff::default(), most_bytes, arrived: None, failures_of_one: 0 }
    }

    /// Sends the first parcels of `bytes`, at least one. Bytes that are no parcel are done with as a fault of
    /// ours.
    pub fn step(&mut self, bytes: &[u8]) -> Step {
        let bounds = self.transport.bounds();
        let (parcels, len) = self.shipment(bytes, bounds);
        let Some(first) = parcels.first() else {
            let error = Some("it was given no whole parcel, a fault of ours".to_owned());
            return Step { done: bytes.len(), error, ..Step::default() };
        };
        let events = parcels.iter().map(|parcel| u64::from(parcel.events)).sum::<u64>();
        let (is_single, single_bytes) = (parcels.len() == 1, first.body.len());
        match self.transport.ship(&parcels) {
            Shipped::Taken { refused, why } => {
                self.note_arrival(bounds);
                let lost = refused.min(events);
                Step { done: len, written: events - lost, lost, error: why, ..Step::default() }
            }
            Shipped::Refused(why) => {
                self.note_arrival(bounds);
                Step { done: len, lost: events, error: Some(why), ..Step::default() }
            }
            Shipped::TooLarge(why) if is_single => {
                let error = Some(format!("{why}: {single_bytes} bytes"));
                Step { done: len, lost: events, error, ..Step::default() }
            }
            Shipped::TooLarge(_) => {
                self.most_bytes = len / 2;
                Step::default()
            }
            Shipped::Doubtful(why) if self.failures_of_one >= MOST_DOUBTS => {
                self.note_arrival(bounds);
                let error = Some(format!("{why}; given up after {MOST_DOUBTS} tries"));
                Step { done: len, lost: events, error, ..Step::default() }
            }
            Shipped::Doubtful(why) => {
                self.failures_of_one += 1;
                self.most_bytes = (len / 2).max(1);
                let retry_at = Some(Instant::now() + self.backoff.next(None));
                Step { retry_at, error: Some(why), ..Step::default() }
            }
            Shipped::Later { after, why } => {
                // A receiver that is slow may manage less.
                self.most_bytes = (len / 2).max(1);
                let retry_at = Some(Instant::now() + self.backoff.next(after));
                Step { retry_at, error: Some(why), ..Step::default() }
            }
        }
    }

    /// The first parcels that may go together, and their bytes.
    fn shipment<'a>(&self, bytes: &'a [u8], bounds: Bounds) -> (Vec<Parcel<'a>>, usize) {
        let (mut parcels, mut len) = (Vec::new(), 0);
        while let Some((parcel, taken)) = bytes.get(len..).and_then(Parcel::first) {
            let is_other = |first: &Parcel<'_>| bounds.is_one_lane && first.lane != parcel.lane;
            let is_full = parcels.len() >= bounds.parcels || len + taken > self.most_bytes;
            if parcels.first().is_some_and(|first| is_full || is_other(first)) {
                break;
            }
            parcels.push(parcel);
            len += taken;
        }
        (parcels, len)
    }

    /// See [`Carrier::lingers`].
    pub fn lingers(&self, bytes: usize) -> Option<Instant> {
        let Bounds { linger, bytes: enough, .. } = self.transport.bounds();
        let until = self.arrived? + linger;
        (bytes < enough && Instant::now() < until).then_some(until)
    }

    /// See [`Carrier::enough_bytes`].
    pub fn enough_bytes(&self) -> usize {
        self.transport.bounds().bytes
    }

    fn note_arrival(&mut self, bounds: Bounds) {
        self.backoff.reset();
        self.failures_of_one = 0;
        self.arrived = Some(Instant::now());
        self.most_bytes = self.most_bytes.saturating_mul(2).min(bounds.bytes);
    }
}

impl Carrier for Courier {
    fn lingers(&self, bytes: usize) -> Option<Instant> {
        Self::lingers(self, bytes)
    }

    fn enough_bytes(&self) -> usize {
        Self::enough_bytes(self)
    }

    fn carry(&mut self, bytes: &mut Vec<u8>, events: u64) -> Carried {
        let mut carried = Carried::default();
        let mut done = 0;
        while done < bytes.len() && carried.retry_at.is_none() {
            let step = self.step(&bytes[done..]);
            done += step.done;
            carried.lost += step.lost;
            carried.retry_at = step.retry_at;
            carried.error = step.error.or(carried.error);
        }
        bytes.drain(..done);
        // Events without a parcel of their own are where they should be: nowhere.
        carried.written = events.saturating_sub(carried.lost + parcel::events(bytes));
        if carried.retry_at.is_none() && carried.error.is_some() {
            // Refused events are no end of the carrier.
            carried.retry_at = Some(Instant::now());
        }
        carried
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Answers in this order, and `TAKEN` afterwards; notes what it was given.
    struct Scripted {
        bounds: Bounds,
        answers: Vec<Shipped>,
        given: Arc<Mutex<Vec<Vec<String>>>>,
    }

    impl Transport for Scripted {
        fn bounds(&self) -> Bounds {
            self.bounds
        }

        fn ship(&mut self, parcels: &[Parcel<'_>]) -> Shipped {
            let bodies = parcels.iter().map(|parcel| String::from_utf8_lossy(parcel.body).into_owned());
            self.given.lock().unwrap().push(bodies.collect());
            if self.answers.is_empty() { Shipped::TAKEN } else { self.answers.remove(0) }
        }
    }

    const JOINED: Bounds =
        Bounds { parcels: 100, bytes: 1 << 20, is_one_lane: true, linger: Duration::from_secs(60) };

    fn courier(bounds: Bounds, answers: &[Shipped]) -> (Courier, Arc<Mutex<Vec<Vec<String>>>>) {
        let given = Arc::default();
        let transport = Scripted { bounds, answers: answers.to_vec(), given: Arc::clone(&given) };
        (Courier::new(Box::new(transport)), given)
    }

    fn parcels(lanes_and_bodies: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (lane, body) in lanes_and_bodies {
            parcel::append(lane.as_bytes(), b"", 1, &mut out, |out| out.extend_from_slice(body.as_bytes()));
        }
        out
    }

    #[test]
    fn parcels_of_one_lane_go_together_and_in_order() {
        let (mut courier, given) = courier(Bounds { parcels: 2, ..JOINED }, &[]);
        let mut bytes = parcels(&[("a", "1"), ("a", "2"), ("a", "3"), ("b", "4")]);

        let carried = courier.carry(&mut bytes, 4);

        assert_eq!((4, 0, None), (carried.written, carried.lost, carried.error));
        assert_eq!(vec![vec!["1", "2"], vec!["3"], vec!["4"]], *given.lock().unwrap());
    }

    #[test]
    fn what_is_refused_is_lost_and_what_comes_later_stays() {
        let later = Shipped::Later { after: Some(Duration::from_secs(7)), why: "busy".into() };
        let single = Bounds { parcels: 1, ..JOINED };
        let (mut courier, _) = courier(single, &[Shipped::TAKEN, Shipped::Refused("no".into()), later]);
        let mut bytes = parcels(&[("", "1"), ("", "2"), ("", "3")]);
        let begun = Instant::now();

        let carried = courier.carry(&mut bytes, 5);

        assert_eq!((3, 1, Some("busy")), (carried.written, carried.lost, carried.error.as_deref()));
        assert!(carried.retry_at.unwrap() >= begun + Duration::from_secs(7));
        assert_eq!(
            vec!["3"],
            Parcel::all(&bytes)
                .map(|parcel| String::from_utf8_lossy(parcel.body).into_owned())
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn shipment_that_is_too_large_is_halved_and_a_parcel_that_is_too_large_is_lost() {
        let large = || Shipped::TooLarge("no room".into());
        let (mut courier, given) = courier(JOINED, &[large(), Shipped::TAKEN, large()]);
        let mut bytes = parcels(&[("", "1"), ("", "2")]);

        let carried = courier.carry(&mut bytes, 2);

        assert_eq!((1, 1), (carried.written, carried.lost));
        assert_eq!(Some("no room: 1 bytes"), carried.error.as_deref());
        assert_eq!(vec![vec!["1", "2"], vec!["1"], vec!["2"]], *given.lock().unwrap());
    }

    #[test]
    fn little_waits_for_more_once_something_arrived() {
        let (mut courier, _) = courier(JOINED, &[]);

        assert_eq!(None, courier.lingers(1));
        courier.carry(&mut parcels(&[("", "1")]), 1);
        assert!(courier.lingers(1).is_some());
        assert_eq!(None, courier.lingers(1 << 20));
    }

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        let mut backoff = Backoff::default();
        let pauses: Vec<Duration> = (0..40).map(|_| backoff.next(None)).collect();
        backoff.reset();

        assert!(pauses[0] >= FIRST_PAUSE / 2 && pauses[0] <= FIRST_PAUSE);
        assert!(pauses[30..].iter().all(|pause| *pause >= LONGEST_PAUSE / 2 && *pause <= LONGEST_PAUSE));
        assert!(pauses[30..].iter().any(|pause| *pause != pauses[30]));
        assert!(backoff.next(None) <= FIRST_PAUSE);
        assert!(backoff.next(Some(Duration::from_secs(1 << 40))) <= LONGEST_ASKED + FIRST_PAUSE);
    }
}
