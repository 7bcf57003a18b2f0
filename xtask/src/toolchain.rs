//! Unstable compiler flags (sanitizers, coverage for fuzzing) on any toolchain.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell;

/// A cargo that accepts `-Z` flags.
///
/// The stable compiler accepts them with `RUSTC_BOOTSTRAP=1`. It is used rather than a nightly, so that the
/// same compiler builds the code under test and everything else.
pub fn unstable_cargo(rustflags: &str, target_dir: &str, arguments: &[&str]) -> Result<Command> {
    let mut command = shell::cargo(arguments);
    command.args(["--target", &host()?]).arg("--target-dir").arg(shell::target().join(target_dir));
    command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", rustflags);
    Ok(command)
}

/// The compiler of the tests and fuzz targets, for people.
pub fn describe() -> String {
    let version = shell::first_line("rustc", &["--version"]).unwrap_or_default();
    format!("{version} with RUSTC_BOOTSTRAP=1")
}

/// The triple of this machine.
pub fn host() -> Result<String> {
    let version = shell::output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc -vV names no host")
}

/// The folder of the compiler and its libraries.
pub fn sysroot() -> Result<PathBuf> {
    let path = shell::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    Ok(PathBuf::from(path.trim()))
}

/// Fails, with the reason, if a sanitizer is missing.
pub fn require_sanitizer(short_name: &str) -> Result<()> {
    let dir = sysroot()?.join("lib/rustlib").join(host()?).join("lib");
    let suffix = format!("_rt.{short_name}.a");
    let is_there =
        std::fs::read_dir(&dir)?.flatten().any(|file| file.file_name().to_string_lossy().ends_with(&suffix));
    if !is_there {
        bail!("the toolchain has no runtime for it (librustc-*{suffix} in {})", dir.display());
    }
    Ok(())
}
