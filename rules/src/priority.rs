//! How urgent an alert is.

use std::fmt::{self, Display};

/// How urgent an alert is, from the most urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each variant is the syslog severity of the same name")]
pub enum Priority {
    Emergency,
    Alert,
    Critical,
    Error,
    Warning,
    Notice,
    Informational,
    Debug,
}

impl Priority {
    /// All, from the most urgent.
    pub const ALL: [Priority; 8] = [
        Priority::Emergency,
        Priority::Alert,
        Priority::Critical,
        Priority::Error,
        Priority::Warning,
        Priority::Notice,
        Priority::Informational,
        Priority::Debug,
    ];

    /// Reads a priority in letters of any case; `Info` is `Informational`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Priority> {
        if name.eq_ignore_ascii_case("info") {
            return Some(Priority::Informational);
        }
        Priority::ALL.into_iter().find(|priority| priority.name().eq_ignore_ascii_case(name))
    }

    /// The name as alerts say it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Priority::Emergency => "Emergency",
            Priority::Alert => "Alert",
            Priority::Critical => "Critical",
            Priority::Error => "Error",
            Priority::Warning => "Warning",
            Priority::Notice => "Notice",
            Priority::Informational => "Informational",
            Priority::Debug => "Debug",
        }
    }
}

impl Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_read_in_any_case() {
        let cases = [
            ("WARNING", Some(Priority::Warning)),
            ("notice", Some(Priority::Notice)),
            ("Info", Some(Priority::Informational)),
            ("INFORMATIONAL", Some(Priority::Informational)),
            ("warn", None),
            ("", None),
        ];

        for (name, expected) in cases {
            assert_eq!(expected, Priority::parse(name), "{name}");
        }
    }
}
