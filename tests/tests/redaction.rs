//! Secrets in what real programs are started with: no output and no recording has them, unless that is asked
//! for.

use std::fs;

use glassbox_tests::child::{self, Ending, Status};
use glassbox_tests::glassbox;
use glassbox_tests::scene::Scene;

const SECRETS: [&str; 6] =
    ["hunter2xyz", "abcdefgh12345678", "s3cr3tword", "AKIAIOSFODNN7EXAMPLE", "w0rdofurl", "pr0xyw0rd"];

/// Programs that are given them, once in words of their own, and all of them in a script.
const SCRIPT: &str = "cp /bin/true mysql; ./mysql -phunter2xyz -P 3306 db
    /bin/true -H 'Authorization: Bearer abcdefgh12345678' https://me:w0rdofurl@example.org/
    env PASSWORD=s3cr3tword PASSWORD_FILE=/left/alone LD_X=TOKEN=s3cr3tword /bin/true --password-file=/left/alone
    http_proxy=http://me:pr0xyw0rd@proxy:3128/ /bin/true; cat AKIAIOSFODNN7EXAMPLE 2>/dev/null; true";

/// It fires where it sees a secret, and its alert says all that it can.
const RULES: &str = "\
- rule: Password in arguments
  desc: a rule sees the real text
  condition: evt.type = execve and proc.args contains hunter2xyz
  output: \"%proc.cmdline of %proc.pcmdline: %evt.args\"
  priority: NOTICE
";

/// The outputs by their file; all of them have words of programs, or paths.
const OUTPUTS: [&str; 5] = ["jsonl", "human", "summary", "recording", "falco"];

fn glassbox_with(scene: &Scene, arguments: &[&str]) -> Ending {
    let mut command = scene.command(glassbox());
    command.args(arguments);
    let ending = child::run(command, b"");
    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    ending
}

/// Which secrets each output of a run has.
fn secrets_in(options: &[&str]) -> (Scene, Vec<(String, Vec<&'static str>)>) {
    let scene = Scene::of("steady", &["0"]);
    scene.clean();
    fs::write(scene.work().join("rules.yaml"), RULES).unwrap();
    let outputs: Vec<String> = OUTPUTS.iter().map(|format| format!("{format}:out.{format}")).collect();
    let mut arguments = vec!["run", "--no-default-rules", "--rules", "rules.yaml"];
    arguments.extend(options);
    outputs.iter().for_each(|output| arguments.extend(["-o", output]));
    arguments.extend(["--", "/bin/sh", "-c", SCRIPT]);
    glassbox_with(&scene, &arguments);
    let found = OUTPUTS.iter().map(|format| {
        let bytes = fs::read(scene.work().join(format!("out.{format}"))).unwrap();
        ((*format).to_owned(), secrets(&bytes))
    });
    let found = found.collect();
    (scene, found)
}

fn secrets(bytes: &[u8]) -> Vec<&'static str> {
    let has = |secret: &&&str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    SECRETS.iter().filter(has).copied().collect()
}

fn text(scene: &Scene, file: &str) -> String {
    fs::read_to_string(scene.work().join(file)).unwrap()
}

#[test]
fn no_output_has_a_secret_and_rules_see_it_all_the_same() {
    let (scene, found) = secrets_in(&[]);

    for (format, secrets) in found {
        assert_eq!(Vec::<&str>::new(), secrets, "{format}");
    }
    let events = text(&scene, "out.jsonl");
    for left in [
        "\"-p[redacted]\",\"-P\",\"3306\",\"db\"",
        "\"Authorization: Bearer [redacted]\"",
        "https://me:[redacted]@example.org/",
        "\"PASSWORD=[redacted]\",\"PASSWORD_FILE=/left/alone\"",
        "\"--password-file=/left/alone\"",
        "/[redacted]\"",
        "\"http_proxy\":\"http://me:[redacted]@proxy:3128/\"",
    ] {
        assert!(events.contains(left), "{left}: {events}");
    }
    let alerts = text(&scene, "out.falco");
    // The shell's own, with the whole script, and that of mysql.
    assert_eq!(2, alerts.lines().count(), "{alerts}");
    assert!(alerts.contains("mysql -p[redacted] -P 3306 db of sh -c cp /bin/true mysql;"), "{alerts}");
}

#[test]
fn outputs_have_every_secret_where_that_is_asked_for_and_a_replay_takes_them_out() {
    let (scene, found) = secrets_in(&["--no-redact"]);

    for (format, secrets) in found {
        // A page of a few lines has no room for all.
        let all = if format == "summary" || format == "human" { &secrets[..] } else { &SECRETS[..] };
        assert!(!secrets.is_empty() && all == secrets, "{format}: {secrets:?}");
    }
    let replay = |options: &[&str]| {
        let arguments = [&["replay", "out.recording", "-o", "jsonl:-"], options].concat();
        secrets(glassbox_with(&scene, &arguments).stdout.as_bytes())
    };
    assert_eq!(Vec::<&str>::new(), replay(&[]));
    assert_eq!(SECRETS.to_vec(), replay(&["--no-redact"]));
}
