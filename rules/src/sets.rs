//! Sets of prefixes, of suffixes and of parent paths, each asked about another text at once.

use std::cmp::Ordering;
use std::collections::HashMap;

use crate::glob::Glob;

/// A set of texts, asked whether one of them begins another text.
///
/// Sorted, and without texts that begin with another one of the set. Then only the greatest one that is not
/// above the other text can begin it, because everything between a prefix and a text begins with that prefix.
/// That takes less memory than a trie, and a few comparisons.
#[derive(Clone, Debug)]
pub struct Prefixes {
    texts: Vec<Box<[u8]>>,
}

impl Prefixes {
    /// A set of these texts.
    pub fn new<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Prefixes {
        let mut sorted: Vec<Box<[u8]>> = texts.map(Box::from).collect();
        sorted.sort_unstable();
        sorted.dedup_by(|next, kept| next.starts_with(kept));
        Prefixes { texts: sorted }
    }

    /// Whether a text of the set begins `text`.
    pub fn begin(&self, text: &[u8]) -> bool {
        let above = self.texts.partition_point(|prefix| **prefix <= *text);
        above > 0 && text.starts_with(&self.texts[above - 1])
    }
}

/// A set of texts, asked whether one of them ends another text: [`Prefixes`] from the end.
#[derive(Clone, Debug)]
pub struct Suffixes {
    texts: Vec<Box<[u8]>>,
}

impl Suffixes {
    /// A set of these texts.
    pub fn new<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Suffixes {
        let mut sorted: Vec<Box<[u8]>> = texts.map(Box::from).collect();
        sorted.sort_unstable_by(|one, other| from_the_end(one, other));
        sorted.dedup_by(|next, kept| next.ends_with(kept));
        Suffixes { texts: sorted }
    }

    /// Whether a text of the set ends `text`.
    pub fn end(&self, text: &[u8]) -> bool {
        let above = self.texts.partition_point(|suffix| from_the_end(suffix, text) != Ordering::Greater);
        above > 0 && text.ends_with(&self.texts[above - 1])
    }
}

fn from_the_end(one: &[u8], other: &[u8]) -> Ordering {
    one.iter().rev().cmp(other.iter().rev())
}

/// The most components of a path in [`Paths`]: its tree is as deep, and is searched and dropped by recursion.
pub const MOST_COMPONENTS: usize = 256;

/// A set of paths, asked whether one of them is a parent of another path, or that path itself.
///
/// Components are compared as wholes, and may be patterns; empty ones are skipped, so that `/usr` is a parent
/// of `usr//bin`, and `/` of every path.
#[derive(Clone, Debug, Default)]
pub struct Paths {
    names: HashMap<Box<[u8]>, Paths>,
    patterns: Vec<(Box<[u8]>, Glob, Paths)>,
    is_end: bool,
}

impl Paths {
    /// A set of paths; the error is one that has more than [`MOST_COMPONENTS`].
    pub fn new<'a>(paths: impl Iterator<Item = &'a [u8]>) -> Result<Paths, &'a [u8]> {
        let mut set = Paths::default();
        for path in paths {
            let mut rest = path;
            let mut at = &mut set;
            let mut depth = 0;
            while let Some((component, tail)) = split(rest) {
                depth += 1;
                if depth > MOST_COMPONENTS {
                    return Err(path);
                }
                at = at.child(component);
                rest = tail;
            }
            at.is_end = true;
        }
        Ok(set)
    }

    fn child(&mut self, component: &[u8]) -> &mut Paths {
        if !component.iter().any(|byte| b"?*[".contains(byte)) {
            return self.names.entry(component.into()).or_default();
        }
        let known = self.patterns.iter().position(|(text, ..)| **text == *component);
        let index = known.unwrap_or_else(|| {
            self.patterns.push((component.into(), Glob::new(component, false), Paths::default()));
            self.patterns.len() - 1
        });
        &mut self.patterns[index].2
    }

    /// Whether a path of the set is a parent of `path`, or the same.
    ///
    /// Looks at each node of the tree once at most, since a node's depth says which component it is compared
    /// with.
    pub fn have_parent_of(&self, path: &[u8]) -> bool {
        if self.is_end {
            return true;
        }
        let Some((component, rest)) = split(path) else { return false };
        self.names.get(component).is_some_and(|next| next.have_parent_of(rest))
            || self
                .patterns
                .iter()
                .any(|(_, glob, next)| glob.matches(component) && next.have_parent_of(rest))
    }
}

/// The first component of a path, and what follows it.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = path.iter().position(|byte| *byte != b'/')?;
    let path = &path[start..];
    let end = path.iter().position(|byte| *byte == b'/').unwrap_or(path.len());
    Some(path.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<'a>(texts: &'a [&str]) -> impl Iterator<Item = &'a [u8]> {
        texts.iter().map(|text| text.as_bytes())
    }

    #[test]
    fn a_prefix_of_the_set_is_found() {
        let set = Prefixes::new(bytes(&["/etc/", "/usr/lib", "/us", "/var", "/etc/ssh", "b", "/var"]));
        for (text, expected) in [
            ("/etc/passwd", true),
            ("/etc", false),
            ("/etc/", true),
            ("/us", true),
            ("/usr/bin", true),
            ("/u", false),
            ("/variable", true),
            ("/tmp", false),
            ("/zzz", false),
            ("", false),
            ("a", false),
            ("bb", true),
            ("c", false),
        ] {
            assert_eq!(expected, set.begin(text.as_bytes()), "{text}");
        }
        assert!(Prefixes::new(bytes(&["a", ""])).begin(b""));
        assert!(!Prefixes::new(bytes(&[])).begin(b"a"));
    }

    #[test]
    fn a_suffix_of_the_set_is_found() {
        let set = Suffixes::new(bytes(&[".pem", "key", ".key", "/id_rsa", "y"]));
        for (text, expected) in [
            ("a.pem", true),
            ("pem", false),
            ("monkey", true),
            ("/id_rsa", true),
            ("id_rsa", false),
            ("", false),
        ] {
            assert_eq!(expected, set.end(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn sets_agree_with_asking_one_by_one() {
        let words: Vec<String> =
            (0..400_u32).map(|n| format!("{:b}", n.wrapping_mul(2_654_435_761) >> 22)).collect();
        let (set, texts) = words.split_at(60);
        let prefixes = Prefixes::new(set.iter().map(|word| word.as_bytes()));
        let suffixes = Suffixes::new(set.iter().map(|word| word.as_bytes()));
        for text in texts {
            assert_eq!(
                set.iter().any(|word| text.starts_with(word)),
                prefixes.begin(text.as_bytes()),
                "{text}"
            );
            assert_eq!(set.iter().any(|word| text.ends_with(word)), suffixes.end(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_parent_path_of_the_set_is_found() {
        let set = Paths::new(bytes(&["/var/run", "/etc", "/usr/lib*/x", "/h/*/s", "/h/a/*", "/lib/", "rel"]))
            .unwrap();
        for (text, expected) in [
            ("/var/run", true),
            ("/var/run/docker", true),
            ("/var/running", false),
            ("/var", false),
            ("/var/lib/run", false),
            ("/etc/passwd", true),
            ("//etc//passwd", true),
            ("etc", true),
            ("/lib", true),
            ("/libx", false),
            ("/usr/lib64/x/y", true),
            ("/usr/lib64/y", false),
            ("/h/a/b", true),
            ("/h/b/s", true),
            ("/h/b/t", false),
            ("/h/a", false),
            ("/rel", true),
            ("/", false),
            ("", false),
        ] {
            assert_eq!(expected, set.have_parent_of(text.as_bytes()), "{text}");
        }
        assert!(Paths::new(bytes(&["/"])).unwrap().have_parent_of(b"/a"));
        assert!(!Paths::new(bytes(&[])).unwrap().have_parent_of(b"/a"));
    }

    #[test]
    fn a_path_of_too_many_components_is_refused() {
        let path = "a/".repeat(MOST_COMPONENTS + 1);

        assert!(Paths::new(std::iter::once(path.as_bytes())).is_err());
    }
}
