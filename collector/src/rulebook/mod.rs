//! `glassbox rules`: which rules there are, what is wrong with files of them, and why one matches an event or
//! does not.

mod event;
mod explain;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rules::file::{Loaded, Problem, Rule, Severity};

use crate::json;
use crate::settings::rule_files::RuleFiles;
use crate::shell::failure::Failure;
use crate::stages::default_rules::PREFIX;
use crate::stages::fields::FIELDS;

/// Writes all rules with priority, name, tags and place; one object a line with `is_json`.
pub fn list(files: &RuleFiles, is_json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let loaded = usable(files)?;
    for rule in &loaded.rules.rules {
        let written = if is_json { object(rule, out) } else { line(rule, out) };
        written.map_err(unwritten)?;
    }
    Ok(())
}

fn line(rule: &Rule, out: &mut impl Write) -> io::Result<()> {
    let off = if rule.is_enabled { "" } else { " (not enabled)" };
    writeln!(out, "{:<13} {}{off}  [{}]  {}", rule.priority, rule.name, rule.tags.join(", "), rule.place)
}

fn object(rule: &Rule, out: &mut impl Write) -> io::Result<()> {
    let place = rule.place.to_string();
    let texts = [
        ("rule", rule.name.as_str()),
        ("priority", rule.priority.name()),
        ("description", rule.description.trim()),
        ("condition", &rule.condition),
        ("output", &rule.output_text),
        ("place", &place),
    ];
    let mut line = vec![b'{'];
    for (name, text) in texts {
        json::string(name.as_bytes(), &mut line);
        line.push(b':');
        json::string(text.as_bytes(), &mut line);
        line.push(b',');
    }
    line.extend_from_slice(b"\"tags\":[");
    for (index, tag) in rule.tags.iter().enumerate() {
        if index > 0 {
            line.push(b',');
        }
        json::string(tag.as_bytes(), &mut line);
    }
    line.extend_from_slice(format!("],\"enabled\":{}}}\n", rule.is_enabled).as_bytes());
    out.write_all(&line)
}

/// Writes every problem of the files as `file:line:column: error: …`. Fails with status 65 if there is an
/// error, as Falco refuses such files.
pub fn check(paths: Vec<PathBuf>, has_defaults: bool, out: &mut impl Write) -> Result<(), Failure> {
    let loaded = RuleFiles { paths, has_defaults }.load(&*FIELDS)?;
    for problem in &loaded.problems {
        writeln!(out, "{problem}").map_err(unwritten)?;
    }
    let errors = loaded.problems.iter().filter(is_error).count();
    if errors > 0 {
        let noun = if errors == 1 { "error" } else { "errors" };
        return Err(Failure::malformed(format!("{errors} {noun} in the rules; each is named above")));
    }
    let given = loaded.rules.rules.iter().filter(|rule| !rule.place.file.starts_with(PREFIX)).count();
    writeln!(out, "{given} rules can be used").map_err(unwritten)
}

/// Runs the examples that stand beside rules, and writes those that went otherwise than they say; the exit
/// status is 1 if there are some.
pub fn test(paths: Vec<PathBuf>, has_defaults: bool, out: &mut impl Write) -> Result<u8, Failure> {
    let loaded = usable(&RuleFiles { paths, has_defaults })?;
    let outcomes: Vec<_> = loaded.rules.run_examples(&*FIELDS).collect();
    let mut wrong = 0;
    for outcome in outcomes.iter().filter(|outcome| !outcome.is_right()) {
        wrong += 1;
        let name = outcome.example.name.as_deref().unwrap_or("an example");
        let what = if outcome.fired { "fires and should not" } else { "does not fire and should" };
        writeln!(out, "{}: rule '{}', {name}: {what}", outcome.example.place, outcome.rule.name)
            .map_err(unwritten)?;
    }
    writeln!(out, "{} examples, {wrong} went wrong", outcomes.len()).map_err(unwritten)?;
    Ok(u8::from(wrong > 0))
}

/// Writes which rules the event of a file matches, and why the others do not match it.
pub fn explain(
    file: &Path,
    files: &RuleFiles,
    only: Option<&str>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let loaded = usable(files)?;
    let text = match file == Path::new("-") {
        true => io::read_to_string(io::stdin()),
        false => std::fs::read_to_string(file),
    };
    let text = text.map_err(|error| {
        let file = file.display();
        Failure::missing(format!("cannot read the event '{file}': {error}; give a line of 'jsonl'"))
    })?;
    let malformed = |what| Failure::malformed(format!("the event '{}': {what}", file.display()));
    let batch = event::read(&text).map_err(malformed)?;
    let mut rules: Vec<&Rule> = loaded.rules.rules.iter().collect();
    if let Some(name) = only {
        rules.retain(|rule| rule.name == name);
        if rules.is_empty() {
            return Err(Failure::usage(format!("there is no rule '{name}'; see 'glassbox rules list'")));
        }
    }
    explain::write(&rules, &loaded.rules.macros, &batch, out).map_err(unwritten)
}

/// The rules of files without an error.
fn usable(files: &RuleFiles) -> Result<Loaded, Failure> {
    let loaded = files.load(&*FIELDS)?;
    match loaded.problems.iter().find(is_error) {
        Some(error) => Err(Failure::malformed(format!("{error}; see 'glassbox rules check FILE'"))),
        None => Ok(loaded),
    }
}

fn is_error(problem: &&Problem) -> bool {
    problem.severity == Severity::Error
}

fn unwritten(error: io::Error) -> Failure {
    Failure::output(format!("cannot write to stdout: {error}; send it elsewhere"))
}
