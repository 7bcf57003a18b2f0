//! `glassbox fields`: prints the table of fields, which rules and filters are compiled against.

use std::io::{self, Write};

use rules::{ArgumentKind, ArgumentRule};

use crate::json;
use crate::stages::fields::{self, Field};

/// The form of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// One object a line.
    Json,
    /// docs/fields.md.
    Markdown,
}

/// Writes every field: name, type, meaning, source, limits.
pub fn write(form: Form, out: &mut impl Write) -> io::Result<()> {
    match form {
        Form::Text => fields::all().try_for_each(|field| entry(field, out)),
        Form::Json => fields::all().try_for_each(|field| object(field, out)),
        Form::Markdown => page(out),
    }
}

fn entry(field: &Field, out: &mut impl Write) -> io::Result<()> {
    let Field { spec, source, limits, .. } = field;
    writeln!(out, "{:<34} {:<9} {}", shown(field), kind(field), spec.help)?;
    match limits.is_empty() {
        true => writeln!(out, "{:<45}from {source}", ""),
        false => writeln!(out, "{:<45}from {source}; {limits}", ""),
    }
}

fn object(field: &Field, out: &mut impl Write) -> io::Result<()> {
    let Field { spec, source, limits, .. } = field;
    let argument = match spec.argument {
        ArgumentRule::None => "none",
        ArgumentRule::Optional(_) => "optional",
        ArgumentRule::Required(_) => "required",
    };
    let texts = [
        ("name", spec.name),
        ("type", spec.kind.name()),
        ("argument", argument),
        ("help", spec.help),
        ("source", source),
        ("limits", limits),
    ];
    let mut line = vec![b'{'];
    for (name, text) in texts {
        json::string(name.as_bytes(), &mut line);
        line.push(b':');
        json::string(text.as_bytes(), &mut line);
        line.push(b',');
    }
    let list: &[u8] = if spec.is_list { b"\"list\":true}\n" } else { b"\"list\":false}\n" };
    line.extend_from_slice(list);
    out.write_all(&line)
}

const HEAD: &str = "\
# Fields

Written by `cargo xtask gen-docs` from the table in `collector/src/stages/fields/`; do not edit.

Conditions (`--filter`, rules) and the outputs of rules name these fields. Those outside of `gb.` are
Falco's, with its meaning and type. A field without a value makes a check of it false, `!=` too. A field that
cannot be known has no value.

A number in brackets, as in `proc.aname[2]`, means one ancestor: 0 is the process itself, 1 its parent.
";

fn page(out: &mut impl Write) -> io::Result<()> {
    out.write_all(HEAD.as_bytes())?;
    let mut group = "";
    for field in fields::all() {
        let name = match is_unanswered(field) {
            true => "Without a value",
            false => field.spec.name.split('.').next().unwrap_or_default(),
        };
        if name != group {
            group = name;
            let title = if is_unanswered(field) { name.to_owned() } else { format!("`{name}`") };
            writeln!(out, "\n## {title}\n")?;
            if is_unanswered(field) {
                writeln!(out, "Falco has these. Rules that name them load; a check of one is false.\n")?;
            }
            writeln!(out, "| field | type | meaning | from | limits |\n|---|---|---|---|---|")?;
        }
        let Field { spec, source, limits, .. } = field;
        let cells = [spec.help, source, limits].map(|text| text.replace('|', "\\|"));
        writeln!(out, "| `{}` | {} | {} |", shown(field), kind(field), cells.join(" | "))?;
    }
    Ok(())
}

fn is_unanswered(field: &Field) -> bool {
    field.source == "nothing"
}

/// The name, with the argument that it takes.
fn shown(field: &Field) -> String {
    let name = field.spec.name;
    let kind = match field.spec.argument {
        ArgumentRule::None => return name.to_owned(),
        ArgumentRule::Optional(kind) | ArgumentRule::Required(kind) => kind,
    };
    let what = if kind == ArgumentKind::Index { "N" } else { "NAME" };
    match field.spec.has_suffix {
        true => format!("{name}.{what}"),
        false => format!("{name}[{what}]"),
    }
}

fn kind(field: &Field) -> String {
    let list = if field.spec.is_list { "…" } else { "" };
    format!("{}{list}", field.spec.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: Form) -> String {
        let mut out = Vec::new();
        write(form, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_field_stands_in_every_form_once() {
        let (text, markdown) = (written(Form::Text), written(Form::Markdown));
        let objects: Vec<serde_json::Value> =
            written(Form::Json).lines().map(|line| serde_json::from_str(line).unwrap()).collect();

        assert_eq!(fields::all().count(), objects.len());
        for (field, object) in fields::all().zip(&objects) {
            assert_eq!(field.spec.name, object["name"]);
            assert!(text.lines().any(|line| line.starts_with(&format!("{} ", shown(field)))));
            assert_eq!(
                1,
                markdown.matches(&format!("\n| `{}` |", shown(field))).count(),
                "{}",
                field.spec.name
            );
        }
    }
}
