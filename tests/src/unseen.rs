//! Programs that hooks can't see: static ones, Go, `syscall` instructions of a program's own.
//!
//! The sources are in `tests/programs/unseen/`. Each program makes the same list of calls, in the same order
//! (`deeds.h`); the dynamic C program is the *twin* that hooks see. The programs are built once for their
//! content, below `target/victims/unseen/`, by the machine's compilers: gcc, musl-gcc, Debian's go, and rustc
//! with the musl target that `cargo xtask test packages` adds.
//!
//! [`compare_with_strace`] measures the calls that `run --notify` reports, with strace's word as the truth.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::artefacts::{glassbox, root, target};
use crate::child::{self, Ending, Status};
use crate::collector::Collector;
use crate::compare;
use crate::events::{Event, Events, Expect};
use crate::recall::ebpf::take_of_libc;
use crate::recall::kinds::{self, EXEC, IMAGE, OPEN};
use crate::recall::trace::{Call, Origin, Trace, read, strace};
use crate::scene::{EVENTS, Scene};
use crate::server::Server;

pub mod real;

/// What the sensor alone tells of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Every call: it is the twin.
    All,
    /// Its start and what it calls in libc; none of the deeds, which go past libc.
    Start,
    /// Nothing but a `sensor.blind` with this reason.
    Blind(&'static str),
}

/// The tools that build a program.
#[derive(Clone, Copy, Debug)]
enum Built {
    /// A compiler with these flags.
    C { compiler: &'static str, source: &'static str, flags: &'static [&'static str] },
    /// `go build` of these files of a folder, with or without cgo, with these flags.
    Go { folder: &'static str, files: &'static [&'static str], has_c: bool, flags: &'static [&'static str] },
    /// rustc for musl.
    Rust,
    /// Debian's busybox-static, as `cargo xtask test packages` unpacks it.
    Busybox,
    /// A script of the shell's; its `$1` is the work folder, `$2` a port, `$3` where programs are unpacked.
    Script(&'static str),
}

/// A program.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The name, which its file has too.
    pub name: &'static str,
    /// What the sensor alone tells of it.
    pub told: Told,
    built: Built,
    /// A third argument, which asks for more than the list.
    more: &'static [&'static str],
}

/// This machine's headers of the kernel, which are not in musl's folder, and Rust's name of its musl target.
const HEADERS_AND_TARGET: (&str, &str) = if cfg!(target_arch = "aarch64") {
    ("/usr/include/aarch64-linux-gnu", "aarch64-unknown-linux-musl")
} else {
    ("/usr/include/x86_64-linux-gnu", "x86_64-unknown-linux-musl")
};
const MUSL: &[&str] = &["-static", "-idirafter", "/usr/include", "-idirafter", HEADERS_AND_TARGET.0];

/// Rust's target for static programs of this machine.
pub const RUST_TARGET: &str = HEADERS_AND_TARGET.1;

const fn c(name: &'static str, told: Told, source: &'static str, flags: &'static [&'static str]) -> Program {
    Program { name, told, built: Built::C { compiler: "gcc", source, flags }, more: &[] }
}

const fn go(name: &'static str, told: Told, has_c: bool, flags: &'static [&'static str]) -> Program {
    let files: &[&str] = if has_c { &["deeds.go", "cgo.go"] } else { &["deeds.go", "nocgo.go"] };
    Program { name, told, built: Built::Go { folder: "", files, has_c, flags }, more: &["more"] }
}

const STATIC: Told = Told::Blind("static");

/// Every program; the first one is the twin.
pub const PROGRAMS: &[Program] = &[
    c("dynamic", Told::All, "deeds.c", &[]),
    c("static", STATIC, "deeds.c", &["-static"]),
    c("static-pie", STATIC, "deeds.c", &["-static-pie"]),
    Program {
        name: "musl",
        told: STATIC,
        built: Built::C { compiler: "musl-gcc", source: "deeds.c", flags: MUSL },
        more: &[],
    },
    c("raw", Told::Start, "raw.c", &[]),
    // No other machine has its instruction.
    #[cfg(target_arch = "x86_64")]
    c("int80", Told::Start, "int80.c", &[]),
    go("go-static", STATIC, false, &[]),
    go("go-pie", Told::Blind("go"), false, &["-buildmode=pie"]),
    go("go-cgo", Told::Start, true, &[]),
    Program { name: "rust-musl", told: STATIC, built: Built::Rust, more: &[] },
    Program { name: "busybox", told: STATIC, built: Built::Busybox, more: &[] },
];

/// The actions of Falco's event-generator, made again in static Go (`tests/programs/unseen/README.md`). It
/// takes other words than [`PROGRAMS`].
pub const GENERATOR: Program = Program {
    name: "generator",
    told: STATIC,
    built: Built::Go { folder: "generator", files: &["generator.go"], has_c: false, flags: &[] },
    more: &[],
};

/// A static server in Go that runs until the file `stop` is there. It takes a work folder alone.
pub const SERVED: Program = Program {
    name: "served",
    told: STATIC,
    built: Built::Go { folder: "served", files: &["served.go"], has_c: false, flags: &[] },
    more: &[],
};

/// Goroutines on threads of their own that rename files while signals come: its words are how many of each.
pub const GO_STORM: Program = Program {
    name: "storm",
    told: STATIC,
    built: Built::Go { folder: "storm", files: &["storm.go"], has_c: false, flags: &[] },
    more: &[],
};

/// Programs that move the same bytes: the twin that hooks see, and two that only the kernel sees.
pub const MOVED: [Program; 3] = [
    c("moved", Told::All, "moved/moved.c", &[]),
    c("moved-static", STATIC, "moved/moved.c", &["-static"]),
    Program {
        name: "moved-go",
        told: STATIC,
        built: Built::Go { folder: "moved", files: &["moved.go"], has_c: false, flags: &[] },
        more: &[],
    },
];

/// Programs that hooks see, with calls that libc makes for itself: on glibc and on musl.
pub const LIBCS_OWN: [Program; 2] = [
    c("libcs-own", Told::All, "libcs_own.c", &["-pthread"]),
    Program {
        name: "libcs-own-musl",
        told: Told::All,
        built: Built::C {
            compiler: "musl-gcc",
            source: "libcs_own.c",
            flags: &["-pthread", "-idirafter", "/usr/include", "-idirafter", HEADERS_AND_TARGET.0],
        },
        more: &[],
    },
];

/// A static program that closes a socket whose lock another thread holds. It needs root's rights.
pub const HELD: Program = c("held", STATIC, "moved/held.c", &["-static", "-pthread"]);

/// Go programs of other makers, as Debian has them, with cgo.
pub const INSTALLED: Program = Program {
    name: "installed",
    told: Told::Start,
    built: Built::Script(
        r#"set -e; cd "$1"; PATH=$PATH:/usr/sbin
        runc spec; nats-server --version > version; printf 'global: {}\n' > p.yml; promtool check config p.yml > checked
        nats-server -a 127.0.0.1 -p -1 -js -sd "$1/js" -P "$1/pid" > log 2>&1 &
        until [ -s pid ]; do sleep 0.05; done; kill -INT "$(cat pid)"; wait || true"#,
    ),
    more: &[],
};

/// The program of this name.
///
/// # Panics
/// If there is none.
pub fn named(name: &str) -> &'static Program {
    PROGRAMS.iter().find(|program| program.name == name).unwrap_or_else(|| panic!("no program '{name}'"))
}

/// The command that builds the Go files that are its further arguments, with or without cgo.
pub fn go_build(output: &Path, has_c: bool) -> Command {
    let mut command = Command::new("go");
    command.arg("build").arg("-o").arg(output);
    // The standard library alone, and a cache of its own: nothing is fetched, and the user's folders stay as
    // they are.
    command.env("CGO_ENABLED", if has_c { "1" } else { "0" }).env("GO111MODULE", "off");
    command.env("GOFLAGS", "").env("GOPATH", target().join("victims/go/path"));
    command.env("GOCACHE", target().join("victims/go/cache"));
    command
}

/// The folder of the sources.
fn sources() -> PathBuf {
    root().join("tests/programs/unseen")
}

/// Calls of each kind by applets of busybox; `$0` is busybox, `$1` the work folder, `$2` the port.
const APPLETS: &str = r#"
    b="$0"; cd "$1" || exit 1
    echo x > one; $b mv one two; $b ln two hard; $b ln -s two soft; $b chmod 600 two; $b rm hard soft
    $b mkdir folder; $b rmdir folder; $b wget -q -O got "http://127.0.0.1:$2/"; $b cat got
    $b tar cf all.tar two got; $b tar tf all.tar; $b rm all.tar; $b cp two three; $b truncate -s 1 three; $b kill -0 $$ && $b touch alive
    $b find . -name three -exec "$b" rm {} ';'; $b sed -i s/x/y/ two; $b sort two; exec $b true of deeds
"#;

impl Program {
    /// The executable; built unless it is there already.
    ///
    /// # Panics
    /// If a compiler is missing or refuses the program.
    pub fn path(&self) -> PathBuf {
        // Two tests that need the same program must not write it at the same time.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Built::Script(_) = self.built {
            return "/bin/sh".into();
        }
        if let Built::Busybox = self.built {
            let path = target().join("xtask/busybox-static/bin/busybox");
            assert!(path.is_file(), "{} is missing: `cargo xtask test packages` unpacks it", path.display());
            return path;
        }
        let dir = target().join(format!("victims/unseen/{}-{:016x}", self.name, self.fingerprint()));
        let path = dir.join(self.name);
        if !path.exists() {
            fs::create_dir_all(&dir).expect("target/victims can be made");
            // Written beside and renamed: a test in another process finds either no file or a whole one.
            let unfinished = dir.join(format!("{}.{}", self.name, std::process::id()));
            let mut command = self.compiler(&unfinished);
            let made = command.output().unwrap_or_else(|error| {
                panic!("cannot run {command:?}: {error}; `cargo xtask test packages` installs the compilers")
            });
            assert!(made.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&made.stderr));
            fs::rename(&unfinished, &path).expect("target/victims can be written");
        }
        path
    }

    /// The command that builds it as `output`.
    fn compiler(&self, output: &Path) -> Command {
        match self.built {
            Built::C { compiler, source, flags } => {
                let mut command = Command::new(compiler);
                command.args(["-g", "-O1", "-w", "-o"]).arg(output).arg(sources().join(source)).args(flags);
                command
            }
            Built::Go { folder, files, has_c, flags } => {
                let mut command = go_build(output, has_c);
                command.args(flags).args(files).current_dir(sources().join(folder));
                command
            }
            Built::Rust => {
                let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
                command.args(["-O", "--edition", "2024", "--target"]);
                command.arg(RUST_TARGET).arg("-o").arg(output);
                command.arg(sources().join("deeds.rs"));
                command
            }
            Built::Busybox | Built::Script(_) => unreachable!("it is not built"),
        }
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let of_go = ["generator", "served", "storm", "moved"].map(|folder| sources().join(folder));
        let folders = of_go.into_iter().chain([sources()]);
        let entries = folders.flat_map(|folder| fs::read_dir(folder).expect("a folder of sources"));
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|file| file.is_file());
        files.sort();
        for file in files {
            fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())).hash(&mut hasher);
        }
        format!("{:?}", self.built).hash(&mut hasher);
        hasher.finish()
    }

    /// The program and its arguments: it works in `work`, and connects to `port` of 127.0.0.1.
    pub fn words(&self, work: &Path, port: u16) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec![self.path().into()];
        if let Built::Busybox = self.built {
            words.extend(["sh", "-c", APPLETS].map(OsString::from));
            words.push(self.path().into());
        }
        if let Built::Script(script) = self.built {
            words.extend(["-c", script, "sh"].map(OsString::from));
        }
        words.extend([work.into(), port.to_string().into()]);
        if let Built::Script(_) = self.built {
            words.push(target().join("xtask").into());
        }
        words.extend(self.more.iter().map(OsString::from));
        words
    }
}

/// One run.
#[derive(Debug)]
pub struct Run {
    /// Output and status.
    pub ending: Ending,
    /// The files that it left, with their content, and a line `MODE NAME` for each.
    pub files: (BTreeMap<String, String>, String),
    /// The events; none of a bare run.
    pub events: Events,
    /// The port that it connected to.
    pub port: u16,
}

/// A folder and a server for the runs of a program.
pub struct Ground {
    scene: Scene,
    server: Server,
}

impl Default for Ground {
    fn default() -> Ground {
        // The scene is made for its directory and environment; the victim is not run.
        Ground { scene: Scene::of("steady", &["0"]), server: Server::start() }
    }
}

impl Ground {
    /// The work folder.
    pub fn work(&self) -> PathBuf {
        self.scene.work()
    }

    /// The port of the server that programs connect to.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Empties the work folder.
    pub fn clean(&self) {
        self.scene.clean();
    }

    /// Runs it bare.
    pub fn bare(&self, program: &Program) -> Run {
        self.scene.clean();
        let words = program.words(&self.work(), self.server.port());
        let mut command = self.scene.command(&words[0]);
        command.args(&words[1..]);
        self.ended(child::run(command, b""), Events::default())
    }

    /// Runs it under `glassbox run` with these options.
    pub fn under(&self, options: &[&str], program: &Program) -> Run {
        self.under_prepared(options, program, |_| {})
    }

    /// As [`Ground::under`], with a command that was `prepared`.
    pub fn under_prepared(
        &self,
        options: &[&str],
        program: &Program,
        prepare: impl FnOnce(&mut Command),
    ) -> Run {
        self.scene.clean();
        drop(fs::remove_file(self.scene.beside(EVENTS)));
        let mut command = self.scene.command(glassbox());
        command.arg("run").args(options).args(["-o", &self.scene.events_output(), "--"]);
        command.args(program.words(&self.work(), self.server.port()));
        prepare(&mut command);
        let ending = child::run(command, b"");
        let is_written = self.scene.beside(EVENTS).exists();
        let events = if is_written { self.scene.events(Expect::NothingLost) } else { Events::default() };
        self.ended(ending, events)
    }

    /// Runs it under `glassbox exec` with these options, beside a collector; both commands are `prepared`.
    pub fn beside_prepared(
        &self,
        options: &[&str],
        program: &Program,
        prepare: impl Fn(&mut Command),
    ) -> Run {
        self.scene.clean();
        drop(fs::remove_file(self.scene.beside(EVENTS)));
        let socket = self.scene.beside("collect.sock");
        let collector = Collector::start_prepared(&socket, &["-o", &self.scene.events_output()], &prepare);
        let mut command = self.scene.command(glassbox());
        command.arg("exec").args(options).arg("--").args(program.words(&self.work(), self.server.port()));
        command.env("GLASSBOX_SOCKET", collector.socket());
        prepare(&mut command);
        let ending = child::run(command, b"");
        let stopped = collector.stop();
        assert_eq!(Status::Exited(0), stopped.status, "collect: {}", stopped.stderr);
        self.ended(ending, self.scene.events(Expect::NothingLost))
    }

    /// Runs [`GENERATOR`] in a network of its own, where every address that it connects to is its own: bare,
    /// or under `glassbox run` with these options.
    ///
    /// # Panics
    /// If this user may not make a network.
    pub fn generator(&self, options: Option<&[&str]>) -> Run {
        const ALONE: &str = "set -e; PATH=$PATH:/usr/sbin:/sbin; ip link set lo up
            for own in 169.254.169.254 10.2.3.4 203.0.113.7; do ip addr add $own/32 dev lo; done; exec \"$@\"";
        self.scene.clean();
        let mut command = self.scene.command("unshare");
        command.args(["--net", "sh", "-c", ALONE, "sh"]);
        let output = self.scene.events_output();
        if let Some(options) = options {
            command.arg(glassbox()).arg("run").args(options).args(["-o", &output, "--"]);
        }
        command.arg(GENERATOR.path()).arg(self.work());
        let ending = child::run(command, b"");
        let events = match options {
            Some(_) => self.scene.events(Expect::NothingLost),
            None => Events::default(),
        };
        self.ended(ending, events)
    }

    fn ended(&self, ending: Ending, events: Events) -> Run {
        Run { ending, files: compare::files(&self.work()), events, port: self.server.port() }
    }
}

/// How much is asked: `--notify`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Programs that are executed.
    Exec,
    /// And what else may hurt.
    Security,
}

impl Level {
    /// The word of the option.
    pub fn name(self) -> &'static str {
        match self {
            Level::Exec => "exec",
            Level::Security => "security",
        }
    }

    /// Whether the level promises an event of this kind. net.socket and process.fork are not asked about.
    fn promises(self, event: &str) -> bool {
        match self {
            Level::Exec => [EXEC, IMAGE].contains(&event),
            Level::Security => SECURITY.contains(&event),
        }
    }
}

/// A program that nothing but its start is told of.
const BLIND: &str = "sensor.blind";

/// The number of the signal by which Go's runtime interrupts a thread.
const SIGURG: &str = "23";

/// The events that `--notify security` promises, of those that strace can be compared with.
const SECURITY: [&str; 21] = [
    EXEC,
    IMAGE,
    OPEN,
    "file.unlink",
    "file.rmdir",
    "file.mkdir",
    "file.chmod",
    "file.chown",
    "file.truncate",
    "file.xattr",
    "file.mknod",
    "file.rename",
    "file.link",
    "file.symlink",
    "net.bind",
    "net.listen",
    "net.connect",
    "net.accept",
    "process.signal",
    "process.credentials",
    "process.namespace",
];

/// The calls of a run by strace's word, and those of them that have an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// The calls of the level that the program and its children made.
    pub made: usize,
    /// Those that have an event.
    pub seen: usize,
    /// The others.
    pub missed: Vec<String>,
    /// Events without a call, such as a second event for a call that a hook saw too.
    pub extra: Vec<String>,
}

impl Compared {
    /// The share of seen calls, in percent.
    pub fn percent(&self) -> f64 {
        if self.made == 0 { 100.0 } else { 100.0 * self.seen as f64 / self.made as f64 }
    }

    /// The figures, with each missed call and each event without a call.
    pub fn report(&self, name: &str) -> String {
        let mut text = format!("{name:10} {:5} / {:5}  {:6.2} %\n", self.seen, self.made, self.percent());
        for missed in &self.missed {
            text.push_str(&format!("  missed: {missed}\n"));
        }
        for extra in &self.extra {
            text.push_str(&format!("  without a call: {extra}\n"));
        }
        text
    }
}

/// The script that executes the program.
const START: &str = "start.sh";

/// Runs the program under `glassbox run --notify LEVEL`, and both under `strace -f`, and compares.
///
/// `target/recall/NAME-LEVEL/` keeps the records of both, and the report.
///
/// # Errors
/// The output of a run that did not end as the bare one does, or the promises that its events break.
pub fn compare_with_strace(program: &Program, level: Level) -> Result<Compared, String> {
    compare_under(program, level, &["--notify", level.name()])
}

/// As [`compare_with_strace`], with these options of `glassbox run`: without `--notify`, it is the hooks that
/// are compared.
///
/// # Errors
/// As [`compare_with_strace`].
pub fn compare_under(program: &Program, level: Level, options: &[&str]) -> Result<Compared, String> {
    let ground = Ground::default();
    let scene = &ground.scene;
    scene.clean();
    let kept = crate::recall::kept(&format!("{}-{}{}", program.name, level.name(), options.concat()));
    let (output, trace) = (kept.join("events.jsonl"), kept.join("strace"));
    fs::create_dir(&trace).expect("target/recall can be written");
    // The words of the program are in a file: strace's record is read from the exec on that names the work
    // folder, and glassbox, which is traced too, must not.
    let words = program.words(&ground.work(), ground.server.port());
    let quoted = |word: &OsString| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"));
    let script = scene.beside(START);
    let line = words.iter().map(quoted).collect::<Vec<_>>().join(" ");
    fs::write(&script, format!("exec {line}\n")).expect("our own directory");
    let traced = strace(&trace.join("t"), &[]);
    let mut command = scene.command(traced.get_program());
    command.args(traced.get_args()).arg(glassbox());
    command.args(["run", "--no-redact"]).args(options).arg("-o");
    command.arg(format!("jsonl:{}", output.display())).args(["--", "/bin/sh"]).arg(&script);

    let ending = child::run(command, b"");

    if ending.status != Status::Exited(0) {
        return Err(format!("{}: {ending:?}", program.name));
    }
    let expect = match program.built {
        // One may make containers.
        Built::Script(_) => Expect::NothingLostBelow,
        _ => Expect::NothingLost,
    };
    let text = fs::read_to_string(&output).map_err(|error| format!("{}: {error}", output.display()))?;
    let events = Events::parse(&text, expect).map_err(|broken| broken.join("\n"))?;
    let mut trace = read(&trace.join("t"), &ground.work().to_string_lossy());
    take_of_libc(&mut trace);
    let compared = compared(&trace, &events, level);
    fs::write(kept.join("report.txt"), compared.report(program.name)).expect("target/recall can be written");
    Ok(compared)
}

/// Matches the calls of the level with events, each event once: the same process, and the same path, address
/// or number. An error is not compared: an event of a call that has not returned has none.
pub fn compared(trace: &Trace, events: &Events, level: Level) -> Compared {
    let mut left: HashMap<(&str, i64, String), usize> = HashMap::new();
    // The process of the program executed a shell before it.
    let since_ns = trace.calls.iter().map(|call| call.times.before_ns.unwrap_or(call.times.begin_ns)).min();
    let is_since = |event: &&Event| event.time_ns().zip(since_ns).is_none_or(|(at, since)| at >= since);
    // strace is not asked about memfd_create, nor about sendto, which may tell of a new peer.
    let is_asked = |event: &&Event| {
        let calls = kinds::of(event.name()).map_or(&[][..], |kind| kind.calls);
        let is_of_row = calls.is_empty() || calls.iter().any(|traced| traced.name == event.call());
        // A process whose hello is late, on a busy machine, has its events behind those of its next program.
        let is_before = event.list("argv").iter().any(|word| word.ends_with(START));
        !event.path().starts_with("memfd:")
            && !is_before
            && (is_of_row || event.text("via") != Some("notify"))
    };
    // The start of a program that was executed without LD_PRELOAD is told so.
    let kind = |event: &Event| {
        if event.name() == BLIND { IMAGE } else { kinds::of(event.name()).map_or("", |kind| kind.event) }
    };
    let promised = events.iter().filter(|event| level.promises(event.name()) || event.name() == BLIND);
    for event in promised.filter(is_since).filter(is_asked) {
        let pid = trace.outside(event);
        // An exec that failed has a second event.
        let is_second = event.name() == EXEC && event.has_failed();
        let is_within = trace.lives.get(&pid).is_some_and(|life| life.is_within);
        if is_within && !is_second && (event.name() != OPEN || writes(&event.list("flags"))) {
            *left.entry((kind(event), pid, key_of_event(event))).or_default() += 1;
        }
    }
    let mut compared = Compared::default();
    let is_asked = |call: &&Call| {
        call.origin == Origin::Application
            && level.promises(call.kind.event)
            && (call.kind.event != OPEN || writes(&flags(call)))
            // Such as an accept that finds nothing.
            && !call.error.as_deref().is_some_and(|error| call.kind.untold.contains(&error))
            // Go's runtime interrupts its own threads by it, thousands of times a second; the kernel is not
            // asked about it.
            && (call.kind.event != kinds::SIGNAL
                || said(call, "signal") != SIGURG
                || call.target != call.pid.to_string())
    };
    let (put_off, made): (Vec<&Call>, Vec<&Call>) =
        trace.calls.iter().filter(is_asked).partition(|call| call.is_put_off());
    for call in made.into_iter().chain(put_off) {
        let key = (call.kind.event, call.pid, key_of_call(call));
        if call.is_put_off() {
            left.entry(key).and_modify(|left| *left = left.saturating_sub(1));
            continue;
        }
        compared.made += 1;
        match left.get_mut(&key).filter(|left| **left > 0) {
            Some(left) => {
                *left -= 1;
                compared.seen += 1;
            }
            None => compared.missed.push(format!("pid {} {} {}", call.pid, call.kind.event, call.target)),
        }
    }
    let extra = left.into_iter().filter(|(_, left)| *left > 0);
    compared.extra =
        extra.map(|((name, pid, key), left)| format!("{left} × pid {pid} {name} {key}")).collect();
    compared.extra.sort();
    compared
}

/// Whether an open with these flags may change something.
fn writes(flags: &[&str]) -> bool {
    flags.iter().any(|flag| ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_TMPFILE"].contains(flag))
}

fn flags(call: &Call) -> Vec<&str> {
    said(call, "flags").split('|').collect()
}

/// A field of a call, by strace's word; empty if it said none.
fn said<'a>(call: &'a Call, field: &str) -> &'a str {
    call.said.iter().find(|said| said.field == field).map_or("", |said| said.value.as_str())
}

fn base(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// The part that identifies a call beyond its kind and process. A descriptor that only a result tells is no
/// part of it.
fn key_of_call(call: &Call) -> String {
    match call.kind.event {
        EXEC => base(&call.target),
        IMAGE | "net.accept" => String::new(),
        _ => call.target.clone(),
    }
}

fn key_of_event(event: &Event) -> String {
    let shown = |field: &&str| {
        let text = event.text(field).map(str::to_owned);
        text.or_else(|| event.number(field).map(|number| number.to_string())).unwrap_or_default()
    };
    match event.name() {
        EXEC => base(event.path()),
        IMAGE | BLIND | "net.accept" => String::new(),
        name => {
            let fields = kinds::of(name).map_or(&[][..], |kind| kind.fields);
            fields.iter().map(shown).collect::<Vec<_>>().join(" ")
        }
    }
}

/// The deeds as the events of a run tell them, one line each: the event, and the fields that do not depend on
/// the run, the language or the result of the call.
pub fn deeds(run: &Run, work: &Path) -> Vec<String> {
    let first =
        run.events.iter().find(|event| event.list("argv").contains(&work.to_str().unwrap_or_default()));
    let Some(pid) = first.map(Event::pid) else { return Vec::new() };
    let is_deed = |event: &&Event| {
        let is_open = event.name() == OPEN;
        let is_told = Level::Security.promises(event.name()) || event.name() == "process.trace";
        event.pid() == pid && is_told && (!is_open || writes(&event.list("flags")))
    };
    let all = run.events.iter().filter(is_deed).filter(|event| event.name() != IMAGE);
    all.map(|event| deed(event, pid, run.port)).collect()
}

/// The fields of a deed. `call` is not among them: Go renames by renameat(2).
const FIELDS: [&str; 14] = [
    "path",
    "new_path",
    "flags",
    "mode",
    "remote",
    "backlog",
    "target",
    "signal",
    "what",
    "to",
    "source",
    "filesystem",
    "request",
    "argv",
];

fn deed(event: &Event, pid: i64, port: u16) -> String {
    let mut line = event.name().to_owned();
    for field in FIELDS {
        let value = match (field, event.field(field)) {
            (_, None) => continue,
            ("target", Some(value)) if value.as_i64() == Some(pid) => "itself".to_owned(),
            // Another port is the program's own.
            ("remote", Some(value)) if value.as_str() == Some(&format!("127.0.0.1:{port}")) => {
                "server".to_owned()
            }
            ("remote", Some(_)) => "own".to_owned(),
            // Go, musl and Rust ask for what 64-bit programs have anyway.
            ("flags", Some(_)) => {
                let flags = event.list("flags");
                flags.into_iter().filter(|flag| *flag != "O_LARGEFILE").collect::<Vec<_>>().join("|")
            }
            (_, Some(value)) => value.to_string(),
        };
        line.push_str(&format!(" {field}={value}"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recall::trace::traced;

    #[test]
    fn a_call_without_an_event_is_missed_and_an_event_without_a_call_is_extra() {
        let mut trace = traced(concat!(
            "1.0 [0000000000000001] unlink(\"/a\") = 0\n",
            "2.0 [0000000000000001] unlink(\"/b\") = -1 ENOENT (No)\n",
            "3.0 [0000000000000001] openat(AT_FDCWD</>, \"/read\", O_RDONLY) = 3</read>\n",
        ));
        trace.lives.entry(7).or_default().is_within = true;
        let event = |path: &str| {
            format!(
                "{{\"time\":\"2026-01-01T00:00:00.000000000Z\",\"event\":\"file.unlink\",\"call\":\"unlink\",\"pid\":7,\"tid\":7,\"path\":\"{path}\"}}\n"
            )
        };
        let events = Events::parse(&(event("/b") + &event("/b")), Expect::Rubbish).unwrap();

        let compared = compared(&trace, &events, Level::Security);

        assert_eq!((2, 1), (compared.made, compared.seen));
        assert_eq!(vec!["pid 7 file.unlink /a".to_owned()], compared.missed);
        assert_eq!(vec!["1 × pid 7 file.unlink /b".to_owned()], compared.extra);
        assert_eq!(Compared::default(), super::compared(&trace, &events, Level::Exec));
    }

    #[test]
    fn the_start_of_a_program_that_cannot_be_seen_into_is_told() {
        let mut trace =
            traced("1.0 [0000000000000001] execve(\"/bin/true\", [\"true\"], [\"A=1\"]) = 0 <0.000044>\n");
        trace.lives.entry(7).or_default().is_within = true;
        let event = |name: &str| {
            format!(
                "{{\"time\":\"2026-01-01T00:00:00.000000000Z\",\"event\":\"{name}\",\"pid\":7,\"tid\":7,\"path\":\"/bin/true\"}}\n"
            )
        };
        let blind = Events::parse(&event("sensor.blind"), Expect::Rubbish).unwrap();
        let other = Events::parse(&event("process.exit"), Expect::Rubbish).unwrap();

        let missed = |events| compared(&trace, events, Level::Exec).missed;

        assert_eq!(missed(&other).len(), missed(&blind).len() + 1, "{trace:?}");
    }

    #[test]
    fn a_call_that_a_signal_put_off_is_one_call_with_an_event_or_two() {
        let mut trace = traced(concat!(
            "1.0 [0000000000000001] unlink(\"/a\") = ? ERESTARTSYS (To be restarted) <0.003304>\n",
            "2.0 [0000000000000001] unlink(\"/a\") = 0 <0.000044>\n",
        ));
        trace.lives.entry(7).or_default().is_within = true;
        let event = "{\"time\":\"2026-01-01T00:00:00.000000000Z\",\"event\":\"file.unlink\",\"call\":\"unlink\",\"pid\":7,\"tid\":7,\"path\":\"/a\"}\n";

        for count in [1, 2] {
            let events = Events::parse(&event.repeat(count), Expect::Rubbish).unwrap();
            let compared = compared(&trace, &events, Level::Security);
            assert_eq!((1, 1, 0), (compared.made, compared.seen, compared.extra.len()), "{count}");
        }
    }
}
