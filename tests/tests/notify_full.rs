//! `glassbox run --notify full`: what it tells beyond `security`, beside the twin that hooks see.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use glassbox_tests::artefacts::glassbox;
use glassbox_tests::child::{self, Status};
use glassbox_tests::events::{Event, Events, Expect};
use glassbox_tests::scene::Scene;
use glassbox_tests::unseen::{Ground, HELD, LIBCS_OWN, MOVED, PROGRAMS, Program};

const FULL: [&str; 3] = ["--notify", "full", "--require-notify"];

/// Runs it bare and so, and compares.
fn told(program: &Program, options: &[&str]) -> Events {
    let ground = Ground::default();
    let bare = ground.bare(program);
    let under = ground.under(options, program);

    assert_eq!(Status::Exited(0), bare.ending.status, "the program is broken: {:?}", bare.ending);
    assert_eq!((bare.ending, bare.files), (under.ending, under.files), "the program noticed");
    under.events
}

/// Bytes in and out.
type Bytes = (Option<i64>, Option<i64>);

/// The bytes in and out of each close that is told, by the file, or by the socket's role; those of one file
/// in their order.
fn bytes_of(events: &Events, program: &Program) -> BTreeMap<String, Vec<Bytes>> {
    let path = program.path();
    // The port that a listener gets is a result.
    let asked = events.named("net.connect").find_map(|connect| connect.text("remote"));
    let listener = asked.expect("a connection");
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.text("exe") == path.to_str()) {
        let role = |event: &Event| match (event.text("local"), event.text("remote")) {
            (Some(local), None) if local == listener => Some("listener"),
            (Some(local), Some(_)) if local == listener => Some("accepted"),
            (_, Some(remote)) if remote == listener => Some("asked"),
            _ => None,
        };
        let (name, bytes) = match event.name() {
            // Go's own files are none of the program's.
            "file.close" if event.path().starts_with("/sys/") || event.path().starts_with("/proc/") => {
                continue;
            }
            "file.close" if !event.path().starts_with('/') => continue,
            "file.close" => {
                let name = event.path().rsplit('/').next().map(str::to_owned);
                (name, (event.number("bytes_read"), event.number("bytes_written")))
            }
            // Go tries what the system can do, by sockets that it closes at once.
            "net.close" if event.text("local").is_none() => continue,
            "net.close" => {
                let bytes = (event.number("bytes_received"), event.number("bytes_sent"));
                (role(event).map(str::to_owned), bytes)
            }
            _ => continue,
        };
        all.entry(name.unwrap_or_else(|| format!("{event:?}"))).or_default().push(bytes);
    }
    all
}

#[test]
fn bytes_are_those_of_the_twin_where_the_kernel_tells_and_else_absent() {
    let [twin, others @ ..] = &MOVED;
    let counted = bytes_of(&told(twin, &[]), twin);
    assert_eq!(Some(&vec![(Some(0), Some(1234))]), counted.get("written"), "{counted:?}");
    assert_eq!(Some(&vec![(Some(77), Some(3000))]), counted.get("asked"), "{counted:?}");
    // Its position was set, or was not moved, or begins at an end that others wrote.
    const ABSENT: [&str; 2] = ["appended", "skipped"];

    for program in others {
        let events = told(program, &FULL);
        let seen = bytes_of(&events, program);

        let mut expected = counted.clone();
        for name in ABSENT {
            expected.insert(name.to_owned(), vec![(None, None)]);
        }
        // Read after it was written, with the position set between; and read past the position.
        expected.insert("both".to_owned(), vec![(None, None); 2]);
        assert_eq!(expected, seen, "{}: {}", program.name, events.outline());
        let closes = events.iter().filter(|event| matches!(event.name(), "file.close" | "net.close"));
        for close in closes.filter(|close| close.text("exe") == program.path().to_str()) {
            assert_eq!(Some("notify"), close.text("via"), "{close:?}");
            assert_eq!((None, None), (close.number("reads"), close.number("sends")), "{close:?}");
        }
    }
}

#[test]
fn a_socket_whose_lock_is_held_has_no_bytes_and_holds_no_other_call_up() {
    // Others may not serve pages that the kernel reads.
    if std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() != 0) {
        return;
    }

    let events = told(&HELD, &FULL);

    let own = || events.iter().filter(|event| event.text("exe") == HELD.path().to_str());
    let made: Vec<&str> = own()
        .filter(|event| event.name() == "file.open")
        .filter_map(|open| open.path().rsplit('/').next())
        .filter(|name| ["before", "after", "last"].contains(name))
        .collect();
    assert_eq!(vec!["before", "after", "last"], made, "{}", events.outline());
    let closes = own().filter(|event| event.name() == "net.close");
    let bytes: Vec<Bytes> =
        closes.map(|close| (close.number("bytes_received"), close.number("bytes_sent"))).collect();
    // The listener's end with the process.
    assert_eq!(vec![(None, None), (Some(0), Some(0))], bytes, "{}", events.outline());
    assert_eq!(0, events.named("sensor.loss").count(), "{}", events.outline());
}

#[test]
fn ends_of_descriptors_are_told_at_full_alone() {
    let program = &MOVED[1];

    let events = told(program, &["--notify", "security", "--require-notify"]);

    let closes = events.iter().filter(|event| event.name().ends_with(".close"));
    assert_eq!(0, closes.count(), "{}", events.outline());
    assert!(events.named("file.open").count() > 1, "{}", events.outline());
}

#[test]
fn programs_behave_as_bare_at_full() {
    for program in PROGRAMS {
        let events = told(program, &FULL);
        // Nothing that only asks how a call went is evidence.
        let evidence: Vec<_> =
            events.named("sensor.evasion").filter_map(|found| found.text("call")).collect();
        let is_evidence = |call: &&str| !["close", "dup2", "dup3", "close_range", "_exit"].contains(call);
        assert!(evidence.iter().all(is_evidence), "{}: {evidence:?}", program.name);
    }
}

#[test]
fn lookups_are_told_on_request_as_those_of_the_twin() {
    let lookups = |program: &Program, options: &[&str], request: Option<&str>| -> Vec<String> {
        let prepare = |command: &mut std::process::Command| {
            request.map(|names| command.env("GLASSBOX_TELL", names));
        };
        let run = Ground::default().under_prepared(options, program, prepare);
        let path = program.path();
        let own = run.events.iter().filter(|event| event.text("exe") == path.to_str());
        let looks = own.filter(|event| ["file.stat", "file.access", "file.readlink"].contains(&event.name()));
        // glibc reads the name of its own program at the start of a static one.
        let looks = looks.filter(|event| !event.path().starts_with("/proc/"));
        looks.map(|event| format!("{} {}", event.name(), event.path().rsplit('/').next().unwrap())).collect()
    };
    let [twin, others @ ..] = &MOVED;
    let expected = lookups(twin, &[], Some("lookups"));
    assert_eq!(
        vec!["file.stat left", "file.stat read", "file.access partly", "file.readlink read"],
        expected
    );

    for program in others {
        assert_eq!(expected, lookups(program, &FULL, Some("locks,lookups")), "{}", program.name);
        assert_eq!(Vec::<String>::new(), lookups(program, &FULL, Some("locks")), "{}", program.name);
    }
}

/// The events of a program that is run so, by hooks and by the kernel's word, in an order of their own: name
/// and file, without what is different each time.
fn by_teller(program: &Program, request: &str) -> [Vec<String>; 2] {
    let ground = Ground::default();
    let bare = ground.bare(program);
    let under = ground.under_prepared(&FULL, program, |command| {
        command.env("GLASSBOX_TELL", request);
    });
    assert_eq!(Status::Exited(0), bare.ending.status, "the program is broken: {:?}", bare.ending);
    assert_eq!(bare.ending, under.ending, "the program noticed");
    let path = program.path();
    let mut told = [Vec::new(), Vec::new()];
    for event in under.events.iter().filter(|event| event.text("exe") == path.to_str()) {
        let place = ["path", "new_path", "remote", "local"].into_iter().find_map(|field| event.text(field));
        let file = place.unwrap_or_default().rsplit('/').next().unwrap_or_default();
        // Names that libc draws, and numbers of processes and inodes.
        let file = ["mkstemp_", "mkdtemp_", "tmpfile_", "sem.", "tmp-"]
            .into_iter()
            .find(|beginning| file.starts_with(beginning) && !file.contains("libcs_own"))
            .map_or_else(|| file.replace(|char: char| char.is_ascii_digit(), ""), str::to_owned);
        let is_kernels = event.text("via") == Some("notify");
        told[usize::from(is_kernels)].push(format!("{} {file}", event.name()));
    }
    told.iter_mut().for_each(|all| all.sort());
    told
}

#[test]
fn calls_that_libc_makes_for_itself_are_told_by_choice_and_no_call_twice() {
    // What both libcs do; glibc alone asks nscd, and reads which databases there are.
    let [own, musls] = [
        ["file.link sem.", "file.unlink sem.", "net.connect socket", "net.connect socket"].as_slice(),
        &["file.link tmp-", "file.unlink tmp-", "file.unlink tmpfile_"],
    ];
    for (program, more) in LIBCS_OWN.iter().zip([own, musls]) {
        let [by_hooks, none] = by_teller(program, "");
        assert_eq!(Vec::<String>::new(), none, "{}: without the choice", program.name);

        let [still_by_hooks, told] = by_teller(program, "libc");

        assert_eq!(by_hooks, still_by_hooks, "{}", program.name);
        // In the fork child too.
        let twice = |what: &str| 2 == told.iter().filter(|one| *one == what).count();
        assert!(twice("file.open passwd"), "{}: {told:#?}", program.name);
        for what in ["net.connect log", "file.open nftw", "file.open link"].iter().chain(more) {
            assert!(told.iter().any(|one| one == what), "{}: {what} is not in {told:#?}", program.name);
        }
        let both: Vec<_> = told.iter().filter(|one| by_hooks.contains(one)).collect();
        // No hook has a path of a socket that is made.
        assert!(both.iter().all(|one| *one == "net.socket "), "{}: {both:#?}", program.name);
    }
}

#[test]
fn lookups_that_libc_makes_for_itself_are_told_where_both_are_chosen() {
    for program in &LIBCS_OWN {
        let [_, told] = by_teller(program, "lookups");
        assert_eq!(Vec::<String>::new(), told, "{}: one choice", program.name);

        let [by_hooks, told] = by_teller(program, "libc,lookups");

        let of_realpath = |all: &[String]| all.iter().filter(|one| *one == "file.readlink symlink").count();
        assert_eq!((0, 1), (of_realpath(&by_hooks), of_realpath(&told)), "{}: {told:#?}", program.name);
    }
}

#[test]
fn a_dynamic_python_has_the_same_events_by_hooks_with_the_choice() {
    const SCRIPT: &str = "import json, os, pwd, socket, subprocess, tempfile; pwd.getpwnam('root')\n\
        os.listdir('/'); subprocess.run(['true']); tempfile.TemporaryFile().close()\n\
        try: socket.getaddrinfo('localhost', 80)\n\
        except OSError: pass";
    let counted = |request: &str| {
        let scene = Scene::of("steady", &["0"]);
        scene.clean();
        let mut command = scene.command(glassbox());
        command.arg("run").args(FULL).args([
            "-o",
            &scene.events_output(),
            "--",
            "/usr/bin/python3",
            "-Bc",
            SCRIPT,
        ]);
        command.env("GLASSBOX_TELL", request);
        let ending = child::run(command, b"");
        assert_eq!(Status::Exited(0), ending.status, "{ending:?}");
        let mut counts = [BTreeMap::new(), BTreeMap::new()];
        for event in scene.events(Expect::NothingLost).iter() {
            let is_kernels = event.text("via") == Some("notify");
            *counts[usize::from(is_kernels)].entry(event.name().to_owned()).or_insert(0) += 1;
        }
        counts
    };

    let [by_hooks, _] = counted("");
    let [still_by_hooks, told] = counted("libc");

    assert_eq!(by_hooks, still_by_hooks);
    assert!(told.get("file.open").is_some_and(|count| *count >= 3), "{told:?}");
}
