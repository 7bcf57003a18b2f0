//! Falco's own rule files load.
//!
//! They are not in this repository. They are read from the folder that `GLASSBOX_FALCO_RULES` names, or from
//! `../shared/falco-rules` beside the checkout; without them the test says that it did not run.

mod falco_fields;

use std::path::PathBuf;

use falco_fields::FalcoFields;
use rules::file::{Severity, Source, load};

const FILES: [(&str, usize); 4] = [
    ("falco_rules.yaml", 25),
    ("falco-incubating_rules.yaml", 31),
    ("falco-sandbox_rules.yaml", 37),
    ("falco-deprecated_rules.yaml", 4),
];

fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("GLASSBOX_FALCO_RULES").map(PathBuf::from);
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let beside =
        root.ancestors().map(|above| above.join("shared/falco-rules")).find(|folder| folder.is_dir());
    named.or(beside)
}

fn read(name: &str) -> Option<Vec<u8>> {
    let folder = folder()?;
    Some(
        std::fs::read(folder.join(name))
            .unwrap_or_else(|why| panic!("{}: {why}", folder.join(name).display())),
    )
}

#[test]
fn each_of_falcos_files_loads_alone() {
    for (name, count) in FILES {
        let Some(text) = read(name) else {
            println!("not run: Falco's rule files are not here; GLASSBOX_FALCO_RULES names their folder");
            return;
        };

        let loaded = load(&[Source { name, text: &text }], &FalcoFields::new());

        let severe = loaded.problems.iter().filter(|problem| problem.severity != Severity::Note);
        let severe = severe.filter(|problem| !problem.message.starts_with("'evt.dir' is deprecated"));
        let severe: Vec<String> = severe.map(ToString::to_string).collect();
        assert_eq!(Vec::<String>::new(), severe);
        assert_eq!(count, loaded.rules.rules.len(), "{name}");
    }
}
