//! Messages of the event stream, read back into events; the content of each may be anything.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::streams::{self, BEHIND, FRAGMENT, NODE};
use crate::event::{Batch, id};
use crate::sinks::recording::fragment::{self, FragmentReader};
use crate::sinks::recording::schema::own_schema;

/// The longest fragment, bytes: an event has far less, with all its ancestors.
const LONGEST: usize = 1 << 20;
/// Schemas beside its own that a judge reads in its life, each of a build of the fleet's collectors. A reader
/// takes some 300 KB, and the names in its schema stay until the process ends.
const MOST_SCHEMAS: usize = 32;

/// The longest name of a machine (HOST_NAME_MAX is 64), bytes.
const LONGEST_NODE: usize = 256;
/// Names of machines that are kept.
const MOST_NODES: usize = 1 << 14;

/// Reads messages.
#[derive(Default)]
pub struct Messages {
    /// Readers by the number of their schema; `None` for one that is no schema.
    readers: HashMap<u32, Option<FragmentReader>>,
    /// Machines, so that events share their names.
    nodes: HashSet<Arc<str>>,
}

/// What a message is.
pub enum Message {
    /// One event, with its origin and number.
    Event(Batch),
    /// No event that this version can read, and why.
    Bad(&'static str),
    /// Perhaps an event, of which no collector has published the schema.
    Unknown,
}

impl Messages {
    /// Reads a message. Fails where a schema cannot be fetched at the moment.
    pub async fn read(
        &mut self,
        context: &Context,
        headers: Option<&HeaderMap>,
        payload: &[u8],
    ) -> Result<Message, String> {
        let header = |name: &str| headers.and_then(|headers| headers.get(name)).map(|value| value.as_str());
        let Some(text) = header(FRAGMENT) else {
            return Ok(Message::Bad("it has no header Glassbox-Event"));
        };
        let Some((origin, number)) = header(async_nats::header::NATS_MESSAGE_ID.as_ref()).and_then(id::read)
        else {
            return Ok(Message::Bad("its Nats-Msg-Id is no id of an event"));
        };
        let fragment = match text.strip_prefix(BEHIND) {
            Some(at) => at.parse().ok().and_then(|at: usize| payload.get(at..)).map(<[u8]>::to_vec),
            None => STANDARD_NO_PAD.decode(text).ok(),
        };
        let Some(fragment) = fragment.filter(|fragment| fragment.len() <= LONGEST) else {
            return Ok(Message::Bad("its header Glassbox-Event is no base64, or too long"));
        };
        let Some(schema) = fragment::schema_of(&fragment) else {
            return Ok(Message::Bad("its header Glassbox-Event is of another form"));
        };
        if self.is_one_too_many(schema) {
            return Ok(Message::Bad("it is of one version too many, until the judge is started again"));
        }
        let reader = match self.readers.get_mut(&schema) {
            Some(reader) => reader,
            None => match self.fetch(context, schema).await? {
                Some(reader) => reader,
                None => return Ok(Message::Unknown),
            },
        };
        let Some(mut batch) = reader.as_mut().and_then(|reader| reader.read(&fragment)) else {
            return Ok(Message::Bad("its header Glassbox-Event is damaged, or of a later version"));
        };
        batch.origin = origin;
        batch.node = header(NODE).filter(|node| node.len() <= LONGEST_NODE).map(|node| self.node(node));
        batch.events.iter_mut().for_each(|event| event.number = number);
        Ok(Message::Event(batch))
    }

    fn node(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.nodes.get(name) {
            return Arc::clone(known);
        }
        if self.nodes.len() >= MOST_NODES {
            self.nodes.clear();
        }
        let name: Arc<str> = name.into();
        self.nodes.insert(Arc::clone(&name));
        name
    }

    /// Whether a schema is another one than those that are read.
    fn is_one_too_many(&self, number: u32) -> bool {
        let own = own_schema().1;
        let strangers = self.readers.len() - usize::from(self.readers.contains_key(&own));
        number != own && strangers >= MOST_SCHEMAS && !self.readers.contains_key(&number)
    }

    /// Fetches a schema; `None` where there is none of this number.
    async fn fetch(
        &mut self,
        context: &Context,
        number: u32,
    ) -> Result<Option<&mut Option<FragmentReader>>, String> {
        let (own, own_number) = own_schema();
        let schema = match number == own_number {
            true => Some(own.to_vec()),
            false => streams::schema(context, number).await?,
        };
        let Some(schema) = schema else { return Ok(None) };
        Ok(Some(self.readers.entry(number).or_insert_with(|| FragmentReader::new(&schema))))
    }
}
