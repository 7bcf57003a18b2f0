//! The transport of `-o nats:`: messages to JetStream, each of which the server acknowledges.
//!
//! The runtime runs in the thread of the output, and only while something is sent. So a connection that was
//! not used for a while is made anew: the server may have closed it.

use std::error::Error;
use std::ffi::OsStr;
use std::pin::pin;
use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, Context, ErrorCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use futures_util::future::{Either, join_all, select};
use tokio::runtime::{Builder, Runtime};

use super::connection::{Broker, told};
use super::streams::{self, ALERT_STREAM, BEHIND, EVENT_STREAM, FRAGMENT, NODE};
use crate::shell::failure::Failure;
use crate::sinks::carrier::kind::{Only, Options};
use crate::sinks::carrier::transport::{Bounds, Shipped, Transport};
use crate::sinks::message::divided;
use crate::sinks::parcel::Parcel;

/// Messages that may wait for their acknowledgement together, and their bytes.
const MOST_MESSAGES: usize = 512;
const MOST_BYTES: usize = 1 << 20;
/// JetStream takes headers of 64 KB together. A longer fragment goes behind the message's text.
const LONGEST_HEADER: usize = 60 << 10;
/// A few messages go no more often than this.
const LINGER: Duration = Duration::from_millis(20);
/// A connection that was not used for so long is made anew. Servers ask after one every two minutes.
const STALE: Duration = Duration::from_secs(60);
/// How often a connection is looked at while acknowledgements are waited for.
const LOOK: Duration = Duration::from_millis(50);

/// Answers to a message that no later try makes smaller.
const TOO_LARGE: [ErrorCode; 2] =
    [ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM, ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM];

/// Publishes parcels.
pub struct Publisher {
    runtime: Runtime,
    broker: Broker,
    only: Option<Only>,
    /// The name of this machine.
    node: String,
    live: Option<Live>,
}

struct Live {
    client: Client,
    context: Context,
    used: Instant,
}

/// Why a message has no acknowledgement.
enum Unsent {
    /// The server will never take it.
    Refused(String),
    /// It may take it later.
    Later(String),
}

impl Publisher {
    /// A publisher to the servers of a place. Nothing is connected yet. Fails as [`Broker::of`] does.
    pub fn new(place: &OsStr, options: &Options) -> Result<Self, Failure> {
        let broker = Broker::of(place, options)?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::internal(format!("cannot make a runtime for NATS: {error}")))?;
        let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Ok(Self { runtime, broker, only: options.only, node: header(&node), live: None })
    }
}

impl Transport for Publisher {
    fn bounds(&self) -> Bounds {
        Bounds { parcels: MOST_MESSAGES, bytes: MOST_BYTES, is_one_lane: false, linger: LINGER }
    }

    fn ship(&mut self, parcels: &[Parcel<'_>]) -> Shipped {
        let Self { runtime, broker, only, node, live } = self;
        let sent = runtime.block_on(async {
            let is_fresh = |live: &Live| {
                live.used.elapsed() < STALE && live.client.connection_state() == State::Connected
            };
            let present = match live.take().filter(is_fresh) {
                Some(present) => present,
                None => Live::connect(broker, *only).await?,
            };
            let present = live.insert(present);
            present.used = Instant::now();
            present.publish(parcels, node, broker.timeout).await
        });
        match sent {
            Ok((refused, why)) => Shipped::Taken { refused, why },
            Err(why) => {
                // Whatever is on its way there is sent again, by the same ids.
                *live = None;
                Shipped::later(why)
            }
        }
    }
}

impl Live {
    async fn connect(broker: &Broker, only: Option<Only>) -> Result<Self, String> {
        let (client, context) = broker.connect().await?;
        if only != Some(Only::Alerts) {
            streams::stream(&context, EVENT_STREAM).await?;
            streams::publish_schema(&context).await?;
        }
        if only != Some(Only::Events) {
            streams::stream(&context, ALERT_STREAM).await?;
        }
        Ok(Self { client, context, used: Instant::now() })
    }

    /// Publishes all, and waits for all acknowledgements. Gives the events that the server refused for good,
    /// and why; an error where any may still be taken.
    async fn publish(
        &self,
        parcels: &[Parcel<'_>],
        node: &str,
        timeout: Duration,
    ) -> Result<(u64, Option<String>), String> {
        let (mut refused, mut why) = (0, None);
        let mut sent: Vec<(u32, PublishAckFuture)> = Vec::new();
        for parcel in parcels {
            let events = parcel.events;
            match self.send(parcel, node).await {
                Ok(acknowledgement) => sent.push((events, acknowledgement)),
                Err(Unsent::Refused(reason)) => {
                    refused += u64::from(events);
                    why = Some(reason);
                }
                Err(Unsent::Later(reason)) => return Err(reason),
            }
        }
        let (events, waiting): (Vec<u32>, Vec<_>) =
            sent.into_iter().map(|(events, sent)| (events, sent.into_future())).unzip();
        let all = tokio::time::timeout(timeout, join_all(waiting));
        let answers = match select(pin!(all), pin!(self.breaks())).await {
            Either::Left((Ok(answers), _)) => answers,
            Either::Left((Err(_), _)) => return Err("the server did not acknowledge in time".to_owned()),
            Either::Right(((), _)) => return Err("the connection broke".to_owned()),
        };
        for (events, answer) in events.into_iter().zip(answers) {
            match answer.map_err(|error| unsent(&error)) {
                Ok(_) => {}
                Err(Unsent::Refused(reason)) => {
                    refused += u64::from(events);
                    why = Some(reason);
                }
                Err(Unsent::Later(reason)) => return Err(reason),
            }
        }
        Ok((refused, why))
    }

    async fn send(&self, parcel: &Parcel<'_>, node: &str) -> Result<PublishAckFuture, Unsent> {
        let fault = || Unsent::Refused("it was given no message, a fault of ours".to_owned());
        let (fragment, json) = divided(parcel.body).ok_or_else(fault)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| fault());
        let (subject, id) = (text(parcel.lane)?, text(parcel.id)?);
        let mut payload = json.to_vec();
        let mut message = PublishMessage::build().message_id(id);
        if !fragment.is_empty() {
            let mut text = STANDARD_NO_PAD.encode(fragment);
            if text.len() > LONGEST_HEADER {
                payload.push(b'\n');
                text = format!("{BEHIND}{}", payload.len());
                payload.extend_from_slice(fragment);
            }
            message = message.header(FRAGMENT, text).header(NODE, node);
        }
        let message = message.payload(payload.into());
        self.context.send_publish(subject, message).await.map_err(|error| unsent(&error))
    }

    /// Ends once the connection is none.
    async fn breaks(&self) {
        while self.client.connection_state() == State::Connected {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// A text that a header may hold.
fn header(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}

fn unsent(error: &PublishError) -> Unsent {
    let line = told(error);
    let code = error.source().and_then(|source| source.downcast_ref::<jetstream::Error>());
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => Unsent::Refused(line),
        _ if code.is_some_and(|code| TOO_LARGE.contains(&code.error_code())) => Unsent::Refused(line),
        PublishErrorKind::StreamNotFound => {
            Unsent::Later("no stream takes its subjects, or JetStream is off".to_owned())
        }
        _ => Unsent::Later(line),
    }
}
