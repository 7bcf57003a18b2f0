//! Runs the scripts of a file's rows under `glassbox run`, with the file's rules.
//!
//! One session serves all rows of a place: a program before each script fires a rule of the test's own, and
//! the alerts behind it are that script's.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::task::Task;
use super::{File, Place, Proof, Row, Script, names_in, text_of};
use crate::artefacts::glassbox;
use crate::child;
use crate::scene::Scene;

/// What a script led to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The rule of the script's row.
    pub rule: &'static str,
    /// Whether the script ran to its end.
    pub is_complete: bool,
    /// The rules that fired, and at which command line each.
    pub fired: Vec<(String, String)>,
    /// The output of the script.
    pub output: String,
}

impl Outcome {
    /// Whether the row's own rule fired.
    pub fn has_fired(&self) -> bool {
        self.fired.iter().any(|(rule, _)| rule == self.rule)
    }
}

/// The rule that marks the beginning of a script. It comes first, because an event fires one rule.
const MARK: &str = "\
- rule: Script begins
  desc: the alerts that follow are of the script of this number
  condition: evt.type = execve and proc.args startswith \"glassbox-script \"
  output: \"%proc.args\"
  priority: DEBUG
";

const FUNCTIONS: &str = "\
nothing() { cp /bin/true \"$1\"; }
snake() { ln -s /usr/bin/python3 \"$1\"; }
shell() { ln -s /bin/sh \"$1\"; }
own() {
    folders=$1 script=$2
    unshare -m sh -ec 'for folder in '\"$folders\"'; do mount -t tmpfs none $folder; done; '\"$script\"
}
at() {
    address=$1
    shift
    unshare -n sh -ec 'ip link set lo up; ip address add '\"$address\"'/32 dev lo; exec \"$@\"' sh \"$@\"
}
meet() {
    at \"$1\" \"${3:-/usr/bin/python3}\" -c \"import socket
server = socket.create_server(('', $2))
client = socket.create_connection(('$1', $2))
server.accept()\"
}
";

/// Runs a command below a root without the marks that container engines leave in theirs: the machine may be a
/// container.
const OUTSIDE: &str = r#"
work=$PWD
mount -t tmpfs none /mnt
for entry in /*; do
    case $entry in
        /mnt) mkdir /mnt/mnt ;;
        /run) mkdir /mnt/run ;;
        *)
            if [ -h "$entry" ]; then
                cp -P "$entry" /mnt
            elif [ -d "$entry" ]; then
                mkdir "/mnt$entry"
                mount --rbind "$entry" "/mnt$entry"
            fi
            ;;
    esac
done
exec chroot /mnt sh -c 'cd "$0" && exec "$@"' "$work" "$@"
"#;

/// The variables of the collector that `glassbox patch k8s` adds to a pod, and Kubernetes' own.
const POD: [(&str, &str); 5] = [
    ("KUBERNETES_SERVICE_HOST", "10.96.0.1"),
    ("GLASSBOX_SOCKET", "/glassbox/socket"),
    ("K8S_POD_UID", "3e41dc6b-08a8-44db-bc2a-3724b18ab19a"),
    ("K8S_POD_NAME", "web-1"),
    ("K8S_NAMESPACE_NAME", "shop"),
];

const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/// Runs one script of each row that has some: that at which the rule fires, or the other one. `None` where
/// the file of the rules is not there.
///
/// # Panics
/// If the session does not give what was asked for.
pub fn play(file: &File, script: fn(&Proof) -> Option<Script>) -> Option<Vec<Outcome>> {
    let (path, text) = text_of(file)?;
    let tuning = all_enabled(&text) + file.tuning;
    let at = |place: Place| {
        let rows = file.rows.iter().filter(move |row| row.at == place);
        let scripts: Vec<(&Row, Script)> =
            rows.filter_map(|row| script(&row.proof).map(|script| (row, script))).collect();
        if scripts.is_empty() { Vec::new() } else { session(&path, &tuning, place, &scripts) }
    };
    Some([Place::Host, Place::Container, Place::Pod].into_iter().flat_map(at).collect())
}

fn session(path: &Path, tuning: &str, place: Place, scripts: &[(&Row, Script)]) -> Vec<Outcome> {
    let scene = Scene::of("steady", &["0"]);
    scene.clean();
    let file = |name: &str| scene.beside(name).display().to_string();
    fs::write(file("mark.yaml"), MARK).expect("our own file");
    fs::write(file("tuning.yaml"), tuning).expect("our own file");
    fs::write(scene.work().join("play.sh"), driver(scripts)).expect("our own file");
    for (number, (_, script)) in scripts.iter().enumerate() {
        fs::create_dir(scene.work().join(number.to_string())).expect("our own folder");
        let text = format!("{FUNCTIONS}{}\n", script.text);
        fs::write(scene.work().join(format!("{number}.sh")), text).expect("our own file");
    }
    let task = (place == Place::Container).then(Task::start);
    let mut command = match place {
        Place::Host => {
            let mut command = scene.command("unshare");
            command.args(["-m", "sh", "-ec", OUTSIDE, "sh"]).arg(glassbox());
            command
        }
        Place::Container | Place::Pod => scene.command(glassbox()),
    };
    command.env("PATH", PATH).arg("run").arg("--no-default-rules");
    command.args(["--rules", &file("mark.yaml"), "--rules"]).arg(path);
    command.args(["--rules", &file("tuning.yaml"), "-o", &format!("falco:{}", file("alerts"))]);
    command.args(["--", "/bin/sh", "play.sh"]);
    if let Some(task) = &task {
        command.envs(task.environment());
    }
    if place == Place::Pod {
        command.envs(POD);
    }

    let ending = child::run(command, b"");

    let alerts = fs::read_to_string(file("alerts")).unwrap_or_else(|why| panic!("{why}: {ending:?}"));
    let alerts = by_script(&alerts, scripts.len());
    let text_of = |number: usize, kind: &str| {
        fs::read_to_string(scene.work().join(format!("{number}.{kind}"))).unwrap_or_default()
    };
    let outcome = |(number, ((row, _), fired)): (usize, (&(&Row, Script), Vec<_>))| Outcome {
        rule: row.rule,
        is_complete: text_of(number, "status").trim() == "0",
        fired,
        output: text_of(number, "out"),
    };
    scripts.iter().zip(alerts).enumerate().map(outcome).collect()
}

/// A file that enables each of the rules.
fn all_enabled(rules: &str) -> String {
    names_in(rules).map(enabled).collect()
}

/// What enables a rule, which its file may disable.
pub fn enabled(rule: &str) -> String {
    format!("- rule: {rule}\n  enabled: true\n  override: {{enabled: replace}}\n")
}

fn driver(scripts: &[(&Row, Script)]) -> String {
    let mut text = String::new();
    for number in 0..scripts.len() {
        let _ = writeln!(
            text,
            "/bin/true glassbox-script {number}\n\
             (cd {number} && exec sh -e ../{number}.sh >../{number}.out 2>&1); echo $? >{number}.status"
        );
    }
    text
}

/// The alerts behind each mark: rule and command line.
fn by_script(alerts: &str, count: usize) -> Vec<Vec<(String, String)>> {
    let mut all = vec![Vec::new(); count];
    let mut begun = 0_usize;
    for line in alerts.lines() {
        let alert: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let fields = &alert["output_fields"];
        if alert["rule"] == "Script begins" {
            assert_eq!(format!("glassbox-script {begun}"), text(&fields["proc.args"]), "a mark is missing");
            begun += 1;
        } else if let Some(current) = begun.checked_sub(1).and_then(|number| all.get_mut(number)) {
            current.push((text(&alert["rule"]), text(&fields["proc.cmdline"])));
        }
    }
    assert_eq!(count, begun, "marks are missing");
    all
}
