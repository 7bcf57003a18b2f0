//! The event table as data, for `docs/events.md`, the JSON writer and the rule fields.

use crate::events::{self, Kind, RECORDS, table};

/// One event of the table.
#[derive(Debug)]
pub struct EventSpec {
    /// Its number.
    pub kind: Kind,
    /// Its name, `noun.verb`.
    pub name: &'static str,
    /// Its documentation, line by line.
    pub doc: &'static [&'static str],
    pub(crate) all_fields: &'static [FieldSpec],
}

impl EventSpec {
    /// The fields that a reader sees, in the order of the table: first those that the sensor sends, then
    /// those that the collector adds. `Decoded::show` numbers the former by their place here.
    pub fn fields(&self) -> impl Iterator<Item = &'static FieldSpec> + use<> {
        self.all_fields.iter().filter(|field| !field.shows.is_empty())
    }

    /// The place of the field called `name` among [`Self::fields`].
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.fields().position(|field| field.name() == name)
    }

    /// The event's entry in the table; `None` for a record that is no event.
    pub fn of(kind: Kind) -> Option<&'static Self> {
        EVENTS.iter().find(|spec| spec.kind == kind)
    }
}

/// One field of an event.
#[derive(Debug)]
pub struct FieldSpec {
    pub(crate) name: &'static str,
    /// Its documentation, line by line.
    pub doc: &'static [&'static str],
    /// The kind of value that a reader sees; empty for a field that no reader sees.
    pub shows: &'static str,
    /// Its origin.
    pub source: Source,
}

impl FieldSpec {
    /// The field's name in JSON.
    pub fn name(&self) -> &'static str {
        self.name.strip_prefix("r#").unwrap_or(self.name)
    }
}

/// The origin of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It travels in the record.
    Sensor,
    /// The collector works it out.
    Collector,
}

macro_rules! specs {
    ($lifetime:tt
     events { $(
        $(#[doc = $doc:literal])+
        $name:ident = $number:literal $event:literal {
            $(sent $(<$borrow:tt>)? { $($(#[doc = $sent_doc:literal])+ $sent:ident: $sent_type:ty,)* })?
            $(added { $($(#[doc = $added_doc:literal])+ $added:ident: $added_type:literal,)* })?
        }
     )* }
     records $records:tt) => {
        const SPECS: &[EventSpec] = &[ $(
            EventSpec {
                kind: Kind::$name,
                name: $event,
                doc: &[$($doc),+],
                all_fields: &[
                    $($( FieldSpec {
                        name: stringify!($sent),
                        doc: &[$($sent_doc),+],
                        shows: events::$name::$sent,
                        source: Source::Sensor,
                    }, )*)?
                    $($( FieldSpec {
                        name: stringify!($added),
                        doc: &[$($added_doc),+],
                        shows: $added_type,
                        source: Source::Collector,
                    }, )*)?
                ],
            },
        )* ];
    };
}
/// Events that exist and that `docs/contract.md` does not fix.
pub const NOT_FIXED: [&str; 12] = [
    "process.control",
    "process.limit",
    "file.mknod",
    "file.handle",
    "file.times",
    "file.stat",
    "file.access",
    "file.readlink",
    "file.allocate",
    "file.lock",
    "file.sync",
    "dns.reverse",
];

table! { specs }

/// Every event, in the order of the table.
pub static EVENTS: &[EventSpec] = SPECS;

/// FNV-1a over every event's and field's name and type, in order.
#[allow(clippy::indexing_slicing)] // evaluated at compile time only
pub(crate) const fn fingerprint() -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut event = 0;
    while event < SPECS.len() {
        hash = fnv(hash, SPECS[event].name.as_bytes());
        hash = fnv(hash, &(SPECS[event].kind as u16).to_le_bytes());
        let fields = SPECS[event].all_fields;
        let mut field = 0;
        while field < fields.len() {
            hash = fnv(hash, fields[field].name.as_bytes());
            hash = fnv(hash, fields[field].shows.as_bytes());
            field += 1;
        }
        event += 1;
    }
    let mut record = 0;
    while record < RECORDS.len() {
        hash = fnv(hash, RECORDS[record].0.as_bytes());
        record += 1;
    }
    hash
}

/// One more string in an FNV-1a hash; the string's end counts.
#[allow(clippy::indexing_slicing)] // below the length that the loop checks
pub const fn fnv(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut index = 0;
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u64).wrapping_mul(0x100_0000_01b3);
        index += 1;
    }
    (hash ^ 0xff).wrapping_mul(0x100_0000_01b3)
}

/// Hash of lists of names, in order: two programs compare it to find out whether they were built from the
/// same table.
#[allow(clippy::indexing_slicing)] // below the lengths that the loops check
pub const fn hash_names(lists: &[&[&str]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut list = 0;
    while list < lists.len() {
        let mut name = 0;
        while name < lists[list].len() {
            hash = fnv(hash, lists[list][name].as_bytes());
            name += 1;
        }
        hash = fnv(hash, b"");
        list += 1;
    }
    hash
}
