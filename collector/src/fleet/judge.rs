//! `glassbox judge`: rules and outputs over the events of a fleet, shared by any number of judges.
//!
//! One thread fetches, judges, and acknowledges; the outputs have threads of their own. In a round it fetches
//! from each partition that it has a lease on, passes the events through the stages to the outputs, waits
//! until these have written everything, and then acknowledges the messages. So a message is acknowledged
//! after it was delivered, and what a judge has fetched when it dies goes to another one. At the end of a
//! round nothing is on its way, and partitions are given back.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::message::Acker;
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, AckKind, Context};
use crossbeam_channel::{TryRecvError, bounded};
use futures_util::StreamExt;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use super::connection::{Broker, told};
use super::from::From;
use super::leases::Leases;
use super::messages::{Message, Messages};
use super::streams::{self, EVENT_STREAM};
use crate::event::Batch;
use crate::pipeline::Outbox;
use crate::shell::failure::{Failure, say};
use crate::shell::stop::{Asked, StopSignals};
use crate::sinks::message::EVENTS;
use crate::sinks::{Haste, Outlets, RunFacts, SinkReport};
use crate::stages::Stages;

/// After so long a message that was not acknowledged is delivered again.
const ACK_WAIT: Duration = super::leases::TTL;
/// Messages that are fetched from one partition at once, and their bytes at most; a single one may be longer.
const FETCHED: usize = 512;
const FETCHED_BYTES: usize = 4 << 20;
/// So many messages are delivered and acknowledged together, or those of so long a time: outputs such as
/// ClickHouse want large pieces.
const TOGETHER: usize = 8192;
const GATHERED: Duration = Duration::from_secs(1);
/// Pauses after rounds without a message, the longest.
const LONGEST_IDLE: Duration = Duration::from_millis(400);
/// Pause while outputs are waited for.
const LOOK: Duration = Duration::from_millis(2);
/// Pause before another try where the server does not answer.
const RETRY: Duration = Duration::from_secs(1);
/// How long outputs may take at the end.
const LAST_PATIENCE: Duration = Duration::from_secs(5);
/// A message without a schema comes again after this, and is given up after so many times.
const LATER: Duration = Duration::from_secs(5);
const MOST_DELIVERIES: i64 = 24;

/// Judges until a signal asks for the end.
///
/// Fails with status 64 to 66 where the options of `from` are wrong, 73 where an output took nothing more:
/// the messages that it lacks are not acknowledged.
pub fn judge(from: &From, stages: Stages, outlets: Outlets, stop: StopSignals) -> Result<(), Failure> {
    let broker = Broker::of(&from.place, &from.options)?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal(format!("cannot make a runtime for NATS: {error}")))?;
    let mut outbox = Outbox::new(stages, outlets);
    outbox.prepare();
    let mut judge = Judge {
        from,
        outbox,
        stop,
        asked_at: None,
        leases: None,
        messages: Messages::default(),
        judged: 0,
        bad: HashMap::new(),
        has_warned: false,
    };
    let failed = runtime.block_on(async {
        while !judge.is_asked() {
            let result = match Session::begin(&broker, from, judge.leases.take()).await {
                Ok(session) => judge.serve(session).await,
                Err(why) => Err(Trouble::Broker(why)),
            };
            match result {
                Ok(()) => {}
                Err(Trouble::Output(line)) => return Some(line),
                Err(Trouble::Late) => {
                    say("an output took nothing more at the end; its messages go to another judge");
                }
                Err(Trouble::Broker(why)) => {
                    judge.warn(&why);
                    judge.rest(RETRY).await;
                }
            }
        }
        None
    });
    judge.close(failed)
}

/// What ends a session.
enum Trouble {
    /// The server does not answer as it should.
    Broker(String),
    /// An output takes nothing more.
    Output(String),
    /// An output took too long after the end was asked for.
    Late,
}

/// A connection, and what is had there.
struct Session {
    client: Client,
    context: Context,
    stream: Stream,
    leases: Leases,
    consumers: HashMap<u32, Source>,
}

/// The consumer of a partition.
struct Source {
    consumer: PullConsumer,
    /// Not before: until then what an earlier judge had fetched is not delivered again, and what came later
    /// would be first.
    from: Instant,
}

/// Messages that the outputs have, or have written.
#[derive(Default)]
struct Unacknowledged {
    ackers: Vec<Acker>,
    /// Since when the first of them waits.
    since: Option<Instant>,
}

impl Unacknowledged {
    fn add(&mut self, message: jetstream::Message) {
        self.since.get_or_insert_with(Instant::now);
        // Without its text.
        self.ackers.push(message.split().1);
    }
}

struct Judge<'a> {
    from: &'a From,
    outbox: Outbox,
    stop: StopSignals,
    /// When a signal asked for the end.
    asked_at: Option<Instant>,
    messages: Messages,
    judged: u64,
    /// What is known of the leases from the last connection.
    leases: Option<Leases>,
    /// Messages that are no events, by the reason.
    bad: HashMap<&'static str, u64>,
    has_warned: bool,
}

impl Session {
    async fn begin(broker: &Broker, from: &From, before: Option<Leases>) -> Result<Self, String> {
        let (client, context) = broker.connect().await?;
        let stream = streams::stream(&context, EVENT_STREAM).await?;
        let leases = Leases::join(&context, &from.durable, before).await?;
        Ok(Self { client, context, stream, leases, consumers: HashMap::new() })
    }

    /// Renews the leases, if that is due.
    async fn keep(&mut self) {
        if self.leases.is_due() {
            // Without an answer the leases end by themselves.
            let _ = timeout(Duration::from_secs(2), self.leases.renew()).await;
        }
    }

    /// The consumer of a partition, which is made where it is missing; `None` while it is too early.
    async fn source(&mut self, from: &From, partition: u32) -> Result<Option<PullConsumer>, String> {
        if !self.consumers.contains_key(&partition) {
            let name = format!("{}-{partition}", from.durable);
            let cluster = from.options.cluster.as_deref().unwrap_or("*");
            let config = pull::Config {
                durable_name: Some(name.clone()),
                filter_subject: format!("{EVENTS}.{cluster}.*.*.{partition}"),
                deliver_policy: DeliverPolicy::All,
                ack_policy: AckPolicy::Explicit,
                ack_wait: ACK_WAIT,
                max_ack_pending: 2 * TOGETHER as i64,
                ..pull::Config::default()
            };
            let consumer = self.stream.get_or_create_consumer(&name, config).await;
            let consumer =
                consumer.map_err(|error| format!("the consumer {name} cannot be used: {}", told(&error)))?;
            let is_clean = consumer.cached_info().num_ack_pending == 0;
            let from = Instant::now() + if is_clean { Duration::ZERO } else { ACK_WAIT };
            self.consumers.insert(partition, Source { consumer, from });
        }
        let ready = self.consumers.get(&partition).filter(|source| Instant::now() >= source.from);
        Ok(ready.map(|source| source.consumer.clone()))
    }
}

impl Judge<'_> {
    /// Whether a signal asked for the end.
    fn is_asked(&mut self) -> bool {
        if self.asked_at.is_none() && self.stop.next() == Some(Asked::End) {
            self.asked_at = Some(Instant::now());
        }
        self.asked_at.is_some()
    }

    /// Judges in one session, until the end is asked for.
    async fn serve(&mut self, mut session: Session) -> Result<(), Trouble> {
        let (mut idle, mut unacknowledged) = (LOOK, Unacknowledged::default());
        let mut result = Ok(());
        while result.is_ok() && !self.is_asked() {
            session.keep().await;
            result = self.round(&mut session, &mut unacknowledged).await.map(|judged| {
                self.has_warned = self.has_warned && judged == 0;
                idle = if judged > 0 { LOOK } else { (idle * 2).min(LONGEST_IDLE) };
            });
            let is_old = unacknowledged.since.is_some_and(|since| since.elapsed() >= GATHERED);
            if result.is_ok() && (is_old || session.leases.has_surplus()) {
                result = self.acknowledge(&mut session, &mut unacknowledged).await;
                session.leases.give_surplus_back().await;
            }
            let held: HashSet<u32> = session.leases.held().into_iter().collect();
            session.consumers.retain(|partition, _| held.contains(partition));
            if result.is_ok() && idle > LOOK {
                self.rest(idle).await;
            }
        }
        if result.is_ok() {
            result = self.acknowledge(&mut session, &mut unacknowledged).await;
        }
        if matches!(result, Err(Trouble::Broker(_))) {
            self.leases = Some(session.leases);
        } else {
            let _ = timeout(Duration::from_secs(2), session.leases.leave()).await;
            // The acknowledgements too.
            let _ = timeout(Duration::from_secs(2), session.client.flush()).await;
        }
        result
    }

    /// Fetches once from each partition; gives the number of messages.
    async fn round(
        &mut self,
        session: &mut Session,
        unacknowledged: &mut Unacknowledged,
    ) -> Result<usize, Trouble> {
        let mut all = 0;
        for partition in session.leases.held() {
            if self.is_asked() {
                break;
            }
            session.keep().await;
            // Looked at again: fetching and delivering take time.
            if !session.leases.holds(partition) {
                continue;
            }
            let source = session.source(self.from, partition).await.map_err(Trouble::Broker)?;
            let Some(consumer) = source else { continue };
            let most = FETCHED_BYTES.max(2 * session.client.max_payload());
            let fetched = fetch(&consumer, most).await.map_err(Trouble::Broker)?;
            if !session.leases.holds(partition) {
                continue;
            }
            all += fetched.len();
            self.pass(session, fetched, unacknowledged).await?;
            if unacknowledged.ackers.len() >= TOGETHER {
                self.acknowledge(session, unacknowledged).await?;
            }
        }
        Ok(all)
    }

    /// Passes messages on to the outputs, and adds those that are to be acknowledged once they are written.
    async fn pass(
        &mut self,
        session: &mut Session,
        fetched: Vec<jetstream::Message>,
        unacknowledged: &mut Unacknowledged,
    ) -> Result<(), Trouble> {
        let before = unacknowledged.ackers.len();
        let mut batches: Vec<Batch> = Vec::new();
        for message in fetched {
            let read = self.messages.read(&session.context, message.headers.as_ref(), &message.payload).await;
            match read.map_err(Trouble::Broker)? {
                Message::Event(event) => {
                    let is_its = |batch: &&mut Batch| {
                        batch.origin == event.origin && batch.request_id == event.request_id
                    };
                    // The events of one collector stay in order.
                    match batches.iter_mut().rev().find(|batch| batch.origin == event.origin).filter(is_its) {
                        Some(batch) => batch.absorb(&event),
                        None => batches.push(event),
                    }
                    unacknowledged.add(message);
                }
                Message::Bad(why) => self.refuse(&message, why).await,
                Message::Unknown => {
                    let deliveries = message.info().map_or(MOST_DELIVERIES, |info| info.delivered);
                    match deliveries < MOST_DELIVERIES {
                        true => drop(message.ack_with(AckKind::Nak(Some(LATER))).await),
                        false => self.refuse(&message, "no collector published its schema").await,
                    }
                }
            }
        }
        self.judged += (unacknowledged.ackers.len() - before) as u64;
        for batch in batches {
            // Outputs that take nothing are waited for here, where leases are renewed and signals seen.
            while !self.outbox.has_place() {
                self.wait_a_little(session).await?;
            }
            self.outbox.replay(batch);
        }
        Ok(())
    }

    /// Ends a message that is none of ours: it would come again and again.
    async fn refuse(&mut self, message: &jetstream::Message, why: &'static str) {
        let count = self.bad.entry(why).or_default();
        *count += 1;
        if *count == 1 {
            say(&format!("a message on {} is left out: {why}", message.subject));
        }
        let _ = message.ack_with(AckKind::Term).await;
    }

    /// Waits until the outputs have written everything, and acknowledges messages then.
    async fn acknowledge(
        &mut self,
        session: &mut Session,
        unacknowledged: &mut Unacknowledged,
    ) -> Result<(), Trouble> {
        if unacknowledged.ackers.is_empty() {
            return Ok(());
        }
        while !self.outbox.has_place() {
            self.wait_a_little(session).await?;
        }
        let (done_tx, done_rx) = bounded(1);
        self.outbox.flush(&done_tx);
        drop(done_tx);
        while done_rx.try_recv() != Err(TryRecvError::Disconnected) {
            self.wait_a_little(session).await?;
        }
        if let Some(line) = self.outbox.failed_output() {
            return Err(Trouble::Output(line));
        }
        unacknowledged.since = None;
        for acker in unacknowledged.ackers.drain(..) {
            acker.ack().await.map_err(|error| Trouble::Broker(told(&*error)))?;
        }
        Ok(())
    }

    /// One pause in waiting for the outputs. An error once the end was asked for long ago.
    async fn wait_a_little(&mut self, session: &mut Session) -> Result<(), Trouble> {
        session.keep().await;
        if self.is_asked() && self.asked_at.is_some_and(|at| at.elapsed() > LAST_PATIENCE) {
            return Err(Trouble::Late);
        }
        sleep(LOOK).await;
        Ok(())
    }

    /// A pause that a signal ends.
    async fn rest(&mut self, pause: Duration) {
        let until = Instant::now() + pause;
        while Instant::now() < until && !self.is_asked() {
            sleep(Duration::from_millis(20).min(pause)).await;
        }
    }

    fn warn(&mut self, why: &str) {
        if !std::mem::replace(&mut self.has_warned, true) {
            say(&format!("cannot get events: {why}; it is tried again"));
        }
    }

    /// Ends the outputs, and says what was left out.
    fn close(self, failed: Option<String>) -> Result<(), Failure> {
        let haste = if failed.is_some() { Haste::Hurried } else { Haste::Patient };
        let reports = self.outbox.into_outlets().finish_in(RunFacts::default(), haste);
        let bad: u64 = self.bad.values().sum();
        if bad > 0 {
            say(&format!("{bad} messages were no events and were left out; {} were judged", self.judged));
        }
        match failed.or_else(|| reports.iter().find_map(SinkReport::line)) {
            Some(line) => Err(Failure::output(line)),
            None => Ok(()),
        }
    }
}

/// Messages of a partition that are there now.
async fn fetch(consumer: &PullConsumer, most_bytes: usize) -> Result<Vec<jetstream::Message>, String> {
    let fetching = async {
        let batch = consumer.fetch().max_messages(FETCHED).max_bytes(most_bytes).messages().await;
        let mut batch = batch.map_err(|error| format!("events cannot be fetched: {}", told(&error)))?;
        let mut messages = Vec::new();
        while let Some(message) = batch.next().await {
            match message {
                Ok(message) => messages.push(message),
                // The rest is too long for this time.
                Err(_) if !messages.is_empty() => break,
                Err(error) => return Err(format!("events cannot be fetched: {}", told(&*error))),
            }
        }
        Ok(messages)
    };
    match timeout(Duration::from_secs(5), fetching).await {
        Ok(fetched) => fetched,
        Err(_) => Err("the server did not answer in time".to_owned()),
    }
}
