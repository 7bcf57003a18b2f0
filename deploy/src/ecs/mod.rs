//! Puts the sensor into the task definitions of Amazon ECS, on Fargate and elsewhere.
//!
//! [`patch()`] takes four kinds of text, each in JSON or YAML:
//!
//! - the input of `register-task-definition`;
//! - the reply of `describe-task-definition`, which it turns into such an input;
//! - a bare list of container definitions, as Terraform keeps it;
//! - a CloudFormation template.
//!
//! A task definition ([`task`]) passes three stations, whatever the kind of text: [`choose`] picks
//! containers, [`put_in`] changes them, [`verify`] and [`fargate`] check that the result can be registered.
//! [`crate::json`] and [`crate::yaml`] write the differences into the text.
//!
//! The patch adds a container of the sensor's image, and to each application a `volumesFrom` of that
//! container, the environment, and a `dependsOn`. The image declares its folder a volume, so the patch needs
//! no task-level `volumes` and can be applied to a bare list. With `--notify`, [`command`] puts a supervisor
//! before each application's command: the volume has its program too.
//!
//! The collector listens at a path on that volume and not at an abstract name. A path works in every network
//! mode, also in `bridge` and `none`, where each container has a network namespace of its own. A collector at
//! a path also listens at the abstract name equal to it (`collector/src/shell/socket.rs`), so nothing is lost
//! under `awsvpc`. The collector is root in its image: it must be able to write to the volume, and it makes
//! the socket connectable for every user. The applications' mounts are read-only. That keeps them from
//! replacing the sensor, but not from connecting: connecting asks for the socket's mode alone (unix(7)).

mod case;
mod choose;
mod command;
mod fargate;
mod put_in;
mod request;
mod task;
mod verify;

use serde_json::{Map, Value};

use crate::json::Document;
use crate::yaml::Documents;
use crate::{Error, Note, Patched, hint};
use case::{Case, kind};
use task::{Task, windows};

pub use request::{Condition, Request};

/// The kind of a text.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Shape {
    /// The input of `register-task-definition`.
    Registration,
    /// The reply of `describe-task-definition`.
    Description,
    /// A list of container definitions.
    Containers,
    /// A CloudFormation template, with the names of its task definitions.
    Template(Vec<String>),
}

const EXPECTED: &str = "give a task definition (with 'containerDefinitions'), a reply of describe-task-definition, a list of \
                        container definitions, or a CloudFormation template";

/// The type of such a resource in a CloudFormation template.
const RESOURCE: &str = "AWS::ECS::TaskDefinition";

/// The fields that `describe-task-definition` adds and `register-task-definition` refuses.
const READ_ONLY: [&str; 9] = [
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
    "deleteRequestedAt",
];

/// Patches a text.
///
/// # Errors
/// [`Error::Malformed`] if the text is none of the four kinds or has a field of the wrong type;
/// [`Error::Refused`] if the sensor cannot be put in without breaking something.
pub fn patch(text: &str, request: &Request) -> Result<Patched, Error> {
    // JSON is YAML too, but as YAML it would get words without quotes. It may begin with a byte order mark,
    // which editors on Windows write.
    let (mark, json) = match text.strip_prefix('\u{feff}') {
        Some(json) => ("\u{feff}", json),
        None => ("", text),
    };
    if json.trim_start().starts_with(['{', '[']) {
        let document = Document::parse(json)?;
        let (after, notes) = edited(document.value(), request)?;
        let inner = match Shape::of(document.value())? {
            Shape::Description => document.member("taskDefinition"),
            _ => None,
        };
        let text = match inner {
            // The description around it goes, and with it one step of indentation.
            Some(inner) => format!("{}{}", Document::parse(&inner)?.edited(&after), line_end_of(json)),
            None => document.edited(&after),
        };
        return Ok(Patched { text: format!("{mark}{text}"), notes });
    }
    let as_yaml = |error: Error| {
        let hint = hint::template(text);
        error.within(|why| match why.contains("; ") {
            true => format!("as YAML, {why}{hint}"),
            false => format!("as YAML, {why}; correct it there{hint}"),
        })
    };
    let documents = Documents::read(text).map_err(as_yaml)?;
    let value = match documents.values() {
        [] | [Value::Null] => return Err(Error::Malformed(format!("it is empty; {EXPECTED}"))),
        [value] => value,
        more => {
            let count = more.len();
            return Err(Error::Malformed(format!("it has {count} documents of YAML; {EXPECTED}, alone")));
        }
    };
    let (after, notes) = edited(value, request)?;
    Ok(Patched { text: documents.edited(&[after])?, notes })
}

/// The space behind the last value of a text.
fn line_end_of(text: &str) -> &str {
    text.get(text.trim_end().len()..).unwrap_or_default()
}

/// The patched value, and the notes.
fn edited(value: &Value, request: &Request) -> Result<(Value, Vec<Note>), Error> {
    if Shape::of(value)? != Shape::Description {
        let mut after = value.clone();
        let notes = edit(&mut after, request)?;
        return Ok((after, notes));
    }
    let mut after = value["taskDefinition"].clone();
    if value["tags"].as_array().is_some_and(|tags| !tags.is_empty()) {
        after["tags"] = value["tags"].clone();
    }
    let mut notes = edit(&mut after, request)?;
    notes.insert(0, Note::Done("turns the description into a registration".into()));
    Ok((after, notes))
}

impl Shape {
    fn of(value: &Value) -> Result<Self, Error> {
        let none = |what: String| Err(Error::Malformed(format!("{what}; {EXPECTED}")));
        let fields = match value {
            Value::Array(list) => {
                let is_container = |value: &Value| value["name"].is_string();
                return match list.iter().position(|value| !is_container(value)) {
                    None if list.is_empty() => none("the list is empty".into()),
                    None => Ok(Self::Containers),
                    Some(index) => {
                        none(format!("element {index} of the list has no 'name', so it is not a container"))
                    }
                };
            }
            Value::Object(fields) => fields,
            other => return none(format!("it is {}, neither an object nor a list", kind(other))),
        };
        if fields.contains_key("containerDefinitions") {
            return Ok(Self::Registration);
        }
        // Its member is a registration.
        if fields.get("taskDefinition").is_some_and(|inner| inner.get("containerDefinitions").is_some()) {
            return Ok(Self::Description);
        }
        if let Some(resources) = fields.get("Resources") {
            let Value::Object(resources) = resources else {
                return none(format!("'Resources' is {}, not an object", kind(resources)));
            };
            let is_task = |(_, resource): &(&String, &Value)| resource["Type"] == RESOURCE;
            let names: Vec<String> = resources.iter().filter(is_task).map(|(name, _)| name.clone()).collect();
            return match names.is_empty() {
                true => none(format!("the template has no {RESOURCE}")),
                false => Ok(Self::Template(names)),
            };
        }
        let keys: Vec<&str> = fields.keys().take(3).map(String::as_str).collect();
        match keys.as_slice() {
            [] => none("the object is empty".into()),
            keys => none(format!("it is not a task definition (it has '{}')", keys.join("', '"))),
        }
    }
}

/// Puts the sensor into every task definition of a value that is no [`Shape::Description`].
fn edit(value: &mut Value, request: &Request) -> Result<Vec<Note>, Error> {
    let shape = Shape::of(value)?;
    let mut notes = Vec::new();
    let mut names = Vec::new();
    match shape {
        Shape::Containers => {
            let containers = value.as_array_mut().ok_or_else(|| Error::Malformed(EXPECTED.into()))?;
            let task = Task { case: Case::Camel, fields: None, containers };
            names.extend(task.names());
            let prepared = prepared(&task, request)?;
            *containers = prepared.containers;
            notes = prepared.notes;
        }
        Shape::Registration | Shape::Description => {
            let fields = value.as_object_mut().ok_or_else(|| Error::Malformed(EXPECTED.into()))?;
            let found = READ_ONLY.iter().filter(|key| fields.contains_key(**key)).count();
            if found > 0 {
                // `remove` would put the last member in the place of the removed one.
                fields.retain(|key, _| !READ_ONLY.contains(&key.as_str()));
                notes.push(Note::Done(
                    "takes out the fields that registering refuses (taskDefinitionArn and the like)".into(),
                ));
            }
            notes.extend(edit_fields(fields, Case::Camel, request, &mut names)?.unwrap_or_default());
        }
        Shape::Template(ids) => {
            let is_only = ids.len() == 1;
            for id in ids {
                let within = |why: String| format!("task definition '{id}': {why}");
                let properties = &mut value["Resources"][&id]["Properties"];
                let Some(properties) = properties.as_object_mut() else {
                    let found = kind(properties);
                    return Err(Error::Malformed(within(format!(
                        "'Properties' is {found}, not an object; correct it"
                    ))));
                };
                let edited = edit_fields(properties, Case::Pascal, request, &mut names);
                match edited.map_err(|error| error.within(within))? {
                    Some(found) => notes.extend(found.into_iter().map(|note| note.within(within))),
                    None if is_only => return Err(windows()),
                    None => notes.push(Note::Skipped(within("its containers are Windows'".into()))),
                }
            }
            if value["Resources"].as_object().is_some_and(|all| all.keys().any(|id| id.starts_with("Fn::"))) {
                notes.push(Note::Warning(
                    "resources that a function makes (Fn::ForEach, Fn::Transform) are not examined; patch the template that it makes"
                        .into(),
                ));
            }
        }
    }
    let has = |name: &&String| !names.contains(*name);
    if let Some(unknown) = request.containers.iter().find(has) {
        let known = names.join("', '");
        return Err(Error::Refused(format!("no container is named '{unknown}'; there are '{known}'")));
    }
    for unknown in request.excluded.iter().filter(has) {
        notes.push(Note::Warning(format!("no container is named '{unknown}', which is to be excluded")));
    }
    Ok(notes)
}

/// Puts the sensor into a task definition. `None`: it is one of a template, which may hold others, and its
/// containers are Windows'.
fn edit_fields(
    fields: &mut Map<String, Value>,
    case: Case,
    request: &Request,
    names: &mut Vec<String>,
) -> Result<Option<Vec<Note>>, Error> {
    let before = Value::Object(fields.clone());
    let task = Task { case, fields: Some(&before), containers: case.list(&before, "containerDefinitions")? };
    names.extend(task.names());
    if task.is_windows() {
        return if case == Case::Pascal { Ok(None) } else { Err(windows()) };
    }
    let prepared = prepared(&task, request)?;
    if let Some(containers) = fields.get_mut(&case.key("containerDefinitions")) {
        *containers = Value::Array(prepared.containers);
    }
    Ok(Some(prepared.notes))
}

/// A task definition's containers after the patch.
#[derive(Debug)]
struct Prepared {
    containers: Vec<Value>,
    notes: Vec<Note>,
}

/// Chooses containers, puts the sensor into them, and verifies the result.
///
/// # Errors
/// Fields of a wrong type, and a task definition that cannot be patched safely.
fn prepared(task: &Task, request: &Request) -> Result<Prepared, Error> {
    task.check_shape()?;
    if task.is_windows() {
        return Err(windows());
    }
    let ours = task.ours()?;
    let choose::Chosen { applications, mut notes } = task.choose(ours, request)?;
    if applications.is_empty() {
        notes.push(Note::Warning("no container gets the sensor; name one with --container".into()));
        return Ok(Prepared { containers: task.containers.to_vec(), notes });
    }
    if let Some(notify) = &request.notify {
        task.check_commands(&applications, notify)?;
    }
    let containers = task.put_in(ours, &applications, request, &mut notes)?;
    let after = Task { containers: &containers, ..*task };
    after.verify()?;
    notes.extend(fargate::check(&after, request.is_fargate)?);
    Ok(Prepared { containers, notes })
}

#[cfg(test)]
mod tests;
