//! The names that fields of events have as attributes: those of OpenTelemetry's semantic conventions (read
//! after v1.44.0), and `glassbox.FIELD` for every other field.

/// How a value is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is: text, number, truth or list.
    Plain,
    /// A number as text.
    Text,
    /// Permissions, octal, as text.
    Octal,
    /// Nanoseconds since 1970 as RFC 3339.
    Moment,
    /// An end of a connection: the attribute with `.address`, and with `.port`.
    End,
    /// The type of a socket as a transport.
    Transport,
    /// The family of a socket as a type of network.
    Network,
    /// Each string of an object as an attribute of its own.
    Each,
}

/// A row: the events, by their names' beginnings; the field; the attribute; the form.
type Row = (&'static [&'static str], &'static str, &'static str, Form);

/// The rows; the first that fits counts.
pub const NAMES: &[Row] = &[
    (&["process.start"], "argv", "process.command_args", Form::Plain),
    (&["process.start"], "argc", "process.args_count", Form::Plain),
    (&["process.start"], "cwd", "process.working_directory", Form::Plain),
    (&["process.start"], "env", "process.environment_variable", Form::Each),
    (&["process.exit"], "code", "process.exit.code", Form::Plain),
    (&["file.symlink"], "path", "file.symbolic_link.target_path", Form::Plain),
    (&["file.symlink", "file.link"], "new_path", "file.path", Form::Plain),
    (&["file.link"], "path", "glassbox.path", Form::Plain),
    (&["file.readlink"], "target", "file.symbolic_link.target_path", Form::Plain),
    (&["file.", "lib.load", "memory.map", "kernel.module"], "path", "file.path", Form::Plain),
    (&["file."], "mode", "file.mode", Form::Octal),
    (&["file.chown"], "owner", "file.owner.id", Form::Text),
    (&["file.chown"], "group", "file.group.id", Form::Text),
    (&["file.truncate"], "length", "file.size", Form::Plain),
    (&["file.times"], "accessed", "file.accessed", Form::Moment),
    (&["file.times"], "modified", "file.modified", Form::Moment),
    (&["net.", "fd."], "local", "network.local", Form::End),
    (&["net.", "fd."], "remote", "network.peer", Form::End),
    (&["net."], "type", "network.transport", Form::Transport),
    (&["net."], "family", "network.type", Form::Network),
    (&["net."], "host", "server.address", Form::Plain),
    (&["dns.query"], "host", "dns.question.name", Form::Plain),
    (&["dns.query"], "answers", "dns.answers", Form::Plain),
];

/// A field of an event, its attribute and its form.
pub fn of(event: &str, field: &'static str) -> (&'static str, String, Form) {
    let fits = |row: &&Row| row.1 == field && row.0.iter().any(|beginning| event.starts_with(beginning));
    match NAMES.iter().find(fits) {
        Some((_, _, attribute, form)) => (field, (*attribute).to_owned(), *form),
        None => (field, format!("glassbox.{field}"), Form::Plain),
    }
}

/// Facts of a container that have a name in the conventions.
pub const CONTAINER: [(&str, &str); 8] = [
    ("container.id", "id"),
    ("container.name", "name"),
    ("container.image.id", "image_id"),
    ("aws.ecs.container.arn", "arn"),
    ("aws.ecs.task.arn", "task"),
    ("aws.ecs.task.family", "family"),
    ("aws.ecs.task.revision", "revision"),
    ("aws.ecs.cluster.arn", "cluster"),
];

#[cfg(test)]
mod tests {
    use wire::schema::EVENTS;

    use super::*;

    #[test]
    fn every_row_is_of_a_field_of_an_event() {
        for (events, field, attribute, _) in NAMES {
            let is_there = |beginning: &&str| {
                EVENTS.iter().any(|spec| spec.name.starts_with(*beginning) && spec.index_of(field).is_some())
            };
            assert!(events.iter().any(is_there), "{attribute}");
        }
    }

    #[test]
    fn two_fields_of_one_event_have_two_names() {
        for spec in EVENTS {
            let mut names: Vec<String> = spec.fields().map(|field| of(spec.name, field.name()).1).collect();
            let all = names.len();
            names.sort();
            names.dedup();

            assert_eq!(all, names.len(), "{}", spec.name);
        }
    }
}
