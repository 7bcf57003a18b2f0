//! Paths: what is told is the file that the kernel used, where that is another than the text says.

use glassbox_tests::events::{Event, Events};
use glassbox_tests::scene::{Scene, sensed_in, unnoticed};

#[test]
fn unusual_places_give_their_bare_results() {
    unnoticed("places");
}

/// The victim's events, with a function that takes its directory off their paths.
fn seen(mode: &str) -> (Events, impl Fn(&Event) -> String) {
    let scene = Scene::of("places", &[mode]);
    let outcome = sensed_in(&scene);
    let work = format!("{}/", scene.work().display());
    (outcome.events, move |event: &Event| event.path().trim_start_matches(&work).to_owned())
}

#[test]
fn steps_up_behind_a_link_lead_where_the_kernel_goes() {
    let (events, path) = seen("dots");

    let of = |raw: &str| {
        let is_it = |event: &Event| event.name() == "file.open" && event.text("path_raw") == Some(raw);
        let open = events.only(raw, is_it);
        (path(open), open.field("path_lexical").is_some())
    };
    for (raw, expected) in [
        ("lnk/../file", "real/file"),
        ("plain/../file", "file"),
        ("lnk/./.././by-dots", "real/by-dots"),
        ("../by-descriptor", "real/by-descriptor"),
        ("../by-directory", "real/by-directory"),
        ("from-parent", "real/from-parent"),
        ("../from-above", "from-above"),
    ] {
        assert_eq!((expected.to_owned(), false), of(raw), "{raw}");
    }
    assert_eq!(("lost".to_owned(), true), of("nowhere/../lost"), "the kernel went nowhere");
}

#[test]
fn directory_that_is_renamed_takes_along_what_is_open_and_who_is_there() {
    let (events, path) = seen("renamed");

    for (file, expected) in [
        ("one", "old/one"),
        ("two", "new/two"),
        ("three", "new/three"),
        ("by-child", "new/by-child"),
        ("four", "other/four"),
        ("five", "last/five"),
    ] {
        assert_eq!(expected, path(events.opens(file)[0]), "{file}");
    }
    assert_eq!("other/three", path(events.closes("three")[0]));
}

#[test]
fn thread_that_shares_no_directory_and_no_descriptors_is_told_with_its_own() {
    let (events, path) = seen("apart");

    for (file, expected) in [
        ("thread-by-descriptor", "mine/thread-by-descriptor"),
        ("thread-by-directory", "mine/thread-by-directory"),
        ("child-of-thread", "mine/child-of-thread"),
        ("main-by-descriptor", "other/main-by-descriptor"),
        ("main-by-directory", "theirs/main-by-directory"),
        ("main-at-last", "theirs/main-at-last"),
    ] {
        assert_eq!(expected, path(events.opens(file)[0]), "{file}");
    }
}

#[test]
fn file_without_a_name_is_told_by_the_one_that_it_gets() {
    let (events, path) = seen("nameless");
    let link = events.named("file.link").next().expect("a file without a name can be linked here");

    let close = events.only("close of what was written", |event| event.number("bytes_written") == Some(8));
    assert_eq!("folder/linked", path(close));
    // The kernel tells its number while the process lives.
    let is_nameless = link.path().contains("/folder/#") || link.path().starts_with("/proc/self/fd/");
    assert!(is_nameless, "{link:?}");
    let again = events.named("file.link").nth(1).map(path);
    assert_eq!(Some("folder/named".to_owned()), again);
}
