//! Text for people: colours, quoting, sizes and durations; used by `human` and `summary`.
//!
//! Programs choose paths, arguments and host names. These go to terminals through [`quote`] alone, which lets
//! nothing through that a terminal acts upon.

use std::io::Write;

use deploy::visible::is_hidden;

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// Without colours.
    #[default]
    Plain,
    /// With ANSI colours.
    Coloured,
}

/// A colour or weight, as the parameters of ANSI's SGR sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Less important text.
    Dim,
    /// Headings.
    Bold,
    /// Failures and losses.
    Red,
    /// Processes, and things that are well.
    Green,
    /// Things that deserve a look.
    Yellow,
    /// Files.
    Blue,
    /// Network.
    Magenta,
    /// Programs.
    Cyan,
}

impl Style {
    /// The style for a destination that wants colours, or does not.
    pub fn new(is_coloured: bool) -> Self {
        if is_coloured { Self::Coloured } else { Self::Plain }
    }

    /// Appends what `write` appends, painted.
    pub fn paint(self, paint: Paint, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        if self == Self::Plain {
            return write(out);
        }
        out.extend_from_slice(match paint {
            Paint::Dim => b"\x1b[2m",
            Paint::Bold => b"\x1b[1m",
            Paint::Red => b"\x1b[31m",
            Paint::Green => b"\x1b[32m",
            Paint::Yellow => b"\x1b[33m",
            Paint::Blue => b"\x1b[34m",
            Paint::Magenta => b"\x1b[35m",
            Paint::Cyan => b"\x1b[36m",
        });
        write(out);
        out.extend_from_slice(b"\x1b[0m");
    }

    /// Appends painted text, which must have nothing in it that a program chose.
    pub fn text(self, paint: Paint, text: &str, out: &mut Vec<u8>) {
        self.paint(paint, out, |out| out.extend_from_slice(text.as_bytes()));
    }
}

/// Bytes that need no quotes.
static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        plain[byte as usize] =
            !matches!(byte, b'"' | b'\'' | b'\\' | b'`' | b'$' | b'|' | b';' | b'&' | b'<' | b'>');
        byte += 1;
    }
    plain
};

/// Appends `text`, cut to `most` characters; in double quotes if it holds anything but plain characters.
///
/// Bytes that are not UTF-8 become `\xNN`, characters that a terminal would act upon or not show, `\u{N}`.
/// Gives the columns that it takes; each character counts as one.
pub fn quote(text: &[u8], most: usize, out: &mut Vec<u8>) -> usize {
    if text.len() <= most && !text.is_empty() && text.iter().all(|byte| PLAIN[usize::from(*byte)]) {
        out.extend_from_slice(text);
        return text.len();
    }
    let start = out.len();
    let mut needs_quotes = text.is_empty();
    let mut columns = 0;
    let mut is_cut = false;
    'text: for chunk in text.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if columns >= most {
                is_cut = true;
                break 'text;
            }
            columns += letter_of(letter, &mut needs_quotes, out);
        }
        for byte in chunk.invalid() {
            if columns >= most {
                is_cut = true;
                break 'text;
            }
            needs_quotes = true;
            columns += written(out, |out| write!(out, "\\x{byte:02x}"));
        }
    }
    if is_cut {
        out.extend_from_slice("…".as_bytes());
        columns += 1;
    }
    if needs_quotes {
        out.insert(start, b'"');
        out.push(b'"');
        columns += 2;
    }
    columns
}

/// Appends one character; gives its columns.
fn letter_of(letter: char, needs_quotes: &mut bool, out: &mut Vec<u8>) -> usize {
    match letter {
        '\n' | '\t' | '\r' | '"' | '\\' => {
            *needs_quotes = true;
            out.extend(letter.escape_default().map(|letter| letter as u8));
            2
        }
        letter if is_hidden(letter) => {
            *needs_quotes = true;
            written(out, |out| write!(out, "\\u{{{:x}}}", u32::from(letter)))
        }
        letter => {
            *needs_quotes |= letter.is_ascii() && !PLAIN[letter as usize];
            out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            1
        }
    }
}

/// Appends ASCII; gives how many columns.
fn written(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> usize {
    let start = out.len();
    // A vector takes everything.
    let _ = write(out);
    out.len() - start
}

/// The words of a command, each ended by a NUL.
pub fn words_of(command: &[u8]) -> impl Iterator<Item = &[u8]> {
    let whole = command.strip_suffix(b"\0").unwrap_or(command);
    whole.split(|byte| *byte == 0).filter(move |_| !command.is_empty())
}

/// Appends spaces until `columns` are `width`; one at least.
pub fn pad(columns: usize, width: usize, out: &mut Vec<u8>) {
    out.resize(out.len() + width.saturating_sub(columns).max(1), b' ');
}

/// A number of bytes: `0 B`, `999 B`, `1.5 kB`, `20 MB`.
pub fn size(bytes: u64) -> String {
    scaled(bytes as f64, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB"])
}

/// A duration: `12 ns`, `1.5 ms`, `42 s`, `3 m 20 s`, `2 h 05 m`.
pub fn duration(nanoseconds: u64) -> String {
    let seconds = nanoseconds / 1_000_000_000;
    match seconds {
        0..100 => scaled(nanoseconds as f64, 1000.0, &["ns", "µs", "ms", "s"]),
        100..3600 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} m", seconds / 3600, seconds / 60 % 60),
    }
}

/// Three digits at most, in the largest unit that leaves one before the point.
fn scaled(mut number: f64, step: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while number >= step - 0.5 && unit + 1 < units.len() {
        number /= step;
        unit += 1;
    }
    let unit_name = units.get(unit).copied().unwrap_or_default();
    if unit == 0 || number >= 9.95 {
        format!("{number:.0} {unit_name}")
    } else {
        format!("{number:.1} {unit_name}")
    }
}

/// A count with its digits in groups: `1 234 567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// `1 file`, `2 files`, `1 process`, `2 processes`.
pub fn plural(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), ending(number, noun))
}

/// `… and 2 more files`.
pub fn more(number: u64, noun: &str) -> String {
    format!("… and {} more {noun}{}", count(number), ending(number, noun))
}

fn ending(number: u64, noun: &str) -> &'static str {
    match number {
        1 => "",
        _ if noun.ends_with('s') => "es",
        _ => "s",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::tests::Xorshift;

    fn quoted(text: &[u8]) -> String {
        let mut out = Vec::new();
        let columns = quote(text, 40, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.chars().count(), columns, "{text}");
        text
    }

    #[test]
    fn plain_text_stays_and_the_rest_is_quoted() {
        assert_eq!("/etc/passwd", quoted(b"/etc/passwd"));
        assert_eq!("/tmp/ä", quoted("/tmp/ä".as_bytes()));
        assert_eq!("\"\"", quoted(b""));
        assert_eq!("\"a b\"", quoted(b"a b"));
        assert_eq!("\"say \\\"no\\\"\"", quoted(b"say \"no\""));
        assert_eq!("\"a\\\\b\"", quoted(b"a\\b"));
    }

    #[test]
    fn terminal_escapes_become_visible() {
        assert_eq!("\"\\u{1b}[2J\\u{7}\"", quoted(b"\x1b[2J\x07"));
        assert_eq!("\"\\u{9b}31m\"", quoted("\u{9b}31m".as_bytes()));
        assert_eq!("\"a\\nb\\rc\\td\"", quoted(b"a\nb\rc\td"));
        assert_eq!("\"exe\\u{202e}gpj\"", quoted("exe\u{202e}gpj".as_bytes()));
        assert_eq!("\"\\xff\\x9b\"", quoted(b"\xff\x9b"));
    }

    #[test]
    fn long_text_is_cut_and_says_so() {
        let text = quoted(&[b'a'; 1000]);

        assert_eq!(format!("{}…", "a".repeat(40)), text);
    }

    #[test]
    fn no_bytes_at_all_reach_the_terminal_as_controls() {
        let mut random = Xorshift(99);
        for _ in 0..20_000 {
            let text: Vec<u8> = (0..random.next() % 24).map(|_| random.next() as u8).collect();

            let text = quoted(&text);

            assert!(!text.chars().any(is_hidden), "{text:?}");
        }
    }

    #[test]
    fn sizes_and_durations_have_three_digits_at_most() {
        assert_eq!(
            ["0 B", "999 B", "1.0 kB", "1.5 kB", "20 kB", "1.0 MB"].map(String::from),
            [size(0), size(999), size(1000), size(1540), size(20_400), size(999_999),]
        );
        assert_eq!(
            ["12 ns", "1.5 µs", "42 s", "3 m 20 s", "2 h 05 m"].map(String::from),
            [
                duration(12),
                duration(1_540),
                duration(42_000_000_000),
                duration(200_000_000_000),
                duration(7_510_000_000_000),
            ]
        );
    }

    #[test]
    fn counts_are_grouped_and_nouns_agree() {
        assert_eq!("1 234 567", count(1_234_567));
        assert_eq!(
            ["1 file", "0 files", "1 000 processes"].map(String::from),
            [plural(1, "file"), plural(0, "file"), plural(1000, "process")]
        );
    }
}
