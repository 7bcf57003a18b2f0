//! Glassbox's own rules, which hold unless `--no-default-rules` is given.

/// A file of `rules/default/`: its name in messages, and its text.
type File = (&'static str, &'static str);

/// How the names of these files begin.
pub const PREFIX: &str = "glassbox:";

/// All files, in the order in which they are loaded.
pub const FILES: &[File] = &[];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rules::file::{Severity, Source, load};

    use super::*;
    use crate::stages::fields::FIELDS;

    #[test]
    fn every_file_of_the_folder_is_listed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/default");
        let Ok(entries) = std::fs::read_dir(folder) else { return assert!(FILES.is_empty()) };
        for entry in entries {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let listed = format!("{PREFIX}{name}");
            assert!(!name.ends_with(".yaml") || FILES.iter().any(|(file, _)| *file == listed), "{name}");
        }
    }

    #[test]
    fn own_rules_have_no_problem() {
        let sources: Vec<Source<'_>> =
            FILES.iter().map(|(name, text)| Source { name, text: text.as_bytes() }).collect();

        let loaded = load(&sources, &*FIELDS);

        let problems = loaded.problems.iter().filter(|problem| problem.severity > Severity::Note);
        assert_eq!(Vec::<String>::new(), problems.map(ToString::to_string).collect::<Vec<_>>());
    }
}
