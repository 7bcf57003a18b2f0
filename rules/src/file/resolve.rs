//! Definitions become rules: lists are put in, conditions are parsed and compiled, outputs are read.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::definitions::{Definitions, RuleItem};
use super::exception;
use super::item::cut;
use super::lists::{self, Lists};
use super::place::{Report, Spot};
use super::traced::Traced;
use super::{Rule, RuleSet};
use crate::ast::{Expr, FieldName, Operand, Operator};
use crate::compile::{CompileError, DEEPEST, Macros, compile};
use crate::field::Catalog;
use crate::format::Format;
use crate::names;
use crate::parser::{FILE_DEPTH, LONGEST, parse_with_depth};

/// The most checks of a condition with all its macros. The largest of Falco's has 248.
const CHECKS: u64 = 100_000;

/// The most regular expressions of all rules, those of a macro counted for each rule that names it. Each may
/// take milliseconds and a megabyte. Falco's rules have none.
const REGEXES: u64 = 1000;

/// The field of Falco that stood for others until its container plugin came, and stands for nothing since.
const CONTAINER_INFO: &str = "%container.info";

/// A macro with its lists.
struct Macro {
    condition: Traced,
    index: u32,
    visibility: u32,
    name_spot: Spot,
    /// With the macros that it names.
    size: Size,
    is_used: bool,
    state: State,
    faults: Option<Rc<Faults>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Open,
    /// Whether it can be used.
    Done(bool),
}

/// Makes rules of definitions.
pub(super) fn resolve(all: Definitions, catalog: &dyn Catalog, report: &mut Report) -> RuleSet {
    if report.is_full() {
        return RuleSet::default();
    }
    let mut lists = Lists::new(&all.lists, report);
    let mut resolver = Resolver {
        catalog,
        macros: HashMap::new(),
        exprs: Macros::new(),
        broken: all.broken_macros,
        regexes: 0,
    };
    resolver.read_macros(&all.macros, &mut lists, report);
    let names: Vec<&str> = all.macros.iter().map(|item| item.name.text.as_ref()).collect();
    for name in names {
        resolver.link(name, 0, report);
    }
    let mut rules = Vec::new();
    for item in all.rules.into_iter().filter(|item| !item.has_unknown_source) {
        if report.is_full() {
            break;
        }
        rules.extend(resolver.rule(item, &mut lists, report));
    }
    if report.has_errors() {
        return RuleSet { rules, macros: resolver.exprs, required_engine: all.engine };
    }
    lists::note_unused(&lists, report);
    let mut unused: Vec<_> = resolver.macros.iter().filter(|(_, known)| !known.is_used).collect();
    unused.sort_by_key(|(_, known)| known.index);
    for (name, known) in unused {
        report.note(known.name_spot, format!("macro '{}' is used by no rule or macro", cut(name)));
    }
    RuleSet { rules, macros: resolver.exprs, required_engine: all.engine }
}

struct Resolver<'c> {
    catalog: &'c dyn Catalog,
    macros: HashMap<Box<str>, Macro>,
    exprs: Macros,
    /// Macros that have an error, so that their users are left out without another.
    broken: HashSet<Box<str>>,
    /// Regular expressions of the rules so far.
    regexes: u64,
}

impl Resolver<'_> {
    fn read_macros(
        &mut self,
        items: &[super::definitions::MacroDefinition],
        lists: &mut Lists,
        report: &mut Report,
    ) {
        for item in items {
            if report.is_full() {
                return;
            }
            let name = &item.name.text;
            let Some((condition, expr)) = parse(&item.condition, lists, report) else {
                self.broken.insert(name.clone());
                continue;
            };
            let known = Macro {
                condition,
                index: item.index,
                visibility: item.visibility,
                name_spot: item.name.spot,
                size: Size::default(),
                is_used: false,
                state: State::New,
                faults: None,
            };
            self.exprs.insert(name.to_string(), expr);
            self.macros.insert(name.clone(), known);
        }
    }

    /// Checks that a macro names only earlier ones, and counts its checks; false if it cannot be used.
    fn link(&mut self, name: &str, depth: u32, report: &mut Report) -> bool {
        let Some(known) = self.macros.get_mut(name) else { return false };
        match known.state {
            State::Done(is_right) => return is_right,
            State::Open => return false,
            State::New => known.state = State::Open,
        }
        let (visibility, spot) = (known.visibility, known.name_spot);
        let mut inner = Vec::new();
        let mut size = Size::default();
        if let Some(expr) = self.exprs.get(name) {
            size = Size::of(expr);
            expr.each_macro(&mut |name, span| inner.push((name.to_owned(), span)));
        }
        let mut is_right = true;
        let mut inner_size = Size::default();
        for (used, span) in inner {
            let spot = self.macros.get(name).map_or(spot, |known| known.condition.spot(span.start));
            let fault = match self.macros.get(used.as_str()) {
                // An error was reported already.
                None if self.broken.contains(used.as_str()) => None,
                None => {
                    Some(format!("unknown macro '{}'{}", cut(&used), self.hint(&used, visibility, report)))
                }
                Some(other) if other.index >= visibility => {
                    Some(format!("macro '{}' is defined later; a macro sees only earlier ones", cut(&used)))
                }
                Some(other) if other.state == State::Open => {
                    Some(format!("macros '{}' and '{}' name each other", cut(name), cut(&used)))
                }
                Some(_) if depth >= DEEPEST => Some(TOO_DEEP.to_owned()),
                Some(_) => None,
            };
            is_right &= fault.is_none() && self.link(&used, depth + 1, report);
            if let Some(message) = fault {
                report.error(spot, message);
            }
            if let Some(other) = self.macros.get_mut(used.as_str()) {
                other.is_used = true;
                inner_size.add(other.size);
            }
        }
        size.put_in(inner_size);
        if is_right && let Some(message) = size.fault() {
            report.error(spot, format!("macro '{}': {message}", cut(name)));
            is_right = false;
        }
        if !is_right {
            self.broken.insert(name.into());
        }
        if let Some(known) = self.macros.get_mut(name) {
            known.state = State::Done(is_right);
            known.size = size;
        }
        is_right
    }

    fn hint(&self, name: &str, visibility: u32, report: &Report) -> String {
        let known = self.macros.iter().filter(|(_, known)| known.index < visibility);
        report.hint(name, known.map(|(name, _)| name.as_ref()))
    }

    fn rule(&mut self, item: RuleItem, lists: &mut Lists, report: &mut Report) -> Option<Rule> {
        let written = match item.exceptions.as_slice() {
            [] => Some(item.condition.clone()),
            exceptions => exception::apply(&item.condition, exceptions, report),
        };
        let parsed = written.as_ref().and_then(|written| parse(written, lists, report));
        // Both are checked, so that all that is wrong is said at once.
        let output = item.output.as_ref().and_then(|output| self.output(&item, output, report));
        let (condition, expr) = parsed?;
        let is_right = self.names(&item, &condition, &expr, report)?;
        let (output, output_text) = output?;
        if !is_right || item.is_broken {
            return None;
        }
        let program = match compile(&expr, &self.exprs, self.catalog) {
            Ok(program) if item.window.is_some() => program.counting(),
            Ok(program) => program,
            Err(error) => {
                self.refuse(&item, &condition, &expr, error, report);
                return None;
            }
        };
        if item.warns_of_event_types && program.event_types().others {
            let name = cut(&item.name.text);
            let message = format!(
                "rule '{name}' is asked about every event: its condition does not say which 'evt.type'"
            );
            report.warning(item.name.spot, message);
        }
        Some(Rule {
            place: report.place(item.name.spot),
            name: item.name.text.into(),
            description: item.desc,
            condition: condition.text().to_owned(),
            expr,
            program,
            output,
            output_text,
            priority: item.priority,
            source: item.source.into(),
            tags: item.tags.into_iter().collect(),
            is_enabled: item.is_enabled,
            captures: item.captures,
            capture_ms: item.capture_ms,
            window: item.window,
            examples: item.examples,
        })
    }

    /// Says what is wrong with each check of a condition and of the macros that it uses.
    fn refuse(
        &self,
        item: &RuleItem,
        condition: &Traced,
        expr: &Expr,
        first: CompileError,
        report: &mut Report,
    ) {
        let mut errors = Vec::new();
        let mut seen = HashSet::new();
        let mut open = vec![(None, expr)];
        while let Some((within, expr)) = open.pop() {
            expr.each_check(&mut |check| {
                let alone = compile(&Expr::Check(Box::new(check.clone())), &self.exprs, self.catalog);
                errors.extend(alone.err().map(|error| CompileError { within: within.clone(), ..error }));
            });
            expr.each_macro(&mut |name, _| {
                if let Some(expr) = self.exprs.get(name).filter(|_| seen.insert(name.to_owned())) {
                    open.push((Some(name.to_owned()), expr));
                }
            });
        }
        if errors.is_empty() {
            errors.push(first);
        }
        let is_unknown = |error: &CompileError| error.message.contains("unknown event type");
        let is_skipped = item.skips_unknown && errors.iter().all(is_unknown);
        for error in errors {
            let within = error.within.as_deref().and_then(|name| self.macros.get(name));
            let spot = within.map_or(condition, |known| &known.condition).spot(error.at);
            match is_skipped {
                true => report.warning(spot, left_out(item, &error.message)),
                false => report.error(spot, error.message),
            }
        }
    }

    /// Checks the names of macros and fields in a rule's condition and in the macros that it uses.
    ///
    /// `None` if the rule cannot be used because a macro is broken, about which something was said already;
    /// false if something is wrong.
    fn names(
        &mut self,
        item: &RuleItem,
        condition: &Traced,
        expr: &Expr,
        report: &mut Report,
    ) -> Option<bool> {
        let mut is_right = true;
        let mut used = Vec::new();
        expr.each_macro(&mut |name, span| used.push((name.to_owned(), span)));
        let (mut size, mut inner_size) = (Size::of(expr), Size::default());
        let mut is_silent = false;
        for (name, span) in &used {
            match self.macros.get_mut(name.as_str()) {
                Some(known) => {
                    known.is_used = true;
                    inner_size.add(known.size);
                    is_silent |= self.broken.contains(name.as_str());
                }
                None if self.broken.contains(name.as_str()) => is_silent = true,
                None => {
                    let hint = self.hint(name, u32::MAX, report);
                    report.error(condition.spot(span.start), format!("unknown macro '{}'{hint}", cut(name)));
                    is_right = false;
                }
            }
        }
        size.put_in(inner_size);
        if size.regexes > 0 {
            self.regexes = self.regexes.saturating_add(size.regexes);
            size.regexes = self.regexes;
        }
        if let Some(message) = size.fault().filter(|_| !is_silent) {
            report.error(item.name.spot, format!("rule '{}': {message}", cut(&item.name.text)));
            return None;
        }
        let mut all = vec![Rc::new(Faults::of(expr, condition, self.catalog))];
        let mut seen: HashSet<String> = HashSet::new();
        let mut open: Vec<String> = used.into_iter().map(|(name, _)| name).collect();
        while let Some(name) = open.pop() {
            if seen.contains(&name) {
                continue;
            }
            if let Some(expr) = self.exprs.get(&name) {
                expr.each_macro(&mut |name, _| open.push(name.to_owned()));
            }
            all.extend(self.faults_of(&name));
            seen.insert(name);
        }
        let has_unknown = all.iter().any(|faults| !faults.unknown.is_empty());
        let has_other = all.iter().any(|faults| !faults.other.is_empty());
        let is_skipped = item.skips_unknown && has_unknown && !has_other;
        for faults in &all {
            for (spot, message) in &faults.suspicious {
                report.warning(*spot, message.as_str());
            }
            for (spot, message) in &faults.unknown {
                match is_skipped {
                    true => report.warning(*spot, left_out(item, message)),
                    false => report.error(*spot, message.as_str()),
                }
            }
            for (spot, message) in &faults.other {
                report.error(*spot, message.as_str());
            }
        }
        is_right &= !has_unknown && !has_other;
        (!is_silent).then_some(is_right)
    }

    /// What is wrong with the names in a macro; looked for once.
    fn faults_of(&mut self, name: &str) -> Option<Rc<Faults>> {
        let known = self.macros.get_mut(name)?;
        if known.faults.is_none() {
            let faults = Faults::of(self.exprs.get(name)?, &known.condition, self.catalog);
            known.faults = Some(Rc::new(faults));
        }
        known.faults.clone()
    }

    /// Reads the output; `None` if it cannot be used.
    fn output(&self, item: &RuleItem, written: &Traced, report: &mut Report) -> Option<(Format, String)> {
        let text = written.text();
        let mut output = written.clone();
        if let Some(at) = text.find(CONTAINER_INFO) {
            let message = "'%container.info' is deprecated and shows nothing; name the fields that you want";
            report.warning(written.spot(at), message);
            let mut kept = Traced::default();
            let mut from = 0;
            for (at, _) in text.match_indices(CONTAINER_INFO) {
                kept.push_part(written, from..at);
                from = at + CONTAINER_INFO.len();
            }
            kept.push_part(written, from..text.len());
            output = kept;
        }
        if output.len() == 0 {
            report.error(written.spot(0), "the output is empty");
            return None;
        }
        let errors = match Format::parse(output.text(), self.catalog) {
            Ok(format) => return Some((format.showing_missing(), output.text().to_owned())),
            Err(_) => Format::check(output.text(), self.catalog),
        };
        let is_skipped = item.skips_unknown && errors.iter().all(|error| error.is_unknown_field);
        for error in errors {
            let spot = output.spot(error.at);
            match is_skipped {
                true => report.warning(spot, left_out(item, &error.message)),
                false => report.error(spot, format!("output: {}", error.message)),
            }
        }
        None
    }
}

fn left_out(item: &RuleItem, message: &str) -> String {
    format!("rule '{}' is left out: {message}", cut(&item.name.text))
}

/// Puts lists into a condition and parses it.
fn parse(written: &Traced, lists: &mut Lists, report: &mut Report) -> Option<(Traced, Expr)> {
    if written.len() > LONGEST {
        report.error(written.spot(0), format!("the condition is longer than {LONGEST} bytes"));
        return None;
    }
    let condition = match lists.substitute(written) {
        Ok(condition) => condition,
        Err(message) => {
            report.error(written.spot(0), message);
            return None;
        }
    };
    match parse_with_depth(condition.text(), FILE_DEPTH) {
        Ok(expr) => Some((condition, expr)),
        Err(error) => {
            report.error(condition.spot(error.at), error.message);
            None
        }
    }
}

/// How large a condition is.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    checks: u64,
    depth: u32,
    regexes: u64,
}

const TOO_DEEP: &str = "nested too deep with the macros that it names";

impl Size {
    /// Checks and operators of a condition, without its macros.
    fn of(expr: &Expr) -> Size {
        let mut size = Size { checks: 1, depth: 1, regexes: 0 };
        match expr {
            Expr::And(parts, _) | Expr::Or(parts, _) => {
                let mut inner = Size::default();
                parts.iter().for_each(|part| inner.add(Size::of(part)));
                size.put_in(inner);
            }
            Expr::Not(part, _) => size.put_in(Size::of(part)),
            Expr::Check(check) if check.operator == Operator::Regex => {
                size.regexes = match &check.right {
                    Some(Operand::List(items, _)) => items.len() as u64,
                    _ => 1,
                };
            }
            Expr::Check(_) | Expr::Macro { .. } => {}
        }
        size
    }

    /// Another part beside this one.
    fn add(&mut self, other: Size) {
        self.checks = self.checks.saturating_add(other.checks);
        self.regexes = self.regexes.saturating_add(other.regexes);
        self.depth = self.depth.max(other.depth);
    }

    /// Another part within this one.
    fn put_in(&mut self, inner: Size) {
        self.checks = self.checks.saturating_add(inner.checks);
        self.regexes = self.regexes.saturating_add(inner.regexes);
        self.depth = self.depth.saturating_add(inner.depth);
    }

    fn fault(self) -> Option<String> {
        match self {
            _ if self.checks > CHECKS => {
                Some(format!("more than {CHECKS} checks with the macros that it names"))
            }
            _ if self.regexes > REGEXES => {
                Some(format!("more than {REGEXES} regular expressions with those of the rules before"))
            }
            _ if self.depth > DEEPEST => Some(TOO_DEEP.to_owned()),
            _ => None,
        }
    }
}

/// What is wrong with the names in conditions.
#[derive(Default)]
struct Faults {
    /// Fields that do not exist.
    unknown: Vec<(Spot, String)>,
    /// Fields with a wrong argument.
    other: Vec<(Spot, String)>,
    /// Values that were probably meant as fields, and fields that mean nothing any more.
    suspicious: Vec<(Spot, String)>,
}

impl Faults {
    fn of(expr: &Expr, condition: &Traced, catalog: &dyn Catalog) -> Self {
        let mut faults = Self::default();
        faults.look(expr, condition, catalog);
        faults
    }

    fn look(&mut self, expr: &Expr, condition: &Traced, catalog: &dyn Catalog) {
        match expr {
            Expr::And(parts, _) | Expr::Or(parts, _) => {
                parts.iter().for_each(|part| self.look(part, condition, catalog))
            }
            Expr::Not(part, _) => self.look(part, condition, catalog),
            Expr::Macro { .. } => {}
            Expr::Check(check) => {
                self.operand(&check.left, condition, catalog);
                if let Some(right) = &check.right {
                    self.operand(right, condition, catalog);
                    self.value(right, condition, catalog);
                }
            }
        }
    }

    fn operand(&mut self, operand: &Operand, condition: &Traced, catalog: &dyn Catalog) {
        match operand {
            Operand::Field(name) => self.field(name, condition, catalog),
            Operand::Transform(transform) => {
                transform.arguments.iter().for_each(|argument| self.operand(argument, condition, catalog));
            }
            Operand::List(items, _) => items.iter().for_each(|item| self.operand(item, condition, catalog)),
            Operand::Value(..) => {}
        }
    }

    fn field(&mut self, name: &FieldName, condition: &Traced, catalog: &dyn Catalog) {
        if name.name == "evt.dir" {
            let message = "'evt.dir' is deprecated: its value is always '<'".to_owned();
            self.suspicious.push((condition.spot(name.span.start), message));
        }
        let Err(message) = names::resolve(catalog, &name.name, name.argument.as_deref()) else { return };
        let is_unknown = names::is_unknown(&name.name, catalog);
        let faults = if is_unknown { &mut self.unknown } else { &mut self.other };
        faults.push((condition.spot(name.span.start), message));
    }

    /// A value that looks like a field or a transformer is compared as a text.
    fn value(&mut self, operand: &Operand, condition: &Traced, catalog: &dyn Catalog) {
        let Operand::Value(text, span) = operand else { return };
        let name = text.trim();
        if name.contains('.') && catalog.find(name).is_some() {
            let message = format!(
                "'{}' is compared as a text; for the field of that name write 'val({name})'",
                cut(text)
            );
            self.suspicious.push((condition.spot(span.start), message));
        }
    }
}
