//! Edits JSON as text: the parts that do not change stay as they were written, byte for byte.
//!
//! A [`Document`] records where every value stands. [`Document::edited`] compares the values with changed
//! ones and writes the differences into the text, formatted like their neighbours. Numbers, escapes, order
//! and line ends of everything else are not touched.

use std::collections::HashSet;
use std::ops::Range;

use serde_json::{Map, Value};

use crate::Error;

/// A JSON text that has been read.
#[derive(Debug)]
pub struct Document<'a> {
    text: &'a str,
    root: Node,
    value: Value,
}

/// Where a value stands in the text.
#[derive(Debug)]
struct Node {
    span: Range<usize>,
    inside: Inside,
}

/// The content of a value.
#[derive(Debug)]
enum Inside {
    Nothing,
    List(Vec<Node>),
    Object(Vec<Member>),
}

/// A key with its value.
#[derive(Debug)]
struct Member {
    key: String,
    key_span: Range<usize>,
    value: Node,
}

/// How the elements of a value are laid out.
#[derive(Clone, Debug)]
enum Layout {
    /// On one line.
    Line,
    /// One line for each element; the text is the indentation of the line in which the value begins.
    Block(String),
}

impl<'a> Document<'a> {
    /// Reads a text.
    ///
    /// # Errors
    /// A text that is not JSON, or has an object with the same key twice: readers do not agree on which one
    /// counts.
    pub fn parse(text: &'a str) -> Result<Self, Error> {
        let value = serde_json::from_str(text).map_err(|error| {
            let hint = crate::hint::json(text);
            Error::Malformed(format!("it is not JSON: {error}; correct it there{hint}"))
        })?;
        let mut scanner = Scanner { text, at: 0 };
        let root = scanner.value().map_err(Error::Malformed)?;
        Ok(Self { text, root, value })
    }

    /// The value of the whole document.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The text of a member of the root, moved to the left margin. A value on one line gets a line for each
    /// element, two spaces a step.
    pub fn member(&self, name: &str) -> Option<String> {
        let Inside::Object(members) = &self.root.inside else { return None };
        let node = &members.iter().find(|member| member.key == name)?.value;
        let text = self.text.get(node.span.clone())?;
        if !text.contains('\n') {
            return serde_json::to_string_pretty(self.value.get(name)?).ok();
        }
        // No string of JSON holds a line feed, so every line begins with the file's own indentation.
        let margin = line_indent(self.text, node.span.start);
        let lines = text.split('\n').map(|line| line.strip_prefix(margin).unwrap_or(line));
        Some(lines.collect::<Vec<_>>().join("\n"))
    }

    /// The text, changed so that it holds `after`.
    pub fn edited(&self, after: &Value) -> String {
        let mut editor =
            Editor { text: self.text, style: Style::of(self.text, &self.root), edits: Vec::new() };
        editor.value(&self.root, &self.value, after, false);
        let mut text = self.text.to_owned();
        editor.edits.sort_by_key(|(span, _)| (span.start, span.end));
        for (span, new) in editor.edits.into_iter().rev() {
            text.replace_range(span, &new);
        }
        text
    }
}

impl Node {
    /// Where its first element begins.
    fn first(&self) -> Option<usize> {
        match &self.inside {
            Inside::Nothing => None,
            Inside::List(nodes) => nodes.first().map(|node| node.span.start),
            Inside::Object(members) => members.first().map(|member| member.key_span.start),
        }
    }
}

/// Finds where values stand in a text. serde_json has read the text before, so its depth is bounded and its
/// syntax is right.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl Scanner<'_> {
    fn value(&mut self) -> Result<Node, String> {
        self.skip(|byte| byte.is_ascii_whitespace());
        let start = self.at;
        let inside = match self.peek() {
            Some(b'{') => Inside::Object(self.members()?),
            Some(b'[') => Inside::List(self.elements()?),
            Some(b'"') => {
                self.string();
                Inside::Nothing
            }
            _ => {
                self.skip(|byte| !byte.is_ascii_whitespace() && !b",]}".contains(&byte));
                Inside::Nothing
            }
        };
        Ok(Node { span: start..self.at, inside })
    }

    fn elements(&mut self) -> Result<Vec<Node>, String> {
        let mut elements = Vec::new();
        while self.goes_on(b']') {
            elements.push(self.value()?);
        }
        Ok(elements)
    }

    fn members(&mut self) -> Result<Vec<Member>, String> {
        let (mut members, mut seen) = (Vec::new(), HashSet::new());
        while self.goes_on(b'}') {
            let start = self.at;
            self.string();
            let key_span = start..self.at;
            let written = self.text.get(key_span.clone()).unwrap_or_default();
            let key: String = serde_json::from_str(written).map_err(|error| format!("{written}: {error}"))?;
            if !seen.insert(key.clone()) {
                let line = self.text.get(..start).unwrap_or_default().matches('\n').count() + 1;
                return Err(format!("line {line}: the key '{key}' is there twice; remove one of them"));
            }
            self.skip(|byte| byte.is_ascii_whitespace() || byte == b':');
            members.push(Member { key, key_span, value: self.value()? });
        }
        Ok(members)
    }

    /// Passes the opening bracket or a comma; false at the end, behind the closing bracket.
    fn goes_on(&mut self, closing: u8) -> bool {
        self.skip(|byte| byte.is_ascii_whitespace());
        if self.peek() != Some(closing) {
            self.at += 1;
            self.skip(|byte| byte.is_ascii_whitespace());
        }
        // An empty list or object ends directly behind its opening bracket.
        if self.peek() == Some(closing) {
            self.at += 1;
            return false;
        }
        self.peek().is_some()
    }

    fn string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                break;
            }
        }
    }

    fn skip(&mut self, is_skipped: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&is_skipped) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

/// The text's own style.
struct Style<'a> {
    /// One step of indentation.
    unit: String,
    line_end: &'static str,
    /// The text between a key and its value.
    colon: &'a str,
    /// The text between two elements on one line.
    comma: &'static str,
    /// The longest line for a list or object of scalars; a longer one gets a line for each element.
    longest_line: usize,
}

/// The limit for any text: a longer list or object of scalars gets a line for each element, whatever the
/// text's style is.
const LONGEST_LINE: usize = 80;

impl<'a> Style<'a> {
    fn of(text: &'a str, root: &Node) -> Self {
        let colon = first_colon(text, root).unwrap_or(": ");
        let (mut lines, mut blocks) = (0, 0);
        count_leaves(text, root, &mut lines, &mut blocks);
        Self {
            unit: first_unit(text, root).unwrap_or_else(|| "  ".to_owned()),
            line_end: if text.contains("\r\n") { "\r\n" } else { "\n" },
            colon,
            comma: if colon == ":" { "," } else { ", " },
            longest_line: if lines > blocks { LONGEST_LINE } else { 0 },
        }
    }
}

/// Counts the lists and objects that hold only scalars: those on one line, and those with a line for each
/// element.
fn count_leaves(text: &str, node: &Node, lines: &mut usize, blocks: &mut usize) {
    let inner: Vec<&Node> = match &node.inside {
        Inside::Nothing => return,
        Inside::List(nodes) => nodes.iter().collect(),
        Inside::Object(members) => members.iter().map(|member| &member.value).collect(),
    };
    if !inner.is_empty() && inner.iter().all(|node| matches!(node.inside, Inside::Nothing)) {
        *(if is_block(text, node) { blocks } else { lines }) += 1;
        return;
    }
    for node in inner {
        count_leaves(text, node, lines, blocks);
    }
}

/// The text between the first key and its value.
fn first_colon<'a>(text: &'a str, node: &Node) -> Option<&'a str> {
    match &node.inside {
        Inside::Nothing => None,
        Inside::List(nodes) => nodes.iter().find_map(|node| first_colon(text, node)),
        Inside::Object(members) => {
            let member = members.first()?;
            let colon = text.get(member.key_span.end..member.value.span.start)?;
            (!colon.contains('\n')).then_some(colon)
        }
    }
}

/// The indentation step: by how much the first child that begins a line is indented further than its parent.
fn first_unit(text: &str, node: &Node) -> Option<String> {
    if is_block(text, node) {
        let (outer, inner) = (line_indent(text, node.span.start), line_indent(text, node.first()?));
        if let Some(unit) = inner.strip_prefix(outer).filter(|unit| !unit.is_empty()) {
            return Some(unit.to_owned());
        }
    }
    match &node.inside {
        Inside::Nothing => None,
        Inside::List(nodes) => nodes.iter().find_map(|node| first_unit(text, node)),
        Inside::Object(members) => members.iter().find_map(|member| first_unit(text, &member.value)),
    }
}

/// Whether its first element begins a line.
fn is_block(text: &str, node: &Node) -> bool {
    let gap = node.first().and_then(|first| text.get(node.span.start..first));
    gap.is_some_and(|gap| gap.contains('\n'))
}

/// The white space at the beginning of the line of `at`.
fn line_indent(text: &str, at: usize) -> &str {
    let before = text.get(..at).unwrap_or_default();
    let line = before.rfind('\n').map_or(0, |line_feed| line_feed + 1);
    let rest = text.get(line..).unwrap_or_default();
    let end = rest.find(|character| character != ' ' && character != '\t').unwrap_or(rest.len());
    rest.get(..end).unwrap_or_default()
}

struct Editor<'a> {
    text: &'a str,
    style: Style<'a>,
    edits: Vec<(Range<usize>, String)>,
}

impl Editor<'_> {
    /// `is_in_block`: whether the parent has a line for each of its elements.
    fn value(&mut self, node: &Node, before: &Value, after: &Value, is_in_block: bool) {
        if before == after {
            return;
        }
        match (&node.inside, before, after) {
            (Inside::Object(members), Value::Object(before), Value::Object(after)) => {
                self.object(node, members, before, after, is_in_block);
            }
            (Inside::List(nodes), Value::Array(before), Value::Array(after))
                if before.len() <= after.len() =>
            {
                let is_block = self.is_block(node, is_in_block);
                for ((node, before), after) in nodes.iter().zip(before).zip(after) {
                    self.value(node, before, after, is_block);
                }
                let added = after.get(before.len()..).unwrap_or_default();
                let added: Vec<_> = added.iter().map(|value| (String::new(), value)).collect();
                self.insert(node, nodes.last(), nodes.last().map(|node| node.span.start), is_block, &added);
            }
            _ => {
                let layout = self.layout(node.span.start, is_in_block);
                self.edits.push((node.span.clone(), self.rendered(after, &layout)));
            }
        }
    }

    fn object(
        &mut self,
        node: &Node,
        members: &[Member],
        before: &Map<String, Value>,
        after: &Map<String, Value>,
        is_in_block: bool,
    ) {
        let is_block = self.is_block(node, is_in_block);
        let is_kept = |member: &&Member| after.contains_key(&member.key);
        let last = members.iter().rev().find(is_kept);
        if last.is_none() && !members.is_empty() {
            let layout = self.layout(node.span.start, is_in_block);
            let after = self.rendered(&Value::Object(after.clone()), &layout);
            self.edits.push((node.span.clone(), after));
            return;
        }
        for (member, next) in members.iter().zip(members.iter().skip(1)) {
            // Everything behind the last member that is kept is removed in one edit.
            let is_before_last = last.is_some_and(|last| member.key_span.end <= last.key_span.start);
            if is_before_last && !is_kept(&member) {
                self.edits.push((member.key_span.start..next.key_span.start, String::new()));
            }
        }
        if let (Some(last), Some(end)) = (last, members.last())
            && last.value.span.end < end.value.span.end
        {
            self.edits.push((last.value.span.end..end.value.span.end, String::new()));
        }
        for member in members {
            if let (Some(before), Some(after)) = (before.get(&member.key), after.get(&member.key)) {
                self.value(&member.value, before, after, is_block);
            }
        }
        let added: Vec<_> = after
            .iter()
            .filter(|(key, _)| !before.contains_key(*key))
            .map(|(key, value)| (format!("{}{}", Value::from(key.as_str()), self.style.colon), value))
            .collect();
        self.insert(node, None, last.map(|last| last.key_span.start), is_block, &added);
    }

    /// Puts elements behind the last one of a list or object, which begins at `last`.
    ///
    /// The new elements are laid out like `model`.
    fn insert(
        &mut self,
        node: &Node,
        model: Option<&Node>,
        last: Option<usize>,
        is_block: bool,
        added: &[(String, &Value)],
    ) {
        if added.is_empty() {
            return;
        }
        let outer = line_indent(self.text, node.span.start).to_owned();
        let inner = match last {
            Some(last) => line_indent(self.text, last).to_owned(),
            None => format!("{outer}{}", self.style.unit),
        };
        let layout = match (is_block, model) {
            (_, Some(model)) if self.is_one_line(model) => Layout::Line,
            (false, Some(_)) | (true, _) => Layout::Block(inner.clone()),
            (false, None) => Layout::Line,
        };
        let break_line = format!("{}{inner}", self.style.line_end);
        let gap = match is_block {
            true => break_line.as_str(),
            false => self.style.comma.get(1..).unwrap_or_default(),
        };
        let new: Vec<String> =
            added.iter().map(|(key, value)| format!("{key}{}", self.rendered(value, &layout))).collect();
        let new = new.join(&format!(",{gap}"));
        let (at, new) = match last.and_then(|_| self.end_of_last(node)) {
            Some(end) => (end..end, format!(",{gap}{new}")),
            // Only white space stands between the brackets.
            None if is_block => {
                (node.span.start + 1..node.span.end - 1, format!("{gap}{new}{}{outer}", self.style.line_end))
            }
            None => (node.span.start + 1..node.span.end - 1, new),
        };
        self.edits.push((at, new));
    }

    /// Where the last element ends, even if it is removed, so that the edits do not overlap.
    fn end_of_last(&self, node: &Node) -> Option<usize> {
        match &node.inside {
            Inside::Nothing => None,
            Inside::List(nodes) => nodes.last().map(|node| node.span.end),
            Inside::Object(members) => members.last().map(|member| member.value.span.end),
        }
    }

    /// Whether each of its elements has a line of its own; an empty one is laid out like its parent.
    fn is_block(&self, node: &Node, is_in_block: bool) -> bool {
        if node.first().is_none() { is_in_block } else { is_block(self.text, node) }
    }

    /// Whether it has elements and stands on one line.
    fn is_one_line(&self, node: &Node) -> bool {
        let text = self.text.get(node.span.clone()).unwrap_or_default();
        node.first().is_some() && !text.contains('\n')
    }

    fn layout(&self, at: usize, is_in_block: bool) -> Layout {
        if is_in_block { Layout::Block(line_indent(self.text, at).to_owned()) } else { Layout::Line }
    }

    fn rendered(&self, value: &Value, layout: &Layout) -> String {
        if let Layout::Block(_) = layout
            && is_leaf(value)
        {
            let line = self.rendered(value, &Layout::Line);
            if line.len() <= self.style.longest_line {
                return line;
            }
        }
        let inner = match layout {
            Layout::Line => Layout::Line,
            Layout::Block(indent) => Layout::Block(format!("{indent}{}", self.style.unit)),
        };
        let (opening, closing, things): (_, _, Vec<String>) = match value {
            Value::Array(list) => ('[', ']', list.iter().map(|value| self.rendered(value, &inner)).collect()),
            Value::Object(map) => {
                let member = |(key, value): (&String, &Value)| {
                    let (key, value) = (Value::from(key.as_str()), self.rendered(value, &inner));
                    format!("{key}{}{value}", self.style.colon)
                };
                ('{', '}', map.iter().map(member).collect())
            }
            scalar => return scalar.to_string(),
        };
        match layout {
            Layout::Block(indent) if !things.is_empty() => {
                let (line_end, unit) = (self.style.line_end, &self.style.unit);
                let things = things.join(&format!(",{line_end}{indent}{unit}"));
                format!("{opening}{line_end}{indent}{unit}{things}{line_end}{indent}{closing}")
            }
            _ => format!("{opening}{}{closing}", things.join(self.style.comma)),
        }
    }
}

/// Whether it holds only scalars.
fn is_leaf(value: &Value) -> bool {
    let is_scalar = |value: &Value| !value.is_array() && !value.is_object();
    match value {
        Value::Array(list) => !list.is_empty() && list.iter().all(is_scalar),
        Value::Object(map) => !map.is_empty() && map.values().all(is_scalar),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn edited(text: &str, change: impl FnOnce(&mut Value)) -> String {
        let document = Document::parse(text).unwrap();
        let mut after = document.value().clone();
        change(&mut after);
        document.edited(&after)
    }

    #[test]
    fn what_is_not_changed_stays_as_it_was_written() {
        let text =
            "{ \"a\" :1.50e1,\r\n\t\t\"\\u0062\": [ ] ,\"c\":18446744073709551616,\n\"d\" : \"\\/\" }\n\n";

        let after = edited(text, |value| value["a"] = json!(2));

        assert_eq!(text.replace("1.50e1", "2"), after);
    }

    #[test]
    fn things_are_added_as_their_neighbours_are_laid_out() {
        let text = "{\n    \"a\": [\n        {\"n\": 1},\n        {\"n\": 2}\n    ],\n    \"b\": [{\"n\": 1}],\n    \"c\": [],\n    \"d\": \
                    [{\n        \"n\": 1\n    }]\n}\n";
        let new = json!({"n": 3, "m": [true]});

        let after = edited(text, |value| {
            for key in ["a", "b", "c", "d"] {
                value[key].as_array_mut().unwrap().push(new.clone());
            }
            value["e"] = new.clone();
        });

        assert_eq!(
            "{\n    \"a\": [\n        {\"n\": 1},\n        {\"n\": 2},\n        {\"n\": 3, \"m\": [true]}\n    ],\n    \"b\": \
             [{\"n\": 1}, {\"n\": 3, \"m\": [true]}],\n    \"c\": [\n        {\n            \"n\": 3,\n            \"m\": [true]\n        \
             }\n    ],\n    \"d\": [{\n        \"n\": 1\n    }, {\n        \"n\": 3,\n        \"m\": [true]\n    }],\n    \"e\": {\n        \
             \"n\": 3,\n        \"m\": [true]\n    }\n}\n",
            after
        );
    }

    #[test]
    fn short_things_are_on_a_line_where_the_text_has_them_so() {
        let text = "{\n  \"a\": [1, 2],\n  \"b\": {\"c\": 3}\n}";
        let (long, short) = ("x".repeat(80), json!([{"e": 1}, ["f", "g"]]));

        let after = edited(text, |value| value["d"] = json!({"s": short, "l": [long]}));

        let d = format!(
            "{{\n    \"s\": [\n      {{\"e\": 1}},\n      [\"f\", \"g\"]\n    ],\n    \"l\": [\n      \"{long}\"\n    ]\n  }}"
        );
        assert_eq!(text.replace("\n}", &format!(",\n  \"d\": {d}\n}}")), after);
    }

    #[test]
    fn a_text_without_white_space_gets_none() {
        assert_eq!(
            r#"[{"a":[{"b":1}],"c":{"d":[2,3]}}]"#,
            edited(r#"[{"a":[]}]"#, |value| {
                value[0]["a"] = json!([{"b": 1}]);
                value[0]["c"] = json!({"d": [2, 3]});
            })
        );
    }

    #[test]
    fn tabs_and_line_ends_are_kept() {
        assert_eq!(
            "{\r\n\t\"a\": [\r\n\t\t1\r\n\t],\r\n\t\"b\": 2\r\n}",
            edited("{\r\n\t\"a\": []\r\n}", |value| *value = json!({"a": [1], "b": 2}))
        );
    }

    #[test]
    fn members_go_with_their_commas() {
        let text = "{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 3,\n  \"d\": 4\n}";
        let without = |keys: &[&str]| {
            edited(text, |value| {
                value.as_object_mut().unwrap().retain(|key, _| !keys.contains(&key.as_str()))
            })
        };

        assert_eq!("{\n  \"b\": 2,\n  \"d\": 4\n}", without(&["a", "c"]));
        assert_eq!("{\n  \"a\": 1,\n  \"b\": 2\n}", without(&["c", "d"]));
        assert_eq!("{}", without(&["a", "b", "c", "d"]));
        assert_eq!(
            "{\n  \"a\": 1,\n  \"e\": 5\n}",
            edited(text, |value| *value = json!({"a": 1, "e": 5})),
            "behind what is removed"
        );
    }

    #[test]
    fn faults_are_told_with_their_line() {
        let fault = |text: &str| match Document::parse(text) {
            Err(Error::Malformed(why)) => why,
            other => panic!("{other:?}"),
        };

        assert_eq!(
            "it is not JSON: expected value at line 2 column 3; correct it there (a template? patch what it makes)",
            fault("[\n  ${port}]")
        );
        assert_eq!(
            "line 2: the key 'a' is there twice; remove one of them",
            fault("{\"a\": 1,\n\"\\u0061\": 2}")
        );
        assert!(fault(&"[".repeat(100_000)).contains("recursion limit exceeded"));
    }

    fn value() -> impl Strategy<Value = Value> {
        let text = prop_oneof![Just("a\"b\\".to_owned()), Just("\u{1}{[,]}: é".to_owned()), "[a-c]{0,2}"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((text.clone(), inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// Writes a value in the ways that tools do.
    fn written(value: &Value, way: u8) -> String {
        let pretty = serde_json::to_string_pretty(value).unwrap();
        match way % 4 {
            0 => value.to_string(),
            1 => pretty,
            2 => pretty.replace("\n", "\r\n") + "\r\n",
            _ => pretty.replace('\n', " "),
        }
    }

    proptest! {
        #[test]
        fn the_edited_text_holds_what_is_wished(before in value(), after in value(), way: u8) {
            let text = written(&before, way);

            let document = Document::parse(&text).unwrap();

            prop_assert_eq!(&text, &document.edited(&before));
            let edited = document.edited(&after);
            prop_assert_eq!(after, serde_json::from_str::<Value>(&edited).unwrap(), "{} became {}", text, edited);
        }

        #[test]
        fn pretty_stays_pretty(before in value(), more in value()) {
            let before = serde_json::json!([{"first": [1]}, {"kept": before}]);
            let mut after = before.clone();
            after[1]["more"] = more.clone();
            after.as_array_mut().unwrap().push(more);

            let edited = Document::parse(&written(&before, 1)).unwrap().edited(&after);

            prop_assert_eq!(written(&after, 1), edited);
        }
    }
}
