//! What the transformers make of values.

use std::borrow::Cow;

use crate::ast::Transformer;
use crate::field::Answer;

/// The value of a transformer; [`Answer::Absent`] where an argument has none, or where there is no such
/// value.
pub fn apply<'s>(function: Transformer, arguments: &[&Answer<'s>], selector: Option<u8>) -> Answer<'s> {
    let Some(first) = arguments.first() else { return Answer::Absent };
    match function {
        Transformer::ToLower => each_text(first, |text| Some(text.to_ascii_lowercase())),
        Transformer::ToUpper => each_text(first, |text| Some(text.to_ascii_uppercase())),
        Transformer::Basename => each_text(first, |text| Some(basename(text).to_vec())),
        Transformer::B64 => each_text(first, decode_base64),
        Transformer::Len => match first {
            Answer::List(list) => Answer::Uint(list.len() as u64),
            Answer::Text(text) => Answer::Uint(text.len() as u64),
            _ => Answer::Absent,
        },
        Transformer::Join => match (text(first), arguments.get(1)) {
            (Some(separator), Some(Answer::List(list))) => {
                let items: Vec<_> = list.iter().filter_map(text).collect();
                Answer::Text(Cow::Owned(items.join(&*separator)))
            }
            _ => Answer::Absent,
        },
        Transformer::Concat => {
            let parts: Option<Vec<_>> = arguments.iter().map(|argument| text(argument)).collect();
            parts.map_or(Answer::Absent, |parts| Answer::Text(Cow::Owned(parts.concat())))
        }
        Transformer::GetOpt => match (first, arguments.get(1).and_then(|options| text(options))) {
            (Answer::List(list), Some(options)) => get_options(list, &options, selector),
            _ => Answer::Absent,
        },
        Transformer::Val => (*first).clone(),
    }
}

/// Changes a text, or each text of a list.
fn each_text<'s>(value: &Answer<'_>, change: impl Fn(&[u8]) -> Option<Vec<u8>> + Copy) -> Answer<'s> {
    match value {
        Answer::Text(text) => change(text).map_or(Answer::Absent, |text| Answer::Text(Cow::Owned(text))),
        Answer::List(list) => {
            let list: Vec<Answer<'s>> = list.iter().map(|item| each_text(item, change)).collect();
            // libsinsp gives up where one element cannot be changed.
            if list.contains(&Answer::Absent) { Answer::Absent } else { Answer::List(list) }
        }
        _ => Answer::Absent,
    }
}

/// A scalar value as text.
fn text<'a>(value: &'a Answer<'_>) -> Option<Cow<'a, [u8]>> {
    Some(match value {
        Answer::Text(text) => Cow::Borrowed(text),
        Answer::Int(number) => Cow::Owned(number.to_string().into()),
        Answer::Uint(number) => Cow::Owned(number.to_string().into()),
        Answer::Bool(is) => Cow::Owned(is.to_string().into()),
        Answer::Address(address) => Cow::Owned(address.to_string().into()),
        Answer::Absent | Answer::Presumed(_) | Answer::List(_) => return None,
    })
}

fn basename(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(path, |slash| &path[slash + 1..])
}

/// Decodes Base64, with or without padding; nothing may follow the padding.
fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits = match text {
        [digits @ .., b'=', b'='] | [digits @ .., b'='] => digits,
        digits => digits,
    };
    let mut plain = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for digit in group {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        let bytes = (bits << (6 * (4 - group.len()) as u32)).to_be_bytes();
        match group.len() {
            2..=4 => plain.extend_from_slice(&bytes[1..group.len()]),
            // Six bits are no byte.
            _ => return None,
        }
    }
    Some(plain)
}

/// Reads the short options of `arguments` as getopt(3) does with `options`.
///
/// Without a selector the list has each option's letter and, behind it, its value; an option that `options`
/// does not have is `?`, and a value that is missing is empty. With a selector the answer is the last value
/// of that option, or its letter if it takes none. Long options are skipped; `--` and the first word that is
/// no option end the reading.
fn get_options<'s>(arguments: &[Answer<'s>], options: &[u8], selector: Option<u8>) -> Answer<'s> {
    let takes_value = |option: u8| {
        let at = options.iter().position(|known| *known == option && option != b':')?;
        Some(options.get(at + 1) == Some(&b':'))
    };
    let mut found: Vec<Vec<u8>> = Vec::new();
    let mut selected: Option<Vec<u8>> = None;
    let mut words = arguments.iter().filter_map(text);
    while let Some(word) = words.next() {
        match &*word {
            b"--" => break,
            [b'-', b'-', ..] => continue,
            [b'-', _, ..] => (),
            _ => break,
        }
        for (index, option) in word.iter().copied().enumerate().skip(1) {
            let Some(takes_value) = takes_value(option) else {
                found.push(b"?".to_vec());
                continue;
            };
            let is_selected = selector == Some(option);
            if !takes_value {
                found.push(vec![option]);
                selected = if is_selected { Some(vec![option]) } else { selected };
                continue;
            }
            let rest = &word[index + 1..];
            let value = if rest.is_empty() { words.next().map(Cow::into_owned) } else { Some(rest.to_vec()) };
            if value.is_some() {
                found.push(vec![option]);
            }
            let value = value.unwrap_or_default();
            found.push(value.clone());
            selected = if is_selected { Some(value) } else { selected };
            break;
        }
    }
    match selector {
        Some(_) => selected.map_or(Answer::Absent, |value| Answer::Text(Cow::Owned(value))),
        None => Answer::List(found.into_iter().map(|value| Answer::Text(Cow::Owned(value))).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(answer: Answer<'_>) -> String {
        match answer {
            Answer::Absent => "absent".into(),
            Answer::List(list) => list.into_iter().map(shown).collect::<Vec<_>>().join("|"),
            value => String::from_utf8_lossy(&text(&value).unwrap()).into_owned(),
        }
    }

    fn list(words: &str) -> Answer<'_> {
        Answer::List(words.split(' ').map(|word| Answer::Text(word.as_bytes().into())).collect())
    }

    fn one(function: Transformer, value: &str) -> String {
        shown(apply(function, &[&Answer::Text(value.as_bytes().into())], None))
    }

    #[test]
    fn texts_are_transformed() {
        let cases = [
            (Transformer::ToLower, "AbC1ÄÖ", "abc1ÄÖ"),
            (Transformer::ToUpper, "aBc1äö", "ABC1äö"),
            (Transformer::Basename, "/usr/bin/cat", "cat"),
            (Transformer::Basename, "cat", "cat"),
            (Transformer::Basename, "/usr/bin/", ""),
            (Transformer::Basename, "/", ""),
            (Transformer::Basename, "", ""),
            (Transformer::Len, "", "0"),
            (Transformer::Len, "äb", "3"),
            (Transformer::B64, "", ""),
            (Transformer::B64, "aGVsbG8=", "hello"),
            (Transformer::B64, "aGVsbG8", "hello"),
            (Transformer::B64, "aGVsbA==", "hell"),
            (Transformer::B64, "aGVsbA", "hell"),
            (Transformer::B64, "aGVs", "hel"),
            (Transformer::B64, "aGVsb", "absent"),
            (Transformer::B64, "aG*s", "absent"),
            (Transformer::B64, "aGVs bG8=", "absent"),
            (Transformer::Val, "same", "same"),
        ];
        for (function, value, expected) in cases {
            assert_eq!(expected, one(function, value), "{function}({value})");
        }
    }

    #[test]
    fn lists_are_transformed_element_by_element() {
        assert_eq!("a|b", shown(apply(Transformer::ToLower, &[&list("A B")], None)));
        assert_eq!("2", shown(apply(Transformer::Len, &[&list("A B")], None)));
        assert_eq!("absent", shown(apply(Transformer::B64, &[&list("aGVs *")], None)));
        assert_eq!("absent", shown(apply(Transformer::ToLower, &[&Answer::Uint(5)], None)));
        assert_eq!("absent", shown(apply(Transformer::ToLower, &[&Answer::Absent], None)));
    }

    #[test]
    fn texts_are_joined() {
        let (comma, name) = (Answer::Text(b", "[..].into()), Answer::Text(b"sh"[..].into()));

        assert_eq!("a, b, c", shown(apply(Transformer::Join, &[&comma, &list("a b c")], None)));
        assert_eq!("absent", shown(apply(Transformer::Join, &[&comma, &Answer::Absent], None)));
        assert_eq!("sh, 7", shown(apply(Transformer::Concat, &[&name, &comma, &Answer::Uint(7)], None)));
        assert_eq!("absent", shown(apply(Transformer::Concat, &[&name, &Answer::Absent], None)));
    }

    #[test]
    fn options_are_read_as_getopt_does() {
        let cases = [
            ("-a", "a", None, "a"),
            ("-ab", "ab", None, "a|b"),
            ("-a -b", "ab", None, "a|b"),
            ("-t 5", "t:", None, "t|5"),
            ("-t5", "t:", None, "t|5"),
            ("-at5 -b", "abt:", None, "a|t|5|b"),
            ("-t", "t:", None, ""),
            ("-x -a", "a", None, "?|a"),
            ("-a file -b", "ab", None, "a"),
            ("-a -- -b", "ab", None, "a"),
            ("-a - -b", "ab", None, "a"),
            ("--long -a", "a", None, "a"),
            ("-t -a", "at:", None, "t|-a"),
            ("-:", ":a:", None, "?"),
            ("-t 5 -t 6", "t:", Some(b't'), "6"),
            ("-a", "ab", Some(b'a'), "a"),
            ("-a", "ab", Some(b'b'), "absent"),
            ("-t", "t:", Some(b't'), ""),
            ("word", "a", None, ""),
        ];
        for (words, options, selector, expected) in cases {
            let options = Answer::Text(options.as_bytes().into());
            let answer = shown(apply(Transformer::GetOpt, &[&list(words), &options], selector));

            assert_eq!(expected, answer, "{words} by {options:?}");
        }
    }
}
