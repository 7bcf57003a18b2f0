//! docs/falco.md: which of Falco's rules fire, at what, and which cannot.

use std::fmt::Write as _;

use super::{FILES, File, Place, Proof, Row};

const HEAD: &str = "\
# Falco's rules

Written by `cargo xtask gen-docs` from the tables in `tests/src/falco/`; do not edit.

The four rule files of [falcosecurity/rules](https://github.com/falcosecurity/rules) load as they are. This page says of each
rule by which program it fires under glassbox, and which program beside it does not fire it. `tests/tests/falco_rules.rs` runs
both for every rule, with `glassbox run --no-default-rules --rules FILE -o falco`, and compares this list with the files (of
18 June 2026, commit c72713e). Rules that their file disables are enabled there, and what a rule leaves to its user is set
(`TUNING` in those tables). All of this holds for programs that glassbox sees into ([CAPABILITIES.md](../CAPABILITIES.md)).

*In a container*: the rule asks for a container. In the tests that is one of an ECS task, by the word of the task's metadata
endpoint; control groups, the marks of container engines and a pid namespace of its own say it too
([docs/fields.md](fields.md), `container.id`). Elsewhere such a rule is silent, as in Falco.

*By a look at the living program*: the collector reads these facts from /proc when a program begins. They have no value where the
program is gone by then, as one that lives for a millisecond may be on a busy machine, and they are those of that moment.
";

/// The page.
pub fn page() -> String {
    let mut text = HEAD.to_owned();
    text += "\n| file | rules | fire | of these in a container only | of these where a further fact is known only | cannot fire |\n";
    text += "|---|---|---|---|---|---|\n";
    for File { name, rows, .. } in &FILES {
        let _ = writeln!(text, "| `{name}` | {} |", counts(&mut rows.iter()));
    }
    let all = counts(&mut FILES.iter().flat_map(|file| file.rows));
    let _ = writeln!(text, "| all | {all} |");
    for file in &FILES {
        let _ =
            write!(text, "\n## `{}`\n\n| rule | where | fires at | not at |\n|---|---|---|---|\n", file.name);
        file.rows.iter().for_each(|row| text += &line(row));
    }
    text
}

fn counts(rows: &mut dyn Iterator<Item = &Row>) -> String {
    let rows: Vec<&Row> = rows.collect();
    let count = |is_it: fn(&Row) -> bool| rows.iter().filter(|row| is_it(row)).count().to_string();
    let fires = |row: &Row| matches!(row.proof, Proof::Fires { .. });
    [
        rows.len().to_string(),
        count(fires),
        count(|row| matches!(row.proof, Proof::Fires { .. }) && row.at != Place::Host),
        count(|row| matches!(row.proof, Proof::Fires { .. }) && !row.needs.is_empty()),
        count(|row| matches!(row.proof, Proof::CannotFire(_))),
    ]
    .join(" | ")
}

fn line(row: &Row) -> String {
    let place = match row.at {
        Place::Host => "",
        Place::Container => "in a container",
        Place::Pod => "in a pod",
    };
    let needs = match row.needs {
        "" => String::new(),
        fact => format!("where is known: {fact}"),
    };
    let conditions = [place, &needs].into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>();
    let (fires, not) = match &row.proof {
        Proof::Fires { at, not_at } => (at.says.to_owned(), not_at.says),
        Proof::CannotFire(why) => (format!("cannot fire: {why}"), ""),
    };
    let cells = [row.rule, &conditions.join("; "), &fires, not].map(|cell| cell.replace('|', "\\|"));
    format!("| {} |\n", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_line_and_the_total_counts_it() {
        let text = page();

        let rows = FILES.iter().map(|file| file.rows.len()).sum::<usize>();
        let lines = text.lines().filter(|line| line.starts_with("| ")).count();
        // The head of each table, and of the first one a line for each file and one for all.
        assert_eq!(rows + 2 * FILES.len() + 2, lines);
        assert!(text.contains(&format!("| all | {rows} | ")), "{text}");
    }
}
