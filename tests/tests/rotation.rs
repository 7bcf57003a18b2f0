//! Files that rotate: every event stands in one of them, each of them can be read by itself, and an obstacle
//! costs nothing but a message.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use glassbox_tests::child::{self, Ending, Running, Status, wait_until};
use glassbox_tests::collector::Collector;
use glassbox_tests::events::{Events, Expect};
use glassbox_tests::glassbox;
use glassbox_tests::scene::Scene;

/// The files that were put aside from `name`, the oldest first, and then that itself.
fn parts(folder: &Path, name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_part =
        |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(&format!("{name}."));
    let mut parts: Vec<PathBuf> = entries.filter(is_part).collect();
    parts.sort();
    parts.push(folder.join(name));
    parts
}

fn folder(scene: &Scene, mode: u32) -> PathBuf {
    let folder = scene.beside("out");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
    folder
}

fn watched(scene: &Scene, collector: &Collector) -> Running {
    let mut command = scene.bare_command();
    collector.preload(&mut command);
    child::start(command, b"")
}

fn ended(collector: Collector) -> Ending {
    let ending = collector.stop();
    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    ending
}

/// Lets `steady` go on to `number` opens, and end.
fn finish(scene: &Scene, running: Running, number: usize) -> usize {
    wait_until("more opens", || scene.work().join(format!("steady.{number}")).exists());
    fs::write(scene.work().join("stop"), "").unwrap();
    running.finish().assert_output(0, "failed 0\n");
    scene.files()["count-of-opens"].parse().unwrap()
}

fn opens_of_steady(events: &Events) -> usize {
    events.named("file.open").filter(|open| open.path().contains("/steady.")).count()
}

#[test]
fn the_parts_of_an_output_together_have_every_event_once_and_each_recording_can_be_replayed() {
    let scene = Scene::of("steady", &["100000"]);
    scene.clean();
    let folder = folder(&scene, 0o700);
    let outputs = ["jsonl:lines,rotate=64KB", "recording:frames,rotate=64KB,mode=0640"].map(|output| {
        let (format, rest) = output.split_once(':').unwrap();
        format!("{format}:{}/{rest}", folder.display())
    });
    let collector = Collector::start(&scene.beside("c.sock"), &["-o", &outputs[0], "-o", &outputs[1]]);

    let running = watched(&scene, &collector);
    let made = finish(&scene, running, 1200);
    ended(collector);

    let (lines, frames) = (parts(&folder, "lines"), parts(&folder, "frames"));
    assert!(lines.len() >= 5 && frames.len() >= 2, "{lines:?} {frames:?}");
    let text: String = lines.iter().map(|part| fs::read_to_string(part).unwrap()).collect();
    let seen = Events::parse(&text, Expect::NothingLost).unwrap_or_else(|broken| panic!("{broken:#?}"));
    assert_eq!(made, opens_of_steady(&seen));
    let mut replayed = String::new();
    for part in &frames {
        let mut command = Command::new(glassbox());
        command.arg("replay").arg(part).args(["-o", "jsonl", "--no-default-rules"]);
        let ending = child::run(command, b"");
        assert_eq!(Status::Exited(0), ending.status, "{}: {}", part.display(), ending.stderr);
        replayed += &ending.stdout;
    }
    assert!(text == replayed, "the recordings have other events");
    for (parts, mode) in [(&lines, 0o600), (&frames, 0o640)] {
        for part in parts {
            let metadata = fs::metadata(part).unwrap();
            assert_eq!(mode, metadata.permissions().mode() & 0o777, "{}", part.display());
        }
        let sizes: Vec<u64> =
            parts[..parts.len() - 1].iter().map(|part| fs::metadata(part).unwrap().len()).collect();
        // A part ends with the batch that makes it large enough.
        assert!(sizes.iter().all(|size| (64 << 10..1 << 20).contains(size)), "{sizes:?}");
    }
}

#[test]
fn number_and_age_bound_what_was_put_aside_and_a_start_empties_nothing() {
    let scene = Scene::of("steady", &["100000"]);
    scene.clean();
    let folder = folder(&scene, 0o700);
    let path = folder.join("lines");
    fs::write(&path, "of an earlier session\n").unwrap();
    fs::write(folder.join("lines.20200101T000000.000Z"), "old\n").unwrap();
    fs::write(folder.join("lines.20200101T000000.000Z.gz"), "another program's\n").unwrap();
    let output = format!("jsonl:{},rotate=64KB,age=3s,keep=3", path.display());
    let collector = Collector::start(&scene.beside("c.sock"), &["-o", &output]);
    wait_until("the old one's end", || !folder.join("lines.20200101T000000.000Z").exists());
    wait_until("the earlier session's", || parts(&folder, "lines").len() == 3);
    let earlier = fs::read_to_string(&parts(&folder, "lines")[1]).unwrap();

    let running = watched(&scene, &collector);
    wait_until("more parts", || parts(&folder, "lines").len() >= 5);
    let most = (0..100).map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        parts(&folder, "lines").len()
    });
    let most = most.max().unwrap();
    finish(&scene, running, 1);
    // Nothing follows, and the last part is put aside all the same once it is old.
    wait_until("an old file", || fs::metadata(&path).is_ok_and(|metadata| metadata.len() == 0));
    ended(collector);

    assert_eq!("of an earlier session\n", earlier);
    // Three, one that is about to go, the other program's, and the present one.
    assert!(most <= 6, "{most}");
}

#[test]
fn a_link_in_the_way_is_refused_and_the_events_stay_in_the_open_file() {
    let scene = Scene::of("steady", &["100000"]);
    scene.clean();
    // Others can write there.
    let folder = folder(&scene, 0o777);
    let (path, victim) = (folder.join("lines"), scene.beside("victim"));
    fs::write(&victim, "untouched\n").unwrap();
    let output = format!("jsonl:{},rotate=64KB", path.display());
    let collector = Collector::start(&scene.beside("c.sock"), &["-o", &output]);
    wait_until("the output", || path.exists());
    fs::rename(&path, folder.join("moved")).unwrap();
    symlink(&victim, &path).unwrap();

    let running = watched(&scene, &collector);
    let made = finish(&scene, running, 400);
    let stderr = ended(collector).stderr;

    assert_eq!("untouched\n", fs::read_to_string(&victim).unwrap());
    assert_eq!(made, opens_of_steady(&Events::read(&folder.join("moved"), Expect::NothingLost)));
    assert!(stderr.contains("is a symbolic link"), "{stderr}");
    assert!(stderr.contains("what is open is written to meanwhile"), "{stderr}");
    assert_eq!(1, stderr.lines().count(), "not once a minute: {stderr}");
}

#[test]
fn a_full_disk_holds_an_output_up_until_there_is_room_again() {
    let scene = Scene::of("steady", &["100000"]);
    scene.clean();
    let folder = folder(&scene, 0o700);
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(&folder).status();
    assert!(mount.unwrap().success(), "root mounts a small disk");
    let ballast = folder.join("ballast");
    fs::write(&ballast, vec![0; 1980 << 10]).unwrap();
    let outputs = ["jsonl:lines", "recording:frames"]
        .map(|output| output.replace(':', &format!(":{}/", folder.display())));
    let collector = Collector::start(&scene.beside("c.sock"), &["-o", &outputs[0], "-o", &outputs[1]]);

    let running = watched(&scene, &collector);
    // Much more than has room.
    wait_until("more opens", || scene.work().join("steady.300").exists());
    fs::remove_file(&ballast).unwrap();
    let made = finish(&scene, running, 400);
    let stderr = ended(collector).stderr;
    let lines = fs::read_to_string(folder.join("lines")).unwrap();
    let mut command = Command::new(glassbox());
    command.arg("replay").arg(folder.join("frames")).args(["-o", "jsonl", "--no-default-rules"]);
    let replayed = child::run(command, b"");
    assert!(Command::new("umount").arg(&folder).status().unwrap().success());

    let seen = Events::parse(&lines, Expect::NothingLost).unwrap_or_else(|broken| panic!("{broken:#?}"));
    assert_eq!(made, opens_of_steady(&seen));
    assert_eq!((Status::Exited(0), lines), (replayed.status, replayed.stdout));
    assert!(stderr.contains("No space left on device; it is tried again"), "{stderr}");
    assert!(!stderr.contains("lacks"), "{stderr}");
}

#[test]
fn a_page_is_not_rotated() {
    let mut command = Command::new(glassbox());
    command.args(["run", "-o", "summary:x,rotate=1MB", "--", "true"]);

    let ending = child::run(command, b"");

    assert_eq!(Status::Exited(64), ending.status);
    assert!(ending.stderr.contains("summary is one page, which is not divided"), "{}", ending.stderr);
}
