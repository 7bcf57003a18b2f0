//! Lists: what each stands for, and how it is put into a condition as text.

use std::collections::{BTreeSet, HashMap};

use super::exception::push_quoted;
use super::item::Word;
use super::place::{Report, Spot};
use super::traced::Traced;
use crate::parser::LONGEST;

/// A list as the files define it.
#[derive(Clone, Debug)]
pub(super) struct List {
    pub name: Word,
    pub items: Vec<Word>,
    /// Counts definitions and appends; an item names a list only if that list's `index` is smaller than this.
    pub index: u32,
    pub visibility: u32,
}

/// The lists of all files, ready to be put into conditions.
pub(super) struct Lists {
    lists: Vec<Expanded>,
    by_name: HashMap<Box<str>, usize>,
    /// Those whose name has a blank or a delimiter, so that it is no single word of a condition.
    odd: Vec<usize>,
    /// How many more bytes may be copied.
    work_left: usize,
    /// How many more bytes the conditions may have that are still to come.
    text_left: usize,
}

struct Expanded {
    name: Word,
    /// The items with their commas.
    text: String,
    is_used: bool,
}

/// Bytes that are copied while lists are put into all conditions: some seconds' worth.
const WORK: usize = 2 << 30;

/// The most bytes of all conditions together, with their lists; their trees take thirty times as much memory.
/// The rules of Falco have 25 000, without their macros.
const TOTAL: usize = 8 << 20;

/// Lists of lists of lists, … so deep.
const DEPTH: u32 = 64;

const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

fn is_delimiter(character: char) -> bool {
    BLANKS.contains(&character) || matches!(character, '(' | ')' | ',' | '=')
}

impl Lists {
    /// Expands lists that name other lists.
    pub fn new(lists: &[List], report: &mut Report) -> Self {
        let by_name: HashMap<Box<str>, usize> =
            lists.iter().enumerate().map(|(n, list)| (list.name.text.clone(), n)).collect();
        let mut expander = Expander {
            lists,
            by_name: &by_name,
            texts: vec![None; lists.len()],
            open: vec![false; lists.len()],
            used: vec![false; lists.len()],
            deep: Vec::new(),
            left: WORK / 16,
        };
        let mut expanded = Vec::new();
        for (n, list) in lists.iter().enumerate() {
            if let Err(message) = expander.expand(n, 0) {
                report.error(list.name.spot, format!("list '{}': {message}", list.name.text));
            }
        }
        for (spot, what) in expander.deep {
            let why = "Falco would take that name as a word wherever a third list names this one";
            report.warning(spot, format!("{what}; {why}"));
        }
        for ((list, text), is_used) in lists.iter().zip(expander.texts).zip(expander.used) {
            expanded.push(Expanded { name: list.name.clone(), text: text.unwrap_or_default(), is_used });
        }
        let odd = |n: &usize| expanded.get(*n).is_some_and(|list| list.name.text.contains(is_delimiter));
        let odd = (0..expanded.len()).filter(odd).collect();
        Self { lists: expanded, by_name, odd, work_left: WORK, text_left: TOTAL }
    }

    /// Puts the items of each list into a condition that names it.
    ///
    /// The error is a message.
    pub fn substitute(&mut self, condition: &Traced) -> Result<Traced, String> {
        let mut pending: BTreeSet<usize> = self.odd.iter().copied().collect();
        self.names(condition.text(), 0, &mut pending);
        let mut condition = condition.clone();
        while let Some(n) = pending.pop_first() {
            let Some(list) = self.lists.get_mut(n) else { break };
            let Some(left) = self.work_left.checked_sub(condition.len()) else {
                return Err("too many lists in conditions; no rule file has as many".to_owned());
            };
            self.work_left = left;
            let Some(replaced) = replace(&condition, &list.name.text, &list.text)? else { continue };
            list.is_used = true;
            self.work_left = self.work_left.saturating_sub(replaced.len());
            let text = std::mem::take(&mut list.text);
            self.names(&text, n + 1, &mut pending);
            if let Some(list) = self.lists.get_mut(n) {
                list.text = text;
            }
            condition = replaced;
        }
        let Some(left) = self.text_left.checked_sub(condition.len()) else {
            return Err(format!(
                "the conditions of all rules and macros are longer than {TOTAL} bytes together"
            ));
        };
        self.text_left = left;
        Ok(condition)
    }

    /// The lists from `first` on that a text names.
    fn names(&self, text: &str, first: usize, found: &mut BTreeSet<usize>) {
        let lists = text.split(is_delimiter).filter_map(|word| self.by_name.get(word).copied());
        found.extend(lists.filter(|n| *n >= first));
    }

    /// Lists that neither a condition nor another list names.
    pub fn unused(&self) -> impl Iterator<Item = &Word> {
        self.lists.iter().filter(|list| !list.is_used).map(|list| &list.name)
    }
}

struct Expander<'l> {
    lists: &'l [List],
    by_name: &'l HashMap<Box<str>, usize>,
    texts: Vec<Option<String>>,
    open: Vec<bool>,
    used: Vec<bool>,
    /// Items that name a list, in a list that another one names.
    deep: Vec<(Spot, String)>,
    left: usize,
}

impl Expander<'_> {
    fn expand(&mut self, n: usize, depth: u32) -> Result<(), String> {
        if self.texts.get(n).is_none_or(Option::is_some) {
            return Ok(());
        }
        if depth > DEPTH {
            return Err(format!("lists name each other more than {DEPTH} deep"));
        }
        let Some(list) = self.lists.get(n) else { return Ok(()) };
        self.open[n] = true;
        let mut text = Traced::default();
        let mut result = Ok(());
        for item in &list.items {
            let inner = self.by_name.get(&item.text).copied();
            let inner =
                inner.filter(|inner| self.lists[*inner].index < list.visibility && !self.open[*inner]);
            let comma = if text.len() == 0 { "" } else { ", " };
            if let Some(inner) = inner {
                self.used[inner] = true;
                if depth == 1 {
                    self.deep
                        .push((item.spot, format!("list '{}' names list '{}'", list.name.text, item.text)));
                }
                result = result.and(self.expand(inner, depth + 1));
                let items = self.texts[inner].as_deref().unwrap_or_default();
                if !items.is_empty() {
                    text.push(comma, item.spot);
                    text.push(items, item.spot);
                }
            } else {
                text.push(comma, item.spot);
                push_quoted(&mut text, item);
            }
            if text.len() > LONGEST {
                result = Err(format!("longer than {LONGEST} bytes with the lists that it names"));
                text = Traced::default();
                break;
            }
        }
        self.open[n] = false;
        let left = self.left.checked_sub(text.len());
        self.left = left.unwrap_or(0);
        if left.is_none() {
            text = Traced::default();
            result = Err("the lists name each other too often; no rule file does it as often".to_owned());
        }
        self.texts[n] = Some(text.text().to_owned());
        result
    }
}

/// Replaces each `name` that stands alone by `items`; `None` if there is none.
///
/// Blanks around the name go. A name that stands for nothing takes one comma along, the one in front if there
/// is one.
fn replace(condition: &Traced, name: &str, items: &str) -> Result<Option<Traced>, String> {
    let text = condition.text();
    if name.is_empty() {
        return Ok(None);
    }
    let mut replaced: Option<Traced> = None;
    let (mut copied, mut from) = (0, 0);
    while let Some(start) = text.get(from..).and_then(|rest| rest.find(name)).map(|at| from + at) {
        let mut end = start + name.len();
        // At the beginning of the text or, with a blank in front, behind a name that was replaced.
        let is_alone = (start == copied || text[..start].ends_with(is_delimiter))
            && (end == text.len() || text[end..].starts_with(is_delimiter));
        if !is_alone {
            from = start + text[start..].chars().next().map_or(1, char::len_utf8);
            continue;
        }
        let spot = condition.spot(start);
        let out = replaced.get_or_insert_default();
        out.push_part(condition, copied..start);
        out.trim_end(&BLANKS);
        end += text[end..].len() - text[end..].trim_start_matches(BLANKS).len();
        if items.is_empty() && !out.strip_suffix(',') && text[end..].starts_with(',') {
            end += 1;
        }
        if out.len() > 0 {
            out.push(" ", spot);
        }
        out.push(items, spot);
        out.push(" ", spot);
        if out.len() + text.len() - end > LONGEST {
            return Err(format!("longer than {LONGEST} bytes with the lists that it names"));
        }
        (copied, from) = (end, end);
    }
    if let Some(out) = &mut replaced {
        out.push_part(condition, copied..text.len());
    }
    Ok(replaced)
}

/// Where the name of a list that nothing uses stands.
pub(super) fn note_unused(lists: &Lists, report: &mut Report) {
    let unused: Vec<(Spot, String)> = lists
        .unused()
        .map(|name| (name.spot, format!("list '{}' is used by no rule, macro or list", name.text)))
        .collect();
    for (spot, message) in unused {
        report.note(spot, message);
    }
}
