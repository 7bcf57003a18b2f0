//! A Fargate task without Fargate: containers with file systems, processes, names and IPC of their own, and
//! one network. The collector runs in one of them, the applications in others; the sensor is on the volume
//! that they share; and the task's metadata endpoint beside them answers in the words of the real one.
//!
//! Needs root, as making a namespace does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use glassbox_tests::artefacts::{glassbox, sensor};
use glassbox_tests::child::{self, Ending, Running, Status, wait_until};
use glassbox_tests::events::{Event, Events, Expect};
use glassbox_tests::rootfs;
use glassbox_tests::victim::{Libc, compiled};
use serde_json::{Value, json};

const TASK: &str = "158d1c8083dd49d6b527399fd6414f5c";

/// The behaviour of the metadata endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    Answers,
    /// It answers after so long.
    Slow(Duration),
    Rubbish,
    /// Nothing listens there.
    Absent,
}

/// A metadata endpoint on loopback, which is also the peer that applications connect to.
struct Metadata {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Metadata {
    fn start(endpoint: Endpoint) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("a bound socket");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            if endpoint == Endpoint::Absent {
                return;
            }
            // The thread ends with the test's process.
            for stream in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                thread::spawn(move || answer(stream, endpoint, &log));
            }
        });
        Self { address, asked }
    }

    fn uri(&self, name: &str) -> String {
        format!("http://{}/v4/{}", self.address, docker_id(name))
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic there").clone()
    }
}

/// On Fargate: 32 hexadecimal digits, and a number of ten.
fn docker_id(name: &str) -> String {
    let number: u32 = name.bytes().fold(7, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    format!("{TASK}-{number:010}")
}

fn answer(mut stream: TcpStream, endpoint: Endpoint, log: &Mutex<Vec<String>>) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
    let mut request = [0; 2048];
    let len = stream.read(&mut request).unwrap_or(0);
    let request = String::from_utf8_lossy(&request[..len]).into_owned();
    let Some(path) = request.split(' ').nth(1) else { return };
    log.lock().expect("no panic there").push(path.to_owned());
    let body = match endpoint {
        Endpoint::Rubbish => "{\"DockerId\": [[[[".to_owned(),
        _ => described(path),
    };
    if let Endpoint::Slow(time) = endpoint {
        thread::sleep(time);
    }
    let status = if body.is_empty() { "404 Not Found" } else { "200 OK" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

/// The answer of ${ECS_CONTAINER_METADATA_URI_V4} on Fargate (the example of its documentation, with other
/// names).
fn described(path: &str) -> String {
    let Some(name) =
        ["web", "worker", "late"].into_iter().find(|name| path == format!("/v4/{}", docker_id(name)))
    else {
        return String::new();
    };
    json!({
        "DockerId": docker_id(name),
        "Name": name,
        "DockerName": name,
        "Image": image(name),
        "ImageID": "sha256:25f3695bedfb454a50f12d127839a68ad3caf91e451c1da073db34c542c4d2cb",
        "Labels": {
            "com.amazonaws.ecs.cluster": "arn:aws:ecs:us-west-2:111122223333:cluster/default",
            "com.amazonaws.ecs.container-name": name,
            "com.amazonaws.ecs.task-arn": format!("arn:aws:ecs:us-west-2:111122223333:task/default/{TASK}"),
            "com.amazonaws.ecs.task-definition-family": "shop",
            "com.amazonaws.ecs.task-definition-version": "24"
        },
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "Limits": {"CPU": 10, "Memory": 128},
        "CreatedAt": "2020-10-02T00:15:07.620912337Z",
        "StartedAt": "2020-10-02T00:15:08.062559351Z",
        "Type": "NORMAL",
        "LogDriver": "awslogs",
        "LogOptions": {"awslogs-group": "/ecs/shop", "awslogs-region": "us-west-2"},
        "ContainerARN": arn(name),
        "Networks": [{
            "NetworkMode": "awsvpc", "IPv4Addresses": ["10.0.2.100"], "AttachmentIndex": 0,
            "MACAddress": "0e:9e:32:c7:48:85", "IPv4SubnetCIDRBlock": "10.0.2.0/24",
            "PrivateDNSName": "ip-10-0-2-100.us-west-2.compute.internal", "SubnetGatewayIpv4Address": "10.0.2.1/24"
        }]
    })
    .to_string()
}

fn image(name: &str) -> String {
    format!("111122223333.dkr.ecr.us-west-2.amazonaws.com/{name}:latest")
}

fn arn(name: &str) -> String {
    format!("arn:aws:ecs:us-west-2:111122223333:container/0206b271-b33f-47ab-86c6-{name}")
}

/// The container's names in an event; where a process begins and ends, also its other facts.
fn identity(name: &str, event: &Event) -> Value {
    if !["process.start", "process.exit"].contains(&event.name()) {
        return json!({"id": docker_id(name), "name": name});
    }
    json!({
        "id": docker_id(name),
        "name": name,
        "image": image(name),
        "image_id": "sha256:25f3695bedfb454a50f12d127839a68ad3caf91e451c1da073db34c542c4d2cb",
        "arn": arn(name),
        "task": format!("arn:aws:ecs:us-west-2:111122223333:task/default/{TASK}"),
        "family": "shop",
        "revision": "24",
        "cluster": "arn:aws:ecs:us-west-2:111122223333:cluster/default",
    })
}

/// A task: a volume with the pair and the socket, and a root file system for each container.
struct Task {
    dir: tempfile::TempDir,
    /// The value of GLASSBOX_SOCKET in all containers.
    socket: String,
}

fn own_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Where the volume is mounted in each container, as the image declares it.
const VOLUME: &str = "opt/glassbox";

impl Task {
    /// A task whose containers meet at this socket.
    fn new(socket: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("gbx-task-").tempdir().expect("a temporary directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("our own directory");
        let task = Self { dir, socket: socket.to_owned() };
        fs::create_dir(task.path("volume")).expect("our own directory");
        rootfs::copy(sensor(), &task.path("volume/libglassbox.so"));
        rootfs::copy(glassbox(), &task.path("volume/glassbox"));
        let collector = task.root("collector");
        rootfs::install(&collector, glassbox());
        for tool in ["sh", "env", "sleep"] {
            rootfs::install(&collector, &Path::new("/bin").join(tool));
        }
        rootfs::copy(&compiled("old_kernel", Libc::Glibc).path, &collector.join("bin/old_kernel"));
        task
    }

    /// A task whose containers meet on the volume. Each task has its own name, since a path is also an
    /// abstract name, and all tasks here share a network.
    fn with_path() -> Self {
        Self::new(&format!("/opt/glassbox/socket-{}", own_name()))
    }

    /// A task whose containers meet at an abstract name in their network namespace.
    fn with_abstract_name() -> Self {
        Self::new(&format!("@gbx-task-{}", own_name()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The root file system of a container, made if it is missing.
    fn root(&self, container: &str) -> PathBuf {
        let root = self.path(&format!("root-{container}"));
        for folder in ["proc", "tmp", "etc", VOLUME] {
            fs::create_dir_all(root.join(folder)).expect("our own directory");
        }
        root
    }

    /// Runs `words` as the first process of a container. Only its environment has `variables`: the programs
    /// that set the container up are not part of it.
    fn container(
        &self,
        name: &str,
        mounts: &[(&str, &str)],
        variables: &[(&str, &str)],
        words: &[&str],
    ) -> Command {
        let root = self.root(name);
        let mut script = format!(
            "hostname {name} && mount -t proc proc '{0}/proc' && mount --bind '{1}' '{0}/{VOLUME}'",
            root.display(),
            self.path("volume").display()
        );
        for (from, to) in mounts {
            script.push_str(&format!(" && mount --bind '{from}' '{}/{to}'", root.display()));
        }
        script.push_str(&format!(" && exec chroot '{}' /bin/env -i \"$@\"", root.display()));
        let mut command = Command::new("unshare");
        command.args([
            "--pid",
            "--fork",
            "--kill-child",
            "--mount",
            "--uts",
            "--ipc",
            "sh",
            "-c",
            &script,
            "sh",
        ]);
        command.args(variables.iter().map(|(name, value)| format!("{name}={value}"))).args(words);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    fn collect(&self, metadata: &Metadata, outputs: &[&str], is_old: bool) -> Container {
        let authority = metadata.address.to_string();
        let variables =
            [("GLASSBOX_SOCKET", self.socket.as_str()), ("GLASSBOX_ECS_METADATA", authority.as_str())];
        let mut words = vec!["/opt/glassbox/glassbox", "collect"];
        if is_old {
            words.insert(0, "/bin/old_kernel");
        }
        words.extend(outputs.iter().flat_map(|output| ["-o", *output]));
        let mut running = child::start(self.container("collector", &[], &variables, &words), b"");
        let begun = Instant::now();
        loop {
            if !running.is_alive() {
                panic!("the collector ended: {:?}", running.finish());
            }
            let collector = Container { running };
            let health = collector.health(&self.socket);
            if health.status == Status::Exited(0) {
                return collector;
            }
            running = collector.running;
            assert!(begun.elapsed() < child::DEADLINE / 3, "{health:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The environment of an application's container.
    fn variables<'a>(&'a self, uri: &'a str) -> Vec<(&'a str, &'a str)> {
        vec![
            ("LD_PRELOAD", "/opt/glassbox/libglassbox.so"),
            ("GLASSBOX_SOCKET", &self.socket),
            ("ECS_CONTAINER_METADATA_URI_V4", uri),
            ("PATH", "/bin"),
        ]
    }

    /// A musl program, which ends with `code` once the gate is open.
    fn worker(&self, name: &str, uri: &str, port: u16, code: i32) -> Command {
        let root = self.root(name);
        rootfs::install(&root, Path::new("/bin/env"));
        rootfs::install_musl(&root);
        rootfs::copy(&compiled("container", Libc::Musl).path, &root.join("bin/container"));
        fs::create_dir_all(root.join("usr")).expect("our own directory");
        let words = ["/bin/container", &port.to_string(), &code.to_string(), "/opt/glassbox/gate"];
        // The mount's only purpose is that this container has the same pids as the other one.
        self.container(name, &[("/usr", "usr")], &self.variables(uri), &words)
    }

    /// A Python program on glibc, which does the same.
    fn web(&self, uri: &str, port: u16) -> Command {
        let root = self.root("web");
        fs::create_dir_all(root.join("usr")).expect("our own directory");
        for folder in ["bin", "lib", "lib64"] {
            let _ = symlink(format!("usr/{folder}"), root.join(folder));
        }
        let program = "import os, signal, socket, sys, time\n\
            def child(file):\n\
            \x20   pid = os.fork()\n\
            \x20   if pid == 0: os.open(file, os.O_CREAT | os.O_WRONLY)\n\
            \x20   return pid\n\
            os.open('/tmp/web', os.O_CREAT | os.O_WRONLY)\n\
            exits = child('/tmp/exits')\n\
            if exits == 0: os._exit(6)\n\
            os.waitpid(exits, 0)\n\
            told = os.pipe()\n\
            killed = child('/tmp/killed')\n\
            if killed == 0: os.write(told[1], b'x')\n\
            while killed == 0: signal.pause()\n\
            os.read(told[0], 1)\n\
            os.kill(killed, signal.SIGKILL)\n\
            os.waitpid(killed, 0)\n\
            leaf = child('/tmp/before-leaf')\n\
            if leaf == 0: os.execve('/bin/sh', ['sh', '-c', ': >/tmp/leaf; exit 4'], {})\n\
            os.waitpid(leaf, 0)\n\
            socket.create_connection(('127.0.0.1', int(sys.argv[1]))).close()\n\
            while not os.path.exists('/opt/glassbox/gate'): time.sleep(0.005)\n\
            sys.exit(3)\n";
        let port = port.to_string();
        let words = ["/usr/bin/python3", "-I", "-S", "-c", program, &port];
        self.container("web", &[("/usr", "usr")], &self.variables(uri), &words)
    }

    fn open_gate(&self) {
        fs::write(self.path("volume/gate"), "").expect("our own directory");
    }

    /// The path of one of the collector's outputs.
    fn output(&self, name: &str) -> PathBuf {
        self.path(&format!("root-collector/tmp/{name}"))
    }

    fn events(&self, name: &str, expect: Expect) -> Events {
        Events::read(&self.output(name), expect)
    }
}

/// The collector's container.
struct Container {
    running: Running,
}

impl Container {
    /// Its first process, by its pid in the test.
    fn first(&self) -> i32 {
        let unshare = self.running.pid();
        let path = format!("/proc/{unshare}/task/{unshare}/children");
        let text = fs::read_to_string(path).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    fn signal(&self, signal: i32) {
        let first = self.first();
        assert!(first > 0, "the container has no process");
        // SAFETY: kill takes no pointers; the process is a child of our child, which waits for it.
        unsafe { libc::kill(first, signal) };
    }

    /// Runs a command in the container, as `docker exec` would.
    fn exec(&self, words: &[&str]) -> Ending {
        let first = self.first().to_string();
        let mut command = Command::new("nsenter");
        command.args(["--target", &first, "--pid", "--mount", "--uts", "--ipc", "--root", "--wd"]);
        command.args(words).env_clear();
        child::run(command, b"")
    }

    fn health(&self, socket: &str) -> Ending {
        if self.first() == 0 {
            return Ending { status: Status::Exited(99), stdout: String::new(), stderr: String::new() };
        }
        let socket = format!("GLASSBOX_SOCKET={socket}");
        self.exec(&["/bin/env", "-i", &socket, "/opt/glassbox/glassbox", "health"])
    }

    /// Ends it as ECS does; it must write everything, and quickly.
    fn stop(self) -> Ending {
        let begun = Instant::now();
        self.signal(libc::SIGTERM);
        let ending = self.running.finish();
        assert!(begun.elapsed() < Duration::from_secs(3), "it took {:?} to end", begun.elapsed());
        assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
        ending
    }
}

fn name_of(event: &Event) -> &str {
    event.field("container").and_then(|container| container["name"].as_str()).unwrap_or("")
}

/// The exit code or signal of each process of a container, by its pid there.
fn ends(events: &Events, name: &str) -> BTreeMap<i64, String> {
    let exits = events.named("process.exit").filter(|exit| name_of(exit) == name);
    exits
        .map(|exit| {
            let how =
                ["code", "signal"].into_iter().find_map(|how| Some(format!("{how} {}", exit.number(how)?)));
            (exit.pid(), how.unwrap_or_else(|| exit.text("cause").unwrap_or("").to_owned()))
        })
        .collect()
}

/// Checks that the events of a container's application are exactly its calls, and name this container alone.
fn check(events: &Events, name: &str, port: u16, code: i32) {
    let own: Vec<&Event> = events.iter().filter(|event| name_of(event) == name).collect();
    let namespaces: BTreeSet<i64> = own.iter().map(|event| event.process().0).collect();
    assert_eq!(1, namespaces.len(), "{name}: {namespaces:?}");
    let namespace = *namespaces.first().expect("one");
    for event in events.iter().filter(|event| event.process().0 == namespace) {
        assert_eq!(Some(&identity(name, event)), event.field("container"), "{event:?}");
    }

    let first = events.only("the first image", |event| {
        event.name() == "process.start" && event.process() == (namespace, 1) && event.seq() == Some(0)
    });
    assert_eq!((Some(0), Some(0)), (first.number("ppid"), first.number("uid")));
    let pid_of = |file: &str| {
        let is_it = |event: &Event| {
            event.process().0 == namespace && event.path() == file && event.name() == "file.open"
        };
        events.only(file, is_it).pid()
    };
    assert_eq!(1, pid_of(&format!("/tmp/{name}")));
    let (exits, killed, leaf) = (pid_of("/tmp/exits"), pid_of("/tmp/killed"), pid_of("/tmp/leaf"));
    assert_eq!(leaf, pid_of("/tmp/before-leaf"), "an image keeps its process");
    let expected: BTreeMap<i64, String> = [
        (1, format!("code {code}")),
        (exits, "code 6".to_owned()),
        (killed, "signal 9".to_owned()),
        (leaf, "code 4".to_owned()),
    ]
    .into();
    assert_eq!(expected, ends(events, name), "{}", events.outline());
    let forks: BTreeSet<i64> = own
        .iter()
        .filter(|event| event.name() == "process.fork")
        .filter_map(|event| event.number("child"))
        .collect();
    assert_eq!([exits, killed, leaf].into_iter().collect::<BTreeSet<i64>>(), forks);
    let connect = own.iter().filter(|event| event.name() == "net.connect").collect::<Vec<_>>();
    let remotes: Vec<_> = connect.iter().filter_map(|event| event.text("remote")).collect();
    assert_eq!(vec![format!("127.0.0.1:{port}")], remotes);
    assert!(own.iter().any(|event| event.name() == "process.exec" && event.pid() == leaf), "no exec");
}

/// Two containers run at the same time, with the same pids; all of their calls are reported.
fn two_containers(task: &Task, is_old: bool) {
    let metadata = Metadata::start(Endpoint::Answers);
    // The port tells the two containers' connections apart.
    let listeners = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").expect("a loopback port"));
    let ports = listeners.each_ref().map(|listener| listener.local_addr().expect("bound").port());
    let outputs =
        ["jsonl:/tmp/events.jsonl", "recording:/tmp/events.gbx", "summary:/tmp/summary", "human:/tmp/human"];
    let collector = task.collect(&metadata, &outputs, is_old);

    let web = child::start(task.web(&metadata.uri("web"), ports[0]), b"");
    let worker = child::start(task.worker("worker", &metadata.uri("worker"), ports[1], 5), b"");
    for name in ["web", "worker"] {
        wait_until("both containers at their gates", || task.root(name).join("tmp/leaf").exists());
    }
    task.open_gate();
    let (web, worker) = (web.finish(), worker.finish());
    assert_eq!((Status::Exited(3), ""), (web.status, web.stderr.as_str()));
    assert_eq!((Status::Exited(5), ""), (worker.status, worker.stderr.as_str()), "{}", worker.stdout);
    let stopped = collector.stop();
    assert_eq!("", stopped.stderr);

    let events = task.events("events.jsonl", Expect::NothingLost);
    check(&events, "web", ports[0], 3);
    check(&events, "worker", ports[1], 5);
    assert_eq!(
        ends(&events, "web").keys().collect::<Vec<_>>(),
        ends(&events, "worker").keys().collect::<Vec<_>>(),
        "the test is worth little: the pids differ"
    );
    assert!(events.iter().all(|event| ["web", "worker"].contains(&name_of(event))), "{}", events.outline());
    let mut asked = metadata.asked();
    asked.sort();
    let mut expected = ["web", "worker"].map(|name| format!("/v4/{}", docker_id(name)));
    expected.sort();
    assert_eq!(expected.as_slice(), asked, "each container is asked for once");
    check_other_outputs(task);
}

/// The recording has the same lines; the human output shows the names.
fn check_other_outputs(task: &Task) {
    let mut replay = Command::new(glassbox());
    replay.args(["replay", "-o", "jsonl"]).arg(task.output("events.gbx"));
    let replayed = child::run(replay, b"");
    assert_eq!(
        fs::read_to_string(task.output("events.jsonl")).expect("events"),
        replayed.stdout,
        "{}",
        replayed.stderr
    );
    let summary = fs::read_to_string(task.output("summary")).expect("a summary");
    assert!(summary.contains("web: python3") && summary.contains("worker: container"), "{summary}");
    let human = fs::read_to_string(task.output("human")).expect("lines for people");
    assert!(human.lines().any(|line| line.contains(" worker ") && line.contains("process.exit")), "{human}");
}

#[test]
fn containers_that_meet_on_a_volume_are_told_apart_though_their_pids_are_the_same() {
    two_containers(&Task::with_path(), false);
}

#[test]
fn containers_that_meet_by_an_abstract_name_are_told_apart() {
    two_containers(&Task::with_abstract_name(), false);
}

#[test]
fn containers_are_told_apart_on_a_kernel_that_gives_no_descriptor_of_a_peer() {
    two_containers(&Task::with_path(), true);
}

/// A container is killed as a whole, as ECS does in the end.
fn killed_container(is_old: bool) {
    let task = Task::with_path();
    let metadata = Metadata::start(Endpoint::Answers);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let port = listener.local_addr().expect("bound").port();
    let collector = task.collect(&metadata, &["jsonl:/tmp/events.jsonl"], is_old);
    let worker = child::start(task.worker("worker", &metadata.uri("worker"), port, 5), b"");
    let has =
        |what: &str| fs::read_to_string(task.output("events.jsonl")).is_ok_and(|text| text.contains(what));
    wait_until("what the worker does", || has("net.connect"));

    drop(worker);
    wait_until("the end of the worker", || has("\"cause\":\"unknown\""));
    collector.stop();

    let events = task.events("events.jsonl", Expect::NothingLost);
    let ends = ends(&events, "worker");
    assert_eq!((4, Some("unknown")), (ends.len(), ends.get(&1).map(String::as_str)), "{ends:?}");
    let files = events.closes("worker");
    assert_eq!(1, files.len(), "what its death closed: {}", events.outline());
}

#[test]
fn container_that_is_killed_is_known_to_be_gone() {
    killed_container(false);
}

#[test]
fn container_that_is_killed_is_known_to_be_gone_without_a_descriptor_of_it_too() {
    killed_container(true);
}

#[test]
fn collector_as_first_process_reaps_and_ends_when_told() {
    let task = Task::with_path();
    let collector = task.collect(&Metadata::start(Endpoint::Absent), &["jsonl:/tmp/events.jsonl"], false);

    // A health check's shell leaves a process behind, which then becomes the first process's child.
    for _ in 0..3 {
        assert_eq!(Status::Exited(0), collector.exec(&["/bin/sh", "-c", "(sleep 0.05 &) ; exit 0"]).status);
    }
    thread::sleep(Duration::from_millis(300));
    let first = collector.first();
    let children = fs::read_to_string(format!("/proc/{first}/task/{first}/children")).expect("the collector");

    assert_eq!("", children.trim(), "they were not reaped");
    collector.stop();
}

/// Runs one container whose metadata are not available at first, or never; gives its events, the time it
/// took, and the collector's messages.
fn one_container(
    endpoint: Endpoint,
    uri: impl Fn(&Metadata) -> String,
) -> (Events, Duration, String, Metadata) {
    let task = Task::with_path();
    let metadata = Metadata::start(endpoint);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let port = listener.local_addr().expect("bound").port();
    let collector = task.collect(&metadata, &["jsonl:/tmp/events.jsonl"], false);
    task.open_gate();
    let begun = Instant::now();
    let worker = child::run(task.worker("worker", &uri(&metadata), port, 5), b"");
    let took = begun.elapsed();
    assert_eq!((Status::Exited(5), ""), (worker.status, worker.stderr.as_str()), "{}", worker.stdout);
    let stopped = collector.stop();
    (task.events("events.jsonl", Expect::NothingLost), took, stopped.stderr, metadata)
}

/// Checks that the events are the same, whatever identity the container has.
fn check_one(events: &Events, container: Option<&Value>) {
    assert_eq!(2, events.named("process.start").count(), "{}", events.outline());
    let codes: BTreeSet<Option<i64>> = events.named("process.exit").map(|exit| exit.number("code")).collect();
    assert_eq!(
        [None, Some(4), Some(5), Some(6)].into_iter().collect::<BTreeSet<_>>(),
        codes,
        "{}",
        events.outline()
    );
    for event in events.iter() {
        assert_eq!(container, event.field("container"), "{event:?}");
    }
}

#[test]
fn endpoint_that_is_not_there_costs_the_names() {
    let (events, took, said, _) = one_container(Endpoint::Absent, |metadata| metadata.uri("worker"));

    check_one(&events, Some(&json!({"id": docker_id("worker")})));
    assert_eq!("", said);
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn endpoint_that_takes_five_seconds_holds_nothing_up() {
    let slow = Endpoint::Slow(Duration::from_secs(5));
    let (events, took, said, _) = one_container(slow, |metadata| metadata.uri("worker"));

    check_one(&events, Some(&json!({"id": docker_id("worker")})));
    assert_eq!("", said);
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn endpoint_that_says_rubbish_costs_the_names() {
    let (events, _, said, _) = one_container(Endpoint::Rubbish, |metadata| metadata.uri("worker"));

    check_one(&events, Some(&json!({"id": docker_id("worker")})));
    assert_eq!("", said);
}

#[test]
fn uri_to_anywhere_else_is_not_asked_and_names_no_container() {
    let elsewhere = Metadata::start(Endpoint::Answers);

    let (events, _, said, metadata) = one_container(Endpoint::Answers, |_| elsewhere.uri("web"));

    check_one(&events, None);
    assert!(elsewhere.asked().is_empty() && metadata.asked().is_empty(), "an endpoint was asked");
    assert!(said.starts_with("glassbox: process 1 names container metadata at 'http://127.0.0.1:"), "{said}");
    assert!(said.contains("which is not asked; set GLASSBOX_ECS_METADATA"), "{said}");
}

#[test]
fn names_that_come_late_are_on_what_happens_from_then_on() {
    let task = Task::with_path();
    let metadata = Metadata::start(Endpoint::Slow(Duration::from_millis(900)));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let port = listener.local_addr().expect("bound").port();
    let collector = task.collect(&metadata, &["jsonl:/tmp/events.jsonl"], false);
    let worker = child::start(task.worker("worker", &metadata.uri("worker"), port, 5), b"");
    thread::sleep(Duration::from_millis(1500));
    task.open_gate();
    assert_eq!(Status::Exited(5), worker.finish().status);
    collector.stop();

    let events = task.events("events.jsonl", Expect::NothingLost);

    let first = events.named("process.start").next().expect("a start");
    assert_eq!(Some(&json!({"id": docker_id("worker")})), first.field("container"));
    let end = events.only("the end", |event| event.name() == "process.exit" && event.pid() == 1);
    assert_eq!(Some(&identity("worker", end)), end.field("container"));
}

#[test]
fn collector_that_is_replaced_knows_the_containers_of_what_starts_from_then_on() {
    let task = Task::with_path();
    let metadata = Metadata::start(Endpoint::Answers);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let port = listener.local_addr().expect("bound").port();
    let first = task.collect(&metadata, &["jsonl:/tmp/first.jsonl"], false);
    let early = child::start(task.worker("worker", &metadata.uri("worker"), port, 5), b"");
    wait_until("what the worker does", || {
        fs::read_to_string(task.output("first.jsonl")).is_ok_and(|text| text.contains("net.connect"))
    });

    first.signal(libc::SIGKILL);
    let killed = first.running.finish();
    let second = task.collect(&metadata, &["jsonl:/tmp/second.jsonl"], false);
    let late = child::start(task.worker("late", &metadata.uri("late"), port, 7), b"");
    wait_until("the other at its gate", || task.root("late").join("tmp/leaf").exists());
    task.open_gate();
    let codes = [early.finish().status, late.finish().status];
    second.stop();

    assert_ne!(Status::Exited(0), killed.status);
    assert_eq!([Status::Exited(5), Status::Exited(7)], codes);
    let before = task.events("first.jsonl", Expect::NothingLost);
    assert!(before.iter().all(|event| name_of(event) == "worker"));
    let after = task.events("second.jsonl", Expect::NothingLost);
    assert!(
        after.iter().all(|event| event.field("container") == Some(&identity("late", event))),
        "{}",
        after.outline()
    );
    assert_eq!(4, after.named("process.exit").count(), "{}", after.outline());
}

#[test]
fn program_that_is_over_at_once_has_its_names_under_run_too() {
    let task = Task::with_path();
    let metadata = Metadata::start(Endpoint::Slow(Duration::from_millis(50)));
    let output = task.path("run.jsonl");
    let mut command = Command::new(glassbox());
    command.args(["run", "-o", &format!("jsonl:{}", output.display()), "--", "/bin/true"]);
    command.env("ECS_CONTAINER_METADATA_URI_V4", metadata.uri("web"));
    command.env("GLASSBOX_ECS_METADATA", metadata.address.to_string());

    let ending = child::run(command, b"");

    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    let events = Events::read(&output, Expect::NothingLost);
    assert!(
        !events.is_empty()
            && events.iter().all(|event| event.field("container") == Some(&identity("web", event)))
    );
}

/// The definition of a container after `glassbox patch ecs`.
fn supervised(definition: &Value) -> Value {
    let mut patch = Command::new(glassbox());
    patch.args(["patch", "ecs", "--notify", "security", "--require-notify", "-"]);
    let ending = child::run(patch, json!([definition]).to_string().as_bytes());
    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    serde_json::from_str::<Value>(&ending.stdout).expect("JSON")[0].take()
}

#[test]
fn a_static_program_of_a_patched_task_is_told_of_with_its_container() {
    let task = Task::with_path();
    let metadata = Metadata::start(Endpoint::Answers);
    let collector = task.collect(&metadata, &["jsonl:/tmp/events.jsonl"], false);
    let root = task.root("worker");
    // The libraries of this build of the command line; the one of dist/ needs none.
    for program in [Path::new("/bin/env"), glassbox()] {
        rootfs::install(&root, program);
    }
    rootfs::copy(&compiled("opens", Libc::GlibcStatic).path, &root.join("bin/opens"));
    fs::write(root.join("etc/motd"), "hello\n").expect("our own directory");
    let command = json!(["/etc/motd", "/tmp/made"]);
    let after = supervised(&json!({"name": "worker", "entryPoint": ["/bin/opens"], "command": command}));
    let words = ["entryPoint", "command"].into_iter().flat_map(|key| after[key].as_array().expect("words"));
    let words: Vec<&str> = words.map(|word| word.as_str().expect("a word")).collect();
    assert_eq!(("/opt/glassbox/glassbox", "/tmp/made"), (words[0], words[words.len() - 1]));

    let uri = metadata.uri("worker");
    let ended = child::run(task.container("worker", &[], &task.variables(&uri), &words), b"");
    let stopped = collector.stop();

    assert_eq!(
        (Status::Exited(3), "read written\n"),
        (ended.status, ended.stdout.as_str()),
        "{}",
        ended.stderr
    );
    assert_eq!(("", ""), (ended.stderr.as_str(), stopped.stderr.as_str()));
    let events = task.events("events.jsonl", Expect::NothingLost);
    // The supervisor of this build has the sensor in it; that of dist/ is static itself.
    let start = events.only("the program's start", |event| event.text("coverage") == Some("notify"));
    assert_eq!((Some("/bin/opens"), Some("static")), (start.text("exe"), start.text("reason")));
    assert_eq!(Some(&identity("worker", start)), start.field("container"), "{start:?}");
    let open = events.only("its file", |event| event.name() == "file.open" && event.path() == "/tmp/made");
    assert_eq!((Some("notify"), start.process()), (open.text("via"), open.process()));
    let ends = events.named("process.exit").filter(|exit| exit.process() == start.process());
    assert_eq!(1, ends.count(), "{}", events.outline());
}
