//! Rust's text as tokens, as far as `circles` and `unsafe` need them: words and punctuation, without
//! comments, strings and characters.

/// A word, `::`, or one character of punctuation.
#[derive(Clone, Debug)]
pub struct Token {
    pub text: String,
    /// From 1.
    pub line: usize,
}

impl Token {
    /// Whether it is an identifier or a keyword.
    pub fn is_word(&self) -> bool {
        self.text.starts_with(is_word)
    }
}

/// Reads a text that the compiler takes.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            _ if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => block_comment(rest),
            _ if string_start(rest).is_some() => string_start(rest).map_or(1, |start| string(rest, start)),
            '\'' => character(rest),
            _ if is_word(first) => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                found.push(Token { text: rest[..length].to_owned(), line });
                length
            }
            _ if rest.starts_with("::") => {
                found.push(Token { text: "::".into(), line });
                2
            }
            _ => {
                if !first.is_whitespace() {
                    found.push(Token { text: first.into(), line });
                }
                first.len_utf8()
            }
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of a block comment, with those inside it.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// How a string begins: the number of `#` of a raw one, and the length up to its content.
fn string_start(text: &str) -> Option<(Option<usize>, usize)> {
    let after = text.trim_start_matches(['b', 'c']);
    let prefix = text.len() - after.len();
    if prefix > 1 {
        return None;
    }
    if after.starts_with('"') {
        return Some((None, prefix + 1));
    }
    let hashes = after.strip_prefix('r')?;
    let count = hashes.len() - hashes.trim_start_matches('#').len();
    hashes[count..].starts_with('"').then_some((Some(count), prefix + 1 + count + 1))
}

/// The whole length of a string.
fn string(text: &str, (hashes, start): (Option<usize>, usize)) -> usize {
    let inside = &text[start..];
    match hashes {
        Some(count) => {
            let end = format!("\"{}", "#".repeat(count));
            inside.find(&end).map_or(text.len(), |at| start + at + end.len())
        }
        None => {
            let mut is_escaped = false;
            let end = inside.find(|c| {
                let is_end = c == '"' && !is_escaped;
                is_escaped = c == '\\' && !is_escaped;
                is_end
            });
            end.map_or(text.len(), |at| start + at + 1)
        }
    }
}

/// The length of a character, or of the mark before a lifetime.
fn character(text: &str) -> usize {
    let mut inside = text.chars().skip(1);
    match (inside.next(), inside.next()) {
        (Some('\\'), Some(escaped)) => {
            let start = 2 + escaped.len_utf8();
            text[start..].find('\'').map_or(text.len(), |at| start + at + 1)
        }
        (Some(c), Some('\'')) => 2 + c.len_utf8(),
        _ => 1,
    }
}

/// The item at the beginning of `tokens`, with its attributes, if an attribute leaves it to tests.
pub fn is_test_only(tokens: &[Token]) -> Option<&[Token]> {
    let (attribute, _) = attribute(tokens)?;
    let words: Vec<&str> = attribute.iter().map(|token| token.text.as_str()).collect();
    let is_for_tests = words.get(2) == Some(&"cfg") && words.contains(&"test") && !words.contains(&"not");
    is_for_tests.then(|| {
        let mut at = 0;
        while let Some((_, length)) = self::attribute(&tokens[at..]) {
            at += length;
        }
        let (mut depth, mut end) = (0_usize, tokens.len());
        for (index, token) in tokens.iter().enumerate().skip(at) {
            match token.text.as_str() {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth = depth.saturating_sub(1),
                _ => {}
            }
            // A `use` goes on behind its brace.
            let is_use = tokens[at..index].iter().any(|token| token.text == "use");
            if depth == 0 && (token.text == ";" || (token.text == "}" && !is_use)) {
                end = index + 1;
                break;
            }
        }
        &tokens[..end]
    })
}

/// `#[…]` at the beginning, and its length.
fn attribute(tokens: &[Token]) -> Option<(&[Token], usize)> {
    let [first, second, ..] = tokens else { return None };
    if first.text != "#" || second.text != "[" {
        return None;
    }
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "[" => depth += 1,
            "]" if depth == 1 => return Some((&tokens[..=index], index + 1)),
            "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> String {
        tokens(text).into_iter().map(|token| token.text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_strings_and_characters_are_no_tokens() {
        let text = "a /* b /* c */ d */ \"e\\\"f\" r#\"g\"h\"# b'i' '\\'' '\"' // j\n'k: l::m br\"n\" c\"o\"";

        assert_eq!("a b k : l :: m", texts(text));
    }

    #[test]
    fn an_item_of_tests_ends_with_its_brace_or_semicolon() {
        for (text, length) in [
            ("#[cfg(test)] mod a { { } } b", 13),
            ("#[cfg(test)] #[path = \"x\"] mod a; b", 15),
            ("#[cfg(all(test, loom))] use a::{b, c}; d", 21),
            ("#[cfg(test)] fn f() -> [u8; 2] { x } y", 21),
        ] {
            assert_eq!(Some(length), is_test_only(&tokens(text)).map(<[Token]>::len), "{text}");
        }
        assert!(is_test_only(&tokens("#[cfg(not(test))] mod a {}")).is_none());
    }
}
