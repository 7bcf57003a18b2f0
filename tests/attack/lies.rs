//! Whether the output tells a lie: about the bystander, or as the word of the attacker about itself where the
//! kernel knows better.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::Value;

use crate::scene::OPENS;

/// In every record that the attacker makes up.
const INTRUDER: &str = "INTRUDER";
/// Lies that are kept.
const MOST: usize = 12;

/// The bystander as the output must show it.
#[derive(Clone, Debug)]
pub struct Victim {
    pub pid: i64,
    /// A process of the attacker had that number before, so that the start and the end of that one say it
    /// too.
    pub is_heir: bool,
    /// The inode of its pid namespace; 0 where the collector can see its pid.
    pub namespace: u64,
    pub exe: String,
    pub path: String,
}

/// The lies in an output: those about the bystander, and where `of_both` those of the attacker about itself.
pub fn of_output(
    output: &Path,
    victim: &Victim,
    attacker: &Path,
    of_both: bool,
) -> Result<Vec<String>, String> {
    let attacker = attacker.to_string_lossy();
    let file = File::open(output).map_err(|error| error.to_string())?;
    let mut lies = Lies { victim, attacker: &attacker, found: Vec::new() };
    let (mut opens, mut ends) = (0, 0);
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(|error| error.to_string())?;
        let Ok(event) = serde_json::from_slice::<Value>(&line) else {
            lies.tell("a line is no JSON", &line);
            continue;
        };
        let text = String::from_utf8_lossy(&line);
        let is_intruder = text.contains(INTRUDER) || event["exe"] == *attacker;
        if is_intruder {
            if event["event"] == "sensor.loss" && event["reason"] == "corrupt_ring" {
                // Else its records would be dropped, and the attack prove nothing.
                lies.tell("the attacker does not speak this build's wire format", &line);
            }
            if of_both {
                lies.look_at_intruder(&event, &line);
            }
        } else if lies.is_victim(&event) {
            lies.look_at_victim(&event, &line);
            opens += u64::from(event["event"] == "file.open" && event["path"] == victim.path);
            ends += u64::from(event["event"] == "process.exit");
        }
    }
    if opens != OPENS {
        lies.say(format!("{opens} of {OPENS} opens are told as the bystander's"));
    }
    if ends != 1 {
        lies.say(format!("the bystander ended {ends} times"));
    }
    Ok(lies.found)
}

struct Lies<'a> {
    victim: &'a Victim,
    attacker: &'a str,
    found: Vec<String>,
}

impl Lies<'_> {
    fn say(&mut self, lie: String) {
        if self.found.len() < MOST {
            self.found.push(lie);
        }
    }

    /// Keeps the first line of each lie.
    fn tell(&mut self, what: &str, line: &[u8]) {
        if self.found.iter().any(|known| known.starts_with(what)) {
            return;
        }
        let text: String = String::from_utf8_lossy(line).chars().take(400).collect();
        self.say(format!("{what}: {text}"));
    }

    fn is_victim(&self, event: &Value) -> bool {
        let namespace = &event["pid_ns"];
        let namespace = namespace.as_u64().or_else(|| namespace.as_str()?.parse().ok()).unwrap_or(0);
        event["pid"] == self.victim.pid && namespace == self.victim.namespace
    }

    /// An event of the attacker: what is another's must be marked as the attacker's claim.
    fn look_at_intruder(&mut self, event: &Value, line: &[u8]) {
        let victim = self.victim.pid;
        let is_of_init = |value: &Value| *value == 1 && event["pid_ns"].is_null();
        let pid = &event["pid"];
        let is_former = self.victim.is_heir && ["process.start", "process.exit"].contains(&name(event));
        let wrong = [
            ("pid", (self.is_victim(event) && !is_former) || is_of_init(pid)),
            ("ppid", is_of_init(&event["ppid"]) || (self.victim.namespace == 0 && event["ppid"] == victim)),
            (
                "child",
                self.victim.namespace == 0 && (event["child"] == victim || is_of_init(&event["child"])),
            ),
            ("uid", event["uid"] == 0),
            ("euid", event["euid"] == 0),
            ("exe", !event["exe"].is_null() && event["exe"] != *self.attacker),
        ];
        for (field, is_wrong) in wrong {
            if is_wrong && !claims(event, field) {
                self.tell(&format!("the attacker's `{field}` is told as the truth"), line);
            }
        }
    }

    fn look_at_victim(&mut self, event: &Value, line: &[u8]) {
        // `unshare` and `env` run before it in its process.
        let is_itself = event["exe"] == self.victim.exe.as_str();
        if event["event"] == "file.open" && is_itself && event["path"] != self.victim.path.as_str() {
            let path = event["path"].as_str().unwrap_or_default();
            let is_startup = !path.contains("GBXKIT-") && !path.contains("PLANTED");
            if !is_startup {
                self.tell("an open of the bystander has another path", line);
            }
        }
        if event["uid"] != 0 || event["euid"] != 0 {
            self.tell("the bystander is another user", line);
        }
        let is_open = event["event"] == "file.open" && event["path"] == self.victim.path.as_str();
        if is_open && !is_itself {
            self.tell("the bystander is another program", line);
        }
        match event["event"].as_str() {
            Some("process.exit") if event["code"] != 0 => self.tell("the bystander ended otherwise", line),
            Some("sensor.loss" | "sensor.blind") => self.tell("the bystander lost events", line),
            _ => {}
        }
    }
}

fn name(event: &Value) -> &str {
    event["event"].as_str().unwrap_or_default()
}

/// Whether an event says that only the process itself says this field.
fn claims(event: &Value, field: &str) -> bool {
    event["claimed"].as_array().is_some_and(|claimed| claimed.iter().any(|name| name == field))
}
