//! `glassbox runc`: stands before the real OCI runtime, prepares the container that the runtime is about to
//! start, and becomes the runtime.
//!
//! On `create` and `run` the bundle's `config.json` gets the sensor (see [`bundle`]). On
//! `exec --process FILE` that file gets it, if the container was prepared. Then this process executes the
//! real runtime with the same arguments, so that engines see its pid, its output and its exit status. An
//! error before that is written to the runtime's own log, and the container starts without the sensor, unless
//! `--fail-closed` is given.
//!
//! With `--notify` the runtime's own filter asks about system calls (see [`seccomp`], [`supervised`]), and an
//! [`attendant`] stays beside the container.

mod arguments;
mod attendant;
mod bundle;
mod meeting;
mod options;
mod seccomp;
mod supervised;

#[cfg(fuzzing)]
pub use bundle::fuzz;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use deploy::choice::Choice;
use notify::Level;
use rustix::fs::StatVfsMountFlags;
use serde_json::{Value, json};

pub use arguments::rearranged;
use arguments::{Asked, Call};
use bundle::{Inside, Request};
use meeting::{Meeting, Turn, Whose};
pub use options::Options;
use supervised::Ask;

use crate::launch::Notify;
use crate::launch::command::Program;
use crate::settings;
use crate::settings::keys::{self, Reader};
use crate::settings::layers::Layers;
use crate::shell::failure::{Failure, Status, say};
use crate::shell::files::{self, From, Permissions};
use crate::shell::{environment, sensor_path};
use crate::system::clock::{self, TimeWriter};
use crate::system::places::open_inside;
use crate::system::program;

/// The default socket. An abstract name would not be reachable from a container's network.
const SOCKET: &str = "/run/glassbox/socket";

/// The real runtimes, in order of preference.
const RUNTIMES: [&str; 2] = ["runc", "crun"];

/// Prepares the container, and becomes the real runtime; returns only if that fails.
pub fn become_runtime(given: &Options) -> Result<u8, Failure> {
    let runtime = runtime(given.runtime.as_deref())?;
    let call = Call::read(&given.arguments);
    let is_off = std::env::var_os("GLASSBOX").is_some_and(|value| value == "off");
    let asks = notify_of(given)?;
    let result = if is_off { Ok(()) } else { prepare(given, asks, &call, &runtime) };
    if let Err(Unprepared { failure, lacks }) = result {
        let is_fatal = given.fail_closed || matches!(lacks, Lack::Required | Lack::Listener);
        let is_logged = log(&call, is_fatal, &failure);
        if is_fatal {
            return Err(failure);
        }
        let what = match lacks {
            Lack::Sensor => "the container starts without the sensor",
            _ => "static and Go programs in the container are not seen into",
        };
        if !is_logged {
            say(&format!("{failure}; {what}"));
        }
    }
    let command: Vec<OsString> =
        std::iter::once(runtime.into_os_string()).chain(given.arguments.iter().cloned()).collect();
    let program = Program::new(&command, environment::spell(std::env::vars_os()))?;
    let error = program.become_it();
    Err(program.failure(&error))
}

/// The real runtime: the named one, or the first in `PATH` that is not this executable.
fn runtime(named: Option<&OsStr>) -> Result<PathBuf, Failure> {
    let ourselves = sensor_path::executable().and_then(|path| fs::canonicalize(path).ok());
    let is_other = |path: &PathBuf| path.is_file() && fs::canonicalize(path).ok() != ourselves;
    let search = std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    let find = |name: &OsStr| {
        if name.as_bytes().contains(&b'/') {
            return Some(PathBuf::from(name)).filter(is_other);
        }
        std::env::split_paths(&search).map(|folder| folder.join(name)).find(is_other)
    };
    let found = match named {
        Some(name) => find(name),
        None => RUNTIMES.iter().find_map(|name| find(name.as_ref())),
    };
    found.ok_or_else(|| match named {
        Some(name) => Failure::missing(format!(
            "cannot find the runtime '{}' (other than glassbox itself); give --runtime the path of runc or crun",
            name.display()
        )),
        None => Failure::missing("cannot find runc or crun in PATH; give --runtime the path of one"),
    })
}

/// What a container is without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    Sensor,
    Supervisor,
    /// A supervisor that the user wants it not to start without.
    Required,
    /// The listener of its filter, once it would have been restored.
    Listener,
}

/// Why a container is without something.
struct Unprepared {
    failure: Failure,
    lacks: Lack,
}

impl std::convert::From<Failure> for Unprepared {
    fn from(failure: Failure) -> Self {
        Self { failure, lacks: Lack::Sensor }
    }
}

/// What is asked of the kernel.
fn notify_of(given: &Options) -> Result<Notify, Failure> {
    let layers = Layers::read(Reader::Every, None)?
        .with_flag(&keys::NOTIFY, given.notify.clone())
        .with_flag(&keys::REQUIRE_NOTIFY, given.require_notify.then(|| "on".into()));
    Ok(Notify::of(&layers))
}

fn prepare(given: &Options, asks: Notify, call: &Call, runtime: &Path) -> Result<(), Unprepared> {
    let is_asked = asks.level != Level::Off;
    let whose = |bundle, container| Whose { state: call.state.as_deref(), bundle, container };
    let ask = |bundle, container, inside: &Inside| {
        let (level, sensor, collector) = (asks.level, inside.sensor.clone(), socket(given)?);
        let (whose, is_required) = (whose(bundle, container), asks.is_required);
        Ok::<_, Failure>(Ask { level, whose, sensor, collector, is_required })
    };
    let supervised = match &call.asked {
        Asked::Start { folder, container } => {
            let turn = Turn::take(folder).map_err(|why| {
                let failure = Failure::new(Status::Unavailable, why);
                match is_asked && asks.is_required {
                    true => Unprepared { failure, lacks: Lack::Required },
                    false => failure.into(),
                }
            })?;
            match prepare_bundle(given, folder)? {
                Some((inside, sensor)) if is_asked => {
                    supervised::start(&ask(folder, container, &inside)?, runtime, &sensor, turn)
                }
                _ => Ok(()),
            }
        }
        Asked::Exec { process: None, .. } if !is_asked => Ok(()),
        Asked::Exec { container, process } => {
            let state = State::of(call, runtime, container)?;
            match prepare_exec(&state, process.as_deref())? {
                Some(inside) if is_asked => {
                    supervised::resume(&ask(&state.bundle, container, &inside)?, state.init)
                }
                _ => Ok(()),
            }
        }
        Asked::Checkpoint { container } => {
            match State::of(call, runtime, container) {
                Ok(state) if Meeting::found(&whose(&state.bundle, container)).is_some() => {
                    return Err(unrestorable(container));
                }
                // The runtime says what it thinks of it.
                _ => Ok(()),
            }
        }
        Asked::Other => Ok(()),
    };
    supervised.map_err(|why| {
        let (lacks, remedy) = match asks.is_required {
            true => (Lack::Required, "; leave --require-notify out to start it without"),
            false => (Lack::Supervisor, ""),
        };
        let message =
            format!("cannot have the kernel ask about system calls of the container: {why}{remedy}");
        Unprepared { failure: Failure::new(Status::Unavailable, message), lacks }
    })
}

/// Why a container is not to be checkpointed.
fn unrestorable(container: &OsStr) -> Unprepared {
    let message = format!(
        "cannot checkpoint container '{}': it was started with --notify, and a filter that is restored has no \
         listener, so that its system calls would fail with ENOSYS; start it with --notify off to checkpoint it",
        container.display()
    );
    Unprepared { failure: Failure::new(Status::Unavailable, message), lacks: Lack::Listener }
}

/// Puts the sensor into a bundle, and tells the paths in the container, and the sensor's here; `None` where
/// it wants none.
fn prepare_bundle(given: &Options, folder: &Path) -> Result<Option<(Inside, PathBuf)>, Failure> {
    let mut config = JsonFile::read(&folder.join("config.json"))?;
    config.check_inside(folder)?;
    if seccomp::release(&mut config.value.clone(), Meeting::is_one) {
        // The attendant was killed before it could set the file back.
        config.change(|config| {
            seccomp::release(config, Meeting::is_one);
            Ok(())
        })?;
        config = JsonFile::read(&folder.join("config.json"))?;
    }
    if config.check(|config| bundle::choice(config, given.opt_in))? != Choice::In {
        return Ok(None);
    }
    let root = root(folder, &config.value);
    if is_for_another_machine(&root, &config.value) {
        return Ok(None);
    }
    let sensor = sensor_path::find(settings::sensor()?)?;
    if rustix::fs::statvfs(&sensor).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::NOEXEC)) {
        return Err(Failure::missing(format!(
            "'{}' lies on a file system that is mounted noexec; put the sensor elsewhere and set GLASSBOX_LIB",
            sensor.display()
        )));
    }
    let mut request = Request { sensor, socket: socket(given)?, preload_file: None };
    let inside = config.check(|config| Inside::of(config, &request.socket))?;
    if given.preload_file {
        let file = std::path::absolute(folder.join("glassbox-ld.so.preload")).unwrap_or_default();
        // Every user of the container reads it. A link of this name would lead out of the bundle.
        files::put(&file, &preload_file(&root, &inside.sensor), 0o644)?;
        request.preload_file = Some(file);
    }
    config.change(|config| bundle::prepare(config, &request))?;
    Ok(Some((inside, request.sensor)))
}

/// What the runtime says of a container that it has started.
struct State {
    bundle: PathBuf,
    /// Its first process.
    init: Option<u32>,
}

impl State {
    fn of(call: &Call, runtime: &Path, container: &OsStr) -> Result<Self, Failure> {
        // `state` is the specification's way to learn where the bundle is, without reading the runtime's
        // private files.
        let mut ask = Command::new(runtime);
        ask.args(&call.global).arg("state").arg(container).stdin(Stdio::null()).stderr(Stdio::null());
        let unknown = |why: String| {
            Failure::malformed(format!(
                "cannot learn the bundle of container '{}': {why}",
                container.display()
            ))
        };
        let answer = ask.output().map_err(|error| unknown(error.to_string()))?;
        let state: Value =
            serde_json::from_slice(&answer.stdout).map_err(|error| unknown(error.to_string()))?;
        let bundle = state["bundle"]
            .as_str()
            .ok_or_else(|| unknown("the runtime's 'state' does not name it".into()))?;
        let init = state["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0);
        Ok(Self { bundle: bundle.into(), init })
    }
}

/// Puts the sensor into the description of a further process, where there is one, as the container has it;
/// `None` where that has none.
fn prepare_exec(state: &State, process: Option<&Path>) -> Result<Option<Inside>, Failure> {
    let config = JsonFile::read(&state.bundle.join("config.json"))?;
    let Some(inside) = Inside::found(&config.value) else { return Ok(None) };
    if let Some(process) = process {
        JsonFile::read(process)?.change(|process| bundle::prepare_process(process, &inside))?;
    }
    Ok(Some(inside))
}

/// The collector's socket. Its folder must exist, because it is mounted.
fn socket(given: &Options) -> Result<String, Failure> {
    let layers = Layers::read(Reader::Every, None)?.with_default(&keys::SOCKET, SOCKET);
    let layers = layers.with_flag(&keys::SOCKET, given.socket.clone().map(OsString::from));
    let socket = layers.setting(&keys::SOCKET).text().to_string_lossy().into_owned();
    if socket.starts_with('@') {
        return Ok(socket);
    }
    let path = Path::new(&socket);
    let folder = path.parent().filter(|_| path.is_absolute() && path.file_name().is_some());
    match folder.filter(|folder| folder.is_dir()) {
        Some(folder) if folder != Path::new("/") => Ok(socket),
        _ => Err(Failure::missing(format!(
            "the collector cannot listen at '{socket}': it takes an absolute path in a folder of its own that exists; \
             start 'GLASSBOX_SOCKET={SOCKET} glassbox collect', or give --socket its path"
        ))),
    }
}

/// The container's root file system on the host.
fn root(folder: &Path, config: &Value) -> PathBuf {
    folder.join(config["root"]["path"].as_str().unwrap_or_default())
}

/// Whether the container's program is for another machine: its loader would complain of the sensor at every
/// start.
fn is_for_another_machine(root: &Path, config: &Value) -> bool {
    let Some(name) = config["process"]["args"][0].as_str() else { return false };
    let entries = config["process"]["env"].as_array().map(Vec::as_slice).unwrap_or_default();
    let search = entries.iter().filter_map(Value::as_str).find_map(|entry| entry.strip_prefix("PATH="));
    let mut places = match name.contains('/') {
        true => vec![name.to_owned()],
        false => search.unwrap_or_default().split(':').map(|folder| format!("{folder}/{name}")).collect(),
    };
    let Some(file) = places.drain(..).find_map(|place| open_inside(root, Path::new(&place))) else {
        return false;
    };
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    program::Program::at(&path, &program::Root::at(root))
        .is_some_and(|program| std::ptr::eq(program.reason, &program::FOREIGN_ABI))
}

/// The content of the image's `/etc/ld.so.preload`, and the sensor.
fn preload_file(root: &Path, sensor: &str) -> Vec<u8> {
    let mut text = Vec::new();
    if let Some(file) = open_inside(root, Path::new("etc/ld.so.preload")) {
        // A real file is shorter; the part that is cut off is not preloaded.
        let _ = file.take(64 * 1024).read_to_end(&mut text);
    }
    if !text.is_empty() && !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    text.extend_from_slice(sensor.as_bytes());
    text.push(b'\n');
    text
}

/// A JSON file that is changed as a whole or not at all.
struct JsonFile {
    path: PathBuf,
    value: Value,
}

impl JsonFile {
    fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read(path)
            .map_err(|error| Failure::missing(format!("cannot read '{}': {error}", path.display())))?;
        let value = serde_json::from_slice(&text)
            .map_err(|error| Failure::malformed(format!("'{}' is not JSON: {error}", path.display())))?;
        Ok(Self { path: path.to_owned(), value })
    }

    /// Demands that changing the file changes nothing outside of the bundle.
    fn check_inside(&self, folder: &Path) -> Result<(), Failure> {
        let (file, folder) = (fs::canonicalize(&self.path).ok(), fs::canonicalize(folder).ok());
        if file.zip(folder).is_some_and(|(file, folder)| file.starts_with(folder)) {
            return Ok(());
        }
        Err(Failure::malformed(format!(
            "'{}' is a link that leads out of the bundle; put the file itself there",
            self.path.display()
        )))
    }

    fn check<T>(&self, look: impl FnOnce(&Value) -> Result<T, String>) -> Result<T, Failure> {
        look(&self.value)
            .map_err(|why| Failure::malformed(format!("cannot prepare '{}': {why}", self.path.display())))
    }

    fn change(mut self, change: impl FnOnce(&mut Value) -> Result<(), String>) -> Result<(), Failure> {
        let mut after = self.value.clone();
        self.check(|_| change(&mut after))?;
        if after == self.value {
            return Ok(());
        }
        self.value = after;
        // If it is a link, its target is replaced.
        files::replace(&self.path, self.value.to_string().as_bytes())
    }
}

/// Writes a line to the runtime's log, in runc's format; false if the caller named no log.
fn log(call: &Call, is_fatal: bool, failure: &Failure) -> bool {
    let Some(path) = &call.log else { return false };
    let level = if is_fatal { "error" } else { "warning" };
    let mut writer = TimeWriter::default();
    let time = String::from_utf8_lossy(writer.utc(clock::utc_now_ns())).into_owned();
    let message = format!("glassbox: {failure}");
    let line = match call.is_log_json {
        true => json!({ "level": level, "msg": message, "time": time }).to_string(),
        false => format!("time=\"{time}\" level={level} msg={}", json!(message)),
    };
    let file = files::open(Path::new(path), "the runtime's log", From::End, Permissions::Callers);
    file.is_ok_and(|mut file| file.write_all(format!("{line}\n").as_bytes()).is_ok())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("glassbox-test-{}-runc-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn changed_file_keeps_its_mode_and_leaves_nothing_beside_it() {
        let dir = folder("mode");
        let path = dir.join("config.json");
        fs::write(&path, "{\"a\": 18446744073709551615}").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();

        let change = |value: &mut Value| {
            value["b"] = json!(1);
            Ok(())
        };
        JsonFile::read(&path).unwrap().change(change).unwrap();

        assert_eq!("{\"a\":18446744073709551615,\"b\":1}", fs::read_to_string(&path).unwrap());
        assert_eq!(0o640, fs::metadata(&path).unwrap().permissions().mode() & 0o7777);
        assert_eq!(1, fs::read_dir(&dir).unwrap().count());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_is_no_json_is_malformed_and_what_is_not_there_missing() {
        let dir = folder("malformed");
        fs::write(dir.join("config.json"), "{\"process\": ").unwrap();

        let statuses =
            ["config.json", "none.json"].map(|name| JsonFile::read(&dir.join(name)).err().unwrap().status());

        assert_eq!([65, 66], statuses);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn config_that_lies_elsewhere_is_not_prepared() {
        let dir = folder("elsewhere");
        let bundle = dir.join("bundle");
        fs::create_dir_all(bundle.join("inner")).unwrap();
        for (file, link, is_inside) in [
            ("bundle/inner/file", "inner/file", true),
            ("file", "../file", false),
            ("x", "inner/../../x", false),
        ] {
            fs::write(dir.join(file), "{}").unwrap();
            symlink(link, bundle.join("config.json")).unwrap();
            let config = JsonFile::read(&bundle.join("config.json")).unwrap();

            let words = config.check_inside(&bundle).map_err(|failure| failure.to_string());

            assert_eq!(is_inside, words.is_ok(), "{words:?}");
            assert!(words.err().is_none_or(|words| words.contains("a link that leads out of the bundle")));
            fs::remove_file(bundle.join("config.json")).unwrap();
        }
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn preload_file_of_the_image_is_kept_and_the_hosts_never_read() {
        let dir = folder("preload");
        fs::create_dir(dir.join("etc")).unwrap();
        let file = dir.join("etc/ld.so.preload");
        let text = || String::from_utf8(preload_file(&dir, "/s")).unwrap();

        let without = text();
        fs::write(&file, "/a.so").unwrap();
        let with = text();
        fs::remove_file(&file).unwrap();
        symlink("/etc/passwd", &file).unwrap();
        let linked = text();

        assert_eq!(["/s\n", "/a.so\n/s\n", "/s\n"].map(str::to_owned), [without, with, linked]);
        fs::remove_dir_all(dir).unwrap();
    }
}
