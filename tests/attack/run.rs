//! `glassbox run` whose CMD leaves hostile descendants behind: it ends when CMD ends all the same.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use glassbox_tests::glassbox;

use crate::scene::Stage;

/// How long CMD takes.
pub const COMMAND: Duration = Duration::from_millis(500);
/// How long the descendants attack.
const ATTACK_SECONDS: u32 = 6;

/// The attacks of descendants: the attacker's arguments.
pub const ATTACKS: &[(&str, &str)] = &[
    ("run: descendants connect and close", "connections 8 close"),
    ("run: descendants send half a hello", "connections 8 half"),
    ("run: descendants connect and keep", "connections 4 keep"),
    ("run: descendants flood rings", "flood 2 now"),
];

/// How long `glassbox run` takes for a CMD of half a second that starts such descendants.
pub fn duration(stage: &Stage, arguments: &str) -> Result<Duration, String> {
    let attacker = stage.program("attacker");
    let script = format!(
        "LD_PRELOAD= setsid timeout {ATTACK_SECONDS} {} \"$GLASSBOX_SOCKET\" {} {arguments} & sleep 0.5; exit 0",
        attacker.display(),
        stage.release,
    );
    let mut command = Command::new(glassbox());
    command.args(["run", "-o", "jsonl:/dev/null", "--", "sh", "-c"]).arg(script);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status().map_err(|error| error.to_string())?;
    let took = start.elapsed();
    // The descendants are not to disturb what comes next.
    let rest = Duration::from_secs(u64::from(ATTACK_SECONDS) + 1).saturating_sub(took);
    std::thread::sleep(rest);
    if status.success() { Ok(took) } else { Err(format!("run ended with {status}")) }
}
