//! Why a rule matches an event, or does not: its condition is judged part by part.

use std::io::{self, Write};

use rules::file::Rule;
use rules::{Answer, Check, Engine, Expr, Macros, Matching, Operand, Subject};

use crate::event::Batch;
use crate::stages::fields::{self, FIELDS};
use crate::stages::view::View;

/// Macros within macros that are followed.
const DEEPEST: usize = 32;
/// Characters of a part of a condition, or of a value.
const WIDEST: usize = 120;

/// Writes a line for each rule, those that match first.
pub fn write(rules: &[&Rule], macros: &Macros, batch: &Batch, out: &mut impl Write) -> io::Result<()> {
    let Some(event) = batch.events.first() else { return Ok(()) };
    let asked = Asked { macros, view: View::new(batch, event, 1) };
    let (matching, others): (Vec<&Rule>, Vec<&Rule>) =
        rules.iter().copied().partition(|rule| asked.holds(&rule.expr));
    for rule in matching {
        writeln!(out, "matches: {} ({})", rule.name, rule.priority)?;
        if let Some(output) = rule.output.resolve(&asked.view) {
            writeln!(out, "    {}", deploy::visible::visible(&output.message))?;
        }
    }
    for rule in others {
        writeln!(out, "does not match: {}\n    {}", rule.name, asked.why_not(&rule.expr, 0))?;
    }
    Ok(())
}

/// An event, and the macros that conditions name.
struct Asked<'a> {
    macros: &'a Macros,
    view: View<'a>,
}

impl Asked<'_> {
    fn holds(&self, part: &Expr) -> bool {
        let Ok(program) = rules::compile(part, self.macros, &*FIELDS) else { return false };
        let mut engine = Engine::new(vec![program], Matching::All);
        let event_type = engine.event_type(fields::event_type(&self.view));
        let mut matches = Vec::new();
        engine.judge(event_type, &self.view, &mut matches);
        !matches.is_empty()
    }

    /// The smallest part that decides that `part` does not hold.
    fn why_not(&self, part: &Expr, depth: usize) -> String {
        match part {
            Expr::And(parts, _) => {
                let first = parts.iter().find(|part| !self.holds(part));
                first.map_or_else(String::new, |part| self.why_not(part, depth))
            }
            Expr::Or(..) => format!("no alternative holds of: {}", short(&part.to_string())),
            Expr::Not(inner, _) => format!("holds, and must not: {}", short(&inner.to_string())),
            Expr::Macro { name, .. } => match self.macros.get(name) {
                Some(inner) if depth < DEEPEST => {
                    format!("macro {name}: {}", self.why_not(inner, depth + 1))
                }
                _ => format!("macro {name} does not hold"),
            },
            Expr::Check(check) => format!("{}; {}", short(&check.to_string()), self.values(check)),
        }
    }

    /// The values of the fields of a check.
    fn values(&self, check: &Check) -> String {
        let mut values = Vec::new();
        self.value(&check.left, &mut values);
        if let Some(right) = &check.right {
            self.value(right, &mut values);
        }
        values.join(", ")
    }

    fn value(&self, operand: &Operand, values: &mut Vec<String>) {
        match operand {
            Operand::Field(field) => {
                let found = rules::field::resolve(&*FIELDS, &field.name, field.argument.as_deref());
                let Ok(found) = found else { return };
                let answer = self.view.field(found.id, found.argument.as_ref());
                let shown = match fields::shown(&answer) {
                    None if matches!(answer, Answer::Presumed(_)) => {
                        "is not known to be a failure".to_owned()
                    }
                    None => "has no value".to_owned(),
                    Some(text) => format!("is '{}'", short(&String::from_utf8_lossy(&text))),
                };
                values.push(format!("{operand} {shown}"));
            }
            Operand::Transform(transform) => {
                transform.arguments.iter().for_each(|argument| self.value(argument, values));
            }
            Operand::Value(..) | Operand::List(..) => {}
        }
    }
}

/// A text in one line that is not too long.
fn short(text: &str) -> String {
    let visible = deploy::visible::visible(text);
    match visible.char_indices().nth(WIDEST) {
        Some((end, _)) => format!("{}…", visible.get(..end).unwrap_or_default()),
        None => visible.into_owned(),
    }
}
