//! Writes captures that Debian's `sysdig` reads: the reference engine judges the events of ours.
//!
//! A capture is a row of blocks, each with its type, its length in front and behind, and four-byte alignment
//! (libscap's `scap_savefile.h`, format 1.2): the section's header, the machine, processes, users, and then
//! the events, which `translate` makes of the events of a recording.

mod translate;

pub use translate::capture;

/// A capture in the making.
#[derive(Debug)]
pub struct Capture {
    bytes: Vec<u8>,
}

/// A process that was there before the first event.
#[derive(Debug)]
pub struct Process<'a> {
    /// Its number.
    pub pid: i64,
    /// The number of its parent.
    pub ppid: i64,
    /// Its name and its image, before it executes another.
    pub name: &'a str,
    /// Its current directory.
    pub cwd: &'a str,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its control groups, each as `NAME=PATH` and a zero.
    pub groups: &'a [u8],
}

/// The parameters of an event, each as its bytes.
#[derive(Debug, Default)]
pub struct Parameters(Vec<Vec<u8>>);

const SECTION: u32 = 0x0A0D_0D0A;
const MACHINE: u32 = 0x201;
const PROCESSES: u32 = 0x215;
const EVENT: u32 = 0x216;
const INTERFACES: u32 = 0x219;
const USERS: u32 = 0x220;

impl Capture {
    /// A capture of one machine that knows the user root.
    pub fn new() -> Capture {
        let mut capture = Capture { bytes: Vec::new() };
        let mut section = Vec::new();
        section.extend(0x1A2B_3C4D_u32.to_le_bytes());
        section.extend([1, 0, 2, 0]);
        section.extend(u64::MAX.to_le_bytes());
        capture.block(SECTION, &section);

        let mut machine = Vec::new();
        machine.extend(2_u32.to_le_bytes());
        machine.extend((1_u64 << 34).to_le_bytes());
        machine.extend(32_768_u64.to_le_bytes());
        machine.extend([&b"recorded"[..], &[0; 120 + 32]].concat());
        capture.block(MACHINE, &machine);

        // The loopback: type, length of the name, address, mask, broadcast, speed, name.
        let four = [&[1, 0, 2, 0, 127, 0, 0, 1, 255, 0, 0, 0][..], &[0; 12], b"lo"].concat();
        let six = [&[2, 0, 2, 0][..], &[0; 15], &[1], &[255; 16], &[0; 24], b"lo"].concat();
        capture.block(INTERFACES, &[lengthened(&four), lengthened(&six)].concat());

        let mut user = [&[0][..], &[0; 8]].concat();
        for text in ["root", "/root", "/bin/sh"] {
            counted(&mut user, text.as_bytes());
        }
        let mut group = [&[1][..], &[0; 4]].concat();
        counted(&mut group, b"root");
        capture.block(USERS, &[measured(&user), measured(&group)].concat());
        capture
    }

    /// Adds a process that was there before the first event.
    pub fn process(&mut self, process: &Process<'_>) {
        let mut entry = Vec::new();
        // Thread, process, parent, session and group.
        for number in [process.pid, process.pid, process.ppid, 0, 0] {
            entry.extend(number.to_le_bytes());
        }
        for text in [process.name, process.name, process.name, "", process.cwd] {
            counted(&mut entry, text.as_bytes());
        }
        entry.extend(1024_i64.to_le_bytes());
        for number in [0, process.uid, process.gid, 0, 0, 0] {
            entry.extend(number.to_le_bytes());
        }
        // Page faults, and an empty environment.
        entry.extend([0; 16]);
        counted(&mut entry, b"");
        for number in [process.pid, process.pid] {
            entry.extend(number.to_le_bytes());
        }
        counted(&mut entry, process.groups);
        counted(&mut entry, b"/");
        entry.extend((-1_i32).to_le_bytes());
        entry.push(0);
        self.block(PROCESSES, &measured(&entry));
    }

    /// Adds one event. `kind` is its number in libscap's table: even as a call begins, odd as it ends.
    pub fn event(&mut self, time_ns: u64, tid: i64, kind: u16, parameters: Parameters) {
        let Parameters(parameters) = parameters;
        let sizes: Vec<u16> =
            parameters.iter().map(|one| u16::try_from(one.len()).expect("a short parameter")).collect();
        let length = 26 + 2 * sizes.len() + parameters.iter().map(Vec::len).sum::<usize>();
        let mut event = vec![0, 0];
        event.extend(time_ns.to_le_bytes());
        event.extend(tid.to_le_bytes());
        event.extend(u32::try_from(length).expect("a short event").to_le_bytes());
        event.extend(kind.to_le_bytes());
        event.extend(u32::try_from(sizes.len()).expect("few parameters").to_le_bytes());
        event.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
        event.extend(parameters.concat());
        self.block(EVENT, &event);
    }

    /// The file's content.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn block(&mut self, kind: u32, body: &[u8]) {
        let length = u32::try_from(12 + body.len().next_multiple_of(4)).expect("a short block");
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend(body);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.bytes.extend(length.to_le_bytes());
    }
}

impl Default for Capture {
    fn default() -> Capture {
        Capture::new()
    }
}

impl Parameters {
    /// No parameters yet.
    pub fn new() -> Parameters {
        Parameters::default()
    }

    /// A descriptor, a process, a result, or another number of 64 bits.
    pub fn number(self, number: i64) -> Parameters {
        self.bytes(&number.to_le_bytes())
    }

    /// Flags, a mode, a user, or another number of 32 bits.
    pub fn short(self, number: u32) -> Parameters {
        self.bytes(&number.to_le_bytes())
    }

    /// A text or a path, which has a zero behind it.
    pub fn text(self, text: &str) -> Parameters {
        self.bytes(&[text.as_bytes(), &[0]].concat())
    }

    /// Texts, each with a zero behind it.
    pub fn texts(self, texts: &[String]) -> Parameters {
        let bytes: Vec<u8> = texts.iter().flat_map(|text| [text.as_bytes(), &[0]].concat()).collect();
        self.bytes(&bytes)
    }

    /// Bytes as they are.
    pub fn bytes(mut self, bytes: &[u8]) -> Parameters {
        self.0.push(bytes.to_vec());
        self
    }
}

/// Appends a text with its length of 16 bits in front.
fn counted(to: &mut Vec<u8>, text: &[u8]) {
    to.extend(u16::try_from(text.len()).expect("a short text").to_le_bytes());
    to.extend(text);
}

/// An entry with its length in front, in which the length itself is counted.
fn measured(entry: &[u8]) -> Vec<u8> {
    let length = u32::try_from(4 + entry.len()).expect("a short entry");
    [&length.to_le_bytes()[..], entry].concat()
}

/// An entry with its length in front, in which the length itself is not counted.
fn lengthened(entry: &[u8]) -> Vec<u8> {
    let length = u32::try_from(entry.len()).expect("a short entry");
    [&length.to_le_bytes()[..], entry].concat()
}
