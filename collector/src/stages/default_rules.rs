//! Glassbox's own rules, which hold unless `--no-default-rules` is given.

/// A file of `rules/default/`: its name in messages, and its text.
type File = (&'static str, &'static str);

/// How the names of these files begin.
pub const PREFIX: &str = "glassbox:";

macro_rules! file {
    ($name:literal) => {
        (concat!("glassbox:", $name), include_str!(concat!("../../../rules/default/", $name)))
    };
}

/// All files, in the order in which they are loaded.
pub const FILES: &[File] = &[
    file!("base.yaml"),
    file!("credentials.yaml"),
    file!("execution.yaml"),
    file!("impact.yaml"),
    file!("network.yaml"),
    file!("persistence.yaml"),
    file!("tampering.yaml"),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rules::file::{Loaded, Source, load};

    use super::*;
    use crate::event::Asks;
    use crate::stages::fields::{Asked, FIELDS};

    fn loaded(fields: &dyn rules::Catalog) -> Loaded {
        let sources: Vec<Source<'_>> =
            FILES.iter().map(|(name, text)| Source { name, text: text.as_bytes() }).collect();
        load(&sources, fields)
    }

    #[test]
    fn every_file_of_the_folder_is_listed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/default");
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let listed = format!("{PREFIX}{name}");
            assert!(!name.ends_with(".yaml") || FILES.iter().any(|(file, _)| *file == listed), "{name}");
        }
    }

    #[test]
    fn own_rules_have_no_problem() {
        let problems = loaded(&*FIELDS).problems;

        assert_eq!(Vec::<String>::new(), problems.iter().map(ToString::to_string).collect::<Vec<_>>());
    }

    #[test]
    fn changes_of_own_rules_that_the_documentation_shows_load() {
        let (_, page) =
            include_str!("../../../docs/rules.md").split_once("\n## Glassbox's own rules\n").unwrap();
        let shown = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let mut sources: Vec<Source<'_>> =
            FILES.iter().map(|(name, text)| Source { name, text: text.as_bytes() }).collect();
        sources.push(Source { name: "rules.md", text: shown.as_bytes() });

        let loaded = load(&sources, &*FIELDS);

        assert_eq!(Vec::<String>::new(), loaded.problems.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert!(loaded.rules.rules.iter().any(|rule| rule.name == "Tunnel started" && !rule.is_enabled));
    }

    #[test]
    fn own_rules_need_no_question_to_the_kernel_about_every_process() {
        let fields = Asked::default();

        loaded(&fields);

        assert!(!fields.asks().has(Asks::BACKGROUND) && !fields.asks().has(Asks::SURROUNDINGS));
    }

    #[test]
    fn each_rule_says_its_technique_and_where_it_fires_and_where_not() {
        for rule in &loaded(&*FIELDS).rules.rules {
            let name = &rule.name;
            let is_technique =
                |tag: &String| tag.strip_prefix('T').is_some_and(|rest| rest.starts_with(char::is_numeric));
            assert!(rule.tags.iter().any(|tag| tag.starts_with("mitre_")), "{name}");
            assert!(rule.tags.iter().any(is_technique), "{name}");
            for fires in [true, false] {
                assert!(rule.examples.iter().any(|example| example.fires == fires), "{name}: {fires}");
            }
        }
    }

    #[test]
    fn examples_of_own_rules_are_right() {
        let rules = loaded(&*FIELDS).rules;

        let wrong = rules.run_examples(&*FIELDS).filter(|outcome| !outcome.is_right());

        assert_eq!(
            Vec::<String>::new(),
            wrong.map(|outcome| outcome.example.place.to_string()).collect::<Vec<_>>()
        );
    }
}
