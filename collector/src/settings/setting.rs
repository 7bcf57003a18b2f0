//! The values of a setting, and the layer that they come from.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

use super::keys::Key;

/// The layer that a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    Flag,
    /// The environment, by the name of the variable.
    Environment(String),
    /// The configuration file, by the place there: `FILE:LINE:COLUMN`.
    File(String),
    /// None of these.
    Default,
}

/// The values of a key in one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Several only of a list.
    pub values: Vec<OsString>,
    /// Where they stand.
    pub source: Source,
}

/// Those of several keys, by the keys' names.
pub type Values = BTreeMap<&'static str, Found>;

/// The values of a key, and where they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub key: &'static Key,
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

    /// Whether it is `on`.
    pub fn is_on(&self) -> bool {
        self.text() == "on"
    }
}

impl fmt::Display for Setting {
    /// As the user set it, for messages: `GLASSBOX_SOCKET='/x'`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.text().display();
        match &self.source {
            Source::Flag => write!(f, "--{} '{value}'", self.key.flag),
            Source::Environment(variable) => write!(f, "{variable}='{value}'"),
            Source::File(place) => write!(f, "{place}: {}: '{value}'", self.key.name),
            Source::Default => write!(f, "{} = '{value}'", self.key.name),
        }
    }
}
