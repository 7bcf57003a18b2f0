//! Payloads of records by hand: the fields of docs/events.md, encoded as docs/wire-format.md says.

pub const START: u16 = 1;
pub const EXEC: u16 = 2;
pub const FORK: u16 = 3;
pub const SIGNAL: u16 = 5;
pub const CREDENTIALS: u16 = 6;
pub const OPEN: u16 = 20;
pub const RENAME: u16 = 29;
pub const SOCKET: u16 = 40;
pub const BIND: u16 = 41;
pub const DNS: u16 = 50;
pub const FD_CLOSED: u16 = 200;
pub const FD_RANGE: u16 = 202;
pub const CHANGE_DIRECTORY: u16 = 203;
pub const CHILD_STATUS: u16 = 205;
pub const FD_MADE: u16 = 206;

/// `AT_FDCWD`.
pub const HERE: i32 = -100;

/// Bytes of a payload, as they grow.
#[derive(Default)]
pub struct Payload(pub Vec<u8>);

impl Payload {
    pub fn byte(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub fn half(mut self, value: i64) -> Self {
        self.0.extend((value as u32).to_le_bytes());
        self
    }

    pub fn word(mut self, value: u64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn bytes(self, bytes: &[u8]) -> Self {
        let mut longer = self.word(bytes.len() as u64);
        longer.0.extend(bytes);
        longer
    }

    pub fn path(self, directory: i32, path: &[u8]) -> Self {
        self.half(directory.into()).byte(1).bytes(path)
    }
}

/// An open of a path relative to a descriptor, which gave `fd`.
pub fn open_at(directory: i32, path: &[u8], fd: Option<i32>) -> Vec<u8> {
    let begun = Payload::default().path(directory, path);
    let with_fd = match fd {
        Some(fd) => begun.byte(1).half(fd.into()),
        None => begun.byte(0),
    };
    with_fd.half(0).byte(0).byte(0).0
}

/// A file got another name.
pub fn rename(old: &[u8], new: &[u8]) -> Vec<u8> {
    Payload::default().path(HERE, old).path(HERE, new).byte(0).0
}

/// An open.
pub fn open(path: &[u8], fd: i32) -> Vec<u8> {
    open_at(HERE, path, Some(fd))
}

/// An image begins.
pub struct Start<'a> {
    /// The path that was executed.
    pub exe: &'a [u8],
    /// Whether the sensor says itself what is running; else the collector is to find out.
    pub says_image: bool,
    pub arguments: &'a [u8],
    pub cwd: &'a [u8],
    pub uid: u32,
    pub parent: u32,
}

impl Start<'_> {
    pub fn encoded(&self) -> Vec<u8> {
        let begun = Payload::default().path(HERE, self.exe).bytes(self.arguments).bytes(self.cwd);
        let uid = i64::from(self.uid);
        let image = if self.says_image { self.exe } else { b"" };
        begun
            .half(uid)
            .half(uid)
            .bytes(b"")
            .bytes(image)
            .half(uid)
            .half(uid)
            .half(self.parent.into())
            .byte(0)
            .0
    }
}

/// An exec is asked for.
pub fn exec(path: &[u8]) -> Vec<u8> {
    Payload::default().path(HERE, path).bytes(b"INTRUDER\0").byte(0).bytes(b"").byte(0).0
}

/// A process was made.
pub fn fork(child: u32) -> Vec<u8> {
    Payload::default().byte(1).half(child.into()).word(0).0
}

/// A wait gave the status of a child.
pub fn child_status(child: u32, status: i32) -> Vec<u8> {
    Payload::default().half(child.into()).half(status.into()).byte(0).0
}

/// The directory changed.
pub fn change_directory(path: &[u8]) -> Vec<u8> {
    Payload::default().path(HERE, path).0
}

/// setresuid to one number, which the process has after it.
pub fn credentials(uid: u32) -> Vec<u8> {
    let number = format!("{uid}\0");
    let begun = Payload::default().bytes(b"uid").bytes(number.as_bytes());
    begun.byte(1).half(uid.into()).byte(1).half(uid.into()).0
}

/// A signal was sent by a descriptor.
pub fn signal(pidfd: i32) -> Vec<u8> {
    Payload::default().half(0).half(15).byte(1).half(pidfd.into()).0
}

/// A name was resolved to one IPv4 address.
pub fn resolved(host: &[u8], address: u32) -> Vec<u8> {
    let [a, b, c, d] = address.to_be_bytes();
    Payload::default().byte(1).bytes(host).bytes(&[4, a, b, c, d]).word(0).0
}

/// A Unix socket was made.
pub fn socket(fd: i32) -> Vec<u8> {
    Payload::default().byte(1).half(fd.into()).half(1).half(1).half(0).0
}

/// A socket was bound to a Unix socket's path, of any length.
pub fn bind(fd: i32, path: &[u8]) -> Vec<u8> {
    let address = [&1_u16.to_le_bytes(), path].concat();
    Payload::default().half(fd.into()).bytes(&address).0
}

/// A descriptor that no call reports.
pub fn made(fd: i32, label: &[u8]) -> Vec<u8> {
    Payload::default().half(fd.into()).bytes(label).byte(0).bytes(b"").bytes(b"").0
}

/// A descriptor was closed.
pub fn closed(fd: i32) -> Vec<u8> {
    Payload::default().half(fd.into()).byte(0).0
}

/// A range of descriptors was marked to close at exec, or not marked.
pub fn range(first: u32, last: u32, cloexec: bool) -> Vec<u8> {
    Payload::default().half(first.into()).half(last.into()).byte(cloexec.into()).0
}
