//! An [`Expr`] becomes a [`Program`]: fields, types and values are checked against a catalog, and macros
//! resolved.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::error::Error;
use std::fmt::{self, Display};
use std::sync::Arc;

use crate::ast::{Check, Expr, FieldName, Operand, Operator, Span, Transform, Transformer};
use crate::compare::{Question, Test, is_allowed};
use crate::field::{self, Answer, Catalog, Type};
use crate::names;
use crate::slot::{Slot, SlotId, Slots};

/// The macros that a condition may name.
pub type Macros = HashMap<String, Expr>;

/// The deepest tree of a condition with the macros that it names: trees are walked by recursion.
pub const DEEPEST: u32 = 500;

/// The field whose values decide for which events a rule is asked at all.
pub const EVENT_TYPE: &str = "evt.type";

/// The most characters of a check's text in an explanation.
const SHOWN: usize = 160;

/// Why a condition cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    /// The macro in whose condition the fault is; `None`: in the condition itself.
    pub within: Option<String>,
    /// The byte of that condition.
    pub at: usize,
    /// What is wrong there.
    pub message: String,
}

impl Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.within {
            write!(f, "macro '{name}', ")?;
        }
        write!(f, "byte {}: {}", self.at, self.message)
    }
}

impl Error for CompileError {}

/// A condition that can be evaluated.
#[derive(Clone, Debug)]
pub struct Program {
    pub(crate) slots: Slots,
    pub(crate) tree: Tree,
    types: EventTypes,
    pub(crate) counts: bool,
}

/// The condition with everything looked up. A macro's tree is shared by all that name it.
#[derive(Clone, Debug)]
pub(crate) enum Tree {
    And(Vec<Tree>),
    Or(Vec<Tree>),
    Not(Box<Tree>),
    Macro(Arc<Named>),
    Leaf(Arc<Leaf>),
}

/// A macro.
#[derive(Debug)]
pub(crate) struct Named {
    pub name: String,
    pub tree: Tree,
    depth: u32,
}

/// A comparison.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub slot: SlotId,
    pub test: Test,
    /// The check as it is shown.
    pub text: String,
    pub span: Span,
    /// The slot is `evt.type`.
    pub is_of_type: bool,
}

/// The values of `evt.type` for which a condition can hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventTypes {
    /// The names that the condition has, and whether it can hold for each.
    pub named: BTreeMap<String, bool>,
    /// It can hold for all other names.
    pub others: bool,
    /// It can hold for events that have no type.
    pub none: bool,
}

/// The type of an event, as far as conditions tell types apart.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TypeOf<'a> {
    /// A condition names it.
    Named(&'a str),
    /// No condition names it.
    Other,
    /// It has none.
    None,
}

impl EventTypes {
    /// Whether the condition can hold for an event of this type; the empty name stands for none.
    #[must_use]
    pub fn may_be(&self, name: &str) -> bool {
        if name.is_empty() {
            return self.none;
        }
        self.named.get(name).copied().unwrap_or(self.others)
    }
}

impl Program {
    /// The types of events for which the condition can hold, by its checks of `evt.type` alone.
    ///
    /// `and`, `or` and `not` are followed; any other check may go either way, also behind `not`.
    #[must_use]
    pub fn event_types(&self) -> &EventTypes {
        &self.types
    }

    /// The same for a rule that counts events, and need not fire at one that matches: with
    /// [`crate::Matching::First`] it neither hides other rules nor is hidden by them.
    #[must_use]
    pub fn counting(self) -> Program {
        Program { counts: true, ..self }
    }
}

/// Checks a condition against a catalog, and resolves its macros.
///
/// The first fault is the error. A macro that names itself is one, also through others, and so is a condition
/// that nests deeper than [`DEEPEST`] levels with all its macros.
pub fn compile(expr: &Expr, macros: &Macros, catalog: &dyn Catalog) -> Result<Program, CompileError> {
    let mut compiler =
        Compiler { macros, catalog, slots: Slots::default(), known: HashMap::new(), open: Vec::new() };
    let (tree, _) = compiler.tree(expr, 0)?;
    let types = event_types(&tree);
    Ok(Program { slots: compiler.slots, tree, types, counts: false })
}

/// Checks a field, or a transformer around fields, that stands alone, as in the output of a rule.
pub(crate) fn check_operand(operand: &Operand, catalog: &dyn Catalog) -> Result<(), CompileError> {
    let (macros, slots) = (&Macros::new(), Slots::default());
    Compiler { macros, catalog, slots, known: HashMap::new(), open: Vec::new() }.operand(operand).map(drop)
}

struct Compiler<'a> {
    macros: &'a Macros,
    catalog: &'a dyn Catalog,
    slots: Slots,
    /// Macros that have been compiled.
    known: HashMap<&'a str, Arc<Named>>,
    /// The macros in which the compiler is.
    open: Vec<&'a str>,
}

/// A slot, and what is known about its values.
#[derive(Clone, Copy, Debug)]
struct Typed {
    slot: SlotId,
    kind: Type,
    /// One list, as a transformer makes it.
    is_list: bool,
    /// Never more than one value.
    is_one: bool,
}

type Compiled<T> = Result<T, CompileError>;

impl<'a> Compiler<'a> {
    fn fail<T>(&self, at: usize, message: impl Into<String>) -> Compiled<T> {
        let within = self.open.last().map(|name| (*name).to_owned());
        Err(CompileError { within, at, message: message.into() })
    }

    /// A tree, and how deep it is.
    fn tree(&mut self, expr: &'a Expr, depth: u32) -> Compiled<(Tree, u32)> {
        if depth >= DEEPEST {
            let message = format!("the condition and its macros nest deeper than {DEEPEST} levels");
            return self.fail(expr.span().start, message);
        }
        match expr {
            Expr::And(parts, _) => self.trees(parts, depth).map(|(parts, deep)| (Tree::And(parts), deep)),
            Expr::Or(parts, _) => self.trees(parts, depth).map(|(parts, deep)| (Tree::Or(parts), deep)),
            Expr::Not(part, _) => {
                self.tree(part, depth + 1).map(|(part, deep)| (Tree::Not(Box::new(part)), deep + 1))
            }
            Expr::Check(check) => self.leaf(check).map(|leaf| (Tree::Leaf(Arc::new(leaf)), 1)),
            Expr::Macro { name, span } => self.named(name, *span, depth),
        }
    }

    fn trees(&mut self, parts: &'a [Expr], depth: u32) -> Compiled<(Vec<Tree>, u32)> {
        let mut trees = Vec::with_capacity(parts.len());
        let mut deepest = 0;
        for part in parts {
            let (tree, deep) = self.tree(part, depth + 1)?;
            deepest = deepest.max(deep);
            trees.push(tree);
        }
        Ok((trees, deepest + 1))
    }

    fn named(&mut self, name: &'a str, span: Span, depth: u32) -> Compiled<(Tree, u32)> {
        if let Some(known) = self.known.get(name).cloned() {
            if depth + known.depth >= DEEPEST {
                let message = format!("the condition and its macros nest deeper than {DEEPEST} levels");
                return self.fail(span.start, message);
            }
            let depth = known.depth;
            return Ok((Tree::Macro(known), depth + 1));
        }
        if self.open.contains(&name) {
            return self.fail(span.start, format!("macro '{name}' names itself"));
        }
        let Some(expr) = self.macros.get(name) else {
            return self.fail(span.start, format!("unknown macro '{name}'"));
        };
        self.open.push(name);
        let (tree, depth) = self.tree(expr, depth + 1)?;
        self.open.pop();
        let named = Arc::new(Named { name: name.to_owned(), tree, depth });
        self.known.insert(name, Arc::clone(&named));
        Ok((Tree::Macro(named), depth + 1))
    }

    fn leaf(&mut self, check: &'a Check) -> Compiled<Leaf> {
        let at = check.span.start;
        let left = self.operand(&check.left)?;
        let operator = check.operator;
        let type_slot =
            self.catalog.find(EVENT_TYPE).map(|id| Slot::Field(field::FieldUse { id, argument: None }));
        let is_of_type = type_slot.as_ref() == self.slots.list().get(left.slot as usize);
        if !is_of_type
            && names_event_type(&check.left)
            && (is_equality(operator) || operator == Operator::Exists)
        {
            return self.fail(at, format!("'{EVENT_TYPE}' is compared without transformers"));
        }
        if !is_allowed(left.kind, operator, left.is_list) {
            let what = if left.is_list {
                "a list".to_owned()
            } else {
                format!("{} of type {}", check.left, left.kind)
            };
            return self.fail(at, format!("operator '{operator}' cannot compare {what}"));
        }
        let mut values = Vec::new();
        let mut spans = Vec::new();
        let mut other = None;
        match &check.right {
            None => (),
            Some(Operand::Value(text, span)) => {
                values.push(text.as_bytes().into());
                spans.push(*span);
            }
            Some(Operand::List(items, _)) => {
                for item in items {
                    if let Operand::Value(text, span) = item {
                        values.push(text.as_bytes().into());
                        spans.push(*span);
                    }
                }
            }
            Some(right) => other = Some(self.right(check, left, right, is_of_type)?),
        }
        if is_of_type && is_equality(operator) {
            self.check_event_types(&values, &spans)?;
        }
        let is_list = left.is_list;
        let question = Question {
            kind: left.kind,
            operator,
            modifier: check.modifier,
            is_list,
            is_one: left.is_one,
            values,
            other,
        };
        let test = Test::new(question)
            .or_else(|(index, message)| self.fail(spans.get(index).map_or(at, |span| span.start), message))?;
        let text = shown(check);
        Ok(Leaf { slot: left.slot, test, text, span: check.span, is_of_type })
    }

    fn check_event_types(&self, values: &[Box<[u8]>], spans: &[Span]) -> Compiled<()> {
        for (value, span) in values.iter().zip(spans) {
            let name = String::from_utf8_lossy(value);
            if !self.catalog.has_event_type(&name) {
                return self.fail(span.start, format!("unknown event type '{name}'"));
            }
        }
        Ok(())
    }

    /// A field on the right side, which must be of the left one's type.
    fn right(
        &mut self,
        check: &'a Check,
        left: Typed,
        right: &'a Operand,
        is_of_type: bool,
    ) -> Compiled<SlotId> {
        let at = right.span().start;
        let other = self.operand(right)?;
        if matches!(check.operator, Operator::PMatch | Operator::Regex) {
            return self.fail(at, format!("operator '{}' compares with values only", check.operator));
        }
        if left.kind == Type::Net {
            return self.fail(at, "a network is compared with values only");
        }
        if is_of_type && is_equality(check.operator) {
            return self.fail(at, format!("'{EVENT_TYPE}' is compared with values only"));
        }
        if (left.kind, left.is_list) != (other.kind, other.is_list) {
            let list = |is_list: bool| if is_list { "a list of type " } else { "type " };
            let (one, two) = (list(left.is_list), list(other.is_list));
            let message =
                format!("{} has {one}{}, and {right} has {two}{}", check.left, left.kind, other.kind);
            return self.fail(at, message);
        }
        Ok(other.slot)
    }

    fn operand(&mut self, operand: &'a Operand) -> Compiled<Typed> {
        match operand {
            Operand::Field(field) => self.field(field),
            Operand::Transform(transform) => self.transform(transform),
            Operand::Value(text, _) => {
                let slot = self.slots.intern(Slot::Constant(text.as_bytes().into()));
                Ok(Typed { slot, kind: Type::Text, is_list: false, is_one: true })
            }
            Operand::List(items, _) => {
                let mut slots = Vec::with_capacity(items.len());
                for item in items {
                    slots.push(self.operand(item)?.slot);
                }
                let slot = self.slots.intern(Slot::Group(slots.into()));
                Ok(Typed { slot, kind: Type::Text, is_list: true, is_one: false })
            }
        }
    }

    fn field(&mut self, field: &FieldName) -> Compiled<Typed> {
        let found = names::resolve(self.catalog, &field.name, field.argument.as_deref());
        let found = found.or_else(|message| self.fail(field.span.start, message))?;
        let spec = field::spec(self.catalog, found.id);
        let kind = spec.map_or(Type::Text, |spec| spec.kind);
        let is_one = spec.is_some_and(|spec| !spec.is_list);
        let slot = self.slots.intern(Slot::Field(found));
        Ok(Typed { slot, kind, is_list: false, is_one })
    }

    fn transform(&mut self, transform: &'a Transform) -> Compiled<Typed> {
        let name = transform.name;
        let mut arguments = Vec::with_capacity(transform.arguments.len());
        for argument in &transform.arguments {
            arguments.push(self.operand(argument)?);
        }
        let typed = match result(name, &arguments) {
            Ok(typed) => typed,
            Err(message) => return self.fail(transform.span.start, format!("{name}() {message}")),
        };
        let selector = match (&transform.selector, name) {
            (None, _) => None,
            (Some(text), Transformer::GetOpt) if text.len() == 1 => text.bytes().next(),
            (Some(text), Transformer::GetOpt) => {
                return self.fail(transform.span.start, format!("getopt() selects one letter, not '{text}'"));
            }
            (Some(_), _) => {
                return self.fail(transform.span.start, format!("{name}() has no parts to select"));
            }
        };
        if name == Transformer::Val {
            return Ok(typed);
        }
        let arguments = arguments.iter().map(|argument| argument.slot).collect();
        let slot = self.slots.intern(Slot::Apply { function: name, arguments, selector });
        let is_list = typed.is_list && selector.is_none();
        Ok(Typed { slot, is_list, is_one: typed.is_one || selector.is_some(), ..typed })
    }
}

/// The type of a transformer's result; the error completes a sentence about the transformer.
fn result(name: Transformer, arguments: &[Typed]) -> Result<Typed, String> {
    let is_text = |typed: &Typed| typed.kind == Type::Text;
    let is_single = |typed: &Typed| is_text(typed) && !typed.is_list;
    let [first, rest @ ..] = arguments else { return Err("needs an argument".into()) };
    let text = Typed { kind: Type::Text, is_list: false, is_one: true, ..*first };
    let one = || if rest.is_empty() { Ok(()) } else { Err("takes one argument".to_owned()) };
    match name {
        Transformer::ToLower | Transformer::ToUpper | Transformer::Basename => {
            one()?;
            if is_text(first) {
                Ok(*first)
            } else {
                Err(format!("takes a text, not a value of type {}", first.kind))
            }
        }
        Transformer::B64 => {
            one()?;
            if matches!(first.kind, Type::Text | Type::Bytes) {
                Ok(*first)
            } else {
                Err(format!("takes a text, not a value of type {}", first.kind))
            }
        }
        Transformer::Len => {
            one()?;
            if first.is_list || !first.is_one || matches!(first.kind, Type::Text | Type::Bytes) {
                Ok(Typed { kind: Type::Uint, ..text })
            } else {
                Err(format!("takes a list or a text, not a value of type {}", first.kind))
            }
        }
        Transformer::Join => match rest {
            [list] if !first.is_list && (list.is_list || !list.is_one) => Ok(text),
            _ => Err("takes a text and a list".into()),
        },
        Transformer::Concat if !rest.is_empty() && arguments.iter().all(is_single) => Ok(text),
        Transformer::Concat => Err("takes two texts or more".into()),
        Transformer::GetOpt => match rest {
            [options] if is_text(first) && (first.is_list || !first.is_one) && is_single(options) => {
                Ok(Typed { is_list: true, is_one: false, ..text })
            }
            _ => Err("takes a list of texts and a text".into()),
        },
        Transformer::Val => {
            one()?;
            Ok(*first)
        }
    }
}

/// Whether an operand has `evt.type` in it.
fn names_event_type(operand: &Operand) -> bool {
    match operand {
        Operand::Field(field) => field.name == EVENT_TYPE,
        Operand::Transform(transform) => transform.arguments.iter().any(names_event_type),
        Operand::List(items, _) => items.iter().any(names_event_type),
        Operand::Value(..) => false,
    }
}

/// The operators of libsinsp's search for event types.
fn is_equality(operator: Operator) -> bool {
    matches!(operator, Operator::Equal | Operator::NotEqual | Operator::In | Operator::Intersects)
}

/// The check's text, if it is not long.
fn shown(check: &Check) -> String {
    let is_long = matches!(&check.right, Some(Operand::List(items, _)) if items.len() > SHOWN / 2);
    if is_long {
        let modifier = check.modifier.map(|modifier| format!(" {modifier}")).unwrap_or_default();
        return format!("{} {}{modifier} (…)", check.left, check.operator);
    }
    let mut text = check.to_string();
    if let Some((end, _)) = text.char_indices().nth(SHOWN) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// What a check says about events of a type; `None`: not the type alone decides.
pub(crate) fn fold(leaf: &Leaf, of: TypeOf<'_>) -> Option<bool> {
    /// Not the name of an event.
    const OTHER: &str = "\0";
    let question = &leaf.test.question;
    if !leaf.is_of_type {
        return None;
    }
    let of = match of {
        TypeOf::None => return Some(false),
        _ if question.other.is_some() => return None,
        TypeOf::Named(name) => name,
        TypeOf::Other if is_equality(question.operator) || question.operator == Operator::Exists => OTHER,
        TypeOf::Other => return None,
    };
    Some(leaf.test.passes_value(&Answer::Text(of.as_bytes().into())))
}

fn event_types(tree: &Tree) -> EventTypes {
    let mut names = BTreeSet::new();
    collect_names(tree, &mut HashSet::new(), &mut names);
    let can_hold = |of: TypeOf<'_>| fold_tree(tree, of, &mut HashMap::new()) != Some(false);
    let (others, none) = (can_hold(TypeOf::Other), can_hold(TypeOf::None));
    let named = names.into_iter().map(|name| (name.to_owned(), can_hold(TypeOf::Named(name)))).collect();
    EventTypes { named, others, none }
}

fn collect_names<'a>(tree: &'a Tree, seen: &mut HashSet<*const Named>, names: &mut BTreeSet<&'a str>) {
    match tree {
        Tree::And(parts) | Tree::Or(parts) => parts.iter().for_each(|part| collect_names(part, seen, names)),
        Tree::Not(part) => collect_names(part, seen, names),
        Tree::Macro(named) if seen.insert(Arc::as_ptr(named)) => collect_names(&named.tree, seen, names),
        Tree::Macro(_) => (),
        Tree::Leaf(leaf) if leaf.is_of_type && is_equality(leaf.test.question.operator) => {
            names.extend(leaf.test.question.values.iter().filter_map(|value| str::from_utf8(value).ok()));
        }
        Tree::Leaf(_) => (),
    }
}

type Folded = HashMap<*const Named, Option<bool>>;

fn fold_tree(tree: &Tree, of: TypeOf<'_>, known: &mut Folded) -> Option<bool> {
    match tree {
        Tree::And(parts) => fold_parts(parts, of, known, false),
        Tree::Or(parts) => fold_parts(parts, of, known, true),
        Tree::Not(part) => fold_tree(part, of, known).map(|is| !is),
        Tree::Macro(named) => match known.get(&Arc::as_ptr(named)) {
            Some(folded) => *folded,
            None => {
                let folded = fold_tree(&named.tree, of, known);
                known.insert(Arc::as_ptr(named), folded);
                folded
            }
        },
        Tree::Leaf(leaf) => fold(leaf, of),
    }
}

/// `decides`: the value of a part that is the value of the whole.
fn fold_parts(parts: &[Tree], of: TypeOf<'_>, known: &mut Folded, decides: bool) -> Option<bool> {
    let mut folded = Some(!decides);
    for part in parts {
        match fold_tree(part, of, known) {
            Some(is) if is == decides => return Some(decides),
            Some(_) => (),
            None => folded = None,
        }
    }
    folded
}
