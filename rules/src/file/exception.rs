//! Exceptions of a rule, and the condition that they become.

use super::item::{Context, Item, Word};
use super::place::{Report, Spot};
use super::traced::Traced;
use super::yaml::{Kind, Node};

/// A value, or a list of values, of a list or of a single one.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Word(Word),
    List(Vec<Entry>, Spot),
}

impl Entry {
    fn spot(&self) -> Spot {
        match self {
            Entry::Word(word) => word.spot,
            Entry::List(_, spot) => *spot,
        }
    }
}

/// An exception as it is written.
#[derive(Clone, Debug)]
pub(super) struct Exception {
    pub name: Word,
    pub fields: Option<Entry>,
    pub comps: Option<Entry>,
    pub values: Vec<Entry>,
}

/// Whether an exception may leave out its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Partial {
    /// It adds values to one that is there.
    Allowed,
    /// It stands alone.
    Refused,
}

/// Operators whose right side is a list.
const OF_LISTS: [&str; 3] = ["in", "intersects", "pmatch"];

/// Operators of which `oneof`, `anyof` and `allof` make operators of lists.
const OF_TEXT: [&str; 13] = [
    "=",
    "==",
    "!=",
    "glob",
    "iglob",
    "contains",
    "icontains",
    "bcontains",
    "startswith",
    "bstartswith",
    "endswith",
    "regex",
    "exists",
];

const OF_NUMBERS: [&str; 4] = ["<", "<=", ">", ">="];

const MODIFIERS: [&str; 3] = ["oneof", "anyof", "allof"];

fn is_list_operator(operator: &str) -> bool {
    let mut words = operator.split_ascii_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(operator), None, None) => OF_LISTS.contains(&operator),
        (Some(operator), Some(modifier), None) => {
            OF_TEXT.contains(&operator) && operator != "exists" && MODIFIERS.contains(&modifier)
        }
        _ => false,
    }
}

fn is_operator(operator: &str) -> bool {
    OF_TEXT.contains(&operator) || OF_NUMBERS.contains(&operator) || is_list_operator(operator)
}

/// Reads the key `exceptions` of a rule; `None` if something is wrong.
pub(super) fn read(context: &mut Context, node: &Node, partial: Partial) -> Option<Vec<Exception>> {
    if node.is_null() {
        return Some(Vec::new());
    }
    let Kind::Sequence(nodes) = node.kind() else {
        context.error(node, "'exceptions' must be a list");
        return None;
    };
    let mut exceptions: Vec<Exception> = Vec::new();
    let mut is_whole = true;
    for node in nodes {
        if context.is_done() {
            return None;
        }
        let Some(exception) = read_one(context, node, partial) else {
            is_whole = false;
            continue;
        };
        if exceptions.iter().any(|other| other.name.text == exception.name.text) {
            let message = format!("exception '{}' is there twice in the same rule", exception.name.text);
            context.report.warning(exception.name.spot, message);
        }
        exceptions.push(exception);
    }
    is_whole.then_some(exceptions)
}

fn read_one(context: &mut Context, node: &Node, partial: Partial) -> Option<Exception> {
    let Some(item) = Item::new(node) else {
        context.error(node, "an exception must be a mapping");
        return None;
    };
    item.warn_of_keys(context, "an exception", &["name", "fields", "comps", "values"]);
    let Some(name) = item.get("name") else {
        context.error(node, "an exception needs a 'name'");
        return None;
    };
    let name = context.word(name, "the name of an exception")?;
    let mut is_whole = true;
    let mut entry = |context: &mut Context, key: &str| {
        let node = item.get(key).filter(|node| !node.is_null())?;
        let entry = read_entry(context, node, &format!("'{key}' of an exception"));
        is_whole &= entry.is_some();
        entry
    };
    let fields = entry(context, "fields");
    let comps = entry(context, "comps");
    if partial == Partial::Refused && !item.has("fields") {
        context.report.error(name.spot, format!("exception '{}' needs 'fields'", name.text));
        is_whole = false;
    }
    let mut values = Vec::new();
    match item.get("values").map(|node| (node, node.kind())) {
        Some((_, Kind::Sequence(nodes))) => {
            for node in nodes {
                let value = read_entry(context, node, "a value of an exception");
                is_whole &= value.is_some();
                values.extend(value);
                if context.is_done() {
                    return None;
                }
            }
        }
        Some((node, _)) => {
            context.error(node, "'values' of an exception must be a list");
            is_whole = false;
        }
        None if partial == Partial::Allowed => {
            let message = format!("nothing is appended to exception '{}': it has no 'values'", name.text);
            context.report.warning(name.spot, message);
        }
        None => {}
    }
    is_whole.then_some(Exception { name, fields, comps, values })
}

fn read_entry(context: &mut Context, node: &Node, what: &str) -> Option<Entry> {
    let Kind::Sequence(nodes) = node.kind() else {
        return context.word(node, what).map(Entry::Word);
    };
    let spot = context.spot(node);
    let item = format!("an item of {}", what.trim_start_matches("an item of "));
    let mut entries = Vec::new();
    let mut is_whole = true;
    for node in nodes {
        let entry = read_entry(context, node, &item);
        is_whole &= entry.is_some();
        entries.extend(entry);
        if context.is_done() {
            return None;
        }
    }
    is_whole.then_some(Entry::List(entries, spot))
}

/// Checks that fields, operators and values fit together, and puts in the operators that were left out.
///
/// False if something is wrong.
pub(super) fn complete(exception: &mut Exception, report: &mut Report) -> bool {
    let name = &exception.name;
    let mut refuse = |spot: Spot, message: String| {
        report.error(spot, format!("exception '{}': {message}", name.text));
        false
    };
    let equal = |spot| Entry::Word(Word { text: "=".into(), spot });
    let inside = |spot| Entry::Word(Word { text: "in".into(), spot });
    match (&exception.fields, &exception.comps) {
        (None, _) => refuse(name.spot, "'fields' is missing".into()),
        (Some(Entry::Word(field)), None) => {
            exception.comps = Some(inside(field.spot));
            true
        }
        (Some(Entry::Word(_)), Some(Entry::List(_, spot))) => {
            refuse(*spot, "'fields' is a single field, so 'comps' must be a single operator".into())
        }
        (Some(Entry::Word(_)), Some(Entry::Word(operator))) => {
            let message =
                || format!("'{}' compares with no list; use in, pmatch or intersects", operator.text);
            is_list_operator(&operator.text) || refuse(operator.spot, message())
        }
        (Some(Entry::List(fields, spot)), None) => {
            exception.comps = Some(Entry::List(fields.iter().map(|_| equal(*spot)).collect(), *spot));
            true
        }
        (Some(Entry::List(..)), Some(Entry::Word(operator))) => {
            refuse(operator.spot, "'fields' is a list, so 'comps' must be one of equal length".into())
        }
        (Some(Entry::List(fields, _)), Some(Entry::List(comps, spot))) => {
            if fields.len() != comps.len() {
                let message = format!("{} fields, but {} operators in 'comps'", fields.len(), comps.len());
                return refuse(*spot, message);
            }
            comps.iter().all(|comp| match comp {
                Entry::Word(operator) if is_operator(&operator.text) => true,
                Entry::Word(operator) => {
                    refuse(operator.spot, format!("unknown operator '{}'", operator.text))
                }
                Entry::List(_, spot) => refuse(*spot, "an operator must be a single value".into()),
            })
        }
    }
}

/// The condition with its exceptions: `(condition) and not …`; `None` if something is wrong.
///
/// The exceptions have passed [`complete`].
pub(super) fn apply(condition: &Traced, exceptions: &[Exception], report: &mut Report) -> Option<Traced> {
    let start = condition.spot(0);
    let mut whole = Traced::default();
    whole.push("(", start);
    whole.push_all(condition);
    whole.push(")", condition.spot(condition.len()));
    let mut is_right = true;
    for exception in exceptions {
        let part = match (&exception.fields, &exception.comps) {
            (Some(Entry::Word(field)), Some(Entry::Word(operator))) => {
                one_field(exception, field, operator, report)
            }
            (Some(Entry::List(fields, _)), Some(Entry::List(comps, _))) => {
                many_fields(exception, fields, comps, report)
            }
            _ => None,
        };
        match part {
            Some(part) if part.len() > 0 => {
                whole.push(" and not ", exception.name.spot);
                whole.push_all(&part);
            }
            Some(_) => {}
            None => is_right = false,
        }
    }
    is_right.then_some(whole)
}

fn one_field(exception: &Exception, field: &Word, operator: &Word, report: &mut Report) -> Option<Traced> {
    let mut part = Traced::default();
    for value in &exception.values {
        let Entry::Word(value) = value else {
            let message = "'fields' is a single field, so each value must be a single one";
            report.error(value.spot(), format!("exception '{}': {message}", exception.name.text));
            return None;
        };
        if part.len() == 0 {
            part.push("(", field.spot);
            part.push(&field.text, field.spot);
            part.push(" ", field.spot);
            part.push(&operator.text, operator.spot);
            part.push(" (", operator.spot);
        } else {
            part.push(", ", value.spot);
        }
        push_quoted(&mut part, value);
    }
    if part.len() > 0 {
        part.push("))", exception.name.spot);
    }
    Some(part)
}

fn many_fields(
    exception: &Exception,
    fields: &[Entry],
    comps: &[Entry],
    report: &mut Report,
) -> Option<Traced> {
    let mut part = Traced::default();
    for values in &exception.values {
        let (values, spot) = match values {
            Entry::List(values, spot) if values.len() == fields.len() => (values, *spot),
            other => {
                let given = if let Entry::List(values, _) = other { values.len() } else { 1 };
                let message = format!(
                    "exception '{}': {} fields, but a value of {given}; each must have one for each field",
                    exception.name.text,
                    fields.len()
                );
                report.error(other.spot(), message);
                return None;
            }
        };
        part.push(if part.len() == 0 { "((" } else { " or (" }, spot);
        for (n, ((field, comp), value)) in fields.iter().zip(comps).zip(values).enumerate() {
            let (Entry::Word(field), Entry::Word(operator)) = (field, comp) else {
                report.error(
                    field.spot(),
                    format!("exception '{}': a field must be a single one", exception.name.text),
                );
                return None;
            };
            part.push(if n == 0 { "" } else { " and " }, value.spot());
            part.push(&field.text, field.spot);
            part.push(" ", field.spot);
            part.push(&operator.text, operator.spot);
            part.push(" ", operator.spot);
            push_value(&mut part, value, operator, exception, report)?;
        }
        part.push(")", spot);
    }
    if part.len() > 0 {
        part.push(")", exception.name.spot);
    }
    Some(part)
}

fn push_value(
    part: &mut Traced,
    value: &Entry,
    operator: &Word,
    exception: &Exception,
    report: &mut Report,
) -> Option<()> {
    match value {
        Entry::List(values, spot) => {
            part.push("(", *spot);
            for (n, value) in values.iter().enumerate() {
                let Entry::Word(value) = value else {
                    let message =
                        format!("exception '{}': a list within a list of values", exception.name.text);
                    report.error(value.spot(), message);
                    return None;
                };
                part.push(if n == 0 { "" } else { ", " }, value.spot);
                push_quoted(part, value);
            }
            part.push(")", *spot);
        }
        Entry::Word(value) if !is_list_operator(&operator.text) => push_quoted(part, value),
        Entry::Word(value) if value.text.starts_with('(') => part.push(&value.text, value.spot),
        Entry::Word(value) => {
            part.push("(", value.spot);
            part.push(&value.text, value.spot);
            part.push(")", value.spot);
        }
    }
    Some(())
}

/// Appends a value; one with a blank gets quotes, unless it has some.
pub(super) fn push_quoted(part: &mut Traced, value: &Word) {
    let is_quoted = value.text.starts_with(['"', '\'']);
    let quote = if value.text.contains(' ') && !is_quoted { "\"" } else { "" };
    part.push(quote, value.spot);
    part.push(&value.text, value.spot);
    part.push(quote, value.spot);
}
