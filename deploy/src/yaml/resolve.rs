//! The values of nodes, as YAML 1.2's core schema reads them
//! (<https://yaml.org/spec/1.2.2/#103-core-schema>).
//!
//! Aliases and merge keys are followed. A tag of an application gives an object of one member, as
//! CloudFormation's long form writes it: `!Ref x` is `{"Ref": "x"}`, `!Sub x` is `{"Fn::Sub": "x"}`,
//! `!GetAtt a.b` is `{"Fn::GetAtt": ["a", "b"]}`. Words that only YAML 1.1 reads otherwise (`yes`, `1:30`)
//! are words here; the text keeps them.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Number, Value, json};

use super::place::fault;
use super::tree::{Kind, Node};
use crate::Error;

/// The most values of a document: a few aliases of aliases are a billion values.
const MOST: usize = 1 << 20;

const CORE: &str = "tag:yaml.org,2002:";

/// Reads the values of one document.
pub struct Resolver<'t> {
    text: &'t str,
    /// The value of each anchor, and the number of values it is made of.
    anchors: HashMap<usize, (Value, usize)>,
    count: usize,
}

impl<'t> Resolver<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { text, anchors: HashMap::new(), count: 0 }
    }

    /// The value of an anchor that was read.
    pub fn anchored(&self, anchor: usize) -> Option<&Value> {
        self.anchors.get(&anchor).map(|(value, _)| value)
    }

    /// The value of a node. Nodes must be asked for in the order of the text.
    pub fn value(&mut self, node: &Node) -> Result<Value, Error> {
        let before = self.count;
        self.count(node, 1)?;
        let plain = self.untagged(node)?;
        let value = match node.tag.as_deref() {
            Some(tag) if !is_core(tag) => function(tag, plain),
            _ => plain,
        };
        if node.anchor != 0 {
            self.anchors.insert(node.anchor, (value.clone(), self.count - before));
        }
        Ok(value)
    }

    fn untagged(&mut self, node: &Node) -> Result<Value, Error> {
        match &node.kind {
            Kind::Scalar { text, is_plain } => {
                let kind = node.tag.as_deref().and_then(|tag| tag.strip_prefix(CORE));
                Ok(match kind {
                    Some("int" | "float" | "bool" | "null") => scalar(text),
                    Some(_) => json!(text),
                    None if *is_plain && node.tag.as_deref() != Some("!") => scalar(text),
                    None => json!(text),
                })
            }
            Kind::Alias(anchor) => {
                let Some((value, size)) = self.anchors.get(anchor).cloned() else {
                    return Err(fault(
                        self.text,
                        node.start,
                        "the alias stands for something that contains it",
                    ));
                };
                self.count(node, size)?;
                Ok(value)
            }
            Kind::Sequence { items, .. } => {
                items.iter().map(|item| self.value(&item.value)).collect::<Result<_, _>>().map(Value::Array)
            }
            Kind::Mapping { entries, .. } => {
                let (mut members, mut written) = (Map::new(), HashSet::new());
                for entry in entries {
                    if is_merge(&entry.key) {
                        self.merge(&entry.value, &mut members)?;
                        continue;
                    }
                    let key = self.key(&entry.key)?;
                    let value = self.value(&entry.value)?;
                    if !written.insert(key.clone()) {
                        let what = format!("'{key}' is there twice; remove one of them");
                        return Err(fault(self.text, entry.start, &what));
                    }
                    members.insert(key, value);
                }
                Ok(Value::Object(members))
            }
        }
    }

    /// A key as text: JSON has no other keys.
    pub fn key(&mut self, key: &Node) -> Result<String, Error> {
        if let Kind::Scalar { text, .. } = &key.kind {
            if key.anchor != 0 {
                self.value(key)?;
            }
            return Ok(text.clone());
        }
        match self.value(key)? {
            Value::String(text) => Ok(text),
            _ => Err(fault(
                self.text,
                key.start,
                "the key is not a word; deployment files know only words as keys",
            )),
        }
    }

    fn merge(&mut self, source: &Node, members: &mut Map<String, Value>) -> Result<(), Error> {
        let sources = match self.value(source)? {
            Value::Array(sources) => sources,
            one => vec![one],
        };
        for merged in sources {
            let Value::Object(merged) = merged else {
                return Err(fault(
                    self.text,
                    source.start,
                    "the value that '<<' merges is not an object; give it '*NAME' of one",
                ));
            };
            for (key, value) in merged {
                members.entry(key).or_insert(value);
            }
        }
        Ok(())
    }

    fn count(&mut self, node: &Node, more: usize) -> Result<(), Error> {
        self.count += more;
        match self.count > MOST {
            true => {
                Err(fault(self.text, node.start, "the aliases expand to too many values; write them out"))
            }
            false => Ok(()),
        }
    }
}

/// Whether a key is `<<`, which merges its value into the object around it.
pub fn is_merge(key: &Node) -> bool {
    matches!(&key.kind, Kind::Scalar { text, is_plain: true } if text == "<<") && key.tag.is_none()
}

/// Whether a tag is one of YAML's own, which add nothing to the value.
pub fn is_core(tag: &str) -> bool {
    tag == "!" || tag.starts_with(CORE)
}

/// The object that a tag makes of a value.
fn function(tag: &str, value: Value) -> Value {
    let name = tag.trim_start_matches('!');
    let key = match name {
        "Ref" | "Condition" => name.to_owned(),
        _ => format!("Fn::{name}"),
    };
    match (name, value.as_str().and_then(|text| text.split_once('.'))) {
        ("GetAtt", Some((resource, attribute))) => json!({key: [resource, attribute]}),
        _ => json!({key: value}),
    }
}

/// The value of an unquoted word. A word that JSON has no number for (`.inf`, `.nan`) stays a word.
pub fn scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => json!(true),
        "false" | "False" | "FALSE" => json!(false),
        _ => number(text).map_or_else(|| json!(text), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            let is_number = digits.chars().all(|digit| digit.is_digit(radix));
            return is_number.then(|| u64::from_str_radix(digits, radix).ok()).flatten().map(Number::from);
        }
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.contains(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || ".eE+-".contains(c));
    if !is_number {
        return None;
    }
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if let Ok(natural) = unsigned.parse::<u64>() {
        return Some(natural.into());
    }
    if let Ok(integer) = unsigned.parse::<i64>() {
        return Some(integer.into());
    }
    unsigned.parse().ok().and_then(Number::from_f64)
}
