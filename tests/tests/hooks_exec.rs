//! Processes: every image, exec, fork and end is reported, and no environment loses the sensor.

use glassbox_tests::events::{Event, Events, Expect};
use glassbox_tests::scene::{Scene, sensed, sensed_in, sensed_on_musl};
use glassbox_tests::victim::{EXEC_CALLS, victim};

/// The `process.start` of the victim's child.
fn child_start(events: &Events) -> Option<&Event> {
    events.named("process.start").find(|start| start.list("argv").get(1) == Some(&"child"))
}

#[test]
fn a_child_is_hooked_whatever_call_and_environment_started_it() {
    let mut lost = Vec::new();
    for call in EXEC_CALLS {
        for kind in ["same", "empty", "null", "other", "preload"] {
            let seen = sensed("exec_family", &[call, kind]).events;

            let is_hooked = child_start(&seen).is_some_and(|start| start.text("coverage") == Some("hooked"));
            if !is_hooked || seen.opens("childs-mark").len() != 1 {
                lost.push(format!("{call} with {kind} environment"));
            }
        }
    }
    // glibc's fexecve refuses a null environment (EINVAL), so there is no child.
    lost.retain(|what| what != "fexecve with null environment");
    assert_eq!(Vec::<String>::new(), lost);
}

#[test]
fn musls_children_are_hooked_too() {
    let mut lost = Vec::new();
    for call in [
        "execve",
        "execv",
        "execvp",
        "execl",
        "execle",
        "posix_spawn",
        "posix_spawnp",
        "system",
        "popen",
        "fexecve",
    ] {
        for kind in ["same", "empty", "null", "other"] {
            let seen = sensed_on_musl("exec_family", &[call, kind]).events;

            if seen.opens("childs-mark").len() != 1 {
                lost.push(format!("{call} with {kind} environment"));
            }
        }
    }
    // glibc's fexecve refuses a null environment (EINVAL), so there is no child.
    lost.retain(|what| what != "fexecve with null environment");
    assert_eq!(Vec::<String>::new(), lost);
}

#[test]
fn an_exec_is_reported_under_its_name_before_it_happens() {
    let mut wrong = Vec::new();
    for call in EXEC_CALLS {
        let seen = sensed("exec_family", &[call, "same"]).events;

        let canonical = call.trim_start_matches("syscall_");
        let execs = seen.named("process.exec").filter(|exec| exec.call() == canonical).count();
        if execs != 1 {
            wrong.push(format!("{call}: {execs} times\n{}", seen.outline()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_image_tells_path_arguments_and_directory() {
    let scene = Scene::of("exec_family", &["execve", "other"]);
    let seen = sensed_in(&scene).events;

    let start = child_start(&seen).unwrap();
    assert_eq!(vec!["exec_family", "child", "one", "two words"], start.list("argv"));
    assert_eq!(Some(victim("exec_family").path.to_str().unwrap()), start.text("exe"));
    assert_eq!(scene.work().to_str(), start.text("cwd"));
}

#[test]
fn twelve_arguments_are_reported() {
    let seen = sensed("execl_12", &["execl", "12"]).events;

    let exec = seen.only("execl", |event| event.name() == "process.exec" && event.call() == "execl");
    let expected = ["zero", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "twelve"];
    assert_eq!(expected.to_vec(), exec.list("argv"));
}

#[test]
fn numbers_begin_again_with_each_image() {
    let seen = sensed("execl_12", &["execl", "12"]).events;

    let starts: Vec<_> = seen.named("process.start").collect();
    assert_eq!(2, starts.len(), "{}", seen.outline());
    assert_eq!(starts[0].pid(), starts[1].pid());
    assert_eq!((Some(0), Some(0)), (starts[0].seq(), starts[1].seq()));
}

#[test]
fn a_failed_exec_is_reported_again_with_its_error() {
    let seen = sensed("execl_12", &["execl", "failing"]).events;

    let execs: Vec<_> = seen.named("process.exec").collect();
    assert_eq!(2, execs.len(), "{}", seen.outline());
    assert!(!execs[0].has_failed());
    assert_eq!(Some("ENOENT"), execs[1].text("error"));
}

#[test]
fn failed_spawns_tell_the_number_that_they_returned() {
    let seen = sensed("exec_failures", &[]).events;

    let errors: Vec<&str> = seen
        .named("process.exec")
        .filter(|exec| exec.call().starts_with("posix_spawn"))
        .filter_map(|exec| exec.text("error"))
        .collect();
    assert_eq!(vec!["ENOENT", "EACCES", "ENOENT"], errors, "{}", seen.outline());
}

#[test]
fn a_scripts_image_is_its_interpreter_with_the_kernels_arguments() {
    let seen = sensed("scripts", &[]).events;

    let start = seen.only("the script's start", |event| {
        event.name() == "process.start" && event.list("argv").contains(&"./script")
    });
    assert_eq!(vec!["/bin/sh", "-e", "./script", "first", "second"], start.list("argv"));
    assert!(start.text("exe").unwrap().ends_with("sh"), "{start:?}");
}

#[test]
fn the_parent_of_a_vfork_child_is_seen_afterwards() {
    let seen = sensed("vfork_exit", &[]).events;

    let by_parent = seen.named("file.open").filter(|open| open.path().contains("/parent.")).count();
    assert_eq!(50, by_parent, "{}", seen.outline());
}

#[test]
fn a_vfork_childs_events_are_its_own() {
    let seen = sensed("vfork_exit", &[]).events;

    let child = seen
        .only("the child's open", |event| event.name() == "file.open" && event.is_file("by-the-vfork-child"));
    let parent = seen.named("process.start").next().unwrap();
    assert_ne!(parent.pid(), child.pid());
    assert_eq!(Some(parent.pid()), child.number("ppid"));
}

#[test]
fn every_vfork_is_reported_once_by_its_parent() {
    let seen = sensed("vfork_exit", &[]).events;

    let parent = seen.named("process.start").next().unwrap().pid();
    let forks: Vec<_> = seen.named("process.fork").filter(|fork| fork.pid() == parent).collect();
    assert_eq!(205, forks.len());
    assert!(forks.iter().all(|fork| fork.call() == "vfork" && fork.number("child").is_some()));
}

#[test]
fn each_childs_opens_are_reported_once_under_its_own_number() {
    let seen = sensed("fork_variants", &[]).events;

    let parent = seen.named("process.start").next().unwrap().pid();
    let mut wrong = Vec::new();
    let ways = [
        "fork",
        "_Fork",
        "sys_fork",
        "sys_clone",
        "sys_clone3",
        "clone",
        "clone_vm_vfork",
        "clone_files",
        "handler",
    ];
    for way in ways {
        let by_child = seen.opens(&format!("child-{way}"));
        let by_parent = seen.opens(&format!("parent-{way}"));
        let is_own = by_child.iter().all(|open| open.pid() != parent)
            && by_parent.iter().all(|open| open.pid() == parent);
        if by_child.len() != 3 || by_parent.len() != 2 || !is_own {
            wrong.push(format!("{way}: child {} parent {} own {is_own}", by_child.len(), by_parent.len()));
        }
    }
    assert_eq!(Vec::<String>::new(), wrong);
    // It shares memory and thread block with its parent, and is reported as the parent: see CAPABILITIES.md.
    assert_eq!((3, 2), (seen.opens("child-clone_vm").len(), seen.opens("parent-clone_vm").len()));
    assert_eq!((100, 100), (seen.opens("parent-before").len(), seen.opens("parent-after").len()));
}

#[test]
fn a_grandchild_has_its_own_parent() {
    let seen = sensed("fork_variants", &[]).events;

    let grandchild = seen.opens("child-grandchild")[0];
    let middle = seen.opens("child-middle")[0];
    assert_eq!(Some(middle.pid()), grandchild.number("ppid"));
}

#[test]
fn every_fork_names_its_child() {
    let seen = sensed("fork_variants", &[]).events;

    let parent = seen.named("process.start").next().unwrap().pid();
    let children: std::collections::BTreeSet<i64> = seen
        .named("process.fork")
        .filter(|fork| fork.pid() == parent)
        .filter_map(|fork| fork.number("child"))
        .collect();
    assert_eq!(12, children.len(), "{}", seen.outline());
}

#[test]
fn forks_amid_opening_threads_lose_nothing() {
    let outcome = sensed("fork_with_threads", &[]);

    let expected = outcome.number_in("count-of-threads");
    let seen = &outcome.events;
    let by_threads: usize = (0..3).map(|thread| seen.opens(&format!("thread{thread}")).len()).sum();
    assert_eq!(expected, by_threads);
    assert_eq!(40, seen.opens("forked").len());
    assert_eq!(20, seen.named("process.start").filter(|start| start.list("argv") == ["true"]).count());
}

#[test]
fn children_killed_in_the_middle_cost_their_parent_nothing() {
    let scene = Scene::of("kill_child", &[]).expecting(Expect::LossIsCounted);
    let seen = sensed_in(&scene).events;

    assert_eq!(40, seen.opens("parent-after").len());
    let killed = seen.named("process.exit").filter(|exit| exit.field("signal").is_some()).count();
    assert_eq!(40, killed);
}

#[test]
fn an_exec_by_a_thread_starts_a_new_image_of_the_same_process() {
    // A record that the exec interrupts in another thread is lost.
    let seen = sensed_in(&Scene::of("exec_from_thread", &[]).expecting(Expect::LossIsCounted)).events;

    let first = seen.opens("by-the-first-image")[0];
    let second = seen.opens("by-the-second-image")[0];
    assert_eq!(first.pid(), second.pid());
    assert!(seen.opens("by-a-thread").len() >= 1000);
}

#[test]
fn ends_tell_code_or_signal() {
    let code =
        |end: &str| sensed("sudden_end", &[end, "1"]).events.named("process.exit").last().cloned().unwrap();

    assert_eq!(Some(7), code("_exit").number("code"));
    assert_eq!(None, code("_exit").field("signal"));
    assert_eq!(None, code("kill").field("code"));
}

#[test]
fn the_ledger_at_the_end_counts_every_event_and_a_cost() {
    let seen = sensed("sudden_end", &["return", "1000"]).events;

    let exit = seen.named("process.exit").last().unwrap();
    assert_eq!(Some(0), exit.number("lost"));
    assert!(exit.number("events").unwrap() >= 2001, "{exit:?}");
    let sensor_ns = exit.number("sensor_ns").unwrap();
    assert!(sensor_ns > 0 && sensor_ns < 10_000_000_000, "{sensor_ns}");
}

#[test]
fn a_static_program_is_reported_blind() {
    let scene = Scene::of("static_program", &[]);
    scene.clean();
    let output = scene.beside("events.jsonl");
    let option = format!("jsonl:{}", output.display());
    let program = victim("static_program").path;
    let mut command = scene.command(glassbox_tests::glassbox());
    command
        .args(["run", "-o", &option, "-o", "summary:stderr", "--", "/bin/sh", "-c"])
        .arg(format!("{} of 'a b'; exit 3", program.display()));

    let ending = glassbox_tests::child::run(command, b"");

    let events = Events::read(&output, Expect::NothingLost);
    let blind = events.only("blind", |event| event.name() == "sensor.blind");
    assert_eq!(Some("static"), blind.text("reason"));
    assert_eq!(program.to_str(), blind.text("path"));
    assert_eq!(vec![program.to_str().unwrap(), "of", "a b"], blind.list("argv"));
    let exit = events.only("exit", |event| event.name() == "process.exit" && event.pid() == blind.pid());
    assert_eq!(program.to_str(), exit.text("exe"));
    let line = ending.stderr.lines().find(|line| line.contains("not seen into")).unwrap_or_default();
    assert!(line.contains("static_program of \"a b\"  "), "{}", ending.stderr);
    assert!(line.contains("exit 19  ") && line.contains("s  not seen into: static"), "no duration: {line}");
}

#[test]
fn programs_whose_environment_leaves_no_room_for_the_sensor_are_told_of() {
    let seen = sensed("exec_at_limit", &[]).events;

    let in_vain = |exec: &&Event| exec.has_failed() && exec.text("error") == Some("E2BIG");
    for call in ["posix_spawn", "execve"] {
        let execs: Vec<_> = seen.named("process.exec").filter(|exec| exec.call() == call).collect();
        assert!(execs.iter().any(in_vain), "{}", seen.outline());
    }
    // The last that fit, of each of the three ways.
    let blind: Vec<_> = seen.named("sensor.blind").filter(|blind| blind.path().ends_with("true")).collect();
    assert!(blind.len() >= 3, "{}", seen.outline());
}

#[test]
fn a_static_program_that_goes_on_is_told_of_in_its_turn() {
    let scene = Scene::of("scripts", &[]);
    scene.clean();
    let program = victim("running_static").path;
    let script = format!("{} & sleep 0.1; /bin/true; echo >go; wait", program.display());
    let mut command = scene.command(glassbox_tests::glassbox());
    command.args(["run", "-o", &scene.events_output(), "--", "/bin/sh", "-c", &script]);

    let ending = glassbox_tests::child::run(command, b"");

    assert_eq!(glassbox_tests::child::Status::Exited(0), ending.status, "{ending:?}");
    let seen = scene.events(Expect::NothingLost);
    let place = |is_it: &dyn Fn(&Event) -> bool| seen.iter().position(is_it).unwrap();
    let blind = place(&|event| event.name() == "sensor.blind");
    let next = place(&|event| event.name() == "process.exec" && event.path().ends_with("true"));
    assert!(blind < next, "{}", seen.outline());
    let times: Vec<_> = seen.iter().take(next).skip(blind - 1).map(|event| event.text("time")).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn a_static_command_is_told_of_with_its_end() {
    let seen = sensed("static_program", &["a b"]).events;

    let blind = seen.only("blind", |event| event.name() == "sensor.blind");
    assert_eq!(Some("static"), blind.text("reason"));
    assert_eq!(victim("static_program").path.to_str(), blind.text("path"));
    assert_eq!(Some(&"a b"), blind.list("argv").get(1));
    let exit = seen.only("exit", |event| event.name() == "process.exit" && event.pid() == blind.pid());
    assert_eq!(Some(19), exit.number("code"));
    // It began before the shell that it starts, and is told of before that.
    let shell = seen.named("process.start").next().unwrap();
    assert_eq!(Some(blind.pid()), shell.number("ppid"));
    let times = [blind, shell, exit].map(|event| event.text("time").unwrap());
    assert!(times.is_sorted(), "{times:?}");
    let place = |name| seen.iter().position(|event| event.name() == name).unwrap();
    assert!(place("sensor.blind") < place("process.start"), "{}", seen.outline());
}

#[test]
fn what_a_static_program_starts_is_hooked_again() {
    // Its environment still names the sensor, so the shell of its system() loads it.
    let seen = sensed("static_program", &[]).events;

    assert!(
        seen.named("process.start").any(|start| start.list("argv").contains(&"exit 4")),
        "{}",
        seen.outline()
    );
}

#[test]
fn a_set_uid_program_is_unaffected_and_reported_blind() {
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::process::CommandExt;

    let scene = Scene::of("setid_program", &[]);
    scene.clean();
    // Other users may not be able to enter the build's folder, and this runs as another user.
    let (program, tool, sensor) =
        (scene.beside("setid"), scene.beside("glassbox"), scene.beside("libglassbox.so"));
    std::fs::copy(victim("setid_program").path, &program).unwrap();
    std::fs::copy(glassbox_tests::glassbox(), &tool).unwrap();
    std::fs::copy(glassbox_tests::sensor(), &sensor).unwrap();
    chown(&program, Some(0), Some(0)).expect("these tests run as root");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o4755)).unwrap();
    let as_nobody = |mut command: std::process::Command| {
        command.uid(65534).gid(65534);
        glassbox_tests::child::run(command, b"")
    };
    let script = format!("{}; echo status $?", program.display());
    let mut bare = scene.command("/bin/sh");
    bare.args(["-c", &script]);
    let expected = as_nobody(bare);
    let mut command = scene.command(&tool);
    let output = scene.work().join("open-to-all/events.jsonl");
    command.args(["run", "-o", &format!("jsonl:{}", output.display()), "--", "/bin/sh", "-c", &script]);

    let found = as_nobody(command);

    assert_eq!(expected, found);
    assert!(found.stdout.contains("uid 65534 euid 0"), "the set-uid bit had no effect: {found:?}");
    let events = Events::read(&output, Expect::NothingLost);
    let blind = events.only("blind", |event| event.name() == "sensor.blind");
    assert_eq!(Some("setuid"), blind.text("reason"));
}

#[test]
fn a_worker_without_privileges_is_still_seen() {
    let seen = sensed("drop_privileges", &[]).events;

    assert_eq!(1, seen.opens("as-nobody").len());
    assert_eq!(Some("EACCES"), seen.opens("as-root").last().unwrap().text("error"));
    assert_eq!(1, seen.opens("image-of-nobody").len(), "{}", seen.outline());
}

#[test]
fn a_child_in_another_root_is_still_seen() {
    let seen = sensed("chroot_child", &[]).events;

    assert_eq!(1, seen.opens("file").len());
    assert_eq!(1, seen.opens("grandchild").len());
}

#[test]
fn a_process_without_room_for_us_is_reported_blind() {
    // A memfd as large as a ring would raise SIGXFSZ under either of the file size limits.
    for (limits, reason) in [
        (["nofile", "4"], Some("fd_limit")),
        (["as", "5"], None),
        (["fsize", "0"], None),
        (["fsize", "4096"], None),
    ] {
        let seen = sensed("limits", &limits).events;

        let second =
            seen.named("process.exec").find(|exec| exec.list("argv").first() == Some(&"second")).unwrap();
        let blind = seen.named("sensor.blind").find(|blind| blind.pid() == second.pid());
        let Some(blind) = blind else { panic!("{limits:?}: neither hooked nor blind\n{}", seen.outline()) };
        assert_eq!(second.list("argv"), blind.list("argv"), "{limits:?}: {blind:?}");
        assert!(reason.is_none() || blind.text("reason") == reason, "{limits:?}: {blind:?}");
    }
}

#[test]
fn a_process_under_ordinary_limits_is_hooked() {
    for limits in [["nofile", "10"], ["memlock", "0"], ["stack", "64"]] {
        let seen = sensed("limits", &limits).events;

        assert_eq!(20, seen.opens("under-the-limit").len(), "{limits:?}\n{}", seen.outline());
    }
}

#[test]
fn small_stacks_report_all_that_they_do() {
    let seen = sensed("stack_16k", &[]).events;

    assert_eq!(20, seen.opens("from-the-alternate-stack").len());
    assert_eq!(5, seen.opens("small-child").len());
    assert_eq!(3, seen.opens("small-searched").len());
    assert_eq!(3, seen.named("net.connected").count());
    assert_eq!(100, seen.opens("small").len());
}

#[test]
fn system_and_popen_report_exec_fork_and_the_shells_image() {
    let seen = sensed("statuses", &[]).events;

    let parent = seen.named("process.start").next().unwrap().pid();
    for call in ["system", "popen"] {
        let forks =
            seen.named("process.fork").filter(|fork| fork.pid() == parent && fork.call() == call).count();
        let execs =
            seen.named("process.exec").filter(|exec| exec.pid() == parent && exec.call() == call).count();
        assert!(forks >= 4 && execs >= 4, "{call}: {forks} forks, {execs} execs\n{}", seen.outline());
    }
    let shells =
        seen.named("process.start").filter(|start| start.list("argv").first() == Some(&"sh")).count();
    assert!(shells >= 12, "{shells} shells\n{}", seen.outline());
    // To answer whether there is a shell, glibc runs one.
    let asks = |event: &&Event| event.list("argv") == ["sh", "-c", "exit 0"];
    let [execs, starts] = ["process.exec", "process.start"].map(|name| seen.named(name).filter(asks).count());
    assert_eq!([1, 1], [execs, starts], "{}", seen.outline());
}

#[test]
fn the_fork_of_system_names_the_shell_where_that_can_be_known() {
    let seen = sensed("statuses", &[]).events;

    // The shell attached before system returned, so the collector knows its parent.
    let parent = seen.named("process.start").next().unwrap().pid();
    let is_shell = |pid: i64| {
        let mut starts = seen.named("process.start").filter(|start| start.pid() == pid);
        starts.any(|start| start.list("argv").first() == Some(&"sh") && start.number("ppid") == Some(parent))
    };
    let forks = seen.named("process.fork").filter(|fork| fork.call() == "system" && !fork.has_failed());
    let unnamed = forks.filter(|fork| !fork.number("child").is_some_and(is_shell)).count();
    assert_eq!(0, unnamed, "{}", seen.outline());
}

#[test]
fn children_of_a_filtered_process_that_cannot_attach_do_no_harm() {
    let seen = sensed("seccomp_filter", &["errno"]).events;

    // The forked child goes on in its parent's ring; the shell that it becomes cannot make a ring of its own.
    assert_eq!(600, seen.opens("filtered").len());
}

#[test]
fn daemons_are_followed_as_long_as_the_program_runs() {
    let scene = Scene::of("pid1", &["5"]);
    let seen = sensed_in(&scene).events;

    assert_eq!(5, seen.opens("orphan").len());
}
