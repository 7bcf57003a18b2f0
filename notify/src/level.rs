//! How much the kernel is asked about.

use std::fmt;
use std::str::FromStr;

/// How much the kernel is asked about. Each level includes the ones before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Nothing: no filter is installed.
    #[default]
    Off,
    /// Programs that are started, and code that is loaded into the kernel.
    Exec,
    /// Besides: what changes files, users, processes, namespaces and mounts, and what reaches the network.
    Security,
    /// Besides: opens that only read, and what closes descriptors.
    Full,
    /// Besides: what only looks a file up. It is [`Level::Full`] with a request (`GLASSBOX_TELL=lookups`),
    /// and has no word of its own.
    Lookups,
}

impl Level {
    /// All levels that have a word, from the least.
    pub const ALL: [Level; 4] = [Self::Off, Self::Exec, Self::Security, Self::Full];

    /// The word in options, settings and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Exec => "exec",
            Self::Security => "security",
            Self::Full | Self::Lookups => "full",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLevel(String);

impl fmt::Display for UnknownLevel {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "'{}' is no level of notification: give off, exec, security or full", self.0.escape_debug())
    }
}

impl std::error::Error for UnknownLevel {}

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(word: &str) -> Result<Level, UnknownLevel> {
        Self::ALL.into_iter().find(|level| level.name() == word).ok_or_else(|| UnknownLevel(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ordered_and_read_back_by_name() {
        assert!(Level::Off < Level::Exec && Level::Exec < Level::Security && Level::Security < Level::Full);
        assert!(Level::Full < Level::Lookups && Level::Lookups.name() == "full");
        for level in Level::ALL {
            assert_eq!(Ok(level), level.name().parse());
        }
    }

    #[test]
    fn an_unknown_word_is_refused_with_the_known_ones() {
        let error = "Full\n".parse::<Level>().unwrap_err();

        assert_eq!(
            "'Full\\n' is no level of notification: give off, exec, security or full",
            error.to_string()
        );
    }
}
