//! One condition asked about one event, also with the reason of the answer.

use std::collections::HashMap;
use std::sync::Arc;

use crate::ast::Span;
use crate::compile::{Leaf, Named, Program, Tree};
use crate::field::{Answer, Subject};
use crate::slot::{Places, Values};

/// A part of a condition and what it said about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// How deep it lies in the condition; the whole is 0.
    pub depth: usize,
    /// `and`, `or`, `not`, `macro NAME`, or the text of a check.
    pub text: String,
    /// The macro in whose condition it stands; `None`: in the condition itself.
    pub within: Option<String>,
    /// Where a check stands in that condition.
    pub span: Option<Span>,
    /// What it said.
    pub holds: bool,
    /// Whether the whole says what it says because of this part: with all such parts otherwise, it would not.
    pub decides: bool,
    /// The value that a check looked at; `None`: it has none, or the part is no check.
    pub found: Option<String>,
}

/// The most steps of an explanation. A macro is explained where it is named first.
pub const MOST_STEPS: usize = 10_000;

impl Program {
    /// Whether the condition holds for an event.
    #[must_use]
    pub fn holds(&self, subject: &dyn Subject) -> bool {
        self.with_values(subject, |values, known| holds(&self.tree, values, known))
    }

    /// All parts of the condition with what they say about an event, from the outside in and from left to
    /// right.
    #[must_use]
    pub fn explain(&self, subject: &dyn Subject) -> Vec<Step> {
        self.with_values(subject, |values, known| {
            let mut explainer = Explainer { values, known, steps: Vec::new(), explained: Vec::new() };
            explainer.explain(&self.tree, 0, None, true);
            explainer.steps
        })
    }

    fn with_values<T>(
        &self,
        subject: &dyn Subject,
        ask: impl FnOnce(&mut Values<'_, '_>, &mut Known) -> T,
    ) -> T {
        let mut places = Places::new(self.slots.list().len());
        places.next_event();
        ask(&mut Values::new(self.slots.list(), &mut places, subject, Vec::new()), &mut HashMap::new())
    }
}

/// What macros said.
type Known = HashMap<*const Named, bool>;

fn holds(tree: &Tree, values: &mut Values<'_, '_>, known: &mut Known) -> bool {
    match tree {
        Tree::And(parts) => parts.iter().all(|part| holds(part, values, known)),
        Tree::Or(parts) => parts.iter().any(|part| holds(part, values, known)),
        Tree::Not(part) => !holds(part, values, known),
        Tree::Macro(named) => match known.get(&Arc::as_ptr(named)) {
            Some(is) => *is,
            None => {
                let is = holds(&named.tree, values, known);
                known.insert(Arc::as_ptr(named), is);
                is
            }
        },
        Tree::Leaf(leaf) => leaf.test.passes(leaf.slot, values),
    }
}

struct Explainer<'v, 's, 'e> {
    values: &'v mut Values<'s, 'e>,
    known: &'v mut Known,
    steps: Vec<Step>,
    explained: Vec<*const Named>,
}

impl Explainer<'_, '_, '_> {
    fn explain(&mut self, tree: &Tree, depth: usize, within: Option<&str>, decides: bool) {
        if self.steps.len() >= MOST_STEPS {
            return;
        }
        let is = holds(tree, self.values, self.known);
        let mut step = Step {
            depth,
            text: String::new(),
            within: within.map(str::to_owned),
            span: None,
            holds: is,
            decides,
            found: None,
        };
        match tree {
            Tree::And(parts) | Tree::Or(parts) => {
                let is_and = matches!(tree, Tree::And(_));
                step.text = if is_and { "and" } else { "or" }.to_owned();
                self.steps.push(step);
                for part in parts {
                    // A true "and" needs all parts; a false one is false because of those that are.
                    let decides = decides && (is == is_and || holds(part, self.values, self.known) == is);
                    self.explain(part, depth + 1, within, decides);
                }
            }
            Tree::Not(part) => {
                step.text = "not".to_owned();
                self.steps.push(step);
                self.explain(part, depth + 1, within, decides);
            }
            Tree::Macro(named) => {
                step.text = format!("macro {}", named.name);
                self.steps.push(step);
                if !self.explained.contains(&Arc::as_ptr(named)) {
                    self.explained.push(Arc::as_ptr(named));
                    self.explain(&named.tree, depth + 1, Some(&named.name), decides);
                }
            }
            Tree::Leaf(leaf) => {
                step.text.clone_from(&leaf.text);
                step.span = Some(leaf.span);
                step.found = self.found(leaf);
                self.steps.push(step);
            }
        }
    }

    fn found(&mut self, leaf: &Leaf) -> Option<String> {
        shown(self.values.get(leaf.slot))
    }
}

/// A value as it is shown to a person.
fn shown(value: &Answer<'_>) -> Option<String> {
    Some(match value {
        Answer::Absent => return None,
        Answer::Presumed(_) => "not known to be a failure".to_owned(),
        Answer::Text(text) => String::from_utf8_lossy(text).into_owned(),
        Answer::Int(number) => number.to_string(),
        Answer::Uint(number) => number.to_string(),
        Answer::Bool(is) => is.to_string(),
        Answer::Address(address) => address.to_string(),
        Answer::List(list) => {
            let mut text = String::from("(");
            for (index, item) in list.iter().enumerate() {
                text += if index == 0 { "" } else { ", " };
                text += &shown(item).unwrap_or_default();
            }
            text + ")"
        }
    })
}
