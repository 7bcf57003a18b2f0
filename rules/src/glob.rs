//! Patterns of file names, as fnmatch(3) without flags reads them: `*` also matches `/`.

/// A pattern, made ready for matching.
#[derive(Clone, Debug)]
pub struct Glob {
    parts: Vec<Part>,
    ignores_case: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// This byte.
    Byte(u8),
    /// `?`
    Any,
    /// `*`
    Star,
    /// `[…]`: the bytes that it matches, one bit each.
    Set(Box<[u64; 4]>),
}

impl Glob {
    /// Reads a pattern. Every text is one: a `[` that is not closed means itself.
    pub fn new(pattern: &[u8], ignores_case: bool) -> Glob {
        let mut parts = Vec::with_capacity(pattern.len());
        let mut rest = pattern;
        while let [byte, tail @ ..] = rest {
            rest = tail;
            match byte {
                b'*' if parts.last() == Some(&Part::Star) => (),
                b'*' => parts.push(Part::Star),
                b'?' => parts.push(Part::Any),
                b'[' => match set(tail, ignores_case) {
                    Some((bytes, len)) => {
                        parts.push(Part::Set(Box::new(bytes)));
                        rest = &tail[len..];
                    }
                    None => parts.push(Part::Byte(b'[')),
                },
                b'\\' if !tail.is_empty() => {
                    parts.push(Part::Byte(fold(tail[0], ignores_case)));
                    rest = &tail[1..];
                }
                other => parts.push(Part::Byte(fold(*other, ignores_case))),
            }
        }
        Glob { parts, ignores_case }
    }

    /// Whether the whole text has the pattern. Takes at most as many steps as the product of both lengths.
    pub fn matches(&self, text: &[u8]) -> bool {
        let (mut part, mut at) = (0, 0);
        // Where to go on after the last star, if it takes one byte more.
        let mut star = None;
        while at < text.len() {
            match self.parts.get(part) {
                Some(Part::Star) => {
                    part += 1;
                    star = Some((part, at));
                    continue;
                }
                Some(one) if self.is_byte(one, text[at]) => {
                    part += 1;
                    at += 1;
                    continue;
                }
                _ => (),
            }
            let Some((after, from)) = star else { return false };
            star = Some((after, from + 1));
            (part, at) = (after, from + 1);
        }
        self.parts[part..].iter().all(|part| *part == Part::Star)
    }

    fn is_byte(&self, part: &Part, byte: u8) -> bool {
        match part {
            Part::Byte(expected) => *expected == fold(byte, self.ignores_case),
            Part::Any => true,
            Part::Star => false,
            Part::Set(bytes) => has(bytes, fold(byte, self.ignores_case)),
        }
    }
}

fn fold(byte: u8, ignores_case: bool) -> u8 {
    if ignores_case { byte.to_ascii_lowercase() } else { byte }
}

fn has(set: &[u64; 4], byte: u8) -> bool {
    set[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
}

/// Reads what follows a `[`: the bytes, and the length up to and with the `]`.
fn set(text: &[u8], ignores_case: bool) -> Option<([u64; 4], usize)> {
    let mut bytes = [0; 4];
    let mut add =
        |byte: u8| bytes[usize::from(fold(byte, ignores_case) >> 6)] |= 1 << (fold(byte, ignores_case) & 63);
    let is_negated = matches!(text.first(), Some(b'!' | b'^'));
    let first = usize::from(is_negated);
    let mut at = first;
    loop {
        let byte = *text.get(at)?;
        if byte == b']' && at > first {
            break;
        }
        if byte == b'['
            && text.get(at + 1) == Some(&b':')
            && let Some(len) = text[at + 2..].windows(2).position(|end| end == b":]")
        {
            let is_in = class(&text[at + 2..at + 2 + len])?;
            (0..=255).filter(is_in).for_each(&mut add);
            at += len + 4;
            continue;
        }
        let (low, len) = escaped(text, at)?;
        at += len;
        match text.get(at..at + 2) {
            Some([b'-', end]) if *end != b']' => {
                let (high, len) = escaped(text, at + 1)?;
                (low..=high).for_each(&mut add);
                at += 1 + len;
            }
            _ => add(low),
        }
    }
    if is_negated {
        bytes = bytes.map(|bits| !bits);
    }
    Some((bytes, at + 1))
}

/// A byte of a set, and how many bytes it is written with.
fn escaped(text: &[u8], at: usize) -> Option<(u8, usize)> {
    match text.get(at)? {
        b'\\' => Some((*text.get(at + 1)?, 2)),
        byte => Some((*byte, 1)),
    }
}

/// The test of a character class of POSIX, in the locale `C`.
fn class(name: &[u8]) -> Option<fn(&u8) -> bool> {
    Some(match name {
        b"alpha" => u8::is_ascii_alphabetic,
        b"digit" => u8::is_ascii_digit,
        b"alnum" => u8::is_ascii_alphanumeric,
        b"upper" => u8::is_ascii_uppercase,
        b"lower" => u8::is_ascii_lowercase,
        b"punct" => u8::is_ascii_punctuation,
        b"xdigit" => u8::is_ascii_hexdigit,
        b"cntrl" => u8::is_ascii_control,
        b"graph" => u8::is_ascii_graphic,
        b"print" => |byte| matches!(byte, b' '..=b'~'),
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"space" => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn patterns_match_whole_texts() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("", &[""], &["a"]),
            ("abc", &["abc"], &["ab", "abcd", "ABC", ""]),
            ("*", &["", "a", "/a/b"], &[]),
            ("**", &["", "a"], &[]),
            ("a*", &["a", "abc", "a/b"], &["", "ba"]),
            ("*a", &["a", "cba", "aa"], &["", "ab"]),
            ("*a*", &["a", "bab"], &["", "b"]),
            ("/etc/*/x", &["/etc/a/x", "/etc/a/b/x", "/etc//x"], &["/etc/x", "/etc/a/xy"]),
            ("a*b*c", &["abc", "aXbYc", "abcbc"], &["acb", "ab"]),
            ("*aab", &["aaab", "aabaab"], &["aaba"]),
            ("a?c", &["abc", "a/c"], &["ac", "abbc"]),
            ("???", &["abc"], &["ab", "abcd"]),
            ("[abc]", &["a", "b"], &["d", "", "ab"]),
            ("[a-c]x", &["ax", "cx"], &["dx", "-x"]),
            ("[!a-c]", &["d", "/"], &["a"]),
            ("[^a]", &["b"], &["a"]),
            ("[]]", &["]"], &["["]),
            ("[]-]", &["]", "-"], &["a"]),
            ("[!]]", &["a"], &["]"]),
            ("[a-]", &["a", "-"], &["b"]),
            ("[-a]", &["a", "-"], &["b"]),
            ("[\\]]", &["]"], &["\\"]),
            ("[[:digit:]x]", &["5", "x"], &["a", ":"]),
            ("[[:alpha:]]*", &["a5"], &["5a"]),
            ("[a", &["[a"], &["a"]),
            ("[", &["["], &[""]),
            ("a\\*", &["a*"], &["ab", "a\\*"]),
            ("\\[a]", &["[a]"], &["a"]),
            ("a\\", &["a\\"], &["a"]),
            ("[c-a]", &[], &["a", "b", "c"]),
        ];
        for (pattern, matching, others) in cases {
            let glob = Glob::new(pattern.as_bytes(), false);
            for text in *matching {
                assert!(glob.matches(text.as_bytes()), "{pattern} {text}");
            }
            for text in *others {
                assert!(!glob.matches(text.as_bytes()), "{pattern} {text}");
            }
        }
    }

    #[test]
    fn the_case_of_letters_is_ignored_on_request() {
        for (pattern, text) in
            [("aBc*", "AbCd"), ("[a-c]", "B"), ("[!A]", "b"), ("[[:upper:]]", "a"), ("\\A", "a")]
        {
            assert!(Glob::new(pattern.as_bytes(), true).matches(text.as_bytes()), "{pattern}");
        }
        assert!(!Glob::new(b"[!A]", true).matches(b"a"));
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let glob = Glob::new("a*".repeat(2000).as_bytes(), false);

        assert!(!glob.matches("a".repeat(1999).as_bytes()));
        assert!(glob.matches("a".repeat(5000).as_bytes()));
    }
}
