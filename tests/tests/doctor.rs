//! `glassbox doctor` tells of real programs how far they will be seen, and that is what happens:
//! `sensor.blind` has the same reasons.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use glassbox_tests::artefacts::{glassbox, sensor};
use glassbox_tests::child::{self, Ending, Running, Status, start, wait_until};
use glassbox_tests::events::{Events, Expect};
use glassbox_tests::scene::Scene;
use glassbox_tests::victim::{Libc, compiled, victim};
use serde_json::Value;

/// A folder of programs.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("gbx-doctor-").tempdir().expect("a temporary directory");
        // Another user must be able to enter, too.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("our own directory");
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).expect("our own directory");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("our own file");
        path
    }

    fn copy(&self, name: &str, of: impl AsRef<Path>, mode: u32) -> PathBuf {
        self.file(name, fs::read(of).expect("a program"), mode)
    }

    /// Compiles a program of one file.
    fn compile(&self, name: &str, source: &str, flags: &[&str]) -> PathBuf {
        let (path, source_path) = (self.path(name), self.path(&format!("{name}.c")));
        fs::write(&source_path, source).expect("our own directory");
        let status = Command::new("gcc").arg(&source_path).args(flags).arg("-o").arg(&path).status();
        assert!(status.expect("gcc").success(), "{name} does not compile");
        fs::remove_file(source_path).expect("our own file");
        path
    }
}

fn doctor(arguments: &[&OsStr]) -> Ending {
    let mut command = Command::new(glassbox());
    command.arg("doctor").args(arguments).env_remove("LD_PRELOAD");
    child::run(command, b"")
}

/// The lines of `--json`.
fn findings(ending: &Ending) -> Vec<Value> {
    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    ending.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The verdict on one program: coverage, reason, and kind.
fn verdict(path: &Path) -> [String; 3] {
    let found = findings(&doctor(&["--json".as_ref(), "--".as_ref(), path.as_os_str()]));
    let program = found.iter().find(|found| found["path"] == path.to_str().expect("UTF-8"));
    let program = program.unwrap_or_else(|| panic!("nothing of {}: {found:?}", path.display()));
    ["coverage", "reason", "kind"].map(|name| program[name].as_str().unwrap_or_default().to_owned())
}

/// A note as cmd/link writes it, in a C program: doctor recognises Go by it alone.
const GO_NOTE: &str = "__asm__(\".pushsection .note.go.buildid,\\\"a\\\",@note\\n.balign 4\\n.long 4, 4, 4\\n\
                       .asciz \\\"Go\\\\0\\\"\\n.ascii \\\"id__\\\"\\n.popsection\");\nint main(void) { return 0; }\n";

#[test]
fn programs_are_told_apart_by_how_they_are_linked() {
    let place = Place::new();
    let main = "int main(void) { return 0; }";
    let mut foreign = fs::read("/bin/true").expect("coreutils");
    foreign[18] = 183; // EM_AARCH64, or EM_X86_64's neighbour there
    for (path, expected) in [
        (PathBuf::from("/bin/true"), ["hooked", "", "dynamic"]),
        (place.compile("static", main, &["-static"]), ["blind", "static", "static"]),
        (place.compile("static-pie", main, &["-static-pie"]), ["blind", "static", "static-pie"]),
        (compiled("open_family", Libc::Musl).path, ["hooked", "", "dynamic"]),
        (place.file("aarch64", &foreign, 0o755), ["blind", "foreign_abi", "dynamic"]),
        (place.copy("setuid", "/bin/true", 0o4755), ["blind", "setuid", "dynamic"]),
        (place.copy("setgid", "/bin/true", 0o2755), ["blind", "setuid", "dynamic"]),
        (place.compile("go", GO_NOTE, &[]), ["partial", "go", "dynamic"]),
        (place.compile("asan", main, &["-fsanitize=address"]), ["blind", "sanitizer", "dynamic"]),
        (
            place.compile("other-loader", main, &["-Wl,--dynamic-linker=/bin/true"]),
            ["blind", "foreign_libc", "dynamic"],
        ),
        (
            place.compile("no-loader", main, &["-Wl,--dynamic-linker=/lib/ld-linux-none.so.9"]),
            ["blind", "no_loader", "dynamic"],
        ),
        (
            place.file("cut", &fs::read("/bin/true").expect("coreutils")[..40], 0o755),
            ["blind", "malformed", ""],
        ),
        (place.file("script", "#!/bin/sh\n", 0o755), ["hooked", "", "script"]),
        (
            place.file("static-script", format!("#! {} -x\n", place.path("static").display()), 0o755),
            ["blind", "static", "script"],
        ),
        (place.file("orphan", "#!/nonexistent\n", 0o755), ["blind", "no_interpreter", "script"]),
        (victim("no_libc").path, ["partial", "no_libc", "dynamic"]),
    ] {
        assert_eq!(expected.map(str::to_owned), verdict(&path), "{}", path.display());
    }
}

#[test]
fn a_program_that_may_not_be_read_is_unknown_to_others() {
    let place = Place::new();
    let (tool, closed) =
        (place.copy("glassbox", glassbox(), 0o755), place.copy("closed", "/bin/true", 0o711));
    let mut command = Command::new(tool);
    command.args(["doctor", "--json", "--"]).arg(&closed).env("GLASSBOX_LIB", sensor()).uid(65534).gid(65534);

    let found = findings(&child::run(command, b""));

    assert_eq!(
        ("unknown", "unreadable"),
        (found[0]["coverage"].as_str().unwrap(), found[0]["reason"].as_str().unwrap())
    );
    assert_eq!(["hooked", "", "dynamic"].map(str::to_owned), verdict(&closed));
}

#[test]
fn a_folder_is_searched_for_programs_and_nothing_else() {
    let place = Place::new();
    fs::create_dir(place.path("sub")).unwrap();
    place.copy("plain", "/bin/true", 0o755);
    place.copy("not-executable", "/bin/true", 0o644);
    place.file("text", "hello", 0o755);
    place.copy("sub/setuid", "/bin/true", 0o4755);
    place.compile("library.so", "int answer(void) { return 42; }", &["-shared"]);
    fs::hard_link(place.path("plain"), place.path("second-name")).unwrap();
    symlink(place.path("plain"), place.path("link")).unwrap();
    symlink("/", place.path("sub/up")).unwrap();

    let all = findings(&doctor(&["--json".as_ref(), "--root".as_ref(), place.dir.path().as_os_str()]));
    let table = doctor(&["--root".as_ref(), place.dir.path().as_os_str()]);

    let mut names: Vec<_> =
        all.iter().map(|found| found["path"].as_str().unwrap().rsplit('/').next().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(2, names.len(), "{names:?}");
    assert_eq!("setuid", names[1]);
    assert!(
        table.stdout.contains("2 programs: 1 hooked, 0 partial, 0 unknown, 1 blind;"),
        "{}",
        table.stdout
    );
    assert!(table.stdout.contains("  fix: name the sensor in /etc/ld.so.preload"), "{}", table.stdout);
    assert!(!table.stdout.contains("/plain"), "what is seen needs no line: {}", table.stdout);
}

#[test]
fn loaders_of_a_root_file_system_are_looked_for_in_it() {
    let place = Place::new();
    for folder in ["etc", "usr/bin", "lib64"] {
        fs::create_dir_all(place.path(folder)).unwrap();
    }
    place.copy("usr/bin/true", "/bin/true", 0o755);
    let reason = || {
        let found = findings(&doctor(&["--json".as_ref(), "--root".as_ref(), place.dir.path().as_os_str()]));
        found[0]["reason"].as_str().unwrap_or_default().to_owned()
    };

    assert_eq!("no_loader", reason());
    fs::create_dir(place.path("lib")).unwrap();
    for loader in ["lib64/ld-linux-x86-64.so.2", "lib/ld-linux-aarch64.so.1"] {
        place.file(loader, "", 0o755);
    }
    assert_eq!("", reason());
}

#[test]
fn a_process_is_told_by_what_is_in_it() {
    let of = |running: &Running| {
        let found =
            findings(&doctor(&["--json".as_ref(), "--pid".as_ref(), running.pid().to_string().as_ref()]));
        found[0].clone()
    };
    let mut command = Command::new("/bin/sleep");
    command.arg("30");
    let bare = start(command, b"");

    let found = of(&bare);

    assert_eq!("not_loaded", found["reason"]);
    assert!(
        found["fix"].as_str().unwrap().starts_with(&format!("glassbox attach {}", bare.pid())),
        "{found}"
    );
    bare.signal(9);
    bare.finish();

    // The sensor gets into neither.
    for (libc, reason) in [(Libc::GlibcStatic, "static"), (Libc::Musl, "not_loaded")] {
        let scene = Scene::with(compiled("attached", libc), &["read"]);
        scene.clean();
        let running = start(scene.bare_command(), b"");
        wait_until("the victim to be ready", || scene.work().join("ready").exists());

        let found = of(&running);

        let advice = format!("glassbox attach --notify security {}", running.pid());
        assert_eq!(reason, found["reason"]);
        assert!(found["fix"].as_str().unwrap().starts_with(&advice), "{found}");
        running.signal(9);
        running.finish();
    }
}

#[test]
fn failures_are_one_line_with_the_status_of_the_contract() {
    let place = Place::new();
    let text = place.file("text", "hello", 0o755);
    for (arguments, status, words) in [
        (vec!["--pid".as_ref(), "4194305".as_ref()], 66, "there is no process 4194305"),
        (vec!["--root".as_ref(), "/nonexistent".as_ref()], 66, "cannot read '/nonexistent'"),
        (vec!["--".as_ref(), "no-such-command".as_ref()], 66, "cannot find the command 'no-such-command'"),
        (vec!["--".as_ref(), text.as_os_str()], 65, "is not a program"),
        (vec!["--pid".as_ref(), "x".as_ref()], 64, "invalid value 'x'"),
        (vec!["--pid".as_ref(), "1".as_ref(), "--root".as_ref(), "/".as_ref()], 64, "cannot be used with"),
    ] {
        let ending = doctor(&arguments);

        assert_eq!(Status::Exited(status), ending.status, "{arguments:?}: {}", ending.stderr);
        assert!(ending.stderr.contains(words), "{arguments:?}: {}", ending.stderr);
        assert_eq!(1, ending.stderr.lines().count(), "{}", ending.stderr);
    }
}

/// The reason of the only `sensor.blind` when a shell runs `program` as another user.
fn blind_reason(place: &Place, program: &Path) -> String {
    let scene = Scene::of("static_program", &[]);
    scene.clean();
    let tool = place.copy("glassbox", glassbox(), 0o755);
    place.copy("libglassbox.so", sensor(), 0o755);
    let output = scene.work().join("open-to-all/events.jsonl");
    let mut command = scene.command(tool);
    command
        .args(["run", "-o", &format!("jsonl:{}", output.display()), "--", "/bin/sh", "-c"])
        .arg(format!("{}; true", program.display()))
        .uid(65534)
        .gid(65534);
    let ending = child::run(command, b"");
    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    let events = Events::read(&output, Expect::NothingLost);
    events.only("blind", |event| event.name() == "sensor.blind").text("reason").unwrap_or_default().to_owned()
}

#[test]
fn programs_with_capabilities_or_of_another_abi_and_those_that_cannot_be_read_are_reported_blind() {
    let place = Place::new();
    let capable = place.copy("capable", "/bin/true", 0o755);
    let status = Command::new("setcap").args(["cap_net_raw+ep".as_ref(), capable.as_os_str()]).status();
    assert!(status.expect("setcap").success());
    let closed = place.compile("closed", "int main(void) { return 0; }", &["-static"]);
    fs::set_permissions(&closed, Permissions::from_mode(0o711)).unwrap();

    assert_eq!("capabilities", blind_reason(&place, &capable));
    assert_eq!("unreadable", blind_reason(&place, &closed));
    #[cfg(target_arch = "x86_64")]
    {
        let source = "void _start(void) { __asm__ volatile(\"mov $1,%eax; mov $0,%ebx; int $0x80\"); }";
        let narrow = place.compile("narrow", source, &["-m32", "-nostdlib", "-static", "-fno-pic"]);
        assert_eq!("foreign_abi", blind_reason(&place, &narrow));
    }
}

#[test]
fn a_script_of_a_static_interpreter_is_reported_blind() {
    let place = Place::new();
    let interpreter = place.compile("interpreter", "int main(void) { return 0; }", &["-static"]);
    let script = place.file("script", format!("#!{}\n", interpreter.display()), 0o755);

    assert_eq!("static", blind_reason(&place, &script));
}

#[test]
fn a_static_program_is_said_to_be_told_of_by_the_kernel_where_that_was_tried() {
    let place = Place::new();
    let program = place.compile("still", "int main(void) { return 0; }\n", &["-static"]);
    let dynamic = place.compile("moving", "int main(void) { return 0; }\n", &[]);
    let told = |path: &Path| findings(&doctor(&["--json".as_ref(), "--".as_ref(), path.as_os_str()]));
    let remarks = |found: &[Value]| -> Vec<String> {
        let of = |found: &Value| found["remark"].as_str().map(str::to_owned);
        found.iter().filter_map(of).filter(|remark| remark.contains("--notify security")).collect()
    };

    let (of_static, of_dynamic) = (told(&program), told(&dynamic));

    assert_eq!(Some(true), of_static[0]["with_notify"].as_bool());
    assert!(remarks(&of_static)[0].contains("tried here, it works"), "{of_static:?}");
    assert_eq!((None, 0), (of_dynamic[0]["with_notify"].as_bool(), remarks(&of_dynamic).len()));

    // Below another listener it cannot be had.
    let mut nested = Command::new(glassbox());
    nested.args(["run", "-o", "jsonl:/dev/null", "--notify", "exec", "--require-notify", "--"]);
    nested.arg(glassbox()).args(["doctor", "--json", "--"]).arg(&program);
    let found = findings(&child::run(nested, b""));
    assert!(remarks(&found)[0].contains("cannot be had here: another program"), "{found:?}");
}
