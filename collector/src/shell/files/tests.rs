//! Files that other users could have put in the way, and files that are no regular ones.

use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::PathBuf;

use super::*;
use crate::sinks::tests::Scratch;

/// A user that is neither root nor whoever runs the tests.
const OTHER: u32 = 65_534;

/// A folder with a mode in a scratch folder, which only this user can write.
fn folder(scratch: &Scratch, name: &str, mode: u32) -> PathBuf {
    let path = scratch.path(name);
    fs::create_dir(&path).unwrap();
    chmod(&path, mode);
    path
}

fn scratch(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    chmod(scratch.as_ref(), 0o755);
    scratch
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// Whether this user can give files to others; says so where it cannot.
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("not root: files of another user cannot be made");
    }
    is_root
}

fn secret(path: &Path) -> Result<File, Failure> {
    open(path, "output", From::Start, Permissions::Secret)
}

fn refusal(path: &Path) -> String {
    let failure = secret(path).unwrap_err();
    assert_eq!(73, failure.status());
    failure.to_string()
}

#[test]
fn new_file_is_its_owners_alone_unless_asked() {
    let scratch = scratch("files-new");

    secret(&scratch.path("a")).unwrap();
    open(&scratch.path("b"), "output", From::End, Permissions::Asked(0o646)).unwrap();

    assert_eq!((0o600, 0o646), (mode(&scratch.path("a")), mode(&scratch.path("b"))));
}

#[test]
fn file_that_others_could_read_is_closed_to_them_before_it_is_written() {
    let scratch = scratch("files-present");
    let path = scratch.path("a");
    for (before, permissions, after) in [
        (0o644, Permissions::Secret, 0o600),
        (0o600, Permissions::Secret, 0o600),
        (0o4755, Permissions::Secret, 0o600),
        (0o644, Permissions::Asked(0o640), 0o640),
        (0o600, Permissions::Asked(0o644), 0o644),
        (0o644, Permissions::Callers, 0o644),
    ] {
        fs::write(&path, "before").unwrap();
        chmod(&path, before);

        open(&path, "output", From::End, permissions).unwrap().write_all(b"+").unwrap();

        assert_eq!(("before+".to_owned(), after), (fs::read_to_string(&path).unwrap(), mode(&path)));
        open(&path, "output", From::Start, permissions).unwrap();
        assert_eq!(0, fs::metadata(&path).unwrap().len());
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn links_in_a_folder_that_only_its_owner_can_write_lead_on() {
    let scratch = scratch("files-own-links");
    let data = folder(&scratch, "data", 0o700);
    symlink(&data, scratch.path("logs")).unwrap();
    symlink("../data/b", data.join("a")).unwrap();

    secret(&scratch.path("logs/a")).unwrap().write_all(b"x").unwrap();
    secret(&scratch.path("logs/../data/c")).unwrap();

    assert_eq!("x", fs::read_to_string(data.join("b")).unwrap());
    assert!(data.join("a").is_symlink() && data.join("c").is_file());
}

#[test]
fn no_link_is_followed_in_a_folder_that_others_can_write_nor_below() {
    let scratch = scratch("files-open");
    let open = folder(&scratch, "open", 0o777);
    fs::create_dir(open.join("below")).unwrap();
    fs::write(scratch.path("target"), "precious").unwrap();
    symlink(scratch.path("target"), open.join("link")).unwrap();
    symlink(scratch.as_ref(), open.join("dir")).unwrap();
    symlink(scratch.path("target"), open.join("below/link")).unwrap();
    symlink(scratch.path("missing"), open.join("dangling")).unwrap();
    // A good link into the bad folder.
    symlink(open.join("link"), scratch.path("good")).unwrap();

    for path in
        ["open/link", "open/dir/target", "open/below/link", "open/below/../link", "open/dangling", "good"]
    {
        let words = refusal(&scratch.path(path));

        assert!(
            words.contains("is a symbolic link in a directory that others can write; give the path"),
            "{words}"
        );
        assert_eq!("precious", fs::read_to_string(scratch.path("target")).unwrap());
        assert!(replace(&scratch.path(path), b"x").is_err());
    }
    assert!(!scratch.path("missing").exists());
    secret(&open.join("new")).unwrap();
    secret(&open.join("new")).unwrap();
}

#[test]
fn links_of_others_are_not_followed_wherever_they_could_put_them() {
    if !is_root() {
        return;
    }
    let scratch = scratch("files-others-links");
    let (sticky, home) = (folder(&scratch, "sticky", 0o1777), folder(&scratch, "home", 0o755));
    fs::write(scratch.path("target"), "precious").unwrap();
    for place in [&sticky, &home] {
        symlink(scratch.path("target"), place.join("theirs")).unwrap();
        rustix::fs::chownat(
            rustix::fs::CWD,
            place.join("theirs"),
            Some(rustix::fs::Uid::from_raw(OTHER)),
            None,
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .unwrap();
        symlink(scratch.path("target"), place.join("ours")).unwrap();
    }
    chown(&home, Some(OTHER), None).unwrap();
    // A link has an owner and several names: then anybody can have given it one of them.
    fs::hard_link(sticky.join("ours"), scratch.path("twice")).unwrap();
    fs::hard_link(scratch.path("twice"), sticky.join("again")).unwrap();

    assert!(refusal(&sticky.join("theirs")).contains("a symbolic link that uid 65534 made"));
    for path in [home.join("theirs"), home.join("ours"), sticky.join("again")] {
        assert!(refusal(&path).contains("is a symbolic link"), "{}", path.display());
    }
    assert_eq!("precious", fs::read_to_string(scratch.path("target")).unwrap());
    fs::remove_file(sticky.join("again")).unwrap();
    fs::remove_file(scratch.path("twice")).unwrap();
    secret(&sticky.join("ours")).unwrap();
    assert_eq!("", fs::read_to_string(scratch.path("target")).unwrap());
}

#[test]
fn what_others_made_beforehand_is_not_written_to() {
    if !is_root() {
        return;
    }
    let scratch = scratch("files-others");
    for (name, mode, owner) in [("sticky", 0o1777, 0), ("home", 0o755, OTHER), ("open", 0o777, 0)] {
        let place = folder(&scratch, name, mode);
        fs::write(place.join("file"), "theirs").unwrap();
        fs::write(scratch.path("target"), "precious").unwrap();
        fs::hard_link(scratch.path("target"), place.join("hard")).unwrap();
        let fifo = Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(rustix::fs::CWD, place.join("fifo"), FileType::Fifo, fifo, 0).unwrap();
        for entry in ["file", "fifo"] {
            chown(place.join(entry), Some(OTHER), None).unwrap();
        }
        chown(&place, Some(owner), None).unwrap();

        assert!(refusal(&place.join("file")).contains("belongs to uid 65534"));
        assert!(refusal(&place.join("fifo")).contains("belongs to uid 65534"));
        assert!(refusal(&place.join("hard")).contains("has several names"));
        assert_eq!("theirs", fs::read_to_string(place.join("file")).unwrap());
        assert_eq!("precious", fs::read_to_string(scratch.path("target")).unwrap());
        secret(&place.join("new")).unwrap();
        assert_eq!(
            (0o600, 0),
            (self::mode(&place.join("new")), fs::metadata(place.join("new")).unwrap().uid())
        );
        fs::remove_file(scratch.path("target")).unwrap();
    }
}

#[test]
fn replacing_keeps_links_mode_and_owner_and_leaves_nothing_else() {
    let scratch = scratch("files-replace");
    let path = scratch.path("file");
    fs::write(&path, "before").unwrap();
    chmod(&path, 0o750);
    symlink("file", scratch.path("link")).unwrap();
    if is_root() {
        chown(&path, Some(OTHER), Some(OTHER)).unwrap();
    }
    let owner = fs::metadata(&path).unwrap().uid();

    replace(&scratch.path("link"), b"after").unwrap();

    assert!(scratch.path("link").is_symlink());
    assert_eq!((0o750, owner), (mode(&path), fs::metadata(&path).unwrap().uid()));
    assert_eq!("after", fs::read_to_string(&path).unwrap());
    assert_eq!(2, fs::read_dir(scratch.as_ref()).unwrap().count());
}

#[test]
fn own_file_takes_the_place_of_what_is_there_and_touches_nothing_else() {
    let scratch = scratch("files-put");
    let target = scratch.path("target");
    let path = scratch.path("file");
    for make in [0, 1, 2, 3] {
        fs::write(&target, "precious").unwrap();
        match make {
            0 => {}
            1 => symlink(&target, &path).unwrap(),
            2 => fs::hard_link(&target, &path).unwrap(),
            _ => {
                fs::write(&path, "theirs").unwrap();
                chmod(&path, 0o4777);
                if is_root() {
                    chown(&path, Some(OTHER), Some(OTHER)).unwrap();
                }
            }
        }

        put(&path, b"ours", 0o644).unwrap();

        assert_eq!("precious", fs::read_to_string(&target).unwrap());
        assert_eq!("ours", fs::read_to_string(&path).unwrap());
        let found = fs::symlink_metadata(&path).unwrap();
        let owner = rustix::process::geteuid().as_raw();
        assert_eq!((0o100_644, owner, 1), (found.mode(), found.uid(), found.nlink()), "{make}");
        fs::remove_file(&path).unwrap();
    }
    assert!(put(scratch.as_ref(), b"", 0o644).is_err());
    symlink(scratch.as_ref(), scratch.path("folder")).unwrap();
    assert!(put(&folder(&scratch, "open", 0o777).join("../folder/file"), b"", 0o644).is_err());
}

#[test]
fn what_is_no_regular_file_is_written_to_and_stays() {
    let scratch = scratch("files-special");
    let fifo = scratch.path("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let mut reader = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&fifo).unwrap();
    let mut text = String::new();

    replace(&fifo, b"a").unwrap();
    secret(&fifo).unwrap().write_all(b"b").unwrap();
    reader.read_to_string(&mut text).unwrap();

    assert_eq!("ab", text);
    assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());
    if is_root() {
        let null = scratch.path("null");
        let device = rustix::fs::makedev(1, 3);
        match rustix::fs::mknodat(
            rustix::fs::CWD,
            &null,
            FileType::CharacterDevice,
            Mode::from_raw_mode(0o666),
            device,
        ) {
            Ok(()) => {
                replace(&null, b"a").unwrap();
                secret(&null).unwrap().write_all(b"b").unwrap();
                assert!(fs::symlink_metadata(&null).unwrap().file_type().is_char_device());
                assert_eq!(0o666, mode(&null) | 0o022);
            }
            Err(error) => eprintln!("no device can be made here: {error}"),
        }
    }
}

#[test]
fn open_descriptor_is_written_behind_what_it_has() {
    let scratch = scratch("files-descriptor");
    let file = File::create(scratch.path("file")).unwrap();
    (&file).write_all(b"1").unwrap();
    let by_number = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    symlink(&by_number, scratch.path("link")).unwrap();

    secret(&by_number).unwrap().write_all(b"2").unwrap();
    secret(&Path::new("/dev/fd").join(file.as_raw_fd().to_string())).unwrap().write_all(b"3").unwrap();
    replace(&scratch.path("link"), b"4").unwrap();

    assert_eq!("1234", fs::read_to_string(scratch.path("file")).unwrap());
    assert!(scratch.path("link").is_symlink());
}

#[test]
fn directories_sockets_and_loops_are_refused_with_what_to_do() {
    let scratch = scratch("files-no-file");
    let _listener = std::os::unix::net::UnixListener::bind(scratch.path("socket")).unwrap();
    symlink("loop", scratch.path("loop")).unwrap();
    symlink("/", scratch.path("root")).unwrap();
    fs::write(scratch.path("file"), "").unwrap();

    for (path, words) in [
        ("", "directory"),
        (".", "is a directory; choose a file"),
        ("..", "directory"),
        ("root", "directory"),
        ("socket", "is a socket; choose a file"),
        ("loop", "symbolic link"),
        ("file/", "Not a directory"),
        ("file/x", "Not a directory"),
        ("no/such", "No such file"),
    ] {
        for failure in
            [secret(&scratch.path(path)).unwrap_err(), replace(&scratch.path(path), b"").unwrap_err()]
        {
            assert!(failure.to_string().to_lowercase().contains(&words.to_lowercase()), "{path}: {failure}");
        }
    }
}
