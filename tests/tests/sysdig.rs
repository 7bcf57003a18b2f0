//! Conditions and formats say of a recorded run what Debian's `sysdig` says of a capture of the same events.
//!
//! `sysdig` 0.29 has the engine of Falco of 2022 and needs no driver to read a capture, which
//! [`glassbox_tests::scap`] writes. Where it is not installed, the tests say that they did not run;
//! `cargo xtask test` installs it.

#[path = "../../rules/tests/falco_fields/mod.rs"]
mod falco_fields;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use glassbox_tests::child::{self, Status};
use glassbox_tests::falco::{NOT_RUN, folder};
use glassbox_tests::scene::Scene;
use glassbox_tests::{glassbox, scap};
use rules::file::{Source, load};
use rules::{Expr, Macros};
use serde_json::Value;

/// What the recorded programs do. No argument has a line feed, which `sysdig` prints as it is.
const SCRIPT: &str = r#"
mkdir -p d/sub .ssh etc
echo hello >d/one.txt; echo more >>d/one.txt
cat d/one.txt /etc/passwd /nowhere/at/all >/dev/null 2>&1
cat /etc/shadow >/dev/null 2>&1
head -c 1 /etc/sudoers >/dev/null 2>&1
echo key >.ssh/id_rsa; cat .ssh/id_rsa >/dev/null; echo alias >>.bashrc
cp d/one.txt d/two.txt; mv d/two.txt d/three.txt
ln -s three.txt d/link; ln d/three.txt d/hard; ln -s /etc/shadow d/shadow
chmod 755 d/hard; chmod u+s d/hard
rm -f d/link d/hard d/shadow
(cd d/sub; echo x >file; cat file ../one.txt >/dev/null)
sh -c 'sh -c "cat /etc/hostname >/dev/null; ls -la /etc/ssl /root >/dev/null 2>&1; true"; true'
find /etc/ssl -name '*.pem' >/dev/null 2>&1
grep -r password d >/dev/null; sed s/h/j/ d/one.txt >/dev/null; tail -n 1 /var/log/dpkg.log >/dev/null 2>&1
touch d/a d/b 'd/with blank' d/UPPER.TXT; rm d/a d/b
/nowhere/program 2>/dev/null; env no-such-program 2>/dev/null
PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -I -S -c 'from socket import *; s=create_server(("127.0.0.1",0)); c=create_connection(s.getsockname()); a,_=s.accept(); c.send(b"x"); f=socket(); f.connect_ex(("127.0.0.1",1)); u=socket(AF_UNIX); u.connect_ex("/nowhere.sock"); d=socket(AF_INET,SOCK_DGRAM); d.connect(("127.0.0.1",5353)); t=create_server(("::1",0),family=AF_INET6); e=socket(AF_INET6); e.connect(t.getsockname()); b=socket(); b.bind(("127.0.0.1",0))'
rm -r d
"#;

/// The recording and the capture of one run.
struct Recorded {
    scene: Scene,
    /// The times of the events that the capture has, sorted.
    times: Vec<String>,
}

impl Recorded {
    /// Whether the capture has the event of this time, behind which anything may stand.
    fn has(&self, time: &str) -> bool {
        let time = time.split('|').next().unwrap_or_default();
        self.times.binary_search_by(|known| known.as_str().cmp(time)).is_ok()
    }

    fn recording(&self) -> PathBuf {
        self.scene.beside("run.rec")
    }

    fn capture(&self) -> PathBuf {
        self.scene.beside("run.scap")
    }
}

/// The run, recorded once for all tests; `None` without `sysdig`.
fn recorded() -> Option<&'static Recorded> {
    static RECORDED: OnceLock<Option<Recorded>> = OnceLock::new();
    RECORDED.get_or_init(record).as_ref()
}

fn record() -> Option<Recorded> {
    if Command::new("sysdig").arg("--version").output().is_err() {
        println!("not run: there is no sysdig here; `cargo xtask test` installs Debian's");
        return None;
    }
    let scene = Scene::of("steady", &["0"]);
    scene.clean();
    let recorded = Recorded { scene, times: Vec::new() };
    fs::write(recorded.scene.beside("run.sh"), SCRIPT).unwrap();
    let mut command = recorded.scene.command(glassbox());
    let output = format!("recording:{}", recorded.recording().display());
    command.args(["run", "--no-default-rules", "-o", &output, "--", "/bin/sh"]);
    let ending = child::run(
        {
            command.arg(recorded.scene.beside("run.sh"));
            command
        },
        b"",
    );
    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);

    let all = replayed(&recorded, &["--filter", "evt.type exists", "-o", "jsonl:-"]);
    let calls = alerts(&recorded, "types.yaml", "%evt.type %container.id");
    assert_eq!(all.len(), calls.len());
    let call = |alert: &Value| alert["output_fields"]["evt.type"].as_str().map(str::to_owned);
    let events: Vec<(Value, Option<String>)> =
        all.into_iter().zip(&calls).map(|(event, alert)| (event, call(alert))).collect();
    let is_contained = calls.iter().any(|alert| alert["output_fields"]["container.id"] != "host");
    ours(&recorded, "evt.num = 0");
    let (bytes, times) = scap::capture(&events, is_contained);
    fs::write(recorded.capture(), bytes).unwrap();
    let mut times: Vec<String> = times.iter().map(u64::to_string).collect();
    times.sort();
    assert!(times.len() > 200, "{} events", times.len());
    Some(Recorded { times, ..recorded })
}

/// The objects that a replay of the recording writes.
fn replayed(recorded: &Recorded, options: &[&str]) -> Vec<Value> {
    let mut command = recorded.scene.command(glassbox());
    command.arg("replay").arg(recorded.recording()).arg("--no-default-rules").args(options);
    let ending = child::run(command, b"");
    assert_eq!((Status::Exited(0), ""), (ending.status, ending.stderr.as_str()), "{options:?}");
    ending.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// An alert of every call, with this output.
fn alerts(recorded: &Recorded, name: &str, output: &str) -> Vec<Value> {
    alerts_of(recorded, name, output, "evt.type exists")
}

/// An alert of every call that meets the filter, with this output, in which a rule of the given file says so.
fn alerts_of(recorded: &Recorded, name: &str, output: &str, filter: &str) -> Vec<Value> {
    let rules = recorded.scene.beside(name);
    // Other tests read other files at the same time.
    if !rules.exists() {
        let rule = "- rule: all\n  desc: d\n  condition: evt.type exists\n  priority: INFO\n  output: >-\n";
        fs::write(&rules, format!("{rule}    {output}\n")).unwrap();
    }
    let rules = rules.display().to_string();
    replayed(recorded, &["--filter", filter, "--rules", &rules, "-o", "falco:-"])
}

/// The times of the events that meet a condition, sorted, as glassbox says.
fn ours(recorded: &Recorded, condition: &str) -> Vec<String> {
    let alerts = alerts_of(recorded, "times.yaml", "%evt.rawtime", condition);
    let times = alerts.iter().map(|alert| alert["output_fields"]["evt.rawtime"].to_string());
    let mut times: Vec<String> = times.filter(|time| recorded.has(time)).collect();
    times.sort();
    times
}

/// What `sysdig` prints of the ends of calls that meet a condition, behind the time; the error is its own.
fn sysdig(recorded: &Recorded, format: &str, condition: &str) -> Result<Vec<String>, String> {
    let mut command = Command::new("sysdig");
    command.env_clear().args(["-d", "-r"]).arg(recorded.capture());
    // A process's end has no second event.
    command.args(["-p", &format!("*%evt.dir %evt.type %evt.rawtime{format}")]).arg(condition);
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() || !error.is_empty() {
        return Err(error);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let ends = text.lines().filter(|line| line.starts_with('<') || line.starts_with("> procexit "));
    let ends = ends.filter_map(|line| line.splitn(3, ' ').nth(2));
    let mut lines: Vec<String> = ends.filter(|line| recorded.has(line)).map(str::to_owned).collect();
    lines.sort();
    Ok(lines)
}

/// Conditions that both engines know.
const CONDITIONS: &[&str] = &[
    "evt.type = openat",
    "evt.type != openat",
    "evt.type in (openat, execve)",
    "evt.type in (unlinkat)",
    "evt.type startswith open",
    "not evt.type = openat",
    "not evt.type in (openat, close)",
    "evt.type=openat and not fd.name startswith /etc",
    "(evt.type=openat or evt.type=close) and proc.name=cat",
    "not (evt.type=openat and proc.name=cat)",
    "evt.type exists",
    "evt.res = SUCCESS",
    "evt.res != SUCCESS",
    "evt.res = ENOENT",
    "evt.res in (ENOENT, ECONNREFUSED)",
    "evt.res startswith E",
    "evt.rawres = 0",
    "evt.rawres != 0",
    "evt.rawres >= 0",
    "evt.rawres < 0",
    "evt.rawres <= -2",
    "evt.rawres > 3",
    "evt.rawres in (3, 4)",
    "evt.rawres exists",
    "evt.failed = true",
    "evt.failed = false",
    "evt.is_open_read = true",
    "evt.is_open_write = true",
    "evt.is_open_write = false",
    "evt.is_open_read exists",
    "proc.name = cat",
    "proc.name != cat",
    "proc.name in (cat, sh, ls)",
    "not proc.name in (cat, sh, ls)",
    "proc.name startswith c",
    "proc.name endswith t",
    "proc.name contains at",
    "proc.name icontains AT",
    "proc.name glob ?at",
    "proc.name glob c*",
    "proc.name glob [cs]*",
    "proc.name exists",
    "proc.name = 'cat'",
    "proc.name = \"cat\"",
    "proc.name in ('cat', \"sh\")",
    "proc.pname = sh",
    "proc.pname != sh",
    "proc.pname exists",
    "not proc.pname exists",
    "proc.pname in (sh, env)",
    "proc.aname = sh",
    "proc.aname[1] = sh",
    "proc.aname[2] = sh",
    "proc.aname[3] = sh",
    "proc.aname[0] = cat",
    "proc.aname[2] exists",
    "proc.aname[1] in (sh, env)",
    "proc.aname in (sh, bash)",
    "proc.apid[1] > 0",
    "proc.exe = cat",
    "proc.exe endswith sh",
    "proc.exe startswith /",
    "proc.exe contains python",
    "proc.exepath = /usr/bin/cat",
    "proc.exepath startswith /usr/bin/",
    "proc.exepath endswith /dash",
    "proc.cmdline = 'cat file ../one.txt'",
    "proc.cmdline startswith \"cat d/\"",
    "proc.cmdline contains 'three'",
    "proc.cmdline icontains SOCKET",
    "proc.cmdline endswith .txt",
    "proc.cmdline glob '*hostname*'",
    "proc.cmdline contains \"with blank\"",
    "proc.pcmdline contains hostname",
    "proc.args contains -r",
    "proc.args startswith -c",
    "proc.args = '-r d'",
    "proc.args exists",
    "proc.args = ''",
    "proc.cwd contains gbx",
    "proc.pid > 0",
    "proc.ppid > 0",
    "proc.vpid > 0",
    "thread.tid > 0",
    "thread.ismain = true",
    "user.uid = 0",
    "user.uid != 0",
    "user.uid >= 0",
    "user.name = root",
    "user.name != root",
    "fd.name startswith /etc",
    "fd.name = /etc/passwd",
    "fd.name in (/etc/passwd, /etc/hostname)",
    "fd.name endswith .txt",
    "fd.name contains /sub/",
    "fd.name icontains .TXT",
    "fd.name contains .TXT",
    "fd.name glob /etc/*",
    "fd.name glob /*/host*",
    "fd.name glob *.tx?",
    "fd.name pmatch (/etc)",
    "fd.name pmatch (/et)",
    "fd.name pmatch (/usr, /etc/ssl)",
    "fd.name pmatch (/etc/passwd)",
    "not fd.name startswith /etc",
    "fd.filename = passwd",
    "fd.filename startswith UPPER",
    "fd.filename endswith blank",
    "fd.num >= 0",
    "fd.num < 0",
    "fd.num = 3",
    "fd.num != 3",
    "fd.num in (3, 4)",
    "fd.num exists",
    "evt.arg.name contains passwd",
    "evt.arg.name exists",
    "evt.arg.flags contains O_CREAT",
    "evt.arg.flags contains O_TRUNC",
    "evt.arg.mode contains S_ISUID",
    "evt.arg.path endswith /sub",
    "evt.arg.path startswith /",
    "evt.arg.oldpath endswith two.txt",
    "evt.arg.newpath endswith three.txt",
    "evt.arg.target = /etc/shadow",
    "evt.arg.linkpath endswith /link",
    "evt.arg.filename endswith hard",
    "evt.arg.comm = cat",
    "evt.arg.exe = cat",
    "evt.category = process",
    "evt.num > 0",
    "group.gid = 0",
];

/// Conditions about files, which are compared as the files are opened.
const OF_FILES: &[&str] = &[
    "fd.name != /etc/passwd",
    "fd.name exists",
    "fd.directory = /etc",
    "fd.directory in (/etc, /dev)",
    "fd.directory pmatch (/etc)",
    "fd.directory != /etc",
    "fd.filename in (one.txt, file)",
    "fd.typechar = f",
    "fd.typechar = d",
    "fd.typechar != f",
    "fd.type = file",
    "fd.type in (file, directory)",
    "evt.category = file",
];

/// Conditions about sockets, which are compared as the sockets are bound and connected.
const OF_SOCKETS: &[&str] = &[
    "fd.name exists",
    "fd.name contains 127.0.0.1",
    "fd.name endswith :5353",
    "fd.name endswith nowhere.sock",
    "fd.typechar = 4",
    "fd.typechar = '6'",
    "fd.typechar != 4",
    "fd.typechar in (4, 6)",
    "fd.type = ipv4",
    "fd.type in (ipv4, ipv6)",
    "fd.l4proto = tcp",
    "fd.l4proto = udp",
    "fd.l4proto != tcp",
    "fd.sockfamily = ip",
    "fd.sockfamily = unix",
    "fd.ip = 127.0.0.1",
    "fd.ip != 127.0.0.1",
    "fd.ip = ::1",
    "fd.sip = 127.0.0.1",
    "fd.sip != 127.0.0.1",
    "fd.sip in (127.0.0.1, 10.0.0.1)",
    "fd.sip = ::1",
    "fd.net = 127.0.0.0/8",
    "fd.net != 127.0.0.0/8",
    "fd.net in (10.0.0.0/8, 127.0.0.0/8)",
    "fd.net = 128.0.0.0/1",
    "fd.snet = 127.0.0.0/8",
    "fd.snet in (127.0.0.0/8)",
    "fd.snet = 10.0.0.0/8",
    "fd.sport = 5353",
    "fd.sport in (1, 5353)",
    "fd.sport != 5353",
    "fd.sport > 1000",
    "fd.sport >= 5353",
    "fd.port = 5353",
    "fd.port in (1, 5353)",
    "evt.category = net",
];

/// Conditions about connections, which have a client and a server.
const OF_CONNECTIONS: &[&str] = &[
    "fd.cip = 127.0.0.1",
    "fd.cip = ::1",
    "fd.rip = 127.0.0.1",
    "fd.lip = 127.0.0.1",
    "fd.cnet = 127.0.0.0/16",
    "fd.rnet = 127.0.0.0/30",
    "fd.lnet in (127.0.0.0/8)",
    "fd.port != 5353",
    "fd.cport > 0",
    "fd.sport < 1000",
    "fd.connected = true",
    "fd.connected = false",
];

const FILES: &str = "evt.type = openat and evt.failed = false";
const SOCKETS: &str = "evt.type in (bind, listen, connect, accept, accept4) and evt.failed = false";
const CONNECTIONS: &str = "evt.type in (connect, accept, accept4) and evt.failed = false and fd.type != unix";

/// Conditions that hold for other events there, and why.
const DIFFERENT: &[(&str, &str)] = &[
    ("not not evt.type = openat", "the engine of 2022 takes two 'not' for one"),
    ("fd.name exists", "a socket without addresses has an empty name there, and none here"),
    ("fd.typechar = d", "a directory is told from a file by its open only, not by its close"),
    ("fd.directory = /etc", "as fd.typechar: the folder of a directory is the directory itself"),
    ("fd.l4proto = tcp", "libsinsp tells no protocol before a socket has addresses"),
    ("fd.port != 5353", "a socket without addresses has the ports 0 there, and none here"),
    ("fd.sip = 127.0.0.1", "only here a connection that failed has a server, and only there one that closes"),
    ("fd.connected = false", "what is no socket is not connected there, and has no value here"),
    ("evt.arg.res = 0", "a result is no argument here, but evt.rawres"),
    ("evt.args contains passwd", "libsinsp lists the arguments of a close where it begins"),
    ("evt.category = file", "closes have no category here"),
    ("proc.cwd endswith /sub/", "the capture has no chdir"),
    (
        "evt.type = accept",
        "the table of 2022 calls accept4 by the name of accept, and each dup by that of dup",
    ),
];

/// Conditions that the engine of 2022 refuses.
const REFUSED: &[&str] = &[
    "evt.type == openat",
    "evt.type endswith at",
    "evt.type contains enam",
    "evt.type glob un*at",
    "evt.type = openat or evt.type = close and proc.name = cat",
    "proc.name intersects (cat, sh)",
    "fd.net = ::/64",
    "proc.name startswith anyof (c, l)",
    "toupper(proc.name) = CAT",
    "proc.name = val(proc.pname)",
    "proc.pexe = sh",
    "proc.aexe[1] = sh",
];

/// Formats that give other text there, and why.
const TEXTS_DIFFERENT: &[(&str, &str, &str)] = &[
    ("evt.type = openat", "%evt.arg.flags", "the order of flags, and flags that the table of 2022 lacks"),
    ("evt.type = openat", "%evt.arg.mode", "modes are octal numbers there, and none here without O_CREAT"),
    (
        "evt.type = connect",
        "%fd.lport|%fd.rport",
        "on the loopback, libsinsp takes the server's end for its own",
    ),
    ("evt.type = bind", "%fd.cport", "an end that is not there has port 0 there, and none here"),
    ("evt.type = symlinkat", "%evt.arg.linkdirfd", "the sensor does not copy it"),
];

/// Formats that both engines know, and for which events they are compared.
const FORMATS: &[(&str, &str)] = &[
    ("not evt.type in (accept, accept4)", "%evt.type|%evt.res|%evt.rawres|%evt.failed"),
    ("evt.num > 0", "%proc.name|%proc.pname|%proc.aname[0]|%proc.aname[1]|%proc.aname[2]|%proc.aname[3]"),
    ("evt.num > 0", "%proc.exe|%proc.exepath|%proc.cmdline|%proc.pcmdline"),
    ("evt.num > 0", "%proc.args|%proc.pid|%proc.ppid|%proc.vpid|%thread.tid"),
    ("proc.name = mkdir and evt.type = execve", "%proc.cwd"),
    ("evt.num > 0", "%proc.apid[0]|%proc.apid[1]|%proc.apid[2]"),
    ("evt.num > 0", "%user.uid|%user.name|%group.gid"),
    ("evt.num > 0", "%fd.num"),
    (FILES, "%fd.typechar|%fd.type|%fd.name|%fd.directory|%fd.filename"),
    (SOCKETS, "%fd.typechar|%fd.type|%fd.name|%fd.l4proto|%fd.sip|%fd.sport|%fd.cip|%fd.sockfamily"),
    (CONNECTIONS, "%fd.cport|%fd.lip|%fd.rip|%fd.connected"),
    ("evt.type = openat", "%evt.is_open_read|%evt.is_open_write|%evt.arg.name"),
    ("evt.num > 0", "%evt.arg.path|%evt.arg.oldpath|%evt.arg.newpath|%evt.arg.target|%evt.arg.linkpath"),
    ("evt.num > 0", "%2proc.name|%10proc.name|%30proc.exepath|%4evt.res"),
    ("evt.num > 0", "%5proc.pid|%3fd.num|%12proc.pname|%0proc.name|%1proc.args"),
    ("evt.num > 0", "<%proc.name> %evt.rawtime.s [%proc.name]%proc.name%proc.name"),
];

/// Compares the events for which a condition holds; the difference, if there is one.
fn difference(recorded: &Recorded, condition: &str, ours: &[String], theirs: &[String]) -> Option<String> {
    let lacking = |list: &[String], other: &[String]| {
        let lacking: Vec<&String> = list.iter().filter(|item| !other.contains(item)).collect();
        let shown = lacking.iter().take(3).map(|time| {
            let format = "|%evt.type|%evt.res|%proc.name|%fd.typechar|%fd.name";
            let theirs = sysdig(recorded, format, &format!("evt.rawtime = {time}"));
            theirs.unwrap_or_else(|error| vec![error]).join(" ")
        });
        format!("{} {:?}", lacking.len(), shown.collect::<Vec<_>>())
    };
    (ours != theirs).then(|| {
        format!("{condition}: only ours {}, only theirs {}", lacking(ours, theirs), lacking(theirs, ours))
    })
}

#[test]
fn conditions_hold_for_the_events_for_which_sysdigs_hold() {
    let Some(recorded) = recorded() else { return };
    let within = |events: &'static str, conditions: &'static [&'static str]| {
        conditions.iter().map(move |condition| format!("{events} and {condition}"))
    };
    let conditions: Vec<String> = CONDITIONS
        .iter()
        .map(|condition| (*condition).to_owned())
        .chain(within(FILES, OF_FILES))
        .chain(within(SOCKETS, OF_SOCKETS))
        .chain(within(CONNECTIONS, OF_CONNECTIONS))
        .collect();
    let mut differences = Vec::new();
    let mut matched = 0;
    for condition in &conditions {
        let theirs = sysdig(recorded, "", condition).unwrap_or_else(|error| vec![error]);
        let ours = ours(recorded, condition);
        matched += usize::from(!ours.is_empty() && ours.len() < recorded.times.len());
        differences.extend(difference(recorded, condition, &ours, &theirs));
    }
    println!("{} conditions, {matched} of them hold for some events and not for others", conditions.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn conditions_that_differ_are_listed() {
    let Some(recorded) = recorded() else { return };
    for (condition, why) in DIFFERENT {
        let theirs = sysdig(recorded, "", condition).unwrap_or_else(|error| vec![error]);
        assert_ne!(theirs, ours(recorded, condition), "no longer different: {condition}: {why}");
    }
}

#[test]
fn conditions_that_sysdig_refuses_are_listed() {
    let Some(recorded) = recorded() else { return };
    for condition in REFUSED {
        assert!(sysdig(recorded, "", condition).is_err(), "no longer refused: {condition}");
        // Ours exits with an error that fails the test.
        ours(recorded, condition);
    }
}

#[test]
fn formats_give_the_text_that_sysdigs_give() {
    let Some(recorded) = recorded() else { return };
    let mut differences = Vec::new();
    for (index, (events, format)) in FORMATS.iter().enumerate() {
        let (ours, theirs) = texts(recorded, &format!("format-{index}.yaml"), events, format);
        assert!(!ours.is_empty(), "{events}: {format}");
        if theirs.len() != ours.len() {
            differences.push(format!("{format}: {} of ours, {} of theirs", ours.len(), theirs.len()));
        }
        let different = ours.iter().zip(&theirs).filter(|(one, other)| one != other);
        differences.extend(different.map(|(one, other)| format!("{format}\n  {one}\n  {other}")));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn formats_that_differ_are_listed() {
    let Some(recorded) = recorded() else { return };
    for (index, (events, format, why)) in TEXTS_DIFFERENT.iter().enumerate() {
        let (ours, theirs) = texts(recorded, &format!("different-{index}.yaml"), events, format);
        assert_ne!(theirs, ours, "no longer different: {format}: {why}");
    }
}

/// The texts that a format gives for each of these events, behind its time: ours and theirs, sorted.
fn texts(recorded: &Recorded, name: &str, events: &str, format: &str) -> (Vec<String>, Vec<String>) {
    let theirs = sysdig(recorded, &format!("|{format}"), events).unwrap_or_else(|error| vec![error]);
    let alerts = alerts_of(recorded, name, &format!("%evt.rawtime|{format}"), events);
    // Time and priority stand before the output.
    let ours = alerts.iter().filter_map(|alert| alert["output"].as_str()?.splitn(3, ' ').nth(2));
    let mut ours: Vec<String> = ours.filter(|line| recorded.has(line)).map(str::to_owned).collect();
    ours.sort();
    (ours, theirs)
}

/// Falco's macros that hold for other events there, and why; rules with them too.
const MACROS_DIFFERENT: &[(&str, &str)] = &[
    ("macro expected_udp_traffic", "a socket without addresses has the ports 0 there, and none here"),
    ("macro network_local_subnet", "a socket without addresses has the address 0.0.0.0 there, and none here"),
    ("macro monitored_dir", "a directory is told from a file by its open only, not by its close"),
    ("macro root_dir", "a directory is told from a file by its open only, not by its close"),
    ("macro proc_is_new", "the capture does not tell when a process began"),
    (
        "macro sensitive_mount",
        "libsinsp of 2022 has no value for mounts of a container that it does not know",
    ),
];

/// The condition with its macros written out.
fn expanded(expr: &Expr, macros: &Macros) -> Expr {
    let all = |parts: &[Expr]| parts.iter().map(|part| expanded(part, macros)).collect();
    match expr {
        Expr::And(parts, span) => Expr::And(all(parts), *span),
        Expr::Or(parts, span) => Expr::Or(all(parts), *span),
        Expr::Not(part, span) => Expr::Not(Box::new(expanded(part, macros)), *span),
        Expr::Check(check) => Expr::Check(check.clone()),
        Expr::Macro { name, .. } => expanded(&macros[name], macros),
    }
}

#[test]
fn falcos_own_macros_and_rules_hold_for_the_events_for_which_sysdigs_hold() {
    let Some(recorded) = recorded() else { return };
    let Some(folder) = folder() else {
        println!("{NOT_RUN}");
        return;
    };
    let mut conditions: BTreeMap<String, String> = BTreeMap::new();
    for name in ["falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml"] {
        let text = fs::read(folder.join(name)).expect(name);
        let loaded = load(&[Source { name, text: &text }], &falco_fields::FalcoFields::new()).rules;
        for rule in &loaded.rules {
            conditions
                .insert(format!("rule {}", rule.name), expanded(&rule.expr, &loaded.macros).to_string());
        }
        for (name, expr) in &loaded.macros {
            conditions.insert(format!("macro {name}"), expanded(expr, &loaded.macros).to_string());
        }
    }
    let (mut compared, mut matched, mut different) = (0, 0, 0);
    let (mut differences, mut unknown) = (Vec::new(), Vec::new());
    for (name, condition) in &conditions {
        let theirs = match sysdig(recorded, "", condition) {
            Ok(theirs) => theirs,
            Err(error) => {
                unknown.push(format!("{name}: {}", error.trim()));
                continue;
            }
        };
        compared += 1;
        let ours = ours(recorded, condition);
        matched += usize::from(!ours.is_empty());
        let found = difference(recorded, &format!("{name} {condition}"), &ours, &theirs);
        let known = MACROS_DIFFERENT.iter().find(|(known, _)| known == name);
        match (found, known) {
            (Some(_), Some(_)) => different += 1,
            (None, Some((_, why))) => differences.push(format!("no longer different: {name}: {why}")),
            (found, None) => differences.extend(found),
        }
    }
    println!("{compared} compared, {matched} of them hold for some event, {different} differ as listed");
    println!("sysdig refuses {}:\n{}", unknown.len(), unknown.join("\n"));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
