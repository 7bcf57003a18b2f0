//! Where Falco's rule files are: they are not in this repository.

use std::path::PathBuf;

/// What is said where they are absent.
pub const NOT_RUN: &str = "not run: Falco's rule files are not here; GLASSBOX_FALCO_RULES names their folder";

/// The folder that `GLASSBOX_FALCO_RULES` names, or `shared/falco-rules` beside the checkout; `None` where
/// neither is there.
pub fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("GLASSBOX_FALCO_RULES").map(PathBuf::from);
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let beside =
        root.ancestors().map(|above| above.join("shared/falco-rules")).find(|folder| folder.is_dir());
    named.or(beside)
}
