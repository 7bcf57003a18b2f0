//! `glassbox patch ecs` as a pipeline uses it: the result is compared with AWS' own model, registered with a
//! server that plays ECS, linted as a template, and run by a container engine.
//!
//! The server and the checks are Python's (`tests/requirements.txt`); none of them knows the expected answer.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use glassbox_tests::artefacts::{glassbox, root, sensor};
use glassbox_tests::child::{self, Ending, Running, Status};
use glassbox_tests::python;
use serde_json::{Value, json};

/// A folder for a test's files.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::Builder::new().prefix("gbx-ecs-").tempdir().expect("a temporary directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("our own file");
        path
    }
}

fn patch(arguments: &[&str], file: &Path, stdin: &str) -> Ending {
    let mut command = Command::new(glassbox());
    command.args(["patch", "ecs"]).args(arguments).arg(file);
    child::run(command, stdin.as_bytes())
}

/// The result of a value that goes through stdin and stdout.
fn patched(value: &Value, arguments: &[&str]) -> Value {
    let ending = patch(arguments, Path::new("-"), &serde_json::to_string_pretty(value).expect("JSON"));
    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    serde_json::from_str(&ending.stdout).expect("JSON")
}

fn example(name: &str) -> Value {
    let text = fs::read_to_string(root().join("examples/fargate").join(name)).expect("the example");
    serde_json::from_str(&text).expect("JSON")
}

fn judge(arguments: &[&str], input: &str) -> Ending {
    let mut command = Command::new(python::program());
    command.arg(root().join("tests/programs/ecs.py")).args(arguments);
    child::run(command, input.as_bytes())
}

/// The faults that the API's model finds; empty if it takes the task.
fn faults(task: &Value) -> String {
    let ending = judge(&["validate"], &task.to_string());
    assert!(matches!(ending.status, Status::Exited(0 | 1)), "{}", ending.stderr);
    ending.stdout.trim().to_owned()
}

/// A server on loopback that plays ECS.
struct Server {
    endpoint: String,
    _running: Running,
}

impl Server {
    fn start() -> Self {
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let mut command = Command::new(python::program());
        command.arg(python::program().with_file_name("moto_server"));
        command.args(["-H", "127.0.0.1", "-p"]).arg(port.to_string());
        let running = child::start(command, b"");
        child::wait_until("moto_server", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { endpoint: format!("http://127.0.0.1:{port}"), _running: running }
    }

    /// Registers a task definition, and gives the server's description of it.
    fn register(&self, task: &Value) -> Value {
        let ending = judge(&["register", &self.endpoint], &task.to_string());
        assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
        serde_json::from_str(&ending.stdout).expect("JSON")
    }
}

/// Checks that `whole` has everything that `part` has; it may have more.
fn assert_within(part: &Value, whole: &Value, at: &str) {
    match (part, whole) {
        (Value::Object(part), Value::Object(_)) => {
            for (key, value) in part {
                assert_within(value, &whole[key], &format!("{at}.{key}"));
            }
        }
        (Value::Array(part), Value::Array(all)) => {
            assert_eq!(part.len(), all.len(), "{at}");
            for (index, (part, whole)) in part.iter().zip(all).enumerate() {
                assert_within(part, whole, &format!("{at}[{index}]"));
            }
        }
        _ => assert_eq!(part, whole, "{at}"),
    }
}

/// A template, in JSON or YAML, with many kinds of functions.
fn template(name: &str) -> String {
    fs::read_to_string(root().join("tests/programs").join(name)).expect("our own file")
}

#[test]
fn the_judge_finds_faults() {
    let fault = json!({"family": "a", "containerDefinitions": [{"name": "a", "image": 1, "volumeFrom": []}]});

    assert_eq!("", faults(&example("before.json")));
    assert!(
        faults(&fault).contains("Unknown parameter in containerDefinitions[0]: \"volumeFrom\""),
        "{}",
        faults(&fault)
    );
    assert!(faults(&fault).contains("Invalid type for parameter containerDefinitions[0].image"));
}

#[test]
fn a_patched_registration_is_registered_as_it_is() {
    let server = Server::start();

    let after = patched(&example("before.json"), &["--image", "registry/glassbox:1"]);
    let reply = server.register(&after);

    assert_eq!("", faults(&after));
    assert_within(&after, &reply["taskDefinition"], "");
    assert_eq!("registry/glassbox:1", reply["taskDefinition"]["containerDefinitions"][2]["image"]);
}

#[test]
fn a_description_of_the_server_becomes_a_registration_with_its_tags() {
    let server = Server::start();
    let mut before = example("before.json");
    before["tags"] = json!([{"key": "team", "value": "shop"}]);
    let described = server.register(&before);
    assert!(described["taskDefinition"]["taskDefinitionArn"].is_string(), "{described}");
    assert_ne!("", faults(&described["taskDefinition"]), "a description cannot be registered as it is");

    let after = patched(&described, &[]);
    let of_inner = patched(&described["taskDefinition"], &[]);
    let reply = server.register(&after);

    assert_eq!(("", ""), (faults(&after).as_str(), faults(&of_inner).as_str()));
    assert_eq!(before["tags"], after["tags"]);
    assert_within(
        &after["containerDefinitions"],
        &reply["taskDefinition"]["containerDefinitions"],
        "containers",
    );
    assert_eq!(json!(2), reply["taskDefinition"]["revision"]);
}

#[test]
fn a_patched_list_fits_into_a_registration() {
    let server = Server::start();
    let mut task = example("before.json");

    task["containerDefinitions"] = patched(&task["containerDefinitions"], &[]);
    let reply = server.register(&task);

    assert_eq!("", faults(&task));
    assert_within(&task, &reply["taskDefinition"], "");
}

#[test]
fn a_task_without_memory_of_its_own_can_still_be_registered() {
    let server = Server::start();
    let before =
        json!({"family": "ec2", "containerDefinitions": [{"name": "web", "image": "web", "memory": 128}]});

    let after = patched(&before, &[]);
    let reply = server.register(&after);

    assert_within(&after, &reply["taskDefinition"], "");
    assert_eq!(json!(64), reply["taskDefinition"]["containerDefinitions"][1]["memoryReservation"]);
}

fn lint(file: &Path) -> Ending {
    let mut command = Command::new(python::program());
    command
        .arg(python::program().with_file_name("cfn-lint"))
        .args(["--regions", "eu-west-1", "--"])
        .arg(file);
    child::run(command, b"")
}

#[test]
fn patched_templates_are_what_cloudformation_takes() {
    let place = Place::new();
    let server = Server::start();
    let clean = (Status::Exited(0), String::new());
    for name in ["ecs_template.json", "ecs_template.yaml"] {
        let file = place.write(name, &template(name));
        let before = lint(&file);
        assert_eq!(clean, (before.status, before.stdout), "{name} before");

        let ending = patch(&["--image", "registry/glassbox:1"], &file, "");
        let after = fs::read_to_string(&file).unwrap();

        assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
        let linted = lint(&file);
        assert_eq!(clean, (linted.status, linted.stdout), "{name} after");
        for (resource, containers) in [("Web", 3), ("Job", 2)] {
            let properties = judge(&["properties", resource], &after);
            assert_eq!(Status::Exited(0), properties.status, "{}", properties.stderr);
            let task: Value = serde_json::from_str(&properties.stdout).unwrap();
            assert_eq!("", faults(&task), "{name}: {resource}");
            assert_eq!(
                containers,
                task["containerDefinitions"].as_array().unwrap().len(),
                "{name}: {resource}"
            );
            let reply = server.register(&task);
            let described = &reply["taskDefinition"]["containerDefinitions"];
            assert_within(&task["containerDefinitions"], described, resource);
        }
        // Except for the value that is added to, no line is lost and none moves.
        let mut lines = after.lines().map(|line| line.trim_end_matches(','));
        for line in template(name).lines().filter(|line| !line.contains("libjemalloc.so.2")) {
            assert!(lines.any(|kept| kept == line.trim_end_matches(',')), "{name}: lost '{line}' in {after}");
        }
        assert!(after.contains("/usr/lib/libjemalloc.so.2:/opt/glassbox/libglassbox.so"), "{after}");
        let again = patch(&["--check"], &file, "");
        assert_eq!(Status::Exited(0), again.status, "{}", again.stderr);
    }
}

#[test]
fn both_spellings_of_a_template_become_the_same() {
    let read = |name: &str| {
        let after = patch(&[], Path::new("-"), &template(name)).stdout;
        let ending = judge(&["read"], &after);
        assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
        let value: Value = serde_json::from_str(&ending.stdout).unwrap();
        value["Resources"]["Job"].clone()
    };

    assert_eq!(read("ecs_template.json"), read("ecs_template.yaml"));
}

#[test]
fn a_linter_notices_what_a_careless_patch_would_do() {
    let place = Place::new();
    let broken = template("ecs_template.json").replacen("\"Essential\"", "\"volumesFrom\"", 1);

    let ending = lint(&place.write("template.json", &broken));

    assert_ne!(Status::Exited(0), ending.status);
    assert!(ending.stdout.contains("volumesFrom"), "{}", ending.stdout);
}

#[test]
fn a_file_is_patched_in_place_once_and_checked_for_pipelines() {
    let place = Place::new();
    let text = fs::read_to_string(root().join("examples/fargate/before.json")).unwrap();
    let file = place.write("task.json", &text);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let link = place.path("link.json");
    std::os::unix::fs::symlink("task.json", &link).unwrap();
    let image = ["--image", "registry/glassbox:1"];
    let with = |more: &'static str| [image[0], image[1], more];

    let would = patch(&with("--check"), &link, "");
    let untouched = fs::read_to_string(&file).unwrap();
    let did = patch(&image, &link, "");
    let once = fs::read_to_string(&file).unwrap();
    let inode = fs::metadata(&file).unwrap().ino();
    let again = patch(&image, &link, "");
    let nothing = patch(&with("--check"), &link, "");
    let other_image = patch(&["--image", "registry/glassbox:2", "--check"], &link, "");

    assert_eq!((Status::Exited(1), &text), (would.status, &untouched));
    assert!(would.stderr.contains("glassbox: would do: adds container 'glassbox'"), "{}", would.stderr);
    assert_eq!((Status::Exited(0), ""), (did.status, did.stdout.as_str()));
    assert_ne!(text, once);
    assert_eq!(Status::Exited(0), again.status);
    assert!(again.stderr.ends_with("glassbox: nothing to do\n"), "{}", again.stderr);
    assert_eq!((once, inode), (fs::read_to_string(&file).unwrap(), fs::metadata(&file).unwrap().ino()));
    assert_eq!((Status::Exited(0), Status::Exited(1)), (nothing.status, other_image.status));
    assert_eq!(0o640, fs::metadata(&file).unwrap().mode() & 0o7777);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn what_cannot_be_patched_is_one_line_and_leaves_the_file_alone() {
    let place = Place::new();
    let before = fs::read_to_string(root().join("examples/fargate/before.json")).unwrap();
    let secret = before.replace("DB_PASSWORD", "LD_PRELOAD");
    let windows = before.replace("\"LINUX\"", "\"WINDOWS_SERVER_2022_CORE\"");
    let taken = before.replace("\"xray\"", "\"glassbox\"");
    let mode = before.replace("awsvpc", "bridge");
    for (text, words) in [
        (&b""[..], "it is empty"),
        (b"\xff\xfe{\0}\0", "is not UTF-8 text from byte 0 on"),
        (b"{\"containerDefinitions\": [", "it is not JSON: EOF while parsing"),
        (b"{\"containerDefinitions\": [{\"name\": \"a\",}]}", "trailing comma at line 1 column 40"),
        (b"{\"containerDefinitions\": \"[]\"}", "'containerDefinitions' is a text, not a list"),
        (b"{\"kind\": \"Pod\"}", "it is not a task definition (it has 'kind')"),
        (b"[{\"name\": \"a\", \"name\": \"b\"}]", "line 1: the key 'name' is there twice"),
        (b"resource \"aws_ecs_task_definition\" \"web\" {}", "it is a text, neither an object nor a list"),
        (b"Resources:\n  Task: !Ref [\n", "as YAML, line 3, column 1"),
        (secret.as_bytes(), "container 'web': LD_PRELOAD comes from its secrets"),
        (windows.as_bytes(), "its containers are Windows'"),
        (taken.as_bytes(), "container 'glassbox' is not the sensor's"),
        (mode.as_bytes(), "networkMode must be awsvpc on Fargate"),
    ] {
        let file = place.path("file");
        fs::write(&file, text).unwrap();

        let ending = patch(&[], &file, "");

        assert_eq!(
            (Status::Exited(65), ""),
            (ending.status, ending.stdout.as_str()),
            "{words}: {}",
            ending.stderr
        );
        assert_eq!(1, ending.stderr.lines().count(), "{}", ending.stderr);
        assert!(ending.stderr.contains(words) && ending.stderr.contains("; "), "{words}: {}", ending.stderr);
        assert_eq!(text, fs::read(&file).unwrap());
        assert_eq!(1, fs::read_dir(place.0.path()).unwrap().count(), "something is left beside the file");
    }
}

#[test]
fn missing_files_and_wrong_options_have_statuses_of_their_own() {
    let place = Place::new();
    let file = place.write("task.json", "[{\"name\": \"web\"}]");

    for (arguments, file, status, words) in [
        (&[][..], place.path("none.json"), 66, "cannot read"),
        (&[], place.0.path().to_path_buf(), 66, "cannot read"),
        (&["--events", "yaml"], file.clone(), 64, "unknown format 'yaml'"),
        (&["--memory-reservation", "5"], file.clone(), 64, "5 is not in 6.."),
        (&["--image", ""], file.clone(), 64, "--image"),
        (&["--start-when", "later"], file.clone(), 64, "invalid value 'later'"),
        (&["--container", "wbe"], file.clone(), 65, "no container is named 'wbe'; there are 'web'"),
    ] {
        let ending = patch(arguments, &file, "");

        assert_eq!((Status::Exited(status), ""), (ending.status, ending.stdout.as_str()), "{arguments:?}");
        assert_eq!(1, ending.stderr.lines().count(), "{}", ending.stderr);
        assert!(ending.stderr.contains(words), "{arguments:?}: {}", ending.stderr);
    }
    assert_eq!("[{\"name\": \"web\"}]", fs::read_to_string(&file).unwrap());
}

#[test]
fn the_example_does_what_it_says() {
    let examples = root().join("examples/fargate");
    let mut command = Command::new(examples.join("run.sh"));
    command.env("GLASSBOX", glassbox());
    let dir = tempfile::tempdir().unwrap();
    let patched = dir.path().join("task.json");
    fs::copy(examples.join("before.json"), &patched).unwrap();

    let ending = child::run(command, b"");
    let mut patch = Command::new("patch");
    patch.arg("--quiet").arg(&patched);
    let applied = child::run(patch, ending.stdout.as_bytes());

    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    assert_eq!(Status::Exited(0), applied.status, "{}", applied.stdout);
    let after = fs::read_to_string(examples.join("after.json")).unwrap();
    assert_eq!(after, fs::read_to_string(patched).unwrap(), "glassbox patch ecs -o after.json before.json");
    assert_eq!("", faults(&example("after.json")));
}

/// Plays a task as ECS does, with podman: separate containers, which share only what the task definition
/// shares.
struct Task {
    place: Place,
    name: String,
}

impl Task {
    fn new() -> Self {
        let task = Self { place: Place::new(), name: format!("gbx-ecs-{}", std::process::id()) };
        for (image, files) in [("sensor", &["opt/glassbox"][..]), ("web", &["tmp", "etc"])] {
            let root = task.place.path(image);
            for folder in ["bin", "proc", "dev", "sys"].iter().chain(files) {
                fs::create_dir_all(root.join(folder)).expect("our own directory");
            }
        }
        task.install("sensor", glassbox(), "opt/glassbox/glassbox");
        task.install("sensor", sensor(), "opt/glassbox/libglassbox.so");
        for program in ["sh", "cat"] {
            task.install("web", &Path::new("/bin").join(program), &format!("bin/{program}"));
        }
        fs::set_permissions(task.place.path("web/tmp"), fs::Permissions::from_mode(0o1777))
            .expect("our own directory");
        fs::write(task.place.path("web/etc/motd"), "hello\n").expect("our own file");
        task.import("web", &[]);
        // Laid out as in the image of `cargo xtask dist`.
        let image = [
            "ENTRYPOINT [\"/opt/glassbox/glassbox\", \"collect\"]",
            "ENV GLASSBOX_SOCKET=/opt/glassbox/socket",
            "VOLUME /opt/glassbox",
        ];
        task.import("sensor", &image);
        task
    }

    /// Copies a file into an image, with the loader and libraries that it needs.
    fn install(&self, image: &str, file: &Path, to: &str) {
        let listed = Command::new("ldd").arg(file).output().expect("ldd");
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        let root = self.place.path(image);
        for library in text.split_ascii_whitespace().filter(|word| word.starts_with('/')).map(Path::new) {
            let to = root.join(library.strip_prefix("/").expect("absolute"));
            fs::create_dir_all(to.parent().expect("a folder")).expect("our own directory");
            fs::copy(library, to).expect("a library");
        }
        fs::copy(file, root.join(to)).expect("a program");
    }

    fn import(&self, image: &str, changes: &[&str]) {
        let archive = self.place.path(&format!("{image}.tar"));
        let made = Command::new("tar")
            .arg("-C")
            .arg(self.place.path(image))
            .arg("-cf")
            .arg(&archive)
            .arg(".")
            .status();
        assert!(made.expect("tar").success());
        let mut command = self.podman(&["import", "--quiet"]);
        for change in changes {
            command.args(["--change", change]);
        }
        command.arg(&archive).arg(format!("localhost/{image}"));
        let ending = child::run(command, b"");
        assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    }

    fn podman(&self, words: &[&str]) -> Command {
        let mut command = Command::new("podman");
        command.arg("--root").arg(self.place.path("storage")).arg("--runroot").arg(self.place.path("run"));
        command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file"]);
        command.args(["--runtime", "/usr/sbin/runc"]).args(words);
        command
    }

    fn container(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    /// Runs a container from its definition.
    fn run(&self, definition: &Value, options: &[&str]) -> Ending {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let list = |key: &str| definition[key].as_array().cloned().unwrap_or_default();
        let mut command = self.podman(&["run", "--network", "none"]);
        // A container within a container may not raise its limits.
        command.args(["--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"]).args(options);
        command.arg("--name").arg(self.container(&text(&definition["name"])));
        for variable in list("environment") {
            command.arg("--env").arg(format!("{}={}", text(&variable["name"]), text(&variable["value"])));
        }
        for volume in list("volumesFrom") {
            let mode = if volume["readOnly"] == true { "ro" } else { "rw" };
            command
                .arg("--volumes-from")
                .arg(format!("{}:{mode}", self.container(&text(&volume["sourceContainer"]))));
        }
        if let Some(user) = definition["user"].as_str() {
            command.args(["--user", user]);
        }
        command.arg(text(&definition["image"])).args(list("command").iter().map(text));
        child::run(command, b"")
    }

    /// Waits until a container's health check succeeds.
    fn wait_until_healthy(&self, definition: &Value) {
        let check = definition["healthCheck"]["command"].as_array().expect("a health check");
        assert_eq!("CMD", check[0]);
        let words = check[1..].iter().map(|word| word.as_str().expect("a text"));
        child::wait_until("a healthy container", || {
            let mut command =
                self.podman(&["exec", &self.container(definition["name"].as_str().expect("a name"))]);
            command.args(words.clone());
            child::run(command, b"").status == Status::Exited(0)
        });
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let remove = child::run(self.podman(&["rm", "--all", "--force", "--time", "0", "--volumes"]), b"");
        if !std::thread::panicking() {
            assert_eq!(Status::Exited(0), remove.status, "{}", remove.stderr);
        }
    }
}

#[test]
fn a_task_that_is_played_by_its_definition_is_seen() {
    let task = Task::new();
    let script = "cat /etc/motd; : >/tmp/made; echo x >/opt/glassbox/libglassbox.so; exit 3";
    let before = json!([{
        "name": "web", "image": "localhost/web", "command": ["/bin/sh", "-c", script], "user": "1234:1234",
        "logConfiguration": {"logDriver": "awslogs"},
    }]);

    let bare = task.run(&before[0], &["--rm", "--tmpfs", "/opt/glassbox"]);
    let after = patched(&before, &["--image", "localhost/sensor"]);
    let (web, collector) = (&after[0], &after[1]);
    let started = task.run(collector, &["--detach"]);
    assert_eq!(Status::Exited(0), started.status, "{}", started.stderr);
    task.wait_until_healthy(collector);
    let seen = task.run(web, &["--rm"]);
    let stopped = child::run(task.podman(&["stop", &task.container("glassbox")]), b"");
    assert_eq!(Status::Exited(0), stopped.status, "{}", stopped.stderr);
    let log = child::run(task.podman(&["logs", &task.container("glassbox")]), b"");

    assert_eq!((Status::Exited(3), "hello\n"), (bare.status, bare.stdout.as_str()), "{}", bare.stderr);
    assert_eq!((Status::Exited(3), "hello\n"), (seen.status, seen.stdout.as_str()), "{}", seen.stderr);
    assert!(seen.stderr.contains("Read-only file system"), "the sensor can be replaced: {}", seen.stderr);
    let events: Vec<Value> =
        log.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let opened =
        |path: &str| events.iter().any(|event| event["event"] == "file.open" && event["path"] == path);
    assert!(opened("/etc/motd") && opened("/tmp/made"), "{}", log.stdout);
    assert!(events.iter().all(|event| event["event"] != "sensor.loss"), "{}", log.stdout);
    assert!(events.iter().any(|event| event["uid"] == 1234), "{}", log.stdout);
}
