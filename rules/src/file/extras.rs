//! Our own keys of a rule, which Falco ignores with a warning: windows and examples.

use std::borrow::Cow;
use std::net::IpAddr;

use super::item::{Context, Item, cut};
use super::yaml::{Kind, Node};
use crate::examples::{Example, ExampleEvent, MOST_TIMES};
use crate::field::{self, Answer, Catalog, FieldSpec, FieldUse, Type};
use crate::names;
use crate::window::{MOST_COUNT, Window};

/// Reads `x-glassbox-window`; `None` if something is wrong.
pub(super) fn window(context: &mut Context, node: &Node, catalog: &dyn Catalog) -> Option<Window> {
    let Some(item) = Item::new(node) else {
        context.error(node, "'x-glassbox-window' must be a mapping");
        return None;
    };
    item.warn_of_keys(context, "'x-glassbox-window'", &["count", "distinct", "by", "within"]);
    let count = item.get("count").map(|node| count(context, node, "'count'", MOST_COUNT));
    let within = item.get("within").map(|node| duration(context, node, "'within'"));
    for (key, is_there) in [("count", count.is_some()), ("within", within.is_some())] {
        if !is_there {
            context.error(node, format!("'x-glassbox-window' needs '{key}'"));
        }
    }
    let distinct = item.get("distinct").map(|node| field_use(context, node, catalog));
    let by = item.get("by").map(|node| match node.kind() {
        Kind::Sequence(nodes) => {
            until_done(context, nodes, |context, node| field_use(context, node, catalog))
        }
        _ => field_use(context, node, catalog).map(|field| vec![field]),
    });
    let (count, within_ns) = (count??, within??);
    if within_ns == 0 {
        context.error(item.get("within").unwrap_or(node), "'within' must be longer than nothing");
        return None;
    }
    let distinct = match distinct {
        Some(field) => Some(field?),
        None => None,
    };
    Some(Window { count, distinct, by: by.unwrap_or_else(|| Some(Vec::new()))?, within_ns })
}

/// Reads each node, also behind one that has an error; `None` if one has.
fn until_done<'t, 'r, T>(
    context: &mut Context<'t, 'r>,
    nodes: &[Node],
    mut read: impl FnMut(&mut Context<'t, 'r>, &Node) -> Option<T>,
) -> Option<Vec<T>> {
    let mut parts = Vec::new();
    let mut is_whole = true;
    for node in nodes {
        let part = read(context, node);
        is_whole &= part.is_some();
        parts.extend(part);
        if context.is_done() {
            return None;
        }
    }
    is_whole.then_some(parts)
}

/// A field as in a condition, with its argument in brackets.
fn field_use(context: &mut Context, node: &Node, catalog: &dyn Catalog) -> Option<FieldUse> {
    let word = context.word(node, "a field")?;
    match resolve(&word.text, catalog) {
        Ok(field) => Some(field),
        Err(message) => {
            context.error(node, message);
            None
        }
    }
}

/// Finds a field that is written as in a condition.
pub(super) fn resolve(text: &str, catalog: &dyn Catalog) -> Result<FieldUse, String> {
    let (name, argument) = match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
        Some((name, argument)) => (name, Some(argument)),
        None => (text, None),
    };
    let unquoted = argument.map(|argument| {
        let quotes = ['"', '\''].into_iter();
        let mut inner = quotes.filter_map(|quote| argument.strip_prefix(quote)?.strip_suffix(quote));
        inner.next().unwrap_or(argument)
    });
    names::resolve(catalog, name, unquoted)
}

fn count(context: &mut Context, node: &Node, what: &str, most: u32) -> Option<u32> {
    let number = context.number(node, what)?;
    let count = u32::try_from(number).ok().filter(|count| (1..=most).contains(count));
    if count.is_none() {
        context.error(node, format!("{what} must be from 1 to {most}, not {number}"));
    }
    count
}

/// Nanoseconds, from a number with one of the units ns, us, ms, s, m and h.
fn duration(context: &mut Context, node: &Node, what: &str) -> Option<u64> {
    let word = context.word(node, what)?;
    let digits = word.text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = word.text.split_at(digits);
    let unit_ns: Option<u64> = match unit {
        "ns" => Some(1),
        "us" => Some(1_000),
        "ms" => Some(1_000_000),
        "s" => Some(1_000_000_000),
        "m" => Some(60 * 1_000_000_000),
        "h" => Some(3600 * 1_000_000_000),
        _ => None,
    };
    let length = unit_ns.and_then(|unit_ns| number.parse::<u64>().ok()?.checked_mul(unit_ns));
    if length.is_none() {
        let message =
            format!("{what} must be a time such as '10s', '500ms' or '5m', not '{}'", cut(&word.text));
        context.error(node, message);
    }
    length
}

/// Reads `x-glassbox-examples`; `None` if something is wrong.
pub(super) fn examples(context: &mut Context, node: &Node, catalog: &dyn Catalog) -> Option<Vec<Example>> {
    let Kind::Sequence(nodes) = node.kind() else {
        context.error(node, "'x-glassbox-examples' must be a list");
        return None;
    };
    until_done(context, nodes, |context, node| example(context, node, catalog))
}

fn example(context: &mut Context, node: &Node, catalog: &dyn Catalog) -> Option<Example> {
    let Some(item) = Item::new(node) else {
        context.error(node, "an example must be a mapping");
        return None;
    };
    item.warn_of_keys(context, "an example", &["name", "fires", "event", "events"]);
    let name = item.get("name").and_then(|node| context.word(node, "the name of an example"));
    let Some(fires) = item.get("fires") else {
        context.error(node, "an example needs 'fires', which is true or false");
        return None;
    };
    let fires = context.flag(fires, "'fires'")?;
    let mut events = Vec::new();
    match (item.get("event"), item.get("events").map(|node| (node, node.kind()))) {
        (Some(node), None) => events.push(event(context, node, catalog)?),
        (None, Some((node, Kind::Sequence(nodes)))) => {
            if nodes.is_empty() {
                context.error(node, "an example needs at least one event");
                return None;
            }
            events = until_done(context, nodes, |context, node| event(context, node, catalog))?;
        }
        (None, Some((node, _))) => {
            context.error(node, "'events' must be a list");
            return None;
        }
        (Some(_), Some(_)) | (None, None) => {
            context.error(node, "an example needs either 'event', a mapping, or 'events', a list of them");
            return None;
        }
    }
    let place = context.report.place(context.spot(node));
    Some(Example { place, name: name.map(|name| name.text.into()), fires, events })
}

/// Reads an event: values by field, and beside them `after` and `times`.
fn event(context: &mut Context, node: &Node, catalog: &dyn Catalog) -> Option<ExampleEvent> {
    let Some(item) = Item::new(node) else {
        context.error(node, "an event must be a mapping of fields to values");
        return None;
    };
    let mut event = ExampleEvent::default();
    let mut is_whole = true;
    for (name, key, value) in item.entries() {
        if context.is_done() {
            return None;
        }
        is_whole &= match name {
            "after" => duration(context, value, "'after'").map(|length| event.after_ns = length).is_some(),
            "times" => {
                count(context, value, "'times'", MOST_TIMES).map(|times| event.times = times).is_some()
            }
            _ => match field_use(context, key, catalog) {
                Some(field) => {
                    let spec = field::spec(catalog, field.id)?;
                    let is_list = spec.is_list && field.argument.is_none();
                    let answer = answers(context, value, spec, is_list);
                    answer.map(|answer| event.set(field, answer)).is_some()
                }
                None => false,
            },
        };
    }
    is_whole.then_some(event)
}

fn answers(context: &mut Context, node: &Node, spec: &FieldSpec, is_list: bool) -> Option<Answer<'static>> {
    match node.kind() {
        Kind::Null => Some(Answer::Absent),
        Kind::Sequence(nodes) if is_list => {
            until_done(context, nodes, |context, node| answer(context, node, spec)).map(Answer::List)
        }
        Kind::Sequence(_) => {
            context.error(node, format!("the field '{}' has a single value", spec.name));
            None
        }
        _ if is_list => answer(context, node, spec).map(|answer| Answer::List(vec![answer])),
        _ => answer(context, node, spec),
    }
}

fn answer(context: &mut Context, node: &Node, spec: &FieldSpec) -> Option<Answer<'static>> {
    let word = context.any_word(node, &format!("the value of '{}'", spec.name))?;
    let text = word.text.as_ref();
    let answer = match spec.kind {
        Type::Text | Type::Bytes => Some(Answer::Text(Cow::Owned(text.as_bytes().to_vec()))),
        Type::Int => text.parse().ok().map(Answer::Int),
        Type::Uint | Type::Port | Type::Time => text.parse().ok().map(Answer::Uint),
        Type::Duration => text.parse().ok().map(Answer::Uint),
        Type::Bool => text.parse().ok().map(Answer::Bool),
        Type::Address | Type::Net => text.parse::<IpAddr>().ok().map(Answer::Address),
    };
    if answer.is_none() {
        let form = match spec.kind {
            Type::Address | Type::Net => "an IP address",
            Type::Bool => "'true' or 'false'",
            _ => "a number",
        };
        context.error(node, format!("'{}' is {form}, not '{}'", spec.name, cut(text)));
    }
    answer
}
