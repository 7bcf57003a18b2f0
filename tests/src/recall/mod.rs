//! Compares the reported calls with the calls that were made: `strace -f` and the sensor watch the same run.
//!
//! Because both watch one run, every call can be matched by process, and every unreported call can be named.
//! A table (`kinds`) says which events are compared and which system calls make them; another one lists the
//! programs (`programs`); `trace` decides who made an unreported call. The tests hold each figure to the
//! goal; `cargo xtask recall` prints the figures.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::PathBuf;

use crate::events::{Event, Events};

pub mod kinds;
pub mod programs;
pub mod trace;

use trace::{Call, Origin};

/// The share of the application's calls that must be seen, in percent.
pub const GOAL: f64 = 99.9;

/// The figures of one event.
#[derive(Clone, Debug, Default)]
pub struct Recall {
    /// The calls that the application made, and the images that it started.
    pub made: usize,
    /// Those of them that were reported.
    pub seen: usize,
    /// The unreported ones.
    pub missed: Vec<String>,
    /// Unreported calls of the loader, of libc for itself, and of the sensor; they are not counted above.
    pub set_aside: BTreeMap<Origin, Vec<String>>,
}

impl Recall {
    /// The seen calls, in percent of the calls made.
    pub fn percent(&self) -> f64 {
        if self.made == 0 { 100.0 } else { 100.0 * self.seen as f64 / self.made as f64 }
    }
}

/// The figures of a run, by event.
pub type Recalls = BTreeMap<&'static str, Recall>;

/// The functions that work in a child before it executes: the calls that they make there are libc's.
const SPAWNERS: [&str; 4] = ["posix_spawn", "posix_spawnp", "system", "popen"];

/// Matches calls with events, each event once.
pub fn recall(calls: &[Call], events: &Events) -> Recalls {
    let mut left: HashMap<(&str, i64, String), Vec<Option<String>>> = HashMap::new();
    let mut images: HashMap<i64, usize> = HashMap::new();
    for event in events.iter() {
        let error = event.text("error").map(str::to_owned);
        let Some(kind) = kinds::of(event.name()) else { continue };
        let key = match kind.event {
            // The record is written before the exec; if the exec failed, a second record with the error
            // follows.
            kinds::EXEC if error.is_some() => continue,
            kinds::EXEC => base(event.path()),
            kinds::IMAGE => {
                *images.entry(event.pid()).or_default() += 1;
                continue;
            }
            _ => kind.fields.iter().map(|field| shown(event, field)).collect::<Vec<_>>().join(" "),
        };
        left.entry((kind.event, event.pid(), key)).or_default().push(error);
    }
    let looks_up_names = |pid: i64| events.named("dns.query").any(|query| query.pid() == pid);
    let mut spawned: HashSet<i64> = events
        .named(kinds::FORK)
        .filter(|fork| SPAWNERS.contains(&fork.call()))
        .filter_map(|fork| fork.number("child"))
        .collect();

    // A child of posix_spawn that finds no program never belonged to the application.
    let mut failed_spawns: HashMap<i64, usize> = HashMap::new();
    for exec in events.named(kinds::EXEC).filter(|exec| exec.has_failed() && SPAWNERS.contains(&exec.call()))
    {
        *failed_spawns.entry(exec.pid()).or_default() += 1;
    }

    let mut recalls = Recalls::new();
    let mut is_first_exec = true;
    // Calls that libc may have made for itself come last, so that they do not use up the event of a program's
    // call.
    let (last, first): (Vec<&Call>, Vec<&Call>) = calls.iter().partition(|call| call.is_look_up);
    for call in first.into_iter().chain(last) {
        let event = call.kind.event;
        // strace executed the first program.
        if event == kinds::EXEC && std::mem::take(&mut is_first_exec) {
            continue;
        }
        if call.error.as_deref().is_some_and(|error| call.kind.untold.contains(&error)) {
            continue;
        }
        let mut take = |target: &str| {
            // A child that shares its parent's memory without stopping it is reported under the parent's
            // number.
            [Some(call.pid), Some(call.parent).filter(|_| call.is_guest)].iter().flatten().any(|&pid| {
                left.get_mut(&(event, pid, target.to_owned())).is_some_and(|events| {
                    let same = events.iter().position(|error| *error == call.error);
                    let is_pending = call.error.as_deref() == Some("EINPROGRESS") && !events.is_empty();
                    same.or(is_pending.then_some(0)).map(|at| events.remove(at)).is_some()
                })
            })
        };
        let is_seen = match event {
            // An event belongs to the application, so other calls must not use it up.
            _ if call.origin != Origin::Application => false,
            kinds::IMAGE => images.get_mut(&call.pid).is_some_and(take_one),
            // posix_spawn, system and popen are reported under their caller; the program runs in their child.
            kinds::EXEC => [call.pid, call.parent].iter().any(|&pid| {
                left.get_mut(&(event, pid, base(&call.target))).is_some_and(|events| events.pop().is_some())
            }),
            // system and popen do not know their child.
            kinds::FORK => take(&call.target) || take("") && spawned.insert(number(&call.target)),
            _ => take(&call.target),
        };
        let recall = recalls.entry(event).or_default();
        if is_seen {
            recall.made += 1;
            recall.seen += 1;
            continue;
        }
        let is_libcs = event.starts_with("net.") && call.is_look_up && looks_up_names(call.pid)
            || !call.kind.calls.is_empty() && call.is_before_exec && spawned.contains(&call.pid)
            || event == kinds::FORK && failed_spawns.get_mut(&call.pid).is_some_and(take_one);
        let origin = match call.origin {
            Origin::Application if is_libcs => Origin::Libc,
            origin => origin,
        };
        let what = format!("{} {}", call.target, call.error.as_deref().unwrap_or(""));
        if origin == Origin::Application {
            recall.made += 1;
            recall.missed.push(format!("pid {} {}", call.pid, what.trim_end()));
        } else {
            recall.set_aside.entry(origin).or_default().push(what.trim_end().to_owned());
        }
    }
    recalls
}

/// Takes one off the count, if it is not 0.
fn take_one(count: &mut usize) -> bool {
    let is_there = *count > 0;
    *count = count.saturating_sub(1);
    is_there
}

fn number(text: &str) -> i64 {
    text.parse().unwrap_or(-1)
}

fn base(path: &str) -> String {
    path.rsplit('/').next().unwrap_or("").to_owned()
}

/// A field as text, whether it is a string or a number; empty if it is missing.
fn shown(event: &Event, field: &str) -> String {
    let text = event.text(field).map(str::to_owned);
    text.or_else(|| event.number(field).map(|number| number.to_string())).unwrap_or_default()
}

/// The figures of one program as text, with the name of each missed call.
pub fn report(program: &str, recalls: &Recalls) -> String {
    let mut text = String::new();
    for (event, recall) in recalls {
        let aside: Vec<String> =
            recall.set_aside.iter().map(|(origin, calls)| format!("{} by {origin:?}", calls.len())).collect();
        let aside = if aside.is_empty() {
            String::new()
        } else {
            format!("  (set aside: {})", aside.join(", ").to_lowercase())
        };
        let (seen, made, percent) = (recall.seen, recall.made, recall.percent());
        text.push_str(&format!(
            "recall {program:8} {event:19} {seen:5} / {made:5}  {percent:6.2} %{aside}\n"
        ));
        for early in recall.set_aside.get(&Origin::Early).into_iter().flatten() {
            text.push_str(&format!("  early: {early}\n"));
        }
        for missed in &recall.missed {
            text.push_str(&format!("  missed: {missed}\n"));
        }
    }
    text
}

/// All programs by all kinds, `seen/made`; a cell below the goal is marked.
pub fn table(all: &[(&str, Recalls)]) -> String {
    let kinds: Vec<&str> = kinds::kinds()
        .map(|kind| kind.event)
        .filter(|event| all.iter().any(|(_, recalls)| recalls.contains_key(event)))
        .collect();
    let mut rows = vec![vec!["event".to_owned()]];
    rows[0].extend(all.iter().map(|(program, _)| (*program).to_owned()));
    rows[0].push("all".to_owned());
    for event in kinds {
        let recalls = || all.iter().map(|(_, recalls)| recalls.get(event).cloned().unwrap_or_default());
        let sum = recalls().fold(Recall::default(), |sum, recall| Recall {
            made: sum.made + recall.made,
            seen: sum.seen + recall.seen,
            ..Recall::default()
        });
        let mut row = vec![event.to_owned()];
        row.extend(recalls().map(|recall| cell(&recall)));
        row.push(format!("{} {:.2} %", cell(&sum), sum.percent()));
        rows.push(row);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

fn cell(recall: &Recall) -> String {
    match recall.made {
        0 => "-".to_owned(),
        made => {
            format!("{}/{made}{}", recall.seen, if recall.percent() < GOAL { " !" } else { "" })
        }
    }
}

/// An empty folder for the files of a program's run.
fn kept(program: &str) -> PathBuf {
    let dir = crate::artefacts::target().join("recall").join(program);
    drop(fs::remove_dir_all(&dir));
    fs::create_dir_all(&dir).expect("target/recall can be made");
    dir
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_call_without_an_event_is_missed_by_name() {
        let calls = trace::traced("1.0 [0000000000000001] openat(AT_FDCWD</>, \"/b\", O_RDONLY) = 3</b>\n");

        let recalls = recall(&calls, &Events::default());

        let open = &recalls[kinds::OPEN];
        assert_eq!((1, 0, vec!["pid 7 /b".to_owned()]), (open.made, open.seen, open.missed.clone()));
        assert!(report("x", &recalls).contains("missed: pid 7 /b"));
        assert!(table(&[("x", recalls)]).contains("0/1 !"));
    }
}
