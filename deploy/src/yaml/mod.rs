//! Edits YAML as text: the parts that do not change stay as they are, byte for byte.
//!
//! [`Documents::read`] gives the values of a text; the caller changes a copy of them; [`Documents::edited`]
//! compares the two and rewrites only the parts that differ. Comments, order, quotes, anchors, indentation,
//! style and the tags of CloudFormation survive everywhere else. JSON is YAML, and is edited alike.
//!
//! `tree` records where everything stands, `resolve` gives the values, `render` writes new parts, `edit` puts
//! them together. At the end the new text is read again. If its values are not the ones asked for, the result
//! is an error and never a wrong file.
//!
//! ```
//! let text = "app:   # ours\n  image: 'web'\n";
//! let documents = deploy::yaml::Documents::read(text)?;
//! let mut values = documents.values().to_vec();
//! values[0]["app"]["port"] = 80.into();
//!
//! assert_eq!("app:   # ours\n  image: 'web'\n  port: 80\n", documents.edited(&values)?);
//! # Ok::<(), deploy::Error>(())
//! ```

mod edit;
mod place;
mod render;
mod resolve;
mod tree;

use serde_json::Value;

use crate::Error;
use crate::change::Change;
use edit::Editor;
use place::{cannot, json, place};
use resolve::Resolver;
use tree::{Kind, Node};

/// The longest text that is read, in bytes. No deployment file is as long, and the text is held in memory
/// several times.
pub const LONGEST: usize = 16 << 20;

/// A text with its documents.
pub struct Documents<'t> {
    text: &'t str,
    roots: Vec<Node>,
    resolvers: Vec<Resolver<'t>>,
    values: Vec<Value>,
}

impl<'t> Documents<'t> {
    /// Reads all documents of a text; an empty one has a single null.
    ///
    /// # Errors
    /// [`Error::Malformed`], with line and column: a text that is not YAML, is too deep or too long, has a
    /// key twice or a key that is not a word, or is written in a way that cannot be followed.
    pub fn read(text: &'t str) -> Result<Self, Error> {
        if text.len() > LONGEST {
            let most = LONGEST >> 20;
            return Err(Error::Malformed(format!("longer than {most} MiB; no deployment file is")));
        }
        let mut documents =
            Self { text, roots: tree::read(text)?, resolvers: Vec::new(), values: Vec::new() };
        for root in &documents.roots {
            let mut resolver = Resolver::new(text);
            documents.values.push(resolver.value(root)?);
            documents.resolvers.push(resolver);
        }
        if let Some(value) = json(text) {
            documents.values = vec![value];
        }
        Ok(documents)
    }

    /// The value of each document.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The line of a value, from 1; `path` is a JSON pointer (RFC 6901) into the document. A value that is
    /// not there has the line of its nearest parent.
    pub fn line(&self, document: usize, path: &str) -> usize {
        let Some(mut node) = self.roots.get(document) else { return 1 };
        let mut at = node.start;
        for name in path.split('/').skip(1) {
            let name = name.replace("~1", "/").replace("~0", "~");
            let next = match &node.kind {
                Kind::Sequence { items, .. } => name
                    .parse()
                    .ok()
                    .and_then(|index: usize| items.get(index))
                    .map(|item| (item.start, &item.value)),
                Kind::Mapping { entries, .. } => entries
                    .iter()
                    .find(|entry| matches!(&entry.key.kind, Kind::Scalar { text, .. } if *text == name))
                    .map(|entry| (entry.start, &entry.value)),
                _ => None,
            };
            let Some((start, value)) = next else { break };
            (at, node) = (start, value);
        }
        place(self.text, at).0
    }

    /// The text changed so that its documents have the values `after`.
    ///
    /// # Errors
    /// [`Error::Refused`] if no edit can do that.
    pub fn edited(&self, after: &[Value]) -> Result<String, Error> {
        if after.len() != self.values.len() {
            return Err(Error::Refused("documents can be changed, but neither added nor removed".into()));
        }
        if !self.text.ends_with('\n') && self.values != after {
            return self.edited_with_end(after);
        }
        let mut editor = Editor::new(self.text, &self.roots);
        for (((root, resolver), before), after) in
            self.roots.iter().zip(&self.resolvers).zip(&self.values).zip(after)
        {
            let change = Change::between(before, after);
            if !change.is_none() {
                editor.document(root, resolver, &change)?;
            }
        }
        verified(editor.finish()?, after)
    }

    /// The same for a text whose last line has no end: it is edited with one, which is taken off afterwards.
    /// A block scalar that ends the text has no line feed at the end of its value; `-` in its header keeps it
    /// so where lines come behind it.
    fn edited_with_end(&self, after: &[Value]) -> Result<String, Error> {
        let line_feed = edit::line_feed(self.text);
        let mut text = format!("{}{line_feed}", self.text);
        let header = self.roots.last().and_then(|root| tree::open_block(self.text, root));
        if let Some(header) = header.clone() {
            text.replace_range(header, "-");
        }
        let with_end = Documents::read(&text)?.edited(after)?;
        let mut edited = with_end.strip_suffix(line_feed).unwrap_or(&with_end).to_owned();
        if let Some(header) = header {
            let at = header.start;
            let original = &self.text[header];
            // Nothing came in front of the header or behind the text: it is as it was.
            let tail = &self.text[at + original.len()..];
            if let Some(front) = edited.strip_suffix(tail).and_then(|front| front.strip_suffix('-')) {
                edited = format!("{front}{original}{tail}");
            }
        }
        // Where a block scalar has come to the end of the text, the last line feed is of its value.
        verified(edited, after).or_else(|_| verified(with_end, after))
    }
}

/// The text, if it has these values.
fn verified(text: String, after: &[Value]) -> Result<String, Error> {
    let says = Documents::read(&text).map(|documents| documents.values == after);
    match says {
        Ok(true) => Ok(text),
        Ok(false) => Err(cannot("the result would say something else")),
        Err(why) => Err(cannot(&format!("the result would be malformed: {why}"))),
    }
}

#[cfg(test)]
mod tests;
