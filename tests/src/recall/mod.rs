//! Compares the reported calls with the calls that were made: `strace -f` and the sensor watch the same run.
//!
//! Because both watch one run, every call can be matched by process, and every unreported call can be named.
//! A table (`kinds`) says which events are compared and which system calls make them; another one lists the
//! programs (`programs`), and one the places where they run (`places`); `trace` decides who made an
//! unreported call. For matched calls, `fields` says which fields strace says too, and `check` compares them.
//! The tests hold each figure to the goal, and the fields; `cargo xtask recall` prints the figures.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::PathBuf;

use crate::events::{Event, Events};

pub mod check;
pub mod ebpf;
pub mod fields;
pub mod kinds;
pub mod line;
pub mod places;
pub mod programs;
pub mod trace;

use trace::{Call, Origin, Times, Trace};

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

/// A call and the event that reports it.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The call.
    pub call: &'a Call,
    /// The event.
    pub event: &'a Event,
    /// The second event of an exec that failed: it has the error.
    pub failure: Option<&'a Event>,
}

/// The events that are left to match, by name, process and the identifying fields.
type Left<'a> = HashMap<(&'static str, i64, String), Vec<&'a Event>>;

/// The second events of execs that failed, by process and path.
type Failures<'a> = HashMap<(i64, String), Vec<&'a Event>>;

/// Whether the event is recorded before its call.
fn is_first(event: &Event) -> bool {
    event.name() == kinds::EXEC || event.name() == kinds::SIGNAL && event.field("ret").is_none()
}

/// The times of a call that its event's time lies between. libc searches PATH by calls that fail; and a child
/// that was spawned makes its calls after its parent has reported them.
fn times(call: &Call, event: &Event) -> Times {
    let is_search = event.call().trim_end_matches('e').ends_with('p');
    let first = call.attempts.first().filter(|_| is_search).unwrap_or(call);
    let is_spawned = SPAWNERS.contains(&event.call());
    let before_ns = first.times.before_ns.filter(|_| !is_spawned);
    Times { before_ns, begin_ns: first.times.begin_ns, ..call.times }
}

/// Takes the event of a call with its error: of its thread, its path and its time, if there is one.
fn take<'a>(left: &mut Left<'a>, call: &Call, pid: i64, key: String) -> Option<&'a Event> {
    let events = left.get_mut(&(call.kind.event, pid, key))?;
    let is_pending = call.error.as_deref() == Some("EINPROGRESS");
    let error = call.error.as_deref().filter(|_| !is_pending);
    let is_then =
        |event: &Event| event.time_ns().is_some_and(|at| times(call, event).hold(at, is_first(event)));
    // A function may return later than its system call.
    let is_later = |event: &Event| event.time_ns().is_some_and(|at| at >= call.times.begin_ns);
    let is_threads = |event: &Event| event.number("tid") == Some(call.tid);
    let is_same = |event: &Event| event.text("error") == error;
    let is_exec = call.kind.event == kinds::EXEC;
    let best = |event: &&Event| {
        let is_fit = !is_exec || event.path() == call.path();
        (is_same(event) || is_exec).then_some((is_threads(event), is_fit, is_then(event), is_later(event)))
    };
    let ranks: Vec<_> = events.iter().map(best).collect();
    let top = ranks.iter().copied().flatten().max()?;
    let at = ranks.iter().position(|rank| *rank == Some(top))?;
    Some(events.remove(at))
}

/// Matches calls with events, each event once, and counts.
pub fn recall<'a>(trace: &'a Trace, events: &'a Events) -> (Recalls, Vec<Pair<'a>>) {
    let mut pairs = Vec::new();
    let mut left: Left<'a> = HashMap::new();
    let mut failures: Failures<'a> = HashMap::new();
    for event in events.iter() {
        let Some(kind) = kinds::of(event.name()) else { continue };
        let key = match kind.event {
            // The record is written before the exec; if the exec failed, a second record with the error
            // follows.
            kinds::EXEC if event.has_failed() => {
                let of = (trace.outside(event), event.path().to_owned());
                failures.entry(of).or_default().push(event);
                continue;
            }
            kinds::EXEC => base(event.path()),
            kinds::IMAGE => String::new(),
            _ => kind.fields.iter().map(|field| shown(event, field)).collect::<Vec<_>>().join(" "),
        };
        let of = if kinds::BY_STAT.contains(&event.call()) { kinds::STAT } else { kind.event };
        left.entry((of, trace.outside(event), key)).or_default().push(event);
    }
    let looks_up_names = |pid: i64| events.named("dns.query").any(|query| trace.outside(query) == pid);
    let mut spawned: HashSet<i64> = events
        .named(kinds::FORK)
        .filter(|fork| SPAWNERS.contains(&fork.call()))
        .filter_map(|fork| fork.number("child"))
        .collect();

    // A child of posix_spawn that finds no program never belonged to the application.
    let mut failed_spawns: HashMap<i64, usize> = HashMap::new();
    for exec in events.named(kinds::EXEC).filter(|exec| exec.has_failed() && SPAWNERS.contains(&exec.call()))
    {
        *failed_spawns.entry(trace.outside(exec)).or_default() += 1;
    }

    let mut recalls = Recalls::new();
    let mut is_first_exec = true;
    // Calls that libc may have made for itself come last, so that they do not use up the event of a program's
    // call.
    let (last, first): (Vec<&Call>, Vec<&Call>) = trace.calls.iter().partition(|call| call.is_look_up);
    for call in first.into_iter().chain(last) {
        let event = call.kind.event;
        // strace executed the first program, or a program that made its namespaces.
        if event == kinds::EXEC && std::mem::take(&mut is_first_exec) {
            continue;
        }
        if call.is_put_off() || call.error.as_deref().is_some_and(|error| call.kind.untold.contains(&error)) {
            continue;
        }
        // A child that shares its parent's memory without stopping it is reported under the parent's number.
        let of_a_guest = call.parent.filter(|_| call.is_guest);
        let mut of_target = |target: &str| {
            let mut pids = [Some(call.pid), of_a_guest].into_iter().flatten();
            pids.find_map(|pid| take(&mut left, call, pid, target.to_owned()))
        };
        let found = match event {
            // An event belongs to the application, so other calls must not use it up.
            _ if call.origin != Origin::Application => None,
            kinds::IMAGE => of_target(""),
            // posix_spawn, system and popen are reported under their caller; the program runs in their child.
            kinds::EXEC => {
                let mut pids = [Some(call.pid), call.parent].into_iter().flatten();
                pids.find_map(|pid| take(&mut left, call, pid, base(&call.target)))
            }
            // system and popen do not know their child, nor does the collector one below that is gone.
            kinds::FORK => of_target(&call.target).or_else(|| {
                let fork = of_target("")?;
                if SPAWNERS.contains(&fork.call()) {
                    spawned.insert(number(&call.target));
                }
                Some(fork)
            }),
            // A process below that is gone has no number.
            kinds::SIGNAL => of_target(&call.target).or_else(|| of_target("")),
            _ => of_target(&call.target),
        };
        let recall = recalls.entry(event).or_default();
        if let Some(event) = found {
            recall.made += 1;
            recall.seen += 1;
            let mut pair = |call: &'a Call, event: &'a Event| {
                let failure = call.error.as_ref().and_then(|_| {
                    let of = (trace.outside(event), event.path().to_owned());
                    failures.get_mut(&of).filter(|left| !left.is_empty()).map(|left| left.remove(0))
                });
                pairs.push(Pair { call, event, failure });
            };
            pair(call, event);
            // A program that searches PATH itself asks for each of these.
            for attempt in &call.attempts {
                let key = (kinds::EXEC, trace.outside(event), base(&attempt.target));
                let events = left.get_mut(&key).into_iter();
                let mut events = events.filter_map(|events| {
                    let at = events.iter().position(|event| event.path() == attempt.path())?;
                    Some(events.remove(at))
                });
                if let Some(event) = events.next() {
                    pair(attempt, event);
                }
            }
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
    (recalls, pairs)
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
pub(crate) fn kept(program: &str) -> PathBuf {
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
        let trace = trace::traced("1.0 [0000000000000001] openat(AT_FDCWD</>, \"/b\", O_RDONLY) = 3</b>\n");

        let (recalls, _) = recall(&trace, &Events::default());

        let open = &recalls[kinds::OPEN];
        assert_eq!((1, 0, vec!["pid 7 /b".to_owned()]), (open.made, open.seen, open.missed.clone()));
        assert!(report("x", &recalls).contains("missed: pid 7 /b"));
        assert!(table(&[("x", recalls)]).contains("0/1 !"));
    }
}
