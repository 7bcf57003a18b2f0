//! The table of settings, and the layers that their values come from: a flag, the environment, the
//! configuration file, or the default, the first of them that has one.
//!
//! Values are text here; `settings` parses them. To add a setting: a row in [`KEYS`].

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;

/// A setting.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name in a configuration file.
    pub name: &'static str,
    /// The long option that sets it, without the dashes; empty where there is none.
    pub flag: &'static str,
    /// The environment variable that sets it; empty where there is none.
    pub variable: &'static str,
    /// The commands that read the variable.
    pub reader: Reader,
    /// Whether it may have several values. In the environment spaces stand between them.
    pub is_list: bool,
    /// Its value where no layer has one; empty for none, and where it depends on the command.
    pub default: &'static str,
    /// Without a full stop.
    pub help: &'static str,
}

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
    is_list: false,
    default: "@glassbox",
    help: "where 'collect' listens and programs attach: a path, or @name for an abstract socket",
};

/// The endpoint that knows the containers of an ECS task.
pub const ECS_METADATA: Key = Key {
    name: "ecs-metadata",
    flag: "",
    variable: "GLASSBOX_ECS_METADATA",
    reader: Reader::Every,
    is_list: false,
    default: "169.254.170.2",
    help: "for a collector: the address to ask for the names of an ECS task's containers",
};

/// The last place where the sensor is looked for.
pub const SENSOR: Key = Key {
    name: "sensor",
    flag: "",
    variable: "GLASSBOX_LIB",
    reader: Reader::Every,
    is_list: false,
    default: "",
    help: "the sensor, if it is neither beside glassbox nor in ../lib/glassbox",
};

/// Formats and their destinations.
pub const OUTPUT: Key = Key {
    name: "output",
    flag: "output",
    variable: "GLASSBOX_OUTPUT",
    reader: Reader::Extension,
    is_list: true,
    default: "",
    help: "what -o takes, several separated by spaces",
};

/// The condition that events must meet.
pub const FILTER: Key = Key {
    name: "filter",
    flag: "filter",
    variable: "GLASSBOX_FILTER",
    reader: Reader::Extension,
    is_list: false,
    default: "",
    help: "the condition that events must meet, in Falco's language over the fields of docs/fields.md",
};

/// Files of rules.
pub const RULES: Key = Key {
    name: "rules",
    flag: "rules",
    variable: "GLASSBOX_RULES",
    reader: Reader::Extension,
    is_list: true,
    default: "",
    help: "files of Falco rules that events are judged by, several separated by spaces",
};

/// Glassbox's own rules.
pub const DEFAULT_RULES: Key = Key {
    name: "default-rules",
    flag: "no-default-rules",
    variable: "GLASSBOX_DEFAULT_RULES",
    reader: Reader::Extension,
    is_list: false,
    default: "on",
    help: "'off': without glassbox's own rules",
};

/// Whether secrets are taken out of what is written.
pub const REDACT: Key = Key {
    name: "redact",
    flag: "no-redact",
    variable: "GLASSBOX_REDACT",
    reader: Reader::Extension,
    is_list: false,
    default: "on",
    help: "'off': secrets in arguments, environments and addresses are written as they are",
};

/// The alerts that make a command fail.
pub const FAIL_ON: Key = Key {
    name: "fail-on",
    flag: "fail-on",
    variable: "",
    reader: Reader::Every,
    is_list: false,
    default: "",
    help: "the least urgent priority of an alert that makes the exit status 1",
};

/// Whether `run` waits for descendants.
pub const FOLLOW: Key = Key {
    name: "follow",
    flag: "follow",
    variable: "",
    reader: Reader::Every,
    is_list: false,
    default: "off",
    help: "'on': a run ends with the last descendant that has the sensor in it",
};

/// The engine that sees libc's calls of itself.
pub const INLINE: Key = Key {
    name: "inline",
    flag: "inline",
    variable: "",
    reader: Reader::Every,
    is_list: false,
    default: "",
    help: "the engine that 'run' loads beside the sensor",
};

/// Whether the end of an invocation waits for delivery.
pub const TELEMETRY: Key = Key {
    name: "telemetry",
    flag: "",
    variable: "GLASSBOX_TELEMETRY",
    reader: Reader::Extension,
    is_list: false,
    default: "on",
    help: "'off': do not wait for the end of an invocation to deliver its events",
};

/// Whether a function may run unseen.
pub const FAIL: Key = Key {
    name: "fail",
    flag: "",
    variable: "GLASSBOX_FAIL",
    reader: Reader::Extension,
    is_list: false,
    default: "open",
    help: "'closed': the function fails where it cannot be watched",
};

/// Every setting, in the order of `--help`.
pub const KEYS: &[Key] = &[
    SOCKET,
    ECS_METADATA,
    SENSOR,
    OUTPUT,
    FILTER,
    RULES,
    DEFAULT_RULES,
    REDACT,
    FAIL_ON,
    FOLLOW,
    INLINE,
    TELEMETRY,
    FAIL,
];

/// Variables that are no settings of the collector, with their meaning.
const OTHER_VARIABLES: [(&str, &str); 3] = [
    ("GLASSBOX_INLINE", "in a program's environment: the engine, as 'run --inline' sets it there"),
    ("GLASSBOX=off", "in a program's environment: the sensor does nothing there"),
    ("NO_COLOR", "no colours, also on a terminal"),
];

/// The layer that a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    Flag,
    /// The environment.
    Environment,
    /// The configuration file.
    File,
    /// None of these.
    Default,
}

/// The values of a key, and where they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    key: &'static Key,
    /// None where there is no default either; several only of a list.
    pub values: Vec<OsString>,
    /// Their layer.
    pub source: Source,
}

impl Setting {
    /// The value of a key that is no list; empty where it has none.
    pub fn text(&self) -> &OsStr {
        self.values.last().map_or(OsStr::new(""), OsString::as_os_str)
    }
}

impl fmt::Display for Setting {
    /// As the user set it, for messages: `GLASSBOX_SOCKET='/x'`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.text().display();
        match self.source {
            Source::Flag => write!(f, "--{} '{value}'", self.key.flag),
            Source::Environment => write!(f, "{}='{value}'", self.key.variable),
            Source::File | Source::Default => write!(f, "{} = '{value}'", self.key.name),
        }
    }
}

/// Gives the value of a variable.
type Environment = Box<dyn Fn(&str) -> Option<OsString>>;

/// The layers of one process.
pub struct Layers {
    reader: Reader,
    flags: BTreeMap<&'static str, Vec<OsString>>,
    environment: Environment,
    file: BTreeMap<String, Vec<OsString>>,
    defaults: BTreeMap<&'static str, &'static str>,
}

impl Layers {
    /// This process's environment, and nothing yet above and below it.
    pub fn of_process(reader: Reader) -> Self {
        Self::new(reader, |variable| std::env::var_os(variable))
    }

    fn new(reader: Reader, environment: impl Fn(&str) -> Option<OsString> + 'static) -> Self {
        let (flags, file, defaults) = Default::default();
        Self { reader, flags, environment: Box::new(environment), file, defaults }
    }

    /// With what the command line says; no values mean that it says nothing.
    pub fn with_flag(mut self, key: &'static Key, values: impl IntoIterator<Item = OsString>) -> Self {
        let values: Vec<OsString> = values.into_iter().collect();
        if !values.is_empty() {
            self.flags.insert(key.name, values);
        }
        self
    }

    /// With a default of the command's own.
    pub fn with_default(mut self, key: &'static Key, value: &'static str) -> Self {
        self.defaults.insert(key.name, value);
        self
    }

    /// The values of `key` in the highest layer that has some. An empty variable is as good as none.
    pub fn setting(&self, key: &'static Key) -> Setting {
        let of = |source, values| Setting { key, values, source };
        if let Some(values) = self.flags.get(key.name) {
            return of(Source::Flag, values.clone());
        }
        if let Some(value) = self.variable(key) {
            let values = match key.is_list {
                true => value
                    .as_bytes()
                    .split(u8::is_ascii_whitespace)
                    .filter(|word| !word.is_empty())
                    .map(|word| OsStr::from_bytes(word).to_owned())
                    .collect(),
                false => vec![value],
            };
            if !values.is_empty() {
                return of(Source::Environment, values);
            }
        }
        if let Some(values) = self.file.get(key.name) {
            return of(Source::File, values.clone());
        }
        let default = self.defaults.get(key.name).copied().unwrap_or(key.default);
        of(
            Source::Default,
            Some(default).filter(|text| !text.is_empty()).map(OsString::from).into_iter().collect(),
        )
    }

    fn variable(&self, key: &Key) -> Option<OsString> {
        let is_read = !key.variable.is_empty() && (key.reader == Reader::Every || key.reader == self.reader);
        is_read.then(|| (self.environment)(key.variable)).flatten().filter(|value| !value.is_empty())
    }
}

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

    const LIST: [&str; 2] = ["human", "jsonl:x"];

    fn layers(reader: Reader, environment: &'static [(&str, &str)]) -> Layers {
        Layers::new(reader, |variable| {
            environment.iter().find(|(name, _)| *name == variable).map(|(_, value)| value.into())
        })
    }

    fn with_file(mut layers: Layers, name: &str, values: &[&str]) -> Layers {
        layers.file.insert(name.to_owned(), values.iter().map(OsString::from).collect());
        layers
    }

    fn found(layers: &Layers, key: &'static Key) -> (Source, String) {
        let setting = layers.setting(key);
        (setting.source, setting.text().to_str().unwrap().to_owned())
    }

    #[test]
    fn flag_comes_before_environment_before_file_before_default() {
        let set = layers(Reader::Every, &[("GLASSBOX_SOCKET", "/environment")]);
        let set = with_file(set, "socket", &["/file"]).with_default(&SOCKET, "/default");
        let unset = with_file(layers(Reader::Every, &[]), "socket", &["/file"]);

        let by_environment = found(&set, &SOCKET);
        let by_flag = found(&set.with_flag(&SOCKET, ["/flag".into()]), &SOCKET);

        assert_eq!((Source::Flag, "/flag".into()), by_flag);
        assert_eq!((Source::Environment, "/environment".into()), by_environment);
        assert_eq!((Source::File, "/file".into()), found(&unset, &SOCKET));
        assert_eq!((Source::Default, "@glassbox".into()), found(&layers(Reader::Every, &[]), &SOCKET));
    }

    #[test]
    fn default_of_the_command_comes_before_that_of_the_table() {
        let layers = layers(Reader::Every, &[]).with_default(&SOCKET, "/run/glassbox/socket");

        assert_eq!((Source::Default, "/run/glassbox/socket".into()), found(&layers, &SOCKET));
    }

    #[test]
    fn empty_variable_and_no_flags_are_as_good_as_none() {
        let layers = layers(Reader::Extension, &[("GLASSBOX_SOCKET", ""), ("GLASSBOX_OUTPUT", "  ")]);
        let layers = layers.with_flag(&FOLLOW, []);

        assert_eq!((Source::Default, "@glassbox".into()), found(&layers, &SOCKET));
        assert_eq!((Source::Default, String::new()), found(&layers, &OUTPUT));
        assert_eq!((Source::Default, "off".into()), found(&layers, &FOLLOW));
        assert_eq!((Source::Default, String::new()), found(&layers, &SENSOR));
    }

    #[test]
    fn list_has_spaces_in_the_environment_and_several_values_elsewhere() {
        let environment = layers(Reader::Extension, &[("GLASSBOX_OUTPUT", " human  jsonl:x ")]);
        let file = with_file(layers(Reader::Extension, &[]), "output", &LIST);
        let flags = layers(Reader::Extension, &[]).with_flag(&OUTPUT, LIST.map(OsString::from));

        for layers in [environment, file, flags] {
            assert_eq!(LIST.map(OsString::from).to_vec(), layers.setting(&OUTPUT).values);
        }
    }

    #[test]
    fn variables_of_the_extension_are_read_by_no_other_command() {
        let variables: &[(&str, &str)] = &[("GLASSBOX_OUTPUT", "human"), ("GLASSBOX_FAIL", "closed")];

        assert_eq!("human", layers(Reader::Extension, variables).setting(&OUTPUT).text());
        assert_eq!("", layers(Reader::Every, variables).setting(&OUTPUT).text());
        assert_eq!("open", layers(Reader::Every, variables).setting(&FAIL).text());
    }

    #[test]
    fn message_names_the_layer_of_a_value() {
        let layers = layers(Reader::Every, &[("GLASSBOX_SOCKET", "@")]);
        let layers = with_file(layers, "sensor", &["/x"]).with_flag(&INLINE, ["e.so".into()]);

        assert_eq!("GLASSBOX_SOCKET='@'", layers.setting(&SOCKET).to_string());
        assert_eq!("sensor = '/x'", layers.setting(&SENSOR).to_string());
        assert_eq!("--inline 'e.so'", layers.setting(&INLINE).to_string());
    }

    /// A key's row in the documentation.
    fn row(key: &Key) -> String {
        let code = |prefix: &str, text: &str| match text {
            "" => String::new(),
            text => format!(" `{prefix}{text}`"),
        };
        let Key { name, flag, variable, default, help, .. } = key;
        let (flag, variable, default) = (code("--", flag), code("", variable), code("", default));
        format!("\n| `{name}` |{flag} |{variable} |{default} | {help} |\n")
    }

    #[test]
    fn every_key_has_a_name_flag_and_variable_of_its_own_a_help_and_a_way_to_set_it() {
        let operations = include_str!("../../../docs/operations.md");

        for (index, key) in KEYS.iter().enumerate() {
            let before = &KEYS[..index];
            assert!(before.iter().all(|other| other.name != key.name), "{} twice", key.name);
            assert!(before.iter().all(|other| other.flag.is_empty() || other.flag != key.flag));
            assert!(before.iter().all(|other| other.variable.is_empty() || other.variable != key.variable));
            assert!(!key.help.is_empty(), "{} has no help", key.name);
            assert!(!key.flag.is_empty() || !key.variable.is_empty(), "{} cannot be set", key.name);
            assert!(operations.contains(&row(key)), "docs/operations.md lacks\n{}", row(key));
        }
    }

    #[test]
    fn help_of_a_variable_is_broken_between_words_and_indented() {
        let expected = "  GLASSBOX_ECS_METADATA\n                   for a collector: the address to ask for the names of an ECS\n                   task's containers [default: 169.254.170.2]\n";

        assert_eq!(expected, entry(ECS_METADATA.variable, &with_default(&ECS_METADATA)));
    }
}
