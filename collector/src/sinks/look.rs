//! How a text for people looks: colours, width, letters, how much of it, in which order.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::sync::OnceLock;

use rustix::fs::{FileType, fstat};
use rustix::termios::tcgetwinsize;

use super::text::Style;

/// How a page is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Whether it is coloured.
    pub style: Style,
    /// Columns of a terminal, beyond which lines are broken between words; `None` where nothing has an end.
    pub columns: Option<usize>,
    /// Lists are shown to their end: a file is searched, not read.
    pub is_whole: bool,
    /// Only letters of ASCII can be shown.
    pub is_ascii: bool,
    /// Lines of each list, where that is asked for.
    pub top: Option<usize>,
    /// What lists are sorted by.
    pub sort: Sort,
    /// The only part that is wanted; `None` for all.
    pub by: Option<By>,
}

/// What the lists of a page are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Files and peers by bytes, the most first; processes in the order in which they began.
    #[default]
    Bytes,
    /// Processes by duration, the longest first; else as by bytes.
    Time,
    /// What failed first.
    Failures,
    /// By name.
    Name,
}

impl Sort {
    /// All, with the words that are typed.
    pub const ALL: [(&str, Self); 4] =
        [("bytes", Self::Bytes), ("time", Self::Time), ("failures", Self::Failures), ("name", Self::Name)];
}

/// Whether a text has colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Color {
    /// On a terminal that wants them.
    #[default]
    Auto,
    /// Wherever it goes.
    Always,
    /// Nowhere.
    Never,
}

impl Color {
    /// All, with the words that are typed.
    pub const ALL: [(&str, Self); 3] =
        [("auto", Self::Auto), ("always", Self::Always), ("never", Self::Never)];
}

/// How the time of a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// The time of day in UTC, which a Z says.
    #[default]
    Utc,
    /// The time of day here.
    Local,
    /// Seconds since the first line.
    Relative,
    /// Seconds since the line before.
    Delta,
}

impl Clock {
    /// All, with the words that are typed.
    pub const ALL: [(&str, Self); 4] =
        [("utc", Self::Utc), ("local", Self::Local), ("relative", Self::Relative), ("delta", Self::Delta)];
}

/// What a page has, where not all of it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A line for each process, with what it did in numbers.
    Process,
    /// The files.
    File,
    /// The network.
    Peer,
    /// The alerts.
    Rule,
    /// What failed.
    Error,
    /// The tree of processes.
    Tree,
}

impl By {
    /// All, with the words that are typed.
    pub const ALL: [(&str, Self); 6] = [
        ("process", Self::Process),
        ("file", Self::File),
        ("peer", Self::Peer),
        ("rule", Self::Rule),
        ("error", Self::Error),
        ("tree", Self::Tree),
    ];
}

/// What is asked for of a text for people: options of its output, or of the command for all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Show {
    /// See [`Look::top`].
    pub top: Option<usize>,
    /// See [`Look::sort`].
    pub sort: Option<Sort>,
    /// Whether it has colours.
    pub color: Option<Color>,
    /// The time of each line.
    pub clock: Option<Clock>,
    /// What each line has, as an output of a rule.
    pub print: Option<String>,
    /// What a page has alone.
    pub by: Option<By>,
}

impl Show {
    /// These wishes, and others where they say nothing.
    pub fn or(self, others: &Self) -> Self {
        let Self { top, sort, color, clock, print, by } = self;
        Self {
            by: by.or(others.by),
            top: top.or(others.top),
            sort: sort.or(others.sort),
            color: color.or(others.color),
            clock: clock.or(others.clock),
            print: print.or_else(|| others.print.clone()),
        }
    }

    /// The names of what is asked for.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let Self { top, sort, color, clock, print, by } = self;
        [
            by.map(|_| "by"),
            top.map(|_| "top"),
            sort.map(|_| "sort"),
            color.map(|_| "color"),
            clock.map(|_| "time"),
            print.as_ref().map(|_| "print"),
        ]
        .into_iter()
        .flatten()
    }

    /// Only what has one of these names.
    pub fn only(mut self, names: &[&str]) -> Self {
        let has = |name| names.contains(&name);
        self.top = self.top.filter(|_| has("top"));
        self.sort = self.sort.filter(|_| has("sort"));
        self.color = self.color.filter(|_| has("color"));
        self.clock = self.clock.filter(|_| has("time"));
        self.print = self.print.filter(|_| has("print"));
        self.by = self.by.filter(|_| has("by"));
        self
    }
}

/// Where a text goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Surface {
    /// A terminal of so many columns.
    Terminal(usize),
    /// A file.
    File,
    /// A pipe, a socket, a receiver.
    #[default]
    Other,
}

/// The columns of the terminal behind stdout, where a pager stands between.
static BEHIND_PAGER: OnceLock<usize> = OnceLock::new();

impl Surface {
    /// What stdout leads to, through a pager if there is one.
    pub fn stdout() -> Self {
        BEHIND_PAGER.get().map_or_else(|| Self::of(std::io::stdout()), |columns| Self::Terminal(*columns))
    }

    /// Says that stdout leads to a terminal of so many columns from now on, through a pager.
    pub fn set_pager(columns: usize) {
        // There is one pager at most.
        let _ = BEHIND_PAGER.set(columns);
    }

    /// What a descriptor leads to.
    pub fn of(fd: impl AsFd) -> Self {
        /// Of a terminal that does not say.
        const USUAL: usize = 80;
        let fd = fd.as_fd();
        if rustix::termios::isatty(fd) {
            let columns = tcgetwinsize(fd).map_or(0, |size| usize::from(size.ws_col));
            return Self::Terminal(if columns == 0 { USUAL } else { columns });
        }
        let is_file =
            fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        if is_file { Self::File } else { Self::Other }
    }
}

/// Columns where none are given: of a pipe, which a log or another program reads.
const OF_A_PIPE: usize = 120;
/// The least that lines are broken at.
const NARROWEST: usize = 20;

impl Look {
    /// The look of a text that goes there, as it is asked for.
    ///
    /// Coloured on a terminal that wants colours (<https://no-color.org>).
    pub fn wanted(surface: Surface, show: &Show) -> Self {
        let wants_colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let is_coloured = match show.color.unwrap_or_default() {
            Color::Auto => wants_colours && matches!(surface, Surface::Terminal(_)),
            Color::Always => true,
            Color::Never => false,
        };
        let Show { top, sort, by, .. } = show;
        let look = Self::on(surface, Style::new(is_coloured));
        // Who asks for one part wants all of it.
        let is_whole = look.is_whole || by.is_some();
        Self { top: *top, sort: sort.unwrap_or_default(), by: *by, is_whole, ..look }
    }

    /// The look of a text that goes there.
    pub fn on(surface: Surface, style: Style) -> Self {
        let columns = match surface {
            Surface::Terminal(columns) => Some(columns.max(NARROWEST)),
            Surface::File | Surface::Other => None,
        };
        let is_whole = surface == Surface::File;
        let (top, sort, by) = (None, Sort::default(), None);
        Self { style, columns, is_whole, is_ascii: is_ascii(&locale()), top, sort, by }
    }

    /// How many entries of a list are shown, where `usual` are by default.
    pub fn most(self, usual: usize) -> usize {
        match self.top {
            Some(top) => top,
            None if self.is_whole => usize::MAX,
            None => usual,
        }
    }

    /// Columns for a text that has `taken` beside it.
    pub fn room(self, taken: usize) -> usize {
        const LEAST: usize = 16;
        match self.columns {
            Some(columns) => columns.saturating_sub(taken).max(LEAST),
            None if self.is_whole => usize::MAX,
            None => OF_A_PIPE.saturating_sub(taken).max(LEAST),
        }
    }
}

/// The locale of letters, by what the environment says: setlocale(3).
fn locale() -> OsString {
    let set = |name: &&str| std::env::var_os(name).filter(|value| !value.is_empty());
    ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(set).unwrap_or_default()
}

/// Whether a locale has letters of ASCII only. One that is not named at all says nothing of the terminal, as
/// in most containers.
fn is_ascii(locale: &OsString) -> bool {
    let name = locale.to_string_lossy().to_ascii_lowercase();
    !name.is_empty() && !name.contains("utf-8") && !name.contains("utf8")
}

/// Appends a page as the look wants it: with lines broken between words, and with letters of ASCII.
pub fn laid_out(look: Look, page: &[u8], out: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(page);
    for line in text.split_inclusive('\n') {
        match look.columns {
            Some(columns) => broken(line, columns, look.is_ascii, out),
            None => line.chars().for_each(|letter| push(letter, look.is_ascii, out)),
        }
    }
}

/// Appends a line with breaks between words, where it has more columns; what follows is indented.
fn broken(line: &str, columns: usize, is_ascii: bool, out: &mut Vec<u8>) {
    const INDENT: usize = 4;
    let own: usize = line.chars().take_while(|letter| *letter == ' ').count();
    let indent = (own + INDENT).min(columns / 2);
    let mut column = 0;
    let mut spaces = 0;
    let mut has_words = false;
    let mut rest = line.trim_end_matches('\n');
    while !rest.is_empty() {
        let blank = rest.len() - rest.trim_start_matches(' ').len();
        spaces += blank;
        rest = &rest[blank..];
        let word = &rest[..rest.find(' ').unwrap_or(rest.len())];
        rest = &rest[word.len()..];
        let width = width_of(word, is_ascii);
        if width > 0 && has_words && column + spaces + width > columns {
            out.push(b'\n');
            (column, spaces) = (0, indent);
        }
        out.resize(out.len() + spaces, b' ');
        column += spaces + width;
        spaces = 0;
        has_words |= word.chars().any(char::is_alphanumeric);
        word.chars().for_each(|letter| push(letter, is_ascii, out));
    }
    if line.ends_with('\n') {
        out.push(b'\n');
    }
}

/// The columns of a word, without the sequences that paint it.
fn width_of(word: &str, is_ascii: bool) -> usize {
    let mut width = 0;
    let mut letters = word.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\x1b' => letters.by_ref().take_while(|letter| *letter != 'm').for_each(drop),
            letter if letter.is_ascii() || !is_ascii => width += 1,
            letter => {
                let mut out = Vec::new();
                push(letter, is_ascii, &mut out);
                width += out.len();
            }
        }
    }
    width
}

/// Appends a letter, in ASCII where that is wanted.
fn push(letter: char, is_ascii: bool, out: &mut Vec<u8>) {
    if !is_ascii || letter.is_ascii() {
        return out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
    }
    let plain = match letter {
        '…' => "...",
        '×' => "x",
        'Σ' => "sum",
        'µ' => "u",
        '→' => "->",
        '←' => "<-",
        '✗' => "x",
        '├' => "|",
        '└' => "`",
        '│' => "|",
        '─' => "-",
        '−' => "-",
        letter => return out.extend(letter.escape_unicode().map(|letter| letter as u8)),
    };
    out.extend_from_slice(plain.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid(columns: Option<usize>, is_ascii: bool, page: &str) -> String {
        let look = Look { columns, is_ascii, ..Look::on(Surface::Other, Style::Plain) };
        let mut out = Vec::new();
        laid_out(look, page.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_broken_between_words_and_indented() {
        let page = "  ├─ make all -j 8 --keep-going  exit 2  2.0 ms\nshort\n";

        let expected = "  ├─ make all -j 8\n      --keep-going  exit 2\n      2.0 ms\nshort\n";
        assert_eq!(expected, laid(Some(26), false, page));
        assert_eq!(page, laid(Some(80), false, page));
        assert_eq!(page, laid(None, false, page));
    }

    #[test]
    fn word_that_is_wider_than_the_terminal_stays_whole_and_paint_takes_no_columns() {
        let long = format!("  {} b\n", "a".repeat(60));
        assert_eq!(format!("  {}\n      b\n", "a".repeat(60)), laid(Some(30), false, &long));

        let painted = "\x1b[31maaaa\x1b[0m bbbb cccc\n";
        assert_eq!("\x1b[31maaaa\x1b[0m bbbb cccc\n", laid(Some(20), false, painted));
    }

    #[test]
    fn locale_without_utf_8_gets_letters_of_ascii_alone() {
        let page = "  ├─ 3 × sh  Σ 9.0 µs … ä → b\n  └─ x\n";

        let text = laid(None, true, page);

        assert_eq!("  |- 3 x sh  sum 9.0 us ... \\u{e4} -> b\n  `- x\n", text);
        let of = |name: &str| is_ascii(&name.into());
        assert_eq!([true, true, false, false, false], ["C", "de_DE", "C.UTF-8", "en_US.utf8", ""].map(of));
    }

    #[test]
    fn lists_have_their_usual_length_but_in_a_file_or_where_one_is_asked_for() {
        let pipe = Look::on(Surface::Other, Style::Plain);
        let file = Look::on(Surface::File, Style::Plain);

        assert_eq!((8, usize::MAX), (pipe.most(8), file.most(8)));
        assert_eq!(3, Look { top: Some(3), ..file }.most(8));
    }
}
