//! Redaction: secrets in the texts of events become `[redacted]`, before any output or recording has them.
//!
//! This stage stands behind the rules, which see the real texts, and before [`super::judge::tell`], which
//! writes the alerts' messages. So it is the only place where secrets are taken out. docs/redaction.md lists
//! the shapes; their tables are in `redact/`.
//!
//! A text without a hint of a secret costs one scan, and a program's arguments one for all of its events.

mod clients;
mod marks;
mod names;
#[cfg(test)]
mod tests;
mod tokens;
mod words;

use std::sync::{Arc, LazyLock, Weak};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use rustc_hash::FxHashMap;

use self::marks::{Marks, REDACTED};
use super::Stage;
use crate::event::{Batch, Circumstances, Program, TextKind, Who};

/// A text is looked through again after a change, so often at most; then it is replaced as a whole.
const MOST_ROUNDS: usize = 8;

/// The stage.
pub fn stage() -> Stage {
    let (mut programs, mut whos, mut clean) = (Cache::default(), Cache::default(), Clean::default());
    Box::new(move |mut batch: Batch| {
        batch.change_texts(|kind, text| {
            if kind == TextKind::Plain && clean.has(text) {
                return None;
            }
            let changed = redacted(kind, text);
            if kind == TextKind::Plain && changed.is_none() {
                clean.keep(text);
            }
            changed
        });
        for who in &mut batch.whos {
            let changed = whos.changed(who, |who| of_who(who, &mut programs));
            if let Some(changed) = changed {
                *who = changed;
            }
        }
        Some(batch)
    })
}

/// The text without its secrets; `None` where it has none.
pub fn redacted(kind: TextKind, text: &[u8]) -> Option<Vec<u8>> {
    let hints = if kind == TextKind::List { &*LIST_HINTS } else { &*HINTS };
    if !hints.is_match(text) {
        return None;
    }
    let mut changed: Option<Vec<u8>> = None;
    for _ in 0..MOST_ROUNDS {
        let text = changed.as_deref().unwrap_or(text);
        let mut marks = Marks::default();
        match kind {
            TextKind::Plain => words::mark_text(text, 0, text.len(), &mut marks),
            TextKind::List => words::mark_list(text, &mut marks),
            TextKind::Map => words::mark_map(text, &mut marks),
        }
        match marks.apply(text) {
            Some(next) => changed = Some(next),
            None => return changed,
        }
    }
    let strings = text.iter().filter(|byte| **byte == 0 && kind != TextKind::Plain).count();
    Some(match strings {
        0 => REDACTED.to_vec(),
        strings => [REDACTED, b"\0"].concat().repeat(strings),
    })
}

/// What every secret has in it, or before it. Most texts have none of these.
static HINTS: LazyLock<AhoCorasick> = LazyLock::new(|| hints(tokens::hints().chain(NAMES)));

/// The same of argument vectors, where short options of some programs have secrets too.
static LIST_HINTS: LazyLock<AhoCorasick> =
    LazyLock::new(|| hints(tokens::hints().chain(NAMES).chain(clients::programs())));

/// A part of every name in `names`.
const NAMES: [&str; 7] = ["pass", "pwd", "secret", "token", "key", "auth", "credential"];

fn hints(texts: impl Iterator<Item = &'static str>) -> AhoCorasick {
    let builder = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .kind(Some(AhoCorasickKind::DFA))
        .build(texts);
    // Constants, and few: the tests build it.
    #[allow(clippy::expect_used, reason = "the patterns are constants, which a test builds")]
    builder.expect("the patterns fit")
}

/// Texts without secrets that came lately: a path is told of when it is opened, when it is closed, and by the
/// next program again.
#[derive(Debug)]
struct Clean(Vec<Vec<u8>>);

impl Default for Clean {
    fn default() -> Self {
        Self(vec![Vec::new(); Self::PLACES])
    }
}

impl Clean {
    const PLACES: usize = 256;
    /// Longer texts are not kept.
    const LONGEST: usize = 256;

    /// The place of a text, by its end.
    fn place(text: &[u8]) -> usize {
        let end = text.last_chunk().map_or(0, |end| u64::from_le_bytes(*end));
        let mixed = (end ^ text.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> (u64::BITS - Self::PLACES.ilog2())) as usize
    }

    fn has(&self, text: &[u8]) -> bool {
        self.0.get(Self::place(text)).is_some_and(|known| known == text)
    }

    fn keep(&mut self, text: &[u8]) {
        if text.len() <= Self::LONGEST
            && let Some(known) = self.0.get_mut(Self::place(text))
        {
            known.clear();
            known.extend_from_slice(text);
        }
    }
}

fn of_who(who: &Who, programs: &mut Cache<Program>) -> Option<Who> {
    let program = of_program(&who.program, programs);
    let cwd = redacted(TextKind::Plain, &who.circumstances.cwd);
    if program.is_none() && cwd.is_none() {
        return None;
    }
    let cwd = cwd.map_or_else(|| Arc::clone(&who.circumstances.cwd), Arc::from);
    let circumstances = Circumstances { cwd, ..who.circumstances.clone() };
    let program = program.unwrap_or_else(|| Arc::clone(&who.program));
    Some(Who { program, circumstances, ..who.clone() })
}

/// The program without secrets; its ancestors are asked first. `None` where nothing changes.
fn of_program(program: &Arc<Program>, programs: &mut Cache<Program>) -> Option<Arc<Program>> {
    if let Some(known) = programs.get(program) {
        return known;
    }
    let parent = program.parent.as_ref().and_then(|parent| of_program(parent, programs));
    let exe = redacted(TextKind::Plain, &program.exe);
    let argv = redacted(TextKind::List, &program.argv);
    let is_changed = parent.is_some() || exe.is_some() || argv.is_some();
    let changed = is_changed.then(|| {
        let text =
            |changed: Option<Vec<u8>>, was: &Arc<[u8]>| changed.map_or_else(|| Arc::clone(was), Arc::from);
        let (exe, argv) = (text(exe, &program.exe), text(argv, &program.argv));
        let parent = parent.or_else(|| program.parent.clone());
        Program::new(program.pid, exe, argv, parent).with(program.facts)
    });
    programs.keep(program, changed.clone());
    changed
}

/// What became of values that many events share. An entry holds no memory of its value's account, and goes
/// once the value is gone.
#[derive(Debug)]
struct Cache<T> {
    known: FxHashMap<usize, (Weak<T>, Option<Arc<T>>)>,
    /// It is cleaned when it has so many.
    enough: usize,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self { known: FxHashMap::default(), enough: Self::LEAST }
    }
}

impl<T> Cache<T> {
    const LEAST: usize = 256;

    /// What became of the value, if that is known: `None` within for no change. As long as there is an entry,
    /// no other value is at its address.
    fn get(&self, value: &Arc<T>) -> Option<Option<Arc<T>>> {
        self.known.get(&Arc::as_ptr(value).addr()).map(|(_, changed)| changed.clone())
    }

    fn keep(&mut self, value: &Arc<T>, changed: Option<Arc<T>>) {
        if self.known.len() >= self.enough {
            self.known.retain(|_, (value, _)| value.strong_count() > 0);
            self.enough = Self::LEAST.max(2 * self.known.len());
        }
        self.known.insert(Arc::as_ptr(value).addr(), (Arc::downgrade(value), changed));
    }

    fn changed(&mut self, value: &Arc<T>, change: impl FnOnce(&T) -> Option<T>) -> Option<Arc<T>> {
        match self.get(value) {
            Some(known) => known,
            None => {
                let changed = change(value).map(Arc::new);
                self.keep(value, changed.clone());
                changed
            }
        }
    }
}
