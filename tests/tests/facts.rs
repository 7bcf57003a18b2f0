//! Facts of an image are its own, however short its life is: executable, arguments, times.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::time::{SystemTime, UNIX_EPOCH};

use glassbox_tests::artefacts::glassbox;
use glassbox_tests::child::{self, Status};
use glassbox_tests::events::{Event, Events, Expect};
use glassbox_tests::scene::Scene;
use serde_json::Value;

/// The events of a shell that runs `script` in an empty directory, under `glassbox run`.
fn of_shell(script: &str, variables: &[(&str, &str)]) -> (Scene, Events) {
    let scene = Scene::of("scripts", &[]);
    scene.clean();
    let mut command = scene.command(glassbox());
    command.args(["run", "-o", &scene.events_output(), "--", "/bin/sh", "-c", script]);
    command.envs(variables.iter().copied());

    let ending = child::run(command, b"");

    assert_eq!(Status::Exited(0), ending.status, "{ending:?}");
    let events = scene.events(Expect::default());
    (scene, events)
}

fn starts<'e>(events: &'e Events, name: &'e str) -> impl Iterator<Item = &'e Event> {
    events.named("process.start").filter(move |start| start.list("argv").first() == Some(&name))
}

#[test]
fn each_image_of_a_chain_is_told_with_its_own_executable() {
    let script = "i=0; while [ $i -lt 60 ]; do env nice true; i=$((i + 1)); done";
    let (_, events) = of_shell(script, &[]);

    for name in ["env", "nice", "true"] {
        let expected = format!("/usr/bin/{name}");
        let told: Vec<_> = starts(&events, name).map(|start| start.text("exe")).collect();
        assert_eq!(vec![Some(expected.as_str()); 60], told);
    }
}

#[test]
fn environment_that_the_loader_and_proxies_read_is_told_and_no_other() {
    let script = "export GLIBC_TUNABLES=glibc.malloc.check=0 http_proxy=http://h:1 HTTPS_PROXY=h ALL_PROXY=h \\
        GLIBC_TUNABLE=x HTTP_PROXYS=x XHTTP_PROXY=x TOKEN=x; /bin/true";
    let (_, events) = of_shell(script, &[]);

    let told = starts(&events, "/bin/true").next().expect("the program begins");
    let names = told.field("env").and_then(Value::as_object).expect("an object").keys().cloned();
    let expected =
        ["ALL_PROXY", "GLASSBOX_SOCKET", "GLIBC_TUNABLES", "HTTPS_PROXY", "LD_PRELOAD", "http_proxy"];
    assert_eq!(BTreeSet::from(expected.map(str::to_owned)), names.collect());
}

#[test]
fn program_of_another_mount_namespace_is_not_what_has_its_path_here() {
    assert!(may_unshare("-m"), "unshare -m is forbidden here");
    let script = "mkdir image opt && cp /bin/true image/tool && ln -s /usr/bin/sha256sum opt/tool
        unshare -m sh -c \"mount --bind $PWD/image $PWD/opt
            for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do $PWD/opt/tool; done\"";
    let (scene, events) = of_shell(script, &[]);

    let tool = scene.work().join("opt/tool");
    let told: Vec<_> = starts(&events, tool.to_str().unwrap()).map(|start| start.text("exe")).collect();
    assert_eq!(vec![tool.to_str(); 20], told);
}

#[test]
fn program_in_memory_is_no_file_of_the_collectors() {
    let script = "cat >run.py <<'P'
import os
memory = os.memfd_create('payload', 0)
os.write(memory, open('/bin/true', 'rb').read())
for _ in range(20):
    os.posix_spawn(f'/proc/self/fd/{memory}', ['payload'], os.environ)
    os.wait()
P
python3 run.py";
    let (_, events) = of_shell(script, &[]);

    let told: Vec<_> = starts(&events, "payload").map(|start| start.text("exe")).collect();
    assert_eq!(vec![Some("/memfd:payload"); 20], told);
}

#[test]
fn script_by_descriptor_is_told_beside_its_interpreter() {
    let script = "cat >run.py <<'P'
import ctypes, os
memory = os.memfd_create('tool', 0)
os.write(memory, b'#!/bin/sh\\nexit 0\\n')
argv = (ctypes.c_char_p * 2)(b'tool', None)
libc = ctypes.CDLL(None)
envp = ctypes.POINTER(ctypes.c_char_p).in_dll(libc, 'environ')
libc.execveat(memory, b'', argv, envp, 0x1000)
P
exec python3 run.py";
    let (_, events) = of_shell(script, &[]);

    let start = events.named("process.start").last().unwrap();
    assert!(start.path().starts_with("/dev/fd/"), "{start:?}");
    assert!(start.text("exe").unwrap().ends_with("sh"), "{start:?}");
}

#[test]
fn path_of_a_link_is_told_as_the_kernel_shows_the_file() {
    let scene = Scene::of("scripts", &[]);
    scene.clean();
    symlink("/bin/true", scene.work().join("link")).unwrap();
    let mut command = scene.command(glassbox());
    let script = "i=0; while [ $i -lt 30 ]; do ./link; i=$((i + 1)); done";
    command.args(["run", "-o", &scene.events_output(), "--", "/bin/sh", "-c", script]);

    let ending = child::run(command, b"");

    assert_eq!(Status::Exited(0), ending.status, "{ending:?}");
    let events = scene.events(Expect::default());
    let told: Vec<_> = starts(&events, "./link").map(|start| start.text("exe")).collect();
    assert_eq!(vec![Some("/usr/bin/true"); 30], told);
}

#[test]
fn argument_vector_that_is_too_long_is_cut_and_counted() {
    let script = "/bin/true $(seq 1 5000); sh -c '/bin/true $(seq 1 5000)'";
    let (_, cut) = of_shell(script, &[]);
    let (_, whole) = of_shell(script, &[("GLASSBOX_ARGV_KIB", "128")]);

    let of_true = |events: &Events, name: &str| -> Vec<(usize, Option<i64>, bool)> {
        let told = events.named(name).filter(|event| event.list("argv").first() == Some(&"/bin/true"));
        let is_cut = |event: &Event| event.field("truncated").is_some();
        told.map(|event| (event.list("argv").len(), event.number("argc"), is_cut(event))).collect()
    };
    for name in ["process.start", "process.exec"] {
        let told = of_true(&cut, name);
        assert_eq!(2, told.len(), "{}", cut.outline());
        for (count, argc, is_cut) in told {
            assert!((3000..5000).contains(&count), "{count}");
            assert_eq!((Some(5001), true), (argc, is_cut));
        }
        assert_eq!(vec![(5001, None, false); 2], of_true(&whole, name));
    }
}

#[test]
fn the_loaders_arguments_are_told_where_it_is_the_program() {
    let script = "loader=/lib64/ld-linux-x86-64.so.2; [ -e $loader ] || exit 0
        exec $loader --argv0 innocent /bin/sh -c :";
    let (_, events) = of_shell(script, &[]);

    let loader = "/lib64/ld-linux-x86-64.so.2";
    if std::path::Path::new(loader).exists() {
        let start = starts(&events, loader).next().unwrap();
        assert_eq!(vec![loader, "--argv0", "innocent", "/bin/sh", "-c", ":"], start.list("argv"));
    }
}

#[test]
fn arguments_that_a_program_cannot_read_are_those_of_its_exec() {
    assert!(may_unshare("-m"), "unshare -m is forbidden here");
    // The loader as the program changes its vector, and finds the one before in /proc alone.
    let script = "loader=/lib64/ld-linux-x86-64.so.2; [ -e $loader ] || exit 0
        unshare -m sh -c \"umount -l /proc; $loader /bin/true in a child; exec $loader /bin/true of its own\"";
    let (_, events) = of_shell(script, &[]);

    let loader = "/lib64/ld-linux-x86-64.so.2";
    if std::path::Path::new(loader).exists() {
        let told: Vec<_> = starts(&events, loader).map(|start| start.list("argv")).collect();
        let child = vec![loader, "/bin/true", "in", "a", "child"];
        assert_eq!(vec![child, vec![loader, "/bin/true", "of", "its", "own"]], told);
    }
}

/// Whether this user may make such a namespace.
fn may_unshare(option: &str) -> bool {
    let unshare = std::process::Command::new("unshare").args([option, "true"]).status();
    unshare.is_ok_and(|status| status.success())
}

#[test]
fn times_of_another_time_namespace_are_the_worlds() {
    assert!(may_unshare("-T"), "unshare -T is forbidden here");
    // No clock may be set before the machine's start.
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let behind = format!("-{}", uptime.split('.').next().unwrap().parse::<u64>().unwrap() / 2);
    let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    for offset in [behind.as_str(), "1000000"] {
        let script = format!(
            "unshare -T --monotonic {offset} -f sh -c 'echo 1 > one; cat one >/dev/null; echo 2 > two; (: > three)'"
        );
        let (_, events) = of_shell(&script, &[]);

        // Seconds since 1970 of the day's part of a time: a run is over within the same day, or the next.
        let of_day = |event: &Event| -> u64 {
            let time = event.text("time").unwrap();
            let number = |at: usize| time[at..at + 2].parse::<u64>().unwrap();
            number(11) * 3600 + number(14) * 60 + number(17)
        };
        let late = |event: &&Event| (of_day(event) + 86_400 - begun % 86_400) % 86_400 > 300;
        let late = events.iter().find(late);
        assert!(late.is_none(), "offset {offset}: {late:?}");
        let times: Vec<_> = ["one", "two", "three"]
            .iter()
            .map(|name| events.opens(name)[0].text("time").unwrap().to_owned())
            .collect();
        assert!(times.is_sorted() && times[0] != times[1], "{times:?}");
        let held = events.closes("one").iter().filter(|close| close.number("open_ns") > Some(0)).count();
        assert_eq!(events.closes("one").len(), held);
    }
}

#[test]
fn child_that_was_waited_for_has_ended_before_the_next_one_begins() {
    let script = "i=0; while [ $i -lt 60 ]; do /bin/true; i=$((i + 1)); done";
    let (_, events) = of_shell(script, &[]);

    let mut running = Vec::new();
    let mut late = 0;
    let is_child = |event: &&Event| ["process.start", "process.exit"].contains(&event.name());
    for event in events.iter().filter(is_child) {
        if event.name() == "process.exit" {
            running.retain(|pid| *pid != event.pid());
        } else if event.list("argv") == ["/bin/true"] {
            late += running.len();
            running.push(event.pid());
        }
    }
    // An end is late where the collector had no processor for 20 ms: without that, over 30 are.
    assert!(late <= 6, "{late} of 60 ended late");
}
