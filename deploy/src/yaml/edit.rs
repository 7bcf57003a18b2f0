//! Applies a [`Change`] to the text: walks it together with the nodes, and records which bytes are replaced.
//!
//! A node with an anchor is changed in place. An alias of it whose value becomes the same is left alone; an
//! alias whose value stays, or becomes another one, is written out. So the walk is made twice: first to learn
//! the new value of every anchor, then to edit.

use std::collections::HashMap;
use std::ops::Range;

use serde_json::{Map, Value};

use super::place::{cannot, json, place};
use super::render::{Style, is_block};
use super::resolve::{Resolver, is_core, is_merge};
use super::tree::{Entry, Item, Kind, Node, line_end};
use crate::Error;
use crate::change::{self, Change, Step};

/// Collects the edits of a text.
pub struct Editor<'t> {
    text: &'t str,
    line_feed: &'static str,
    style: Style,
    splices: Vec<(Range<usize>, String)>,
}

/// Where a node stands, which decides how its replacement is written.
#[derive(Clone)]
enum Slot {
    /// The root of the document.
    Root,
    /// Behind a key at `column`, and its colon.
    Member { column: usize, open: Option<usize> },
    /// Behind a dash at `column`.
    Item { column: usize, open: usize },
    /// Between brackets: behind its colon, if it is a member; `margin` is the line's indentation, if each
    /// element has a line.
    Flow { open: Option<usize>, is_member: bool, margin: Option<String> },
}

impl<'t> Editor<'t> {
    /// An editor of `text`, whose documents have these roots.
    pub fn new(text: &'t str, roots: &[Node]) -> Self {
        Self { text, line_feed: line_feed(text), style: style(text, roots), splices: Vec::new() }
    }

    /// Records the edits that make `change` in a document.
    pub fn document(&mut self, root: &Node, resolver: &Resolver<'t>, change: &Change) -> Result<(), Error> {
        let mut anchors = HashMap::new();
        if self.text.contains('&') {
            Walk { editor: self, resolver, anchors: &mut anchors, is_first: true }.node(
                root,
                change,
                &Slot::Root,
            )?;
        }
        Walk { editor: self, resolver, anchors: &mut anchors, is_first: false }.node(
            root,
            change,
            &Slot::Root,
        )
    }

    /// The new text.
    pub fn finish(mut self) -> Result<String, Error> {
        // At one place, insertions stand before a removal, and keep their order among themselves.
        self.splices.sort_by_key(|(range, _)| (range.start, !range.is_empty()));
        let (mut text, mut at) = (String::with_capacity(self.text.len() * 2), 0);
        for (range, with) in &self.splices {
            let Some(kept) = self.text.get(at..range.start) else {
                return Err(cannot(&format!("line {}: two changes meet", place(self.text, at).0)));
            };
            text.push_str(kept);
            text.push_str(&if self.line_feed == "\n" {
                with.clone()
            } else {
                with.replace('\n', self.line_feed)
            });
            at = range.end;
        }
        text.push_str(&self.text[at..]);
        Ok(text)
    }
}

/// How far the entries or items of one collection have been walked.
struct Trail {
    is_flow: bool,
    /// Where the first one begins.
    first: usize,
    /// Where the last one that stays ends.
    last_kept: Option<usize>,
    /// Where the last one that was passed ends.
    previous_end: Option<usize>,
}

impl Trail {
    fn new(is_flow: bool, first: usize) -> Self {
        Self { is_flow, first, last_kept: None, previous_end: None }
    }

    fn pass(&mut self, end: usize, is_kept: bool) {
        if is_kept {
            self.last_kept = Some(end);
        }
        self.previous_end = Some(end);
    }
}

/// One walk over a document.
struct Walk<'w, 't> {
    editor: &'w mut Editor<'t>,
    resolver: &'w Resolver<'t>,
    /// The new value of each anchor; `None` if its node goes.
    anchors: &'w mut HashMap<usize, Option<Value>>,
    is_first: bool,
}

impl Walk<'_, '_> {
    fn node(&mut self, node: &Node, change: &Change, slot: &Slot) -> Result<(), Error> {
        if let Kind::Alias(anchor) = node.kind {
            let is_right = match self.anchors.get(&anchor) {
                Some(becomes) => becomes.as_ref() == Some(change.after),
                None => change.is_none(),
            };
            return if is_right || self.is_first { Ok(()) } else { self.replace(node, change.after, slot) };
        }
        if change.is_none() && self.anchors.is_empty() && !self.is_first {
            return Ok(());
        }
        if node.anchor != 0 && self.is_first {
            self.anchors.insert(node.anchor, Some(change.after.clone()));
        }
        let Some(inner) = untagged(node, change) else { return self.replace(node, change.after, slot) };
        match (&inner.kind, &node.kind, inner.after) {
            (change::Kind::Object(members), Kind::Mapping { entries, .. }, Value::Object(after)) => {
                match self.can_be_edited(node, entries, members, slot) {
                    true => self.mapping(node, entries, members, after, slot),
                    false => self.replace(node, change.after, slot),
                }
            }
            (change::Kind::Array(steps), Kind::Sequence { is_flow, items }, _) => {
                match steps.iter().any(|step| matches!(step, Step::Stays(_))) {
                    true => self.sequence(node, *is_flow, items, steps),
                    false => self.replace(node, change.after, slot),
                }
            }
            (change::Kind::Same, Kind::Mapping { entries, .. }, Value::Object(after)) => {
                self.mapping(node, entries, &[], after, slot)
            }
            (change::Kind::Same, Kind::Sequence { is_flow, items }, Value::Array(after)) => {
                let same = |after| Step::Stays(Change { after, kind: change::Kind::Same });
                self.sequence(node, *is_flow, items, &after.iter().map(same).collect::<Vec<_>>())
            }
            (change::Kind::Same, _, _) => Ok(()),
            _ => self.replace(node, change.after, slot),
        }
    }

    /// Whether a part of an object stays, and more can be added to it.
    fn can_be_edited(&self, node: &Node, entries: &[Entry], members: &[(&str, Step)], slot: &Slot) -> bool {
        let is_pair = matches!(slot, Slot::Flow { .. }) && !self.editor.text[node.content..].starts_with('{');
        let is_inside = |step: &Step| matches!(step, Step::Stays(_));
        if is_pair {
            return members.iter().all(|(_, step)| is_inside(step));
        }
        let goes = |key: &str| members.iter().any(|(name, step)| *name == key && *step == Step::Removed);
        entries.iter().any(|entry| is_merge(&entry.key) || !self.key(entry).is_some_and(|key| goes(&key)))
    }

    /// Changes the entries that are there, in their order, and puts new ones behind the last that stays.
    fn mapping(
        &mut self,
        node: &Node,
        entries: &[Entry],
        members: &[(&str, Step)],
        after: &Map<String, Value>,
        slot: &Slot,
    ) -> Result<(), Error> {
        let is_flow = self.editor.text[node.content..].starts_with('{');
        let first = entries.first().map(|entry| entry.start);
        let margin = if is_flow { self.margin(node, first) } else { None };
        let mut trail = Trail::new(is_flow, first.unwrap_or(node.content));
        let merged = self.merged_members(entries, members, after);
        let mut steps: HashMap<&str, &Step> = members.iter().map(|(name, step)| (*name, step)).collect();
        for (index, entry) in entries.iter().enumerate() {
            let end = entry.value.end.max(entry.open.unwrap_or(entry.key.end));
            if is_merge(&entry.key) {
                if merged.is_none() {
                    self.merged(&entry.value)?;
                }
                trail.pass(end, true);
                continue;
            }
            let key = self.key(entry).unwrap_or_default();
            self.key_anchor(&entry.key);
            let change = match steps.remove(key.as_str()) {
                Some(Step::Removed) => None,
                Some(Step::Stays(change)) => Some(change.clone()),
                _ => match after.get(&key) {
                    Some(after) => Some(Change { after, kind: change::Kind::Same }),
                    None => return Err(cannot("a member is lost")),
                },
            };
            match change {
                Some(change) => {
                    let open = entry.open;
                    let slot = match is_flow || matches!(slot, Slot::Flow { .. }) {
                        true => Slot::Flow { open, is_member: true, margin: margin.clone() },
                        false => Slot::Member { column: self.column(entry.start), open },
                    };
                    self.node(&entry.value, &change, &slot)?;
                }
                None => {
                    self.vanish(&entry.key);
                    self.vanish(&entry.value);
                    self.remove(entry.start..end, entries.get(index + 1).map(|next| next.start), &trail);
                }
            }
            trail.pass(end, after.contains_key(&key));
        }
        let comes_by_merge = |name: &str| {
            let comes = merged.as_ref().and_then(|merged| merged.get(name));
            comes.is_some_and(|comes| Some(comes) == after.get(name))
        };
        let added = members.iter().filter(|(name, _)| steps.contains_key(name) && !comes_by_merge(name));
        self.add_members(node, added, margin.as_deref(), &trail)
    }

    /// Puts members behind the last entry that stays.
    fn add_members<'m>(
        &mut self,
        node: &Node,
        added: impl Iterator<Item = &'m (&'m str, Step<'m>)>,
        margin: Option<&str>,
        trail: &Trail,
    ) -> Result<(), Error> {
        let Some(at) = trail.last_kept else { return Ok(()) };
        let column = self.column(trail.first);
        for (name, step) in added {
            // A member that changes and is not written here comes from '<<', which an entry beside it
            // overrides.
            let value = match step {
                Step::Added(value) => value,
                Step::Stays(change) => change.after,
                Step::Removed => {
                    let line = place(self.editor.text, node.start).0;
                    return Err(cannot(&format!("line {line}: '{name}' comes from '<<'")));
                }
            };
            if trail.is_flow {
                let (name, value) = (self.editor.style.word(name), self.editor.style.flow(value, margin));
                self.insert(at, format!("{}{name}: {value}", separator(margin)));
            } else {
                let lines = self.editor.style.block_member(name, value, column);
                self.insert_lines(at, column, &lines);
            }
        }
        Ok(())
    }

    /// Changes the items that are there, with new ones where the steps have them.
    fn sequence(&mut self, node: &Node, is_flow: bool, items: &[Item], steps: &[Step]) -> Result<(), Error> {
        let margin = if is_flow { self.margin(node, items.first().map(|item| item.start)) } else { None };
        let mut trail = Trail::new(is_flow, items.first().map_or(node.content, |item| item.start));
        let mut rest = items.iter().enumerate();
        let column = self.column(trail.first);
        for step in steps {
            if let Step::Added(value) = step {
                self.add_item(value, column, margin.as_deref(), &trail);
                continue;
            }
            let Some((index, item)) = rest.next() else { return Err(cannot("an item is lost")) };
            let end = item.value.end.max(item.open);
            match step {
                Step::Stays(change) => {
                    let slot = match is_flow {
                        true => Slot::Flow { open: None, is_member: false, margin: margin.clone() },
                        false => Slot::Item { column, open: item.open },
                    };
                    self.node(&item.value, change, &slot)?;
                }
                _ => {
                    self.vanish(&item.value);
                    self.remove(item.start..end, items.get(index + 1).map(|next| next.start), &trail);
                }
            }
            trail.pass(end, matches!(step, Step::Stays(_)));
        }
        Ok(())
    }

    /// Puts an item behind the last one that stays, or in front of the first.
    fn add_item(&mut self, value: &Value, column: usize, margin: Option<&str>, trail: &Trail) {
        match (trail.is_flow, trail.last_kept) {
            (true, Some(end)) => {
                let item = self.editor.style.flow(value, margin);
                self.insert(end, format!("{}{item}", separator(margin)));
            }
            (true, None) => {
                let item = self.editor.style.flow(value, margin);
                self.insert(trail.first, format!("{item}{}", separator(margin)));
            }
            (false, Some(end)) => {
                let lines = self.editor.style.block_item(value, column);
                self.insert_lines(end, column, &lines);
            }
            (false, None) => {
                let lines = self.editor.style.block_item(value, column);
                self.insert_in_front(trail.first, column, &lines);
            }
        }
    }

    /// Replaces a node by another value.
    fn replace(&mut self, node: &Node, after: &Value, slot: &Slot) -> Result<(), Error> {
        if self.is_first {
            self.vanish(node);
            return Ok(());
        }
        let (text, is_left_out) = (self.editor.text, node.start == node.end);
        let end = line_feed_excluded(text, node.end).max(node.start);
        let is_flow = matches!(&node.kind, Kind::Sequence { is_flow: true, items } if !items.is_empty())
            || matches!(&node.kind, Kind::Mapping { is_flow: true, entries } if !entries.is_empty());
        let (column, open) = match slot {
            Slot::Flow { open, is_member, margin } => {
                let value = self.editor.style.flow(after, margin.as_deref());
                let value = match (is_left_out, open, is_member) {
                    (true, None, true) => format!(": {value}"),
                    (true, ..) => format!(" {value}"),
                    _ => value,
                };
                self.splice(node.start..end, value);
                return Ok(());
            }
            Slot::Root if self.editor.style.is_json || is_flow => {
                let margin = (self.editor.style.is_json && text.trim_end().contains('\n')).then_some("");
                self.splice(node.start..end, self.editor.style.flow(after, margin));
                return Ok(());
            }
            Slot::Root => {
                let lines = self.editor.style.block(after, 0).join("\n");
                let is_behind_marker = !text[line_start(text, node.start)..node.start]
                    .trim_matches(['\u{feff}', ' '])
                    .is_empty();
                self.splice(node.start..end, if is_behind_marker { format!("\n{lines}") } else { lines });
                return Ok(());
            }
            Slot::Member { column, open: Some(open) } => (*column, *open),
            Slot::Item { column, open } => (*column, *open),
            Slot::Member { open: None, .. } => {
                return Err(cannot(&format!("line {}: a key without a colon", place(text, node.start).0)));
            }
        };
        let (inline, lines) = match slot {
            _ if !is_block(after) || is_flow => (format!(" {}", self.editor.style.inline(after)), Vec::new()),
            Slot::Item { .. } => {
                let mut lines = self.editor.style.block_item(after, column);
                let first = lines.remove(0);
                (first[column + 1..].to_owned(), lines)
            }
            _ => (String::new(), self.editor.style.block(after, self.editor.style.inside(after, column))),
        };
        if is_left_out {
            self.splice(open..open, inline);
        } else if text[open..node.start].contains('\n') {
            // A comment stands between the colon and the value.
            self.splice(open..open, inline);
            self.splice(line_start(text, node.start)..line_end(text, node.end), String::new());
        } else if lines.is_empty() {
            self.splice(node.start..end, inline.trim_start().to_owned());
        } else {
            self.splice(open..end, inline);
        }
        self.insert_lines(node.end.max(open), usize::MAX, &lines);
        Ok(())
    }

    /// Takes out an item or entry, with `next` behind it. Where nothing in front of it stays and it has no
    /// line of its own (in a flow, and in a block that begins behind a dash), the text behind it moves into
    /// its place.
    fn remove(&mut self, range: Range<usize>, next: Option<usize>, trail: &Trail) {
        let text = self.editor.text;
        let previous_end = trail.previous_end.filter(|_| trail.last_kept.is_some());
        let is_compact = trail.last_kept.is_none() && self.is_compact(trail.first);
        let range = match (trail.is_flow, next, previous_end) {
            (true, _, Some(previous)) => previous..range.end,
            (true, Some(next), None) => range.start..next,
            (true, None, None) => range,
            (false, Some(next), _) if is_compact => range.start..next,
            (false, ..) => {
                let column = self.column(range.start);
                line_start(text, range.start)..behind_comments(text, line_end(text, range.end), column)
            }
        };
        self.splice(range, String::new());
    }

    /// Whether something else stands on the line in front of `at`.
    fn is_compact(&self, at: usize) -> bool {
        !self.editor.text[line_start(self.editor.text, at)..at].trim_matches([' ', '\u{feff}']).is_empty()
    }

    /// Records that the anchors in a node go.
    fn vanish(&mut self, node: &Node) {
        if !self.is_first {
            return;
        }
        each(node, &mut |node| {
            if node.anchor != 0 {
                self.anchors.insert(node.anchor, None);
            }
        });
    }

    fn key_anchor(&mut self, key: &Node) {
        if let (true, true, Some(before)) =
            (self.is_first, key.anchor != 0, self.resolver.anchored(key.anchor))
        {
            self.anchors.insert(key.anchor, Some(before.clone()));
        }
    }

    /// The members that the '<<' of a mapping bring once the anchors have their new values; `None` if these
    /// would bring too much or too little, so that the merged values must be written out.
    fn merged_members(
        &self,
        entries: &[Entry],
        members: &[(&str, Step)],
        after: &Map<String, Value>,
    ) -> Option<Map<String, Value>> {
        let mut merged = Map::new();
        let mut take = |node: &Node| {
            let Kind::Alias(anchor) = node.kind else { return None };
            let becomes = match self.anchors.get(&anchor) {
                Some(becomes) => becomes.as_ref(),
                None => self.resolver.anchored(anchor),
            };
            for (name, value) in becomes?.as_object()? {
                merged.entry(name).or_insert_with(|| value.clone());
            }
            Some(())
        };
        for entry in entries.iter().filter(|entry| is_merge(&entry.key)) {
            match &entry.value.kind {
                Kind::Sequence { items, .. } => items.iter().try_for_each(|item| take(&item.value))?,
                _ => take(&entry.value)?,
            }
        }
        let is_written = |name: &str| entries.iter().any(|entry| self.key(entry).as_deref() == Some(name));
        let changes = |name: &str| members.iter().any(|(changed, _)| *changed == name);
        let fits = |(name, value): (&String, &Value)| {
            // A member beside '<<' overrides it.
            after.get(name).is_some_and(|wanted| wanted == value || is_written(name) || changes(name))
        };
        merged.iter().all(fits).then_some(merged)
    }

    /// Keeps a merged node's value as it is.
    fn merged(&mut self, node: &Node) -> Result<(), Error> {
        let (mut anchors, mut aliases) = (Vec::new(), Vec::new());
        each(node, &mut |node| match node.kind {
            Kind::Alias(anchor) => aliases.push((anchor, node.start..node.end)),
            _ if node.anchor != 0 => anchors.push(node.anchor),
            _ => {}
        });
        if self.is_first {
            for anchor in anchors {
                self.anchors.insert(anchor, self.resolver.anchored(anchor).cloned());
            }
            return Ok(());
        }
        for (anchor, range) in aliases {
            let before = self.resolver.anchored(anchor);
            if let (Some(becomes), Some(before)) = (self.anchors.get(&anchor), before)
                && becomes.as_ref() != Some(before)
            {
                self.splice(range, self.editor.style.inline(before));
            }
        }
        Ok(())
    }

    fn key(&self, entry: &Entry) -> Option<String> {
        match &entry.key.kind {
            Kind::Scalar { text, .. } => Some(text.clone()),
            Kind::Alias(anchor) => self.resolver.anchored(*anchor)?.as_str().map(str::to_owned),
            _ => None,
        }
    }

    /// The indentation of the lines in a flow, if its first item has a line of its own.
    fn margin(&self, node: &Node, first: Option<usize>) -> Option<String> {
        let (text, first) = (self.editor.text, first?);
        let margin = &text[line_start(text, first)..first];
        (text[node.content..first].contains('\n') && margin.trim().is_empty()).then(|| margin.to_owned())
    }

    fn column(&self, at: usize) -> usize {
        let text = self.editor.text;
        text[line_start(text, at)..at].trim_start_matches('\u{feff}').chars().count()
    }

    /// Puts lines of a list in front of its first item.
    fn insert_in_front(&mut self, first: usize, column: usize, lines: &[String]) {
        let text = self.editor.text;
        if text[line_start(text, first)..first].trim().is_empty() {
            // Above the comments of the first item.
            let mut at = line_start(text, first);
            while at > 0 {
                let above = line_start(text, at - 1);
                if !text[above..at].trim_start().starts_with('#') {
                    break;
                }
                at = above;
            }
            self.insert(at, format!("{}\n", lines.join("\n")));
        } else {
            let first_line = lines.first().map_or("", |line| line.trim_start());
            let lines = [&[first_line.to_owned()], lines.get(1..).unwrap_or_default()].concat();
            self.insert(first, format!("{}\n{}", lines.join("\n"), " ".repeat(column)));
        }
    }

    /// Inserts lines of a collection at `column` below the line of `at`, and below the comments that belong
    /// there.
    fn insert_lines(&mut self, at: usize, column: usize, lines: &[String]) {
        if lines.is_empty() {
            return;
        }
        let (text, lines) = (self.editor.text, lines.join("\n"));
        let at = behind_comments(text, line_end(text, at), column);
        match at == text.len() && !text.ends_with('\n') {
            true => self.insert(at, format!("\n{lines}")),
            false => self.insert(at, format!("{lines}\n")),
        }
    }

    fn insert(&mut self, at: usize, what: String) {
        self.splice(at..at, what);
    }

    fn splice(&mut self, range: Range<usize>, with: String) {
        let is_nothing = range.is_empty() && with.is_empty();
        if !self.is_first && !is_nothing {
            self.editor.splices.push((range, with));
        }
    }
}

/// The change of the value behind an application's own tag; `None` if more than that value changes.
fn untagged<'c>(node: &Node, change: &Change<'c>) -> Option<Change<'c>> {
    if node.tag.as_deref().is_none_or(is_core) {
        return Some(change.clone());
    }
    match (&change.kind, change.after) {
        (change::Kind::Same, Value::Object(after)) => {
            after.values().next().map(|after| Change { after, kind: change::Kind::Same })
        }
        (change::Kind::Object(members), _) => match members.as_slice() {
            [(_, Step::Stays(change))] => Some(change.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// Visits a node and every node in it.
fn each(node: &Node, visit: &mut impl FnMut(&Node)) {
    visit(node);
    match &node.kind {
        Kind::Sequence { items, .. } => items.iter().for_each(|item| each(&item.value, visit)),
        Kind::Mapping { entries, .. } => entries.iter().for_each(|entry| {
            each(&entry.key, visit);
            each(&entry.value, visit);
        }),
        _ => {}
    }
}

fn separator(margin: Option<&str>) -> String {
    margin.map_or_else(|| ", ".to_owned(), |margin| format!(",\n{margin}"))
}

/// The place behind the comments from `at` on that are indented deeper than `column`. They belong to the part
/// that is removed; text put in front of them would take them over.
fn behind_comments(text: &str, at: usize, column: usize) -> usize {
    let mut behind = at;
    let mut next = at;
    while next < text.len() {
        let end = text[next..].find('\n').map_or(text.len(), |line_feed| next + line_feed + 1);
        let line = &text[next..end];
        let comment = line.trim_start();
        if comment.starts_with('#') && line.len() - comment.len() > column {
            behind = end;
        } else if !comment.is_empty() {
            break;
        }
        next = end;
    }
    behind
}

/// The line end that the text uses.
pub fn line_feed(text: &str) -> &'static str {
    if text.find('\n').is_some_and(|at| text[..at].ends_with('\r')) { "\r\n" } else { "\n" }
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |line_feed| line_feed + 1)
}

fn line_feed_excluded(text: &str, end: usize) -> usize {
    let rest = text[..end].strip_suffix('\n').unwrap_or(&text[..end]);
    rest.strip_suffix('\r').unwrap_or(rest).len()
}

/// The style that the text uses most.
fn style(text: &str, roots: &[Node]) -> Style {
    let column = |at: usize| text[line_start(text, at)..at].chars().count();
    let (mut list_steps, mut steps) = (HashMap::<usize, usize>::new(), HashMap::<usize, usize>::new());
    for root in roots {
        each(root, &mut |node| {
            let Kind::Mapping { entries, is_flow: false } = &node.kind else { return };
            for entry in entries.iter().filter(|entry| text[entry.start..entry.value.content].contains('\n'))
            {
                let further = column(entry.value.content).saturating_sub(column(entry.start));
                match &entry.value.kind {
                    Kind::Sequence { is_flow: false, .. } => *list_steps.entry(further).or_default() += 1,
                    Kind::Mapping { is_flow: false, .. } if further > 0 => {
                        *steps.entry(further).or_default() += 1
                    }
                    _ => {}
                }
            }
        });
    }
    let most = |steps: HashMap<usize, usize>| {
        steps.into_iter().max_by_key(|(step, count)| (*count, usize::MAX - step)).map(|(step, _)| step)
    };
    let step = most(steps).unwrap_or(2);
    let is_json = json(text).is_some();
    // The second line of JSON is one level deep.
    let second = text.trim_start().split('\n').nth(1).unwrap_or_default();
    let flow_step = &second[..second.len() - second.trim_start().len()];
    let flow_step = if is_json && !flow_step.is_empty() { flow_step.to_owned() } else { "  ".to_owned() };
    Style { step, flow_step, list_step: most(list_steps).unwrap_or(step), is_json }
}
