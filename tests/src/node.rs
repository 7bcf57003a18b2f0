//! The Node packages of `tests/node-packages.json`, which `cargo xtask test packages` installs.

use std::path::PathBuf;

use crate::artefacts::target;

/// The path of a package's script.
///
/// # Panics
/// If the packages are not installed.
pub fn program(name: &str) -> PathBuf {
    let home = target().join("xtask/node");
    assert!(
        home.join("installed.json").is_file(),
        "the Node packages of tests/node-packages.json are missing: `cargo xtask test packages` installs them"
    );
    home.join("node_modules/.bin").join(name)
}
