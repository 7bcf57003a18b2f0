//! `cargo xtask dist`: makes the files that are shipped, in `dist/`.
//!
//! The sensor needs no library. The command line is linked with a static glibc (`+crt-static`, a
//! position-independent executable), so that both run on every Linux, whatever its libc. From the pair are
//! made: a tar file and a Debian package, both with man pages and shell completions, an OCI image archive
//! of all machines, a Lambda layer for each machine, a bill of materials, and checksums. No container
//! engine, clock or host name is involved: two runs give the same bytes.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{arm64, check_so, glassbox, shell, toolchain};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The image's folder of the pair, which is declared a volume: `volumesFrom` gives it to other containers at
/// the same path.
const FOLDER: &str = "opt/glassbox";

/// A machine that the pair is built for.
struct Machine {
    /// The name in the kernel and Rust.
    name: &'static str,
    /// The name in Debian, Go and container engines.
    short_name: &'static str,
    target: &'static str,
}

const MACHINES: [Machine; 2] = [
    Machine { name: "x86_64", short_name: "amd64", target: "x86_64-unknown-linux-gnu" },
    Machine { name: "aarch64", short_name: "arm64", target: "aarch64-unknown-linux-gnu" },
];

/// The pair of one machine.
struct Pair {
    machine: &'static Machine,
    cli: Vec<u8>,
    sensor: Vec<u8>,
}

/// `cargo xtask dist [MACHINE…]`: builds for all machines unless some are named.
pub fn run(arguments: &[String]) -> Result<()> {
    let dir = shell::root().join("dist");
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    let is_wanted =
        |machine: &&Machine| arguments.is_empty() || arguments.iter().any(|name| name == machine.name);
    let machines: Vec<&'static Machine> = MACHINES.iter().filter(is_wanted).collect();
    if machines.is_empty()
        || arguments.iter().any(|name| !MACHINES.iter().any(|machine| machine.name == name))
    {
        bail!("machines are x86_64 and aarch64");
    }
    let (mut pairs, mut folders) = (Vec::new(), Vec::new());
    for machine in machines {
        let pair = build(machine)?;
        // The pair for this machine lies where the command line looks for the sensor: one beside the other.
        let is_host = toolchain::host()? == machine.target;
        let beside = if is_host { dir.clone() } else { dir.join(machine.name) };
        put(&beside.join("glassbox"), &pair.cli, 0o755)?;
        put(&beside.join("libglassbox.so"), &pair.sensor, 0o644)?;
        pairs.push(pair);
        folders.push(beside);
    }
    // The command line for this machine makes the layers and the manual; its portable form does as well.
    let host = match folders.iter().find(|folder| **folder == dir) {
        Some(folder) => folder.join("glassbox"),
        None => glassbox::build()?.cli,
    };
    let manual = Manual::of(&host)?;
    for (name, text) in &manual.files {
        put(&dir.join(name), text, 0o644)?;
    }
    for (pair, folder) in pairs.iter().zip(&folders) {
        let Machine { name, short_name, .. } = pair.machine;
        put(&dir.join(format!("glassbox-{VERSION}-linux-{name}.tar.gz")), &tarball(pair, &manual)?, 0o644)?;
        put(&dir.join(format!("glassbox_{VERSION}_{short_name}.deb")), &debian(pair, &manual)?, 0o644)?;
        let layer = dir.join(format!("glassbox-{VERSION}-lambda-{}.zip", pair.machine.name));
        shell::run(Command::new(&host).args(["lambda-layer", "--pair"]).arg(folder).arg("-o").arg(layer))?;
    }
    put(&dir.join(format!("glassbox-{VERSION}-oci.tar")), &image(&pairs)?, 0o644)?;
    put(&dir.join("glassbox.cdx.json"), &serde_json::to_vec_pretty(&bill_of_materials()?)?, 0o644)?;
    let sums = checksums(&dir)?;
    print!("{sums}");
    put(&dir.join("SHA256SUMS"), sums.as_bytes(), 0o644)
}

fn build(machine: &'static Machine) -> Result<Pair> {
    let is_host = toolchain::host()? == machine.target;
    let target = shell::target().join("dist");
    let read = |package: &str, file: &str, flags: &[&str]| -> Result<Vec<u8>> {
        let mut command = match is_host {
            true => shell::cargo(["build", "--target", machine.target]),
            false => arm64::Compiler::install()?.cargo(),
        };
        command.args(["--release", "-p", package, "--target-dir"]).arg(&target);
        if package == "glassbox" {
            command.args(glassbox::FEATURES);
        }
        // No path of this machine, and no symbols beyond the loader's own table.
        let home = std::env::var("CARGO_HOME")
            .or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")));
        let hidden =
            [(home.unwrap_or_default(), "/cargo"), (shell::root().display().to_string(), "/glassbox")];
        let remap = hidden.iter().map(|(from, to)| format!("--remap-path-prefix={from}={to}"));
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).chain(remap).collect();
        // Added to the flags of .cargo/config.toml; RUSTFLAGS would replace them.
        command.arg("--config").arg(format!("target.{}.rustflags={}", machine.target, json!(flags)));
        command.env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
        shell::run(&mut command)?;
        let path = target.join(machine.target).join("release").join(file);
        if package == "glassbox-sensor" {
            check_so::run(&[path.display().to_string()])?;
            // Cargo's own stripping leaves a library's table of local symbols.
            let strip = if is_host { "strip" } else { "aarch64-linux-gnu-strip" };
            let stripped = path.with_extension("stripped");
            shell::run(Command::new(strip).arg("--strip-all").arg(&path).arg("-o").arg(&stripped))?;
            return fs::read(&stripped).with_context(|| stripped.display().to_string());
        }
        must_be_static(&path)?;
        fs::read(&path).with_context(|| path.display().to_string())
    };
    let cli = read("glassbox", "glassbox", &["-Ctarget-feature=+crt-static"])?;
    let sensor = read("glassbox-sensor", "libglassbox.so", &[])?;
    Ok(Pair { machine, cli, sensor })
}

/// Refuses a file with a loader's name in it, which would run only where that loader is.
fn must_be_static(path: &Path) -> Result<()> {
    let text =
        shell::output(Command::new("readelf").args(["--program-headers", "--dynamic", "--wide"]).arg(path))?;
    if text.contains("INTERP") || text.contains("(NEEDED)") {
        bail!("{} is not static", path.display());
    }
    Ok(())
}

/// The completions of each shell: its name, the file below `completions/`, and the folders of a system and of
/// `/usr/local` where the shell looks for it under its last name.
const COMPLETIONS: [(&str, &str, &str, &str); 3] = [
    (
        "bash",
        "glassbox.bash",
        "share/bash-completion/completions/glassbox",
        "share/bash-completion/completions/glassbox",
    ),
    ("zsh", "_glassbox", "share/zsh/vendor-completions/_glassbox", "share/zsh/site-functions/_glassbox"),
    (
        "fish",
        "glassbox.fish",
        "share/fish/vendor_completions.d/glassbox.fish",
        "share/fish/vendor_completions.d/glassbox.fish",
    ),
];

/// Man pages and completions.
struct Manual {
    /// Below `dist/`: `man/glassbox-run.1`, `completions/_glassbox`.
    files: Vec<(String, Vec<u8>)>,
}

impl Manual {
    /// As a command line of this machine writes it.
    fn of(program: &Path) -> Result<Self> {
        let mut files = Vec::new();
        for (shell, name, ..) in COMPLETIONS {
            let text = shell::output(Command::new(program).args(["completions", shell]))?;
            files.push((format!("completions/{name}"), text.into_bytes()));
        }
        let folder = shell::scratch("man")?;
        shell::run(Command::new(program).arg("man").arg(&folder))?;
        for entry in fs::read_dir(&folder)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            files.push((format!("man/{name}"), fs::read(entry.path())?));
        }
        files.sort();
        Ok(Self { files })
    }

    /// The folders and files below `/usr` or, without man pages compressed, `/usr/local`.
    fn installed(&self, is_system: bool) -> Result<Vec<(String, Vec<u8>)>> {
        let mut installed = Vec::new();
        for (name, text) in &self.files {
            let completion = COMPLETIONS.iter().find(|(_, file, ..)| name.ends_with(file));
            installed.push(match (completion, name.strip_prefix("man/")) {
                (Some((_, _, system, local)), _) => {
                    ((if is_system { system } else { local }).to_string(), text.clone())
                }
                // Debian's policy wants them so, without a time (12.1).
                (None, Some(page)) if is_system => (format!("share/man/man1/{page}.gz"), gzip(text)?),
                (None, page) => (format!("share/man/man1/{}", page.unwrap_or(name)), text.clone()),
            });
        }
        installed.sort();
        Ok(installed)
    }
}

/// Every folder above these files, outermost first, with a slash at its end.
fn folders<'a>(files: impl Iterator<Item = &'a str>) -> Vec<String> {
    let above = |path: &'a str| path.match_indices('/').map(move |(at, _)| path[..=at].to_owned());
    let all: std::collections::BTreeSet<String> = files.flat_map(above).collect();
    all.into_iter().collect()
}

/// A file, a folder (`None`) or a link of an archive.
enum Entry<'a> {
    Folder,
    File(&'a [u8], u32),
    Link(&'a str),
}

/// A tar file whose entries belong to root and have no time.
fn tar(entries: &[(String, Entry)]) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, entry) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        let (kind, mode, bytes): (_, _, &[u8]) = match entry {
            Entry::Folder => (tar::EntryType::Directory, 0o755, &[]),
            Entry::File(bytes, mode) => (tar::EntryType::Regular, *mode, bytes),
            Entry::Link(_) => (tar::EntryType::Symlink, 0o777, &[]),
        };
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(bytes.len() as u64);
        match entry {
            Entry::Link(to) => archive.append_link(&mut header, path, to)?,
            _ => archive.append_data(&mut header, path, bytes)?,
        }
    }
    Ok(archive.into_inner()?)
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// The pair, laid out for `/usr/local`.
fn tarball(pair: &Pair, manual: &Manual) -> Result<Vec<u8>> {
    let top = format!("glassbox-{VERSION}");
    let manual = manual.installed(false)?;
    let mut entries = vec![
        (format!("{top}/bin/glassbox"), Entry::File(&pair.cli, 0o755)),
        (format!("{top}/bin/glassbox-runc"), Entry::Link("glassbox")),
        (format!("{top}/lib/glassbox/libglassbox.so"), Entry::File(&pair.sensor, 0o644)),
    ];
    entries.extend(manual.iter().map(|(path, text)| (format!("{top}/{path}"), Entry::File(text, 0o644))));
    gzip(&tar(&entries)?)
}

/// A Debian package (deb(5)). Its installation preloads nothing.
fn debian(pair: &Pair, manual: &Manual) -> Result<Vec<u8>> {
    let manual = manual.installed(true)?;
    let manual_bytes: usize = manual.iter().map(|(_, text)| text.len()).sum();
    let kilobytes = (pair.cli.len() + pair.sensor.len() + manual_bytes).div_ceil(1024);
    let control = format!(
        "Package: glassbox\nVersion: {VERSION}\nArchitecture: {}\nMaintainer: The glassbox authors\n\
         Installed-Size: {kilobytes}\nSection: admin\nPriority: optional\n\
         Description: shows what happens inside a container, from inside the process\n \
         A library that is preloaded into programs, and the collector of what it sees.\n",
        pair.machine.short_name
    );
    let control = gzip(&tar(&[("./control".into(), Entry::File(control.as_bytes(), 0o644))])?)?;
    let manual: Vec<(String, Vec<u8>)> =
        manual.into_iter().map(|(path, text)| (format!("./usr/{path}"), text)).collect();
    let paths =
        ["./usr/bin/", "./usr/lib/glassbox/"].into_iter().chain(manual.iter().map(|(path, _)| path.as_str()));
    let mut entries: Vec<(String, Entry)> =
        folders(paths).into_iter().filter(|path| path != "./").map(|path| (path, Entry::Folder)).collect();
    entries.extend(manual.iter().map(|(path, text)| (path.clone(), Entry::File(text, 0o644))));
    entries.push(("./usr/bin/glassbox".into(), Entry::File(&pair.cli, 0o755)));
    entries.push(("./usr/bin/glassbox-runc".into(), Entry::Link("glassbox")));
    entries.push(("./usr/lib/glassbox/libglassbox.so".into(), Entry::File(&pair.sensor, 0o644)));
    let files = gzip(&tar(&entries)?)?;
    let mut package = ar::Builder::new(Vec::new());
    for (name, bytes) in
        [("debian-binary", &b"2.0\n"[..]), ("control.tar.gz", &control), ("data.tar.gz", &files)]
    {
        let mut header = ar::Header::new(name.as_bytes().to_vec(), bytes.len() as u64);
        header.set_mode(0o100644);
        package.append(&header, bytes)?;
    }
    Ok(package.into_inner()?)
}

/// An archive of the OCI image layout, for every machine that was built.
fn image(pairs: &[Pair]) -> Result<Vec<u8>> {
    let mut blobs = Vec::new();
    let mut manifests = Vec::new();
    for pair in pairs {
        let layer = tar(&[
            ("opt/".into(), Entry::Folder),
            (format!("{FOLDER}/"), Entry::Folder),
            (format!("{FOLDER}/glassbox"), Entry::File(&pair.cli, 0o755)),
            (format!("{FOLDER}/glassbox-runc"), Entry::Link("glassbox")),
            (format!("{FOLDER}/libglassbox.so"), Entry::File(&pair.sensor, 0o644)),
        ])?;
        let program = format!("/{FOLDER}/glassbox");
        let config = json!({
            "architecture": pair.machine.short_name,
            "os": "linux",
            "config": {
                "Entrypoint": [program, "collect"],
                "Env": [format!("PATH=/{FOLDER}"), format!("GLASSBOX_SOCKET=/{FOLDER}/socket")],
                "Volumes": {format!("/{FOLDER}"): {}},
                // This is not in the specification; engines that know it read it here.
                "Healthcheck": {"Test": ["CMD", program, "health"]},
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256(&layer))]},
        });
        let config =
            blob(&mut blobs, "application/vnd.oci.image.config.v1+json", config.to_string().into_bytes());
        let layer = blob(&mut blobs, "application/vnd.oci.image.layer.v1.tar+gzip", gzip(&layer)?);
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]});
        let mut manifest = blob(&mut blobs, kind, manifest.to_string().into_bytes());
        manifest["platform"] = json!({"architecture": pair.machine.short_name, "os": "linux"});
        manifests.push(manifest);
    }
    let kind = "application/vnd.oci.image.index.v1+json";
    let all = json!({"schemaVersion": 2, "mediaType": kind, "manifests": manifests});
    let mut all = blob(&mut blobs, kind, all.to_string().into_bytes());
    all["annotations"] = json!({
        "org.opencontainers.image.ref.name": VERSION,
        // The name that docker, podman and containerd give the loaded image: `glassbox:VERSION`, as patched
        // files have it.
        "io.containerd.image.name": format!("docker.io/library/glassbox:{VERSION}"),
    });
    let index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": [all]}).to_string();

    blobs.sort();
    let mut entries = vec![
        ("oci-layout".to_owned(), Entry::File(br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)),
        ("index.json".to_owned(), Entry::File(index.as_bytes(), 0o644)),
    ];
    entries.extend(
        blobs.iter().map(|(name, bytes)| (format!("blobs/sha256/{name}"), Entry::File(bytes, 0o644))),
    );
    tar(&entries)
}

/// Keeps a blob, and gives its descriptor.
fn blob(blobs: &mut Vec<(String, Vec<u8>)>, kind: &str, bytes: Vec<u8>) -> Value {
    let (digest, size) = (sha256(&bytes), bytes.len());
    blobs.push((digest.clone(), bytes));
    json!({"mediaType": kind, "digest": format!("sha256:{digest}"), "size": size})
}

/// The components of the pair, in CycloneDX.
fn bill_of_materials() -> Result<Value> {
    let mut tree =
        shell::cargo(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}|{l}"]);
    tree.args(["-p", "glassbox", "-p", "glassbox-sensor"]);
    let text = shell::output(&mut tree)?;
    let mut lines: Vec<&str> =
        text.lines().filter(|line| !line.is_empty() && !line.ends_with(" (*)")).collect();
    lines.sort_unstable();
    lines.dedup();
    let mut components: Vec<Value> = lines.iter().filter_map(|line| component(line)).collect();
    components.dedup();
    Ok(json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"component": {"type": "application", "name": "glassbox", "version": VERSION}},
        "components": components,
    }))
}

/// A line of `cargo tree`: `NAME vVERSION (PATH)|LICENCE`.
fn component(line: &str) -> Option<Value> {
    let (package, licence) = line.split_once('|')?;
    let mut words = package.split(' ');
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    let mut component = json!({"type": "library", "name": name, "version": version,
        "licenses": [{"expression": licence.trim_end_matches(" (*)")}]});
    // Our own crates are on no registry.
    if !package.contains("(/") {
        component["purl"] = json!(format!("pkg:cargo/{name}@{version}"));
    }
    Some(component)
}

/// Checksums of every file below `dir`, as sha256sum(1) writes and checks them.
fn checksums(dir: &Path) -> Result<String> {
    let (mut waiting, mut files) = (vec![dir.to_path_buf()], Vec::<PathBuf>::new());
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder)?.flatten() {
            if entry.file_type()?.is_dir() { waiting.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    files.sort();
    let mut text = String::new();
    for file in files {
        let name = file.strip_prefix(dir).unwrap_or(&file).display().to_string();
        text.push_str(&format!("{}  {name}\n", sha256(&fs::read(&file)?)));
    }
    Ok(text)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn put(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(machine: &'static Machine) -> Pair {
        Pair { machine, cli: b"cli".to_vec(), sensor: b"sensor".to_vec() }
    }

    fn manual() -> Manual {
        let mut files = vec![("man/glassbox-run.1".to_owned(), b".TH run".to_vec())];
        files.extend(
            COMPLETIONS
                .iter()
                .map(|(shell, name, ..)| (format!("completions/{name}"), shell.as_bytes().to_vec())),
        );
        Manual { files }
    }

    /// The names in a compressed tar file, in its order.
    fn names(archive: &[u8]) -> Vec<String> {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive));
        archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
    }

    #[test]
    fn packages_have_the_manual_and_the_completions_where_they_are_looked_for() {
        let package = debian(&pair(&MACHINES[0]), &manual()).unwrap();
        let mut package = ar::Archive::new(package.as_slice());
        let mut files = Vec::new();
        while let Some(entry) = package.next_entry() {
            let mut entry = entry.unwrap();
            if entry.header().identifier() == b"data.tar.gz" {
                std::io::Read::read_to_end(&mut entry, &mut files).unwrap();
            }
        }
        let installed = names(&files);
        let unpacked = names(&tarball(&pair(&MACHINES[0]), &manual()).unwrap());

        for name in [
            "usr/share/bash-completion/completions/glassbox",
            "usr/share/fish/vendor_completions.d/glassbox.fish",
            "usr/share/man/man1/glassbox-run.1.gz",
            "usr/share/zsh/vendor-completions/_glassbox",
        ] {
            let has = |name: &str| installed.iter().position(|path| path.trim_matches(['.', '/']) == name);
            let place = has(name).unwrap_or_else(|| panic!("{name} is not in {installed:?}"));
            assert!(
                has(name.rsplit_once('/').unwrap().0).is_some_and(|folder| folder < place),
                "{installed:?}"
            );
        }
        for name in [
            "bash-completion/completions/glassbox",
            "man/man1/glassbox-run.1",
            "zsh/site-functions/_glassbox",
        ] {
            assert!(unpacked.contains(&format!("glassbox-{VERSION}/share/{name}")), "{unpacked:?}");
        }
    }

    #[test]
    fn archives_are_the_same_every_time() {
        let make = || {
            let pairs: Vec<Pair> = MACHINES.iter().map(pair).collect();
            (
                image(&pairs).unwrap(),
                debian(&pairs[0], &manual()).unwrap(),
                tarball(&pairs[1], &manual()).unwrap(),
            )
        };

        assert_eq!(make(), make());
    }

    #[test]
    fn every_blob_of_the_image_is_named_by_its_digest() {
        let archive = image(&[pair(&MACHINES[0])]).unwrap();

        let mut blobs = 0;
        for entry in tar::Archive::new(archive.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().into_owned();
            if let Ok(name) = path.strip_prefix("blobs/sha256") {
                let mut bytes = Vec::new();
                std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
                assert_eq!(name.to_str().unwrap(), sha256(&bytes));
                blobs += 1;
            }
        }
        assert_eq!(4, blobs, "layer, config, manifest, index");
    }

    #[test]
    fn components_are_read_from_cargos_tree() {
        let ours = component("wire v0.1.0 (/x/wire)|Apache-2.0").unwrap();
        let other = component("libc v0.2.1|MIT OR Apache-2.0").unwrap();

        assert_eq!((true, "pkg:cargo/libc@0.2.1"), (ours["purl"].is_null(), other["purl"].as_str().unwrap()));
        assert_eq!("MIT OR Apache-2.0", other["licenses"][0]["expression"]);
    }
}
