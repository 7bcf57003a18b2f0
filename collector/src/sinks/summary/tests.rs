//! The text of the page, and its bounds.

use std::sync::Arc;
#[cfg(not(debug_assertions))]
use std::time::Instant;

use wire::events::Kind;
use wire::names;

use super::gathered::{MOST_LOSSES, MOST_PATHS};
use super::network::MOST_PEERS;
use super::*;

use rules::file::Priority;
use rules::format::Resolved;

use crate::event::{Alert, Event, Rule, Shape, Value, Who, sample};
use crate::ids::UtcNs;
use crate::sinks::look::Sort;

/// Builds the events of a session.
#[derive(Default)]
struct Story {
    batch: Batch,
    time_ns: u64,
}

impl Story {
    fn who(&mut self, pid: u32, ppid: u32, exe: &str) -> u32 {
        self.batch.whos.push(sample::who_of(pid, ppid, exe.as_bytes()));
        self.batch.whos.len() as u32 - 1
    }

    fn event(&mut self, who: u32, kind: Kind, error: &'static str, values: &[(&str, Value)]) {
        self.time_ns += 1_000_000;
        self.batch.push(Event { time: UtcNs(self.time_ns), error, who, ..sample::head(kind) });
        for (name, value) in values {
            self.batch.set(Shape::place(kind, name), *value);
        }
    }

    fn text(&mut self, text: &str) -> Value {
        Value::Text(self.batch.keep(text.as_bytes()))
    }

    fn path(&mut self, path: &str) -> Value {
        Value::Path(self.batch.keep(path.as_bytes()), None)
    }

    fn list(&mut self, items: &[&str]) -> Value {
        Value::List(self.batch.keep_with(|out| {
            for item in items {
                out.extend_from_slice(item.as_bytes());
                out.push(0);
            }
        }))
    }

    fn start(&mut self, pid: u32, ppid: u32, exe: &str, argv: &[&str]) -> u32 {
        let who = self.who(pid, ppid, exe);
        let argv = self.list(argv);
        self.event(who, Kind::ProcessStart, "", &[("argv", argv), ("coverage", Value::Word("hooked"))]);
        who
    }

    fn exit(&mut self, who: u32, code: i64) {
        self.event(
            who,
            Kind::ProcessExit,
            "",
            &[
                ("code", Value::Int(code)),
                ("user_ns", Value::Uint(900_000)),
                ("system_ns", Value::Uint(100_000)),
                ("sensor_ns", Value::Uint(10_000)),
                ("calls", Value::Uint(100)),
            ],
        );
    }

    fn page(&self) -> String {
        page_of(&self.batch, &RunFacts::default())
    }
}

fn page_of(batch: &Batch, facts: &RunFacts) -> String {
    let mut summary = Summary::new(Look::default());
    let mut out = Vec::new();
    summary.batch(batch, &mut out);
    assert!(out.is_empty());
    summary.end(facts, &mut out);
    String::from_utf8(out).unwrap()
}

/// The lines from the one that begins with `heading` to the next part.
fn part<'a>(page: &'a str, heading: &str) -> Vec<&'a str> {
    let mut lines = page.lines().skip_while(|line| !line.starts_with(heading));
    let first = lines.next().unwrap_or_else(|| panic!("no {heading} in\n{page}"));
    std::iter::once(first).chain(lines.take_while(|line| line.starts_with("  "))).collect()
}

#[test]
fn tree_shows_programs_arguments_ends_and_durations() {
    let mut story = Story::default();
    let shell = story.start(10, 1, "/bin/sh", &["sh", "-c", "make all"]);
    let make = story.start(11, 10, "/usr/bin/make", &["make", "all"]);
    let path = story.path("/no/such");
    story.event(make, Kind::ProcessExec, "ENOENT", &[("path", path)]);
    story.exit(make, 2);
    let fork = story.who(12, 10, "/bin/sh");
    story.event(fork, Kind::FileRmdir, "ENOENT", &[]);
    story.event(fork, Kind::ProcessExit, "", &[("signal", Value::Int(11))]);
    story.event(shell, Kind::FileRmdir, "ENOENT", &[]);

    assert_eq!(
        vec![
            "Processes",
            "  sh -c \"make all\"  still running  6.0 ms",
            "  ├─ make all       exit 2  2.0 ms, cpu 1.0 ms  ✗ exec /no/such ENOENT",
            "  └─ sh (fork)      SIGSEGV  1.0 ms",
        ],
        part(&story.page(), "Processes")
    );
}

#[test]
fn programs_that_follow_each_other_in_a_process_stand_in_a_row() {
    let mut story = Story::default();
    story.start(10, 1, "/usr/bin/env", &["env", "nice", "true"]);
    story.start(10, 1, "/usr/bin/nice", &["nice", "true"]);
    let who = story.start(10, 1, "/bin/true", &["true"]);
    story.exit(who, 0);

    assert_eq!(
        vec!["Processes", "  env → nice → true  exit 0  3.0 ms, cpu 1.0 ms"],
        part(&story.page(), "Processes")
    );
}

#[test]
fn program_that_is_not_seen_into_has_its_name_arguments_and_duration() {
    let mut story = Story::default();
    let shell = story.start(10, 1, "/bin/dash", &["dash", "-c", "tiny a b; exec tiny"]);
    let argv = story.list(&["tiny", "a", "b"]);
    // A fork child of which the exec is seen, and one that is told of with its end alone.
    let fork = story.who(11, 10, "/bin/dash");
    let path = story.path("/opt/tiny");
    story.event(fork, Kind::ProcessExec, "", &[("path", path), ("argv", argv)]);
    for pid in [11, 12] {
        let blind = story.who(pid, 10, "/opt/tiny");
        let values = [("path", path), ("argv", argv), ("reason", Value::Word("static"))];
        story.event(blind, Kind::SensorBlind, "", &values);
        story.exit(blind, 0);
    }
    let image = story.who(10, 1, "/opt/tiny");
    story.event(shell, Kind::ProcessExec, "", &[("path", path)]);
    let argv = story.list(&["tiny"]);
    let values = [("path", path), ("argv", argv), ("reason", Value::Word("static"))];
    story.event(image, Kind::SensorBlind, "", &values);
    story.exit(image, 0);

    assert_eq!(
        vec![
            "Processes",
            "  dash → tiny      exit 0  8.0 ms, cpu 1.0 ms  not seen into: static",
            "  └─ 2 × tiny a b  exit 0  Σ 3.0 ms, cpu 2.0 ms, slowest 2.0 ms  not seen into: static",
        ],
        part(&story.page(), "Processes")
    );
    assert_eq!(
        vec![
            "Not seen   programs that the sensor could not look into",
            "  blind        3 ×  /opt/tiny  static",
            "    linked statically: no loader runs that would load the sensor",
            "    remedy: link it dynamically (Go: CGO_ENABLED=1 and -linkmode=external; Rust: a target without \
             crt-static); the programs that it starts are hooked again",
            "    or: --notify security has the kernel tell of what static and Go programs do",
        ],
        part(&story.page(), "Not seen")
    );
}

#[test]
fn name_that_a_program_was_executed_by_is_told_where_it_is_another_than_its_files() {
    let mut story = Story::default();
    let shell = story.start(10, 1, "/bin/dash", &["-sh"]);
    for (pid, argv) in [(11, ["/bin/ls", "/"]), (12, ["ls", "/tmp"]), (13, ["cat", "/x"])] {
        let applet = story.start(pid, 10, "/bin/busybox", &argv);
        story.exit(applet, 0);
    }
    let other = story.start(14, 10, "/bin/true", &["/opt/true"]);
    story.exit(other, 0);
    story.start(10, 1, "/bin/cat", &[""]);
    story.exit(shell, 0);

    assert_eq!(
        vec![
            "Processes",
            "  -sh (dash) → \"\" (cat)  exit 0  10 ms, cpu 1.0 ms",
            "  ├─ ls (busybox) /      exit 0  1.0 ms, cpu 1.0 ms",
            "  ├─ ls (busybox) /tmp   exit 0  1.0 ms, cpu 1.0 ms",
            "  ├─ cat (busybox) /x    exit 0  1.0 ms, cpu 1.0 ms",
            "  └─ true                exit 0  1.0 ms, cpu 1.0 ms",
        ],
        part(&story.page(), "Processes")
    );
}

#[test]
fn containers_show_where_a_process_is_in_another_one_than_its_parent() {
    let mut story = Story::default();
    let alone = story.start(10, 1, "/bin/alone", &["alone"]);
    story.batch.whos[alone as usize] = Arc::new(Who {
        container: Some(sample::container("4f2c", "web")),
        ..(*story.batch.whos[alone as usize]).clone()
    });
    assert!(!story.page().contains("web"), "{}", story.page());
    story.start(11, 10, "/bin/child", &["child"]);

    let page = story.page();

    assert!(page.contains("  web: alone"), "{page}");
    assert!(page.contains("─ child"), "{page}");
}

#[test]
fn siblings_that_look_alike_become_one_line() {
    let mut story = Story::default();
    let make = story.start(10, 1, "/usr/bin/make", &["make"]);
    for number in 0..40 {
        let file = format!("{number}.c");
        let gcc = story.start(100 + 2 * number, 10, "/usr/bin/gcc", &["gcc", "-c", &file]);
        let cc1 = story.start(101 + 2 * number, 100 + 2 * number, "/usr/lib/cc1", &["cc1", &file]);
        story.exit(cc1, 0);
        story.exit(gcc, i64::from(number == 7));
    }
    story.exit(make, 0);

    let page = story.page();

    assert_eq!(
        vec![
            "Processes",
            "  make              exit 0  161 ms, cpu 1.0 ms",
            "  ├─ 39 × gcc -c …  exit 0  Σ 117 ms, cpu 39 ms, slowest 3.0 ms",
            "  │  └─ cc1 0.c     exit 0  1.0 ms, cpu 1.0 ms",
            "  └─ gcc -c 7.c     exit 1  3.0 ms, cpu 1.0 ms",
            "     └─ cc1 7.c     exit 0  1.0 ms, cpu 1.0 ms",
        ],
        part(&page, "Processes")
    );
    assert!(page.starts_with("glassbox: 81 processes, 162 events in 161 ms, none lost\n"), "{page}");
}

#[test]
fn number_of_a_process_that_ended_can_be_used_again() {
    let mut story = Story::default();
    for _ in 0..2 {
        let who = story.start(10, 1, "/bin/true", &["true"]);
        story.exit(who, 0);
    }

    assert_eq!(
        vec!["Processes", "  2 × true  exit 0  Σ 2.0 ms, cpu 2.0 ms, slowest 1.0 ms"],
        part(&story.page(), "Processes")
    );
}

#[test]
fn files_are_listed_by_bytes_and_failures_counted() {
    let mut story = Story::default();
    let who = story.who(10, 1, "/bin/cp");
    for (name, read, written) in
        [("/a", 1500, 0), ("/b", 20_000, 0), ("/c", 0, 1_234_567), ("pipe:[7]", 5, 5)]
    {
        let path = story.path(name);
        story.event(who, Kind::FileOpen, "", &[("path", path)]);
        let values = [
            ("path", path),
            ("bytes_read", Value::Uint(read)),
            ("reads", Value::Uint(read / 1000)),
            ("bytes_written", Value::Uint(written)),
            ("writes", Value::Uint(written / 1000)),
        ];
        story.event(who, Kind::FileClose, "", &values);
    }
    let path = story.path("/e");
    let flags = Value::Names(&names::OPEN, (libc::O_WRONLY | libc::O_CREAT) as u64);
    story.event(who, Kind::FileOpen, "", &[("path", path), ("flags", flags)]);
    let path = story.path("/d");
    story.event(who, Kind::FileOpen, "ENOENT", &[("path", path)]);
    story.event(who, Kind::FileUnlink, "", &[("path", path)]);

    assert_eq!(
        vec![
            "Files      opened 5 ×, 1 failed; 1.2 MB written, 22 kB read",
            "  wrote     1.2 MB  /c  1 234 writes",
            "  wrote        0 B  /e  0 writes",
            "  read       20 kB  /b  20 reads",
            "  read      1.5 kB  /a  1 read",
            "  removed      1 ×  /d  by cp",
        ],
        part(&story.page(), "Files")
    );
}

#[test]
fn network_shows_listeners_peers_names_and_what_went_through() {
    let mut story = Story::default();
    let who = story.who(10, 1, "/usr/sbin/server");
    let local = story.text("127.0.0.1:80");
    let remote = story.text("192.0.2.7:443");
    let refused = story.text("[::1]:9");
    let host = story.text("example.org");
    let answers = story.list(&["192.0.2.7", "192.0.2.8", "192.0.2.9"]);
    story.event(who, Kind::NetListen, "", &[("local", local)]);
    story.event(who, Kind::NetAccept, "", &[("local", local)]);
    story.event(who, Kind::NetAccept, "", &[("local", local)]);
    story.event(who, Kind::DnsQuery, "", &[("host", host), ("answers", answers)]);
    story.event(who, Kind::NetConnect, "", &[("remote", remote), ("host", host)]);
    story.event(who, Kind::NetConnect, "ECONNREFUSED", &[("remote", refused)]);
    let values = [("bytes_sent", Value::Uint(1000)), ("bytes_received", Value::Uint(52_000))];
    story.event(
        who,
        Kind::NetClose,
        "",
        &[&[("remote", remote), ("host", host)], values.as_slice()].concat(),
    );
    let peer = story.text("127.0.0.1:54321");
    story.event(
        who,
        Kind::NetClose,
        "",
        &[&[("remote", peer), ("local", local)], values.as_slice()].concat(),
    );

    assert_eq!(
        vec![
            "Network    2.0 kB sent, 104 kB received",
            "  listen            127.0.0.1:80  by server",
            "  accept       2 ×  127.0.0.1:80  1.0 kB sent, 52 kB received",
            "  connect      1 ×  192.0.2.7:443 example.org  1.0 kB sent, 52 kB received  by server",
            "  connect      1 ×  [::1]:9  ECONNREFUSED  by server",
            "  look up      1 ×  example.org → 192.0.2.7, 192.0.2.8, …",
        ],
        part(&story.page(), "Network")
    );
}

#[test]
fn bytes_belong_to_the_peer_and_the_name_of_their_own_event() {
    let mut story = Story::default();
    let who = story.who(10, 1, "/usr/bin/pip");
    let remote = story.text("192.0.2.7:443");
    for (host, sent, received) in [("index.org", 1000, 2000), ("files.org", 3000, 645_000)] {
        let host = story.text(host);
        let peer = [("remote", remote), ("host", host)];
        story.event(who, Kind::NetConnect, "", &peer);
        let bytes = [("bytes_sent", Value::Uint(sent)), ("bytes_received", Value::Uint(received))];
        story.event(who, Kind::NetClose, "", &[peer, bytes].concat());
    }
    let host = story.text("late.org");
    story.event(who, Kind::NetConnect, "", &[("remote", remote), ("host", host)]);
    story.event(who, Kind::NetConnected, "ECONNREFUSED", &[("remote", remote), ("host", host)]);

    assert_eq!(
        vec![
            "Network    4.0 kB sent, 647 kB received",
            "  connect      1 ×  192.0.2.7:443 files.org  3.0 kB sent, 645 kB received  by pip",
            "  connect      1 ×  192.0.2.7:443 index.org  1.0 kB sent, 2.0 kB received  by pip",
            "  connect      1 ×  192.0.2.7:443 late.org  ECONNREFUSED  by pip",
        ],
        part(&story.page(), "Network")
    );
}

#[test]
fn bytes_of_datagrams_to_several_peers_stand_with_these_together() {
    let mut story = Story::default();
    let who = story.who(10, 1, "/usr/bin/probe");
    let remotes: Vec<String> = (1..=4).map(|port| format!("127.0.0.1:{port}")).collect();
    for remote in &remotes {
        let remote = story.text(remote);
        story.event(who, Kind::NetConnect, "", &[("remote", remote)]);
    }
    let close = |story: &mut Story, remotes: &[&str], peers, sent| {
        let remotes = story.list(remotes);
        let values = [("remotes", remotes), ("peers", Value::Uint(peers)), ("bytes_sent", Value::Uint(sent))];
        story.event(who, Kind::NetClose, "", &values);
    };
    let remotes: Vec<&str> = remotes.iter().map(String::as_str).collect();
    close(&mut story, &remotes[..3], 3, 300);
    close(&mut story, &remotes[..3], 3, 30);
    close(&mut story, &remotes, 9, 2);
    // A socket that anybody may send to, although it answered one alone; and one that is not known.
    let local = story.text("0.0.0.0:53");
    let peer = story.text("127.0.0.1:1");
    let of_udp = [("local", local), ("type", Value::Word("SOCK_DGRAM"))];
    story.event(who, Kind::NetListen, "", &[("local", local)]);
    story.event(who, Kind::NetBind, "", &[of_udp.as_slice(), &[("family", Value::Word("AF_INET"))]].concat());
    let values = [("remote", peer), ("bytes_received", Value::Uint(7))];
    story.event(who, Kind::NetClose, "", &[of_udp, values].concat());
    story.event(who, Kind::NetClose, "", &[("bytes_received", Value::Uint(1))]);

    assert_eq!(
        vec![
            "Network    332 B sent, 8 B received",
            "  listen            0.0.0.0:53  by probe",
            "  listen       udp  0.0.0.0:53  0 B sent, 7 B received  by probe",
            "  connect      1 ×  127.0.0.1:1  by probe",
            "  connect      1 ×  127.0.0.1:2  by probe",
            "  connect      1 ×  127.0.0.1:3  by probe",
            "  connect      1 ×  127.0.0.1:4  by probe",
            "  together     2 ×  127.0.0.1:1, 127.0.0.1:2, 127.0.0.1:3  330 B sent, 0 B received  by probe",
            "  together     1 ×  127.0.0.1:1, 127.0.0.1:2, 127.0.0.1:3, … (9 peers)  2 B sent, 0 B received  by probe",
        ],
        part(&story.page(), "Network")
    );
}

#[test]
fn losses_are_told_by_cause_and_process_and_make_no_process() {
    let mut story = Story::default();
    let who = story.start(10, 1, "/bin/flood", &["flood"]);
    let slow = story.start(11, 1, "/bin/slow", &["slow"]);
    let loss = |count, reason| [("count", Value::Uint(count)), ("reason", Value::Word(reason))];
    story.event(who, Kind::SensorLoss, "", &loss(1200, "ring_full"));
    story.event(who, Kind::SensorLoss, "", &loss(34, "ring_full"));
    story.event(slow, Kind::SensorLoss, "", &loss(5, "sink_full"));

    let page = story.page();

    assert!(page.starts_with("glassbox: 2 processes, 5 events in 4.0 ms, 1 239 lost\n"), "{page}");
    assert_eq!(
        vec![
            "Lost       1 239",
            "             1 234  ring_full  by flood (10)",
            "                 5  sink_full  by slow (11)",
        ],
        part(&page, "Lost")
    );
}

#[test]
fn cost_is_summed_and_set_against_processor_time() {
    let mut story = Story::default();
    for pid in [10, 11] {
        let who = story.start(pid, 1, "/bin/true", &["true"]);
        story.exit(who, 0);
    }
    let mut summary = Summary::new(Look::default());
    let mut out = Vec::new();
    summary.batch(&story.batch, &mut out);

    summary.end(&RunFacts { collector_ns: 5_000_000, ..RunFacts::default() }, &mut out);

    assert_eq!(
        vec![
            "Sensor     20 µs in 200 calls (100 ns each, with what starting a process takes), 1.0 % of 2.0 ms \
             processor time; the collector used 5.0 ms",
            "  most in true (10) 10 µs, true (11) 10 µs",
        ],
        part(&String::from_utf8(out).unwrap(), "Sensor")
    );
}

#[test]
fn what_deserves_a_look_is_shown_with_its_first_time() {
    let mut story = Story::default();
    let who = story.who(10, 1, "/opt/jit");
    for prot in [7, 5] {
        story.event(who, Kind::MemoryMap, "", &[("prot", Value::Names(&names::PROT, prot))]);
    }
    story.event(who, Kind::KernelBpf, "EPERM", &[("command", Value::Int(5))]);
    let path = story.path("/usr/bin/sudo");
    story.event(who, Kind::SensorBlind, "", &[("path", path), ("reason", Value::Word("setuid"))]);

    let page = story.page();

    assert_eq!(
        vec![
            "Not seen   programs that the sensor could not look into",
            "  blind        1 ×  /usr/bin/sudo  setuid",
            "    set-uid or set-gid: the loader ignores LD_PRELOAD where an exec raises privileges",
            "    remedy: name the sensor in /etc/ld.so.preload (glibc), or run it as the user that it changes to",
        ],
        part(&page, "Not seen")
    );
    assert_eq!(
        vec![
            "Notable",
            "               1 ×  memory that is writable and executable  by jit",
            "               1 ×  kernel.bpf  by jit",
        ],
        part(&page, "Notable")
    );
}

#[test]
fn page_of_nothing_is_short_and_true() {
    let page = page_of(&Batch::default(), &RunFacts::default());

    assert_eq!(
        "glassbox: 0 processes, 0 events in 0 ns, none lost\nEvents     0\nLost       0\nSensor     0 ns in 0 calls\n",
        page
    );
}

#[test]
fn every_kind_with_hostile_values_stays_printable() {
    let page = page_of(
        &sample::every_kind(),
        &RunFacts { restarts: 1, collector_ns: u64::MAX, ..RunFacts::default() },
    );

    assert!(!page.chars().any(|letter| deploy::visible::is_hidden(letter) && letter != '\n'), "{page}");
    assert!(page.contains("the collector died and was started again (1 time)"));
}

#[test]
fn endless_session_stays_a_page_and_bounded() {
    let mut summary = Summary::new(Look::default());
    let mut out = Vec::new();
    for round in 0..50_u32 {
        let mut story = Story { time_ns: u64::from(round) << 40, ..Story::default() };
        for number in round * 500..(round + 1) * 500 {
            // Every other one is the child of the one before: the deepest tree that there can be.
            let who = story.start(number + 2, number + 1, "/bin/x", &["x", &number.to_string()]);
            let path = story.path(&format!("/tmp/{number}"));
            story.event(who, Kind::FileOpen, "", &[("path", path)]);
            story.event(
                who,
                Kind::FileClose,
                "",
                &[("path", path), ("bytes_written", Value::Uint(1)), ("writes", Value::Uint(1))],
            );
            let remote = story.text(&format!("192.0.2.1:{number}"));
            story.event(who, Kind::NetConnect, "", &[("remote", remote)]);
            story.event(
                who,
                Kind::SensorLoss,
                "",
                &[("count", Value::Uint(1)), ("reason", Value::Word("ring_full"))],
            );
            if number > 20_000 {
                story.exit(who, 0);
            }
        }
        summary.batch(&story.batch, &mut out);
    }

    summary.end(&RunFacts::default(), &mut out);

    let page = String::from_utf8(out).unwrap();
    assert!(page.lines().count() <= 70, "{page}");
    assert!(page.contains("25 kB written"), "{page}");
    assert!(page.contains("25 000 lost"), "{page}");
    let gathered = &summary.gathered;
    assert_eq!(MOST_PATHS, gathered.files.by_path.iter().count());
    assert_eq!(MOST_PEERS, gathered.net.peers.iter().count());
    assert_eq!(MOST_LOSSES, gathered.losses.len());
}

/// A bound far above what it takes, in the profile that it is meant for.
#[test]
#[cfg(not(debug_assertions))]
fn event_costs_less_than_a_microsecond() {
    let mut story = Story::default();
    let who = story.start(10, 1, "/bin/x", &["x"]);
    for number in 0..5_000 {
        let path = story.path(&format!("/usr/lib/python3/dist-packages/some/package/module_{number}.py"));
        story.event(who, Kind::FileOpen, "", &[("path", path)]);
        story.event(
            who,
            Kind::FileClose,
            "",
            &[("path", path), ("bytes_read", Value::Uint(4096)), ("reads", Value::Uint(2))],
        );
    }
    let mut summary = Summary::new(Look::default());
    let mut out = Vec::new();
    let began = Instant::now();

    for _ in 0..20 {
        summary.batch(&story.batch, &mut out);
    }

    let each = began.elapsed().as_nanos() / (20 * story.batch.events.len() as u128);
    println!("{each} ns an event");
    assert!(each < 1000, "{each} ns");
}

#[test]
fn alerts_come_first_by_urgency_with_the_line_of_programs() {
    let mut story = Story::default();
    let cat = story.start(11, 10, "/bin/cat", &["cat"]);
    let path = story.path("/etc/shadow");
    story.event(cat, Kind::FileOpen, "", &[("path", path)]);
    story.event(cat, Kind::KernelBpf, "", &[]);
    story.batch.whos[cat as usize] = sample::who();
    let alert = |event, name: &str, priority, message: &str| Alert {
        event,
        rule: Arc::new(Rule { name: name.into(), priority, tags: Vec::new(), source: "syscall".into() }),
        output: Resolved { message: message.into(), fields: Vec::new() },
    };
    story.batch.alerts = vec![
        alert(0, "Odd start", Priority::Notice, "a \u{1b}[2J cat"),
        alert(1, "Secrets read", Priority::Critical, "read /etc/shadow"),
        alert(1, "Odd start", Priority::Notice, "again"),
    ];

    let page = story.page();

    assert_eq!(
        vec![
            "Alerts     3",
            "  Critical     1 ×  \"Secrets read\"",
            "    \"read /etc/shadow\"",
            "    by cat (4121) ← sh (4100)",
            "  Notice       2 ×  \"Odd start\"",
            "    \"a \\u{1b}[2J cat\"",
            "    by cat (4121) ← sh (4100)",
        ],
        part(&page, "Alerts")
    );
    assert_eq!(vec!["Notable", "               1 ×  kernel.bpf  by cat"], part(&page, "Notable"));
}

fn laid_out(story: &Story, look: Look) -> String {
    let mut summary = Summary::new(look);
    let mut out = Vec::new();
    summary.batch(&story.batch, &mut out);
    summary.end(&RunFacts::default(), &mut out);
    String::from_utf8(out).unwrap()
}

/// A shell whose cat is refused a file, misses another, and finds a third in its second folder.
fn failures() -> Story {
    let mut story = Story::default();
    story.start(10, 1, "/bin/dash", &["sh"]);
    let cat = story.start(11, 10, "/bin/cat", &["cat", "/etc/shadow"]);
    for (path, error) in [
        ("/etc/shadow", "EACCES"),
        ("/no", "ENOENT"),
        ("/a/conf", "ENOENT"),
        ("/b/conf", ""),
        ("/dev/tty", "ENXIO"),
        ("/etc/shadow", "EACCES"),
    ] {
        let path = story.path(path);
        story.event(cat, Kind::FileOpen, error, &[("path", path)]);
    }
    let path = story.path("/x");
    story.event(cat, Kind::FileStat, "ENOENT", &[("path", path)]);
    story.event(cat, Kind::FileStat, "EACCES", &[("path", path)]);
    let remote = story.text("10.0.0.5:5432");
    story.event(cat, Kind::NetConnect, "ECONNREFUSED", &[("remote", remote)]);
    story.event(cat, Kind::NetConnect, "EINPROGRESS", &[("remote", remote)]);
    let path = story.path("/opt/none");
    story.event(cat, Kind::ProcessExec, "ENOENT", &[("path", path)]);
    story.exit(cat, 3);
    let lost = story.start(12, 10, "/bin/ls", &["ls"]);
    let path = story.path("/gone");
    story.event(lost, Kind::FileOpen, "ENOENT", &[("path", path)]);
    story.exit(lost, 0);
    story
}

#[test]
fn missing_file_is_the_cause_where_nothing_else_failed() {
    let mut story = failures();
    let sed = story.start(13, 10, "/bin/sed", &["sed"]);
    let path = story.path("/needed");
    story.event(sed, Kind::FileOpen, "ENOENT", &[("path", path)]);
    story.exit(sed, 1);

    let page = story.page();
    let lines = part(&page, "Failed");

    let place = |what: &str| lines.iter().position(|line| line.contains(what)).unwrap();
    assert!(place("ENOENT /needed by sed") < place("ECONNREFUSED"), "{lines:?}");
    assert!(place("ECONNREFUSED") < place("ENOENT /no by cat"), "{lines:?}");
}

#[test]
fn files_that_a_program_missed_and_did_without_are_one_line_on_a_terminal_and_all_in_a_file() {
    let mut story = Story::default();
    let python = story.start(10, 1, "/bin/python3", &["python3"]);
    for name in ["/a", "/b", "/c", "/d"] {
        let path = story.path(name);
        story.event(python, Kind::FileOpen, "ENOENT", &[("path", path)]);
    }
    let sed = story.start(11, 1, "/bin/sed", &["sed"]);
    for name in ["/e", "/f"] {
        let path = story.path(name);
        story.event(sed, Kind::FileOpen, "ENOENT", &[("path", path)]);
    }
    story.exit(sed, 0);
    story.exit(python, 0);

    let shown = |look| {
        let page = laid_out(&story, look);
        part(&page, "Failed")[1..].iter().map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };

    let terminal = shown(Look::default());
    assert_eq!(["ENOENT /a and 3 more by python3", "ENOENT /e by sed", "ENOENT /f by sed"], terminal[..]);
    assert_eq!(6, shown(Look { is_whole: true, ..Look::default() }).len());
}

#[test]
fn what_failed_is_told_by_name_what_matters_most_first_and_without_searches() {
    assert_eq!(
        vec![
            "Failed     9 times; besides 1 look for files that are not there",
            "        EACCES /etc/shadow by cat  2 ×",
            "        EACCES /x (file.stat) by cat",
            "  ECONNREFUSED 10.0.0.5:5432 by cat",
            "        ENOENT /opt/none (process.exec) by cat",
            "        exit 3 cat /etc/shadow",
            "        ENOENT /gone by ls",
            "        ENOENT /no by cat",
            "         ENXIO /dev/tty by cat",
        ],
        part(&failures().page(), "Failed")
    );
}

#[test]
fn parts_stand_in_the_order_of_what_matters() {
    let mut story = failures();
    let path = story.path("/usr/bin/sudo");
    let blind = story.who(13, 10, "/usr/bin/sudo");
    story.event(blind, Kind::SensorBlind, "", &[("path", path), ("reason", Value::Word("setuid"))]);
    story.event(blind, Kind::KernelBpf, "", &[]);

    let page = story.page();

    let headings: Vec<&str> = page
        .lines()
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split("  ").next())
        .collect();
    let expected =
        ["Failed", "Not seen", "Notable", "Processes", "Files", "Network", "Events", "Lost", "Sensor"];
    assert_eq!(expected, headings[1..]);
}

#[test]
fn lists_have_an_end_but_in_a_file_and_are_sorted_as_asked_for() {
    let mut story = Story::default();
    let who = story.start(10, 1, "/bin/cp", &["cp"]);
    for number in 0..30_u64 {
        let path = story.path(&format!("/{:02}", 29 - number));
        let values = [("path", path), ("bytes_written", Value::Uint(number + 1)), ("writes", Value::Uint(1))];
        story.event(who, Kind::FileClose, "", &values);
    }
    let path = story.path("/etc/ld.so.cache");
    let values = [("path", path), ("bytes_written", Value::Uint(9999)), ("writes", Value::Uint(1))];
    story.event(who, Kind::FileClose, "", &values);
    let written = |look: Look| -> Vec<String> {
        let page = laid_out(&story, look);
        let lines = page.lines().filter(|line| line.starts_with("  wrote"));
        lines.map(|line| line.split_whitespace().nth(3).unwrap().to_owned()).collect()
    };

    let usual = written(Look::default());
    let whole = written(Look { is_whole: true, ..Look::default() });
    let by_name = written(Look { top: Some(2), sort: Sort::Name, ..Look::default() });

    assert_eq!((10, "/00"), (usual.len(), usual[0].as_str()));
    // What every program reads stands last, however much it is.
    assert_eq!((31, "/etc/ld.so.cache"), (whole.len(), whole[30].as_str()));
    assert_eq!(vec!["/00", "/01"], by_name);
}

#[test]
fn processes_are_sorted_by_duration_or_by_what_failed_where_that_is_asked_for() {
    let mut story = Story::default();
    story.start(1, 0, "/bin/sh", &["sh"]);
    let slow = story.start(2, 1, "/bin/slow", &["slow"]);
    let quick = story.start(3, 1, "/bin/quick", &["quick"]);
    story.exit(quick, 1);
    story.exit(slow, 0);
    let children = |sort| -> Vec<String> {
        let page = laid_out(&story, Look { sort, ..Look::default() });
        let lines = page.lines().filter(|line| line.contains("─ "));
        lines.map(|line| line.split_whitespace().nth(1).unwrap().to_owned()).collect()
    };

    assert_eq!(["slow", "quick"], *children(Sort::Bytes));
    assert_eq!(["slow", "quick"], *children(Sort::Time));
    assert_eq!(["quick", "slow"], *children(Sort::Failures));
    assert_eq!(["quick", "slow"], *children(Sort::Name));
}

#[test]
fn page_fits_a_terminal_of_forty_columns() {
    let look = Look { columns: Some(40), ..Look::default() };

    let page = laid_out(&failures(), look);

    assert!(page.starts_with("\nglassbox: "), "{page}");
    let widest = page.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(40), "{widest:?}\n{page}");
}

#[test]
fn calls_that_took_long_in_all_are_listed_with_the_slowest_of_each() {
    let mut story = Story::default();
    let who = story.start(10, 1, "/usr/bin/postgres", &["postgres"]);
    let (path, remote, host) = (story.path("/data/wal"), story.text("10.0.0.5:5432"), story.text("db"));
    for ns in [4_000_000, 9_000_000] {
        story.event(who, Kind::FileSync, "", &[("path", path), ("duration_ns", Value::Uint(ns))]);
    }
    let taken = ("duration_ns", Value::Uint(2_000_000_000));
    story.event(who, Kind::NetConnect, "ETIMEDOUT", &[("remote", remote), ("host", host), taken]);
    story.event(who, Kind::ProcessFork, "", &[("duration_ns", Value::Uint(300_000))]);

    let page = story.page();

    let lines: Vec<&str> = page.lines().skip_while(|line| !line.starts_with("Slowest")).collect();
    assert_eq!("  connect    2.0 s  10.0.0.5:5432 db  by postgres", lines[1], "{page}");
    assert_eq!("  sync       13 ms  /data/wal  2 ×, slowest 9.0 ms  by postgres", lines[2], "{page}");
    assert!(!lines[3].contains("spawn"), "too short to be noticed: {page}");
}
