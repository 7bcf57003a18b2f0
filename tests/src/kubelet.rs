//! Plays the kubelet: makes a pod from a manifest on this machine, with runc's containers in one network
//! namespace and folders as volumes.
//!
//! It reads the parts of a container that matter to the sensor: command, environment with the downward API,
//! volume mounts, security context, restart policy and startup probe. Images are folders with this machine's
//! own programs. Volumes are emptyDirs: folders that every user may write to, as the kubelet makes them. A
//! test that uses this starts containers, and fails if the machine does not allow that.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::artefacts::{glassbox, sensor};
use crate::child::{self, Ending, Running, Status, wait_until};
use crate::victim::{Libc, compiled};

/// The values of the downward API.
const FIELDS: [(&str, &str); 4] = [
    ("metadata.name", "pod-1"),
    ("metadata.namespace", "shop"),
    ("metadata.uid", "b2f6c1a0-0000-4000-8000-000000000001"),
    ("spec.nodeName", "node-1"),
];

/// A pod that ran to its end.
#[derive(Debug)]
pub struct Ended {
    /// The ending of each container, by name; sidecars were stopped after the other containers had ended.
    pub endings: HashMap<String, Ending>,
}

/// A machine for one pod.
pub struct Kubelet {
    dir: tempfile::TempDir,
    /// Holds the network namespace, as a sandbox's pause container does.
    pause: Running,
}

impl Kubelet {
    /// A machine with the images `app` (a shell, the static victim `opens` and little else) and `glassbox`
    /// (the files of `cargo xtask dist`'s image).
    ///
    /// # Panics
    /// If they cannot be made.
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("gbx-pod-").tempdir().expect("a temporary directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("our own directory");
        let mut pause = Command::new("unshare");
        pause.args(["--net", "sleep", "600"]);
        let kubelet = Self { dir, pause: child::start(pause, b"") };
        for image in ["app", "glassbox"] {
            for folder in ["etc", "proc", "dev", "sys", "tmp"] {
                fs::create_dir_all(kubelet.path(image).join(folder)).expect("our own directory");
            }
        }
        fs::write(kubelet.path("app/etc/motd"), "hello\n").expect("our own directory");
        for program in ["sh", "cat", "sleep"] {
            install(&Path::new("/bin").join(program), &kubelet.path("app"), "bin");
        }
        // A static program, and the libraries of this build of the command line; the one of dist/ needs none.
        install(&compiled("opens", Libc::GlibcStatic).path, &kubelet.path("app"), "bin");
        install(glassbox(), &kubelet.path("app"), "tmp");
        fs::remove_file(kubelet.path("app/tmp/glassbox")).expect("our own directory");
        install(glassbox(), &kubelet.path("glassbox"), "opt/glassbox");
        fs::copy(sensor(), kubelet.path("glassbox/opt/glassbox/libglassbox.so"))
            .expect("a copy of the sensor");
        kubelet
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs a pod until its own containers have ended.
    ///
    /// # Panics
    /// If an init container fails, or a sidecar does not start.
    pub fn run(&self, pod: &Value) -> Ended {
        let (mut endings, mut sidecars) = (HashMap::new(), Vec::new());
        for container in pod["spec"]["initContainers"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let name = text(&container["name"]);
            let mut running = self.start_container(pod, container);
            if container["restartPolicy"] == "Always" {
                if let Some(probe) = container["startupProbe"]["exec"]["command"].as_array() {
                    let seconds = container["startupProbe"]["periodSeconds"].as_u64().unwrap_or(10);
                    wait_until("the startup probe", || {
                        assert!(running.is_alive(), "{name} ended before it was ready");
                        let mut exec = self.runc();
                        exec.arg("exec").arg(self.id(name)).args(probe.iter().map(text));
                        let is_ready = child::run(exec, b"").status == Status::Exited(0);
                        if !is_ready {
                            std::thread::sleep(Duration::from_secs(seconds));
                        }
                        is_ready
                    });
                }
                sidecars.push((name, running));
            } else {
                let ending = running.finish();
                assert_eq!(Status::Exited(0), ending.status, "{name}: {}", ending.stderr);
                endings.insert(name.to_owned(), ending);
            }
        }
        let containers = pod["spec"]["containers"].as_array().expect("containers").iter();
        let running: Vec<_> = containers
            .map(|container| (text(&container["name"]), self.start_container(pod, container)))
            .collect();
        endings.extend(running.into_iter().map(|(name, running)| (name.to_owned(), running.finish())));
        for (name, running) in sidecars.into_iter().rev() {
            let mut kill = self.runc();
            kill.arg("kill").arg(self.id(name)).arg("TERM");
            child::run(kill, b"");
            endings.insert(name.to_owned(), running.finish());
        }
        Ended { endings }
    }

    fn start_container(&self, pod: &Value, container: &Value) -> Running {
        let name = text(&container["name"]);
        let bundle = self.path("bundles").join(name);
        fs::create_dir_all(&bundle).expect("our own directory");
        let made = Command::new("runc").arg("spec").arg("-b").arg(&bundle).status();
        assert!(made.expect("runc").success(), "runc spec");
        let file = bundle.join("config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&file).expect("a config")).expect("JSON");
        self.describe(&mut config, pod, container);
        fs::write(&file, config.to_string()).expect("our own file");
        let mut run = self.runc();
        run.args(["run", "-b"]).arg(&bundle).arg(self.id(name));
        child::start(run, b"")
    }

    fn describe(&self, config: &mut Value, pod: &Value, container: &Value) {
        let context = |what: &str| {
            let own = &container["securityContext"][what];
            if own.is_null() { pod["spec"]["securityContext"][what].clone() } else { own.clone() }
        };
        let user = context("runAsUser").as_u64().unwrap_or(0);
        assert!(
            user != 0 || context("runAsNonRoot") != true,
            "the kubelet starts no root where there shall be none"
        );
        let image = if text(&container["image"]).contains("glassbox") { "glassbox" } else { "app" };
        let words = ["command", "args"].into_iter().filter_map(|key| container[key].as_array()).flatten();
        let process = &mut config["process"];
        process["terminal"] = json!(false);
        process["args"] = words.cloned().collect();
        process["env"] = environment(container).into();
        process["user"] = json!({"uid": user, "gid": context("runAsGroup").as_u64().unwrap_or(0)});
        process["noNewPrivileges"] = json!(context("allowPrivilegeEscalation") == false);
        if context("capabilities")["drop"] == json!(["ALL"]) {
            process["capabilities"] = json!({});
        }
        config["root"] =
            json!({"path": self.path(image), "readonly": context("readOnlyRootFilesystem") == true});
        let mounts = config["mounts"].as_array_mut().expect("mounts");
        for mount in container["volumeMounts"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let folder = self.empty_dir(pod, text(&mount["name"]));
            let access = if mount["readOnly"] == true { "ro" } else { "rw" };
            mounts.push(json!({
                "destination": mount["mountPath"], "type": "bind", "source": folder, "options": ["rbind", access],
            }));
        }
        let network = format!("/proc/{}/ns/net", self.pause.pid());
        for namespace in config["linux"]["namespaces"].as_array_mut().expect("namespaces") {
            if namespace["type"] == "network" {
                namespace["path"] = json!(network);
            }
        }
    }

    fn empty_dir(&self, pod: &Value, name: &str) -> PathBuf {
        let volumes = pod["spec"]["volumes"].as_array().expect("volumes");
        let volume = volumes.iter().find(|volume| volume["name"] == name).expect("a volume of that name");
        assert!(volume["emptyDir"].is_object(), "only emptyDirs are played: {volume}");
        let folder = self.path("volumes").join(name);
        fs::create_dir_all(&folder).expect("our own directory");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("our own directory");
        folder
    }

    fn runc(&self) -> Command {
        let mut command = Command::new("runc");
        command.arg("--root").arg(self.path("state")).env_remove("LD_PRELOAD");
        command
    }

    fn id(&self, name: &str) -> String {
        format!("gbx-{}-{name}", self.pause.pid())
    }
}

/// The environment of a container, with references to earlier variables expanded.
fn environment(container: &Value) -> Vec<String> {
    let mut variables: Vec<(String, String)> = vec![("PATH".into(), "/bin".into())];
    for entry in container["env"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let field = entry["valueFrom"]["fieldRef"]["fieldPath"].as_str();
        let value = match field {
            Some(path) => {
                FIELDS.iter().find(|row| row.0 == path).expect("a field that is known").1.to_owned()
            }
            None => variables
                .iter()
                .fold(entry["value"].as_str().unwrap_or_default().to_owned(), |value, (name, known)| {
                    value.replace(&format!("$({name})"), known)
                }),
        };
        variables.push((text(&entry["name"]).to_owned(), value));
    }
    variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// Copies a program of this machine into an image, with its loader and libraries.
fn install(program: &Path, root: &Path, folder: &str) {
    let listed = Command::new("ldd").arg(program).output().expect("ldd");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let libraries = listed.split_ascii_whitespace().filter(|word| word.starts_with('/')).map(Path::new);
    for file in libraries {
        let to = root.join(file.strip_prefix("/").expect("absolute"));
        fs::create_dir_all(to.parent().expect("a folder")).expect("our own directory");
        fs::copy(file, to).expect("a library");
    }
    fs::create_dir_all(root.join(folder)).expect("our own directory");
    fs::copy(program, root.join(folder).join(program.file_name().expect("a name"))).expect("a program");
}
