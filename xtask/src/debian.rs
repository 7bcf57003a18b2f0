//! Unpacks packages of other Debian releases and machines, and sources, into a folder: nothing on this system
//! changes.
//!
//! apt does the work with folders of its own below `target/debian/`. So it keeps the files that it fetched,
//! and uses the mirror that this system is set up with. It needs no root. Unpacked packages are not fetched
//! again.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{packages, shell};

/// A release, on the mirror that this system uses.
pub struct Release {
    name: String,
    dir: PathBuf,
}

impl Release {
    /// The release of this system, with its updates.
    pub fn own(architectures: &[&str]) -> Result<Release> {
        Release::made("own", "deb", architectures)
    }

    fn made(name: &str, kind: &str, architectures: &[&str]) -> Result<Release> {
        let sources = sources()?;
        if sources.is_empty() {
            bail!("no Debian mirror among apt's sources: this needs a Debian system");
        }
        let dir = folder(name, architectures);
        for part in ["lists/partial", "cache/archives/partial", "archives"] {
            fs::create_dir_all(dir.join(part))?;
        }
        // No package is installed, as far as this apt knows.
        fs::write(dir.join("status"), "")?;
        let keys = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]";
        let line = |Source { uri, codename }: &Source| format!("{kind} {keys} {uri} {codename} main\n");
        fs::write(dir.join("sources.list"), sources.iter().map(line).collect::<String>())?;
        let mut settings = format!(
            "Dir::State \"{0}\";\nDir::State::status \"{0}/status\";\nDir::Cache \"{0}/cache\";\n\
             Dir::Etc::sourcelist \"{0}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
             Dir::Etc::main \"/dev/null\";\nDir::Etc::preferencesparts \"/dev/null\";\n\
             APT::Sandbox::User \"\";\nAPT::Install-Recommends \"false\";\nDebug::NoLocking \"true\";\n\
             APT::Architecture \"{1}\";\n",
            dir.display(),
            architectures.first().copied().unwrap_or("amd64"),
        );
        for architecture in architectures {
            settings.push_str(&format!("APT::Architectures:: \"{architecture}\";\n"));
        }
        fs::write(dir.join("apt.conf"), settings)?;
        Ok(Release { name: name.to_owned(), dir })
    }

    /// Unpacks `packages` into `into`, without their dependencies, unless that was done before.
    pub fn unpack(&self, packages: &[&str], into: &Path) -> Result<()> {
        let note = into.with_extension("packages");
        let wanted = packages.join("\n");
        if fs::read_to_string(&note).is_ok_and(|done| done == wanted) {
            return Ok(());
        }
        packages::install(&["debian-archive-keyring".to_owned()])?;
        self.update()?;
        let archives = self.dir.join("archives");
        let mut fetch = self.apt("apt-get");
        fetch.arg("-qq").current_dir(&archives);
        shell::output(fetch.arg("download").args(packages))?;
        if into.exists() {
            fs::remove_dir_all(into).with_context(|| format!("cannot empty {}", into.display()))?;
        }
        // Since Debian 12 everything lies below /usr, also the files of packages that name other folders.
        for name in ["bin", "sbin", "lib", "lib64"] {
            fs::create_dir_all(into.join("usr").join(name))?;
            symlink(Path::new("usr").join(name), into.join(name))?;
        }
        for entry in fs::read_dir(&archives)?.flatten() {
            let file = entry.path();
            if file.extension().is_some_and(|extension| extension == "deb") {
                let script = "dpkg-deb --fsys-tarfile \"$1\" | tar -x --keep-directory-symlink -C \"$2\"";
                shell::output(Command::new("sh").args(["-c", script, "sh"]).arg(&file).arg(into))?;
                fs::remove_file(file)?;
            }
        }
        fs::write(note, wanted)?;
        Ok(())
    }

    /// The dependencies of `package`, direct and indirect, without the name of their machine.
    pub fn needs(&self, package: &str) -> Result<Vec<String>> {
        self.update()?;
        let mut ask = self.apt("apt-cache");
        ask.args(["depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts"]);
        ask.args(["--no-breaks", "--no-replaces", "--no-enhances", package]);
        let text = shell::output(&mut ask)?;
        let is_name = |line: &&str| !line.starts_with([' ', '<']);
        Ok(text.lines().filter(is_name).map(str::to_owned).collect())
    }

    fn update(&self) -> Result<()> {
        let is_list = |name: &str| name.contains("_Packages") || name.contains("_Sources");
        let is_known = fs::read_dir(self.dir.join("lists"))?
            .flatten()
            .any(|file| is_list(&file.file_name().to_string_lossy()));
        if is_known {
            return Ok(());
        }
        shell::output(self.apt("apt-get").args(["-qq", "update"]))
            .map(drop)
            .with_context(|| format!("cannot get the package lists of {}", self.name))
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.dir.join("apt.conf")).env("DEBIAN_FRONTEND", "noninteractive");
        command
    }
}

/// The name of the release that has sources.
const SOURCE: &str = "source";

fn folder(name: &str, architectures: &[&str]) -> PathBuf {
    shell::target().join("debian").join([&[name], architectures].concat().join("-"))
}

/// Where [`source`] unpacks the source of `package`.
pub fn source_dir(package: &str) -> PathBuf {
    folder(SOURCE, &[]).join(package)
}

/// Fetches and unpacks the source of `package`, as Debian patches it, unless that was done before.
pub fn source(package: &str) -> Result<PathBuf> {
    let release = Release::made(SOURCE, "deb-src", &[])?;
    let into = source_dir(package);
    if !into.exists() {
        packages::install(&["debian-archive-keyring".to_owned(), "dpkg-dev".to_owned()])?;
        release.update()?;
        shell::output(release.apt("apt-get").args(["-qq", "source", package]).current_dir(&release.dir))?;
        let is_it = |name: &str| name.starts_with(&format!("{package}-"));
        let unpacked = fs::read_dir(&release.dir)?
            .flatten()
            .find(|entry| entry.path().is_dir() && is_it(&entry.file_name().to_string_lossy()))
            .with_context(|| format!("the source of {package} has no folder of its name"))?;
        fs::rename(unpacked.path(), &into)?;
    }
    Ok(into)
}

/// A line of the system's apt sources.
struct Source {
    uri: String,
    codename: String,
}

/// The Debian archives that this system's apt knows: the release itself, its updates, its security updates.
fn sources() -> Result<Vec<Source>> {
    let mut ask = Command::new("apt-get");
    ask.args(["indextargets", "--format", "$(ORIGIN)\t$(CODENAME)\t$(REPO_URI)"]);
    let ask_for = |ask: &mut Command| shell::output(ask.arg("Created-By: Packages"));
    let text = ask_for(&mut ask).context("apt is not there: this needs a Debian system")?;
    let mut sources: Vec<Source> = Vec::new();
    for line in text.lines() {
        let [origin, codename, uri] = line.split('\t').collect::<Vec<_>>()[..] else { continue };
        let is_known = sources.iter().any(|source| source.uri == uri && source.codename == codename);
        if origin == "Debian" && !is_known {
            let [uri, codename] = [uri, codename].map(str::to_owned);
            sources.push(Source { uri, codename });
        }
    }
    Ok(sources)
}
