//! The restrictions of Fargate as a table, from the API's own reference (the model of
//! `RegisterTaskDefinition`).
//!
//! Registering is sure to fail only if the reference says "required" and the task definition itself names
//! Fargate. Everything else is a warning, since its effect depends on where the task is run.

use serde_json::Value;

use super::case::{Case, function};
use super::task::Task;
use crate::{Error, Note};

/// The object that a field is part of.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Part {
    Task,
    /// Each of `volumes`.
    Volume,
    Container,
}

/// The demand on a field.
enum Rule {
    /// It must be there.
    Required,
    /// It must be there and have this value.
    RequiredAs(&'static str),
    /// If it is there, it must be one of these; if it is a list, each element must be.
    OneOf(&'static [&'static str]),
    /// If it is there, its first element must be one of these.
    BeginsWith(&'static [&'static str]),
    /// If it is there, it must be a number in this range.
    Within(u64, u64),
    /// It must not be there, unless it is false or empty.
    Unsupported,
}

/// The demands. In a path, `[]` stands for each element, and a key with a dash belongs to a free map.
const RULES: &[(Part, &[&str], Rule)] = &[
    (Part::Task, &["networkMode"], Rule::RequiredAs("awsvpc")),
    (Part::Task, &["cpu"], Rule::Required),
    (Part::Task, &["memory"], Rule::Required),
    (Part::Task, &["pidMode"], Rule::OneOf(&["task"])),
    (Part::Task, &["ipcMode"], Rule::Unsupported),
    (Part::Volume, &["host", "sourcePath"], Rule::Unsupported),
    (Part::Volume, &["dockerVolumeConfiguration"], Rule::Unsupported),
    (Part::Container, &["privileged"], Rule::Unsupported),
    (Part::Container, &["dockerSecurityOptions"], Rule::Unsupported),
    (Part::Container, &["linuxParameters", "capabilities", "add"], Rule::OneOf(&["SYS_PTRACE"])),
    (Part::Container, &["linuxParameters", "devices"], Rule::Unsupported),
    (Part::Container, &["linuxParameters", "sharedMemorySize"], Rule::Unsupported),
    (Part::Container, &["linuxParameters", "maxSwap"], Rule::Unsupported),
    (Part::Container, &["linuxParameters", "swappiness"], Rule::Unsupported),
    (
        Part::Container,
        &["dependsOn", "[]", "condition"],
        Rule::OneOf(&["START", "COMPLETE", "SUCCESS", "HEALTHY"]),
    ),
    (Part::Container, &["startTimeout"], Rule::Within(2, 120)),
    (Part::Container, &["stopTimeout"], Rule::Within(2, 120)),
    (Part::Container, &["logConfiguration", "logDriver"], Rule::OneOf(&["awslogs", "splunk", "awsfirelens"])),
    (Part::Container, &["firelensConfiguration", "options", "config-file-type"], Rule::OneOf(&["file"])),
    (Part::Container, &["healthCheck", "command"], Rule::BeginsWith(&["CMD", "CMD-SHELL"])),
];

/// Warns of fields that Fargate does not take, if the task is meant for it.
///
/// # Errors
/// [`Error::Refused`] if registering is sure to fail.
pub fn check(task: &Task, is_meant: bool) -> Result<Vec<Note>, Error> {
    let named = task.fields.and_then(|fields| task.case.get(fields, "requiresCompatibilities"));
    let is_named = named.and_then(Value::as_array).is_some_and(|all| all.iter().any(|it| it == "FARGATE"));
    let mut notes = Vec::new();
    if !is_named && !is_meant {
        return Ok(notes);
    }
    let volumes =
        task.fields.map_or(Ok(&[][..]), |fields| task.case.list(fields, "volumes")).unwrap_or_default();
    for (part, path, rule) in RULES {
        let (values, label): (Vec<&Value>, &dyn Fn(usize) -> String) = match part {
            Part::Task => (task.fields.into_iter().collect(), &|_| String::new()),
            Part::Volume => (volumes.iter().collect(), &|index| format!("volume {}: ", index + 1)),
            Part::Container => {
                (task.containers.iter().collect(), &|index| format!("{}: ", task.label(index)))
            }
        };
        for (index, value) in values.into_iter().enumerate() {
            let mut found = Vec::new();
            collect(task.case, value, path, &mut found);
            let Some(demand) = rule.broken_by(&found) else { continue };
            let what = format!("{}{} {demand} on Fargate", label(index), spelt(task.case, path));
            let is_sure = is_named && matches!(rule, Rule::Required | Rule::RequiredAs(_));
            match is_sure {
                true => {
                    return Err(Error::Refused(format!(
                        "{what}, so registering it would fail; correct it first"
                    )));
                }
                false => notes.push(Note::Warning(what)),
            }
        }
    }
    Ok(notes)
}

impl Rule {
    /// The demand that is not met. A value that a function gives is taken to be right.
    fn broken_by(&self, found: &[&Value]) -> Option<String> {
        let found: Vec<&Value> = found.iter().copied().filter(|value| !value.is_null()).collect();
        let is_unknown = |value: &&Value| function(value).is_some();
        let is_in =
            |value: &Value, names: &[&str]| value.as_str().is_some_and(|value| names.contains(&value));
        let either = |names: &[&str]| names.join(" or ");
        match self {
            Self::Required => found.is_empty().then(|| "is required".to_owned()),
            Self::RequiredAs(name) => {
                let is_right = found.iter().any(|value| is_unknown(value) || *value == name);
                (!is_right).then(|| format!("must be {name}"))
            }
            Self::OneOf(names) => {
                let each = found.iter().flat_map(|value| match value {
                    Value::Array(list) => list.iter().collect(),
                    other => vec![*other],
                });
                let is_right = |value: &Value| is_unknown(&value) || is_in(value, names);
                let wrong: Vec<&Value> = each.filter(|value| !is_right(value)).collect();
                wrong.first().map(|wrong| format!("{wrong} is not supported, only {}", either(names)))
            }
            Self::BeginsWith(names) => {
                let first = found.first().and_then(|value| value.get(0));
                let is_wrong = first.is_some_and(|value| !is_unknown(&value) && !is_in(value, names));
                is_wrong.then(|| format!("must begin with {}", either(names)))
            }
            Self::Within(low, high) => {
                let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
                let is_wrong =
                    found.iter().filter_map(|value| number(value)).any(|it| !(*low..=*high).contains(&it));
                is_wrong.then(|| format!("must be {low} to {high} seconds"))
            }
            Self::Unsupported => {
                let is_nothing = |value: &Value| match value {
                    Value::Bool(is_on) => !is_on,
                    Value::Array(list) => list.is_empty(),
                    other => is_unknown(&other),
                };
                (!found.iter().all(|value| is_nothing(value))).then(|| "is not supported".to_owned())
            }
        }
    }
}

/// Collects the values at a path.
fn collect<'v>(case: Case, value: &'v Value, path: &[&str], found: &mut Vec<&'v Value>) {
    match path {
        [] => found.push(value),
        ["[]", rest @ ..] => {
            for element in value.as_array().map(Vec::as_slice).unwrap_or_default() {
                collect(case, element, rest, found);
            }
        }
        [key, rest @ ..] => {
            let key = if key.contains('-') { (*key).to_owned() } else { case.key(key) };
            if let Some(value) = value.get(key) {
                collect(case, value, rest, found);
            }
        }
    }
}

/// The path as the file spells it.
fn spelt(case: Case, path: &[&str]) -> String {
    let keys = path.iter().filter(|key| **key != "[]");
    let keys: Vec<String> =
        keys.map(|key| if key.contains('-') { (*key).to_owned() } else { case.key(key) }).collect();
    keys.join(".")
}
