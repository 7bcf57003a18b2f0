//! Falco's rules, each with a real program that fires it and one beside it that must not.
//!
//! The rows stand in one module for each of Falco's files. `tests/tests/falco_rules.rs` runs them ([`play`])
//! and compares them with the files; `cargo xtask gen-docs` makes docs/falco.md of them ([`page`]). The files
//! themselves are not in this repository ([`text_of`]).

mod deprecated;
#[path = "../../../rules/tests/falco_folder/mod.rs"]
mod falco_folder;
mod incubating;
mod page;
mod play;
mod sandbox;
mod stable;
mod task;

use std::path::PathBuf;

pub use falco_folder::{NOT_RUN, folder};
pub use page::page;
pub use play::{Outcome, enabled, play};
pub use task::Task;

/// A file of rules.
#[derive(Debug)]
pub struct File {
    /// Its name in Falco's repository.
    pub name: &'static str,
    /// The rules, in the order of the file.
    pub rows: &'static [Row],
    /// What a user sets beside the file, for the rules that ask for it: a file of overrides.
    pub tuning: &'static str,
}

/// All files.
pub const FILES: [File; 4] = [
    File { name: "falco_rules.yaml", rows: stable::ROWS, tuning: "" },
    File { name: "falco-incubating_rules.yaml", rows: incubating::ROWS, tuning: incubating::TUNING },
    File { name: "falco-sandbox_rules.yaml", rows: sandbox::ROWS, tuning: sandbox::TUNING },
    File { name: "falco-deprecated_rules.yaml", rows: deprecated::ROWS, tuning: deprecated::TUNING },
];

/// A rule, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The rule's name.
    pub rule: &'static str,
    /// The place of its programs.
    pub at: Place,
    /// The fact that must be known besides the place, in words; empty if there is none.
    pub needs: &'static str,
    /// What happens.
    pub proof: Proof,
}

/// Where the programs of a row run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the machine itself, below a root without the marks of a container.
    Host,
    /// In a container of an ECS task, of the image `registry.example/shop/web:1`, by the word of the task's
    /// metadata.
    Container,
    /// In a container of a pod of the namespace `shop`, whose collector has the variables that
    /// `glassbox patch k8s` gives it.
    Pod,
}

/// What is shown of a rule.
#[derive(Clone, Copy, Debug)]
pub enum Proof {
    /// It fires at one script, and not at another one.
    Fires {
        /// The script at which it fires.
        at: Script,
        /// The script at which it must not.
        not_at: Script,
    },
    /// It cannot fire, for this reason.
    CannotFire(&'static str),
}

/// A script of a shell that stops at the first failure, in an empty folder.
///
/// `nothing NAME` makes a program there that does nothing, `snake NAME` is Python and `shell NAME` a shell
/// under another name. `own FOLDERS SCRIPT` runs another script where these folders are its own and empty,
/// `at ADDRESS PROGRAM…` a program in a network of its own that has only this address, and
/// `meet ADDRESS PORT [PYTHON]` connects a program to itself there. It listens at all addresses: Falco's
/// `inbound` holds for a listener at one.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    /// What it does, in a few words of Markdown.
    pub says: &'static str,
    /// Its text.
    pub text: &'static str,
}

impl Row {
    /// A rule that fires at `text`, which does what it `says`.
    const fn fires(rule: &'static str, says: &'static str, text: &'static str) -> Self {
        let at = Script { says, text };
        Self { rule, at: Place::Host, needs: "", proof: Proof::Fires { at, not_at: at } }
    }

    /// A rule that cannot fire.
    const fn cannot_fire(rule: &'static str, why: &'static str) -> Self {
        Self { rule, at: Place::Host, needs: "", proof: Proof::CannotFire(why) }
    }

    /// The same, silent at `text`.
    const fn but_not(mut self, says: &'static str, text: &'static str) -> Self {
        if let Proof::Fires { not_at, .. } = &mut self.proof {
            *not_at = Script { says, text };
        }
        self
    }

    /// The same in a container.
    const fn in_container(mut self) -> Self {
        self.at = Place::Container;
        self
    }

    /// The same in a pod.
    const fn in_pod(mut self) -> Self {
        self.at = Place::Pod;
        self
    }

    /// The same where a fact is known.
    const fn where_known(mut self, fact: &'static str) -> Self {
        self.needs = fact;
        self
    }
}

/// The text of a file of Falco's, from the folder that `GLASSBOX_FALCO_RULES` names, or from
/// `../shared/falco-rules` beside the checkout; `None` where neither is there.
///
/// # Panics
/// If the folder is there and the file cannot be read.
pub fn text_of(file: &File) -> Option<(PathBuf, String)> {
    let path = folder()?.join(file.name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    Some((path, text))
}

/// The names of the rules in the text of a file.
pub fn names_in(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix("- rule: ")).map(str::trim)
}
