//! Fields: which exist, what type they have, which argument they take, and what an event answers for them.
//!
//! The program that judges events implements [`Catalog`] once and [`Subject`] for each event.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::net::IpAddr;

/// The type of a field's value; decides which operators a check may use and how a literal is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// Bytes that are a name, a path or a line; compared byte by byte.
    Text,
    /// Bytes of a payload; the operators `bcontains` and `bstartswith` take hexadecimal digits.
    Bytes,
    /// A signed number.
    Int,
    /// An unsigned number.
    Uint,
    /// `true` or `false`.
    Bool,
    /// An IP address.
    Address,
    /// An IP address that is compared with networks (CIDR).
    Net,
    /// A port of TCP or UDP.
    Port,
    /// Nanoseconds since the epoch.
    Time,
    /// Nanoseconds.
    Duration,
}

impl Type {
    /// The name that users see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Bool => "bool",
            Self::Address => "address",
            Self::Net => "net",
            Self::Port => "port",
            Self::Time => "time",
            Self::Duration => "duration",
        }
    }
}

impl Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The form of an argument in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArgumentKind {
    /// A decimal number, such as in `proc.aname[2]`.
    Index,
    /// Any text, such as in `proc.env[PATH]`.
    Key,
    /// A number is an index, everything else a key: `container.mount.dest[0]`, `container.mount.dest[/etc*]`.
    IndexOrKey,
}

/// Whether a field takes an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArgumentRule {
    /// An argument is an error.
    None,
    /// With an argument the field means one part, without it the whole.
    Optional(ArgumentKind),
    /// The field has no meaning without one.
    Required(ArgumentKind),
}

/// A field as the catalog describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSpec {
    /// The full name, such as `proc.name`.
    pub name: &'static str,
    /// The type of its value, or of each element of a list.
    pub kind: Type,
    /// The field may answer with [`Answer::List`]; a check holds if it holds for any element. The check `!=`
    /// of an address, a network or a port holds if it holds for each.
    pub is_list: bool,
    /// Whether it takes an argument in brackets.
    pub argument: ArgumentRule,
    /// The argument may also follow a dot, such as in `evt.arg.path`, which means `evt.arg[path]`.
    pub has_suffix: bool,
    /// One sentence for `glassbox fields`.
    pub help: &'static str,
}

/// The index of a field in its catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldId(pub u16);

/// The fields that exist.
pub trait Catalog {
    /// All fields; a [`FieldId`] is an index into them.
    fn fields(&self) -> &[FieldSpec];

    /// Finds a field by its full name.
    fn find(&self, name: &str) -> Option<FieldId> {
        let index = self.fields().iter().position(|spec| spec.name == name)?;
        u16::try_from(index).ok().map(FieldId)
    }

    /// Whether `evt.type` may have this value; a condition that names another one is refused.
    fn has_event_type(&self, _name: &str) -> bool {
        true
    }
}

/// The argument of a field, parsed when the condition is compiled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Argument {
    /// A number.
    Index(u64),
    /// A text.
    Key(Box<str>),
}

/// The value of a field for one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The event has no such value, or it cannot be known: every check of it is false.
    Absent,
    /// For [`Type::Text`] and [`Type::Bytes`].
    Text(Cow<'a, [u8]>),
    /// For [`Type::Int`], [`Type::Duration`].
    Int(i64),
    /// For [`Type::Uint`], [`Type::Port`], [`Type::Time`], [`Type::Duration`].
    Uint(u64),
    /// For [`Type::Bool`].
    Bool(bool),
    /// For [`Type::Address`] and [`Type::Net`].
    Address(IpAddr),
    /// Several values; an empty list is as [`Answer::Absent`].
    List(Vec<Answer<'a>>),
    /// The result of a call that has not returned and is not known to fail. A check holds if it holds for
    /// each value that a success can give, and exists. Outputs, windows, transformers and `val()` have no
    /// value.
    Presumed(Success),
}

/// The values that a call that succeeds can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Success {
    /// This text alone.
    Text(&'static str),
    /// Any number from 0 on.
    NotNegative,
}

/// One event, as the engine asks it.
pub trait Subject {
    /// The value of a field. Called at most once for each pair of field and argument while one event is
    /// judged.
    fn field(&self, id: FieldId, argument: Option<&Argument>) -> Answer<'_>;
}

/// A field and its argument, checked against a catalog.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldUse {
    /// The field.
    pub id: FieldId,
    /// Its argument, from the brackets or from the suffix.
    pub argument: Option<Argument>,
}

/// Finds the field that a condition or an output names, and checks its argument.
///
/// The error is a message that says what is wrong with the name or the argument.
pub fn resolve(catalog: &dyn Catalog, name: &str, argument: Option<&str>) -> Result<FieldUse, String> {
    let (id, argument) = match catalog.find(name) {
        Some(id) => (id, argument),
        None => with_suffix(catalog, name, argument).ok_or_else(|| unknown(name))?,
    };
    let spec = spec(catalog, id).ok_or_else(|| unknown(name))?;
    let kind = match (spec.argument, argument) {
        (ArgumentRule::None, Some(given)) => {
            return Err(format!("field '{name}' takes no argument, but has '[{given}]'"));
        }
        (ArgumentRule::Required(_), None) => {
            return Err(format!("field '{name}' needs an argument: '{name}[…]'"));
        }
        (_, None) => return Ok(FieldUse { id, argument: None }),
        (ArgumentRule::Optional(kind) | ArgumentRule::Required(kind), Some(_)) => kind,
    };
    let given = argument.unwrap_or_default();
    let index = given.bytes().all(|byte| byte.is_ascii_digit()).then(|| given.parse().ok()).flatten();
    let argument = match (kind, index) {
        (ArgumentKind::Index | ArgumentKind::IndexOrKey, Some(index)) => Argument::Index(index),
        (ArgumentKind::Index, None) => {
            return Err(format!("the argument of field '{name}' must be a number, not '{given}'"));
        }
        (ArgumentKind::Key | ArgumentKind::IndexOrKey, _) => Argument::Key(given.into()),
    };
    Ok(FieldUse { id, argument: Some(argument) })
}

/// The description of a field.
#[must_use]
pub fn spec(catalog: &dyn Catalog, id: FieldId) -> Option<&FieldSpec> {
    catalog.fields().get(usize::from(id.0))
}

/// Reads `evt.arg.path` as `evt.arg[path]`, if the catalog allows it.
fn with_suffix<'a>(
    catalog: &dyn Catalog,
    name: &'a str,
    argument: Option<&'a str>,
) -> Option<(FieldId, Option<&'a str>)> {
    if argument.is_some() {
        return None;
    }
    let dots = name.match_indices('.').map(|(at, _)| at);
    dots.rev().find_map(|dot| {
        let id = catalog.find(&name[..dot])?;
        spec(catalog, id)?.has_suffix.then(|| (id, Some(&name[dot + 1..])))
    })
}

fn unknown(name: &str) -> String {
    format!("unknown field '{name}'")
}
