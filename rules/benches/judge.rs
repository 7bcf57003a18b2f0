//! How many events a core judges by all of Falco's rules, and which rules cost most: `cargo bench -p rules`.
//!
//! The rule files are not in this repository. They are read from the folder that `GLASSBOX_FALCO_RULES`
//! names, or from `../shared/falco-rules` beside the checkout. The events are made up: what a small server
//! does in a container. A field is answered from a table, so that the time is the engine's.

#[path = "../tests/falco_fields/mod.rs"]
mod falco_fields;
#[path = "../tests/falco_folder/mod.rs"]
mod falco_folder;

use std::borrow::Cow;
use std::hint::black_box;
use std::time::{Duration, Instant};

use falco_fields::FalcoFields;
use falco_folder::{NOT_RUN, folder};
use rules::file::{Rule, Source, load};
use rules::{Answer, Argument, Catalog as _, Engine, EventType, FieldId, Match, Matching, Subject, Type};

const FILES: [&str; 4] = [
    "falco_rules.yaml",
    "falco-incubating_rules.yaml",
    "falco-sandbox_rules.yaml",
    "falco-deprecated_rules.yaml",
];

/// Each measurement takes so long.
const TIME: Duration = Duration::from_millis(500);

/// What every event has.
const COMMON: &str = "
evt.res SUCCESS
evt.rawres 3
evt.num 812345
evt.dir <
proc.name python3
proc.pname gunicorn
proc.exe /usr/local/bin/python3
proc.exepath /usr/local/bin/python3.12
proc.pexe /usr/local/bin/python3
proc.cmdline python3 -m gunicorn --workers 4 --bind 0.0.0.0:8000 service.wsgi:application
proc.pcmdline gunicorn: master [service.wsgi:application]
proc.args -m gunicorn --workers 4 --bind 0.0.0.0:8000 service.wsgi:application
proc.cwd /srv/service/
proc.tty 0
proc.vpid 17
proc.duration 5123456789
proc.aname gunicorn | tini | containerd-shim | systemd
proc.aname[2] tini
proc.aname[3] containerd-shim
proc.aname[4] systemd
proc.is_exe_upper_layer false
proc.is_exe_from_memfd false
user.name app
user.uid 1000
user.loginuid -1
container.id 3ad7b26ded6d
container.image.repository registry.example.com/team/service
container.privileged false
k8s.ns.name production
k8s.pod.name service-5d9c7b8f6-x2x9k
thread.cap_effective CAP_CHOWN CAP_NET_BIND_SERVICE
thread.cap_permitted CAP_CHOWN CAP_NET_BIND_SERVICE
";

/// What an opened file has besides.
const FILE: &str = "
fd.num 7
fd.typechar f
fd.type file
evt.is_open_read true
evt.is_open_write false
evt.arg[flags] O_RDONLY|O_CLOEXEC
";

/// What a connection has besides.
const CONNECTION: &str = "
fd.num 9
fd.typechar 4
fd.type ipv4
fd.l4proto tcp
fd.name 10.2.3.4:51234->10.9.8.7:5432
fd.cip 10.2.3.4
fd.sip 10.9.8.7
fd.ip 10.2.3.4 | 10.9.8.7
fd.cnet 10.2.3.4
fd.snet 10.9.8.7
fd.net 10.2.3.4 | 10.9.8.7
fd.rnet 10.9.8.7
fd.sport 5432
fd.rport 5432
fd.lport 51234
fd.port 51234 | 5432
fd.connected true
fd.name_changed true
";

/// An event: how often it comes among all, its type, and its fields.
const EVENTS: &[(usize, &str, &[&str])] = &[
    (
        10,
        "openat",
        &[
            FILE,
            "fd.name /usr/lib/python3.12/encodings/__init__.py\nfd.directory /usr/lib/python3.12/encodings",
        ],
    ),
    (5, "openat", &[FILE, "fd.name /etc/ld.so.cache\nfd.directory /etc"]),
    (5, "openat", &[FILE, "fd.name /proc/self/status\nfd.directory /proc/self"]),
    (5, "openat", &[FILE, "fd.name /srv/service/templates/index.html\nfd.directory /srv/service/templates"]),
    (
        5,
        "openat",
        &[
            FILE,
            "fd.name /tmp/upload-8123.part\nfd.directory /tmp\nevt.is_open_write true\nevt.is_open_read false\nevt.arg[flags] O_WRONLY|O_CREAT",
        ],
    ),
    (20, "read", &[FILE]),
    (20, "write", &[FILE]),
    (10, "close", &[FILE]),
    (4, "connect", &[CONNECTION]),
    (4, "sendto", &[CONNECTION]),
    (2, "accept4", &[CONNECTION]),
    (
        3,
        "execve",
        &[
            "proc.name sh\nproc.cmdline sh -c date +%s\nproc.args -c date +%s\nproc.exepath /bin/sh\nproc.exe /bin/sh",
        ],
    ),
    (
        2,
        "execve",
        &[
            "proc.name ffmpeg\nproc.cmdline ffmpeg -i /tmp/in.mp4 -vf scale=640:-1 /tmp/out.mp4\nproc.args -i /tmp/in.mp4 -vf scale=640:-1 /tmp/out.mp4\nproc.exepath /usr/bin/ffmpeg",
        ],
    ),
    (
        2,
        "unlink",
        &[
            "evt.arg[path] /tmp/upload-8123.part\nevt.arg[name] /tmp/upload-8123.part\nfd.name /tmp/upload-8123.part",
        ],
    ),
    (2, "rename", &["evt.arg[oldpath] /srv/data/a.tmp\nevt.arg[newpath] /srv/data/a"]),
    (1, "fchmodat", &["evt.arg[mode] S_IRUSR|S_IWUSR\nevt.arg[filename] /srv/data/a"]),
];

/// An event, answered from a table.
struct Event {
    name: &'static str,
    plain: Vec<Answer<'static>>,
    parts: Vec<(FieldId, Argument, Answer<'static>)>,
}

impl Event {
    fn new(catalog: &FalcoFields, name: &'static str, blocks: &[&str]) -> Event {
        let plain = vec![Answer::Absent; catalog.fields().len()];
        let mut event = Event { name, plain, parts: Vec::new() };
        event.set(catalog, "evt.type", name);
        for line in std::iter::once(COMMON).chain(blocks.iter().copied()).flat_map(str::lines) {
            if let Some((field, value)) = line.split_once(' ') {
                event.set(catalog, field, value);
            }
        }
        event
    }

    fn set(&mut self, catalog: &FalcoFields, field: &str, value: &str) {
        let (field, argument) = match field.split_once('[') {
            Some((field, argument)) => (field, argument.strip_suffix(']')),
            None => (field, None),
        };
        let found = rules::field::resolve(catalog, field, argument).expect(field);
        let one = |text: &str| match catalog.fields()[usize::from(found.id.0)].kind {
            Type::Text | Type::Bytes => Answer::Text(text.as_bytes().to_vec().into()),
            Type::Int => Answer::Int(text.parse().expect(text)),
            Type::Uint | Type::Port | Type::Time | Type::Duration => Answer::Uint(text.parse().expect(text)),
            Type::Bool => Answer::Bool(text == "true"),
            Type::Address | Type::Net => Answer::Address(text.parse().expect(text)),
        };
        let answer = match value.contains(" | ") {
            true => Answer::List(value.split(" | ").map(one).collect()),
            false => one(value),
        };
        match found.argument {
            Some(argument) => self.parts.push((found.id, argument, answer)),
            None => self.plain[usize::from(found.id.0)] = answer,
        }
    }
}

fn lent<'a>(answer: &'a Answer<'static>) -> Answer<'a> {
    match answer {
        Answer::Text(text) => Answer::Text(Cow::Borrowed(text)),
        other => other.clone(),
    }
}

impl Subject for Event {
    fn field(&self, id: FieldId, argument: Option<&Argument>) -> Answer<'_> {
        let Some(argument) = argument else { return lent(&self.plain[usize::from(id.0)]) };
        let part = self.parts.iter().find(|(field, key, _)| *field == id && key == argument);
        part.map_or(Answer::Absent, |(.., answer)| lent(answer))
    }
}

/// Judges the events again and again; nanoseconds an event, and matches in one round.
fn measure(engine: &mut Engine, events: &[(EventType, &Event)]) -> (f64, usize) {
    let mut matches: Vec<Match> = Vec::new();
    let mut round = |matches: &mut Vec<Match>| {
        matches.clear();
        for (event_type, event) in events {
            engine.judge(*event_type, black_box(*event), matches);
        }
        matches.len()
    };
    let found = round(&mut matches);
    let mut best = f64::MAX;
    let start = Instant::now();
    while start.elapsed() < TIME {
        let lap = Instant::now();
        for _ in 0..20 {
            black_box(round(&mut matches));
        }
        // The fastest lap is the one that other programs disturbed least.
        best = best.min(lap.elapsed().as_nanos() as f64 / (20 * events.len()) as f64);
    }
    (best, found)
}

fn typed<'e>(engine: &Engine, events: impl Iterator<Item = &'e Event>) -> Vec<(EventType, &'e Event)> {
    events.map(|event| (engine.event_type(event.name), event)).collect()
}

fn main() {
    // `cargo test` runs benches too, and asks for nothing that is measured.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let Some(folder) = folder() else {
        println!("{NOT_RUN}");
        return;
    };
    let catalog = FalcoFields::new();
    let mut all: Vec<Rule> = Vec::new();
    for name in FILES {
        let text = std::fs::read(folder.join(name)).expect(name);
        all.extend(load(&[Source { name, text: &text }], &catalog).rules.rules);
    }
    let events: Vec<Event> =
        EVENTS.iter().map(|(_, name, blocks)| Event::new(&catalog, name, blocks)).collect();
    let counted =
        || EVENTS.iter().zip(&events).flat_map(|((count, ..), event)| std::iter::repeat_n(event, *count));

    let start = Instant::now();
    let mut engine = Engine::new(all.iter().map(|rule| rule.program.clone()).collect(), Matching::First);
    println!("{engine:?}, made in {:?}", start.elapsed());
    let report = |name: &str, engine: &mut Engine, events: &[(EventType, &Event)]| {
        let (ns, found) = measure(engine, events);
        println!("{name:32} {ns:8.0} ns/event {:8.2} M events/s {found:4} matches", 1000.0 / ns);
    };
    let mix = typed(&engine, counted());
    report("all kinds of events", &mut engine, &mix);
    let asked: Vec<_> = mix.iter().copied().filter(|(kind, _)| engine.asks_for(*kind)).collect();
    report("only those that a rule asks for", &mut engine, &asked);
    let mut names: Vec<&str> = EVENTS.iter().map(|(_, name, _)| *name).collect();
    names.dedup();
    // `cargo bench -p rules -- openat` measures these events alone, for a profiler.
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    for name in names {
        let events = typed(&engine, counted().filter(|event| event.name == name));
        let rounds = if only.as_deref() == Some(name) { 10 } else { usize::from(only.is_none()) };
        (0..rounds).for_each(|_| report(name, &mut engine, &events));
    }
    if only.is_some() {
        return;
    }

    println!("\nThe ten dearest rules, each alone, over those events that a rule asks for:");
    let mut costs: Vec<(f64, &str)> = Vec::new();
    for rule in &all {
        let mut alone = Engine::new(vec![rule.program.clone()], Matching::First);
        let events: Vec<&Event> = asked.iter().map(|(_, event)| *event).collect();
        let events = typed(&alone, events.into_iter());
        costs.push((measure(&mut alone, &events).0, &rule.name));
    }
    costs.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    for (ns, name) in costs.iter().take(10) {
        println!("{ns:8.1} ns/event  {name}");
    }
    let sum: f64 = costs.iter().map(|(ns, _)| ns).sum();
    println!("{sum:8.1} ns/event  all {} rules, each alone", costs.len());
}
