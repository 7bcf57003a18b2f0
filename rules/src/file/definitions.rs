//! What all files define so far: later items replace, extend or switch earlier ones of the same name.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::exception::{self, Exception};
use super::item::{Word, cut};
use super::lists::List;
use super::place::Report;
use super::reader::Mode;
use super::traced::Traced;
use super::version::Version;
use crate::examples::Example;
use crate::priority::Priority;
use crate::window::Window;

/// A macro as it is written.
pub(super) struct MacroItem {
    pub name: Word,
    pub condition: Traced,
}

/// A macro, and which others it sees.
pub(super) struct MacroDefinition {
    pub name: Word,
    pub condition: Traced,
    /// Counts definitions and appends; a macro sees those whose `index` is smaller than its `visibility`.
    pub index: u32,
    pub visibility: u32,
}

/// A rule.
pub(super) struct RuleItem {
    pub name: Word,
    pub desc: String,
    pub condition: Traced,
    /// `None` only if the rule is broken.
    pub output: Option<Traced>,
    pub priority: Priority,
    pub source: Box<str>,
    pub is_enabled: bool,
    pub tags: BTreeSet<String>,
    pub exceptions: Vec<Exception>,
    pub warns_of_event_types: bool,
    pub skips_unknown: bool,
    pub captures: bool,
    pub capture_ms: Option<u64>,
    pub window: Option<Window>,
    pub examples: Vec<Example>,
    pub has_unknown_source: bool,
    /// It has an error, and is kept so that the rest of it is checked.
    pub is_broken: bool,
}

/// The parts of a rule that an item has.
#[derive(Default)]
pub(super) struct Update {
    pub desc: Option<String>,
    pub condition: Option<Traced>,
    pub output: Option<Traced>,
    pub priority: Option<Priority>,
    pub is_enabled: Option<bool>,
    pub tags: Option<BTreeSet<String>>,
    pub exceptions: Option<Vec<Exception>>,
    pub warns_of_event_types: Option<bool>,
    pub skips_unknown: Option<bool>,
    pub captures: Option<bool>,
    pub capture_ms: Option<u64>,
    pub window: Option<Window>,
    pub examples: Vec<Example>,
}

/// Everything that was defined, each kind in the order of the first definition of each name.
#[derive(Default)]
pub(super) struct Definitions {
    pub engine: Option<Version>,
    pub lists: Vec<List>,
    pub macros: Vec<MacroDefinition>,
    pub rules: Vec<RuleItem>,
    list_names: HashMap<Box<str>, usize>,
    macro_names: HashMap<Box<str>, usize>,
    rule_names: HashMap<Box<str>, usize>,
    /// Names whose definition has an error; that they are missing is no second error.
    broken_lists: HashSet<Box<str>>,
    pub broken_macros: HashSet<Box<str>>,
    broken_rules: HashSet<Box<str>>,
    next: u32,
}

impl Definitions {
    fn count(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    pub fn break_list(&mut self, name: Word) {
        self.broken_lists.insert(name.text);
    }

    pub fn break_macro(&mut self, name: Word) {
        self.broken_macros.insert(name.text);
    }

    pub fn break_rule(&mut self, name: Word) {
        self.broken_rules.insert(name.text);
    }

    pub fn list(&mut self, report: &mut Report, name: Word, items: Vec<Word>, mode: Mode) {
        let now = self.count();
        let found = self.list_names.get(&name.text).and_then(|n| self.lists.get_mut(*n));
        match (found, mode) {
            (Some(list), Mode::Append) => {
                list.items.extend(items);
                list.visibility = now;
            }
            (Some(list), Mode::Define) => *list = List { name, items, index: list.index, visibility: now },
            (None, Mode::Define) => {
                self.list_names.insert(name.text.clone(), self.lists.len());
                self.lists.push(List { name, items, index: now, visibility: now });
            }
            (None, Mode::Append) if self.broken_lists.contains(&name.text) => {}
            (None, Mode::Append) => {
                let hint = report.hint(&name.text, self.list_names.keys().map(AsRef::as_ref));
                report.error(
                    name.spot,
                    format!("no list '{}' that could be appended to{hint}", cut(&name.text)),
                );
            }
        }
    }

    pub fn add_macro(&mut self, report: &mut Report, item: MacroItem, mode: Mode) {
        let now = self.count();
        let MacroItem { name, condition } = item;
        let found = self.macro_names.get(&name.text).and_then(|n| self.macros.get_mut(*n));
        match (found, mode) {
            (Some(known), Mode::Append) => {
                append(&mut known.condition, &condition);
                known.visibility = now;
            }
            (Some(known), Mode::Define) => {
                *known = MacroDefinition { name, condition, index: known.index, visibility: now };
            }
            (None, Mode::Define) => {
                self.macro_names.insert(name.text.clone(), self.macros.len());
                self.macros.push(MacroDefinition { name, condition, index: now, visibility: now });
            }
            (None, Mode::Append) if self.broken_macros.contains(&name.text) => {}
            (None, Mode::Append) => {
                let hint = report.hint(&name.text, self.macro_names.keys().map(AsRef::as_ref));
                report.error(
                    name.spot,
                    format!("no macro '{}' that could be appended to{hint}", cut(&name.text)),
                );
            }
        }
    }

    /// Defines a rule, or all of one anew; `None` if something is wrong.
    pub fn rule(&mut self, report: &mut Report, mut rule: RuleItem) -> Option<()> {
        let found = self.rule_names.get(&rule.name.text).and_then(|n| self.rules.get_mut(*n));
        if found.as_ref().is_some_and(|known| known.source != rule.source) {
            let message = format!("rule '{}' is defined anew for another source", cut(&rule.name.text));
            report.error(rule.name.spot, message);
            return None;
        }
        rule.has_unknown_source = rule.source.as_ref() != "syscall";
        if rule.has_unknown_source {
            let message = format!(
                "rule '{}' is left out: its source '{}' is none of ours",
                cut(&rule.name.text),
                cut(&rule.source)
            );
            report.warning(rule.name.spot, message);
        }
        let known_exceptions = rule.exceptions.len();
        rule.exceptions.retain_mut(|exception| exception::complete(exception, report));
        rule.is_broken |= rule.exceptions.len() < known_exceptions;
        match found {
            Some(known) => *known = rule,
            None => {
                self.rule_names.insert(rule.name.text.clone(), self.rules.len());
                self.rules.push(rule);
            }
        }
        Some(())
    }

    fn known(&mut self, report: &mut Report, name: &Word, what: &str) -> Option<&mut RuleItem> {
        if let Some(n) = self.rule_names.get(&name.text) {
            return self.rules.get_mut(*n);
        }
        if !self.broken_rules.contains(&name.text) {
            let hint = report.hint(&name.text, self.rule_names.keys().map(AsRef::as_ref));
            report.error(name.spot, format!("no rule '{}' that could be {what}{hint}", cut(&name.text)));
        }
        None
    }

    pub fn enable_rule(&mut self, report: &mut Report, name: &Word, is_enabled: bool) -> Option<()> {
        self.known(report, name, "enabled or disabled")?.is_enabled = is_enabled;
        Some(())
    }

    pub fn append_rule(&mut self, report: &mut Report, name: &Word, update: Update) -> Option<()> {
        let rule = self.known(report, name, "appended to")?;
        if let Some(condition) = update.condition {
            append(&mut rule.condition, &condition);
        }
        if let (Some(output), Some(more)) = (&mut rule.output, update.output) {
            append(output, &more);
        }
        if let Some(desc) = update.desc {
            rule.desc.push(' ');
            rule.desc.push_str(&desc);
        }
        rule.tags.extend(update.tags.unwrap_or_default());
        if update.window.is_some() {
            rule.window = update.window;
        }
        rule.examples.extend(update.examples);
        let mut is_whole = true;
        for exception in update.exceptions.unwrap_or_default() {
            is_whole &= append_exception(rule, exception, report).is_some();
        }
        is_whole.then_some(())
    }

    pub fn replace_rule(&mut self, report: &mut Report, name: &Word, update: Update) -> Option<()> {
        let rule = self.known(report, name, "overridden")?;
        let mut exceptions = update.exceptions;
        for exception in exceptions.iter_mut().flatten() {
            if !exception::complete(exception, report) {
                return None;
            }
        }
        fn set<T>(part: &mut T, update: Option<T>) {
            if let Some(update) = update {
                *part = update;
            }
        }
        set(&mut rule.exceptions, exceptions);
        set(&mut rule.condition, update.condition);
        set(&mut rule.output, update.output.map(Some));
        set(&mut rule.desc, update.desc);
        set(&mut rule.tags, update.tags);
        set(&mut rule.priority, update.priority);
        set(&mut rule.is_enabled, update.is_enabled);
        set(&mut rule.warns_of_event_types, update.warns_of_event_types);
        set(&mut rule.skips_unknown, update.skips_unknown);
        set(&mut rule.captures, update.captures);
        set(&mut rule.capture_ms, update.capture_ms.map(Some));
        set(&mut rule.window, update.window.map(Some));
        rule.examples.extend(update.examples);
        Some(())
    }
}

/// Appends a text behind a blank.
fn append(to: &mut Traced, more: &Traced) {
    to.push(" ", more.spot(0));
    to.push_all(more);
}

fn append_exception(rule: &mut RuleItem, mut exception: Exception, report: &mut Report) -> Option<()> {
    let known = rule.exceptions.iter_mut().find(|known| known.name.text == exception.name.text);
    let name = &exception.name;
    let mut refuse = |message: &str| {
        report.error(name.spot, format!("exception '{}': {message}", cut(&name.text)));
        None
    };
    match known {
        Some(_) if exception.fields.is_some() || exception.comps.is_some() => {
            refuse("it is there already, so that only 'values' can be appended")
        }
        Some(known) => {
            known.values.extend(exception.values);
            Some(())
        }
        None if exception.fields.is_none() => refuse("it is not there yet, so it needs 'fields'"),
        None if exception.values.is_empty() => refuse("it is not there yet, so it needs 'values'"),
        None => {
            if !exception::complete(&mut exception, report) {
                return None;
            }
            rule.exceptions.push(exception);
            Some(())
        }
    }
}
