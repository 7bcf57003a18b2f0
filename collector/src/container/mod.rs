//! Finds the container that a process is in, for the field `container` of its events.
//!
//! There are two sources: the kernel (`cgroup`: /proc/PID/cgroup, where the collector sees the process), and
//! in an ECS task the metadata URI that each container has in its environment and that the sensor's hello
//! passes on (`address`). The URI holds an id; the collector requests the names behind it, once for each
//! container, in threads of their own (`metadata`). The doorman owns the [`Containers`] and delays the first
//! processes of a container until the answer comes, for 300 ms at most; the drain thread decides which of
//! several claims counts. ADR 11 has the reasons.

mod address;
mod cgroup;
mod facts;
mod metadata;
mod pod;

#[cfg(fuzzing)]
pub use metadata::fuzz;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use crate::allowance::Peer;

pub use address::{Authority, DEFAULT, VARIABLE};
pub use cgroup::{Named, named as named_by_cgroup};
pub use facts::{Container, image_parts};
pub use pod::pod_of;

/// The container of a process, with the source of that statement.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The container.
    pub container: Arc<Container>,
    /// The kernel says so, and not the process.
    pub is_certain: bool,
}

/// How long a container's first processes wait for its names: far longer than an answer takes, and too short
/// for a person to notice.
const PATIENCE: Duration = Duration::from_millis(300);
/// Containers that are remembered, at most.
const MOST_KNOWN: usize = 256;
/// The same of one peer, which may be named anything by it.
const MOST_KNOWN_OF_PEER: usize = 64;
/// Containers whose names are requested at the same time, at most, and of one peer.
const MOST_ASKED: usize = 8;
const MOST_ASKED_OF_PEER: usize = 2;

/// The sources that name a container: a metadata URI, and the id in a control group's name. Either may be
/// empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Key {
    uri: Box<[u8]>,
    cgroup: Box<str>,
}

/// The containers of all processes that said hello.
#[derive(Debug)]
pub struct Containers {
    /// How long a container's first processes wait for its names.
    pub patience: Duration,
    authority: Authority,
    known: HashMap<Key, Known>,
    /// Requests under way.
    asked: usize,
    answer_tx: Sender<(Key, Option<Container>)>,
    answer_rx: Receiver<(Key, Option<Container>)>,
    /// Written to after each answer.
    alarm: Arc<OwnedFd>,
}

#[derive(Debug)]
struct Known {
    container: Arc<Container>,
    progress: Progress,
    /// A request is under way.
    is_asked: bool,
    /// Whose process named it first.
    peer: Peer,
}

#[derive(Clone, Copy, Debug)]
enum Progress {
    /// There is no URI to request, an answer came, or the request was given up.
    Done,
    /// No request could be made yet.
    Unasked,
    /// A request is under way; the container's first processes wait for it until then.
    Asked(Instant),
}

impl Containers {
    /// No containers yet. Each answer is followed by a write to `alarm`; [`Self::take_answers`] then has it.
    pub fn new(authority: Authority, alarm: Arc<OwnedFd>) -> Self {
        let (answer_tx, answer_rx) = crossbeam_channel::unbounded();
        Self { patience: PATIENCE, authority, known: HashMap::new(), asked: 0, answer_tx, answer_rx, alarm }
    }

    /// The container of a process of `peer` that gave `uri` and whose control group names the container
    /// `group`; either may be empty. `None` where neither names one. Requests the names if that has not been
    /// done.
    pub fn find(&mut self, uri: &[u8], group: Named<'_>, peer: Peer) -> Option<(Key, Claim)> {
        let Named { id: cgroup, is_certain } = group;
        let address = self.authority.address(uri);
        let uri = if address.is_some() { uri } else { &[] };
        let key = Key { uri: uri.into(), cgroup: cgroup.into() };
        let id = if cgroup.is_empty() { address.as_ref()?.id() } else { cgroup };
        if !self.known.contains_key(&key) {
            let container = Arc::new(Container::with_id(id));
            if self.known.len() >= MOST_KNOWN {
                self.known.retain(|_, known| Arc::strong_count(&known.container) > 1);
            }
            if self.known.len() >= MOST_KNOWN || self.count_of(peer, |_| true) >= MOST_KNOWN_OF_PEER {
                return Some((key, Claim { container, is_certain }));
            }
            let progress = if address.is_some() { Progress::Unasked } else { Progress::Done };
            self.known.insert(key.clone(), Known { container, progress, is_asked: false, peer });
        }
        let has_turn =
            self.asked < MOST_ASKED && self.count_of(peer, |known| known.is_asked) < MOST_ASKED_OF_PEER;
        let known = self.known.get_mut(&key)?;
        if let (Progress::Unasked, Some(address)) = (known.progress, address)
            && has_turn
        {
            let (answer_tx, alarm, asked) = (self.answer_tx.clone(), Arc::clone(&self.alarm), key.clone());
            let answered = move |answer| {
                // A collector that ends reads no more answers.
                let _ = answer_tx.send((asked, answer));
                let _ = rustix::io::write(&*alarm, &1_u64.to_ne_bytes());
            };
            if metadata::ask(address, answered) {
                self.asked += 1;
                (known.is_asked, known.peer) = (true, peer);
                known.progress = Progress::Asked(Instant::now() + self.patience);
            }
        }
        Some((key, Claim { container: Arc::clone(&known.container), is_certain }))
    }

    /// How many containers of a peer are such; 0 where the kernel does not tell one container from another.
    fn count_of(&self, peer: Peer, is_such: impl Fn(&Known) -> bool) -> usize {
        if peer.cgroup == 0 {
            return 0;
        }
        self.known.values().filter(|known| known.peer == peer && is_such(known)).count()
    }

    /// Whether a process gave a URI that must not be requested.
    pub fn is_refused(&self, uri: &[u8]) -> bool {
        !uri.is_empty() && self.authority.address(uri).is_none()
    }

    /// Until when the first processes of a container wait for its names; `None` where they need not wait.
    pub fn awaited_until(&self, key: &Key) -> Option<Instant> {
        match self.known.get(key)?.progress {
            Progress::Asked(until) => Some(until).filter(|until| *until > Instant::now()),
            Progress::Done | Progress::Unasked => None,
        }
    }

    /// The answers that came: each container as it was known, and with its names.
    pub fn take_answers(&mut self) -> Vec<(Arc<Container>, Arc<Container>)> {
        let mut renamed = Vec::new();
        while let Ok((key, answer)) = self.answer_rx.try_recv() {
            self.asked = self.asked.saturating_sub(1);
            let Some(known) = self.known.get_mut(&key) else { continue };
            (known.progress, known.is_asked) = (Progress::Done, false);
            // The kernel is right where the process took its URI from another container.
            let answer = answer.filter(|answer| key.cgroup.is_empty() || *key.cgroup == *answer.id());
            if let Some(answer) = answer {
                let after = Arc::new(answer);
                let before = std::mem::replace(&mut known.container, Arc::clone(&after));
                renamed.push((before, after));
            }
        }
        renamed
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

    use super::*;

    const ID_OF_URI: &str = "cd189a933e5849daa93386466019ab50-2495160603";
    const LONG_ID: &str = "53c1a26f3e1cd9d1ad0d2bd5f8f1c0f7a4f2d4a2a9f9ab5fbb7c7f6d0e1a2b3c";

    fn certainly(id: &str) -> Named<'_> {
        Named { id, is_certain: true }
    }

    fn alarm() -> Arc<OwnedFd> {
        Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap())
    }

    /// Containers whose endpoint answers every request with `answer`.
    fn with_endpoint(answer: &'static str) -> (Containers, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 1024]);
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
                let _ = stream.write_all(format!("{head}{answer}").as_bytes());
            }
        });
        let uri = format!("http://{authority}/v4/{ID_OF_URI}");
        (Containers::new(Authority::parse(authority.as_ref()).unwrap(), alarm()), uri)
    }

    fn answers(containers: &mut Containers) -> Vec<(Arc<Container>, Arc<Container>)> {
        let alarm = Arc::clone(&containers.alarm);
        let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
        assert_eq!(Ok(1), poll(&mut [PollFd::new(&*alarm, PollFlags::IN)], Some(&patience)));
        containers.take_answers()
    }

    #[test]
    fn container_has_the_uris_id_at_once_and_its_names_from_the_answer_on() {
        let (mut containers, uri) = with_endpoint(
            r#"{"DockerId":"cd189a933e5849daa93386466019ab50-2495160603","Name":"web","Labels":{"com.amazonaws.ecs.cluster":"c"}}"#,
        );

        let (key, before) = containers.find(uri.as_bytes(), Named::default(), Peer::default()).unwrap();
        let is_awaited = containers.awaited_until(&key).is_some();
        let renamed = answers(&mut containers);
        let (_, after) = containers.find(uri.as_bytes(), Named::default(), Peer::default()).unwrap();

        assert_eq!(vec![("id", ID_OF_URI)], before.container.which().collect::<Vec<_>>());
        assert!(is_awaited && !before.is_certain);
        assert!(Arc::ptr_eq(&before.container, &renamed[0].0));
        assert_eq!(
            vec![("id", ID_OF_URI), ("name", "web"), ("cluster", "c")],
            after.container.which().chain(after.container.what()).collect::<Vec<_>>()
        );
        assert_eq!(None, containers.awaited_until(&key));
    }

    #[test]
    fn answer_about_another_container_than_the_kernels_is_not_believed() {
        let (mut containers, uri) = with_endpoint(r#"{"DockerId":"another","Name":"stolen"}"#);

        let (_, found) = containers.find(uri.as_bytes(), certainly(LONG_ID), Peer::default()).unwrap();
        let renamed = answers(&mut containers);

        assert!(found.is_certain);
        assert_eq!(LONG_ID, found.container.id());
        assert!(renamed.is_empty());
        assert_eq!("53c1a26f3e1c", found.container.short_name());
    }

    #[test]
    fn no_process_makes_the_collector_ask_elsewhere_or_without_end() {
        let mut containers = Containers::new(Authority::default(), alarm());

        assert!(containers.find(b"http://10.0.0.1/v4/x", Named::default(), Peer::default()).is_none());
        assert!(containers.is_refused(b"http://10.0.0.1/v4/x") && !containers.is_refused(b""));
        let kept: Vec<(Key, Claim)> = (0..2 * MOST_KNOWN)
            .filter_map(|number| containers.find(b"", certainly(&format!("{number:064x}")), Peer::default()))
            .collect();
        assert_eq!(2 * MOST_KNOWN, kept.len());
        assert_eq!(MOST_KNOWN, containers.known.len());
        drop(kept);
        containers.find(b"", certainly(LONG_ID), Peer::default()).unwrap();
        assert_eq!(1, containers.known.len());
    }

    #[test]
    fn peer_that_names_many_containers_leaves_room_and_requests_to_others() {
        let (mut containers, uri) = with_endpoint("{}");
        let [many, other] = [1, 2].map(|cgroup| Peer { uid: Some(0), cgroup });
        let mut kept = Vec::new();
        let mut named = |peer, from: usize, count| {
            kept.extend((from..from + count).filter_map(|number| {
                containers.find(format!("{uri}{number}").as_bytes(), Named::default(), peer)
            }));
            (containers.known.len(), containers.asked)
        };

        let of_many = named(many, 0, 2 * MOST_KNOWN);
        let with_other = named(other, 1000, 1);

        assert_eq!((MOST_KNOWN_OF_PEER, MOST_ASKED_OF_PEER), of_many);
        assert_eq!((MOST_KNOWN_OF_PEER + 1, MOST_ASKED_OF_PEER + 1), with_other);
    }
}
