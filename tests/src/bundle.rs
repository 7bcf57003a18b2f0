//! A bundle of an image's files, for runc with and without `glassbox runc` before it, and a collector beside
//! it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::Collector;
use crate::artefacts::{glassbox, sensor};
use crate::child::{self, Ending, Status};
use crate::rootfs;

/// An image's files, a bundle of them, and a collector beside it.
pub struct Place {
    dir: tempfile::TempDir,
    /// The container's name.
    pub name: String,
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

impl Place {
    /// A bundle without a `config.json`.
    ///
    /// # Panics
    /// If its files cannot be made.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let dir = tempfile::Builder::new().prefix("gbx-runc-").tempdir().expect("a temporary directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("our own directory");
        let name = format!("gbx-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let place = Self { dir, name };
        for folder in ["bundle/rootfs", "socket", "state", "pair"] {
            fs::create_dir_all(place.path(folder)).expect("our own directory");
        }
        for folder in ["bin", "lib64", "etc", "proc", "dev", "sys", "tmp"] {
            fs::create_dir_all(place.root(folder)).expect("our own directory");
        }
        fs::set_permissions(place.root("tmp"), fs::Permissions::from_mode(0o1777))
            .expect("our own directory");
        fs::write(place.root("etc/motd"), "hello\n").expect("our own directory");
        for program in ["sh", "cat", "sleep"] {
            rootfs::install(&place.root(""), &PathBuf::from("/bin").join(program));
        }
        // Copies, because a rootless user must be able to reach them.
        rootfs::copy(glassbox(), &place.tool());
        rootfs::copy(sensor(), &place.path("pair/libglassbox.so"));
        place
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A path in the container's root.
    pub fn root(&self, name: &str) -> PathBuf {
        self.path("bundle/rootfs").join(name)
    }

    /// The tool under the name that makes it the runtime.
    pub fn tool(&self) -> PathBuf {
        self.path("pair/glassbox-runc")
    }

    /// The collector's socket.
    pub fn socket(&self) -> PathBuf {
        self.path("socket/collector")
    }

    /// The bundle's `config.json`.
    pub fn config(&self) -> PathBuf {
        self.path("bundle/config.json")
    }

    /// Makes a bundle with `runc spec` that starts these words.
    ///
    /// # Panics
    /// If runc makes none.
    pub fn bundle(&self, words: &[&str], spec: &[&str]) {
        let _ = fs::remove_file(self.config());
        let made = Command::new("runc").arg("spec").args(spec).arg("-b").arg(self.path("bundle")).status();
        assert!(made.expect("runc").success(), "runc spec");
        self.edit(|config| {
            config["process"]["terminal"] = json!(false);
            config["process"]["args"] = json!(words);
            config["root"]["readonly"] = json!(false);
        });
    }

    /// Changes the `config.json`.
    ///
    /// # Panics
    /// If it cannot be changed.
    pub fn edit(&self, change: impl FnOnce(&mut Value)) {
        let mut config = self.read();
        change(&mut config);
        fs::write(self.config(), config.to_string()).expect("our own file");
    }

    /// The `config.json`.
    ///
    /// # Panics
    /// If there is none.
    pub fn read(&self) -> Value {
        serde_json::from_slice(&fs::read(self.config()).expect("a config")).expect("JSON")
    }

    /// A command of the runtime: the real one, or `glassbox runc`.
    pub fn runtime(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("--root").arg(self.path("state")).env("GLASSBOX_SOCKET", self.socket());
        command
    }

    /// Gives the container this machine's programs and libraries, the folder `work` to write in, at the paths
    /// that they have here, and this machine's network and processes.
    pub fn show_machine(&self, work: &Path) {
        let built = crate::artefacts::target();
        let shown = ["/usr", "/etc"].map(PathBuf::from);
        let shown = shown.iter().map(|path| (path.as_path(), "ro"));
        let mounts: Vec<Value> = shown
            .chain([(built.as_path(), "ro"), (work, "rw")])
            .map(|(path, how)| {
                json!({ "destination": path, "source": path, "type": "bind", "options": ["rbind", how] })
            })
            .collect();
        for link in ["bin", "lib", "lib64", "sbin"] {
            let _ = fs::remove_dir_all(self.root(link));
            symlink(format!("usr/{link}"), self.root(link)).expect("our own directory");
        }
        self.edit(|config| {
            let namespaces = config["linux"]["namespaces"].as_array_mut().expect("namespaces");
            // In a pid namespace of its own, the parent of a process that is gone is not always known.
            namespaces.retain(|namespace| namespace["type"] != "network" && namespace["type"] != "pid");
            config["mounts"].as_array_mut().expect("mounts").extend(mounts);
        });
    }

    /// Runs the container to its end.
    pub fn run(&self, program: &Path) -> Ending {
        let mut command = self.runtime(program);
        command.args(["run", "-b"]).arg(self.path("bundle")).arg(&self.name);
        child::run(command, b"")
    }

    /// Starts the collector.
    pub fn collector(&self) -> Collector {
        let output = format!("jsonl:{}", self.path("events.jsonl").display());
        Collector::start(&self.socket(), &["-o", &output])
    }

    /// Runs a container with the real runtime and then with `glassbox runc` before it: both must end as
    /// `expected`. Gives the events of the second run.
    ///
    /// # Panics
    /// If they do not.
    #[track_caller]
    pub fn assert_same_output(
        &self,
        real: &Path,
        expected: Ending,
        run: impl Fn(&Path) -> Ending,
    ) -> Vec<Value> {
        assert_eq!(expected, run(real), "with the real runtime");
        let collector = self.collector();
        let seen = run(&self.tool());
        let events = self.events(collector);
        assert_eq!(expected, seen, "with ours before it");
        events
    }

    /// Reads the events without the promises of `Events`: if a process is gone before the collector looks,
    /// its parent's pid outside of their namespace is unknown.
    ///
    /// # Panics
    /// If the collector failed.
    pub fn events(&self, collector: Collector) -> Vec<Value> {
        let ending = collector.stop();
        assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
        let text = fs::read_to_string(self.path("events.jsonl")).expect("what was reported");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}
