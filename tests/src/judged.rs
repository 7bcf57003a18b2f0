//! The event-generator's actions, made by a static program ([`crate::unseen::GENERATOR`]), judged by rules.
//!
//! [`ACTIONS`] says of each action what the rules must decide; [`judge`] runs the actions under
//! `glassbox run --notify`, each file of Falco's and glassbox's own rules apart, since of a set of rules the
//! first that matches counts. The actions run below a root of their own, in a network of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::artefacts::{glassbox, sensor};
use crate::child;
use crate::falco::{FILES, Place, Task, enabled, text_of};
use crate::scene::Scene;
use crate::unseen::GENERATOR;

mod actions;

pub use actions::{ACTIONS, Action, Decision};

/// A set of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// The rules that glassbox brings along.
    Own,
    /// A file of Falco's: its place among [`FILES`].
    Falco(usize),
}

/// The rules that fired at each action.
pub type Fired = BTreeMap<String, BTreeSet<String>>;

/// The first rule of each set marks where an action begins.
const MARK: &str = "\
- rule: Action begins
  desc: the alerts that follow are of the action of this name
  condition: evt.type = mkdirat and evt.arg.path startswith /marks/
  output: \"%evt.arg.path\"
  priority: DEBUG
";

const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/// Runs the rest below the root `$1`: this machine's files under an overlay, so that everything may be
/// written, and this machine's own folders `$2`, which the programs of the run need. A process with a root of
/// its own (chroot(2)) could make no user namespace.
const BELOW: &str = r#"
set -e
root=$1 shared=$2; shift 2
mount -t tmpfs none "$root"
mkdir "$root/upper" "$root/work" "$root/all"
mount -t overlay overlay -o "lowerdir=/,upperdir=$root/upper,workdir=$root/work" "$root/all"
root=$root/all
rm -f "$root/.dockerenv"
for entry in proc sys; do mount --rbind "/$entry" "$root/$entry"; done
for entry in dev run tmp; do mount -t tmpfs none "$root/$entry"; done
mkdir "$root/dev/shm"
for device in null zero random urandom tty; do touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
for folder in $shared; do mkdir -p "$root$folder"; mount --bind "$folder" "$root$folder"; done
mkdir "$root/run/old"
cd "$root"
pivot_root . run/old
umount -l /run/old
exec "$@"
"#;

/// Runs the generator in a network of its own, where each address that it connects to is its own.
const ALONE: &str = "set -e; PATH=$PATH:/usr/sbin:/sbin; ip link set lo up
    for own in 169.254.169.254 10.2.3.4 203.0.113.7; do ip addr add $own/32 dev lo; done; exec \"$@\"";

/// Runs these actions at a place, at a level of `--notify`, with a set of rules. `None` where the set's file
/// is not there.
///
/// # Panics
/// If an action cannot be made, or the session does not give what was asked for.
pub fn judge(set: Set, level: &str, place: Place, actions: &[&str]) -> Option<Fired> {
    let scene = Scene::of("steady", &["0"]);
    scene.clean();
    let file = |name: &str| scene.beside(name).display().to_string();
    let root = scene.beside("root");
    fs::create_dir(&root).expect("our own folder");
    fs::write(file("mark.yaml"), MARK).expect("our own file");
    let mut command = scene.command("unshare");
    command
        .env("PATH", PATH)
        .env("MARKS", "1")
        .args(["-m", "sh", "-c", BELOW, "sh"])
        .arg(&root)
        .arg(shared(&scene));
    command.arg(glassbox()).args([
        "run",
        "--notify",
        level,
        "--require-notify",
        "--rules",
        &file("mark.yaml"),
    ]);
    match set {
        Set::Own => {}
        Set::Falco(index) => {
            let rules = &FILES[index];
            let (path, _) = text_of(rules)?;
            // The folder of the rules is not below the root.
            fs::copy(path, scene.beside("rules.yaml")).expect("our own file");
            let enabled: String =
                ACTIONS.iter().filter_map(|action| action.rule_of(set)).map(enabled).collect();
            fs::write(file("tuning.yaml"), enabled + rules.tuning).expect("our own file");
            command.args([
                "--no-default-rules",
                "--rules",
                &file("rules.yaml"),
                "--rules",
                &file("tuning.yaml"),
            ]);
        }
    }
    command.args(["-o", &format!("falco:{}", file("alerts")), "-o", &scene.events_output(), "--"]);
    command.args(["unshare", "--net", "sh", "-c", ALONE, "sh"]).arg(GENERATOR.path()).arg("/").args(actions);
    let task = (place == Place::Container).then(Task::start);
    if let Some(task) = &task {
        command.envs(task.environment());
    }

    let ending = child::run(command, b"");

    let said: Vec<&str> = ending.stdout.lines().collect();
    assert_eq!(actions.len(), said.len(), "{ending:?}");
    assert!(said.iter().all(|line| line.ends_with(": ok")), "{ending:?}");
    let alerts = fs::read_to_string(file("alerts")).unwrap_or_else(|why| panic!("{why}: {ending:?}"));
    Some(by_action(&alerts, actions))
}

/// The folders of this machine that have the programs and files of the run.
fn shared(scene: &Scene) -> String {
    let folder = |file: &Path| file.parent().map(PathBuf::from).unwrap_or_default();
    let folders: BTreeSet<PathBuf> =
        [glassbox(), sensor(), &GENERATOR.path(), &scene.work()].into_iter().map(folder).collect();
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(" ")
}

fn by_action(alerts: &str, actions: &[&str]) -> Fired {
    let mut fired = Fired::new();
    let mut current = None;
    for line in alerts.lines() {
        let alert: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let rule = alert["rule"].as_str().unwrap_or_default();
        if rule == "Action begins" {
            let path = alert["output_fields"]["evt.arg.path"].as_str().unwrap_or_default();
            let name = path.trim_start_matches("/marks/").to_owned();
            current = Some(fired.entry(name).or_default());
        } else if let Some(current) = &mut current {
            current.insert(rule.to_owned());
        }
    }
    let is_missing = |action: &&&str| !fired.contains_key(**action);
    let missing: Vec<&&str> = actions.iter().filter(is_missing).collect();
    assert!(missing.is_empty(), "marks are missing: {missing:?}");
    fired
}
