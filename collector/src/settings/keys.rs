//! The table of settings. Everything that there is to say of a setting stands in its row: how it is typed,
//! what it holds, what it is for. The command line, the environment, the configuration file
//! ([`super::file`]), its JSON schema, `glassbox config show` and the documentation are made from it;
//! [`super::layers`] decides which layer's value holds.
//!
//! To add a setting: a row in [`KEYS`], beside the others of its section, and its line in
//! docs/configuration.md.

use super::forms::Form;
use crate::container::{self, Authority};
use crate::metrics::server;
use crate::shell::socket::Name;
use crate::stages::fields::Asked;
use crate::stages::filter;

/// A setting.
#[derive(Debug)]
pub struct Key {
    /// Its name in a configuration file: a key, or a section and a key in it, `rules.files`. The environment
    /// variable is named after it ([`Key::derived`]).
    pub name: &'static str,
    /// The long option that sets it, without the dashes; empty where there is none.
    pub flag: &'static str,
    /// An environment variable that sets it, of another name than the derived one or read by the extension;
    /// empty where there is none.
    pub variable: &'static str,
    /// The commands that read that variable. All read the derived one.
    pub reader: Reader,
    /// Its values.
    pub form: Form,
    /// Its value where no layer has one; empty for none, and where it depends on the command.
    pub default: &'static str,
    /// Without a full stop.
    pub help: &'static str,
}

impl PartialEq for Key {
    /// By name: a test keeps names apart.
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Key {}

/// The commands that read an environment variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// All that have a use for it.
    Every,
    /// The Lambda extension, which has no command line.
    Extension,
}

/// Where sensors find the collector.
pub const SOCKET: Key = Key {
    name: "socket",
    flag: "",
    variable: "GLASSBOX_SOCKET",
    reader: Reader::Every,
    form: Form::Text(Name::checked),
    default: "@glassbox",
    help: "where 'collect' listens and programs attach: a path, or @name for an abstract socket",
};

/// The endpoint that knows the containers of an ECS task.
pub const ECS_METADATA: Key = Key {
    name: "ecs_metadata",
    flag: "",
    variable: container::VARIABLE,
    reader: Reader::Every,
    form: Form::Text(Authority::checked),
    default: container::DEFAULT,
    help: "for a collector: the address to ask for the names of an ECS task's containers",
};

/// The last place where the sensor is looked for.
pub const SENSOR: Key = Key {
    name: "sensor",
    flag: "",
    variable: "GLASSBOX_LIB",
    reader: Reader::Every,
    form: Form::Path,
    default: "",
    help: "the sensor, if it is neither beside glassbox nor in ../lib/glassbox",
};

/// Formats and their destinations.
pub const OUTPUT: Key = Key {
    name: "outputs",
    flag: "output",
    variable: "GLASSBOX_OUTPUT",
    reader: Reader::Extension,
    form: Form::Outputs,
    default: "",
    help: "what -o takes",
};

/// The condition that events must meet.
pub const FILTER: Key = Key {
    name: "filter",
    flag: "filter",
    variable: "GLASSBOX_FILTER",
    reader: Reader::Extension,
    form: Form::Text(|condition| filter::compiled(condition, &Asked::default()).map(drop)),
    default: "",
    help: "the condition that events must meet, in Falco's language over the fields of docs/fields.md",
};

/// Whether secrets are taken out of what is written.
pub const REDACT: Key = Key {
    name: "redact",
    flag: "no-redact",
    variable: "GLASSBOX_REDACT",
    reader: Reader::Extension,
    form: Form::Switch,
    default: "on",
    help: "'off': secrets in arguments, environments and addresses are written as they are",
};

/// Files of rules.
pub const RULES: Key = Key {
    name: "rules.files",
    flag: "rules",
    variable: "GLASSBOX_RULES",
    reader: Reader::Extension,
    form: Form::Paths,
    default: "",
    help: "files of Falco rules that events are judged by",
};

/// Glassbox's own rules.
pub const DEFAULT_RULES: Key = Key {
    name: "rules.default",
    flag: "no-default-rules",
    variable: "GLASSBOX_DEFAULT_RULES",
    reader: Reader::Extension,
    form: Form::Switch,
    default: "on",
    help: "'off': without glassbox's own rules",
};

/// Where Prometheus asks.
pub const METRICS: Key = Key {
    name: "metrics",
    flag: "metrics",
    variable: "",
    reader: Reader::Every,
    form: Form::Text(server::checked),
    default: "",
    help: "where 'collect' and 'run' serve /metrics for Prometheus, and /healthz: an address and port, or a port of the loopback",
};

/// What is asked of the kernel for programs that hooks cannot see.
pub const NOTIFY: Key = Key {
    name: "notify.level",
    flag: "notify",
    variable: "",
    reader: Reader::Every,
    form: Form::Word(&["off", "exec", "security", "full"]),
    default: "off",
    help: "the system calls that the kernel asks 'run', 'exec' and 'attach' about, where no hook tells of them",
};

/// Whether a run goes on without it.
pub const REQUIRE_NOTIFY: Key = Key {
    name: "notify.required",
    flag: "require-notify",
    variable: "",
    reader: Reader::Every,
    form: Form::Switch,
    default: "off",
    help: "'on': a run or an attach ends with status 69 where the level cannot be had",
};

/// The alerts that make a command fail.
pub const FAIL_ON: Key = Key {
    name: "rules.fail_on",
    flag: "fail-on",
    variable: "",
    reader: Reader::Every,
    form: Form::Word(&[
        "emergency",
        "alert",
        "critical",
        "error",
        "warning",
        "notice",
        "informational",
        "info",
        "debug",
    ]),
    default: "",
    help: "the least urgent priority of an alert that makes the exit status 1",
};

/// Whether `run` waits for descendants.
pub const FOLLOW: Key = Key {
    name: "run.follow",
    flag: "follow",
    variable: "",
    reader: Reader::Every,
    form: Form::Switch,
    default: "off",
    help: "'on': a run ends with the last descendant that has the sensor in it",
};

/// The engine that sees libc's calls of itself.
pub const INLINE: Key = Key {
    name: "run.inline",
    flag: "inline",
    variable: "",
    reader: Reader::Every,
    form: Form::Path,
    default: "",
    help: "the engine that 'run' loads beside the sensor",
};

/// Whether the end of an invocation waits for delivery.
pub const TELEMETRY: Key = Key {
    name: "lambda.telemetry",
    flag: "",
    variable: "GLASSBOX_TELEMETRY",
    reader: Reader::Extension,
    form: Form::Switch,
    default: "on",
    help: "'off': do not wait for the end of an invocation to deliver its events",
};

/// Whether a function may run unseen.
pub const FAIL: Key = Key {
    name: "lambda.fail",
    flag: "",
    variable: "GLASSBOX_FAIL",
    reader: Reader::Extension,
    form: Form::Word(&["open", "closed"]),
    default: "open",
    help: "'closed': the function fails where it cannot be watched",
};

/// Every setting: those without a section, then section by section, in the order of `config show`.
pub const KEYS: &[Key] = &[
    SOCKET,
    SENSOR,
    ECS_METADATA,
    OUTPUT,
    FILTER,
    REDACT,
    METRICS,
    NOTIFY,
    REQUIRE_NOTIFY,
    RULES,
    DEFAULT_RULES,
    FAIL_ON,
    FOLLOW,
    INLINE,
    TELEMETRY,
    FAIL,
];

impl Key {
    /// The environment variable that every command reads: `GLASSBOX_RULES__FILES` for `rules.files`.
    pub fn derived(&self) -> String {
        format!("{PREFIX}{}", self.name.replace('.', "__").to_uppercase())
    }

    /// The section that it stands in, empty for none, and its name there.
    pub fn parts(&self) -> (&'static str, &'static str) {
        self.name.split_once('.').unwrap_or(("", self.name))
    }
}

/// The beginning of all variables.
pub const PREFIX: &str = "GLASSBOX_";

/// The variable that names the configuration file.
pub const CONFIG: &str = "GLASSBOX_CONFIG";

/// The variable that holds the text of a configuration file.
pub const CONFIG_YAML: &str = "GLASSBOX_CONFIG_YAML";

/// Variables that are no settings of the collector, with their meaning.
const OTHER_VARIABLES: [(&str, &str); 6] = [
    (CONFIG, "the configuration file, where --config names none [default: /etc/glassbox/glassbox.yaml]"),
    (CONFIG_YAML, "the text of one, instead"),
    (
        "GLASSBOX_SECTION__KEY",
        "a setting of the configuration file, before what the file says (docs/configuration.md)",
    ),
    ("GLASSBOX_INLINE", "in a program's environment: the engine, as 'run --inline' sets it there"),
    ("GLASSBOX=off", "in a program's environment: the sensor does nothing there"),
    ("NO_COLOR", "no colours, also on a terminal"),
];

/// The section on the environment of `glassbox --help`.
pub fn environment_help() -> String {
    let settings = KEYS.iter().filter(|key| key.reader == Reader::Every && !key.variable.is_empty());
    let lines = settings.map(|key| (key.variable, with_default(key)));
    let others = OTHER_VARIABLES.iter().map(|(name, help)| (*name, (*help).to_owned()));
    lines.chain(others).map(|(name, help)| entry(name, &help)).collect()
}

/// The variables that the Lambda extension reads, in the same form; `output` is its default output.
pub fn extension_help(output: &str) -> String {
    let settings = KEYS.iter().filter(|key| key.reader == Reader::Extension || **key == SOCKET);
    let help = |key: &Key| match *key == OUTPUT {
        true => format!("{} [default: {output}]", key.help),
        false => with_default(key),
    };
    settings.map(|key| entry(key.variable, &help(key))).collect()
}

fn with_default(key: &Key) -> String {
    match key.default {
        "" | "on" | "off" | "open" => key.help.to_owned(),
        default => format!("{} [default: {default}]", key.help),
    }
}

/// Columns of a variable's name and the indentation before it.
const NAME_COLUMNS: usize = 19;
/// Columns of a line of help.
const COLUMNS: usize = 80;

/// A name, and its help behind it, in lines of words.
fn entry(name: &str, help: &str) -> String {
    let mut text = format!("  {name}");
    let mut column = text.len();
    if column + 2 > NAME_COLUMNS {
        text.push('\n');
        column = 0;
    }
    let mut words = help.split(' ').peekable();
    while words.peek().is_some() {
        text.push_str(&" ".repeat(NAME_COLUMNS - column));
        column = NAME_COLUMNS;
        while let Some(word) = words.next_if(|word| column == NAME_COLUMNS || column + word.len() < COLUMNS) {
            if column > NAME_COLUMNS {
                text.push(' ');
                column += 1;
            }
            text.push_str(word);
            column += word.chars().count();
        }
        text.push('\n');
        column = 0;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key's row in the documentation.
    fn row(key: &Key) -> String {
        let code = |prefix: &str, text: &str| match text {
            "" => String::new(),
            text => format!(" `{prefix}{text}`"),
        };
        let Key { name, flag, variable, default, help, .. } = key;
        let derived = key.derived();
        let other = if *variable == derived { "" } else { *variable };
        let comma = if other.is_empty() { "" } else { "," };
        format!(
            "\n| `{name}` |{} | `{derived}`{comma}{} |{} | {help} |\n",
            code("--", flag),
            code("", other),
            code("", default)
        )
    }

    #[test]
    fn every_key_has_a_name_flag_and_variable_of_its_own_a_help_and_a_row_in_the_documentation() {
        let page = include_str!("../../../docs/configuration.md");

        for (index, key) in KEYS.iter().enumerate() {
            let before = &KEYS[..index];
            assert!(before.iter().all(|other| other.name != key.name), "{} twice", key.name);
            assert!(before.iter().all(|other| other.flag.is_empty() || other.flag != key.flag));
            assert!(before.iter().all(|other| other.variable.is_empty() || other.variable != key.variable));
            assert!(!key.help.is_empty(), "{} has no help", key.name);
            assert!(page.contains(&row(key)), "docs/configuration.md lacks\n{}", row(key));
        }
    }

    #[test]
    fn names_are_small_words_in_one_section_at_most_and_a_section_stands_together() {
        let mut sections: Vec<&str> = Vec::new();

        for key in KEYS {
            let (section, name) = key.parts();
            let is_word = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            assert!(is_word(section) && is_word(name) && !name.is_empty(), "{}", key.name);
            assert!(!key.name.contains("__"), "{}: __ divides section and key in the environment", key.name);
            assert!(KEYS.iter().all(|other| other.name != section), "{section} is a key too");
            if sections.last() != Some(&section) {
                assert!(!sections.contains(&section), "the keys of '{section}' do not stand together");
                sections.push(section);
            }
        }
        assert_eq!(Some(&""), sections.first());
    }

    #[test]
    fn variables_are_derived_from_names() {
        assert_eq!("GLASSBOX_SOCKET", SOCKET.derived());
        assert_eq!("GLASSBOX_RULES__FAIL_ON", FAIL_ON.derived());
    }

    #[test]
    fn help_of_a_variable_is_broken_between_words_and_indented() {
        let expected = "  GLASSBOX_ECS_METADATA\n                   for a collector: the address to ask for the names of an ECS\n                   task's containers [default: 169.254.170.2]\n";

        assert_eq!(expected, entry(ECS_METADATA.variable, &with_default(&ECS_METADATA)));
    }
}
