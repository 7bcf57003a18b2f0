//! The Python with the packages of `tests/requirements.txt`, which `cargo xtask test packages` installs.

use std::path::PathBuf;

use crate::artefacts::target;

/// The path of its interpreter; other programs of the packages (`moto_server`) lie beside it.
///
/// # Panics
/// If the packages are not installed.
pub fn program() -> PathBuf {
    let home = target().join("xtask/python");
    assert!(
        home.join("requirements.txt").is_file(),
        "the Python packages of tests/requirements.txt are missing: `cargo xtask test packages` installs them"
    );
    home.join("bin/python")
}
