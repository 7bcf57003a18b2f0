//! Makes text visible: characters that act upon what is around them, or do not show, are written as escapes.
//!
//! Programs, files and clients choose names. A name with U+202E in it turns around what stands behind it, and
//! a zero-width character makes two names look alike ("Trojan Source", CVE-2021-42574). [`is_hidden`] is the
//! one list of such characters; each encoding of the collector (JSON, text for terminals, messages) has one
//! function that asks it. [`visible`] is the one for messages and notes.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a character changes what is around it, or does not show where it stands: controls (C0, DEL, C1),
/// line separators, directions, joiners, fillers, selectors and tags.
///
/// From Unicode's general category Cf and the property Default_Ignorable_Code_Point, without the few format
/// characters that show as signs (U+0600 and kin).
pub fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The text in one line that shows whatever is in it: hidden characters become `\n`, `\t`, `\r` or
/// `\u{202e}`.
///
/// Text without them stays as it is, backslashes too: messages are for people, and are not parsed back. So
/// text that was made visible before does not change.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            // A string takes everything that is written to it.
            hidden if is_hidden(hidden) => drop(write!(shown, "\\u{{{:x}}}", u32::from(hidden))),
            letter => shown.push(letter),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Characters with which text has been made to look like another, and how they show.
    const HIDDEN: [(char, &str); 24] = [
        ('\0', "\\u{0}"),
        ('\n', "\\n"),
        ('\r', "\\r"),
        ('\t', "\\t"),
        ('\u{1b}', "\\u{1b}"),
        ('\u{7f}', "\\u{7f}"),
        ('\u{80}', "\\u{80}"),
        ('\u{9b}', "\\u{9b}"),
        ('\u{ad}', "\\u{ad}"),
        ('\u{61c}', "\\u{61c}"),
        ('\u{200b}', "\\u{200b}"),
        ('\u{200d}', "\\u{200d}"),
        ('\u{200e}', "\\u{200e}"),
        ('\u{200f}', "\\u{200f}"),
        ('\u{2028}', "\\u{2028}"),
        ('\u{2029}', "\\u{2029}"),
        ('\u{202a}', "\\u{202a}"),
        ('\u{202e}', "\\u{202e}"),
        ('\u{2066}', "\\u{2066}"),
        ('\u{2069}', "\\u{2069}"),
        ('\u{3164}', "\\u{3164}"),
        ('\u{feff}', "\\u{feff}"),
        ('\u{e0001}', "\\u{e0001}"),
        ('\u{e007f}', "\\u{e007f}"),
    ];

    #[test]
    fn each_hidden_character_becomes_its_escape() {
        for (letter, shown) in HIDDEN {
            assert_eq!(format!("a{shown}b"), visible(&format!("a{letter}b")), "{shown}");
        }
    }

    #[test]
    fn text_that_shows_stays_and_is_not_copied() {
        for text in ["", "/etc/passwd", "größe", "文件", "😀", "a\\nb", "\u{605}1"] {
            assert!(matches!(visible(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn text_made_visible_once_does_not_change_again() {
        let once = visible("a\u{202e}\nb\\").into_owned();

        assert_eq!(once, visible(&once));
    }
}
