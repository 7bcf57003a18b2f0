//! Files: every open and close is reported once, with its path, number and mode, whichever function made it.

use glassbox_tests::child::{self, Status};
use glassbox_tests::events::{Event, Events, Expect};
use glassbox_tests::scene::{Scene, sensed, sensed_in, sensed_on_musl};

/// The flags of an open; the order in which they are listed does not matter.
fn flags(event: &Event) -> Vec<&str> {
    let mut flags = event.list("flags");
    flags.sort_unstable();
    flags
}

#[test]
fn every_way_to_open_is_reported_once_with_its_own_name() {
    let outcome = sensed("open_family", &[]);
    let seen = &outcome.events;

    // The file's name, the call (the row's canonical name, docs/contract.md), how often.
    let mut expected = vec![
        ("openat.cwd", "openat", 2),
        ("openat.dir", "openat", 1),
        ("openat.dots", "openat", 1),
        ("openat.bad", "openat", 1),
        ("creat.plain", "creat", 1),
        ("open.plain", "open", 3),
        ("open.missing", "open", 1),
        ("open.append", "open", 1),
        ("open64.plain", "open", 2),
        ("openat64.plain", "openat", 2),
        ("creat64.plain", "creat", 1),
        ("openat2.plain", "openat2", 1),
        ("syscall.openat", "openat", 1),
        ("syscall.open", "open", 1),
        ("fopen64.plain", "fopen", 1),
        ("fopen.w", "fopen", 2),
        ("fopen.a", "fopen", 1),
        ("fopen.wx", "fopen", 1),
        ("fopen.missing", "fopen", 1),
        ("freopen.first", "fopen", 2),
        ("freopen.second", "freopen", 1),
        ("opendir.missing", "opendir", 1),
        ("scandir.missing", "scandir", 1),
        ("glob.missing", "glob", 1),
    ];
    // aarch64 has no such system call, so the victim does not make it.
    expected.retain(|(file, ..)| *file != "syscall.open" || outcome.files.contains_key("syscall.open"));
    let mut wrong = Vec::new();
    for (file, call, times) in expected {
        let opens = seen.opens(file);
        if opens.len() != times || opens.iter().any(|open| open.call() != call) {
            let calls: Vec<&str> = opens.iter().map(|open| open.call()).collect();
            wrong.push(format!("{file}: {times} of {call} expected, reported {calls:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), seen.outline());
}

#[test]
fn a_temporary_file_is_reported_with_the_name_that_it_was_given() {
    let outcome = sensed("open_family", &[]);

    for call in ["mkstemp", "mkostemp", "mkstemps", "mkostemps"] {
        let made = outcome.files.keys().find(|name| name.starts_with(&format!("{call}."))).unwrap();
        assert_eq!(1, outcome.events.opens(made).len(), "{made}\n{}", outcome.events.outline());
    }
}

#[test]
fn files_that_libc_opens_for_a_call_are_reported_under_it() {
    for seen in [sensed("open_family", &[]).events, sensed_on_musl("open_family", &[]).events] {
        let nameless = seen.only("tmpfile", |event| event.call() == "tmpfile");
        let listed =
            seen.only("scandir that works", |event| event.call() == "scandir" && !event.has_failed());

        assert_eq!("/tmp", nameless.path());
        assert!(flags(nameless).contains(&"O_TMPFILE"), "{nameless:?}");
        assert_eq!(1, seen.named("file.close").filter(|close| close.path() == "/tmp").count());
        assert!(listed.is_file("dir"), "{listed:?}");
        let globbed = seen.iter().filter(|event| event.call() == "glob" && event.is_file("dir"));
        assert_eq!(2, globbed.filter(|event| !event.has_failed()).count(), "{}", seen.outline());
    }
}

#[test]
fn memory_files_are_reported() {
    let seen = sensed("open_family", &[]).events;

    let memfd = seen.only("memfd_create", |event| event.call() == "memfd_create");
    let shm = seen.only("shm_open that works", |event| event.call() == "shm_open" && !event.has_failed());
    assert!(memfd.path().contains("memfd.plain"), "{memfd:?}");
    assert_eq!("/dev/shm/glassbox-test-shm", shm.path());
}

#[test]
fn an_open_tells_number_flags_and_mode() {
    let seen = sensed("open_family", &[]).events;

    let made = seen.opens("open.plain")[0];
    assert_eq!(Some(4), made.number("fd"));
    assert_eq!(vec!["O_CREAT", "O_RDWR"], flags(made));
    let mode = made.field("mode").unwrap();
    assert!(mode == 0o640 || mode == "0640" || mode == "0o640", "{mode}");
    let appended = seen.opens("open.append")[0];
    assert_eq!(vec!["O_APPEND", "O_CLOEXEC", "O_CREAT", "O_WRONLY"], flags(appended));
}

#[test]
fn open_without_o_creat_reports_no_mode() {
    let seen = sensed("open_family", &[]).events;

    let again = seen.opens("open.plain")[1];
    assert_eq!(vec!["O_RDONLY"], flags(again));
    assert_eq!(None, again.field("mode"));
}

#[test]
fn a_failed_open_tells_its_error_and_its_path() {
    let outcome = sensed("open_family", &[]);

    let missing = outcome.events.opens("open.missing")[0];
    assert_eq!((Some("ENOENT"), Some(-1)), (missing.text("error"), missing.number("ret")));
    assert_eq!(Some("EBADF"), outcome.events.opens("openat.bad")[0].text("error"));
    assert_eq!(Some("EINVAL"), outcome.events.opens("fopen.bad")[0].text("error"));
    assert_eq!(Some("ENOENT"), outcome.events.opens("opendir.missing")[0].text("error"));
}

#[test]
fn paths_are_absolute_whatever_they_were_relative_to() {
    let scene = Scene::of("directories", &[]);
    let seen = sensed_in(&scene).events;

    let work = scene.work().display().to_string();
    for (file, path) in [
        ("in-a", "a/in-a"),
        ("still-in-a", "a/still-in-a"),
        ("in-b", "a/b/in-b"),
        ("by-dots", "c/by-dots"),
        ("childs-in-c", "c/childs-in-c"),
        ("parent-in-b", "a/b/parent-in-b"),
        ("at-top", "at-top"),
        ("by-dirfd", "a/b/by-dirfd"),
    ] {
        let open = seen.only(file, |event| event.name() == "file.open" && event.is_file(file));
        assert_eq!(format!("{work}/{path}"), open.path());
    }
}

#[test]
fn what_the_caller_passed_is_kept_where_it_differs() {
    let seen = sensed("directories", &[]).events;

    let open = seen.opens("by-dots")[0];
    assert_eq!(Some("./../../c/./by-dots"), open.text("path_raw"));
}

#[test]
fn odd_names_are_escaped_and_nothing_else_is() {
    let scene = Scene::of("weird_names", &[]);
    let seen = sensed_in(&scene).events;

    let work = scene.work().display().to_string();
    for name in [
        "with space",
        "with\"quote",
        "with\\backslash",
        "with\nnewline",
        "\u{1}\u{1f}",
        "\\xff\\xfe",
        "half\\xc3",
        "snow\u{2603}man",
        "\\xed\\xa0\\x80surrogate",
        "-dash",
        "%s%n%x",
    ] {
        let path = format!("{work}/{name}");
        let opens = seen.named("file.open").filter(|open| open.path() == path).count();
        assert_eq!(1, opens, "{path:?}\n{}", seen.outline());
    }
}

#[test]
fn fortified_and_large_file_calls_are_seen() {
    let seen = sensed("open_fortified", &[]).events;

    assert_eq!(4, seen.opens("fortified").len(), "{}", seen.outline());
    let read: Vec<Option<i64>> =
        seen.closes("fortified").iter().map(|close| close.number("bytes_read")).collect();
    assert_eq!(vec![Some(0), Some(0), Some(10), Some(0)], read);
}

#[test]
fn fortified_reads_are_counted() {
    let seen = sensed("open_fortified", &[]).events;

    let received: i64 = seen.named("net.close").filter_map(|close| close.number("bytes_received")).sum();
    assert_eq!(10, received);
}

#[test]
fn a_close_counts_the_bytes_that_really_moved() {
    let seen = sensed("counters", &[]).events;

    let close = seen.closes("counters.file")[0];
    let counts = ["bytes_written", "writes", "bytes_read"].map(|field| close.number(field));
    assert_eq!([Some(1590), Some(5), Some(1160)], counts, "{close:?}");
}

/// The bytes read and written, by the program's own closes of a file.
fn moved(seen: &Events, file: &str) -> Vec<(i64, i64)> {
    let count = |close: &Event, field: &str| close.number(field).unwrap();
    seen.closes(file)
        .iter()
        .filter(|close| close.text("exe").is_some_and(|exe| exe.contains("victims")))
        .map(|close| (count(close, "bytes_read"), count(close, "bytes_written")))
        .collect()
}

#[test]
fn bytes_that_no_read_or_write_moves_are_counted() {
    let seen = sensed("transfers", &[]).events;

    assert_eq!(vec![(900, 1000)], moved(&seen, "transfers.source"));
    assert_eq!(vec![(0, 600)], moved(&seen, "transfers.sendfile"));
    assert_eq!(vec![(0, 200)], moved(&seen, "transfers.copied"));
    assert_eq!(vec![(0, 100)], moved(&seen, "transfers.spliced"));
    assert_eq!(vec![(50, 61)], moved(&seen, "transfers.numbers"));
    assert_eq!(vec![(30, 70)], moved(&seen, "transfers.aio"));
}

#[test]
fn a_descriptor_of_another_process_is_known_by_what_it_is() {
    let seen = sensed("received", &[]).events;

    let written = |file: &str| -> i64 { moved(&seen, file).iter().map(|(_, written)| written).sum() };
    assert_eq!(7, written("received.file"), "{}", seen.outline());
    assert_eq!(4, written("received.copied"), "{}", seen.outline());
    let sent = seen.named("net.close").find(|close| close.number("bytes_sent") == Some(3)).unwrap();
    assert!(sent.text("remote").unwrap().starts_with("127.0.0.1:"), "{sent:?}");
}

#[test]
fn a_refused_write_moves_nothing() {
    let seen = sensed("counters", &[]).events;

    let close = seen.closes("counters.read-only")[0];
    assert_eq!(Some(0), close.number("bytes_written"));
}

#[test]
fn a_close_tells_how_long_the_file_was_open() {
    let seen = sensed("counters", &[]).events;

    let open_ns = seen.closes("counters.file")[0].number("open_ns").unwrap();
    assert!(open_ns > 0 && open_ns < 60_000_000_000, "{open_ns}");
}

#[test]
fn every_way_to_close_is_reported_once() {
    let seen = sensed("close_family", &[]).events;

    for file in
        ["close.plain", "close.fclose", "close.dup2-over", "close.dup3-over", "close.range", "close.at-exit"]
    {
        assert_eq!(1, seen.closes(file).len(), "{file}\n{}", seen.outline());
    }
}

#[test]
fn an_open_file_ends_with_its_last_copy_and_counts_them_all() {
    let seen = sensed("close_family", &[]).events;

    let written: i64 =
        seen.closes("close.dup").iter().filter_map(|close| close.number("bytes_written")).sum();
    assert_eq!(5, written, "{:?}", seen.closes("close.dup"));
}

#[test]
fn a_file_still_open_at_the_end_is_closed_by_it_with_its_counts() {
    let seen = sensed("close_family", &[]).events;

    let close = seen.closes("close.at-exit")[0];
    assert_eq!(Some(7), close.number("bytes_written"));
}

#[test]
fn three_thousand_descriptors_are_all_reported() {
    let seen = sensed("fd_3000", &[]).events;

    let held = |name: &str| seen.named(name).filter(|event| event.path().contains("/held.")).count();
    assert_eq!((3000, 3000), (held("file.open"), held("file.close")));
    assert_eq!(Some(5), seen.closes("held.2999")[0].number("bytes_written"));
}

#[test]
fn a_number_above_any_table_keeps_its_path() {
    let seen = sensed("fd_3000", &[]).events;

    assert_eq!(1, seen.opens("below-a-file").len());
    assert!(seen.opens("below-a-file")[0].path().ends_with("/far/below-a-file"), "{}", seen.outline());
    assert!(!seen.closes("far").is_empty());
}

#[test]
fn eight_threads_of_five_thousand_opens_lose_none_and_mix_up_none() {
    let seen = sensed("threads_open", &[]).events;

    for thread in 0..8 {
        let file = format!("t{thread}");
        assert_eq!(5000, seen.opens(&file).len(), "{file}");
        let closes = seen.closes(&file);
        assert_eq!(5000, closes.len(), "{file}");
        let mixed_up =
            closes.iter().filter(|close| close.number("bytes_written") != Some(thread + 1)).count();
        assert_eq!(0, mixed_up, "{file}");
    }
}

#[test]
fn opens_right_before_any_sudden_end_are_reported() {
    for end in ["kill", "_exit", "exit_group", "abort", "quick_exit", "segv", "return", "thread_exit"] {
        let seen = sensed("sudden_end", &[end, "1000"]).events;

        assert_eq!((1000, 1000), (seen.opens("opened").len(), seen.closes("opened").len()), "{end}");
    }
}

#[test]
fn opens_of_a_handler_and_of_what_it_interrupts_are_all_reported() {
    for stack in ["return", "apart"] {
        let outcome = sensed("signal_open", &[stack]);

        let mut counts =
            outcome.file("count-of-opens").split(' ').map(|count| count.parse::<usize>().unwrap());
        let (by_main, by_handler) = (counts.next().unwrap(), counts.next().unwrap());
        assert_eq!(by_main, outcome.events.opens("by-main").len(), "{stack}");
        assert_eq!(by_handler, outcome.events.opens("by-the-handler").len(), "{stack}");
    }
}

#[test]
fn a_handler_that_jumps_away_costs_at_most_the_call_it_left() {
    let scene = Scene::of("signal_open", &["jump"]).expecting(Expect::LossIsCounted);
    let outcome = sensed_in(&scene);

    let mut counts = outcome.file("count-of-opens").split(' ').map(|count| count.parse::<usize>().unwrap());
    let (_, by_handler) = (counts.next().unwrap(), counts.next().unwrap());
    let seen = outcome.events.opens("by-the-handler").len();
    assert!(seen <= by_handler && seen * 100 >= by_handler * 95, "{seen} of {by_handler}");
    assert_eq!(1, outcome.events.opens("after-the-timer").len());
}

#[test]
fn a_jump_away_from_any_instruction_and_then_from_another_holds_no_thread_up() {
    let scene = Scene::of("jump_anywhere", &["200"]);
    scene.clean();
    let output = scene.beside("events.jsonl");
    let mut command = scene.run_command(&["-o", &format!("jsonl:{}", output.display())]);
    // So small that it is full before the reader gives a record up by itself.
    command.env("GLASSBOX_RING_KIB", "512");

    let ending = child::run(command, b"");

    assert_eq!(Status::Exited(0), ending.status, "{ending:?}");
    let seen = Events::read(&output, Expect::LossIsCounted);
    assert_eq!(10_000, seen.opens("whole").len());
    assert_eq!(1, seen.opens("after-the-jumps").len());
    assert_eq!(0, seen.named("sensor.loss").filter(|loss| loss.text("reason") == Some("ring_full")).count());
}

#[test]
fn opens_before_and_after_all_constructors_are_reported() {
    let seen = sensed("early_constructor", &[]).events;

    for file in ["early.constructor-101", "early.constructor", "early.main", "late.atexit", "late.destructor"]
    {
        assert_eq!(1, seen.opens(file).len(), "{file}\n{}", seen.outline());
    }
}

#[test]
fn calls_of_a_library_that_begins_before_the_sensor_are_reported() {
    for seen in [sensed("early_call", &[]).events, sensed_on_musl("early_call", &[]).events] {
        for file in ["early.library", "early.fork", "early.main"] {
            assert_eq!(1, seen.opens(file).len(), "{file}\n{}", seen.outline());
        }
        assert_eq!(1, seen.named("process.fork").count(), "{}", seen.outline());
    }
}

#[test]
fn opens_after_closefrom_are_reported_with_their_numbers() {
    for how in
        ["closefrom", "close_range", "loop", "dup2", "proc", "close_range_cloexec", "close_range_unshare"]
    {
        let seen = sensed("closefrom", &[how]).events;

        let after = seen.named("file.open").filter(|open| open.path().contains("/after.")).count();
        assert_eq!(50, after, "{how}");
    }
}

#[test]
fn descriptors_that_closefrom_ends_are_closed_in_the_report() {
    for how in ["closefrom", "close_range", "loop", "close_range_unshare"] {
        let seen = sensed("closefrom", &[how]).events;

        let opened = seen.named("file.open").filter(|open| open.path() == "/dev/null").count();
        let closed = seen.named("file.close").filter(|close| close.path() == "/dev/null").count();
        assert_eq!((5, 5), (opened, closed), "{how}\n{}", seen.outline());
    }
}

#[test]
fn calls_under_a_programs_own_filter_are_reported() {
    let seen = sensed("seccomp_filter", &["file"]).events;

    assert_eq!((300, 300), (seen.opens("filtered").len(), seen.opens("missing").len()));
}

#[test]
fn bytes_moved_in_strict_mode_are_reported_at_the_end() {
    let seen = sensed("seccomp_strict", &["io"]).events;

    assert_eq!(Some(3), seen.closes("kept-open")[0].number("bytes_written"));
}

#[test]
fn a_programs_own_open_is_reported_once_by_the_one_beneath() {
    let seen = sensed("own_open", &[]).events;

    assert_eq!(1, seen.opens("own.open").len(), "{}", seen.outline());
    assert_eq!(1, seen.opens("own.openat").len(), "{}", seen.outline());
}

#[test]
fn a_function_found_by_dlsym_is_seen_once() {
    let seen = sensed("dlopen_runpath", &[]).events;

    for file in ["by-name", "by-next", "inner.answer"] {
        assert_eq!(1, seen.opens(file).len(), "{file}\n{}", seen.outline());
    }
}

#[test]
fn a_function_found_by_dlsym_past_the_preload_is_seen_once() {
    let seen = sensed("dlopen_runpath", &[]).events;

    for file in ["by-outers-next", "by-libc-handle", "by-version"] {
        assert_eq!(1, seen.opens(file).len(), "{file}\n{}", seen.outline());
    }
}

#[test]
fn a_loaded_library_is_reported() {
    let seen = sensed("dlopen_runpath", &[]).events;

    let inner = seen.named("lib.load").filter(|load| load.path().ends_with("libinner.so")).count();
    assert!(inner >= 2, "{}", seen.outline());
}

#[test]
fn calls_without_a_procedure_linkage_table_are_seen() {
    let seen = sensed("bound_elsewhere", &[]).events;

    for file in ["elsewhere.table", "elsewhere.no-plt", "elsewhere.plain", "elsewhere.plain.dependency"] {
        assert_eq!(1, seen.opens(file).len(), "{file}\n{}", seen.outline());
    }
}

#[test]
fn musls_own_ways_to_open_are_seen() {
    let seen = sensed_on_musl("open_family", &[]).events;

    for (file, times) in
        [("open.plain", 2), ("openat.dir", 1), ("creat.plain", 1), ("fopen.w", 2), ("freopen.second", 1)]
    {
        assert_eq!(times, seen.opens(file).len(), "{file}\n{}", seen.outline());
    }
}

#[test]
fn musls_bytes_are_counted() {
    let seen = sensed_on_musl("counters", &[]).events;

    let close = seen.closes("counters.file")[0];
    assert_eq!([Some(1590), Some(1160)], ["bytes_written", "bytes_read"].map(|field| close.number(field)));
}

#[test]
fn musls_threads_lose_nothing() {
    let seen = sensed_on_musl("threads_open", &[]).events;

    let opens: usize = (0..8).map(|thread| seen.opens(&format!("t{thread}")).len()).sum();
    assert_eq!(40_000, opens);
}

#[test]
fn bytes_through_streams_are_counted() {
    let seen = sensed("stdio", &[]).events;

    let moved = |file| moved(&seen, file);
    assert_eq!(vec![(0, 10_000), (10_000, 0), (10_000, 0)], moved("stdio.printf"));
    // Bytes that are read ahead count as read: a buffer of 4096 bytes, from the block that holds the
    // position.
    assert_eq!(vec![(4096, 100_000)], moved("stdio.large"));
    assert_eq!(vec![(0, 4)], moved("stdio.wide"));
    assert_eq!(vec![(0, 5)], moved("stdio.unbuffered"));
    assert_eq!(vec![(0, 12)], moved("stdio.fdopen"));
    assert_eq!(vec![(0, 0)], moved("full"));
    assert_eq!(vec![(0, 15)], moved("stdio.left-open"));
}

#[test]
fn a_streams_close_is_its_fclose() {
    let seen = sensed("stdio", &[]).events;

    let closes = seen.closes("stdio.fdopen");
    assert_eq!((1, "fclose"), (closes.len(), closes[0].call()));
    let refused = seen.closes("full")[0];
    assert_eq!(Some(0), refused.number("ret"), "the descriptor was closed, whatever became of the bytes");
}

/// The events between two marks of `inside`: event, function, and subject.
fn told_at<'e>(seen: &'e Events, mark: &str) -> Vec<(&'e str, &'e str, &'e str)> {
    let is_mark = |event: &&Event| event.name() == "file.unlink" && event.path().contains("/at/");
    let own = seen.iter().find(|event| event.name() == "process.start").unwrap().pid();
    seen.iter()
        .filter(|event| event.pid() == own)
        .skip_while(|event| !(is_mark(event) && event.path().ends_with(&format!("/at/{mark}"))))
        .skip(1)
        .take_while(|event| !is_mark(event))
        .map(|event| (event.name(), event.call(), event.path()))
        .collect()
}

#[test]
fn what_libc_does_inside_is_told_by_the_function_that_was_called() {
    let seen = sensed("inside", &[]).events;
    let has = |mark: &str, what: (&str, &str, &str)| {
        let told = told_at(&seen, mark);
        assert!(told.contains(&what), "{mark}: {told:?}");
    };

    has("sem_open", ("file.open", "sem_open", "/dev/shm/sem.glassbox-inside"));
    assert!(told_at(&seen, "setmntent").iter().any(|(event, call, path)| {
        (*event, *call) == ("file.open", "setmntent") && path.ends_with("/tree/table")
    }));
    has("posix_openpt", ("file.open", "posix_openpt", "/dev/ptmx"));
    has("openpty", ("file.open", "openpty", "/dev/ptmx"));
    has("forkpty", ("process.fork", "forkpty", ""));
    has("forkpty", ("file.open", "forkpty", "/dev/ptmx"));
    has("wordexp", ("process.exec", "wordexp", "/bin/sh"));
    assert_eq!(1, told_at(&seen, "wordexp").iter().filter(|(event, ..)| *event == "process.exec").count());
    // The open is not reported, but the read bytes are known by the file's name.
    has("quiet", ("file.close", "fclose", "/etc/passwd"));
}

#[test]
fn streams_on_a_terminal_of_ones_own_are_known() {
    let seen = sensed("inside", &[]).events;

    for (bytes, call) in [(3, "login_tty"), (6, "forkpty")] {
        let close = seen.only(call, |event| {
            event.name() == "file.close"
                && event.number("fd") == Some(1)
                && event.number("bytes_written") == Some(bytes)
        });
        assert!(close.path().starts_with("/dev/pts/"), "{call}: {close:?}");
    }
}

#[test]
fn a_daemon_is_in_the_root_and_writes_to_nowhere() {
    let seen = sensed("inside", &[]).events;

    assert_eq!(1, seen.named("process.fork").filter(|fork| fork.call() == "daemon").count());
    assert_eq!("/etc/passwd", seen.opens("passwd")[0].path());
    let lost = seen.only("the close", |event| {
        event.name() == "file.close"
            && event.number("fd") == Some(0)
            && event.number("bytes_written") == Some(4)
    });
    assert_eq!("/dev/null", lost.path());
}
