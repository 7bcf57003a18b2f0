//! Rule files: YAML becomes a [`RuleSet`], and everything that is wrong is said with file, line and column.
//!
//! The way of a file: bytes → `yaml` (a tree with places) → `reader` (items) → `definitions` (what all
//! files say together) → `lists`, `exception` (text that knows its places) → `resolve` (conditions and
//! outputs).
//!
//! Files of a stranger are read: size, nesting, aliases, lists within lists and macros within macros are
//! bounded, and beyond a bound is an error.

mod definitions;
mod exception;
mod extras;
mod item;
mod lists;
mod place;
mod reader;
mod resolve;
mod traced;
mod version;
mod yaml;

use crate::ast::Expr;
use crate::compile::{Macros, Program};
use crate::examples::{self, Example};
use crate::field::Catalog;
use crate::format::Format;
use crate::window::Window;

pub use crate::priority::Priority;
pub use crate::problem::{Place, Problem, Severity};
pub use version::{ENGINE, Version};

use definitions::Definitions;
use item::{Budget, Context};
use place::{Lines, Report, Spot};

/// The longest file, in bytes. The longest of Falco's has 100 000.
pub const LONGEST: usize = 10 << 20;

/// How many bytes of text the values of all files may have together, aliases counted as often as they are
/// used.
const BUDGET: usize = 64 << 20;

/// The most files.
const FILES: usize = 10_000;

/// A rule file.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Its name in problems.
    pub name: &'a str,
    /// Its text.
    pub text: &'a [u8],
}

/// A rule that can be used.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name, which no other rule has.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The condition with its exceptions and lists, but not its macros.
    pub condition: String,
    /// The same, parsed.
    pub expr: Expr,
    /// The same, compiled, with its macros.
    pub program: Program,
    /// What an alert says; missing values show as `<NA>`.
    pub output: Format,
    /// The same as text.
    pub output_text: String,
    /// How urgent it is.
    pub priority: Priority,
    /// Where its events come from: `syscall`.
    pub source: String,
    /// In alphabetical order.
    pub tags: Vec<String>,
    /// Whether it is to be used.
    pub is_enabled: bool,
    /// Whether Falco would record the system calls around an alert.
    pub captures: bool,
    /// For how many milliseconds Falco would.
    pub capture_ms: Option<u64>,
    /// How often it must match before it fires.
    pub window: Option<Window>,
    /// What it is known to do.
    pub examples: Vec<Example>,
    /// Where it is defined, at last.
    pub place: Place,
}

/// The rules of some files, in the order of their first definition.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    /// Enabled or not.
    pub rules: Vec<Rule>,
    /// The macros that conditions name.
    pub macros: Macros,
    /// The latest version of Falco's engine that a file requires.
    pub required_engine: Option<Version>,
}

/// How an example went.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'r> {
    /// Its rule.
    pub rule: &'r Rule,
    /// The example.
    pub example: &'r Example,
    /// Whether the rule fired.
    pub fired: bool,
}

impl Outcome<'_> {
    /// Whether the rule did what the example says.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.fired == self.example.fires
    }
}

impl RuleSet {
    /// Runs the examples of all rules, of those that are not enabled too, each against its own rule alone.
    pub fn run_examples<'r>(&'r self, catalog: &'r dyn Catalog) -> impl Iterator<Item = Outcome<'r>> {
        let pairs =
            self.rules.iter().flat_map(|rule| rule.examples.iter().map(move |example| (rule, example)));
        pairs.map(|(rule, example)| {
            let fired = examples::fires(&rule.program, rule.window.as_ref(), example, catalog);
            Outcome { rule, example, fired }
        })
    }
}

/// What came of some files.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The rules without an error.
    pub rules: RuleSet,
    /// In the order of the files and of the places in them.
    pub problems: Vec<Problem>,
}

impl Loaded {
    /// Whether there is an error; Falco would not start.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }
}

/// Reads rule files, of which later ones add to and change earlier ones.
///
/// Rules that have an error are left out, and the others are there nevertheless: the caller decides whether
/// it goes on in spite of [`Loaded::has_errors`].
#[must_use]
pub fn load(sources: &[Source], catalog: &dyn Catalog) -> Loaded {
    let mut texts = Vec::new();
    let mut faults = Vec::new();
    for (n, source) in sources.iter().enumerate().take(FILES) {
        let file = u32::try_from(n).unwrap_or(u32::MAX);
        let text = match std::str::from_utf8(source.text) {
            _ if source.text.len() > LONGEST => {
                let message = format!("longer than {} MiB; no rule file is", LONGEST >> 20);
                faults.push((Spot { file, at: 0 }, message));
                ""
            }
            Ok(text) => text,
            Err(error) => {
                let at = error.valid_up_to();
                let spot = Spot { file, at: u32::try_from(at).unwrap_or(u32::MAX) };
                faults.push((spot, "not UTF-8".to_owned()));
                // The lines up to there, so that the place can be told.
                std::str::from_utf8(source.text.get(..at).unwrap_or_default()).unwrap_or_default()
            }
        };
        texts.push(text);
    }
    let lines = sources.iter().zip(&texts).map(|(source, text)| Lines::new(source.name, text)).collect();
    let mut report = Report::new(lines);
    let mut is_whole = faults.is_empty();
    for (spot, message) in &faults {
        report.error(*spot, message.as_str());
    }
    if sources.len() > FILES {
        report.error(Spot { file: 0, at: 0 }, format!("more than {FILES} rule files"));
    }
    let mut budget = Budget::new(BUDGET);
    let mut all = Definitions::default();
    for (file, text) in (0_u32..).zip(&texts) {
        if faults.iter().any(|(spot, _)| spot.file == file) {
            continue;
        }
        match yaml::read(text) {
            Ok(roots) => {
                let mut context = Context { file, text, report: &mut report, budget: &mut budget };
                reader::read(&mut context, &roots, catalog, &mut all);
            }
            Err(fault) => {
                report.error(Spot { file, at: fault.at }, fault.message);
                is_whole = false;
            }
        }
    }
    // Without a file that could not be read, the others would seem to lack what it defines.
    let rules = if is_whole { resolve::resolve(all, catalog, &mut report) } else { RuleSet::default() };
    Loaded { rules, problems: report.finish() }
}
