//! No program can tell that the sensor is there: output, exit status, errno, descriptor numbers and files
//! left behind are those of the bare run, with the sensor dormant, off, under `run` and under `collect`.
//!
//! The harness also checks the events of each run (no gap in the numbers, nothing lost, the fields of
//! docs/contract.md), and the tests in hooks_*.rs find a program that is unharmed only because the sensor has
//! given up.

use glassbox_tests::events::Expect;
use glassbox_tests::scene::{Mode, Scene, caught, sensed, unnoticed, unnoticed_expecting};
use glassbox_tests::victim::{Libc, ON_MUSL, compiled};

#[test]
fn every_way_to_open_gives_its_bare_result_and_number() {
    unnoticed("open_family");
}

#[test]
fn fortified_and_large_file_calls_give_their_bare_results() {
    unnoticed("open_fortified");
}

#[test]
fn every_way_to_close_gives_its_bare_result() {
    unnoticed("close_family");
}

#[test]
fn streams_move_and_refuse_what_they_do_bare() {
    unnoticed("stdio");
}

#[test]
fn what_libc_does_inside_goes_as_it_does_bare() {
    unnoticed("inside");
}

#[test]
fn names_are_asked_and_answered_as_they_are_bare() {
    unnoticed("resolver");
}

#[test]
fn transfers_move_what_they_move_bare() {
    unnoticed("transfers");
}

#[test]
fn descriptors_of_other_processes_arrive_as_they_do_bare() {
    unnoticed("received");
}

#[test]
fn reads_and_writes_move_what_they_move_bare() {
    unnoticed("counters");
}

#[test]
fn results_and_errno_of_failing_and_succeeding_calls_are_the_bare_ones() {
    unnoticed("errno_kept");
}

#[test]
fn pointers_that_cannot_be_read_give_efault_as_bare() {
    unnoticed("bad_pointers");
}

#[test]
fn odd_and_long_paths_reach_the_kernel_unchanged() {
    unnoticed("weird_names");
}

#[test]
fn relative_paths_mean_the_same_after_chdir_fchdir_and_fork() {
    unnoticed("directories");
}

#[test]
fn thousands_of_descriptors_keep_their_bare_numbers() {
    unnoticed("fd_3000");
}

#[test]
fn eight_threads_that_open_all_the_time_fail_at_nothing() {
    unnoticed("threads_open");
}

#[test]
fn a_sudden_end_is_the_same_end() {
    unnoticed("sudden_end");
}

#[test]
fn every_exec_passes_arguments_and_environment_as_bare() {
    unnoticed("exec_family");
}

#[test]
fn execl_passes_twelve_arguments() {
    unnoticed("execl_12");
}

#[test]
fn failed_execs_fail_as_bare_and_the_program_goes_on() {
    unnoticed("exec_failures");
}

#[test]
fn environments_of_thousands_of_strings_arrive_whole_and_leave_nothing_mapped() {
    unnoticed("exec_big_env");
}

#[test]
fn the_longest_environment_that_fits_is_the_same() {
    unnoticed("exec_at_limit");
}

#[test]
fn a_vfork_child_shares_memory_and_ends_as_bare() {
    unnoticed("vfork_exit");
}

#[test]
fn every_way_to_fork_gives_a_working_child() {
    unnoticed("fork_variants");
}

#[test]
fn forking_while_threads_open_never_hangs_a_child() {
    unnoticed("fork_with_threads");
}

#[test]
fn killing_children_in_the_middle_of_a_call_harms_no_other_process() {
    unnoticed_expecting("kill_child", Expect::LossIsCounted);
}

#[test]
fn system_and_popen_return_and_handle_signals_as_bare() {
    unnoticed("statuses");
}

#[test]
fn file_actions_and_attributes_of_a_spawn_arrive() {
    unnoticed("spawn_attributes");
}

#[test]
fn scripts_run_with_the_kernels_arguments() {
    unnoticed("scripts");
}

#[test]
fn an_exec_by_a_thread_replaces_the_process_as_bare() {
    // A record that the exec interrupts in another thread is lost.
    unnoticed_expecting("exec_from_thread", Expect::LossIsCounted);
}

#[test]
fn a_program_sees_its_own_environment_whatever_it_does_to_it() {
    unnoticed("environment_reader");
}

#[test]
fn a_thread_cancelled_in_a_blocking_call_runs_its_cleanup_handlers() {
    unnoticed("cancel");
}

#[test]
fn a_pending_cancel_acts_where_it_does_bare() {
    unnoticed("cancel_pending");
}

#[test]
fn stacks_of_16_kib_are_enough() {
    unnoticed("stack_16k");
}

#[test]
fn a_handler_that_opens_files_may_interrupt_or_leave_any_call() {
    unnoticed_expecting("signal_open", Expect::LossIsCounted);
}

#[test]
fn signals_interrupt_restart_and_kill_as_bare() {
    unnoticed("signals_kept");
}

#[test]
fn tight_limits_at_the_start_are_survived() {
    unnoticed("limits");
}

#[test]
fn limits_that_a_program_sets_on_itself_act_as_bare() {
    unnoticed("limit_later");
}

#[test]
fn strict_seccomp_allows_and_kills_as_bare() {
    unnoticed("seccomp_strict");
}

#[test]
fn a_programs_own_seccomp_filter_allows_and_kills_as_bare() {
    unnoticed("seccomp_filter");
}

#[test]
fn a_program_started_inside_a_tight_filter_runs_as_bare() {
    unnoticed("seccomp_exec");
}

#[test]
fn closing_every_descriptor_closes_none_of_ours_and_work_goes_on() {
    unnoticed("closefrom");
}

#[test]
fn a_process_finds_nothing_changed_about_itself() {
    unnoticed("process_state");
}

#[test]
fn closed_standard_streams_are_given_to_the_programs_first_files() {
    unnoticed("stdio_closed");
}

#[test]
fn constructors_before_ours_and_destructors_after_ours_may_open() {
    unnoticed("early_constructor");
    unnoticed("early_call");
}

#[test]
fn a_dynamic_program_without_libc_runs() {
    unnoticed("no_libc");
}

#[test]
fn a_static_program_is_unaffected() {
    unnoticed("static_program");
}

#[test]
fn dlopen_and_dlsym_look_at_their_caller_as_bare() {
    unnoticed("dlopen_runpath");
}

#[test]
fn libraries_bound_past_a_preload_work_as_bare() {
    unnoticed("bound_elsewhere");
}

#[test]
fn a_program_that_interposes_open_itself_gets_the_real_one() {
    unnoticed("own_open");
}

#[test]
fn a_probe_for_functions_finds_what_this_libc_has() {
    unnoticed("symbol_probe");
}

#[test]
fn syscall_passes_six_arguments_and_its_errno() {
    unnoticed("syscall_passthrough");
}

#[test]
fn sockets_of_every_family_work_as_bare() {
    unnoticed("sockets");
}

#[test]
fn names_resolve_as_bare() {
    unnoticed("names");
}

#[test]
fn a_program_that_scribbles_over_its_ring_goes_on() {
    unnoticed_expecting("ring_scribble", Expect::Rubbish);
}

#[test]
fn a_program_that_takes_its_ring_away_goes_on() {
    unnoticed_expecting("ring_unmapped", Expect::Rubbish);
}

#[test]
fn a_program_that_takes_every_unknown_file_away_goes_on() {
    for (libc, how) in [
        (Libc::Glibc, "unknown"),
        (Libc::Glibc, "unknown_by_number"),
        (Libc::Musl, "unknown"),
        (Libc::Musl, "unknown_by_number"),
    ] {
        let scene = Scene::with(compiled("ring_unmapped", libc), &[how]).expecting(Expect::Rubbish);

        drop(scene.compare(&[Mode::Dormant, Mode::Off, Mode::Run, Mode::Collect]));
    }
}

#[test]
fn all_memory_is_locked_under_the_limit_that_is_enough_without_the_sensor() {
    unnoticed_expecting("locks_memory", Expect::LossIsCounted);
    let scene = Scene::with(compiled("locks_memory", Libc::Musl), &["both", "8192"]);
    drop(scene.compare(&[Mode::Run, Mode::Collect]));
}

#[test]
fn a_small_program_that_locks_all_its_memory_is_still_seen() {
    let seen = sensed("locks_memory", &["both", "8192"]).events;

    assert!(seen.opens("null").len() > 20, "{}", seen.outline());
}

#[test]
fn a_flood_of_opens_fails_at_nothing() {
    unnoticed_expecting("flood", Expect::LossIsCounted);
}

#[test]
fn a_steady_program_is_not_disturbed() {
    unnoticed("steady");
}

#[test]
fn a_child_with_thread_local_storage_of_its_own_making_runs_as_bare() {
    unnoticed("foreign_tls");
}

#[test]
fn a_changed_root_is_survived() {
    unnoticed("chroot_child");
}

#[test]
fn a_program_without_a_description_runs_as_bare() {
    unnoticed("undescribed");
}

/// The loader that a program names: the only string in the file with a loader's path.
fn loader_of(program: &std::path::Path) -> std::path::PathBuf {
    let bytes = std::fs::read(program).expect("a victim can be read");
    let strings = bytes.split(|byte| *byte == 0).filter_map(|string| std::str::from_utf8(string).ok());
    let mut loaders = strings.filter(|string| string.starts_with("/lib") && string.contains("/ld-"));
    loaders.next().expect("a dynamic program names its loader").into()
}

#[test]
fn a_program_started_by_its_loader_runs_as_bare() {
    for libc in [Libc::Glibc, Libc::Musl] {
        let mut victim = compiled("close_family", libc);
        let loader = loader_of(&victim.path);
        let program = std::mem::replace(&mut victim.path, loader);
        let scene = Scene::with(victim, &[program.to_str().expect("a plain path")]);
        drop(scene.compare(&[Mode::Dormant, Mode::Off, Mode::Run]));
    }
}

#[test]
fn orphans_are_left_to_their_reaper() {
    unnoticed("pid1");
}

#[test]
fn a_program_meant_to_be_set_uid_runs_when_it_is_not() {
    unnoticed("setid_program");
}

#[test]
fn a_worker_that_drops_its_privileges_works_as_bare() {
    sensed("drop_privileges", &[]);
}

#[test]
fn nothing_of_this_is_noticed_on_musl() {
    let mut problems = Vec::new();
    for name in ON_MUSL {
        let victim = compiled(name, Libc::Musl);
        for arguments in &victim.runs {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            // Lost events are tested elsewhere for each victim; here, only transparency.
            let scene = Scene::with(victim.clone(), &arguments).expecting(Expect::LossIsCounted);
            problems.extend(caught(|| drop(scene.compare(&[Mode::Dormant, Mode::Run]))));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn an_auditor_beside_the_sensor_sees_the_same_program() {
    // A library named by LD_AUDIT lives in a namespace of its own, and the sensor must start in the program's
    // only.
    let auditor = compiled("auditor", Libc::Glibc).path;
    let scene = Scene::of("errno_kept", &[]);
    scene.clean();
    let mut bare = scene.bare_command();
    bare.env("LD_AUDIT", &auditor);
    let expected = glassbox_tests::child::run(bare, b"");
    scene.clean();

    let mut sensed = scene.run_command(&["-o", "jsonl:/dev/null"]);
    sensed.env("LD_AUDIT", &auditor);
    let found = glassbox_tests::child::run(sensed, b"");

    assert_eq!(expected, found);
}

#[test]
fn immediate_binding_changes_nothing() {
    let scene = Scene::of("dlopen_runpath", &[]);
    scene.clean();
    let mut bare = scene.bare_command();
    bare.env("LD_BIND_NOW", "1");
    let expected = glassbox_tests::child::run(bare, b"");
    scene.clean();

    let mut sensed = scene.run_command(&["-o", "jsonl:/dev/null"]);
    sensed.env("LD_BIND_NOW", "1");
    let found = glassbox_tests::child::run(sensed, b"");

    assert_eq!(expected, found);
}
