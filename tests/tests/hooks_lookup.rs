//! Look-ups, locks, space, mounts in steps, limits, and names of addresses.

use glassbox_tests::events::Event;
use glassbox_tests::scene::{sensed, sensed_on_musl, unnoticed};

#[test]
fn calls_that_look_up_lock_and_limit_give_their_bare_results() {
    unnoticed("looks");
}

/// Call, last part of the path, error.
fn line(event: &Event) -> (&str, &str, Option<&str>) {
    (event.call(), event.path().rsplit('/').next().unwrap_or_default(), event.text("error"))
}

#[test]
fn look_up_that_fails_is_told_and_one_that_succeeds_is_not() {
    for libc in [sensed as fn(&str, &[&str]) -> _, sensed_on_musl] {
        let seen = libc("looks", &["lookups"]).events;

        let stats: Vec<_> = seen.named("file.stat").map(line).collect();
        let missing = Some("ENOENT");
        let expected = [
            ("stat", "missing", missing),
            ("lstat", "missing", missing),
            ("fstatat", "missing", missing),
            ("fstatat", "missing", missing),
            ("statx", "missing", missing),
            ("stat", "", Some("EFAULT")),
        ];
        assert_eq!(expected.as_slice(), stats, "{}", seen.outline());
        let flags: Vec<_> = seen.named("file.stat").map(|event| event.list("flags")).collect();
        let (none, link) = (Vec::<&str>::new(), vec!["AT_SYMLINK_NOFOLLOW"]);
        assert_eq!([&none, &link, &link, &none, &link, &none].map(Clone::clone).as_slice(), flags);
        let accesses: Vec<_> =
            seen.named("file.access").map(|event| (line(event), event.list("mode"))).collect();
        let expected = [
            (("access", "missing", missing), vec!["R_OK", "X_OK"]),
            (("faccessat", "missing", missing), vec![]),
        ];
        assert_eq!(expected.as_slice(), accesses);
        let links: Vec<_> = seen.named("file.readlink").map(line).collect();
        assert_eq!(
            [("readlink", "there", Some("EINVAL")), ("readlinkat", "missing", missing)].as_slice(),
            links
        );
    }
}

#[test]
fn look_up_that_succeeds_is_told_on_request() {
    let seen = sensed("looks", &["asked"]).events;

    let succeeded: Vec<_> = seen
        .iter()
        .filter(|event| ["file.stat", "file.access", "file.readlink"].contains(&event.name()))
        .filter(|event| event.text("error").is_none())
        .map(|event| (line(event), event.text("target")))
        .collect();
    let expected = [
        (("stat", "there", None), None),
        (("access", "there", None), None),
        (("readlink", "link", None), Some("there")),
    ];
    assert_eq!(expected.as_slice(), succeeded, "{}", seen.outline());
}

#[test]
fn locks_are_told_on_request_alone() {
    assert_eq!(0, sensed("looks", &["locks"]).events.named("file.lock").count());
    let seen = sensed("looks", &["asked", "locks"]).events;

    let locks: Vec<_> = seen
        .named("file.lock")
        .map(|event| {
            (
                event.call(),
                event.text("lock").unwrap_or_default(),
                event.number("start"),
                event.number("length"),
            )
        })
        .collect();
    let expected = [
        ("flock", "LOCK_EX", None, None),
        ("flock", "LOCK_UN", None, None),
        ("fcntl", "F_WRLCK", Some(10), Some(20)),
        ("fcntl", "F_UNLCK", Some(10), Some(20)),
        ("lockf", "F_TLOCK", None, Some(5)),
        ("flock", "LOCK_SH", None, None),
    ];
    assert_eq!(expected.as_slice(), locks, "{}", seen.outline());
    let waits: Vec<_> =
        seen.named("file.lock").map(|event| event.field("waits").and_then(|waits| waits.as_bool())).collect();
    assert_eq!([false, true, false, true, false, true].map(Some).as_slice(), waits);
    assert!(seen.named("file.lock").take(5).all(|event| event.is_file("locked")));
}

#[test]
fn space_that_a_file_gets_is_told_with_its_range() {
    let seen = sensed("looks", &["space"]).events;

    let told: Vec<_> = seen
        .named("file.allocate")
        .map(|event| (event.call(), event.list("flags"), event.number("offset"), event.number("length")))
        .collect();
    let expected = [
        ("posix_fallocate", vec![], Some(0), Some(4096)),
        ("fallocate", vec!["FALLOC_FL_KEEP_SIZE"], Some(4096), Some(8192)),
        ("posix_fallocate", vec![], Some(0), Some(1)),
    ];
    assert_eq!(expected.as_slice(), told);
    assert_eq!(Some("EBADF"), seen.named("file.allocate").nth(2).unwrap().text("error"));
    assert!(seen.named("file.allocate").next().unwrap().is_file("sized"));
}

#[test]
fn mount_that_is_made_in_steps_is_told_step_by_step() {
    let seen = sensed("looks", &["mounts"]).events;

    let steps: Vec<_> = seen
        .named("process.namespace")
        .skip(2)
        .map(|event| {
            let text = |field| event.text(field).unwrap_or_default();
            let last = event.path().rsplit('/').next().unwrap_or_default();
            (
                text("what"),
                last,
                event.list("flags"),
                text("source"),
                text("filesystem"),
                event.list("attributes"),
            )
        })
        .collect();
    let expected = [
        ("fsopen", "", vec!["FSOPEN_CLOEXEC"], "", "tmpfs", vec![]),
        ("fsconfig", "", vec![], "from", "", vec![]),
        ("fsmount", "", vec!["FSMOUNT_CLOEXEC"], "", "", vec!["MOUNT_ATTR_NOSUID"]),
        ("move_mount", "one", vec!["MOVE_MOUNT_F_EMPTY_PATH"], "", "", vec![]),
        ("open_tree", "one", vec!["OPEN_TREE_CLONE"], "", "", vec![]),
        ("mount_setattr", "one", vec!["AT_SYMLINK_NOFOLLOW"], "", "", vec!["MOUNT_ATTR_RDONLY"]),
        ("fspick", "one", vec!["FSPICK_CLOEXEC"], "", "", vec![]),
        ("fsopen", "", vec![], "", "nothing", vec![]),
    ];
    assert_eq!(expected.as_slice(), steps, "{}", seen.outline());
}

#[test]
fn limit_that_changes_is_told_with_the_process_that_it_is_of() {
    let seen = sensed("looks", &["limits"]).events;

    let told: Vec<_> = seen
        .named("process.limit")
        .map(|event| {
            let numbers = ["soft", "hard"].map(|field| event.number(field));
            (event.call(), event.text("resource").unwrap_or_default(), numbers, event.text("error"))
        })
        .collect();
    let expected = [
        ("setrlimit", "RLIMIT_CORE", [Some(0), Some(0)], None),
        ("prlimit", "RLIMIT_NOFILE", [Some(64), Some(128)], None),
        ("setrlimit", "RLIMIT_NOFILE", [Some(129), Some(128)], Some("EINVAL")),
    ];
    assert_eq!(expected.as_slice(), told);
    let targets: Vec<_> = seen.named("process.limit").map(|event| event.number("target")).collect();
    let child = seen.named("process.fork").next().unwrap().number("child");
    assert_eq!([None, child, None].as_slice(), targets);
}

#[test]
fn name_of_an_address_that_is_asked_for_is_told() {
    let seen = sensed("looks", &["reverse"]).events;

    let told: Vec<_> = seen
        .named("dns.reverse")
        .map(|event| (event.call(), event.text("addr").unwrap_or_default()))
        .collect();
    assert_eq!(
        [("getnameinfo", "127.0.0.1"), ("getnameinfo", "::1"), ("gethostbyaddr", "127.0.0.1")].as_slice(),
        told
    );
    let named = seen.named("dns.reverse").next().unwrap();
    assert_eq!(Some("localhost"), named.text("host"));
    assert_eq!(None, seen.named("dns.reverse").nth(1).unwrap().text("host"));
}
