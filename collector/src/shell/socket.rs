//! The sockets that sensors connect to: a private pair for `run`, the one that `GLASSBOX_SOCKET` names for
//! `collect`.
//!
//! Beside a path, the collector also listens at the abstract name equal to it: a process that changed its
//! root or gave up its rights no longer reaches the path, and one in another network namespace no longer
//! reaches the abstract name. Both are SOCK_SEQPACKET, so that one message is one sensor's hello.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen,
    recv, send, socket_with,
};

use crate::settings::keys::Setting;
use crate::shell::failure::{Failure, Status};

/// The only message of `glassbox health`, in place of a sensor's hello.
pub const HEALTH_QUESTION: &[u8] = b"glassbox: ready?";
/// The answer of a collector that is ready.
pub const HEALTH_ANSWER: &[u8] = b"ready";

/// The longest name that a Unix socket address holds (`sun_path` less its NUL; unix(7)).
const NAME_MAX_BYTES: usize = 107;

/// A value of `GLASSBOX_SOCKET`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Name {
    /// A socket in the file system.
    Path(PathBuf),
    /// An abstract socket, without the `@`.
    Abstract(Vec<u8>),
}

impl Name {
    /// The socket that a setting names.
    pub fn of(setting: &Setting) -> Result<Self, Failure> {
        Self::parse(setting.text()).ok_or_else(|| {
            Failure::usage(format!(
                "{setting} cannot be a socket's name; give a path or @name of at most {NAME_MAX_BYTES} bytes"
            ))
        })
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
    pub listeners: Vec<OwnedFd>,
    /// The name to reach them by.
    pub name: Name,
    /// Removes the files when dropped.
    pub files: Files,
}

/// The files of a listening socket; dropping this removes them.
#[derive(Debug, Default)]
pub struct Files {
    socket: Option<PathBuf>,
    directory: Option<PathBuf>,
}

impl Files {
    /// The files of a private socket made by another process of the same run.
    pub fn of_private(socket: PathBuf) -> Self {
        let directory = socket.parent().map(Path::to_path_buf);
        Self { socket: Some(socket), directory }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // A file that is gone already was removed by the other process of the run, or by the user.
        if let Some(socket) = self.socket.take() {
            let _ = fs::remove_file(socket);
        }
        if let Some(directory) = self.directory.take() {
            let _ = fs::remove_dir(directory);
        }
    }
}

/// Makes the sockets of one `run`: a path in a fresh directory that any user can traverse, and its twin.
///
/// Where no directory can be written (a read-only root without a temporary one), an abstract name alone is
/// used.
pub fn private() -> io::Result<Listening> {
    let temporary = std::env::var_os("TMPDIR").map(PathBuf::from);
    let usual = ["/tmp", "/dev/shm", "/run", "/var/tmp"].map(PathBuf::from);
    for parent in temporary.into_iter().chain(usual) {
        if let Ok(listening) = private_in(&parent) {
            return Ok(listening);
        }
    }
    let name = Name::Abstract(format!("glassbox-{}", random()?).into_bytes());
    Ok(Listening { listeners: vec![listen_at(&name)?], name, files: Files::default() })
}

fn private_in(parent: &Path) -> io::Result<Listening> {
    if !parent.is_absolute() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let directory = parent.join(format!("glassbox-{}", random()?));
    let socket = directory.join(wire::hello::NEAR);
    fs::DirBuilder::new().mode(0o711).create(&directory)?;
    let files = Files { socket: Some(socket.clone()), directory: Some(directory.clone()) };
    // Again, because mkdir(2) applies the umask.
    fs::set_permissions(&directory, Permissions::from_mode(0o711))?;
    let name = Name::Path(socket);
    let mut listeners = vec![listen_at(&name)?];
    // An abstract name may be refused (a sandbox's Landlock scope); the path alone serves then.
    listeners.extend(name.twin().and_then(|twin| listen_at(&twin).ok()));
    Ok(Listening { listeners, name, files })
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
        files.socket = Some(path.clone());
    }
    let mut listeners = vec![listener];
    listeners.extend(twin);
    Ok(Listening { listeners, name: name.clone(), files })
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
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(Failure::output(format!(
            "cannot listen at '{}': it exists and is not a socket; remove it, or set GLASSBOX_SOCKET to another path",
            path.display()
        )));
    }
    match attempt(name) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::CONNREFUSED) => {
            // A failure shows up as EADDRINUSE in the bind that follows, with its own message.
            let _ = fs::remove_file(path);
            Ok(())
        }
        _ => Err(taken(name)),
    }
}

fn listen_at(name: &Name) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    bind(&socket, &name.address()?)?;
    if let Name::Path(path) = name {
        // Any user's process may attach; connecting asks for write permission (unix(7)). On the path, since
        // fchmod(2) of a socket does not reach the file.
        fs::set_permissions(path, Permissions::from_mode(0o777))?;
    }
    // The kernel cuts this down to net.core.somaxconn.
    listen(&socket, i32::MAX)?;
    Ok(socket)
}

fn attempt(name: &Name) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    connect(&socket, &name.address()?)?;
    Ok(socket)
}

/// Asks the collector at `name` whether it is ready; waits at most a second for the answer.
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
    let socket = attempt(name).map_err(|error| failed(&error.to_string()))?;
    send(&socket, HEALTH_QUESTION, SendFlags::NOSIGNAL).map_err(|error| failed(&error.to_string()))?;
    let mut answer = [0; 16];
    let mut polled = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)];
    if poll(&mut polled, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })) == Ok(0) {
        return Err(failed("it does not answer"));
    }
    match recv(&socket, &mut answer, RecvFlags::DONTWAIT) {
        Ok((length, _)) if answer.get(..length) == Some(HEALTH_ANSWER) => Ok(()),
        Ok(_) => Err(failed("something else listens there")),
        Err(error) => Err(failed(&error.to_string())),
    }
}

#[cfg(test)]
mod tests {
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
    fn private_socket_is_open_to_every_user_and_leaves_nothing_behind() {
        let listening = private().unwrap();
        let Name::Path(socket) = listening.name.clone() else { panic!("no directory") };
        let directory = socket.parent().unwrap().to_path_buf();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;

        let modes = (mode(&directory), mode(&socket));
        let reached = [attempt(&listening.name).is_ok(), attempt(&listening.name.twin().unwrap()).is_ok()];
        drop(listening);

        assert_eq!((0o711, 0o777), modes);
        assert_eq!([true, true], reached);
        assert!(!directory.exists());
    }

    #[test]
    fn live_collectors_socket_is_refused_and_a_dead_ones_replaced() {
        let name = Name::Path(fresh("shared"));

        let mut first = shared(&name).unwrap();
        let while_live = shared(&name).unwrap_err();
        first.files.socket = None;
        drop(first);
        let after_death = shared(&name);

        assert_eq!(73, while_live.status());
        assert!(after_death.is_ok());
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
