//! Ten thousand calls that are asked about, and one of our processes killed in their midst: none fails, and
//! none hangs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use glassbox_tests::bundle::Place;
use glassbox_tests::child::{self, Running, Status, wait_until};
use glassbox_tests::glassbox;
use glassbox_tests::rootfs;
use glassbox_tests::steady::scene_of_static;
use glassbox_tests::victim::{Libc, compiled};
use serde_json::json;

const ASKED: [&str; 3] = ["--notify", "security", "--require-notify"];

/// A storm of 10 000 renames in two threads, and a signal each millisecond.
const STORM: [&str; 2] = ["2", "5000"];

/// The processes that run this file under this name.
fn named(exe: &Path, name: &str) -> BTreeSet<i32> {
    let is_it = |pid: &i32| {
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        comm.trim() == name && fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|of| of == exe)
    };
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_it).collect()
}

/// Runs a command, and kills one of ours once the storm has begun in `work`. The storm has ended well if it
/// says so, and left the two files that it began with.
fn storm(whom: &str, command: Command, work: &Path, kill: impl FnOnce(&Running)) {
    let running = child::start(command, b"");
    wait_until("the storm", || ["a", "b"].iter().any(|end| work.join(format!("storm.1.{end}")).exists()));
    kill(&running);
    let ending = running.finish();

    let status = if whom == "launcher" { Status::Killed(libc::SIGKILL) } else { Status::Exited(0) };
    assert_eq!((status, "failed 0\n"), (ending.status, ending.stdout.as_str()), "{whom}: {}", ending.stderr);
    // Each thread renames an even number of times.
    let left =
        |end: &str| (0..2).filter(|thread| work.join(format!("storm.{thread}.{end}")).exists()).count();
    assert_eq!((2, 0), (left("a"), left("b")), "{whom}");
}

/// Kills the one process with this name that was not there `before`.
fn kill_new(exe: &Path, name: &str, before: &BTreeSet<i32>) {
    let new = || named(exe, name).difference(before).copied().collect::<Vec<i32>>();
    // It names itself while the storm begins.
    wait_until(name, || new().len() == 1);
    let new = new();
    // SAFETY: kill takes no pointers; the process was started by one that this test started.
    assert_eq!(0, unsafe { libc::kill(new[0], libc::SIGKILL) }, "{name}");
}

#[test]
fn under_run_and_exec_no_call_fails_when_one_of_ours_is_killed() {
    for whom in ["collector", "launcher", "gbx-holder"] {
        let scene = scene_of_static("storm", &STORM);
        let before = named(glassbox(), whom);
        let kill = |running: &Running| match whom {
            "launcher" => running.signal(libc::SIGKILL),
            _ => kill_new(glassbox(), whom, &before),
        };
        let options = [["-o", "recording:/dev/null"].as_slice(), &ASKED].concat();
        // The collector of `run` is its child (tests/notify.rs).
        if whom != "collector" {
            storm(whom, scene.run_command(&options), &scene.work(), kill);
        }
        scene.clean();

        let collector = scene.collect();
        let bare = scene.bare_command();
        let mut exec = scene.command(glassbox());
        exec.arg("exec").args(ASKED).arg("--").arg(bare.get_program()).args(bare.get_args());
        exec.env("GLASSBOX_SOCKET", collector.socket());
        storm(whom, exec, &scene.work(), |running| match whom {
            "collector" => drop(collector.kill()),
            _ => kill(running),
        });
    }
}

#[test]
fn in_a_container_no_call_fails_when_one_of_ours_is_killed() {
    for whom in ["collector", "gbx-attendant", "gbx-supervisor", "gbx-holder"] {
        let place = Place::new();
        rootfs::copy(&compiled("storm", Libc::GlibcStatic).path, &place.root("bin/victim"));
        place.bundle(&[["/bin/victim"].as_slice(), &STORM].concat(), &[]);
        place.edit(|config| config["process"]["cwd"] = json!("/tmp"));
        let collector = place.collector();
        let mut run = place.runtime(&place.tool());
        run.args(ASKED).args(["run", "-b"]).arg(place.path("bundle")).arg(&place.name);

        storm(whom, run, &place.root("tmp"), |_| match whom {
            "collector" => drop(collector.kill()),
            _ => kill_new(&place.tool(), whom, &BTreeSet::new()),
        });
    }
}
