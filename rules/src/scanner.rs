//! The words of a condition, taken from its front one at a time.
//!
//! There is no list of tokens: the parser asks whether the text continues with a certain word, and each
//! question that is answered with yes moves the position. So `contains` may be an operator in one place and
//! the name of a macro in another, and a name may begin with the letters of an operator. libsinsp works the
//! same way, and accepts what it does because of it (libs, `userspace/libsinsp/filter/parser.h`).

/// A text and the place up to which it has been read.
#[derive(Debug)]
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// Why a quoted string cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub enum BadString {
    /// No quotation mark begins here, or none ends it.
    None,
    /// A backslash stands before this character.
    Escape(char),
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str) -> Scanner<'a> {
        Scanner { text, at: 0 }
    }

    /// The byte at which the unread text begins.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Goes back to a place where the scanner was before.
    pub fn back_to(&mut self, at: usize) {
        self.at = at;
    }

    /// The text from `start` to here.
    pub fn read_since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn take(&mut self, len: usize) -> Option<&'a str> {
        if len == 0 {
            return None;
        }
        let word = &self.text[self.at..self.at + len];
        self.at += len;
        Some(word)
    }

    /// Skips blanks; whether there was one.
    pub fn blanks(&mut self) -> bool {
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\x08' | b'\r' | b'\n');
        let len = self.rest().bytes().take_while(is_blank).count();
        self.at += len;
        len > 0
    }

    /// Takes `word`, if the text continues with it, whatever follows it.
    pub fn word(&mut self, word: &str) -> bool {
        let is_next = self.rest().starts_with(word);
        if is_next {
            self.at += word.len();
        }
        is_next
    }

    /// Takes `word` and the blanks behind it, of which there must be one.
    pub fn word_and_blank(&mut self, word: &str) -> bool {
        let start = self.at;
        if self.word(word) && self.blanks() {
            return true;
        }
        self.at = start;
        false
    }

    /// Takes `not` and the white space behind it, of which there must be some.
    pub fn not_and_space(&mut self) -> bool {
        let Some(rest) = self.rest().strip_prefix("not") else { return false };
        let len = rest.bytes().take_while(|byte| is_space(*byte)).count();
        if len > 0 {
            self.at += "not".len() + len;
        }
        len > 0
    }

    /// Takes the name of a macro: a letter, then letters, digits and underscores.
    pub fn identifier(&mut self) -> Option<&'a str> {
        self.take(identifier_len(self.rest().as_bytes()))
    }

    /// Takes the name of a field: identifiers with dots between them, at least two.
    pub fn field_name(&mut self) -> Option<&'a str> {
        let rest = self.rest().as_bytes();
        let first = identifier_len(rest);
        let mut len = first;
        while len > 0 && rest.get(len) == Some(&b'.') {
            let next = identifier_len(&rest[len + 1..]);
            if next == 0 {
                break;
            }
            len += 1 + next;
        }
        if len == first {
            return None;
        }
        self.take(len)
    }

    /// Takes a field's argument that has no quotation marks.
    pub fn bare_argument(&mut self) -> Option<&'a str> {
        self.bare(|byte| !is_space(byte) && !b"[]\"'".contains(&byte))
    }

    /// Takes a value that has no quotation marks.
    pub fn bare_string(&mut self) -> Option<&'a str> {
        self.bare(|byte| !is_space(byte) && !b"()\"'=,".contains(&byte))
    }

    fn bare(&mut self, is_part: impl Fn(u8) -> bool) -> Option<&'a str> {
        let len = self.rest().bytes().take_while(|byte| is_part(*byte)).count();
        self.take(len)
    }

    /// Takes a number: hexadecimal digits behind `0x`, or a decimal number with an optional sign, fraction
    /// and exponent, which needs a sign of its own.
    pub fn number(&mut self) -> Option<&'a str> {
        let rest = self.rest().as_bytes();
        let digits = |from: usize| rest[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if let [b'0', b'x' | b'X', digit, ..] = rest
            && digit.is_ascii_hexdigit()
        {
            return self.take(2 + rest[2..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count());
        }
        let mut len = usize::from(matches!(rest.first(), Some(b'+' | b'-')));
        let whole = digits(len);
        if whole == 0 {
            return None;
        }
        len += whole;
        if rest.get(len) == Some(&b'.') {
            len += 1;
            len += digits(len);
        }
        if let [b'e' | b'E', b'+' | b'-', digit, ..] = &rest[len..]
            && digit.is_ascii_digit()
        {
            len += 2 + digits(len + 2);
        }
        self.take(len)
    }

    /// Takes a string in quotation marks of either kind, without its escapes.
    pub fn quoted_string(&mut self) -> Result<String, BadString> {
        let bytes = self.text.as_bytes();
        let Some(mark @ (b'"' | b'\'')) = bytes.get(self.at).copied() else { return Err(BadString::None) };
        let start = self.at + 1;
        let mut end = start;
        // The mark ends the string unless the byte before it is a backslash, even if that one is escaped
        // itself.
        loop {
            match bytes.get(end) {
                None | Some(0) => return Err(BadString::None),
                Some(byte) if *byte == mark && bytes[end - 1] != b'\\' => break,
                Some(_) => end += 1,
            }
        }
        self.at = end + 1;
        unescape(&self.text[start..end], char::from(mark)).map_err(BadString::Escape)
    }
}

/// Replaces the escapes of a string between `mark`s; the error is the character behind the backslash.
fn unescape(text: &str, mark: char) -> Result<String, char> {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            plain.push(letter);
            continue;
        }
        // There is one: a mark behind a backslash does not end the string.
        let Some(escaped) = letters.next() else { break };
        plain.push(match escaped {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '\\' => '\\',
            // Not an escape, but found in old rules: a backslash, and the blank is lost.
            ' ' => '\\',
            '/' => '/',
            '"' | '\'' if escaped == mark => mark,
            other => return Err(other),
        });
    }
    Ok(plain)
}

/// The class `[:space:]` of POSIX.
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\x0b' | b'\x0c' | b'\r')
}

fn identifier_len(text: &[u8]) -> usize {
    if !text.first().is_some_and(u8::is_ascii_alphabetic) {
        return 0;
    }
    text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count()
}
