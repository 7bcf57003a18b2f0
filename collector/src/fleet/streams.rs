//! The streams of a fleet, which are made where they are missing, and used as they are where they exist.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream};

use super::connection::told;
use crate::sinks::message::{ALERTS, EVENTS};
use crate::sinks::recording::schema::own_schema;

/// The header with an event's fragment, in base64.
pub const FRAGMENT: &str = "Glassbox-Event";
/// What stands there instead, before the place in the message where it begins, for one that is too long.
pub const BEHIND: char = '@';
/// The header with the name of the event's machine.
pub const NODE: &str = "Glassbox-Node";
/// Events, alerts, and the schemas of fragments.
pub const EVENT_STREAM: &str = "GLASSBOX_EVENTS";
pub const ALERT_STREAM: &str = "GLASSBOX_ALERTS";
const SCHEMA_STREAM: &str = "GLASSBOX_SCHEMAS";
const SCHEMAS: &str = "glassbox.schemas";

/// How long a stream that is made here keeps its messages.
const KEPT: Duration = Duration::from_secs(72 * 3600);
/// How long it knows the ids of messages, which takes memory of the server for each of them.
const IDS_KNOWN: Duration = Duration::from_secs(120);

/// The stream of this name, below `glassbox.`; the error is for a person.
pub async fn stream(context: &Context, name: &str) -> Result<Stream, String> {
    let (topic, max_age, each) = match name {
        EVENT_STREAM => (format!("{EVENTS}.>"), KEPT, -1),
        ALERT_STREAM => (format!("{ALERTS}.>"), KEPT, -1),
        // One message a build, for as long as there may be events of it.
        _ => (format!("{SCHEMAS}.>"), Duration::ZERO, 1),
    };
    let config = Config {
        name: name.to_owned(),
        subjects: vec![topic],
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        storage: StorageType::File,
        max_age,
        max_messages_per_subject: each,
        duplicate_window: IDS_KNOWN,
        allow_direct: true,
        ..Config::default()
    };
    let made = context.get_or_create_stream(config).await;
    made.map_err(|error| format!("the stream {name} cannot be used: {}", told(&error)))
}

fn schema_subject(number: u32) -> String {
    format!("{SCHEMAS}.{number:08x}")
}

/// Publishes the schema of this build's fragments.
pub async fn publish_schema(context: &Context) -> Result<(), String> {
    stream(context, SCHEMA_STREAM).await?;
    let (text, number) = own_schema();
    let sent = context.publish(schema_subject(number), text.into()).await;
    let acknowledged = sent.map_err(|error| told(&error))?.await;
    acknowledged.map(|_| ()).map_err(|error| format!("the schema of events: {}", told(&error)))
}

/// The schema of this number; `None` where no collector has published it. The error is for a person.
pub async fn schema(context: &Context, number: u32) -> Result<Option<Vec<u8>>, String> {
    use async_nats::jetstream::stream::LastRawMessageErrorKind::NoMessageFound;
    let stream = stream(context, SCHEMA_STREAM).await?;
    match stream.get_last_raw_message_by_subject(&schema_subject(number)).await {
        Ok(message) => Ok(Some(message.payload.to_vec())),
        Err(error) if error.kind() == NoMessageFound => Ok(None),
        Err(error) => Err(format!("the schema of events: {}", told(&error))),
    }
}
