//! A mapping of a rule file, and its values by key.

use super::place::{Report, Spot};
use super::traced::Traced;
use super::yaml::{Kind, Node};

/// A scalar and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub text: Box<str>,
    pub spot: Spot,
}

/// A file while it is read.
pub(super) struct Context<'t, 'r> {
    pub file: u32,
    pub text: &'t str,
    pub report: &'r mut Report<'t>,
    pub budget: &'r mut Budget,
}

/// How much more may be read. Aliases make much of little.
pub(super) struct Budget {
    left: usize,
}

impl Budget {
    /// Enough for `bytes` of text; each value costs [`VALUE`] more.
    pub fn new(bytes: usize) -> Self {
        Self { left: bytes }
    }

    /// Whether there is enough left for one more value.
    pub fn take(&mut self, text_len: usize) -> bool {
        self.left = self.left.saturating_sub(text_len + VALUE);
        self.left > 0
    }
}

const VALUE: usize = 32;

const TOO_MUCH: &str = "aliases make more values than any rule file has";

impl<'t> Context<'t, '_> {
    pub fn spot(&self, node: &Node) -> Spot {
        Spot { file: self.file, at: node.at }
    }

    /// Whether nothing more is to be read: too much is wrong, or there is too much.
    pub fn is_done(&self) -> bool {
        self.report.is_full() || self.budget.left == 0
    }

    pub fn error(&mut self, node: &Node, message: impl Into<String>) {
        let spot = self.spot(node);
        self.report.error(spot, message);
    }

    pub fn warning(&mut self, node: &Node, message: impl Into<String>) {
        let spot = self.spot(node);
        self.report.warning(spot, message);
    }

    /// The text of a scalar, which must not be empty; `what` names it in an error.
    pub fn word(&mut self, node: &Node, what: &str) -> Option<Word> {
        let word = self.any_word(node, what)?;
        if word.text.is_empty() {
            self.error(node, format!("{what} must not be empty"));
            return None;
        }
        Some(word)
    }

    /// The text of a scalar, which may be empty.
    pub fn any_word(&mut self, node: &Node, what: &str) -> Option<Word> {
        let Some(scalar) = node.scalar() else {
            let message = match node.kind() {
                Kind::Null => format!("{what} is empty"),
                _ => format!("{what} must be a single value, not a list or a mapping"),
            };
            self.error(node, message);
            return None;
        };
        if !self.budget.take(scalar.text.len()) {
            self.error(node, TOO_MUCH);
            return None;
        }
        Some(Word { text: scalar.text.clone(), spot: self.spot(node.target()) })
    }

    /// The text of a scalar with the place of each byte.
    pub fn traced(&mut self, node: &Node, what: &str) -> Option<Traced> {
        let word = self.word(node, what)?;
        node.scalar().map(|scalar| Traced::scalar(scalar, word.spot, self.text))
    }

    pub fn flag(&mut self, node: &Node, what: &str) -> Option<bool> {
        let word = self.word(node, what)?;
        let flag = match word.text.as_ref() {
            "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => true,
            "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => false,
            other => {
                self.error(node, format!("{what} must be 'true' or 'false', not '{}'", cut(other)));
                return None;
            }
        };
        Some(flag)
    }

    pub fn number(&mut self, node: &Node, what: &str) -> Option<u64> {
        let word = self.word(node, what)?;
        let number = word.text.parse().ok();
        if number.is_none() {
            self.error(node, format!("{what} must be a number, not '{}'", cut(&word.text)));
        }
        number
    }

    /// The scalars of a list.
    pub fn words(&mut self, node: &Node, what: &str) -> Option<Vec<Word>> {
        let Kind::Sequence(items) = node.kind() else {
            self.error(node, format!("{what} must be a list"));
            return None;
        };
        let item = format!("an item of {what}");
        let mut words = Vec::new();
        let mut is_whole = true;
        for node in items {
            match self.any_word(node, &item) {
                Some(word) => words.push(word),
                None => is_whole = false,
            }
            if self.is_done() {
                return None;
            }
        }
        is_whole.then_some(words)
    }
}

/// A text from a file, short enough for a message.
pub(super) fn cut(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// A mapping.
#[derive(Clone, Copy)]
pub(super) struct Item<'n> {
    pub node: &'n Node,
    entries: &'n [(Node, Node)],
}

impl<'n> Item<'n> {
    /// `None` if the node is no mapping.
    pub fn new(node: &'n Node) -> Option<Self> {
        match node.kind() {
            Kind::Mapping(entries) => Some(Self { node, entries }),
            _ => None,
        }
    }

    /// The keys and values whose key is a word.
    pub fn entries(&self) -> impl Iterator<Item = (&'n str, &'n Node, &'n Node)> {
        self.entries.iter().filter_map(|(key, value)| Some((key.scalar()?.text.as_ref(), key, value)))
    }

    pub fn get(&self, name: &str) -> Option<&'n Node> {
        self.entries().find(|(key, ..)| *key == name).map(|(_, _, value)| value)
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Warns of keys that are not `known`, which are ignored, and of keys that are there twice.
    pub fn warn_of_keys(&self, context: &mut Context, what: &str, known: &[&str]) {
        let mut seen = std::collections::HashSet::new();
        for (key, _) in self.entries {
            if context.is_done() {
                return;
            }
            let Some(name) = key.scalar().map(|scalar| scalar.text.as_ref()) else {
                context.warning(key, format!("a key of {what} is no word, and is ignored"));
                continue;
            };
            if !seen.insert(name) {
                context.warning(key, format!("the key '{}' is there twice; the first one counts", cut(name)));
            } else if !known.contains(&name) {
                let hint = context.report.hint(name, known.iter().copied());
                context.warning(key, format!("unknown key '{}' of {what} is ignored{hint}", cut(name)));
            }
        }
    }
}
