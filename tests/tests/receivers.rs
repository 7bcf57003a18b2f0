//! Outputs over the network: what receivers get, and what becomes of it while they are away, slow, or refuse.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use glassbox_tests::child::{self, Ending, Running, wait_until};
use glassbox_tests::receiver::{Answer, Receiver, falco_fault};
use glassbox_tests::{Collector, Status, glassbox};
use serde_json::Value;
use tempfile::TempDir;

/// Ten alerts, one by one.
const TEN_READS: &str = "for n in 1 2 3 4 5 6 7 8 9 10; do cat /etc/shadow >/dev/null; done";

/// A directory, and outputs of a run in it.
struct Play {
    dir: TempDir,
}

impl Play {
    fn new() -> Play {
        Play { dir: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs a shell script with these outputs, and one of all alerts to the file `falco`.
    fn run(&self, outputs: &[&str], script: &str) -> Ending {
        child::run(self.command(outputs, script), b"")
    }

    fn command(&self, outputs: &[&str], script: &str) -> Command {
        let mut command = Command::new(glassbox());
        command.current_dir(self.dir.path()).args(["run", "-o", "falco:falco"]);
        for output in outputs {
            command.args(["-o", output]);
        }
        command.args(["--", "/bin/sh", "-c", script]);
        command
    }

    /// The lines of the file `falco`.
    fn alerts(&self) -> Vec<String> {
        self.text("falco").lines().map(str::to_owned).collect()
    }

    /// A collector in the directory, with these outputs.
    fn collector(&self, outputs: &[&str]) -> Collector {
        let arguments: Vec<&str> = outputs.iter().flat_map(|output| ["-o", output]).collect();
        Collector::start(&self.path("socket"), &arguments)
    }
}

/// Runs a shell script beside a collector.
fn play(collector: &Collector, script: &str) {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    collector.preload(&mut command);
    assert_eq!(Status::Exited(0), child::run(command, b"").status);
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// A port that is free now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn every_alert_is_a_request_that_falcosidekick_takes() {
    let (play, receiver) = (Play::new(), Receiver::start(&[]));

    let ending = play.run(&[&format!("falco:{}", receiver.url())], TEN_READS);

    let requests = receiver.requests();
    assert_eq!("", ending.stderr);
    assert_eq!(10, requests.len());
    assert_eq!(play.alerts(), receiver.taken());
    for request in &requests {
        assert_eq!(None, falco_fault(&request.text()));
        assert_eq!("POST / HTTP/1.1", request.line);
        assert_eq!("application/json", request.header("content-type"));
        assert!(request.header("user-agent").starts_with("glassbox/"));
    }
}

#[test]
fn headers_come_from_a_file_or_the_environment_and_no_password_from_the_command_line() {
    let (play, receiver) = (Play::new(), Receiver::start(&[]));
    fs::write(play.path("headers"), "Authorization: Bearer one\n").unwrap();
    let url = receiver.url();

    play.run(&[&format!("falco:{url}/a,headers=headers")], "cat /etc/shadow >/dev/null");
    let mut command =
        play.command(&[&format!("falco:{url}/b,headers=env:KEYS")], "cat /etc/shadow >/dev/null");
    child::run(command_with(&mut command, "KEYS", "Authorization: Bearer two"), b"");
    let refused = play.run(&["falco:http://user:password@127.0.0.1/"], "true");

    let seen: Vec<(String, String)> = receiver
        .requests()
        .iter()
        .map(|request| (request.line.clone(), request.header("authorization").to_owned()))
        .collect();
    assert_eq!(
        vec![
            ("POST /a HTTP/1.1".to_owned(), "Bearer one".to_owned()),
            ("POST /b HTTP/1.1".to_owned(), "Bearer two".to_owned())
        ],
        seen
    );
    assert_eq!(Status::Exited(64), refused.status);
    assert!(refused.stderr.contains("headers=FILE"), "{}", refused.stderr);
}

fn command_with(command: &mut Command, name: &str, value: &str) -> Command {
    command.env(name, value);
    std::mem::replace(command, Command::new("true"))
}

/// All alerts arrive, once and in order, at a receiver that first answers so.
#[track_caller]
fn arrives_after(answers: &[Answer], options: &str) -> (Receiver, Ending) {
    let (play, receiver) = (Play::new(), Receiver::start(answers));

    let script = format!("{TEN_READS}; sleep 1.5; cat /etc/shadow >/dev/null");
    let ending = play.run(&[&format!("falco:{}{options}", receiver.url())], &script);

    assert_eq!(11, play.alerts().len());
    assert_eq!(play.alerts(), receiver.taken(), "{answers:?}: {}", ending.stderr);
    assert!(ending.stderr.contains("it is tried again"), "{answers:?}: {}", ending.stderr);
    assert!(!ending.stderr.contains("lacks"), "{answers:?}: {}", ending.stderr);
    (receiver, ending)
}

#[test]
fn receiver_that_resets_or_answers_garbage_gets_everything_later() {
    // A connection that was kept may be reset: the first one is tried again at once, and in silence.
    arrives_after(&[Answer::Reset, Answer::Reset], "");
    arrives_after(&[Answer::Garbage], "");
}

#[test]
fn receiver_that_hangs_or_takes_a_byte_a_second_gets_everything_later() {
    arrives_after(&[Answer::Hang], ",timeout=300ms");
    arrives_after(&[Answer::Drip], ",timeout=300ms");
    arrives_after(&[Answer::Trickle], ",timeout=300ms");
}

#[test]
fn busy_receiver_gets_everything_after_the_pause_that_it_asks_for() {
    for answer in [Answer::Status(429, "Retry-After: 1\r\n"), Answer::Status(503, "Retry-After: 1\r\n")] {
        let (receiver, _) = arrives_after(&[answer], "");
        let requests = receiver.requests();
        let pause = requests[1].at - requests[0].at;
        assert!(pause >= Duration::from_secs(1), "{answer:?}: {pause:?}");
    }
    for status in [429, 503, 404, 500] {
        arrives_after(&[Answer::Status(status, "")], "");
    }
}

#[test]
fn refused_alert_is_lost_alone_and_counted() {
    let (play, receiver) = (Play::new(), Receiver::start(&[Answer::Status(400, "")]));

    let ending = play.run(&[&format!("falco:{}", receiver.url())], TEN_READS);

    assert_eq!(play.alerts()[1..], receiver.taken());
    assert!(ending.stderr.contains("answered 400"), "{}", ending.stderr);
    assert!(ending.stderr.contains("lacks 1 of"), "{}", ending.stderr);
}

#[test]
fn receiver_over_which_it_fails_again_and_again_costs_one_request() {
    let (play, receiver) = (Play::new(), Receiver::start(&[Answer::Status(500, ""); 9]));

    // Eight pauses that grow: 0.2 s to 25 s. A run that ends gives up before; the collector goes on.
    let collector = play.collector(&[&format!("falco:{}", receiver.url())]);
    self::play(&collector, "cat /etc/shadow >/dev/null");
    wait_until("a second try", || receiver.requests().len() >= 2);
    let began = Instant::now();
    let ending = collector.stop();

    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(ending.stderr.contains("answered 500"), "{}", ending.stderr);
}

#[test]
fn alerts_wait_in_the_spool_through_a_kill_of_the_collector() {
    let play = Play::new();
    let port = free_port();
    let output = format!("falco:http://127.0.0.1:{port},spool={}", play.path("spool").display());

    let collector = play.collector(&[&output, &format!("falco:{}", play.path("falco").display())]);
    self::play(&collector, TEN_READS);
    wait_until("ten alerts in the file", || {
        fs::read_to_string(play.path("falco")).is_ok_and(|text| text.lines().count() == 10)
    });
    let killed = collector.kill();
    let receiver = Receiver::start_at(port, &[]);
    let collector = play.collector(&[&output]);
    wait_until("what was in the spool", || receiver.taken().len() >= 10);
    self::play(&collector, "cat /etc/shadow >/dev/null");
    let ending = collector.stop();

    assert!(killed.stderr.contains("events wait in its spool"), "{}", killed.stderr);
    assert_eq!(11, receiver.taken().len());
    assert_eq!(play.alerts(), receiver.taken()[..10]);
    assert_eq!("", ending.stderr);
    let left = fs::read_dir(play.path("spool")).unwrap().flatten().map(|entry| entry.path());
    for folder in left {
        let files: Vec<_> = fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(vec!["sent"], files);
    }
}

#[test]
fn run_ends_soon_without_its_receiver_and_the_next_one_delivers() {
    let play = Play::new();
    let port = free_port();
    let output = format!("falco:http://127.0.0.1:{port},spool=spool");

    let began = Instant::now();
    let alone = play.run(&[&output], TEN_READS);
    let took = began.elapsed();
    let before = play.alerts();
    let receiver = Receiver::start_at(port, &[]);
    let ending = play.run(&[&output], "true");

    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(alone.stderr.contains("the next collector with this output delivers them"), "{}", alone.stderr);
    assert!(!alone.stderr.contains("lacks"), "{}", alone.stderr);
    assert_eq!((Status::Exited(0), "".to_owned()), (ending.status, ending.stderr));
    assert_eq!(before, receiver.taken());
}

/// The rows that a stand-in for ClickHouse was given, each once.
fn ids(receiver: &Receiver) -> Vec<String> {
    let bodies = receiver.taken();
    let lines = bodies.iter().flat_map(|body| body.lines()).filter(|line| line.starts_with('{'));
    sorted(lines.map(|line| json(line)["id"].as_str().unwrap().to_owned()).collect())
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn full_disk_under_the_spool_loses_nothing_that_is_not_counted() {
    let play = Play::new();
    let port = free_port();
    let mut command = Command::new("unshare");
    command.args(["-m", "/bin/sh", "-c"]).arg(format!(
        "mkdir small && mount -t tmpfs -o size=300k,mode=700 none small && exec {} collect -o jsonl:all.jsonl -o \
         clickhouse:http://127.0.0.1:{port},only=events,timeout=1s,spool=small/spool",
        glassbox().display()
    ));
    command.current_dir(play.dir.path()).env("GLASSBOX_SOCKET", play.path("socket"));
    let collector = child::start(command, b"");
    wait_until("the collector", || is_ready(&play.path("socket")));
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", "for n in range(2000): open('/etc/hostname').close()"]);
    command.env("LD_PRELOAD", glassbox_tests::sensor()).env("GLASSBOX_SOCKET", play.path("socket"));
    child::run(command, b"");
    std::thread::sleep(Duration::from_secs(1));
    let receiver = Receiver::start_at(port, &[]);
    let all = || play.text("all.jsonl").lines().count();
    wait_until("what the queue held", || ids(&receiver).len() >= all());
    collector.signal(libc::SIGTERM);
    let ending = collector.finish();

    let mut seen = ids(&receiver);
    let with_twice = seen.len();
    seen.dedup();
    assert!(ending.stderr.contains("No space left on device"), "{}", ending.stderr);
    assert_eq!(all(), seen.len(), "{with_twice} with those that came twice: {}", ending.stderr);
}

fn is_ready(socket: &Path) -> bool {
    let mut health = Command::new(glassbox());
    health.arg("health").env("GLASSBOX_SOCKET", socket);
    child::run(health, b"").status == Status::Exited(0)
}

#[test]
fn output_chooses_its_events_and_alerts() {
    let play = Play::new();

    play.run(
        &[
            "jsonl:execs,filter=evt.type=execve",
            "jsonl:all",
            "human:alerts,only=alerts",
            "human:events,only=events",
        ],
        "cat /etc/shadow >/dev/null",
    );

    let kinds = |name: &str| {
        let text = play.text(name);
        let mut kinds: Vec<String> =
            text.lines().map(|line| json(line)["event"].as_str().unwrap().to_owned()).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    };
    assert!(kinds("execs").iter().all(|kind| kind.starts_with("process.")), "{:?}", kinds("execs"));
    assert!(kinds("all").contains(&"file.open".to_owned()));
    assert_eq!(1, play.text("alerts").lines().count(), "{}", play.text("alerts"));
    assert!(play.text("alerts").contains("Password hashes read"));
    assert!(!play.text("events").contains("Password hashes read"));
    assert_eq!(play.text("all").lines().count(), play.text("events").lines().count());
}

#[test]
fn wrong_choices_are_refused_with_what_to_do() {
    for (output, words) in [
        ("jsonl:x,only=alerts", "jsonl has no alerts; it has events"),
        ("falco:x,only=events", "falco has no events; it has alerts"),
        ("summary:x,only=alerts", "leave the option 'only' out"),
        ("jsonl:x,filter=evt.tpye=open", "the option 'filter' is no condition"),
        ("jsonl:x,spool=y", "the option 'spool' is for an http:// or https:// URL"),
        ("falco:http://127.0.0.1,spool-max=1KB", "of 8MB at least"),
        ("falco:http://127.0.0.1,timeout=1h", "from 100ms to 600s"),
        ("clickhouse:x", "clickhouse cannot go to 'x'; give an http:// or https:// URL"),
        ("falco:https://127.0.0.1,cert=missing.pem", "missing.pem"),
        ("falco:http://127.0.0.1,headers=missing", "cannot read the headers"),
    ] {
        let ending = Play::new().run(&[output], "true");

        assert!(matches!(ending.status, Status::Exited(64 | 66 | 73)), "{output}: {:?}", ending.status);
        assert!(ending.stderr.contains(words), "{output}: {}", ending.stderr);
        assert_eq!(1, ending.stderr.lines().count(), "{output}: {}", ending.stderr);
    }
}

#[test]
fn program_gets_every_line_and_is_started_again_after_its_end() {
    let play = Play::new();

    let lines = play.path("lines").display().to_string();
    let kept = play.run(&[&format!("falco:program:cat >{lines}; echo over >>{lines}")], TEN_READS);
    let fickle = Play::new();
    let script = format!("{TEN_READS}; sleep 1; {TEN_READS}");
    let command = format!("falco:program:head -n 3 >>{}", fickle.path("lines").display());
    fickle.run(&[&command], &script);

    assert_eq!(format!("{}over\n", play.text("falco")), play.text("lines"), "{}", kept.stderr);
    let lines: Vec<String> = fickle.text("lines").lines().map(str::to_owned).collect();
    assert!(lines.len() > 3, "it was not started again: {lines:?}");
    assert!(lines.iter().all(|line| fickle.alerts().contains(line)));
}

/// syslog-ng with a UDP port and a Unix socket, which writes what it understood of each message.
struct SyslogNg {
    running: Running,
    dir: TempDir,
    port: u16,
}

impl SyslogNg {
    fn start() -> SyslogNg {
        let dir = TempDir::new().unwrap();
        let port = free_udp_port();
        let path = |name: &str| dir.path().join(name).display().to_string();
        fs::write(
            path("conf"),
            format!(
                "@version: 3.38\n\
                 options {{ keep-hostname(yes); dns-cache(no); use-dns(no); }};\n\
                 source udp {{ syslog(transport(\"udp\") ip(127.0.0.1) port({port})); }};\n\
                 source unix {{ unix-dgram(\"{}\" flags(syslog-protocol)); }};\n\
                 destination out {{ file(\"{}\" template(\"$LEVEL|$FACILITY|$PROGRAM|$HOST|\
                 ${{.SDATA.glassbox@32473.rule}}|${{.SDATA.glassbox@32473.priority}}|$MSG\\n\")); }};\n\
                 log {{ source(udp); source(unix); destination(out); }};\n",
                path("socket"),
                path("out"),
            ),
        )
        .unwrap();
        let mut command = Command::new("syslog-ng");
        command.args(["-F", "-f", &path("conf"), "-R", &path("persist"), "-p", &path("pid")]);
        command.args(["-c", &path("control")]);
        let running = child::start(command, b"");
        wait_until("syslog-ng", || dir.path().join("socket").exists());
        SyslogNg { running, dir, port }
    }

    fn received(&self) -> String {
        fs::read_to_string(self.dir.path().join("out")).unwrap_or_default()
    }
}

fn free_udp_port() -> u16 {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn syslog_ng_understands_every_alert_by_udp_and_by_a_unix_socket() {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned();
    for is_udp in [true, false] {
        let (play, mut syslog) = (Play::new(), SyslogNg::start());
        let to = match is_udp {
            true => format!("syslog://127.0.0.1:{}", syslog.port),
            false => format!("syslog://{}", syslog.dir.path().join("socket").display()),
        };

        let ending = play.run(&[&format!("falco:{to}")], TEN_READS);
        wait_until("ten messages", || syslog.received().lines().count() >= 10);

        assert!(syslog.running.is_alive());
        assert_eq!("", ending.stderr);
        let expected: Vec<String> = play
            .alerts()
            .iter()
            .map(|alert| {
                let priority = json(alert)["priority"].as_str().unwrap().to_owned();
                let level = if priority == "Informational" { "info".into() } else { priority.to_lowercase() };
                format!("{level}|user|glassbox|{host}|Password hashes read|{priority}|{alert}")
            })
            .collect();
        assert_eq!(expected, syslog.received().lines().collect::<Vec<_>>());
    }
}

/// Certificates of an authority, a server on 127.0.0.1 and a client, made by openssl(1).
fn certificates(dir: &Path) {
    let script = "set -e
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem
        for name in server client; do
            openssl req -newkey rsa:2048 -nodes -subj /CN=$name -keyout $name.key -out $name.csr
            echo subjectAltName=IP:127.0.0.1 > ext
            openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out $name.pem
        done";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).current_dir(dir);
    let ending = child::run(command, b"");
    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
}

/// An HTTPS server that wants a client's certificate, and appends each body to the file `bodies`.
const HTTPS: &str = "
import http.server, ssl, sys
class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        subject = dict(pair[0] for pair in self.connection.getpeercert()['subject'])
        with open('bodies', 'ab') as file: file.write(subject['commonName'].encode() + b' ' + body + b'\\n')
        self.send_response(200); self.send_header('Content-Length', '0'); self.end_headers()
    def log_message(self, *rest): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Receiver)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('server.pem', 'server.key')
context.load_verify_locations('ca.pem')
context.verify_mode = ssl.CERT_REQUIRED
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
open('port', 'w').write(str(server.server_address[1]))
server.serve_forever()
";

#[test]
fn alerts_go_over_tls_with_an_authority_and_a_certificate_of_our_own() {
    let play = Play::new();
    certificates(play.dir.path());
    let mut server = Command::new("/usr/bin/python3");
    server.args(["-c", HTTPS]).current_dir(play.dir.path());
    let _server = child::start(server, b"");
    wait_until("the server", || fs::read_to_string(play.path("port")).is_ok_and(|port| !port.is_empty()));
    let url = format!("falco:https://127.0.0.1:{}", play.text("port"));

    let ending = play.run(&[&format!("{url},ca=ca.pem,cert=client.pem,key=client.key")], TEN_READS);
    let bodies = play.text("bodies");
    let alerts = play.alerts();
    let strange = play.run(&[&format!("{url},timeout=1s")], "cat /etc/shadow >/dev/null");
    let nameless = play.run(&[&format!("{url},ca=ca.pem,timeout=1s")], "cat /etc/shadow >/dev/null");

    assert_eq!("", ending.stderr);
    assert_eq!(
        alerts.iter().map(|alert| format!("client {alert}")).collect::<Vec<_>>(),
        bodies.lines().collect::<Vec<_>>()
    );
    assert_eq!(bodies, play.text("bodies"), "without a certificate nothing is taken");
    assert!(strange.stderr.contains("certificate"), "{}", strange.stderr);
    assert!(nameless.stderr.contains("lacks"), "{}", nameless.stderr);
}
