//! Secrets that are known by how they look, whatever their name: tokens with a prefix, private keys,
//! passwords in addresses, and what follows `Authorization:` or `Bearer`.

use super::marks::{Marks, find_ignoring_case, is_blank, is_quote, quoted_len, run};

/// The characters of a token behind its prefix.
#[derive(Clone, Copy, Debug)]
enum Letters {
    /// Digits and capitals.
    Capitals,
    /// Digits, letters and `_`.
    Word,
    /// These and `-`.
    Dashed,
    /// These, `.`, `/`, `+` and `=`.
    Any,
}

impl Letters {
    fn has(self, byte: u8) -> bool {
        match self {
            Self::Capitals => byte.is_ascii_digit() || byte.is_ascii_uppercase(),
            Self::Word => byte.is_ascii_alphanumeric() || byte == b'_',
            Self::Dashed => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Self::Any => {
                byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'+' | b'=' | b'~')
            }
        }
    }
}

/// A kind of token: its prefix, the characters behind that, and how many there are at least.
struct Token(&'static str, Letters, usize);

use Letters::{Any, Capitals, Dashed, Word};

/// The kinds of tokens.
const TOKENS: &[Token] = &[
    // AWS: identifiers of access keys.
    Token("AKIA", Capitals, 16),
    Token("ASIA", Capitals, 16),
    Token("ABIA", Capitals, 16),
    Token("ACCA", Capitals, 16),
    // GitHub
    Token("ghp_", Word, 20),
    Token("gho_", Word, 20),
    Token("ghu_", Word, 20),
    Token("ghs_", Word, 20),
    Token("ghr_", Word, 20),
    Token("github_pat_", Word, 20),
    // GitLab
    Token("glpat-", Dashed, 16),
    Token("gldt-", Dashed, 16),
    Token("glrt-", Dashed, 16),
    Token("glptt-", Dashed, 16),
    Token("glcbt-", Dashed, 16),
    Token("glft-", Dashed, 16),
    Token("glsoat-", Dashed, 16),
    Token("glagent-", Dashed, 16),
    // Slack
    Token("xoxb-", Dashed, 10),
    Token("xoxp-", Dashed, 10),
    Token("xoxa-", Dashed, 10),
    Token("xoxr-", Dashed, 10),
    Token("xoxs-", Dashed, 10),
    Token("xoxe-", Dashed, 10),
    Token("xoxe.xox", Any, 10),
    Token("xapp-", Dashed, 10),
    // Stripe
    Token("sk_live_", Word, 10),
    Token("sk_test_", Word, 10),
    Token("rk_live_", Word, 10),
    Token("rk_test_", Word, 10),
    Token("whsec_", Any, 10),
    // Registries of packages and images
    Token("npm_", Word, 30),
    Token("pypi-AgE", Dashed, 20),
    Token("dckr_pat_", Dashed, 16),
    // Others
    Token("AIza", Dashed, 35),
    Token("ya29.", Any, 20),
    Token("SG.", Any, 40),
    Token("hf_", Word, 30),
    Token("sk-ant-", Dashed, 20),
    Token("sk-proj-", Dashed, 20),
    Token("sk-", Word, 32),
    Token("shpat_", Word, 20),
    Token("dop_v1_", Word, 20),
    Token("hvs.", Dashed, 20),
];

/// Texts behind which a secret stands, which stay.
const BEFORE: &[Token] = &[Token("hooks.slack.com/services/", Any, 20)];

/// What any of these tokens has in it, for a first look that ignores case.
pub fn hints() -> impl Iterator<Item = &'static str> {
    const OTHERS: [&str; 6] = ["eyJ", "-----BEGIN ", "://", "bearer", "basic", "authorization"];
    TOKENS.iter().chain(BEFORE).map(|token| token.0).chain(OTHERS)
}

/// Marks every such secret of `text` between `start` and `end`. In a `script`, blanks end a header's value.
pub fn mark(text: &[u8], start: usize, end: usize, is_script: bool, marks: &mut Marks) {
    let Some(part) = text.get(start..end) else { return };
    let mut marked = |from: usize, to: usize| marks.add(start + from, start + to);
    prefixed(part, &mut marked);
    json_web_tokens(part, &mut marked);
    private_keys(part, &mut marked);
    addresses(part, &mut marked);
    headers(part, is_script, &mut marked);
    schemes(part, &mut marked);
}

/// Whether a token may begin at `at`: not within a word.
fn is_start(text: &[u8], at: usize) -> bool {
    at == 0 || text.get(at - 1).is_none_or(|before| !before.is_ascii_alphanumeric() && *before != b'_')
}

fn prefixed(text: &[u8], marked: &mut impl FnMut(usize, usize)) {
    let mut done = 0;
    for (at, byte) in text.iter().enumerate() {
        let is_possible = at >= done && is_start(text, at) && byte.is_ascii_alphabetic();
        let rest = text.get(at..).unwrap_or_default();
        let ends = |token: &Token| {
            let behind = rest.strip_prefix(token.0.as_bytes())?;
            let len = run(behind, |byte| token.1.has(byte));
            // Identifiers of a fixed length are words of their own.
            let fits = if matches!(token.1, Capitals) { len == token.2 } else { len >= token.2 };
            let next = behind.get(len).copied();
            let is_end = next.is_none_or(|next| !next.is_ascii_alphanumeric());
            (fits && is_end).then_some(at + token.0.len() + len)
        };
        if is_possible && let Some(end) = TOKENS.iter().filter_map(ends).max() {
            marked(at, end);
            aws_secret(text, end, marked);
            done = end;
        }
        let behind = |token: &Token| Some((at + token.0.len(), ends(token)?));
        if is_possible && let Some((from, to)) = BEFORE.iter().find_map(behind) {
            marked(from, to);
            done = to;
        }
    }
}

/// The 40 characters of a secret key directly behind its identifier: `AKIA…:SECRET`.
fn aws_secret(text: &[u8], at: usize, marked: &mut impl FnMut(usize, usize)) {
    const LENGTH: usize = 40;
    let Some(behind) = text.get(at + 1..).filter(|_| matches!(text.get(at), Some(b':' | b',' | b'/'))) else {
        return;
    };
    if run(behind, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'+')) == LENGTH {
        marked(at + 1, at + 1 + LENGTH);
    }
}

/// `eyJ….eyJ….…`: RFC 7519, whose first two parts are JSON in base64url.
fn json_web_tokens(text: &[u8], marked: &mut impl FnMut(usize, usize)) {
    const LEAST: usize = 8;
    let part = |at: usize| run(text.get(at..).unwrap_or_default(), |byte| Dashed.has(byte));
    let mut done = 0;
    for at in find_all(text, b"eyJ").filter(|at| is_start(text, *at)) {
        if at < done {
            continue;
        }
        let first = at + part(at);
        // What begins within this part ends with it too.
        done = first;
        if first - at < LEAST || text.get(first) != Some(&b'.') {
            continue;
        }
        let second = first + 1 + part(first + 1);
        if second - first <= LEAST {
            continue;
        }
        let end = match text.get(second) {
            Some(b'.') => second + 1 + part(second + 1),
            _ => second,
        };
        marked(at, end);
        done = end;
    }
}

fn find_all<'a>(text: &'a [u8], wanted: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    text.windows(wanted.len()).enumerate().filter(move |(_, window)| *window == wanted).map(|(at, _)| at)
}

/// The lines between `-----BEGIN … PRIVATE KEY-----` and its end, or the end of the text.
fn private_keys(text: &[u8], marked: &mut impl FnMut(usize, usize)) {
    const MARK: &[u8] = b"PRIVATE KEY";
    const DASHES: &[u8] = b"-----";
    let mut done = 0;
    for at in find_all(text, b"-----BEGIN ") {
        if at < done {
            continue;
        }
        let label = at + b"-----BEGIN ".len();
        let rest = text.get(label..).unwrap_or_default();
        let len = run(rest, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ');
        let is_key = rest.get(..len).is_some_and(|label| label.windows(MARK.len()).any(|part| part == MARK));
        if !is_key || !rest.get(len..).is_some_and(|rest| rest.starts_with(DASHES)) {
            continue;
        }
        let from = label + len + DASHES.len();
        let behind = text.get(from..).unwrap_or_default();
        let to = find_all(behind, b"-----END").next().unwrap_or(behind.len());
        done = from + to;
        // Ends of lines stay, so that what is left looks like a key that was taken out.
        let blanks = run(behind, |byte| is_blank(byte) || byte == b'\\');
        let inner = behind.get(blanks..to).unwrap_or_default();
        let inner_end = inner.iter().rposition(|byte| !is_blank(*byte)).map_or(0, |last| last + 1);
        marked(from + blanks.min(to), from + blanks.min(to) + inner_end);
    }
}

/// `scheme://user:PASSWORD@host`.
fn addresses(text: &[u8], marked: &mut impl FnMut(usize, usize)) {
    let ends_word = |byte: u8| is_blank(byte) || is_quote(byte) || matches!(byte, b'<' | b'>');
    let last_at = |text: &[u8]| text.iter().rposition(|byte| *byte == b'@');
    let (mut word_end, mut looked, mut done) = (0, 0, 0);
    for at in find_all(text, b"://") {
        let from = at + 3;
        if from < done {
            continue;
        }
        let rest = text.get(from..).unwrap_or_default();
        if from >= word_end {
            word_end = from + run(rest, |byte| !ends_word(byte));
        }
        let word = rest.get(..word_end - from).unwrap_or_default();
        if from >= looked && last_at(word).is_none() {
            done = word_end;
            continue;
        }
        looked = word_end;
        let authority = word.get(..run(word, |byte| !matches!(byte, b'/' | b'?' | b'#'))).unwrap_or_default();
        let Some(colon) = authority.iter().position(|byte| *byte == b':') else { continue };
        // A password may have a slash in it, against the rules; a port is a number.
        let is_port = authority.get(colon + 1..).is_none_or(|port| port.iter().all(u8::is_ascii_digit));
        let end = match last_at(authority) {
            Some(end) => Some(end),
            None if is_port => None,
            None => last_at(word),
        };
        if let Some(end) = end.filter(|end| *end > colon) {
            marked(from + colon + 1, from + end);
            done = from + end;
        }
    }
}

/// What follows `Authorization:`, but for the scheme.
fn headers(text: &[u8], is_script: bool, marked: &mut impl FnMut(usize, usize)) {
    const NAME: &[u8] = b"authorization";
    let mut done = 0;
    for at in find_ignoring_case(text, NAME) {
        let mut from = at + NAME.len();
        if at < done {
            continue;
        }
        let skip = |from: usize, what: fn(u8) -> bool| from + run(text.get(from..).unwrap_or_default(), what);
        let is_mark = |byte: u8| is_quote(byte) || byte == b'\\';
        from = skip(from, is_mark);
        if !matches!(text.get(from), Some(b':' | b'=')) {
            continue;
        }
        from = skip(from + 1, is_blank);
        from = skip(from, is_mark);
        let scheme = skip(from, |byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let has_scheme = scheme > from && text.get(scheme).copied().is_some_and(|byte| byte == b' ');
        let is_list = has_scheme && !is_of_one_word(text.get(from..scheme).unwrap_or_default());
        let before = [from.checked_sub(1), name_start(text, at).checked_sub(1)];
        let quoted = before.into_iter().flatten().find_map(|at| {
            let quote = text.get(at).copied().filter(|byte| is_quote(*byte))?;
            Some((quote, at > 0 && text.get(at - 1) == Some(&b'\\')))
        });
        if has_scheme {
            from = skip(scheme, is_blank);
        }
        let rest = text.get(from..).unwrap_or_default();
        let ends = |byte: u8| {
            let ends_word = is_script && !is_list && (is_blank(byte) || is_quote(byte));
            ends_word || matches!(byte, b'\n' | b'\r' | 0)
        };
        let len = match quoted {
            Some((quote, is_escaped)) => quoted_len(rest, quote, is_escaped),
            None => run(rest, |byte| !ends(byte)),
        };
        marked(from, from + len);
        done = from + len;
    }
}

/// Where the name of a header begins that ends in the word at `at`: `Proxy-Authorization`.
fn name_start(text: &[u8], at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    let name = before.iter().rev().take(64).take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-');
    at - name.count()
}

/// Whether a word is a scheme of credentials.
pub fn is_scheme(word: &[u8]) -> bool {
    const OTHERS: [&str; 4] = ["digest", "hawk", "signature", "aws4-hmac-sha256"];
    is_of_one_word(word) || OTHERS.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}

/// Whether credentials of this scheme are one word.
pub fn is_of_one_word(scheme: &[u8]) -> bool {
    const SCHEMES: [&str; 6] = ["basic", "bearer", "token", "negotiate", "apikey", "ntlm"];
    SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known.as_bytes()))
}

/// `Bearer TOKEN` and `Basic TOKEN` anywhere.
fn schemes(text: &[u8], marked: &mut impl FnMut(usize, usize)) {
    for (scheme, is_it) in [(&b"bearer"[..], is_bearer as fn(&[u8]) -> bool), (b"basic", is_basic)] {
        for at in find_ignoring_case(text, scheme).filter(|at| is_start(text, *at)) {
            let behind = at + scheme.len();
            let blanks = run(text.get(behind..).unwrap_or_default(), is_blank);
            let from = behind + blanks;
            let rest = text.get(from..).unwrap_or_default();
            let token = rest.get(..run(rest, |byte| Any.has(byte))).unwrap_or_default();
            if blanks > 0 && is_it(token) {
                marked(from, from + token.len());
            }
        }
    }
}

/// Whether a word behind `Bearer` is a token: no word of a sentence is that long, or has digits.
pub fn is_bearer(word: &[u8]) -> bool {
    let is_token = word.iter().all(|byte| Any.has(*byte));
    is_token && (word.len() >= 16 || word.len() >= 8 && word.iter().any(u8::is_ascii_digit))
}

/// Whether a word is `user:password` in base64.
pub fn is_basic(word: &[u8]) -> bool {
    let digits: Vec<u8> = word.iter().map_while(|byte| digit(*byte)).collect();
    let padding = word.get(digits.len()..).unwrap_or_default();
    let is_base64 = padding.len() <= 2 && padding.iter().all(|byte| *byte == b'=');
    let has_colon = digits.chunks(4).any(|group| {
        let number = group.iter().fold(0_u32, |number, digit| number << 6 | u32::from(*digit));
        let number = number << (6 * (4 - group.len()));
        let [_, bytes @ ..] = number.to_be_bytes();
        bytes.get(..group.len().saturating_sub(1)).is_some_and(|bytes| bytes.contains(&b':'))
    });
    is_base64 && digits.len() >= 4 && has_colon
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}
