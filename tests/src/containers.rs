//! Makes a test's own images and containers with podman, which gets folders of its own; nothing is pulled
//! from a registry.
//!
//! The images are made of files of this machine. A test that uses this starts containers, and fails if the
//! machine does not allow that.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::artefacts::{glassbox, sensor};
use crate::child::{self, Ending, Status};
use crate::victim::{Libc, compiled};

/// The options of `podman run` for a container within a container: podman may not raise its limits, and
/// nothing here needs a network.
pub const RUN: [&str; 7] =
    ["run", "--network", "none", "--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"];

/// The image with the shell.
pub const BASE: &str = "localhost/base:1";

/// The image with the pair, laid out as `cargo xtask dist` lays it out.
pub const GLASSBOX: &str = "localhost/glassbox:1";

/// An engine with its images and a folder for the test.
pub struct Engine {
    dir: tempfile::TempDir,
}

impl Engine {
    /// An engine with the images [`BASE`] and [`GLASSBOX`].
    ///
    /// # Panics
    /// If they cannot be made.
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("gbx-eng-").tempdir().expect("a temporary directory");
        let engine = Self { dir };
        let base = engine.path("base");
        for folder in ["etc", "tmp", "proc", "dev", "sys", "run"] {
            fs::create_dir_all(base.join(folder)).expect("our own directory");
        }
        fs::set_permissions(base.join("tmp"), fs::Permissions::from_mode(0o1777)).expect("our own directory");
        fs::write(base.join("etc/motd"), "hello\n").expect("our own directory");
        for program in ["sh", "cat", "sleep"] {
            install(&Path::new("/bin").join(program), &base, "bin");
        }
        install(&compiled("opens", Libc::GlibcStatic).path, &base, "bin");
        // The libraries of this build of the command line; the one of dist/ needs none.
        install(glassbox(), &base, "tmp");
        fs::remove_file(base.join("tmp/glassbox")).expect("our own directory");
        engine.import(&base, BASE, &["ENV PATH=/bin"]);

        let pair = engine.path("glassbox");
        install(glassbox(), &pair, "opt/glassbox");
        fs::copy(sensor(), pair.join("opt/glassbox/libglassbox.so")).expect("our own directory");
        engine.import(
            &pair,
            GLASSBOX,
            &[
                "ENTRYPOINT [\"/opt/glassbox/glassbox\", \"collect\"]",
                "ENV GLASSBOX_SOCKET=/opt/glassbox/socket",
                "VOLUME /opt/glassbox",
            ],
        );
        engine
    }

    /// A path in the test's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// podman, with the folders and settings of this engine.
    pub fn podman(&self) -> Command {
        let mut command = Command::new("podman");
        command.args(self.settings()).env_remove("LD_PRELOAD");
        command
    }

    /// The options that stand before podman's command.
    pub fn settings(&self) -> Vec<String> {
        let text = |path: PathBuf| path.display().to_string();
        let mut settings = vec!["--root".to_owned(), text(self.path("storage"))];
        settings.extend(["--runroot".to_owned(), text(self.path("run"))]);
        let fixed =
            "--storage-driver vfs --cgroup-manager cgroupfs --events-backend file --runtime /usr/sbin/runc";
        settings.extend(fixed.split(' ').map(str::to_owned));
        settings
    }

    /// Builds `name` from a Dockerfile's text and the files of a folder.
    pub fn build(&self, dockerfile: &Path, name: &str, options: &[&str]) -> Ending {
        let context = self.path("context");
        fs::create_dir_all(&context).expect("our own directory");
        let mut build = self.podman();
        // Steps run in a changed root: they need neither a network nor another container.
        build.args(["build", "--isolation", "chroot", "--pull=never", "-t", name, "-f"]).arg(dockerfile);
        build.args(options).arg(context);
        child::run(build, b"")
    }

    /// Runs a container of an image to its end.
    pub fn run(&self, options: &[&str], image: &str, words: &[&str]) -> Ending {
        let mut run = self.podman();
        run.args(RUN).arg("--rm").args(options).arg(image).args(words);
        child::run(run, b"")
    }

    fn import(&self, root: &Path, name: &str, changes: &[&str]) {
        let archive = self.path("image.tar");
        let tar = Command::new("tar").arg("-C").arg(root).arg("-cf").arg(&archive).arg(".").status();
        assert!(tar.expect("tar").success(), "tar");
        let mut import = self.podman();
        import.arg("import");
        for change in changes {
            import.arg("--change").arg(change);
        }
        import.arg(&archive).arg(name);
        let ending = child::run(import, b"");
        assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    }
}

impl Drop for Engine {
    /// Containers that a failed test left running would search for their files forever.
    fn drop(&mut self) {
        let mut remove = self.podman();
        remove.args(["rm", "-a", "-f", "-t", "0"]);
        drop(remove.output());
    }
}

/// Copies a program of this machine into a root file system, with its loader and libraries.
///
/// # Panics
/// If it cannot be copied.
pub fn install(program: &Path, root: &Path, folder: &str) {
    let listed = Command::new("ldd").arg(program).output().expect("ldd");
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    for file in text.split_ascii_whitespace().filter(|word| word.starts_with('/')).map(Path::new) {
        let to = root.join(file.strip_prefix("/").expect("absolute"));
        fs::create_dir_all(to.parent().expect("a folder")).expect("our own directory");
        fs::copy(file, to).expect("a library");
    }
    fs::create_dir_all(root.join(folder)).expect("our own directory");
    fs::copy(program, root.join(folder).join(program.file_name().expect("a name"))).expect("a program");
}
