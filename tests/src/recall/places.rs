//! The places where programs are measured: in the collector's namespaces, in namespaces below them, and in a
//! container. The collector and strace are outside always.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::artefacts::{glassbox, sensor, target};
use crate::child::{self, Running, wait_until};
use crate::events::Expect;
use crate::{Scene, rootfs};

/// A place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The collector's namespaces.
    Beside,
    /// User, pid, mount and time namespaces below: users have other numbers outside, and the monotonic clock
    /// is another one.
    Below,
    /// A container that `glassbox runc` starts, with the host's network.
    Runc,
}

/// Every place: its name, and what it is.
pub const PLACES: [(Place, &str, &str); 3] = [
    (Place::Beside, "beside", "in the collector's namespaces"),
    (Place::Below, "below", "in user, pid, mount and time namespaces below the collector's"),
    (Place::Runc, "runc", "in a container of runc, with the collector outside"),
];

/// The command that runs a program at a place.
pub(super) struct Prepared {
    /// The command's words.
    pub words: Vec<OsString>,
    /// The variables that put the sensor into it.
    pub preloaded: Vec<(&'static str, PathBuf)>,
    /// A process that keeps the user namespace.
    _keeper: Option<Running>,
}

/// User 0 of the namespace below, outside; and how many users it has.
const FIRST_USER: u32 = 100_000;
const USERS: u32 = 65_536;

impl Place {
    /// The folder of a program's records.
    pub(super) fn folder(self, program: &str) -> String {
        match self {
            Place::Beside => program.to_owned(),
            Place::Below => format!("{program}-below"),
            Place::Runc => format!("{program}-runc"),
        }
    }

    /// The losses that its events may have.
    pub(super) fn expect(self) -> Expect {
        match self {
            Place::Beside => Expect::NothingLost,
            Place::Below | Place::Runc => Expect::NothingLostBelow,
        }
    }

    /// Prepares a program's run.
    ///
    /// # Panics
    /// If this machine or user cannot make the place.
    pub(super) fn prepare(
        self,
        scene: &Scene,
        socket: &Path,
        words: &[OsString],
        environment: &[(&str, OsString)],
    ) -> Prepared {
        let sensed =
            || vec![("LD_PRELOAD", sensor().to_path_buf()), ("GLASSBOX_SOCKET", socket.to_path_buf())];
        match self {
            Place::Beside => Prepared { words: words.to_vec(), preloaded: sensed(), _keeper: None },
            Place::Below => {
                let keeper = user_namespace();
                for owned in [scene.work(), scene.work().join("open-to-all")] {
                    chown(owned, Some(FIRST_USER), Some(FIRST_USER)).expect("root may");
                }
                let enter = format!("nsenter --user=/proc/{}/ns/user", keeper.pid());
                let make =
                    "unshare --pid --fork --mount --mount-proc --time --monotonic 5000 --boottime 7000";
                let made = enter.split(' ').chain(make.split(' ')).map(OsString::from);
                let words = made.chain(words.iter().cloned()).collect();
                Prepared { words, preloaded: sensed(), _keeper: Some(keeper) }
            }
            Place::Runc => {
                let tool = bundle(scene, words, environment);
                let name = format!("gbx-recall-{}", scene.work().display()).replace('/', "-");
                let state = scene.beside("state");
                let run: Vec<OsString> = vec!["--root".into(), state.into(), "run".into(), "-b".into()];
                let run = run.into_iter().chain([scene.beside("bundle").into(), name.into()]);
                // The real runtime is an administrator's.
                let found: [OsString; 3] =
                    ["env".into(), "PATH=/usr/sbin:/usr/bin:/sbin:/bin".into(), tool.into()];
                let words = found.into_iter().chain(run).collect();
                Prepared { words, preloaded: Vec::new(), _keeper: None }
            }
        }
    }
}

/// A process in a user namespace of its own, whose users are others outside.
fn user_namespace() -> Running {
    let mut command = Command::new("unshare");
    command.args(["--user", "sleep", "600"]);
    let keeper = child::start(command, b"");
    let of = |process: String| fs::read_link(format!("/proc/{process}/ns/user"));
    let own = of("self".to_owned()).expect("/proc");
    wait_until("the user namespace", || of(keeper.pid().to_string()).is_ok_and(|namespace| namespace != own));
    for map in ["uid_map", "gid_map"] {
        let path = format!("/proc/{}/{map}", keeper.pid());
        fs::write(path, format!("0 {FIRST_USER} {USERS}")).expect("root may map users");
    }
    keeper
}

/// Makes a container's bundle beside the scene's working directory: this machine's programs, read-only, and
/// that directory. Gives the runtime.
fn bundle(scene: &Scene, words: &[OsString], environment: &[(&str, OsString)]) -> PathBuf {
    let root = scene.beside("bundle/rootfs");
    for folder in ["proc", "dev", "sys", "tmp", "run", "usr", "etc", "var", "opt"] {
        fs::create_dir_all(root.join(folder)).expect("our own directory");
    }
    // Where /bin is /usr/bin, it is here too.
    let mut shared = vec![PathBuf::from("/usr"), "/etc".into(), "/var".into(), "/opt".into(), target()];
    for folder in ["bin", "sbin", "lib", "lib64"] {
        let here = Path::new("/").join(folder);
        match fs::read_link(&here) {
            Ok(to) => symlink(to, root.join(folder)).expect("our own directory"),
            Err(_) => shared.push(here),
        }
    }
    let bind = |path: &Path, option: &str| json!({"destination": path, "source": path, "type": "bind", "options": ["rbind", option]});
    let fresh = |at: &str, kind: &str, options: &[&str]| json!({"destination": at, "source": kind, "type": kind, "options": options});
    let mut mounts = vec![
        fresh("/proc", "proc", &[]),
        fresh("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755"]),
        fresh("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
        fresh("/dev/shm", "tmpfs", &["nosuid", "nodev", "mode=1777"]),
        fresh("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        fresh("/tmp", "tmpfs", &["mode=1777"]),
        fresh("/run", "tmpfs", &["mode=755"]),
    ];
    mounts.extend(shared.iter().filter(|path| path.exists()).map(|path| bind(path, "ro")));
    mounts.push(bind(&scene.work(), "rw"));
    let capabilities: Vec<String> =
        "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL"
            .split(' ')
            .map(|name| format!("CAP_{name}"))
            .collect();
    let text = |words: &OsString| words.to_string_lossy().into_owned();
    let variables = environment.iter().map(|(name, value)| format!("{name}={}", text(value)));
    let config = json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": words.iter().map(text).collect::<Vec<_>>(),
            "env": variables.collect::<Vec<_>>(),
            "cwd": scene.work(),
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities
            },
            "noNewPrivileges": false,
        },
        "root": {"path": "rootfs", "readonly": false},
        "hostname": "recall",
        "mounts": mounts,
        "linux": {"namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}]},
    });
    fs::write(scene.beside("bundle/config.json"), config.to_string()).expect("our own file");
    // The name makes it the runtime.
    let pair = scene.beside("pair");
    fs::create_dir(&pair).expect("our own directory");
    rootfs::copy(glassbox(), &pair.join("glassbox-runc"));
    rootfs::copy(sensor(), &pair.join("libglassbox.so"));
    pair.join("glassbox-runc")
}
