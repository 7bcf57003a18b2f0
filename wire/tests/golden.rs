//! The bytes of every record, kept: `golden/NAME.hex` holds what a value of each kind is encoded as.
//!
//! After a change that is meant, `GLASSBOX_GOLDEN=write cargo test -p wire --test golden` writes them again;
//! the same commit says in `docs/wire-format.md` what changed.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use proptest::prelude::*;
use wire::codec::{self, Encode as _, SliceSink};
use wire::events::*;
use wire::fields::*;
use wire::hello::{self, Blind, Hello};
use wire::record::{Flags, Head, Via};

/// The source of a sample's fields.
#[derive(Clone, Copy, Debug)]
struct Contents<'a> {
    text: &'a [u8],
    raw: Option<&'a [u8]>,
    list: &'a [u8],
    number: i64,
    is_set: bool,
}

const FULL: Contents<'_> = Contents {
    text: b"/srv/caf\xc3\xa9",
    raw: Some(b"../etc/\xffpasswd"),
    list: b"ls\0-l\0\0",
    number: 0x0102_0304_0506_0708,
    is_set: true,
};
const BARE: Contents<'_> = Contents { text: b"", raw: None, list: b"", number: -1, is_set: false };

/// A value of each kind that travels.
fn samples(contents: Contents<'_>) -> Vec<Decoded<'_>> {
    let Contents { text, raw, list, number, is_set } = contents;
    let (int, uint, wide) = (number as i32, number as u32, number as u64);
    let path = Path { dir: if is_set { AT_FDCWD } else { int }, raw };
    let new_path = Path { dir: 7, raw: Some(text) };
    let args = Args::Packed(list);
    let counters = Counters { bytes_in: wide, bytes_out: 2, calls_in: 3, calls_out: 4 };
    let usage = Usage { user_ns: wide, system_ns: 2, max_rss: 3 };
    vec![
        Decoded::ProcessStart(ProcessStart {
            path,
            argv: args,
            cwd: text,
            gid: uint,
            egid: 2,
            env: Environment(args),
            image: Hidden(text),
            real_uid: Hidden(uint),
            effective_uid: Hidden(4),
            parent: Hidden(5),
            argc: is_set.then_some(uint),
        }),
        Decoded::ProcessExec(ProcessExec {
            path,
            argv: args,
            argc: is_set.then_some(uint),
            actions: Actions(text),
            flags: is_set.then_some(AtFlags(uint)),
        }),
        Decoded::ProcessFork(ProcessFork { child: is_set.then_some(uint), began_ns: Hidden(wide) }),
        Decoded::ProcessSignal(ProcessSignal {
            target: int,
            signal: 9,
            pidfd: Hidden(is_set.then_some(int)),
        }),
        Decoded::ProcessCredentials(ProcessCredentials {
            what: text,
            to: args,
            real_uid: Hidden(is_set.then_some(uint)),
            effective_uid: Hidden(is_set.then_some(2)),
        }),
        Decoded::ProcessTrace(ProcessTrace { request: Trace(number), target: 4 }),
        Decoded::ProcessNamespace(ProcessNamespace {
            what: text,
            path,
            flags: NamespaceFlags(wide),
            source: raw,
            filesystem: raw,
            attributes: is_set.then_some(MountAttributes(wide)),
        }),
        Decoded::ProcessControl(ProcessControl {
            what: Control(int),
            argument: is_set.then_some(wide),
            name: raw,
        }),
        Decoded::FileOpen(FileOpen {
            path,
            fd: is_set.then_some(int),
            flags: OpenFlags(uint),
            mode: is_set.then_some(0o644),
            resolve: is_set.then_some(ResolveFlags(uint)),
        }),
        Decoded::FileUnlink(FileUnlink { path }),
        Decoded::FileRmdir(FileRmdir { path }),
        Decoded::FileMkdir(FileMkdir { path, mode: uint }),
        Decoded::FileChmod(FileChmod { path, mode: uint, flags: is_set.then_some(AtFlags(uint)) }),
        Decoded::FileChown(FileChown { path, owner: int, group: -1, flags: is_set.then_some(AtFlags(uint)) }),
        Decoded::FileTruncate(FileTruncate { path, length: number }),
        Decoded::FileXattr(FileXattr {
            path,
            name: text,
            flags: is_set.then_some(XattrFlags(uint)),
            size: is_set.then_some(wide),
        }),
        Decoded::FileRename(FileRename { path, new_path, flags: is_set.then_some(RenameFlags(uint)) }),
        Decoded::FileLink(FileLink { path, new_path, flags: is_set.then_some(AtFlags(uint)) }),
        Decoded::FileSymlink(FileSymlink { path, new_path }),
        Decoded::FileMknod(FileMknod { path, mode: uint, device: wide }),
        Decoded::FileHandle(FileHandle { path, flags: HandleFlags(uint) }),
        Decoded::FileTimes(FileTimes {
            path,
            accessed: is_set.then_some(number),
            modified: is_set.then_some(2),
            flags: is_set.then_some(AtFlags(uint)),
        }),
        Decoded::ProcessLimit(ProcessLimit {
            resource: ResourceLimit(uint),
            soft: wide,
            hard: 2,
            target: is_set.then_some(int),
        }),
        Decoded::FileStat(FileStat { path, flags: is_set.then_some(AtFlags(uint)) }),
        Decoded::FileAccess(FileAccess {
            path,
            mode: AccessMode(int),
            flags: is_set.then_some(AtFlags(uint)),
        }),
        Decoded::FileReadlink(FileReadlink { path, target: raw }),
        Decoded::FileAllocate(FileAllocate {
            path,
            fd: int,
            flags: AllocateFlags(int),
            offset: number,
            length: 2,
        }),
        Decoded::FileSync(FileSync { path, fd: is_set.then_some(int), began_ns: Hidden(wide) }),
        Decoded::FileLock(FileLock {
            path,
            fd: int,
            lock: LockKind(int),
            waits: is_set,
            start: is_set.then_some(number),
            length: is_set.then_some(2),
        }),
        Decoded::DnsReverse(DnsReverse { addr: Ip(text), host: raw, began_ns: Hidden(wide) }),
        Decoded::NetSocket(NetSocket {
            fd: is_set.then_some(int),
            family: Family(2),
            r#type: SocketType(int),
            protocol: Protocol(6),
        }),
        Decoded::NetBind(NetBind { fd: int, local: Address(text) }),
        Decoded::NetListen(NetListen { fd: int, backlog: 128 }),
        Decoded::NetConnect(NetConnect {
            fd: int,
            remote: Address(text),
            own: Hidden(Address(text)),
            began_ns: Hidden(wide),
        }),
        Decoded::NetConnected(NetConnected { fd: int, local: Address(text) }),
        Decoded::NetAccept(NetAccept {
            fd: is_set.then_some(int),
            remote: Address(text),
            listener: Hidden(int),
        }),
        Decoded::DnsQuery(DnsQuery { host: raw, answers: Answers(text), began_ns: Hidden(wide) }),
        Decoded::LibLoad(LibLoad { path, flags: LoadFlags(int) }),
        Decoded::MemoryMap(MemoryMap { addr: wide, len: 2, prot: Protection(int), fd: Hidden(4) }),
        Decoded::KernelModule(KernelModule { path, name: raw }),
        Decoded::KernelBpf(KernelBpf { command: int }),
        Decoded::KernelUserfaultfd(KernelUserfaultfd { flags: uint }),
        Decoded::KernelIoUring(KernelIoUring { entries: uint }),
        Decoded::FdDuplicate(FdDuplicate { fd: int, target: 2, cloexec: Hidden(is_set) }),
        Decoded::FdClosed(FdClosed { fd: int, counters: is_set.then_some(counters) }),
        Decoded::FdDuped(FdDuped { fd: int, target: 2, cloexec: is_set }),
        Decoded::FdRange(FdRange { first: uint, last: 2, cloexec: is_set }),
        Decoded::DirChange(DirChange { path }),
        Decoded::FdFlags(FdFlags { fd: int, cloexec: is_set }),
        Decoded::Within(Within { row: uint }),
        Decoded::ChildStatus(ChildStatus { child: uint, status: 2, usage: is_set.then_some(usage) }),
        Decoded::FdMade(FdMade {
            fd: int,
            label: text,
            cloexec: is_set,
            local: Address(text),
            remote: Address(text),
        }),
    ]
}

/// The kind, the bytes, and how many the payload said that it takes.
fn encode(value: &Decoded<'_>) -> (Kind, Vec<u8>, usize) {
    fn one<P: Payload>(payload: &P) -> (Kind, Vec<u8>, usize) {
        let mut buffer = vec![0; 64 * 1024];
        let mut sink = SliceSink::new(&mut buffer);
        assert!(payload.encode(&mut sink));
        let len = sink.len();
        buffer.truncate(len);
        (P::KIND, buffer, payload.encoded_len())
    }
    macro_rules! each {
        ($($name:ident)*) => { match value { $(Decoded::$name(payload) => one(payload),)* } };
    }
    // The compiler reports a missing one.
    each! {
        ProcessStart ProcessExec ProcessFork ProcessSignal ProcessCredentials ProcessTrace ProcessNamespace ProcessControl
        FileOpen FileUnlink FileRmdir FileMkdir FileChmod FileChown FileTruncate FileXattr FileRename FileLink
        FileSymlink FileMknod FileHandle FileTimes FileStat FileAccess FileReadlink FileAllocate FileLock FileSync ProcessLimit DnsReverse NetSocket NetBind NetListen NetConnect NetConnected NetAccept DnsQuery LibLoad MemoryMap KernelModule
        KernelBpf KernelUserfaultfd KernelIoUring FdDuplicate FdClosed FdDuped FdRange DirChange FdFlags
        ChildStatus FdMade Within
    }
}

fn head() -> Head {
    Head {
        time_ns: 0x1112_1314_1516_1718,
        seq: 0x2122_2324_2526_2728,
        ret: -2,
        pid: 0x3132_3334,
        tid: 0x4142_4344,
        kind: Kind::FileOpen as u16,
        call: 0x5152,
        errno: 2,
        via: Via::Got as u8,
        flags: Flags::STAMPED | Flags::RETURNED,
    }
}

fn hello() -> Hello<'static> {
    Hello {
        magic: hello::MAGIC,
        version: 1,
        events: 0x1112_1314_1516_1718,
        calls: 0x2122_2324_2526_2728,
        pid: 0x3132_3334,
        ppid: 0x4142_4344,
        slot: 0,
        own_fds: [3, 4],
        blind: Blind::FdLimit as u8,
        exe: b"/bin/true",
        pid_ns: 0x5152_5354_5556_5758,
        container: b"http://169.254.170.2/v4/5",
        file: [0x6162_6364_6566_6768, 0x7172_7374_7576_7778],
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// File name without ending → lines of `name: hex`.
fn all_lines() -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for (name, contents) in [("full", FULL), ("bare", BARE)] {
        for value in samples(contents) {
            let (kind, bytes, _) = encode(&value);
            let line = format!("{name}: {}\n", hex(&bytes));
            files.entry(format!("{:03}-{}", kind as u16, kind.name())).or_default().push_str(&line);
        }
    }
    let mut buffer = [0; 256];
    let mut sink = SliceSink::new(&mut buffer);
    assert!(head().encode(&mut sink));
    let len = sink.len();
    files.insert("head".to_owned(), format!("full: {}\n", hex(&buffer[..len])));
    let len = hello().encode(&mut buffer);
    files.insert("hello".to_owned(), format!("full: {}\n", hex(&buffer[..len])));
    files
}

fn golden_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

#[test]
fn every_record_has_the_bytes_that_it_had() {
    let wanted = all_lines();
    let dir = golden_dir();
    if std::env::var_os("GLASSBOX_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::create_dir_all(&dir).unwrap();
        for entry in std::fs::read_dir(&dir).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        wanted
            .iter()
            .for_each(|(name, lines)| std::fs::write(dir.join(format!("{name}.hex")), lines).unwrap());
    }

    let found: BTreeMap<String, String> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (
                path.file_stem().unwrap().to_string_lossy().into_owned(),
                std::fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();

    assert_eq!(
        wanted.keys().collect::<Vec<_>>(),
        found.keys().collect::<Vec<_>>(),
        "a kind without golden bytes, or the other way round"
    );
    for (name, lines) in &wanted {
        assert_eq!(&found[name], lines, "the bytes of {name} changed");
    }
}

#[test]
fn every_kind_that_carries_a_payload_has_a_sample_and_no_other_decodes() {
    let sampled: Vec<Kind> = samples(FULL).iter().map(|value| encode(value).0).collect();

    for kind in Kind::ALL {
        let sends = wire::schema::EventSpec::of(*kind)
            .is_none_or(|spec| spec.fields().any(|field| field.source == wire::schema::Source::Sensor));
        assert_eq!(sends, sampled.contains(kind), "{kind:?}");
        if !sends {
            assert!(Decoded::decode(*kind, &[0; 7]).is_err(), "{kind:?} never travels");
        }
    }
}

fn check(value: &Decoded<'_>) {
    let (kind, bytes, announced) = encode(value);
    assert_eq!(announced, bytes.len(), "{value:?}");
    for padding in 0..8 {
        let padded = [&bytes[..], &[0xee; 8][..padding]].concat();
        assert_eq!(Ok(*value), Decoded::decode(kind, &padded));
    }
    assert!(Decoded::decode(kind, &[&bytes[..], &[0; 8]].concat()).is_err(), "bytes left over");
    assert!(Decoded::decode(kind, &bytes[..bytes.len() - 1]).is_err(), "cut short");
}

#[test]
fn every_record_decodes_to_what_was_encoded() {
    samples(FULL).iter().chain(&samples(BARE)).for_each(check);
}

#[test]
fn head_and_hello_decode_to_what_was_encoded() {
    let mut buffer = [0; 256];
    let mut sink = SliceSink::new(&mut buffer);
    assert!(head().encode(&mut sink));
    assert_eq!(Head::LEN, sink.len());
    assert_eq!(Ok((head(), &[0; 216][..])), codec::decode::<Head>(&buffer));

    let len = hello().encode(&mut buffer);
    assert_eq!(Ok(hello()), Hello::decode(&buffer[..len]));
    assert!(Hello::decode(&buffer[..len + 1]).is_err());
    assert_eq!(0, hello().encode(&mut buffer[..len - 1]));
}

#[test]
fn the_longest_hellos_fit_into_their_buffers() {
    let (exe, container) = ([b'x'; 4096], [b'x'; hello::MAX_CONTAINER]);
    let (mut buffer, mut of_a_seen_one) = ([0; hello::MAX_LEN], [0; hello::MAX_SEEN_LEN]);

    let len = Hello { exe: &exe, container: &container, ..hello() }.encode(&mut buffer);
    let seen_len = Hello { exe: &[], container: &container, ..hello() }.encode(&mut of_a_seen_one);

    assert!(len > 4096 + hello::MAX_CONTAINER);
    assert!(seen_len > hello::MAX_CONTAINER);
}

#[test]
fn fields_are_shown_in_the_order_of_the_table() {
    for value in samples(FULL) {
        let kind = encode(&value).0;
        let mut indices = Vec::new();
        value.show(&mut |index, _| indices.push(index));

        let Some(spec) = wire::schema::EventSpec::of(kind) else {
            assert!(indices.is_empty(), "{kind:?} is no event");
            continue;
        };
        let sent = spec.fields().filter(|field| field.source == wire::schema::Source::Sensor).count();
        assert_eq!((0..sent).collect::<Vec<_>>(), indices, "{kind:?}");
    }
}

/// `argv` as the kernel lays it out, of strings that end in a NUL.
fn vector<'a>(strings: &[&'a [u8]], len_bytes: usize) -> Args<'a> {
    let pointers: Vec<*const u8> = strings.iter().map(|string| string.as_ptr()).collect();
    // SAFETY: leaked, so it stays; each string ends in a NUL.
    Args::Vector(unsafe { Vector::new(pointers.leak().as_ptr(), strings.len(), len_bytes) })
}

fn encode_args(args: Args<'_>) -> Vec<u8> {
    let payload = ProcessExec {
        path: Path { dir: 0, raw: None },
        argv: args,
        argc: None,
        actions: Actions(&[]),
        flags: None,
    };
    let mut buffer = [0; 256];
    let mut sink = SliceSink::new(&mut buffer);
    assert!(payload.encode(&mut sink));
    assert_eq!(payload.encoded_len(), sink.len());
    let len = sink.len();
    let Ok(Decoded::ProcessExec(ProcessExec { argv: Args::Packed(packed), .. })) =
        Decoded::decode(Kind::ProcessExec, &buffer[..len])
    else {
        panic!("it does not decode");
    };
    packed.to_vec()
}

#[test]
fn an_argument_vector_takes_the_bytes_that_were_measured_whatever_the_strings_are_by_now() {
    assert_eq!(b"ls\0-l\0"[..], encode_args(vector(&[b"ls\0", b"-l\0"], 6)));
    assert_eq!(b"\0\0"[..], encode_args(vector(&[b"\0", b"\0"], 2)));
    assert_eq!(b"ls\0-\0"[..], encode_args(vector(&[b"ls\0", b"-longer\0"], 5)));
    assert_eq!(b"ls\0\0"[..], encode_args(vector(&[b"ls\0", b"\0"], 4)));
    assert_eq!(b"ls\0\0\0"[..], encode_args(vector(&[b"ls\0"], 5)));
    assert_eq!(b"l\0"[..], encode_args(vector(&[b"ls\0", b"-l\0"], 2)));
    assert_eq!(b""[..], encode_args(vector(&[b"ls\0"], 0)));
    assert_eq!(b""[..], encode_args(vector(&[], 0)));
}

#[test]
fn a_list_gives_its_strings_back() {
    let strings = |bytes| Args::Packed(bytes).iter().map(<[u8]>::to_vec).collect::<Vec<_>>();

    assert_eq!(Vec::<Vec<u8>>::new(), strings(b""));
    assert_eq!(vec![b"".to_vec()], strings(b"\0"));
    assert_eq!(vec![b"ls".to_vec(), b"".to_vec(), b"-l".to_vec()], strings(b"ls\0\0-l\0"));
    assert_eq!(vec![b"cut".to_vec()], strings(b"cut"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_contents_come_back_and_take_the_bytes_that_were_announced(
        text in prop::collection::vec(any::<u8>(), 0..300),
        raw in prop::option::of(prop::collection::vec(any::<u8>(), 0..300)),
        list in prop::collection::vec(any::<u8>(), 0..300),
        number in any::<i64>(),
        is_set in any::<bool>(),
    ) {
        let contents = Contents { text: &text, raw: raw.as_deref(), list: &list, number, is_set };

        samples(contents).iter().for_each(check);
    }

    #[test]
    fn any_bytes_decode_or_are_refused_and_what_decodes_is_encoded_the_same(
        sample in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let all = samples(FULL);
        let (kind, mut bytes, _) = encode(&all[sample.index(all.len())]);
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        for (place, byte) in changes {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
        }

        if let Ok(value) = Decoded::decode(kind, &bytes) {
            let (_, again, announced) = encode(&value);
            prop_assert_eq!(announced, again.len());
            prop_assert_eq!(&bytes[..announced], &again[..]);
            value.show(&mut |_, _| {});
        }
    }
}
