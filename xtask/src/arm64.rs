//! Builds the sensor for aarch64 and runs it on a machine of another kind: `cargo xtask test --arm64`.
//!
//! The compiler's own target libraries cannot be fetched everywhere. So Debian's compiler of the same
//! language is unpacked beside them, with its `core` for arm64; Debian's cross compiler links. The victims
//! run in qemu's user mode under the x86_64 collector: the ring, the sockets and the pids are the host's own,
//! and both machines are little-endian.
//!
//! The tests are the same ones as on this machine; their environment tells them to compile for the other one.
//! For a victim to execute another, the kernel must know qemu as the interpreter of aarch64 files. It is told
//! so (binfmt_misc) in a user namespace that ends with the tests, which Linux allows since 6.7.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::debian::Release;
use crate::libcs::{compiler, musl_compiler};
use crate::{packages, shell};

/// Rust's name of the machine, with glibc.
pub const TARGET: &str = "aarch64-unknown-linux-gnu";
/// The same with musl.
pub const MUSL_TARGET: &str = "aarch64-unknown-linux-musl";

/// Debian's package of a linker, which also compiles the victims.
pub const LINKER: &str = "gcc-aarch64-linux-gnu";

/// Debian's package of the libc that victims are compiled and run with.
pub const HEADERS: &str = "libc6-dev-arm64-cross";

/// Where Debian's cross packages put the libc of the other machine.
pub const GLIBC: &str = "/usr/aarch64-linux-gnu";

/// The files whose tests are all run, except for the tests below.
const TESTS: [&str; 3] = ["hooks_file", "hooks_exec", "hooks_net"];

const NO_SECCOMP: &str = "qemu's user mode has no seccomp";
const NO_VFORK: &str = "qemu's user mode makes a vfork child, and posix_spawn's, by fork";
const NO_EXECVEAT: &str = "qemu 7.2 has no execveat";
const HOSTS_SHELL: &str = "the shell is the host's, which cannot load the sensor of another machine";
const TWO_MACHINES: &str = "the collector, of another machine, names flags as that has them";
const ONE_USER: &str = "the namespace for qemu knows one user only";

/// Tests that cannot hold in qemu's user mode, and why.
const NOT_UNDER_QEMU: &[(&str, &str)] = &[
    ("calls_under_a_programs_own_filter_are_reported", NO_SECCOMP),
    ("children_of_a_filtered_process_that_cannot_attach_do_no_harm", NO_SECCOMP),
    ("files_that_libc_opens_for_a_call_are_reported_under_it", TWO_MACHINES),
    ("every_fork_names_its_child", NO_VFORK),
    ("failed_spawns_tell_the_number_that_they_returned", NO_VFORK),
    ("an_exec_is_reported_under_its_name_before_it_happens", NO_EXECVEAT),
    ("a_child_is_hooked_whatever_call_and_environment_started_it", NO_EXECVEAT),
    ("musls_children_are_hooked_too", NO_EXECVEAT),
    ("a_scripts_image_is_its_interpreter_with_the_kernels_arguments", HOSTS_SHELL),
    ("system_and_popen_report_exec_fork_and_the_shells_image", HOSTS_SHELL),
    ("what_a_static_program_starts_is_hooked_again", HOSTS_SHELL),
    ("a_static_program_is_reported_blind", "of every program in emulation /proc says that it is qemu"),
    ("a_static_command_is_told_of_with_its_end", "to the collector it is another machine's first"),
    ("the_fork_of_system_names_the_shell_where_that_can_be_known", HOSTS_SHELL),
    (
        "each_childs_opens_are_reported_once_under_its_own_number",
        "qemu 7.2 takes MADV_WIPEONFORK and wipes nothing, has no clone3, and aarch64 no fork",
    ),
    ("a_process_without_room_for_us_is_reported_blind", "qemu does not apply RLIMIT_AS"),
    ("a_set_uid_program_is_unaffected_and_reported_blind", ONE_USER),
    ("a_worker_without_privileges_is_still_seen", ONE_USER),
    ("small_stacks_report_all_that_they_do", "a stack has 128 KiB at least on aarch64"),
    (
        "a_jump_away_from_any_instruction_and_then_from_another_holds_no_thread_up",
        "only x86_64 has a trap flag that a program may set",
    ),
    ("forks_amid_opening_threads_lose_nothing", "it takes minutes in emulation"),
];

/// The tests of other files that are run: those that depend on the machine, and that qemu can run in
/// reasonable time.
const CHOSEN: [(&str, &[&str]); 2] = [
    (
        "transparency",
        &[
            "every_way_to_open_gives_its_bare_result_and_number",
            "every_way_to_close_gives_its_bare_result",
            "fortified_and_large_file_calls_give_their_bare_results",
            "reads_and_writes_move_what_they_move_bare",
            "results_and_errno_of_failing_and_succeeding_calls_are_the_bare_ones",
            "execl_passes_twelve_arguments",
            "eight_threads_that_open_all_the_time_fail_at_nothing",
            "a_sudden_end_is_the_same_end",
            "a_thread_cancelled_in_a_blocking_call_runs_its_cleanup_handlers",
            "constructors_before_ours_and_destructors_after_ours_may_open",
            "dlopen_and_dlsym_look_at_their_caller_as_bare",
            "libraries_bound_past_a_preload_work_as_bare",
            "a_dynamic_program_without_libc_runs",
            "closing_every_descriptor_closes_none_of_ours_and_work_goes_on",
            "sockets_of_every_family_work_as_bare",
            "names_resolve_as_bare",
        ],
    ),
    (
        "got",
        &[
            "plugins_work_as_bare_however_they_are_bound",
            "a_plugin_that_binds_past_the_preload_is_seen_from_its_constructor_on",
            "a_plugin_that_binds_to_the_preload_is_seen_by_its_symbols",
            "a_library_with_an_open_of_its_own_is_seen_once_by_the_next_one",
            "dependencies_of_a_deeply_bound_library_are_seen",
            "functions_found_behind_a_handle_are_the_programs_own",
        ],
    ),
];

/// `cargo` with these arguments for the target, by this machine's own compiler (`rustup target add`).
pub fn cross_cargo(arguments: &[&str]) -> Command {
    let mut command = shell::cargo(arguments);
    command.args(["--target", TARGET]);
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc");
    command.env("CC_aarch64_unknown_linux_gnu", "aarch64-linux-gnu-gcc");
    command
}

/// A compiler with the files it needs for the target, unpacked.
pub struct Compiler {
    rust: PathBuf,
}

impl Compiler {
    /// Installs and unpacks the parts that are missing.
    pub fn install() -> Result<Compiler> {
        packages::install(&[LINKER, HEADERS].map(str::to_owned))?;
        let rust = dir().join("rust");
        if !rust.with_extension("packages").exists() {
            let release = release()?;
            // The compiler's own libraries have its version in their names; their dependencies are found on
            // the system.
            let needed = release.needs("rustc-web")?;
            let is_its_own =
                |name: &&String| name.starts_with("libstd-rust-web") || name.starts_with("libllvm");
            let mut wanted: Vec<&str> = needed.iter().filter(is_its_own).map(String::as_str).collect();
            wanted.extend(["rustc-web", "libstd-rust-web-dev:arm64"]);
            let llvm = wanted.iter().find(|name| name.starts_with("libllvm")).copied().unwrap_or_default();
            let of_llvm = release.needs(llvm)?.into_iter().filter(|name| name != llvm && !name.contains(':'));
            packages::install(&of_llvm.collect::<Vec<_>>())?;
            release.unpack(&wanted, &rust)?;
        }
        Ok(Compiler { rust })
    }

    /// The command that builds the sensor, and where it will be.
    pub fn build(&self) -> (Command, PathBuf) {
        let target = dir().join("target");
        let mut command = self.cargo();
        command.args(["--release", "-p", "glassbox-sensor", "--target-dir"]).arg(&target);
        (command, target.join(TARGET).join("release/libglassbox.so"))
    }

    /// `cargo build` for the target.
    pub fn cargo(&self) -> Command {
        let mut command = shell::cargo(["build", "--target", TARGET]);
        command.env("RUSTC", self.rust.join("usr/bin/rustc"));
        let libraries = ["usr/lib/x86_64-linux-gnu", "usr/lib/llvm-22/lib"].map(|dir| self.rust.join(dir));
        command.env("LD_LIBRARY_PATH", std::env::join_paths(libraries).unwrap_or_default());
        command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc");
        command
    }
}

/// An emulator of the machine, and compilers for the victims that it runs.
pub struct Emulator {
    qemu: PathBuf,
    cc: PathBuf,
    musl_cc: PathBuf,
}

impl Emulator {
    /// Installs and unpacks the parts that are missing.
    pub fn install() -> Result<Emulator> {
        packages::install(&[LINKER, HEADERS].map(str::to_owned))?;
        let (dir, release) = (dir(), release()?);
        let qemu = dir.join("qemu");
        release.unpack(&["qemu-user-static"], &qemu)?;
        let musl = dir.join("musl");
        release.unpack(&["musl:arm64", "musl-dev:arm64"], &musl)?;

        let loader = Path::new(GLIBC).join("lib/ld-linux-aarch64.so.1");
        let cc = compiler(&dir.join("gcc"), "aarch64-linux-gnu-gcc", &loader, "")?;
        let musl_cc = musl_compiler("aarch64-linux-gnu-gcc", "aarch64", &musl, &format!("{GLIBC}/include"))?;
        Ok(Emulator { qemu: qemu.join("usr/bin/qemu-aarch64-static"), cc, musl_cc })
    }

    /// The commands that run the tests with this sensor and the collector `glassbox`.
    pub fn tests(&self, sensor: &Path, glassbox: &Path) -> Result<[Command; 2]> {
        let pair = dir().join("pair");
        fs::create_dir_all(&pair)?;
        link(sensor, &pair.join("libglassbox.so"))?;
        // A copy, because `glassbox` follows links to its own file and looks for the sensor beside that.
        fs::copy(glassbox, pair.join("glassbox")).with_context(|| glassbox.display().to_string())?;
        let test = |files: &[&str]| {
            let mut command = self.emulated(&pair);
            command.args(["test", "-p", "glassbox-tests", "--no-fail-fast"]);
            command.args(files.iter().flat_map(|file| ["--test", file])).arg("--");
            command
        };

        let mut hooks = test(&TESTS);
        hooks.args(NOT_UNDER_QEMU.iter().flat_map(|(name, _)| ["--skip", name]));
        let mut chosen = test(&CHOSEN.map(|(file, _)| file));
        chosen.arg("--exact").args(CHOSEN.iter().flat_map(|(_, names)| *names));
        Ok([hooks, chosen])
    }

    /// A cargo under which the kernel runs programs for aarch64.
    fn emulated(&self, pair: &Path) -> Command {
        // \x7fELF, 64 bits, little-endian, EXEC or DYN, machine 183. O: qemu gets the open file, so that
        // programs without a name run too; F: it is opened here, so that a changed root does not matter; P:
        // argv[0] stays.
        let magic =
            r":qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00";
        let mask = r":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff";
        let entry = format!("{magic}{mask}:{}:OFP", self.qemu.display());
        let script = "set -e; dir=/proc/sys/fs/binfmt_misc; mount -t binfmt_misc none $dir; \
                      printf %s \"$1\" > $dir/register; shift; exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(entry);
        command.arg(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())).current_dir(shell::root());
        command.env("GLASSBOX_TESTS_EMULATED", "1").env("GLASSBOX_TESTS_PAIR", pair);
        command.env("GLASSBOX_TESTS_CC", &self.cc).env("GLASSBOX_TESTS_MUSL_CC", &self.musl_cc);
        command
    }
}

fn dir() -> PathBuf {
    shell::target().join("arm64")
}

fn release() -> Result<Release> {
    Release::own(&["amd64", "arm64"])
}

/// How many tests [`NOT_UNDER_QEMU`] names.
pub fn left_out() -> usize {
    NOT_UNDER_QEMU.len()
}

fn link(to: &Path, from: &Path) -> Result<()> {
    if !to.exists() {
        bail!("{} is missing", to.display());
    }
    let _ = fs::remove_file(from);
    symlink(to, from).with_context(|| format!("cannot make {}", from.display()))
}
