//! Reads the items of a file, in their order, into [`Definitions`].
//!
//! The kind of an item is decided by its first key of this order: required_engine_version,
//! required_plugin_versions, list, macro, rule.

use super::definitions::{Definitions, MacroItem, RuleItem, Update};
use super::exception::{self, Partial};
use super::extras;
use super::item::{Context, Item, Word, cut};
use super::version::{ENGINE, Version};
use super::yaml::{Kind, Node};
use crate::field::Catalog;
use crate::priority::Priority;

/// The keys of each kind of item.
const LIST: [&str; 4] = ["list", "items", "append", "override"];
const MACRO: [&str; 4] = ["macro", "condition", "append", "override"];
const RULE: [&str; 17] = [
    "rule",
    "desc",
    "condition",
    "output",
    "priority",
    "source",
    "enabled",
    "tags",
    "exceptions",
    "append",
    "override",
    "warn_evttypes",
    "skip-if-unknown-filter",
    "capture",
    "capture_duration",
    WINDOW,
    EXAMPLES,
];
/// Our own keys.
pub(super) const WINDOW: &str = "x-glassbox-window";
pub(super) const EXAMPLES: &str = "x-glassbox-examples";

/// The keys of a rule that `override` may name with `append`, and those with `replace`.
const APPENDED: [&str; 5] = ["condition", "output", "desc", "tags", "exceptions"];
const REPLACED: [&str; 11] = [
    "condition",
    "output",
    "desc",
    "tags",
    "exceptions",
    "priority",
    "capture",
    "capture_duration",
    "enabled",
    "warn_evttypes",
    "skip-if-unknown-filter",
];

/// The plugin whose fields are built in, and the versions that are said to be there: every one before 1.0.
const PLUGIN: &str = "container";

const APPEND_IS_OLD: &str =
    "the key 'append' is deprecated; say 'append' under 'override' instead, as in 'condition: append'";
const APPEND_AND_OVERRIDE: &str = "'append: true' and 'override' cannot be used together";

/// Reads all documents of a file.
pub(super) fn read(context: &mut Context, roots: &[Node], catalog: &dyn Catalog, all: &mut Definitions) {
    for root in roots {
        match root.kind() {
            Kind::Null => {}
            Kind::Sequence(items) => {
                for node in items.iter().filter(|node| !node.is_null()) {
                    if context.is_done() {
                        return;
                    }
                    match Item::new(node) {
                        Some(item) => read_item(context, item, catalog, all),
                        None => context.error(node, "each item of a rule file must be a mapping"),
                    }
                }
            }
            _ => context.error(root, "a rule file must be a list of rules, macros and lists"),
        }
    }
}

fn read_item(context: &mut Context, item: Item, catalog: &dyn Catalog, all: &mut Definitions) {
    if let Some(node) = item.get("required_engine_version") {
        item.warn_of_keys(context, "a version requirement", &["required_engine_version"]);
        engine_version(context, node, all);
    } else if let Some(node) = item.get("required_plugin_versions") {
        item.warn_of_keys(context, "a version requirement", &["required_plugin_versions"]);
        plugin_versions(context, node);
    } else if let Some(name) = item.get("list") {
        item.warn_of_keys(context, "a list", &LIST);
        list(context, item, name, all);
    } else if let Some(name) = item.get("macro") {
        item.warn_of_keys(context, "a macro", &MACRO);
        read_macro(context, item, name, all);
    } else if let Some(name) = item.get("rule") {
        item.warn_of_keys(context, "a rule", &RULE);
        rule(context, item, name, catalog, all);
    } else {
        let key = item.entries().next().map_or("", |(key, ..)| key);
        let kinds = ["required_engine_version", "required_plugin_versions", "list", "macro", "rule"];
        let hint = context.report.hint(key, kinds);
        context.warning(item.node, format!("an item that is no rule, macro or list is ignored{hint}"));
    }
}

fn engine_version(context: &mut Context, node: &Node, all: &mut Definitions) {
    let Some(word) = context.word(node, "'required_engine_version'") else { return };
    match Version::parse_engine(&word.text) {
        Some(required) if ENGINE.satisfies(required) => all.engine = all.engine.max(Some(required)),
        Some(required) => {
            context.error(node, format!("needs version {required} of Falco's engine; this is {ENGINE}"));
        }
        None => {
            let message =
                format!("'{}' is no version; write x.y.z, or a number N for 0.N.0", cut(&word.text));
            context.error(node, message);
        }
    }
}

fn plugin_versions(context: &mut Context, node: &Node) {
    let Kind::Sequence(plugins) = node.kind() else {
        context.error(node, "'required_plugin_versions' must be a list");
        return;
    };
    for node in plugins {
        if context.is_done() {
            return;
        }
        let Some(plugin) = Item::new(node) else {
            context.error(node, "a required plugin must be a mapping");
            continue;
        };
        plugin.warn_of_keys(context, "a required plugin", &["name", "version", "alternatives"]);
        let mut wanted = Vec::new();
        let mut is_whole = requirement(context, plugin, &mut wanted);
        match plugin.get("alternatives").map(|node| (node, node.kind())) {
            Some((_, Kind::Sequence(nodes))) => {
                for node in nodes {
                    match Item::new(node) {
                        Some(other) => {
                            other.warn_of_keys(context, "an alternative", &["name", "version"]);
                            is_whole &= requirement(context, other, &mut wanted);
                        }
                        None => {
                            context.error(node, "an alternative must be a mapping");
                            is_whole = false;
                        }
                    }
                }
            }
            Some((node, _)) => {
                context.error(node, "'alternatives' must be a list");
                is_whole = false;
            }
            None => {}
        }
        if is_whole && !wanted.iter().any(|(name, version)| *name.text == *PLUGIN && version.major == 0) {
            let names: Vec<String> =
                wanted.iter().map(|(name, version)| format!("{} {version}", name.text)).collect();
            let message =
                format!("needs plugin {}; only '{PLUGIN}', before 1.0, is built in", names.join(" or "));
            context.error(node, message);
        }
    }
}

/// A name and a version; false if something is wrong.
fn requirement(context: &mut Context, item: Item, wanted: &mut Vec<(Word, Version)>) -> bool {
    let name = required(context, item, "name", "a required plugin");
    let name = name.and_then(|node| context.word(node, "the name of a plugin"));
    let node = required(context, item, "version", "a required plugin");
    let version = node.and_then(|node| context.word(node, "the version of a plugin"));
    let (Some(name), Some(version), Some(node)) = (name, version, node) else { return false };
    let Some(parsed) = Version::parse(&version.text) else {
        context.error(node, format!("'{}' is no version; write x.y.z", cut(&version.text)));
        return false;
    };
    if wanted.iter().any(|(other, _)| other.text == name.text) {
        context.error(item.node, format!("plugin '{}' is among its own alternatives", name.text));
        return false;
    }
    wanted.push((name, parsed));
    true
}

fn required<'n>(context: &mut Context, item: Item<'n>, key: &str, what: &str) -> Option<&'n Node> {
    let node = item.get(key);
    if node.is_none() {
        context.error(item.node, format!("{what} needs '{key}'"));
    }
    node
}

/// Whether an item adds to one that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Define,
    Append,
}

fn list(context: &mut Context, item: Item, name: &Node, all: &mut Definitions) {
    let Some(name) = context.word(name, "the name of a list") else { return };
    let is_bare = |character: char| {
        !matches!(character, '(' | ')' | '"' | '\'' | '=' | ',') && !character.is_ascii_whitespace()
    };
    if !name.text.chars().all(is_bare) {
        let message = format!(
            "the name of list '{}' has a character that no name of a list should have",
            cut(&name.text)
        );
        context.report.warning(name.spot, message);
    }
    let what = format!("list '{}'", cut(&name.text));
    let items = required(context, item, "items", &what).and_then(|node| context.words(node, "'items'"));
    let mode = mode(context, item, "items");
    match (items, mode) {
        (Some(items), Some(mode)) => all.list(context.report, name, items, mode),
        _ => all.break_list(name),
    }
}

fn read_macro(context: &mut Context, item: Item, name: &Node, all: &mut Definitions) {
    let Some(name) = context.word(name, "the name of a macro") else { return };
    let is_identifier = name.text.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_identifier {
        let message = format!(
            "the name of macro '{}' should be letters, digits and '_'; no condition can use it",
            cut(&name.text)
        );
        context.report.warning(name.spot, message);
    }
    let what = format!("macro '{}'", cut(&name.text));
    let condition =
        required(context, item, "condition", &what).and_then(|node| context.traced(node, "'condition'"));
    let mode = mode(context, item, "condition");
    match (condition, mode) {
        (Some(condition), Some(mode)) => all.add_macro(context.report, MacroItem { name, condition }, mode),
        _ => all.break_macro(name),
    }
}

/// Whether an item with a single part is appended; `None` if something is wrong.
fn mode(context: &mut Context, item: Item, key: &'static str) -> Option<Mode> {
    let is_append = append_flag(context, item)?;
    let overrides = overrides(context, item, &[key], &[key])?;
    if is_append && !overrides.is_empty() {
        context.error(item.get("override").unwrap_or(item.node), APPEND_AND_OVERRIDE);
        return None;
    }
    let is_append = is_append || overrides.iter().any(|change| change.is_append);
    Some(if is_append { Mode::Append } else { Mode::Define })
}

/// `append: true`; `None` if something is wrong.
fn append_flag(context: &mut Context, item: Item) -> Option<bool> {
    let Some(node) = item.get("append") else { return Some(false) };
    let is_append = context.flag(node, "'append'")?;
    if is_append {
        context.warning(node, APPEND_IS_OLD);
    }
    Some(is_append)
}

/// An entry under `override`.
struct Override<'n> {
    key: &'static str,
    is_append: bool,
    node: &'n Node,
}

/// The entries under `override`; `None` if something is wrong.
fn overrides<'n>(
    context: &mut Context,
    item: Item<'n>,
    appended: &[&'static str],
    replaced: &[&'static str],
) -> Option<Vec<Override<'n>>> {
    let Some(node) = item.get("override") else { return Some(Vec::new()) };
    if node.is_null() {
        context.warning(node, "'override' is empty, and so is ignored");
        return Some(Vec::new());
    }
    let Some(inner) = Item::new(node) else {
        context.error(node, "'override' must be a mapping of keys to 'append' or 'replace'");
        return None;
    };
    let (mut changes, mut is_whole) = (Vec::new(), true);
    for (name, key, value) in inner.entries() {
        let find = |names: &[&'static str]| names.iter().copied().find(|known| *known == name);
        let (append, replace) = (find(appended), find(replaced));
        let Some(operation) = context.word(value, &format!("the override of '{}'", cut(name))) else {
            is_whole = false;
            continue;
        };
        let (found, is_append) = match operation.text.as_ref() {
            "append" => (append, true),
            "replace" => (replace, false),
            other => {
                let message = format!(
                    "'{}' is no way to override '{}'; use 'append' or 'replace'",
                    cut(other),
                    cut(name)
                );
                context.error(value, message);
                is_whole = false;
                continue;
            }
        };
        let hint = context.report.hint(name, replaced.iter().copied());
        match found {
            Some(key) => changes.push(Override { key, is_append, node: value }),
            None => {
                let message = match (is_append, append.or(replace)) {
                    (true, Some(key)) => format!("'{key}' cannot be appended to; use 'replace'"),
                    (_, _) => format!("'{}' cannot be overridden{hint}", cut(name)),
                };
                context.error(key, message);
                is_whole = false;
            }
        }
    }
    is_whole.then_some(changes)
}

fn rule(context: &mut Context, item: Item, name: &Node, catalog: &dyn Catalog, all: &mut Definitions) {
    let Some(name) = context.word(name, "the name of a rule") else { return };
    let is_append = append_flag(context, item);
    let overrides = overrides(context, item, &APPENDED, &REPLACED);
    let (Some(is_append), Some(overrides)) = (is_append, overrides) else { return all.break_rule(name) };
    let what = format!("rule '{}'", cut(&name.text));
    if is_append && !overrides.is_empty() {
        context.error(item.get("override").unwrap_or(item.node), APPEND_AND_OVERRIDE);
        return all.break_rule(name);
    }
    let is_done = if !overrides.is_empty() {
        override_rule(context, item, &name, &overrides, catalog, all)
    } else if is_append {
        append_rule(context, item, &name, catalog, all)
    } else if ["condition", "output", "desc", "priority"].iter().all(|key| !item.has(key)) {
        enable_rule(context, item, &name, all)
    } else {
        define_rule(context, item, &name, &what, catalog, all)
    };
    if is_done.is_none() {
        all.break_rule(name);
    }
}

fn override_rule(
    context: &mut Context,
    item: Item,
    name: &Word,
    overrides: &[Override],
    catalog: &dyn Catalog,
    all: &mut Definitions,
) -> Option<()> {
    let mut is_whole = true;
    let (mut append, mut replace) = (Update::default(), Update::default());
    let has = |is_append: bool| overrides.iter().any(|change| change.is_append == is_append);
    for change in overrides {
        let Some(node) = item.get(change.key) else {
            let message = format!("'{}' is overridden, but the rule has no such key", change.key);
            context.error(change.node, message);
            is_whole = false;
            continue;
        };
        let (update, partial) = match change.is_append {
            true => (&mut append, Partial::Allowed),
            false => (&mut replace, Partial::Refused),
        };
        is_whole &= read_part(context, node, change.key, partial, update).is_some();
    }
    for (key, node, _) in item.entries() {
        let is_overridden = overrides.iter().any(|change| change.key == key);
        if REPLACED.contains(&key) && !is_overridden {
            context.error(node, format!("unexpected key '{key}': 'override' does not name it"));
            is_whole = false;
        }
    }
    is_whole &=
        read_extras(context, item, catalog, if has(true) { &mut append } else { &mut replace }).is_some();
    if !is_whole {
        return None;
    }
    if has(true) {
        all.append_rule(context.report, name, append)?;
    }
    if has(false) {
        all.replace_rule(context.report, name, replace)?;
    }
    Some(())
}

fn append_rule(
    context: &mut Context,
    item: Item,
    name: &Word,
    catalog: &dyn Catalog,
    all: &mut Definitions,
) -> Option<()> {
    let mut update = Update::default();
    let mut is_whole = true;
    for (key, node, value) in item.entries() {
        match key {
            "condition" | "exceptions" => {
                is_whole &= read_part(context, value, key, Partial::Allowed, &mut update).is_some();
            }
            _ if REPLACED.contains(&key) || key == "source" => {
                context.warning(node, format!("'{key}' is ignored beside 'append: true'; use 'override'"));
            }
            _ => {}
        }
    }
    is_whole &= read_extras(context, item, catalog, &mut update).is_some();
    if !is_whole {
        return None;
    }
    if update.condition.is_none() && update.exceptions.is_none() {
        context.error(
            item.node,
            format!(
                "rule '{}' is appended to, but has neither 'condition' nor 'exceptions'",
                cut(&name.text)
            ),
        );
        return None;
    }
    all.append_rule(context.report, name, update)
}

fn enable_rule(context: &mut Context, item: Item, name: &Word, all: &mut Definitions) -> Option<()> {
    let Some(node) = item.get("enabled") else {
        let message =
            format!("rule '{}' needs 'condition', 'output', 'desc' and 'priority'", cut(&name.text));
        context.error(item.node, message);
        return None;
    };
    let is_enabled = context.flag(node, "'enabled'")?;
    context
        .warning(node, "the key 'enabled' alone is deprecated; say 'enabled: replace' under 'override' too");
    all.enable_rule(context.report, name, is_enabled)
}

fn define_rule(
    context: &mut Context,
    item: Item,
    name: &Word,
    what: &str,
    catalog: &dyn Catalog,
    all: &mut Definitions,
) -> Option<()> {
    let mut update = Update::default();
    let mut is_whole = true;
    for key in ["condition", "output", "desc", "priority"] {
        let node = required(context, item, key, what);
        is_whole &=
            node.is_some_and(|node| read_part(context, node, key, Partial::Refused, &mut update).is_some());
    }
    for key in &REPLACED[3..] {
        if let Some(node) = item.get(key).filter(|_| *key != "priority") {
            is_whole &= read_part(context, node, key, Partial::Refused, &mut update).is_some();
        }
    }
    let source = item.get("source").map(|node| context.word(node, "'source'"));
    is_whole &= read_extras(context, item, catalog, &mut update).is_some();
    let source = match source {
        Some(source) => source?.text,
        None => "syscall".into(),
    };
    // Without a condition there is nothing left to check.
    let condition = update.condition?;
    let rule = RuleItem {
        name: name.clone(),
        desc: update.desc.unwrap_or_default(),
        condition,
        output: update.output.map(|output| output.trimmed()),
        priority: update.priority.unwrap_or(Priority::Debug),
        source,
        is_enabled: update.is_enabled.unwrap_or(true),
        tags: update.tags.unwrap_or_default(),
        exceptions: update.exceptions.unwrap_or_default(),
        warns_of_event_types: update.warns_of_event_types.unwrap_or(true),
        skips_unknown: update.skips_unknown.unwrap_or(false),
        captures: update.captures.unwrap_or(false),
        capture_ms: update.capture_ms,
        window: update.window,
        examples: update.examples,
        has_unknown_source: false,
        is_broken: !is_whole,
    };
    all.rule(context.report, rule)
}

/// Reads the value of a key into an update; `None` if something is wrong.
fn read_part(
    context: &mut Context,
    node: &Node,
    key: &str,
    partial: Partial,
    update: &mut Update,
) -> Option<()> {
    let what = format!("'{key}'");
    match key {
        "condition" => update.condition = Some(context.traced(node, &what)?),
        "output" => update.output = Some(context.traced(node, &what)?),
        "desc" => update.desc = Some(context.word(node, &what)?.text.into()),
        "tags" => {
            let words = context.words(node, &what)?;
            update.tags = Some(words.into_iter().map(|word| word.text.into()).collect());
        }
        "exceptions" => update.exceptions = Some(exception::read(context, node, partial)?),
        "priority" => {
            let word = context.word(node, &what)?;
            update.priority = Priority::parse(&word.text);
            if update.priority.is_none() {
                let names = Priority::ALL.map(Priority::name);
                let hint = context.report.hint(&word.text, names);
                let message = format!("unknown priority '{}'{hint}", cut(&word.text));
                context.error(node, message);
                return None;
            }
        }
        "enabled" => update.is_enabled = Some(context.flag(node, &what)?),
        "warn_evttypes" => update.warns_of_event_types = Some(context.flag(node, &what)?),
        "skip-if-unknown-filter" => update.skips_unknown = Some(context.flag(node, &what)?),
        "capture" => update.captures = Some(context.flag(node, &what)?),
        "capture_duration" => update.capture_ms = Some(context.number(node, &what)?),
        _ => {}
    }
    Some(())
}

/// Reads our own keys; `None` if something is wrong.
fn read_extras(context: &mut Context, item: Item, catalog: &dyn Catalog, update: &mut Update) -> Option<()> {
    let mut is_whole = true;
    if let Some(node) = item.get(WINDOW) {
        update.window = extras::window(context, node, catalog);
        is_whole &= update.window.is_some();
    }
    if let Some(node) = item.get(EXAMPLES) {
        let examples = extras::examples(context, node, catalog);
        is_whole &= examples.is_some();
        update.examples = examples.unwrap_or_default();
    }
    is_whole.then_some(())
}
