//! Flags and arguments: those that change what a call means are told, and the event says what the kernel did.

use std::path::Path;

use glassbox_tests::events::{Event, Events};
use glassbox_tests::scene::{Scene, sensed, sensed_in, sensed_on_musl, unnoticed};
use glassbox_tests::victim::{Libc, compiled};

#[test]
fn calls_with_unusual_arguments_give_their_bare_results() {
    unnoticed("arguments");
}

#[test]
fn path_that_begins_at_a_directory_is_told_as_the_kernel_resolved_it() {
    let scene = Scene::of("arguments", &["flags"]);
    let seen = sensed_in(&scene).events;

    let opens: Vec<&Event> = seen.iter().filter(|event| event.call() == "openat2").collect();
    let within = format!("{}/box/etc/shadow", scene.work().display());
    for open in &opens[..2] {
        assert_eq!(
            (within.as_str(), vec!["RESOLVE_IN_ROOT"]),
            (open.path(), open.list("resolve")),
            "{open:?}"
        );
    }
    assert_eq!((Some("EINVAL"), "/etc/shadow"), (opens[2].text("error"), opens[2].path()));
    assert_eq!(vec!["O_RDONLY"], opens[2].list("flags"));
}

#[test]
fn flags_are_told_and_none_is_invented() {
    let seen = sensed("arguments", &["flags"]).events;

    let of = |call: &str| seen.iter().filter(|event| event.call() == call).collect::<Vec<_>>();
    assert_eq!(vec!["RENAME_EXCHANGE"], of("renameat2")[0].list("flags"));
    assert_eq!(vec!["AT_SYMLINK_FOLLOW"], of("linkat")[0].list("flags"));
    assert_eq!(vec!["AT_SYMLINK_NOFOLLOW"], of("fchownat")[0].list("flags"));
    let attribute = of("setxattr")[0];
    assert_eq!((vec!["XATTR_REPLACE"], Some(5)), (attribute.list("flags"), attribute.number("size")));
    let [private, tmpfs] = of("mount")[..] else { panic!("{}", seen.outline()) };
    assert_eq!((vec!["MS_REC", "MS_PRIVATE"], None), (private.list("flags"), private.text("filesystem")));
    assert_eq!((vec!["MS_NOSUID"], Some("tmpfs")), (tmpfs.list("flags"), tmpfs.text("filesystem")));
}

#[test]
fn descriptor_marked_by_ioctl_closes_at_exec_and_no_other() {
    let seen = sensed("arguments", &["mark"]).events;

    let place = |wanted: &Event| seen.iter().position(|event| std::ptr::eq(event, wanted)).unwrap();
    let start = seen.named("process.start").nth(1).map(place).unwrap();
    assert_eq!(1, seen.closes("closes").len());
    assert!(place(seen.closes("closes")[0]) < start, "{}", seen.outline());
    assert_eq!(1, seen.closes("stays").len());
    assert!(seen.closes("stays").iter().all(|close| place(close) > start), "{}", seen.outline());
}

#[test]
fn file_opened_by_a_handle_is_told_with_the_path_that_it_has() {
    let scene = Scene::of("arguments", &["handle"]);
    let seen = sensed_in(&scene).events;

    let secret = format!("{}/secret", scene.work().display());
    let asked: Vec<&Event> = seen.named("file.handle").collect();
    assert_eq!(vec![secret.as_str(); 2], asked.iter().map(|event| event.path()).collect::<Vec<_>>());
    assert_eq!(
        (Some("EOVERFLOW"), vec!["AT_SYMLINK_FOLLOW"]),
        (asked[0].text("error"), asked[0].list("flags"))
    );
    // Without file handles there is nothing to open.
    if asked[1].has_failed() {
        return;
    }
    let opens: Vec<&Event> = seen.iter().filter(|event| event.call() == "open_by_handle_at").collect();
    let told = opens.iter().map(|open| (open.path(), open.list("flags"))).collect::<Vec<_>>();
    let expected =
        [(secret.as_str(), vec!["O_RDONLY"]), (secret.as_str(), vec!["O_WRONLY"]), ("", vec!["O_RDONLY"])];
    assert_eq!(expected.as_slice(), told);
    assert!(seen.closes("secret").iter().any(|close| close.number("bytes_read") == Some(9)));
}

#[test]
fn search_of_path_passes_over_what_execvp_passes_over() {
    for libc in [sensed as fn(&str, &[&str]) -> _, sensed_on_musl] {
        let seen = libc("arguments", &["search"]).events;

        let asked = |name: &str| {
            let is_it = |event: &&Event| event.name() == "process.exec" && event.list("argv") == [name];
            let path = seen.iter().find(is_it).map(|event| event.path().to_owned()).unwrap();
            path.rsplit('/').take(2).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(["tool", "two"].as_slice(), asked("tool"));
        assert_eq!(["data", "two"].as_slice(), asked("data"), "it may not be executed");
        assert_eq!(["nowhere", "three"].as_slice(), asked("nowhere"), "the last that was tried");
    }
}

#[test]
fn peers_that_datagrams_alternate_between_are_told_once_each_and_once_more_by_a_new_socket() {
    let seen = sensed("arguments", &["peers"]).events;

    let connects: Vec<&str> = seen.named("net.connect").map(Event::call).collect();
    assert_eq!(vec!["sendto", "sendto", "sendmmsg", "sendto"], connects);
}

#[test]
fn program_of_a_child_that_is_moved_first_is_told_where_the_child_finds_it() {
    for libc in [Libc::Glibc, Libc::Musl] {
        let scene = Scene::with(compiled("arguments", libc), &["spawn"]);
        let (outcome, work) = (sensed_in(&scene), scene.work());

        let is_spawn =
            |event: &&Event| event.name() == "process.exec" && event.call().starts_with("posix_spawn");
        let spawns: Vec<&Event> = outcome.events.iter().filter(is_spawn).collect();
        let path = |event: &&Event| {
            let below = Path::new(event.path()).strip_prefix(&work);
            below.map_or_else(|_| event.path().to_owned(), |below| below.display().to_string())
        };
        let expected = [
            "sub/tool",
            "sub/deep/tool",
            "sub/deep/missing",
            "sub/deep/missing",
            "sub/tool",
            "sub/deep/tool",
            "sub/deep/tool",
            "sub/tool",
        ];
        assert_eq!(expected.as_slice(), spawns.iter().map(path).collect::<Vec<_>>());
        let actions =
            ["close 200", "dup2 1 7", "open 8 log O_WRONLY|O_CREAT 0o640", "chdir sub", "chdir deep"];
        assert_eq!(actions.as_slice(), spawns[1].list("actions"));
        assert_eq!(None, spawns[7].field("actions"), "an empty list");
        let started = |event: &Event| event.name() == "process.start" && event.is_file("tool");
        assert_eq!(6, outcome.events.iter().filter(|event| started(event)).count());
    }
}

#[test]
fn execveat_tells_its_flags() {
    let seen = sensed("arguments", &["spawn"]).events;

    let failed = seen.only("execveat that failed", |event| event.call() == "execveat" && event.has_failed());
    assert_eq!((Some("ELOOP"), vec!["AT_SYMLINK_NOFOLLOW"]), (failed.text("error"), failed.list("flags")));
}

#[test]
fn times_that_a_file_is_given_are_told_in_nanoseconds() {
    times_are_told(&sensed("arguments", &["times"]).events);
    times_are_told(&sensed_on_musl("arguments", &["times"]).events);
}

fn times_are_told(seen: &Events) {
    let line = |event: &Event| {
        let times = ["accessed", "modified"].map(|field| event.number(field));
        (event.call().to_owned(), times, event.text("error").is_some())
    };
    let told: Vec<_> = seen.named("file.times").map(line).collect();
    let second = 1_000_000_000;
    let expected = [
        ("utimensat", [Some(second * second + 5), None], false),
        ("futimens", [Some(second * second + 5), Some(1_234_567_890 * second + 999_999_999)], false),
        ("utimes", [Some(second + 2000), Some(3 * second + 4000)], false),
        ("utimes", [None, None], false),
        ("utimensat", [Some(second * second + 5), Some(1_234_567_890 * second + 999_999_999)], true),
        ("utime", [Some(5 * second), Some(6 * second)], false),
        ("lutimes", [Some(7 * second), Some(8 * second)], false),
        ("futimes", [Some(9 * second + 1000), Some(10 * second)], false),
    ];
    let expected = expected.map(|(call, times, failed)| (call.to_owned(), times, failed));
    assert_eq!(expected.as_slice(), told);
    let stamped = seen.named("file.times").next().unwrap();
    assert_eq!(vec!["AT_SYMLINK_NOFOLLOW"], stamped.list("flags"));
}
