//! The sockets that sensors connect to: a private pair for `run`, the one that `GLASSBOX_SOCKET` names for
//! `collect`.
//!
//! Beside a path, the collector also listens at the abstract name equal to it: a process that changed its
//! root or gave up its rights no longer reaches the path, and one in another network namespace no longer
//! reaches the abstract name. Both are SOCK_SEQPACKET, so that one message is one sensor's hello.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatVfsMountFlags, statat, statvfs, unlinkat};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen,
    recv, send, socket_with,
};
use rustix::process::{geteuid, umask};

use crate::shell::failure::{Failure, Status};
use crate::shell::listeners::Listeners;
use crate::shell::sensor_path;
use crate::system::peers;
use crate::system::places::is_firm;

/// The only message of `glassbox health`, in place of a sensor's hello.
pub const HEALTH_QUESTION: &[u8] = b"glassbox: ready?";
/// The answer of a collector that is ready.
pub const HEALTH_ANSWER: &[u8] = b"ready";

/// The only message of `glassbox top`, in place of a sensor's hello.
pub const WATCH_QUESTION: &[u8] = b"glassbox: watch";
/// The answer of a collector that sends a recording of what follows, in packets.
pub const WATCH_ACCEPTED: &[u8] = b"watch";
/// What the answer of one that does not begins with; the reason follows.
pub const WATCH_REFUSED: &[u8] = b"no: ";

/// The longest name that a Unix socket address holds (`sun_path` less its NUL; unix(7)).
const NAME_MAX_BYTES: usize = 107;

fn not_a_name() -> String {
    format!("cannot be a socket's name; give a path or @name of at most {NAME_MAX_BYTES} bytes")
}

/// A value of `GLASSBOX_SOCKET`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Name {
    /// A socket in the file system.
    Path(PathBuf),
    /// An abstract socket, without the `@`.
    Abstract(Vec<u8>),
}

impl Name {
    /// The socket that a setting names; a failure calls it `shown`.
    pub fn of(value: &OsStr, shown: &dyn fmt::Display) -> Result<Self, Failure> {
        Self::parse(value).ok_or_else(|| Failure::usage(format!("{shown} {}", not_a_name())))
    }

    /// Refuses a text that cannot be a socket's name. The error says what to do.
    pub fn checked(text: &str) -> Result<(), String> {
        Self::parse(OsStr::new(text)).map(drop).ok_or_else(|| format!("'{text}' {}", not_a_name()))
    }

    fn parse(value: &OsStr) -> Option<Self> {
        let bytes = value.as_bytes();
        if bytes.len() > NAME_MAX_BYTES || bytes == b"@" {
            return None;
        }
        Some(match bytes.strip_prefix(b"@") {
            Some(name) => Self::Abstract(name.to_vec()),
            None => Self::Path(PathBuf::from(value)),
        })
    }

    /// The value of `GLASSBOX_SOCKET` that names this socket.
    pub fn spelling(&self) -> OsString {
        match self {
            Self::Path(path) => path.into(),
            Self::Abstract(name) => {
                let mut spelling = b"@".to_vec();
                spelling.extend_from_slice(name);
                OsString::from_vec(spelling)
            }
        }
    }

    fn address(&self) -> io::Result<SocketAddrUnix> {
        Ok(match self {
            Self::Path(path) => SocketAddrUnix::new(path)?,
            Self::Abstract(name) => SocketAddrUnix::new_abstract_name(name)?,
        })
    }

    /// The abstract name that belongs to a path.
    fn twin(&self) -> Option<Self> {
        match self {
            Self::Path(path) => Some(Self::Abstract(path.as_os_str().as_bytes().to_vec())),
            Self::Abstract(_) => None,
        }
    }
}

/// Listening sockets, with the files to remove at their end.
#[derive(Debug)]
pub struct Listening {
    /// The sockets: non-blocking, close-on-exec, listening with the longest backlog the kernel allows.
    pub listeners: Listeners,
    /// The name to reach them by.
    pub name: Name,
    /// The sensor's copy beside the socket.
    pub sensor: Option<PathBuf>,
    /// Removes the files when dropped.
    pub files: Files,
}

/// The files of a listening socket; dropping this removes them.
///
/// Each is known by its folder's descriptor and its own name: a path might lead elsewhere by then, where
/// another user may rename a folder in it, and a privileged collector would remove what that user wants.
#[derive(Debug, Default)]
pub struct Files {
    socket: Option<Entry>,
    sensor: Option<Entry>,
    directory: Option<Entry>,
}

impl Files {
    /// The files of a private socket made by another process of the same run.
    pub fn of_private(socket: PathBuf) -> Self {
        Self {
            directory: socket.parent().and_then(Entry::of),
            sensor: Entry::of(&socket.with_file_name(sensor_path::FILE)),
            socket: Entry::of(&socket),
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // A file that is gone already was removed by the other process of the run, or by the user.
        if let Some(socket) = self.socket.take().filter(Entry::is_socket) {
            let _ = unlinkat(&socket.folder, &socket.name, AtFlags::empty());
        }
        if let Some(sensor) = self.sensor.take().filter(|entry| entry.kind() == Some(FileType::RegularFile)) {
            let _ = unlinkat(&sensor.folder, &sensor.name, AtFlags::empty());
        }
        if let Some(directory) = self.directory.take() {
            let _ = unlinkat(&directory.folder, &directory.name, AtFlags::REMOVEDIR);
        }
    }
}

/// A file or folder, by the folder that it is in.
#[derive(Debug)]
struct Entry {
    folder: OwnedFd,
    name: OsString,
}

impl Entry {
    fn of(path: &Path) -> Option<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(folder, flags, Mode::empty()).ok()?;
        Some(Self { folder, name: path.file_name()?.to_owned() })
    }

    /// The kind of file that is there now, no link followed.
    fn kind(&self) -> Option<FileType> {
        let found = statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some(FileType::from_raw_mode(found.st_mode))
    }

    fn is_socket(&self) -> bool {
        self.kind() == Some(FileType::Socket)
    }

    /// Whether a socket is there that nothing listens at any more.
    fn is_stale(&self) -> bool {
        let folder = Path::new("/proc/self/fd").join(self.folder.as_raw_fd().to_string());
        let path = folder.join(&self.name);
        let refused = |error: io::Error| Errno::from_io_error(&error) == Some(Errno::CONNREFUSED);
        attempt(&Name::Path(path)).err().is_some_and(refused)
    }
}

/// Makes the sockets of one `run`: a path in a fresh directory that any user can traverse, and its twin. A
/// `copy` of the sensor is put beside them.
///
/// The places come in the order in which programs list them least. Where no directory can be written (a
/// read-only root without a temporary one), an abstract name alone is used. So it is where another user could
/// put something else in the directory's place.
pub fn private(copy: Option<&[u8]>) -> io::Result<Listening> {
    let of_variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let own = [of_variable("XDG_RUNTIME_DIR").filter(|_| !geteuid().is_root())].into_iter().flatten();
    let usual = ["/run", "/dev/shm", "/var/tmp", "/tmp"].map(PathBuf::from);
    let parents: Vec<PathBuf> =
        own.chain(usual).chain(of_variable("TMPDIR")).filter(|parent| is_firm(parent)).collect();
    // Better a place for the socket alone than none.
    let with_copy = parents.iter().filter(|_| copy.is_some()).map(|parent| (parent, copy));
    for (parent, copy) in with_copy.chain(parents.iter().map(|parent| (parent, None))) {
        if let Ok(listening) = private_in(parent, copy) {
            return Ok(listening);
        }
    }
    let name = Name::Abstract(format!("glassbox-{}", random()?).into_bytes());
    Ok(Listening { listeners: vec![listen_at(&name)?].into(), name, sensor: None, files: Files::default() })
}

fn private_in(parent: &Path, copy: Option<&[u8]>) -> io::Result<Listening> {
    if !parent.is_absolute() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let directory = parent.join(format!("glassbox-{}", random()?));
    let socket = directory.join(wire::hello::NEAR);
    unmasked(|| fs::DirBuilder::new().mode(0o711).create(&directory))?;
    let mut files = Files { socket: Entry::of(&socket), sensor: None, directory: Entry::of(&directory) };
    let sensor = copy.map(|bytes| put_sensor(&directory, bytes, &mut files)).transpose()?;
    let name = Name::Path(socket);
    let mut listeners = vec![listen_at(&name)?];
    // An abstract name may be refused (a sandbox's Landlock scope); the path alone serves then.
    listeners.extend(name.twin().and_then(|twin| listen_at(&twin).ok()));
    Ok(Listening { listeners: listeners.into(), name, sensor, files })
}

/// Puts a copy of the sensor into a directory of this run. Fails where nothing may be executed from there
/// (mount(8), `noexec`), which the loader's mmap(2) would be refused.
fn put_sensor(directory: &Path, bytes: &[u8], files: &mut Files) -> io::Result<PathBuf> {
    if statvfs(directory)?.f_flag.contains(StatVfsMountFlags::NOEXEC) {
        return Err(Errno::ACCESS.into());
    }
    let path = directory.join(sensor_path::FILE);
    files.sensor = Entry::of(&path);
    let mut file = unmasked(|| fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(&path))?;
    file.write_all(bytes)?;
    Ok(path)
}

/// Makes a file with the mode as given. To change it afterwards would take a path, and follow what another
/// user may have put there by then; fchmod(2) of a socket does not reach its file.
///
/// The mask is the whole process's: a file that another thread makes meanwhile has no mask either.
fn unmasked<T>(make: impl FnOnce() -> T) -> T {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock();
    let mask = umask(Mode::empty());
    let made = make();
    umask(mask);
    made
}

fn random() -> io::Result<String> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}

/// Listens at `name`; refuses (73) if a live collector does already, and replaces the socket that a dead one
/// left.
pub fn shared(name: &Name) -> Result<Listening, Failure> {
    // The twin first: the kernel frees an abstract name with its holder, so holding it proves that no other
    // collector (of this network namespace) is between looking and binding.
    let twin = name.twin().map(|twin| listen_at(&twin)).transpose().or_else(|error| {
        match Errno::from_io_error(&error) {
            Some(Errno::ADDRINUSE) => Err(taken(name)),
            _ => Ok(None),
        }
    })?;
    let mut files = Files::default();
    if let Name::Path(path) = name {
        clear_stale(name, path)?;
    }
    let listener = listen_at(name).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::ADDRINUSE) => taken(name),
        _ => Failure::output(format!(
            "cannot listen at '{}': {error}; set GLASSBOX_SOCKET to a path in a writable directory or to @name",
            name.spelling().display()
        )),
    })?;
    if let Name::Path(path) = name {
        files.socket = Entry::of(path);
    }
    let mut listeners = vec![listener];
    listeners.extend(twin);
    Ok(Listening { listeners: listeners.into(), name: name.clone(), sensor: None, files })
}

fn taken(name: &Name) -> Failure {
    Failure::output(format!(
        "cannot listen at '{0}': another collector holds it; end that one, or set GLASSBOX_SOCKET to another name \
         here and for the programs",
        name.spelling().display()
    ))
}

/// Removes the socket file of a collector that is gone.
fn clear_stale(name: &Name, path: &Path) -> Result<(), Failure> {
    let Some((entry, kind)) = Entry::of(path).and_then(|entry| entry.kind().map(|kind| (entry, kind))) else {
        return Ok(());
    };
    if kind != FileType::Socket {
        return Err(Failure::output(format!(
            "cannot listen at '{}': it exists and is not a socket; remove it, or set GLASSBOX_SOCKET to another path",
            path.display()
        )));
    }
    if entry.is_stale() {
        // A failure shows up as EADDRINUSE in the bind that follows, with its own message.
        let _ = unlinkat(&entry.folder, &entry.name, AtFlags::empty());
        Ok(())
    } else {
        Err(taken(name))
    }
}

fn listen_at(name: &Name) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    // Any user's process may attach; connecting asks for write permission (unix(7)).
    unmasked(|| bind(&socket, &name.address()?).map_err(io::Error::from))?;
    // Before anyone can connect: of a message without its sender's credentials everything is a claim.
    peers::ask_for_senders(&socket);
    // The kernel cuts this down to net.core.somaxconn.
    listen(&socket, i32::MAX)?;
    Ok(socket)
}

/// A connection, if that can be had at once.
pub fn attempt(name: &Name) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    connect(&socket, &name.address()?)?;
    Ok(socket)
}

/// Asks the collector at `name` whether it is ready; waits at most for [`HEALTH_PATIENCE`].
pub fn ask_health(name: &Name) -> Result<(), Failure> {
    let failed = |what: &str| {
        Failure::new(
            Status::NotReady,
            format!(
                "no collector is ready at '{}': {what}; start 'glassbox collect', or set GLASSBOX_SOCKET to where it \
                 listens",
                name.spelling().display()
            ),
        )
    };
    let begun = Instant::now();
    loop {
        let answer = ask_once(name);
        let is_early = begun.elapsed() < HEALTH_PATIENCE;
        match answer.as_deref() {
            Ok(HEALTH_ANSWER) => return Ok(()),
            // A flood of connections leaves no place in the queue, or takes that of one that waits for its
            // answer.
            Ok([]) | Err(&Errno::AGAIN) if is_early => std::thread::sleep(HEALTH_PAUSE),
            Ok([]) => return Err(failed("it does not answer")),
            Ok(answer) => return Err(failed(&format!("it says '{}'", String::from_utf8_lossy(answer)))),
            Err(error) => return Err(failed(&error.to_string())),
        }
    }
}

/// How long `glassbox health` goes on asking, and the pause before it asks once more.
const HEALTH_PATIENCE: Duration = Duration::from_secs(2);
const HEALTH_PAUSE: Duration = Duration::from_micros(200);

/// The answer of a collector; an empty one where it hung up, or none came within a second.
fn ask_once(name: &Name) -> Result<Vec<u8>, Errno> {
    let error = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let socket = attempt(name).map_err(error)?;
    match send(&socket, HEALTH_QUESTION, SendFlags::NOSIGNAL) {
        Err(Errno::PIPE | Errno::CONNRESET) => return Ok(Vec::new()),
        sent => sent?,
    };
    let mut answer = vec![0; 256];
    let mut polled = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)];
    if poll(&mut polled, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })) == Ok(0) {
        return Ok(Vec::new());
    }
    match recv(&socket, &mut answer, RecvFlags::DONTWAIT) {
        Ok((length, _)) => answer.truncate(length),
        Err(Errno::CONNRESET) => answer.clear(),
        Err(error) => return Err(error),
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn fresh(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("glassbox-test-{}-{name}", std::process::id()))
    }

    #[test]
    fn at_sign_names_an_abstract_socket() {
        assert_eq!(Name::Abstract(b"x".to_vec()), Name::parse(OsStr::new("@x")).unwrap());
        assert_eq!(Name::Path("/x".into()), Name::parse(OsStr::new("/x")).unwrap());
        assert_eq!(OsString::from("@x"), Name::Abstract(b"x".to_vec()).spelling());
    }

    #[test]
    fn name_that_fits_no_address_is_wrong_usage() {
        assert_eq!(None, Name::parse(OsStr::new(&"x".repeat(108))));
        assert_eq!(None, Name::parse(OsStr::new("@")));
    }

    #[test]
    fn kernel_names_the_sender_of_a_message_however_soon_it_comes() {
        let path = fresh("soon");
        let name = Name::Path(path.clone());
        let listening = shared(&name).unwrap();
        let listener = listening.listeners.first().unwrap();
        let guest = attempt(&name).unwrap();

        // Both before and after the connection is taken.
        let sent = |taken: Option<OwnedFd>| {
            send(&guest, b"x", SendFlags::empty()).unwrap();
            let taken = taken.unwrap_or_else(|| rustix::net::accept(listener).unwrap());
            (peers::receive(&taken, &mut [0; 8]).unwrap().sender.pid, taken)
        };
        let (first, taken) = sent(None);
        let (second, _) = sent(Some(taken));

        assert_eq!([std::process::id(); 2], [first, second]);
    }

    #[test]
    fn private_socket_is_open_to_every_user_and_leaves_nothing_behind() {
        let listening = private(Some(b"sensor")).unwrap();
        let Name::Path(socket) = listening.name.clone() else { panic!("no directory") };
        let directory = socket.parent().unwrap().to_path_buf();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;

        let copy = listening.sensor.clone().unwrap();
        let modes = (mode(&directory), mode(&socket), mode(&copy));
        let copied = fs::read(&copy).unwrap();
        let reached = [attempt(&listening.name).is_ok(), attempt(&listening.name.twin().unwrap()).is_ok()];
        drop(listening);

        assert_eq!((0o711, 0o777, 0o755), modes);
        assert_eq!(b"sensor", copied.as_slice());
        assert_eq!([true, true], reached);
        assert!(!directory.exists());
    }

    #[test]
    fn live_collectors_socket_is_refused_and_a_dead_ones_replaced() {
        let name = Name::Path(fresh("shared"));

        let mut first = shared(&name).unwrap();
        let while_live = shared(&name).unwrap_err();
        first.files.socket = None;
        drop(first.listeners.into_sockets());
        let after_death = shared(&name);

        assert_eq!(73, while_live.status());
        assert!(after_death.is_ok());
    }

    #[test]
    fn end_removes_what_was_made_and_not_what_the_path_leads_to_by_then() {
        let (folder, moved) = (fresh("folder"), fresh("moved"));
        let (socket, other) = (folder.join("socket"), moved.join("other"));
        fs::create_dir(&folder).unwrap();
        fs::create_dir(&moved).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("socket"), "precious").unwrap();
        let listening = shared(&Name::Path(socket)).unwrap();

        fs::rename(&folder, moved.join("folder")).unwrap();
        symlink(&other, &folder).unwrap();
        drop(listening);

        assert_eq!("precious", fs::read_to_string(other.join("socket")).unwrap());
        assert!(!moved.join("folder/socket").exists());
        fs::remove_file(folder).unwrap();
        fs::remove_dir_all(moved).unwrap();
    }

    #[test]
    fn file_that_is_no_socket_is_left_alone() {
        let path = fresh("file");
        fs::write(&path, "precious").unwrap();

        let failure = shared(&Name::Path(path.clone())).unwrap_err();

        assert_eq!(73, failure.status());
        assert_eq!("precious", fs::read_to_string(&path).unwrap());
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn taken_abstract_name_is_refused() {
        let name = Name::Abstract(format!("glassbox-test-{}", std::process::id()).into_bytes());

        let _first = shared(&name).unwrap();

        assert_eq!(73, shared(&name).unwrap_err().status());
    }
}
