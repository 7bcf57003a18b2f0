//! Names and attributes: every call that makes, changes or removes one is reported once, with absolute paths.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use glassbox_tests::child;
use glassbox_tests::events::{Event, Events, Expect};
use glassbox_tests::scene::{Scene, sensed, sensed_in, sensed_on_musl, unnoticed};
use glassbox_tests::{Collector, sensor};

#[test]
fn changing_names_and_attributes_gives_the_bare_results() {
    unnoticed("file_names");
}

/// The events about names and attributes.
const KINDS: [&str; 11] = [
    "file.unlink",
    "file.rmdir",
    "file.mkdir",
    "file.mknod",
    "file.chmod",
    "file.chown",
    "file.truncate",
    "file.xattr",
    "file.rename",
    "file.link",
    "file.symlink",
];

/// An event as one line: its kind, the called function, the files, and the result. Absolute paths lose
/// `work`.
fn line(event: &Event, work: &str) -> String {
    let mut line = format!("{} {}", event.name().trim_start_matches("file."), event.call());
    for field in ["path", "new_path"] {
        if let Some(path) = event.text(field) {
            line +=
                &format!(" {}", path.strip_prefix(work).map_or(path, |rest| rest.trim_start_matches('/')));
        }
    }
    for field in ["owner", "group", "length"] {
        if let Some(number) = event.number(field) {
            line += &format!(" {field}={number}");
        }
    }
    for (field, number) in [("mode", event.number("mode")), ("device", event.number("device"))] {
        if let Some(number) = number.filter(|number| *number != 0) {
            line += &format!(" {field}={number:o}");
        }
    }
    if let Some(name) = event.text("name") {
        line += &format!(" {name}");
    }
    if let Some(error) = event.text("error") {
        line += &format!(" {error}");
    }
    line
}

fn lines(events: &Events, work: &str) -> Vec<String> {
    events.iter().filter(|event| KINDS.contains(&event.name())).map(|event| line(event, work)).collect()
}

/// The victim's calls, in order; `extended` attributes fail alike on file systems without them.
const BY_FUNCTION: &str = "\
mkdir mkdir dir mode=700
mkdir mkdir mkdir.made mode=750
mkdir mkdir mkdir.made mode=750 EEXIST
mkdir mkdirat dir/mkdirat.made mode=711
mkdir mkdtemp mkdtemp.* mode=700
mknod mknod mknod.file mode=100640
mknod mknod mknod.null mode=20600 device=403
mknod mknodat dir/mknodat.fifo mode=10600
mknod mkfifo mkfifo.made mode=10622
mknod mkfifoat dir/mkfifoat.made mode=10600
chmod chmod mknod.file mode=604
chmod chmod chmod.missing mode=604 ENOENT
chmod fchmod fd.file mode=640
chmod fchmod mode=640 EBADF
chmod fchmodat dir/mkdirat.made mode=700
chmod fchmodat mknod.file mode=4755
chown chown mknod.file owner=12 group=34
chown lchown mknod.file owner=-1 group=35
chown fchown fd.file owner=13 group=-1
chown fchownat dir/mkdirat.made owner=14 group=36
chown fchownat fd.file owner=15 group=37
truncate truncate mknod.file length=4096
truncate truncate mknod.file length=-1 EINVAL
truncate ftruncate fd.file length=8192
chmod lchmod mknod.file mode=644
truncate truncate mknod.file length=4097
truncate ftruncate fd.file length=21474836480
mknod mknod xmknod.file mode=100600
mknod mknodat dir/xmknodat.file mode=100600
xattr setxattr mknod.file user.set
xattr lsetxattr mknod.file user.lset
xattr fsetxattr fd.file user.fset
xattr removexattr mknod.file user.set
xattr lremovexattr mknod.file user.lset
xattr fremovexattr fd.file user.fset
xattr removexattr xattr.missing user.none ENOENT
link link mknod.file link.made
link linkat mknod.file dir/linkat.made
symlink symlink mknod.file symlink.made
symlink symlink mknod.file dir/symlink.relative
symlink symlinkat /nowhere/at-all dir/symlinkat.made
rename rename link.made rename.made
rename rename rename.missing rename.never ENOENT
rename renameat dir/linkat.made renameat.made
rename renameat2 renameat.made renameat2.made
unlink unlink rename.made
unlink unlink unlink.missing ENOENT
unlink unlink mkdir.made EISDIR
unlink unlinkat dir/symlink.relative
rmdir unlinkat dir/mkdirat.made
rmdir rmdir mkdir.made
rmdir rmdir dir ENOTEMPTY
unlink remove renameat2.made
mkdir mkdir remove.directory mode=700
rmdir remove remove.directory
rmdir remove dir ENOTEMPTY
unlink remove remove.missing ENOENT";

/// Calls with bad pointers: the readable arguments are reported, and nothing else.
const BAD: &str = "\
rename rename bad.new EFAULT
rename rename bad.old EFAULT
rename rename  ENOENT
unlink unlink EFAULT
unlink unlink EFAULT
unlink unlinkat bad.flags EINVAL
unlink unlinkat EINVAL
xattr setxattr  ERANGE
xattr setxattr mknod.file  EFAULT
symlink symlink bad.link EFAULT
truncate truncate length=-1 EINVAL
unlink unlinkat bad.dirfd EBADF
link linkat bad.dirfd bad.new EBADF";

const BY_NUMBER: &str = "\
mkdir mkdirat number.dir mode=700
mknod mknodat number.file mode=100600
chmod fchmodat number.file mode=640
chmod fchmod fd.file mode=600
chown fchownat number.file owner=16 group=38
chown fchown fd.file owner=17 group=39
truncate truncate number.file length=10
truncate ftruncate fd.file length=11
xattr setxattr number.file user.number
xattr fremovexattr fd.file user.number
link linkat number.file number.link
symlink symlinkat number.file number.symlink
rename renameat2 number.link number.renamed
unlink unlinkat number.renamed
rmdir unlinkat number.dir
mkdir mkdir number.dir mode=700
mknod mknod number.fifo mode=10600
chmod chmod number.file mode=600
chown chown number.file owner=1 group=2
chown lchown number.file owner=3 group=4
link link number.file number.link
symlink symlink number.file number.symlink2
rename rename number.link number.renamed
unlink unlink number.renamed
rmdir rmdir number.dir";

/// Whether a line is the expected one; `*` stands for the end of a word, and the error of an attribute
/// depends on the file system.
fn is_alike(expected: &str, reported: &str) -> bool {
    let is_attribute =
        expected.starts_with("xattr ") && !expected.ends_with(|letter: char| letter.is_ascii_uppercase());
    let reported = if is_attribute {
        reported.trim_end_matches(|letter: char| letter.is_ascii_uppercase()).trim_end()
    } else {
        reported
    };
    let mut expected_words = expected.split(' ');
    let mut reported_words = reported.split(' ');
    loop {
        match (expected_words.next(), reported_words.next()) {
            (None, None) => return true,
            (Some(expected), Some(reported)) => {
                let is_same = match expected.strip_suffix('*') {
                    Some(beginning) => reported.starts_with(beginning),
                    None => expected == reported,
                };
                if !is_same {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

#[test]
fn every_change_of_a_name_or_attribute_is_reported_once_and_in_order() {
    let scene = Scene::of("file_names", &[]);
    let seen = sensed_in(&scene).events;

    let reported = lines(&seen, &scene.work().display().to_string());

    let expected: Vec<&str> = [BY_FUNCTION, BAD, BY_NUMBER].iter().flat_map(|part| part.lines()).collect();
    for (number, (expected, reported)) in expected.iter().zip(&reported).enumerate() {
        assert!(is_alike(expected, reported), "line {number}: {expected:?} was expected, not {reported:?}");
    }
    assert_eq!(expected.len(), reported.len(), "{reported:#?}");
}

#[test]
fn a_symbolic_link_points_from_where_it_stands() {
    let scene = Scene::of("file_names", &[]);
    let seen = sensed_in(&scene).events;

    let link = seen.only("dir/symlink.relative", |event| {
        event.name() == "file.symlink"
            && event.text("new_path").is_some_and(|path| path.ends_with(".relative"))
    });
    assert_eq!(format!("{}/mknod.file", scene.work().display()), link.path());
    assert_eq!(Some("../mknod.file"), link.text("path_raw"));
}

#[test]
fn musls_changes_of_names_and_attributes_are_seen() {
    let seen = sensed_on_musl("file_names", &[]).events;

    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for event in seen.iter().filter(|event| KINDS.contains(&event.name())) {
        *counts.entry(event.name()).or_default() += 1;
    }
    let due = [
        ("file.unlink", 14),
        ("file.rmdir", 6),
        ("file.mkdir", 8),
        ("file.mknod", 7),
        ("file.chmod", 9),
        ("file.chown", 9),
        ("file.truncate", 6),
        ("file.xattr", 11),
        ("file.rename", 9),
        ("file.link", 5),
        ("file.symlink", 6),
    ];
    // musl has no renameat2, __xmknod and 64-bit doubles, and does not tell what remove(3) removed.
    assert_eq!(BTreeMap::from(due), counts);
}

/// The event that reports a successful system call.
fn kind_of(call: &str, arguments: &str) -> Option<&'static str> {
    Some(match call {
        "unlinkat" if arguments.contains("AT_REMOVEDIR") => "file.rmdir",
        "unlink" | "unlinkat" => "file.unlink",
        "rmdir" => "file.rmdir",
        "mkdir" | "mkdirat" => "file.mkdir",
        "mknod" | "mknodat" => "file.mknod",
        "chmod" | "fchmod" | "fchmodat" | "fchmodat2" => "file.chmod",
        "chown" | "lchown" | "fchown" | "fchownat" => "file.chown",
        "truncate" | "ftruncate" => "file.truncate",
        "setxattr" | "lsetxattr" | "fsetxattr" | "removexattr" | "lremovexattr" | "fremovexattr" => {
            "file.xattr"
        }
        "rename" | "renameat" | "renameat2" => "file.rename",
        "link" | "linkat" => "file.link",
        "symlink" | "symlinkat" => "file.symlink",
        _ => return None,
    })
}

/// How often each kind of event is due, by the calls that strace saw succeed.
fn due(trace: &std::path::Path) -> BTreeMap<&'static str, usize> {
    let mut due = BTreeMap::new();
    for entry in fs::read_dir(trace).unwrap().flatten() {
        let text = child::escaped(&fs::read(entry.path()).unwrap());
        for line in text.lines().filter(|line| line.ends_with(" = 0") && !line.contains("memfd:glassbox")) {
            let Some((call, arguments)) = line.split_once('(') else { continue };
            if let Some(kind) = kind_of(call.trim(), arguments) {
                *due.entry(kind).or_default() += 1;
            }
        }
    }
    due
}

/// Runs `arguments` under strace and the sensor, and compares the events with the calls that succeeded.
fn compare(arguments: &[&str]) {
    let scene = Scene::of("file_names", &[]);
    scene.clean();
    let (events, trace, socket) =
        (scene.beside("events.jsonl"), scene.beside("trace"), scene.beside("c.sock"));
    fs::create_dir(&trace).unwrap();
    let collector = Collector::start(&socket, &["-o", &format!("jsonl:{}", events.display())]);
    let mut command: Command = scene.command("strace");
    command.args(["-ff", "-yy", "-qq", "-e", "signal=none", "-e", "trace=%file,%desc", "-E"]);
    command.arg(format!("LD_PRELOAD={}", sensor().display()));
    command.arg("-E").arg(format!("GLASSBOX_SOCKET={}", socket.display()));
    command.arg("-o").arg(trace.join("t")).arg("--");
    if arguments.is_empty() {
        command.arg(scene.bare_command().get_program());
    }
    command.args(arguments);

    let ending = child::run(command, b"");

    assert_eq!(child::Status::Exited(0), ending.status, "{}{}", ending.stdout, ending.stderr);
    collector.stop();
    let seen = Events::read(&events, Expect::NothingLost);
    let mut reported = BTreeMap::new();
    for event in seen.iter().filter(|event| !event.has_failed()) {
        if let Some(kind) = KINDS.iter().find(|kind| **kind == event.name()) {
            *reported.entry(*kind).or_default() += 1;
        }
    }
    let due = due(&trace);
    assert!(due.len() >= 3, "strace saw hardly anything: {due:?}");
    assert_eq!(due, reported, "left: strace, right: the sensor\n{}", seen.outline());
}

#[test]
fn the_victims_changes_are_reported_as_strace_saw_them() {
    compare(&[]);
}

#[test]
fn everyday_programs_changes_are_reported_as_strace_saw_them() {
    compare(&[
        "sh",
        "-c",
        "mkdir -p a/b/c; echo x > a/one; cp -a a d; mv a/one a/two; ln a/two a/three; ln -s two a/four; \
         chmod -R g+w a; chown -R 1:1 a; truncate -s 100 a/two; touch -d yesterday a/two; mkfifo a/fifo; \
         install -m 755 a/two a/five; tar cf t.tar a; rm -r a; tar xf t.tar; sed -i s/x/y/ a/two; rm -rf d a; \
         mktemp -d ./t.XXXXXX; mktemp ./t.XXXXXX; find . -name 't.*' -delete",
    ]);
}

#[test]
fn python_changes_names_as_strace_saw_it() {
    let script = "import os, shutil, tempfile, pathlib\n\
        os.makedirs('p/q/r'); pathlib.Path('p/f').write_text('x'); os.replace('p/f', 'p/g'); os.link('p/g', 'p/h')\n\
        os.symlink('g', 'p/s'); os.chmod('p/g', 0o600); os.truncate('p/g', 10); os.remove('p/h'); os.rmdir('p/q/r')\n\
        shutil.copytree('p', 'z', symlinks=True); shutil.rmtree('z'); shutil.move('p', 'moved')\n\
        with tempfile.TemporaryDirectory() as t: open(t + '/x', 'w').close()\n";
    compare(&["python3", "-c", script]);
}

#[test]
fn a_names_path_is_resolved_against_the_directory_of_the_moment() {
    let outcome = sensed("file_names", &[]);

    let renamed = outcome.events.only("renameat2", |event| {
        event.call() == "renameat2"
            && event.text("new_path").is_some_and(|path| path.ends_with("/renameat2.made"))
    });
    assert_eq!(Some("../renameat2.made"), renamed.text("new_path_raw"));
}
