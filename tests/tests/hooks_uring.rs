//! What a program asks of the kernel through an io_uring.

use glassbox_tests::events::{Event, Events};
use glassbox_tests::scene::{sensed, sensed_on_musl, unnoticed};

#[test]
fn program_with_an_io_uring_gives_its_bare_results() {
    unnoticed("uring");
}

/// The events that stand for requests: name, last part of the path.
fn asked(seen: &Events) -> Vec<(&str, &str)> {
    let is_asked =
        |event: &&Event| event.call() == "io_uring_enter" || event.call().starts_with("io_uring_submit");
    let last = |event: &'_ Event| event.path().rsplit('/').next().unwrap_or_default().len();
    seen.iter()
        .filter(is_asked)
        .map(|event| (event.name(), &event.path()[event.path().len() - last(event)..]))
        .collect()
}

/// Whether the kernel lets this user have an io_uring.
fn has_queue(seen: &Events) -> bool {
    seen.named("kernel.io_uring").next().is_some_and(|made| !made.has_failed())
}

#[test]
fn what_is_asked_by_an_io_uring_is_told_before_it_is_submitted() {
    for libc in [sensed as fn(&str, &[&str]) -> _, sensed_on_musl] {
        let seen = libc("uring", &["raw"]).events;
        if !has_queue(&seen) {
            return;
        }

        let expected = [
            ("file.open", "made"),
            ("file.mkdir", "folder"),
            ("file.rename", "made"),
            ("net.connect", ""),
            ("file.rmdir", "folder"),
            ("file.unlink", ""),
            ("net.close", ""),
        ];
        assert_eq!(expected.as_slice(), asked(&seen), "{}", seen.outline());
        let open = seen.only("open", |event| event.name() == "file.open" && event.is_file("made"));
        assert_eq!(
            (vec!["O_WRONLY", "O_CREAT"], Some(0o640), None),
            (open.list("flags"), open.number("mode"), open.number("ret"))
        );
        let connect = seen.only("connect", |event| event.name() == "net.connect");
        assert_eq!(Some("127.0.0.1:9"), connect.text("remote"));
    }
}

#[test]
fn what_the_kernel_takes_without_a_call_is_told_at_the_next_wait() {
    let seen = sensed("uring", &["polled"]).events;
    if !has_queue(&seen) {
        return;
    }

    assert_eq!([("file.open", "made")].as_slice(), asked(&seen), "{}", seen.outline());
}

#[test]
fn what_liburing_submits_is_told() {
    let seen = sensed("uring", &["library"]).events;
    if !has_queue(&seen) {
        return;
    }

    assert_eq!(
        [("file.mkdir", "folder"), ("file.rmdir", "folder")].as_slice(),
        asked(&seen),
        "{}",
        seen.outline()
    );
    assert_eq!(2, seen.named("kernel.io_uring").count());
    assert_eq!(Some("EINVAL"), seen.named("kernel.io_uring").nth(1).unwrap().text("error"));
}

#[test]
fn queue_that_was_scribbled_or_unmapped_is_not_read() {
    for mode in ["scribbled", "gone", "partly"] {
        assert_eq!(0, asked(&sensed("uring", &[mode]).events).len(), "{mode}");
    }
}
