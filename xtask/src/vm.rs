//! Runs tests on a kernel for aarch64: `cargo xtask vm [FILE…]`.
//!
//! `--notify` and `attach` are about the kernel, which qemu's user mode does not have. So Debian's kernel and
//! programs for arm64 are unpacked and started in a machine that qemu emulates; the pair and the tests are
//! built here, with a static glibc. It has this repository's folder, and one for its own files, at the paths
//! that they have here. There is no compiler in it: a test that compiles a victim asks this command to
//! (`/usr/bin/gcc` there is a script that writes its words into a file, and waits).

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::arm64::{self, HEADERS, LINKER, TARGET};
use crate::debian::Release;
use crate::libcs::musl_compiler;
use crate::{glassbox, packages, shell};

/// The files of tests that run unless others are named: those about what a kernel does.
const TESTS: [&str; 5] = ["notify", "notify_attach", "exec_notify", "unseen", "evasion"];

/// Tests that do not hold there, and why.
const NOT_THERE: &[(&str, &str)] = &[];

/// Debian's packages of the system: programs that tests execute, and their libraries.
const SYSTEM: [&str; 16] = [
    "busybox-static",
    "libc6",
    "libgcc-s1",
    "coreutils",
    "dash",
    "bash",
    "libselinux1",
    "libpcre2-8-0",
    "libacl1",
    "libattr1",
    "libtinfo6",
    "libgmp10",
    "musl",
    "musl-dev",
    "python3.11-minimal",
    "libc-bin",
];

/// The kernel's modules for the folders, in the order of their needs.
const MODULES: [&str; 6] = [
    "drivers/virtio/virtio_mmio",
    "fs/netfs/netfs",
    "fs/fscache/fscache",
    "net/9p/9pnet",
    "net/9p/9pnet_virtio",
    "fs/9p/9p",
];

/// The programs that tests call to compile, and what is run here in their place.
const COMPILERS: [&str; 5] = ["gcc", "cc", "musl-gcc", "go", "rustc"];

/// The compilers' stand-in: a file with its name, its folder, what Go looks at, and its words; the answer is
/// in two more.
const STAND_IN: &str = r#"#!/bin/sh
n=@SHARE@/cc/$$
{ basename "$0"; pwd; printf '%s\n' "$CGO_ENABLED" "$GOPATH" "$GOCACHE"; for a; do printf '%s\n' "$a"; done; } > $n.new
mv $n.new $n.asked
while [ ! -e $n.status ]; do sleep 0.1; done
cat $n.said >&2; status=$(cat $n.status); rm -f $n.said $n.status; exit $status
"#;

const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox mkdir -p /bb /proc /sys /dev /tmp /run /root "@ROOT@"
/bin/busybox --install -s /bb
export PATH=/usr/bin:/usr/sbin:/bb HOME=/root
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm; mount -t devpts devpts /dev/pts
for place in /dev/shm /run /tmp; do mount -t tmpfs tmpfs $place; done; chmod 1777 /tmp /dev/shm
ln -s /proc/self/fd /dev/fd; ip link set lo up; hostname vm
for module in @MODULES@; do insmod /modules/$module.ko; done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=loose,ro tree "@ROOT@"
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=mmap share "@SHARE@"
for name in @COMPILERS@; do ln -sf "@SHARE@/stand-in" /usr/bin/$name; done
export CARGO_TARGET_DIR="@SHARE@/target" GLASSBOX_TESTS_PAIR="@SHARE@/pair"
echo "$(uname -srm), Yama's scope $(cat /proc/sys/kernel/yama/ptrace_scope)"
sh "@SHARE@/run"
poweroff -f
"#;

/// `cargo xtask vm [FILE…]`
pub fn run(arguments: &[String]) -> Result<()> {
    let files: Vec<&str> = match arguments {
        [] => TESTS.to_vec(),
        named => named.iter().map(String::as_str).collect(),
    };
    let needed = [LINKER, HEADERS, "qemu-system-arm", "cpio", "golang-go"];
    packages::install(&needed.map(str::to_owned))?;
    packages::install_rust_target(TARGET)?;
    packages::install_rust_target(arm64::MUSL_TARGET)?;
    let (kernel, system) = unpacked()?;
    let share = dir().join("share");
    for folder in ["cc", "pair", "target/xtask/busybox-static/bin"] {
        fs::create_dir_all(share.join(folder))?;
    }
    build(&share, &files)?;
    let busybox = share.join("target/xtask/busybox-static/bin/busybox");
    fs::copy(system.join("usr/bin/busybox"), busybox).context("busybox")?;
    executable(&share.join("stand-in"), &filled(STAND_IN, &share))?;
    let skipped: String = NOT_THERE.iter().map(|(name, _)| format!(" --skip {name}")).collect();
    let lines = files.iter().map(|file| {
        format!("echo '── {file}'; '{}' --test-threads 1{skipped} 2>&1\n", share.join(file).display())
    });
    fs::write(share.join("run"), lines.collect::<String>())?;
    let image = image(&kernel, &system, &share)?;
    let musl_cc =
        musl_compiler("aarch64-linux-gnu-gcc", "aarch64", &system, &format!("{}/include", arm64::GLIBC))?;

    let is_over = AtomicBool::new(false);
    let mut machine = machine(&kernel, &image, &share)?;
    let counts = std::thread::scope(|scope| {
        scope.spawn(|| compile(&share, &musl_cc, &is_over));
        let counts = followed(&mut machine);
        is_over.store(true, Ordering::Relaxed);
        counts
    });
    machine.wait()?;
    let (passed, failed) = counts?;
    println!("{passed} passed, {failed} failed, {} left out (xtask/src/vm.rs)", NOT_THERE.len());
    if failed > 0 || passed == 0 {
        bail!("{failed} tests failed on {TARGET}");
    }
    Ok(())
}

fn dir() -> PathBuf {
    shell::target().join("vm")
}

fn filled(text: &str, share: &Path) -> String {
    let modules = MODULES.map(|module| module.rsplit('/').next().unwrap_or(module)).join(" ");
    text.replace("@ROOT@", &shell::root().display().to_string())
        .replace("@SHARE@", &share.display().to_string())
        .replace("@MODULES@", &modules)
        .replace("@COMPILERS@", &COMPILERS.join(" "))
}

/// Debian's kernel and programs, unpacked.
fn unpacked() -> Result<(PathBuf, PathBuf)> {
    let release = Release::own(&["amd64", "arm64"])?;
    let (kernel, system) = (dir().join("kernel"), dir().join("system"));
    let needed = release.needs("linux-image-arm64:arm64")?;
    let is_it = |name: &&String| name.starts_with("linux-image-") && !name.starts_with("linux-image-arm64");
    let newest = needed.iter().find(is_it).context("linux-image-arm64 needs no kernel")?;
    let newest = format!("{}:arm64", newest.trim_end_matches(":arm64"));
    release.unpack(&[&newest], &kernel)?;
    let names = SYSTEM.map(|name| format!("{name}:arm64"));
    release.unpack(&names.each_ref().map(String::as_str), &system)?;
    Ok((kernel, system))
}

/// Builds the pair and the tests into the shared folder.
fn build(share: &Path, files: &[&str]) -> Result<()> {
    let put = |from: &Path, to: PathBuf| -> Result<()> {
        shell::run(Command::new("aarch64-linux-gnu-strip").args(["-S", "-o"]).arg(to).arg(from))
    };
    let target = dir().join("target");
    let built = |arguments: &[&str]| -> Result<()> {
        let mut command = arm64::cross_cargo(arguments);
        command.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
        shell::run(command.arg("--target-dir").arg(&target))
    };
    built(&["build", "--release", "-p", "glassbox-sensor"])?;
    built(
        &[&["build", "--release", "-p", "glassbox", "--config", &static_glibc()], &glassbox::FEATURES[..]]
            .concat(),
    )?;
    for file in ["glassbox", "libglassbox.so"] {
        put(&target.join(TARGET).join("release").join(file), share.join("pair").join(file))?;
    }
    let mut tests =
        arm64::cross_cargo(&["test", "--no-run", "-p", "glassbox-tests", "--message-format=json"]);
    tests.args(["--config", &static_glibc(), "--target-dir"]).arg(&target);
    tests.args(files.iter().flat_map(|file| ["--test", file]));
    let told = shell::output(&mut tests)?;
    for line in told.lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        let name = message.pointer("/target/name").and_then(serde_json::Value::as_str);
        let path = message.pointer("/executable").and_then(serde_json::Value::as_str);
        if let (Some(name), Some(path)) = (name, path) {
            put(Path::new(path), share.join(name))?;
        }
    }
    Ok(())
}

/// Cargo's setting for a program that needs no library; it is added to those of .cargo/config.toml.
fn static_glibc() -> String {
    format!("target.{TARGET}.rustflags=['-Ctarget-feature=+crt-static']")
}

/// The first file system: the packages' files, the kernel's modules, and what is started.
fn image(kernel: &Path, system: &Path, share: &Path) -> Result<PathBuf> {
    let (root, image) = (dir().join("root"), dir().join("root.cpio"));
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    shell::run(Command::new("cp").arg("-a").arg(system).arg(&root))?;
    for folder in ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/lib/aarch64-linux-gnu/gconv"] {
        let _ = fs::remove_dir_all(root.join(folder));
    }
    fs::create_dir_all(root.join("modules"))?;
    fs::create_dir_all(root.join("etc"))?;
    let of_kernel = fs::read_dir(kernel.join("usr/lib/modules"))
        .or_else(|_| fs::read_dir(kernel.join("lib/modules")))?
        .flatten()
        .next()
        .context("the kernel has no modules")?;
    for module in MODULES {
        let file = of_kernel.path().join("kernel").join(format!("{module}.ko"));
        let to = root.join("modules").join(file.file_name().unwrap_or_default());
        fs::copy(&file, to).with_context(|| file.display().to_string())?;
    }
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
    )?;
    fs::write(root.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n")?;
    fs::write(root.join("etc/hosts"), "127.0.0.1 localhost\n")?;
    let shell = root.join("usr/bin/sh");
    let _ = fs::remove_file(&shell);
    symlink("dash", &shell)?;
    executable(&root.join("init"), &filled(INIT, share))?;
    let script = "cd \"$1\" && find . | cpio --quiet -o -H newc > \"$2\"";
    shell::run(Command::new("sh").args(["-c", script, "sh"]).arg(&root).arg(&image))?;
    Ok(image)
}

fn machine(kernel: &Path, image: &Path, share: &Path) -> Result<Child> {
    let boot = fs::read_dir(kernel.join("boot"))?.flatten().map(|entry| entry.path());
    let is_kernel =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"));
    let mut boot = boot.filter(is_kernel);
    let folder = |path: &Path, tag: &str, more: &str| {
        let device = format!("virtio-9p-device,fsdev={tag},mount_tag={tag}");
        let at = format!("local,id={tag},path={},security_model=none,multidevs=remap{more}", path.display());
        ["-fsdev".to_owned(), at, "-device".to_owned(), device]
    };
    let mut command = Command::new("qemu-system-aarch64");
    command.args([
        "-M",
        "virt",
        "-cpu",
        "cortex-a72",
        "-smp",
        "2",
        "-m",
        "3G",
        "-nographic",
        "-no-reboot",
        "-nic",
        "none",
    ]);
    command.arg("-kernel").arg(boot.next().context("the kernel's package has none")?);
    command.arg("-initrd").arg(image).args(["-append", "console=ttyAMA0 quiet panic=-1"]);
    command.args(folder(&shell::root(), "tree", ",readonly=on")).args(folder(share, "share", ""));
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().context("cannot start qemu-system-aarch64")
}

/// Shows what the machine says; gives how many tests passed and failed.
fn followed(machine: &mut Child) -> Result<(u64, u64)> {
    let (mut passed, mut failed) = (0, 0);
    let stdout = machine.stdout.take().context("qemu says nothing")?;
    for line in BufReader::new(stdout).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).trim_end().to_owned();
        println!("   {line}");
        let count = |word: &str| -> u64 {
            let number = line.split(&format!(" {word}")).next().and_then(|head| head.split(' ').next_back());
            number.and_then(|number| number.parse().ok()).unwrap_or_default()
        };
        if line.starts_with("test result:") {
            (passed, failed) = (passed + count("passed"), failed + count("failed"));
        }
    }
    Ok((passed, failed))
}

/// Compiles what the machine asks for, until that is over.
fn compile(share: &Path, musl_cc: &Path, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
        let asked = fs::read_dir(share.join("cc")).into_iter().flatten().flatten().map(|entry| entry.path());
        for file in asked.filter(|path| path.extension().is_some_and(|extension| extension == "asked")) {
            let words = fs::read_to_string(&file).unwrap_or_default();
            let _ = fs::remove_file(&file);
            let (status, said) = match compiler(&words, musl_cc).map(|mut command| command.output()) {
                Some(Ok(output)) => (output.status.code().unwrap_or(1), output.stderr),
                Some(Err(error)) => (127, error.to_string().into_bytes()),
                None => (127, b"no such compiler".to_vec()),
            };
            let written = fs::write(file.with_extension("said"), said)
                .and_then(|()| fs::write(file.with_extension("unfinished"), status.to_string()))
                .and_then(|()| fs::rename(file.with_extension("unfinished"), file.with_extension("status")));
            if let Err(error) = written {
                println!("   {}: {error}", file.display());
            }
        }
    }
}

/// The command that stands for a compiler there.
fn compiler(words: &str, musl_cc: &Path) -> Option<Command> {
    let mut words = words.lines();
    let (name, folder) = (words.next()?, words.next()?);
    let (cgo, path, cache) = (words.next()?, words.next()?, words.next()?);
    let mut command = match name {
        "gcc" | "cc" => Command::new("aarch64-linux-gnu-gcc"),
        "musl-gcc" => Command::new(musl_cc),
        "go" => {
            let mut go = Command::new("go");
            go.env("GOARCH", "arm64").env("CC", "aarch64-linux-gnu-gcc").env("GO111MODULE", "off");
            go.env("CGO_ENABLED", cgo).env("GOPATH", path).env("GOCACHE", cache);
            go
        }
        "rustc" => {
            let mut rustc = Command::new("rustc");
            rustc.arg("-Clinker=rust-lld");
            rustc
        }
        _ => return None,
    };
    // The folders of the kernel's headers are the machine's own.
    let is_folder = |word: &&str| *word == "-idirafter" || word.starts_with("/usr/include");
    command.args(words.filter(|word| !is_folder(word))).current_dir(folder);
    Some(command)
}

fn executable(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| path.display().to_string())?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).context("chmod")
}
