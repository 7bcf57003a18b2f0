//! Tests of the doorman with simulated sensors.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Instant;

use crossbeam_channel::Sender;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, bind, connect, listen, recv, send, sendmsg, socket_with,
};

use super::guests::MOST_GUESTS;
use super::identity::Note;
use super::watchers::MOST_WATCHERS;
use super::*;
use crate::launch::channel::{LauncherEnd, Received, pair};
use crate::notify::link::{LISTENS, SUPERVISES};
use crate::pipeline::simulated::Sensor;
use crate::rings::mapping::Mapping;
use crate::shell::listeners::tests::{lingering, returns};
use crate::shell::socket::{HEALTH_ANSWER, HEALTH_QUESTION, WATCH_ACCEPTED, WATCH_QUESTION, WATCH_REFUSED};
use crate::sinks::OutputChange;
use crate::system::procfs;
use wire::hello::{self, Blind, Hello};
use wire::ring::Memory;
use wire::ring::layout::MIN_DATA_LEN;

struct Door {
    doorman: Doorman,
    news_rx: Receiver<News>,
    address: SocketAddrUnix,
}

fn door(launcher: Option<CollectorEnd>) -> Door {
    door_asking(launcher, Authority::default())
}

fn door_asking(launcher: Option<CollectorEnd>, authority: Authority) -> Door {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("glassbox-attach-{}-{number}", std::process::id());
    let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap();
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    bind(&listener, &address).unwrap();
    crate::system::peers::ask_for_senders(&listener);
    listen(&listener, 64).unwrap();
    let (news_tx, news_rx) = crossbeam_channel::unbounded();
    let doorman = Doorman::new(
        vec![listener].into(),
        launcher,
        None,
        authority,
        ToPipeline { news_tx, sent_tx: crossbeam_channel::unbounded().0, doorbell: Arc::default() },
        Arc::default(),
    )
    .unwrap();
    Door { doorman, news_rx, address }
}

impl Door {
    fn connect(&self) -> OwnedFd {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        connect(&socket, &self.address).unwrap();
        socket
    }

    fn knock(&self, message: &[u8], descriptor: Option<&OwnedFd>) -> OwnedFd {
        let socket = self.connect();
        say(&socket, message, descriptor);
        socket
    }

    fn news(&mut self) -> Vec<News> {
        self.doorman.let_all_in();
        self.news_rx.try_iter().collect()
    }
}

fn say(socket: &OwnedFd, message: &[u8], descriptor: Option<&OwnedFd>) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<_> = descriptor.iter().map(|descriptor| descriptor.as_fd()).collect();
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    sendmsg(socket, &[IoSlice::new(message)], &mut control, SendFlags::NOSIGNAL).unwrap();
}

fn hello() -> Hello<'static> {
    Hello {
        magic: hello::MAGIC,
        version: wire::VERSION,
        events: wire::FINGERPRINT,
        calls: hook_table::FINGERPRINT,
        pid: 999_999,
        ppid: 1,
        slot: 0,
        own_fds: [-1; 2],
        blind: 0,
        exe: b"",
        file: [0; 2],
        pid_ns: 0,
        container: b"",
    }
}

fn packet(hello: &Hello<'_>) -> Vec<u8> {
    let mut buffer = vec![0; hello::MAX_LEN];
    let len = hello.encode(&mut buffer);
    buffer.truncate(len);
    buffer
}

#[test]
fn hellos_are_heard_in_the_order_of_their_connections_though_the_first_comes_late() {
    let mut door = door(None);
    let sensors = [Sensor::new(999_998, MIN_DATA_LEN), Sensor::new(999_999, MIN_DATA_LEN)];
    let hello = |inode| packet(&Hello { file: [1, inode], ..hello() });

    let first = door.connect();
    let before = door.news().len();
    say(&first, &hello(1), Some(&sensors[0].memfd));
    door.knock(&hello(2), Some(&sensors[1].memfd));
    let news = door.news();

    let heard: Vec<u64> = news
        .iter()
        .map(|news| match news {
            News::Attached(attached) => attached.identity.file.inode,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!((0, vec![1, 2]), (before, heard));
}

#[test]
fn ring_is_with_the_launcher_before_it_is_read_and_the_kernels_pid_counts() {
    let (one, other) = pair().unwrap();
    let mut door = door(Some(CollectorEnd::new(other)));
    let sensor = Sensor::new(999_999, MIN_DATA_LEN);

    door.knock(&packet(&hello()), Some(&sensor.memfd));
    let news = door.news();

    let [News::Attached(attached)] = news.as_slice() else { panic!("{news:?}") };
    assert_eq!(std::process::id(), attached.identity.key.pid.0);
    // The kernel says that the process is in the collector's namespace, where it has but one number.
    assert_eq!(std::process::id(), attached.identity.own_pid.0);
    assert!(attached.identity.claimed.is_empty());
    assert!(attached.identity.pidfd.is_some());
    let kept = LauncherEnd::new(one).receive();
    let Received::Message(ToLauncher::Keep { id, blob }, Some(memfd)) = kept else { panic!("{kept:?}") };
    assert_eq!(attached.id, id);
    assert!(Mapping::of(memfd).is_ok());
    let identity = Note::decode(&blob).unwrap().identity(MonoNs::now());
    assert_eq!([std::process::id(); 2], [identity.key.pid.0, identity.own_pid.0]);
    assert!(identity.pidfd.is_some());
}

#[test]
fn blind_program_and_health_question_are_heard() {
    let mut door = door(None);
    door.knock(&packet(&Hello { blind: Blind::FdLimit as u8, exe: b"/bin/tiny", ..hello() }), None);
    let asker = door.knock(HEALTH_QUESTION, None);

    let news = door.news();

    assert!(
        matches!(
            news.as_slice(),
            [News::Blind(unseen)] if unseen.exe == b"/bin/tiny" && unseen.reason == "fd_limit"
        ),
        "{news:?}"
    );
    let mut answer = [0; 16];
    let (len, _) = recv(&asker, &mut answer, RecvFlags::DONTWAIT).unwrap();
    assert_eq!(HEALTH_ANSWER, &answer[..len]);
}

#[test]
fn strangers_are_turned_away() {
    let mut door = door(None);
    let memfd = memfd_create("x", MemfdFlags::CLOEXEC).unwrap();
    let good = packet(&hello());
    for message in [
        packet(&Hello { version: wire::VERSION + 1, ..hello() }),
        packet(&Hello { events: 1, ..hello() }),
        packet(&Hello { calls: 1, ..hello() }),
        packet(&Hello { magic: 1, ..hello() }),
        good.clone(),
        good[..good.len() - 1].to_vec(),
        vec![0xff; hello::MAX_LEN + 100],
        b"x".to_vec(),
    ] {
        door.knock(&message, Some(&memfd));
    }
    door.knock(&good, None);

    assert!(door.news().is_empty());
    assert_eq!(0, door.doorman.guests.len());
}

/// A metadata endpoint that answers once it is told to, and a doorman who asks it.
fn door_with_endpoint() -> (Door, String, Sender<()>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (answer_tx, answer_rx) = crossbeam_channel::unbounded();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]);
        if answer_rx.recv().is_ok() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"Name\":\"web\"}");
        }
    });
    let authority = Authority::parse(address.to_string().as_ref()).unwrap();
    let mut door = door_asking(None, authority);
    // Long enough for a busy machine; an answer ends the wait.
    door.doorman.containers.patience = Duration::from_secs(2);
    (door, format!("http://{address}/v4/id"), answer_tx)
}

fn short_names(news: &[News]) -> Vec<&str> {
    let attached = news.iter().filter_map(|news| match news {
        News::Attached(attached) => Some(attached),
        _ => None,
    });
    attached
        .map(|attached| attached.identity.claim.as_ref().map_or("", |claim| claim.container.short_name()))
        .collect()
}

impl Door {
    fn say_hello(&self, uri: &str) -> Sensor {
        let sensor = Sensor::new(1, MIN_DATA_LEN);
        self.knock(&packet(&Hello { container: uri.as_bytes(), ..hello() }), Some(&sensor.memfd));
        sensor
    }

    /// The news once `is_it`, or those of ten seconds.
    fn news_when(&mut self, is_it: impl Fn(&[News]) -> bool) -> Vec<News> {
        let mut news = Vec::new();
        for _ in 0..2000 {
            self.doorman.hear_containers();
            news.extend(self.news());
            if is_it(&news) {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        news
    }
}

#[test]
fn first_processes_of_a_container_are_told_of_in_order_with_its_name() {
    let (mut door, uri, answer_tx) = door_with_endpoint();
    let _first = door.say_hello(&uri);
    // Its next image, in an emptied environment.
    let _second = door.say_hello("");
    let before = door.news();
    door.doorman.say_idle();
    let is_told = door.doorman.deathwatch().has_told_all();

    answer_tx.send(()).unwrap();
    let after = door.news_when(|news| short_names(news).len() == 2);
    let _third = door.say_hello(&uri);
    let later = door.news();

    assert!(before.is_empty() && !is_told, "{before:?}");
    assert!(matches!(after[0], News::Renamed(..)), "{after:?}");
    assert_eq!((vec!["web", ""], vec!["web"]), (short_names(&after), short_names(&later)));
}

#[test]
fn container_whose_name_does_not_come_is_told_of_by_its_id() {
    let (mut door, uri, _answer_tx) = door_with_endpoint();
    let begun = Instant::now();
    let _sensor = door.say_hello(&uri);

    let news = door.news_when(|news| !news.is_empty());

    let waited = begun.elapsed();
    assert_eq!(vec!["id"], short_names(&news));
    assert!(waited >= door.doorman.containers.patience, "{waited:?}");
}

#[test]
fn ring_that_fills_waits_for_no_name_and_the_end_for_no_longer() {
    let (mut door, uri, _answer_tx) = door_with_endpoint();
    let sensor = door.say_hello(&uri);
    assert!(door.news().is_empty());
    while sensor.ring.tail().load(Ordering::Relaxed) <= MIN_DATA_LEN / 2 {
        sensor.start("/bin/prog", "/");
    }
    door.doorman.hear_containers();
    let when_full = door.news();
    let _other = door.say_hello(&uri);
    assert!(door.news().is_empty());

    door.doorman.finish(Haste::Patient);
    let at_the_end = door.news();

    assert_eq!(vec!["id"], short_names(&when_full));
    assert!(
        matches!(at_the_end.as_slice(), [News::Attached(_), News::Finish(Haste::Patient)]),
        "told before the end: {at_the_end:?}"
    );
}

#[test]
fn silent_guests_make_way_for_others() {
    let mut door = door(None);
    let mut waiting = Vec::new();
    for _ in 0..MOST_GUESTS + 10 {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        connect(&socket, &door.address).unwrap();
        waiting.push(socket);
        door.doorman.let_all_in();
    }

    assert_eq!(MOST_GUESTS, door.doorman.guests.len());
    assert!(send(&waiting[0], b"x", SendFlags::NOSIGNAL).is_err());
}

#[test]
fn end_waits_for_nothing_that_strangers_sent() {
    let (slow, _peers): (Vec<_>, Vec<_>) = std::iter::repeat_with(lingering).take(2).unzip();
    let [first, second] = [0, 1].map(|number| slow[number].as_fd().try_clone_to_owned().unwrap());
    let mut door = door(None);
    let silent = door.connect();
    door.news();

    // One message at a connection that is kept, one at a connection that was never accepted.
    say(&silent, b"x", Some(&first));
    let waiting = door.knock(b"x", Some(&second));
    drop((slow, first, second, silent, waiting));

    assert!(returns(move || drop(door)));
}

#[test]
fn supervisor_with_anything_in_place_of_a_ring_holds_up_no_doorman() {
    let nonsense = [SUPERVISES, b"x"].concat();
    let refused = [SUPERVISES, &packet(&hello())].concat();
    for message in [nonsense, refused] {
        let (slow, peer) = lingering();
        let slow = OwnedFd::from(slow);
        let mut door = door(None);
        let supervisor = door.connect();
        say(&supervisor, &message, Some(&slow));
        drop(slow);

        let has_returned = returns(move || {
            door.news();
            std::mem::forget(door);
        });

        assert!(has_returned);
        drop((supervisor, peer));
    }
}

/// Two control groups, as containers have them, with a process in each. They need root, and a hierarchy.
struct Groups([(PathBuf, Child); 2]);

impl Groups {
    fn new() -> Option<Self> {
        let hierarchies = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
        let hierarchy = hierarchies.map(Path::new).into_iter().find(|it| it.join("cgroup.procs").exists())?;
        let group = |name: &str| {
            let folder = hierarchy.join(format!("glassbox-test-{}-{name}", std::process::id()));
            std::fs::create_dir(&folder).ok()?;
            let child = Command::new("sleep").arg("60").spawn().unwrap();
            let moved = std::fs::write(folder.join("cgroup.procs"), child.id().to_string());
            moved.expect("a group of our own");
            Some((folder, child))
        };
        Some(Self([group("one")?, group("two")?]))
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for (folder, child) in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
            let _ = std::fs::remove_dir(folder);
        }
    }
}

#[test]
fn supervisors_of_one_container_take_no_places_of_anothers() {
    let Some(groups) = Groups::new() else { return };
    let hello = Hello { pid: std::process::id(), ..hello() };
    let message = [SUPERVISES, &packet(&hello)].concat();
    let mut door = door(None);
    let mut is_heard = |process: Option<u32>| {
        let subject = process.and_then(procfs::open);
        let supervisor = door.knock(&message, subject.as_ref());
        door.news();
        let mut answer = [0; 256];
        let (len, _) = recv(&supervisor, &mut answer, RecvFlags::empty()).unwrap();
        (answer[..len] == *LISTENS).then_some(supervisor)
    };
    let [one, other] = groups.0.each_ref().map(|(_, child)| child.id());

    let of_one: Vec<_> = std::iter::from_fn(|| is_heard(Some(one))).take(40).collect();
    let of_other = is_heard(Some(other));
    let of_none = is_heard(None);

    let most = 16;
    assert_eq!(most, of_one.len());
    assert!(of_other.is_some() && of_none.is_some());
    drop(of_one);
}

#[test]
fn nothing_is_left_untold_when_the_doorman_says_so() {
    let mut door = door(None);
    let deathwatch = door.doorman.deathwatch();
    door.doorman.told.is_all.store(true, Ordering::SeqCst);

    let before = deathwatch.has_told_all();
    let _socket = door.knock(&packet(&hello()), None);
    let knocked = deathwatch.has_told_all();
    door.news();
    let after = deathwatch.has_told_all();

    assert_eq!([true, false, true], [before, knocked, after]);
}

#[test]
fn watchers_are_let_in_whenever_they_speak_and_no_more_than_a_few() {
    let mut door = door(None);
    let answer = |asker: &OwnedFd| {
        let mut answer = [0; 64];
        let (len, _) = recv(asker, &mut answer, RecvFlags::DONTWAIT).unwrap();
        answer[..len].to_vec()
    };
    let late = door.connect();
    assert!(door.news().is_empty());
    say(&late, WATCH_QUESTION, None);
    let mut others: Vec<OwnedFd> = (1..MOST_WATCHERS).map(|_| door.knock(WATCH_QUESTION, None)).collect();
    let news = door.news();

    assert_eq!(MOST_WATCHERS, news.len(), "{news:?}");
    assert!(news.iter().all(|news| matches!(news, News::Output(OutputChange::Add { .. }))));
    others.push(late);
    assert!(others.iter().all(|watcher| answer(watcher) == WATCH_ACCEPTED));
    let one_more = door.knock(WATCH_QUESTION, None);
    assert!(door.news().is_empty());
    assert!(answer(&one_more).starts_with(WATCH_REFUSED));
}
