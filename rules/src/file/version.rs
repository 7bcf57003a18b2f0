//! Versions that rule files require.

use std::fmt::{self, Display};

/// A version as in `0.57.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Another major version is another language.
    pub major: u32,
    /// A later one has more features.
    pub minor: u32,
    /// A later one has fewer faults.
    pub patch: u32,
}

/// The version of Falco's engine whose features are implemented.
pub const ENGINE: Version = Version { major: 0, minor: 63, patch: 0 };

impl Version {
    /// Reads `x.y.z`, with nothing or `-…` or `+…` behind it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Version> {
        let numbers = text.split(['-', '+']).next()?;
        let mut parts = numbers.split('.').map(|part| match part.bytes().all(|byte| byte.is_ascii_digit()) {
            true => part.parse().ok(),
            false => None,
        });
        let version = Version { major: parts.next()??, minor: parts.next()??, patch: parts.next()?? };
        parts.next().is_none().then_some(version)
    }

    /// Reads what `required_engine_version` may say: `x.y.z`, or a number N, which means `0.N.0`.
    #[must_use]
    pub fn parse_engine(text: &str) -> Option<Version> {
        match text.parse() {
            Ok(minor) => Some(Version { major: 0, minor, patch: 0 }),
            Err(_) => Version::parse(text),
        }
    }

    /// Whether this version does what `required` does: the same major version, and not older.
    #[must_use]
    pub fn satisfies(self, required: Version) -> bool {
        self.major == required.major && self >= required
    }
}

impl Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_falco_reads_them() {
        let version = |major, minor, patch| Some(Version { major, minor, patch });
        let cases = [
            ("26", version(0, 26, 0)),
            ("0.57.0", version(0, 57, 0)),
            ("0.26.0-rc1", version(0, 26, 0)),
            ("1.2.3+build", version(1, 2, 3)),
            ("seven", None),
            ("0.26", None),
            ("0.26.0.1", None),
            ("0.+2.0", None),
            ("-1", None),
            ("", None),
        ];

        for (text, expected) in cases {
            assert_eq!(expected, Version::parse_engine(text), "{text}");
        }
    }

    #[test]
    fn a_version_satisfies_older_ones_of_the_same_major() {
        let ours = Version { major: 0, minor: 63, patch: 0 };
        let cases =
            [("0.63.0", true), ("0.57.3", true), ("0.63.1", false), ("0.64.0", false), ("1.0.0", false)];

        for (required, expected) in cases {
            assert_eq!(
                Some(expected),
                Version::parse(required).map(|version| ours.satisfies(version)),
                "{required}"
            );
        }
    }
}
