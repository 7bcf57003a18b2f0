//! The place where a runtime finds the attendant of its container, and the turn of a start at its bundle.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::notify::sensor::Sensor;

/// What the names of the folders begin with, and the names of the files in them.
const FOLDER: &str = "glassbox-listener-";
const SOCKET: &str = "socket";
const SENSOR: &str = "sensor";

/// Processes of another container that had this name end within this time.
const LEAVING: Duration = Duration::from_secs(1);
/// Another start of the same bundle has had its `config.json` read within this time.
const TURN: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);

/// A container, as its runtime tells it from others.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'a> {
    /// The folder of the runtime's state (`--root`), where that is given.
    pub state: Option<&'a Path>,
    /// The folder of its bundle, which several containers may share.
    pub bundle: &'a Path,
    /// Its name.
    pub container: &'a OsStr,
}

/// A socket in a folder of this user's alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting(PathBuf);

impl Meeting {
    /// That of a container; its folder is made.
    ///
    /// # Errors
    /// Why there is no such place.
    pub fn new(whose: &Whose<'_>) -> Result<Self, String> {
        let mut why = "no folder for a socket".to_owned();
        for folder in Self::folders(whose) {
            match DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => return Ok(Self(folder)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_private(&folder) => {
                    return Ok(Self(folder));
                }
                Err(error) => why = format!("cannot make the folder '{}' ({error})", folder.display()),
            }
        }
        Err(why)
    }

    /// That of a container which was started with one.
    pub fn found(whose: &Whose<'_>) -> Option<Self> {
        Self::folders(whose).find(|folder| is_private(folder)).map(Self)
    }

    /// Whether a `listenerPath` leads to such a place.
    pub fn is_one(path: &str) -> bool {
        let folder = Path::new(path).parent().and_then(Path::file_name).and_then(|name| name.to_str());
        folder.is_some_and(|name| name.starts_with(FOLDER))
    }

    /// The socket, as `listenerPath` names it.
    pub fn socket(&self) -> PathBuf {
        self.0.join(SOCKET)
    }

    /// Whether an attendant is there.
    pub fn is_attended(&self) -> bool {
        UnixStream::connect(self.socket()).is_ok()
    }

    fn folders(whose: &Whose<'_>) -> impl Iterator<Item = PathBuf> + use<> {
        // The runtime makes the folder of its state with its first container.
        let real = |path: &Path| {
            let mut all = path.ancestors();
            let whole = all
                .find_map(|there| Some(fs::canonicalize(there).ok()?.join(path.strip_prefix(there).ok()?)));
            whole.unwrap_or_else(|| path.to_owned())
        };
        // A runtime's bundle may lie deeper than a socket's name can be long.
        let mut hasher = DefaultHasher::new();
        (whose.state.map(real), real(whose.bundle), whose.container).hash(&mut hasher);
        let user = rustix::process::geteuid().as_raw();
        let name = format!("{FOLDER}{user}-{:016x}", hasher.finish());
        let run = (user == 0).then(|| PathBuf::from("/run"));
        let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
        let all = [run, own, Some(std::env::temp_dir())];
        all.into_iter().flatten().map(move |folder| folder.join(&name))
    }

    /// Listens there; an attendant of a container before that had the same name may be about to leave.
    pub fn listen(&self) -> io::Result<UnixListener> {
        let begun = Instant::now();
        while self.is_attended() {
            if begun.elapsed() > LEAVING {
                return Err(io::Error::from(io::ErrorKind::AddrInUse));
            }
            std::thread::sleep(LOOK);
        }
        let _ = fs::remove_file(self.socket());
        match UnixListener::bind(self.socket()) {
            // The one that left took the folder with it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().mode(0o700).create(&self.0)?;
                UnixListener::bind(self.socket())
            }
            bound => bound,
        }
    }

    /// Notes which sensor the container has, for an attendant that comes later.
    pub fn note(&self, sensor: &Sensor) {
        // Without it, that attendant takes no process for one with hooks: calls are told twice.
        let _ = fs::write(self.0.join(SENSOR), sensor.noted());
    }

    /// The sensor that was noted.
    pub fn noted(&self, path: PathBuf) -> Sensor {
        Sensor::of_note(path, &fs::read_to_string(self.0.join(SENSOR)).unwrap_or_default())
    }

    /// Takes it away.
    pub fn remove(&self) {
        let _ = fs::remove_file(self.socket());
        let _ = fs::remove_file(self.0.join(SENSOR));
        let _ = fs::remove_dir(&self.0);
    }

    /// Takes it away, unless an attendant is there: a container of that name may be about to start.
    pub fn tidy(&self) {
        if !self.is_attended() {
            self.remove();
        }
    }
}

fn is_private(folder: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    fs::symlink_metadata(folder)
        .is_ok_and(|about| about.is_dir() && about.uid() == own && about.mode() & 0o077 == 0)
}

/// The turn of a start at its bundle, from before its `config.json` is changed until the runtime has read it:
/// other starts of the bundle wait for theirs. It ends with the last process that has it.
#[derive(Debug)]
pub struct Turn(Option<File>);

impl Turn {
    /// Waits for it. Where the file system of the bundle has no locks, there is none to wait for.
    ///
    /// # Errors
    /// Another start has not come to its end.
    pub fn take(bundle: &Path) -> Result<Self, String> {
        let Ok(folder) = File::open(bundle) else { return Ok(Self(None)) };
        let begun = Instant::now();
        loop {
            match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::AGAIN) if begun.elapsed() > TURN => {
                    return Err(format!(
                        "another container of the bundle '{}' is being started",
                        bundle.display()
                    ));
                }
                Err(Errno::AGAIN) => std::thread::sleep(LOOK),
                taken => return Ok(Self(taken.ok().map(|()| folder))),
            }
        }
    }

    /// The descriptor that holds it.
    pub fn descriptor(&self) -> Option<&File> {
        self.0.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("glassbox-test-{}-meeting-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn containers_of_one_bundle_meet_their_attendants_apart() {
        let bundle = folder("apart");
        let of = |state: Option<&'static str>, container: &'static str| {
            let whose =
                Whose { state: state.map(Path::new), bundle: &bundle, container: OsStr::new(container) };
            Meeting::folders(&whose).next().unwrap()
        };

        let all = [of(None, "a"), of(None, "b"), of(Some("/run/one"), "a"), of(Some("/run/two"), "a")];

        let mut apart = all.to_vec();
        apart.sort_unstable();
        apart.dedup();
        assert_eq!(all.len(), apart.len(), "{all:?}");
        assert_eq!(all[0], of(None, "a"));
        fs::remove_dir_all(bundle).unwrap();
    }

    #[test]
    fn a_meeting_stays_while_it_is_attended_and_leaves_nothing_else() {
        let bundle = folder("left");
        let whose = Whose { state: None, bundle: &bundle, container: OsStr::new("left") };
        let meeting = Meeting::new(&whose).unwrap();
        meeting.note(&Sensor::of_note("/s".into(), "1 2 3 4"));

        let listener = meeting.listen().unwrap();
        meeting.tidy();
        let while_attended = Meeting::found(&whose);
        drop(listener);
        meeting.tidy();

        assert_eq!((Some(meeting.clone()), None), (while_attended, Meeting::found(&whose)));
        assert!(!meeting.0.exists());
        fs::remove_dir_all(bundle).unwrap();
    }

    #[test]
    fn a_turn_is_waited_for() {
        let bundle = folder("turn");
        let first = Turn::take(&bundle).unwrap();
        let place = bundle.clone();
        let second = std::thread::spawn(move || Turn::take(&place).map(drop));

        std::thread::sleep(LOOK * 5);
        let has_waited = !second.is_finished();
        drop(first);

        assert!(has_waited);
        second.join().unwrap().unwrap();
        fs::remove_dir_all(bundle).unwrap();
    }
}
