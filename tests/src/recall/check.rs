//! Compares the fields of matched calls and events, and the ends of processes.
//!
//! A field counts if strace says it, and the event has it or should have it. Two values that differ are
//! either *documented*, by a row of [`DOCUMENTED`], or *differing*.
//!
//! Times. An event's `time` is read by the thread between the return of its call and its next call, or
//! between the call before and its own where the event is recorded first (exec, some signals). strace sees
//! both of these calls, however slow it is, so the order of the two clocks is compared always, and a time
//! outside is *differing*. Inside, a distance of at most a millisecond from the call is *equal*. A longer one
//! is time in which the thread did not run: strace had stopped it, or it waited for a processor.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::fields::{SIGNALS, told};
use super::kinds;
use super::trace::{Life, Times, Trace};
use super::{Pair, is_first, times};
use crate::events::{Event, Events};

/// The distance at which times and durations count as equal, nanoseconds.
const NEAR_NS: i64 = 1_000_000;

/// The fields of one program's run.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    /// The equal ones, by event and field.
    pub equal: BTreeMap<(String, &'static str), usize>,
    /// Those that differ for a documented reason, by reason; with one of them.
    pub documented: BTreeMap<&'static str, (usize, String)>,
    /// The others that differ.
    pub differing: Vec<String>,
    /// By how much the durations of processes differ from strace's, nanoseconds.
    pub durations: Vec<i64>,
}

/// A field by both words.
#[derive(Clone, Copy, Debug)]
struct Both<'a> {
    event: &'a Event,
    /// The call; `None` for the end of a process.
    pair: Option<Pair<'a>>,
    field: &'static str,
    said: &'a str,
    told: &'a str,
    trace: &'a Trace,
}

impl Both<'_> {
    fn is_of(&self, events: &[&str], functions: &[&str]) -> bool {
        events.contains(&self.event.name()) && functions.contains(&self.event.call())
    }

    fn is_field(&self, fields: &[&str]) -> bool {
        fields.contains(&self.field)
    }

    /// The names that both words do not share are all among these.
    fn differs_by(&self, names: &[&str]) -> bool {
        let (said, told): (Vec<&str>, Vec<&str>) =
            (self.said.split('|').collect(), self.told.split('|').collect());
        let only_said = said.iter().filter(|name| !told.contains(name));
        let only_told = told.iter().filter(|name| !said.contains(name));
        only_said.chain(only_told).all(|name| names.contains(name))
    }

    /// Whether the parent had ended before the event.
    fn is_orphan(&self) -> bool {
        let parent =
            self.pair.and_then(|pair| pair.call.parent).and_then(|parent| self.trace.lives.get(&parent));
        let ended = parent.and_then(|parent| parent.end_ns).zip(self.event.time_ns());
        ended.is_some_and(|(end, at)| end <= at + NEAR_NS)
    }

    fn is_of_musl(&self) -> bool {
        self.pair.is_some_and(|pair| pair.call.is_of_musl)
    }

    /// Whether the event has the numbers of its own pid namespace, or lacks one that is not known outside.
    fn is_unknown_outside(&self) -> bool {
        let life = self.pair.and_then(|pair| self.trace.lives.get(&pair.call.pid));
        self.event.field("pid_ns").is_some() || self.told.is_empty() && life.is_some_and(|life| life.is_below)
    }
}

/// Why a field may differ.
struct Documented {
    /// The reason, and where it is written.
    why: &'static str,
    /// Whether it explains this difference.
    holds: fn(&Both<'_>) -> bool,
}

const fn documented(why: &'static str, holds: fn(&Both<'_>) -> bool) -> Documented {
    Documented { why, holds }
}

/// The functions whose child makes the calls that they report.
const SPAWNERS: [&str; 5] = ["posix_spawn", "posix_spawnp", "system", "popen", "wordexp"];
/// The functions that open a folder, or make a shared memory object, with flags of libc's choice.
const OPENERS: [&str; 4] = ["opendir", "glob", "scandir", "shm_open"];

/// Where a field may say something else than the system call.
const DOCUMENTED: &[Documented] = &[
    documented(
        "posix_spawn, system and popen are reported by the process that calls them, their exec is their child's (CONTRACT: `process.fork`)",
        |both| both.is_of(&[kinds::EXEC], &SPAWNERS) && both.is_field(&["pid", "tid", "ppid"]),
    ),
    documented("`ret` is what the function returned, not its system call (contract, `ret`)", |both| {
        both.field == "ret"
            && (both.is_of(&[kinds::FORK], &SPAWNERS) || both.is_of(&[kinds::OPEN], &["glob", "scandir"]))
    }),
    documented("system and popen do not tell their child (docs/events.md, `process.fork`)", |both| {
        both.field == "child" && both.told.is_empty() && both.is_of(&[kinds::FORK], &["system", "popen"])
    }),
    documented("scandir and glob leave no descriptor (docs/events.md, `file.open`)", |both| {
        both.field == "fd" && both.told.is_empty() && both.is_of(&[kinds::OPEN], &["glob", "scandir"])
    }),
    documented("freopen moves the file to the stream's descriptor", |both| {
        both.is_field(&["fd", "ret"]) && both.is_of(&[kinds::OPEN], &["freopen"])
    }),
    documented(
        "a signal that may reach the caller is reported before the call (CAPABILITIES: signals)",
        |both| both.field == "ret" && both.event.name() == kinds::SIGNAL && both.told.is_empty(),
    ),
    documented("a connect that is under way did not fail (contract: `pending`)", |both| {
        both.field == "error" && both.said == "EINPROGRESS" && both.event.name() == kinds::CONNECT
    }),
    documented("bind to port 0: the event has the port that the kernel chose", |both| {
        let host = |address: &str| address.rsplit_once(':').map(|(host, _)| host.to_owned());
        both.field == "local" && both.said.ends_with(":0") && host(both.said) == host(both.told)
    }),
    documented("the parent was gone, and the kernel gave the process another one", |both| {
        both.field == "ppid" && both.is_orphan()
    }),
    documented("a child by clone(CLONE_VM) is reported under its parent (CAPABILITIES: not seen)", |both| {
        both.is_field(&["pid", "tid", "ppid"]) && both.pair.is_some_and(|pair| pair.call.is_guest)
    }),
    documented(
        "the kernel's argument vector of a script begins with its interpreter (contract: details)",
        |both| {
            let path = both.pair.map_or("", |pair| pair.call.target.as_str());
            let rest =
                both.said.split_once('\u{1f}').map_or(String::new(), |(_, rest)| format!("\u{1f}{rest}"));
            both.field == "argv"
                && both.event.name() == kinds::IMAGE
                && both.event.text("exe") != Some(both.event.path())
                && both.told.ends_with(&format!("\u{1f}{path}{rest}"))
        },
    ),
    documented(
        "musl adds O_LARGEFILE to each open, and opens folders and shared memory with other flags than glibc (CAPABILITIES: not seen)",
        |both| {
            let flags: &[&str] = match OPENERS.contains(&both.event.call()) {
                true => &["O_LARGEFILE", "O_NONBLOCK"],
                false => &["O_LARGEFILE"],
            };
            both.field == "flags" && both.is_of_musl() && both.differs_by(flags)
        },
    ),
    documented("euidaccess asks by stat, and is reported as what it is", |both| {
        both.field == "flags" && kinds::BY_STAT.contains(&both.event.call())
    }),
    documented(
        "a process or thread that was gone before the collector could ask for it has no number outside of its namespace (CAPABILITIES: containers)",
        |both| both.is_field(&["tid", "ppid", "child", "target"]) && both.is_unknown_outside(),
    ),
];

/// Where a time may be further from the call than a millisecond.
const LATE: &str =
    "time: the thread did not run at once (strace had stopped it, or it waited for a processor)";
const LONGER: &str = "time: the function makes further system calls before it returns";
const BY_CONSTRUCTOR: &str = "time: the sensor's constructor reports a program, after the loader";
const WOKEN: &str =
    "duration: the collector learns of an end when the kernel wakes it (CAPABILITIES: not seen)";

impl Fields {
    /// The number of compared fields.
    pub fn compared(&self) -> usize {
        self.equal() + self.documented() + self.differing.len()
    }

    /// The number of equal ones.
    pub fn equal(&self) -> usize {
        self.equal.values().sum()
    }

    /// The number of those that differ for a documented reason.
    pub fn documented(&self) -> usize {
        self.documented.values().map(|(count, _)| count).sum()
    }

    /// The figures of one program as text, with each difference.
    pub fn report(&self) -> String {
        let mut text = format!(
            "fields: {} compared, {} equal, {} documented, {} differing\n",
            self.compared(),
            self.equal(),
            self.documented(),
            self.differing.len()
        );
        for (why, (count, one)) in &self.documented {
            let _ = writeln!(text, "  {count} documented: {why}\n    such as {one}");
        }
        for what in &self.differing {
            let _ = writeln!(text, "  differing: {what}");
        }
        text
    }

    /// Adds another program's.
    pub fn add(&mut self, other: &Fields) {
        for (field, count) in &other.equal {
            *self.equal.entry(field.clone()).or_default() += count;
        }
        for (why, (count, one)) in &other.documented {
            self.documented.entry(why).or_insert_with(|| (0, one.clone())).0 += count;
        }
        self.differing.extend(other.differing.iter().cloned());
        self.durations.extend(&other.durations);
    }

    fn take(&mut self, both: &Both<'_>) {
        if both.said == both.told {
            if !both.said.is_empty() {
                self.same(both.event, both.field);
            }
            return;
        }
        let what = describe(both);
        match DOCUMENTED.iter().find(|documented| (documented.holds)(both)) {
            Some(documented) => self.explain(documented.why, what),
            None => self.differing.push(what),
        }
    }

    fn same(&mut self, event: &Event, field: &'static str) {
        *self.equal.entry((event.name().to_owned(), field)).or_default() += 1;
    }

    fn explain(&mut self, why: &'static str, what: String) {
        self.documented.entry(why).or_insert((0, what)).0 += 1;
    }

    /// Compares the time of an event with those of its call.
    fn time(&mut self, pair: Pair<'_>) {
        let Pair { call, event, .. } = pair;
        let Some(at) = event.time_ns() else { return };
        let times = times(call, event);
        let Times { before_ns, begin_ns, end_ns, next_ns } = times;
        let is_before = is_first(event);
        let is_in_order = times.hold(at, is_before);
        let distance = if is_before { begin_ns - at } else { at - end_ns.unwrap_or(begin_ns) };
        let what = || {
            let of =
                |ns: Option<i64>| ns.map_or("-".to_owned(), |ns| format!("{} µs", (ns - begin_ns) / 1000));
            let (from, to) = if is_before { (before_ns, Some(begin_ns)) } else { (end_ns, next_ns) };
            let of_event = format!("{} {} of {}", event.name(), event.call(), call.target);
            format!(
                "{of_event}, pid {}: between {} and {}, `time` {}",
                call.pid,
                of(from),
                of(to),
                of(Some(at))
            )
        };
        let is_inner = event.name() == kinds::IMAGE || LONG.contains(&event.call());
        match (is_in_order, distance <= NEAR_NS) {
            (true, true) => self.same(event, "time"),
            (true, false) if event.name() != kinds::IMAGE => self.explain(LATE, what()),
            _ if event.name() == kinds::IMAGE && distance >= 0 => self.explain(BY_CONSTRUCTOR, what()),
            _ if is_inner && distance >= 0 => self.explain(LONGER, what()),
            _ => self.differing.push(what()),
        }
    }

    /// Compares the time from the last exec of a process until its end; without an exec, from its fork.
    fn duration(&mut self, trace: &Trace, exit: &Event, life: &Life, pairs: &[Pair<'_>]) {
        let pid = trace.outside(exit).to_string();
        let is_exec = |pair: &&Pair<'_>| {
            let is_its = pair.call.pid.to_string() == pid && pair.call.error.is_none();
            is_its && pair.event.name() == kinds::EXEC && !SPAWNERS.contains(&pair.event.call())
        };
        let is_birth = |pair: &&Pair<'_>| pair.event.name() == kinds::FORK && pair.call.target == pid;
        let exec = pairs.iter().rev().find(is_exec);
        // system and popen report their child once they return.
        let is_prompt = |pair: &&Pair<'_>| !["system", "popen", "wordexp"].contains(&pair.event.call());
        let birth = || pairs.iter().rev().find(is_birth).filter(is_prompt);
        let Some(begin) = exec.or_else(birth) else { return };
        let began = match exec {
            Some(exec) => Some(exec.call.times.begin_ns),
            None => begin.call.times.end_ns,
        };
        let (Some(from), Some(to)) = (begin.event.time_ns(), exit.time_ns()) else { return };
        let (Some(began), Some(ended)) = (began, life.end_ns) else { return };
        let difference = (to - from) - (ended - began);
        self.durations.push(difference);
        let what = format!(
            "pid {pid}: strace {} µs, glassbox {} µs; of the difference {} µs are at its end",
            (ended - began) / 1000,
            (to - from) / 1000,
            (to - ended) / 1000
        );
        if difference.abs() <= NEAR_NS {
            self.same(exit, "duration");
        } else if life.seen_ns.is_none_or(|seen| seen <= to) {
            self.explain(WOKEN, what);
        } else {
            self.differing.push(format!("duration: it ended before its last call: {what}"));
        }
    }
}

/// The functions that make several of the traced calls before they return.
const LONG: [&str; 17] = [
    "setrlimit",
    "prlimit",
    "fopen",
    "opendir",
    "scandir",
    "glob",
    "freopen",
    "mkstemp",
    "mkdtemp",
    "tmpfile",
    "popen",
    "system",
    "posix_spawn",
    "posix_spawnp",
    "daemon",
    "remove",
    "fdopendir",
];

/// Compares a run's matched calls, and the ends of its processes.
pub fn compare(trace: &Trace, events: &Events, pairs: &[Pair<'_>]) -> Fields {
    let mut fields = Fields::default();
    for &pair in pairs {
        let Pair { call, event, failure } = pair;
        let mut take = |field: &'static str, said: &str, told: &str| {
            fields.take(&Both { event, pair: Some(pair), field, said, told, trace });
        };
        for said in &call.said {
            take(said.field, &said.value, &told(event, said.field));
        }
        take("pid", &call.pid.to_string(), &trace.outside(event).to_string());
        take("tid", &call.tid.to_string(), &told(event, "tid"));
        if let Some(parent) = call.parent {
            take("ppid", &parent.to_string(), &told(event, "ppid"));
        }
        take("error", call.error.as_deref().unwrap_or(""), &told(failure.unwrap_or(event), "error"));
        if ![kinds::EXEC, kinds::IMAGE].contains(&event.name()) {
            let ret = call.ret.map(|ret| ret.to_string()).unwrap_or_default();
            take("ret", &ret, &told(event, "ret"));
        }
        fields.time(pair);
    }
    for exit in events.named("process.exit") {
        let Some(life) = trace.lives.get(&trace.outside(exit)).filter(|life| life.is_within) else {
            continue;
        };
        let (field, said) = ending(life);
        fields.take(&Both { event: exit, pair: None, field, said: &said, told: &told(exit, field), trace });
        fields.duration(trace, exit, life, pairs);
    }
    fields
}

/// How a process ended, as a field of process.exit.
fn ending(life: &Life) -> (&'static str, String) {
    match life.end.split_once("killed by ") {
        Some((_, signal)) => {
            let name = signal.split(' ').next().unwrap_or("");
            let number = SIGNALS.iter().position(|signal| *signal == name).map_or(0, |at| at + 1);
            ("signal", number.to_string())
        }
        None => ("code", life.end.trim_start_matches("exited with ").to_owned()),
    }
}

fn describe(both: &Both<'_>) -> String {
    let Both { event, field, said, told, .. } = both;
    let of = both.pair.map_or(String::new(), |pair| format!(" of {}", pair.call.target));
    let process = both.pair.map_or(event.pid(), |pair| pair.call.pid);
    let [said, told] = [said, told].map(|value| value.replace('\u{1f}', " "));
    format!(
        "{} {} `{field}`{of}, pid {process}: strace {said:?}, glassbox {told:?}",
        event.name(),
        event.call()
    )
}
