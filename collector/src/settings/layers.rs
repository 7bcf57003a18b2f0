//! The layers that the values of settings come from: a flag, the environment, the configuration file, or the
//! default, the first of them that has one.
//!
//! [`Layers::read`] reads the environment and the file, and refuses what is wrong in either; commands put
//! their flags on top. The settings of a collector that is another process go there as
//! [`Layers::handed_down`] spells them, with the places that they come from: that one reads neither the
//! environment nor a file.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::file::{self, Configuration};
use super::forms::Form;
use super::keys::{CONFIG, CONFIG_YAML, KEYS, Key, METRICS, OUTPUT, PREFIX, Reader};
use super::setting::{Found, Setting, Source, Values};
use crate::shell::failure::Failure;
use crate::sinks::look::Show;

/// The variables of one process that begin with [`PREFIX`].
type Variables = BTreeMap<OsString, OsString>;

/// The layers of one process.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    flags: Values,
    environment: Values,
    /// The file that was read.
    pub configuration: Option<Configuration>,
    defaults: BTreeMap<&'static str, &'static str>,
    /// What the command line asks for of texts for people.
    pub show: Show,
}

impl Layers {
    /// This process's environment, and the configuration file: `config`, else what GLASSBOX_CONFIG or
    /// GLASSBOX_CONFIG_YAML say, else /etc/glassbox/glassbox.yaml where that is. Reads both anew each time.
    ///
    /// Fails with status 64 where a variable is wrong, 65 where the file is malformed, 66 where it cannot be
    /// read.
    pub fn read(reader: Reader, config: Option<&Path>) -> Result<Self, Failure> {
        Self::read_with(reader, config, &[])
    }

    /// The same; the file is the first of `others` that exists, where none is named.
    pub fn read_with(reader: Reader, config: Option<&Path>, others: &[&Path]) -> Result<Self, Failure> {
        let variables = of_process();
        Ok(Self {
            environment: environment(reader, &variables)?,
            configuration: configuration(config, others, &variables)?,
            ..Self::default()
        })
    }

    /// The environment alone.
    pub fn of_environment(reader: Reader) -> Result<Self, Failure> {
        Ok(Self { environment: environment(reader, &of_process())?, ..Self::default() })
    }

    /// With what the command line says; no values mean that it says nothing.
    pub fn with_flag(mut self, key: &'static Key, values: impl IntoIterator<Item = OsString>) -> Self {
        let values: Vec<OsString> = values.into_iter().collect();
        if !values.is_empty() {
            self.flags.insert(key.name, Found { values, source: Source::Flag });
        }
        self
    }

    /// With a default of the command's own.
    pub fn with_default(mut self, key: &'static Key, value: &'static str) -> Self {
        self.defaults.insert(key.name, value);
        self
    }

    /// For a command that a person starts beside the collector which /etc/glassbox/glassbox.yaml is for: the
    /// outputs and the address of metrics in that file are not its own, unless the file was named.
    pub fn without_outputs_of_default_file(mut self) -> Self {
        if let Some(configuration) = self.configuration.as_mut().filter(|file| !file.is_named) {
            configuration.values.remove(OUTPUT.name);
            configuration.values.remove(METRICS.name);
        }
        self
    }

    /// The values of `key` in the highest layer that has some.
    pub fn setting(&self, key: &'static Key) -> Setting {
        let file = self.configuration.as_ref().map(|file| &file.values);
        let mut layers = [Some(&self.flags), Some(&self.environment), file].into_iter().flatten();
        if let Some(Found { values, source }) = layers.find_map(|layer| layer.get(key.name)) {
            return Setting { key, values: values.clone(), source: source.clone() };
        }
        let default = self.defaults.get(key.name).copied().unwrap_or(key.default);
        let values = Some(default).filter(|text| !text.is_empty()).map(OsString::from).into_iter().collect();
        Setting { key, values, source: Source::Default }
    }

    /// The settings that some layer sets, but for the outputs, as arguments of a collector that is another
    /// process: `--set NAME SOURCE VALUE` for each value, with absolute paths. Fails with status 64 where a
    /// path cannot be made absolute.
    pub fn spelled(&self) -> Result<Vec<OsString>, Failure> {
        let mut arguments = Vec::new();
        for key in KEYS.iter().filter(|key| **key != OUTPUT) {
            let setting = self.setting(key);
            let source = match &setting.source {
                Source::Flag => "flag".to_owned(),
                Source::Environment(variable) => format!("environment {variable}"),
                Source::File(place) => format!("file {place}"),
                Source::Default => continue,
            };
            for value in &setting.values {
                let value = match key.form {
                    Form::Path | Form::Paths => std::path::absolute(value)
                        .map_err(|error| {
                            Failure::usage(format!("{setting}: {error}; give an absolute path"))
                        })?
                        .into_os_string(),
                    _ => value.clone(),
                };
                arguments.extend([SET.into(), key.name.into(), source.clone().into(), value]);
            }
        }
        Ok(arguments)
    }

    /// What [`Layers::spelled`] spelled, without its first word: in threes. Unknown names are left out.
    pub fn handed_down(words: &[OsString]) -> Self {
        let mut layers = Self::default();
        for three in words.chunks_exact(3) {
            let [name, source, value] = three else { continue };
            let Some(key) = KEYS.iter().find(|key| name == key.name) else { continue };
            let source = source.to_string_lossy();
            let source = match source.split_once(' ') {
                Some(("environment", variable)) => Source::Environment(variable.to_owned()),
                Some(("file", place)) => Source::File(place.to_owned()),
                _ => Source::Flag,
            };
            let found = layers.flags.entry(key.name).or_insert(Found { values: Vec::new(), source });
            found.values.push(value.clone());
        }
        layers
    }
}

/// The option of [`Layers::spelled`].
const SET: &str = "--set";

/// The variables of this process.
fn of_process() -> Variables {
    std::env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(PREFIX.as_bytes())).collect()
}

/// The settings that variables set. An empty variable is as good as none. A variable that is written like one
/// of a section and is none is refused: it would be set in vain.
fn environment(reader: Reader, variables: &Variables) -> Result<Values, Failure> {
    let mut found = Values::new();
    let derived: Vec<String> = KEYS.iter().map(Key::derived).collect();
    for name in variables.keys().filter_map(|name| name.to_str()) {
        if name.contains("__") && !derived.iter().any(|known| known == name) {
            let nearest = rules::did_you_mean(name, derived.iter().map(String::as_str));
            return Err(Failure::usage(format!(
                "unknown variable {name}{}",
                if nearest.is_empty() { "; docs/configuration.md lists them" } else { &nearest }
            )));
        }
    }
    for (key, derived) in KEYS.iter().zip(&derived) {
        let is_read = !key.variable.is_empty() && (key.reader == Reader::Every || key.reader == reader);
        let names = [Some(derived.as_str()), is_read.then_some(key.variable)];
        let set = names.into_iter().flatten().find_map(|name| {
            let value = variables.get(OsStr::new(name)).filter(|value| !value.is_empty())?;
            Some((name, value))
        });
        let Some((name, value)) = set else { continue };
        let wrong = |why: String| Failure::usage(format!("{name}: {why}"));
        let values = match key.form.is_list() {
            true => words(key, value).map_err(wrong)?,
            // Commands say more of a text that is wrong, where they use it.
            false if matches!(key.form, Form::Text(_)) => vec![value.clone()],
            false => vec![key.form.read(value).map_err(wrong)?],
        };
        if !values.is_empty() {
            found.insert(key.name, Found { values, source: Source::Environment(name.to_owned()) });
        }
    }
    Ok(found)
}

/// The values of a list in a variable: words with spaces between them, or a list as YAML writes it in
/// brackets, for values with spaces.
fn words(key: &'static Key, value: &OsStr) -> Result<Vec<OsString>, String> {
    match value.to_str().map(str::trim).filter(|text| text.starts_with('[')) {
        Some(text) => file::list(key, text),
        None => {
            let words = value.as_bytes().split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            Ok(words.map(|word| OsStr::from_bytes(word).to_owned()).collect())
        }
    }
}

/// The configuration file, where there is one.
fn configuration(
    given: Option<&Path>,
    others: &[&Path],
    variables: &Variables,
) -> Result<Option<Configuration>, Failure> {
    let set = |name: &str| variables.get(OsStr::new(name)).filter(|value| !value.is_empty());
    let (path, text) = (set(CONFIG), set(CONFIG_YAML));
    if let Some(path) = given {
        return Configuration::of_file(path).map(Some);
    }
    match (path, text) {
        (Some(_), Some(_)) => Err(Failure::usage(format!(
            "both {CONFIG} and {CONFIG_YAML} are set; unset one of them, or give --config FILE"
        ))),
        (Some(path), None) => Configuration::of_file(Path::new(path)).map(Some),
        (None, Some(text)) => Configuration::of_variable(text).map(Some),
        (None, None) => {
            let mut paths = others.iter().copied().chain([Path::new(file::DEFAULT)]);
            match paths.find(|path| path.exists()) {
                Some(path) => Configuration::of_default_file(path).map(Some),
                None => Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests;
