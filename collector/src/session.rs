//! The boundary between the outer shell and the collector proper: what a collector process is given, and
//! the two things it does.
//!
//! `main` calls [`serve`] in the collector process (for `glassbox collect`, or as the launcher's child under
//! `glassbox run`) and [`replay`] for `glassbox replay`. Both return once everything is written.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use crate::attach::{Doorman, News, Settle, Turn, Word};
use crate::clock::now_ns;
use crate::container::Authority;
use crate::drain;
use crate::drain::bells::Doorbell;
use crate::failure::Failure;
use crate::launch::channel::CollectorEnd;
use crate::launch::protocol::RingId;
use crate::outputs::{Opening, Output};
use crate::sinks::{self, Backlog, Outlets, RunFacts};
use crate::stop::StopSignals;

/// What `glassbox health` sends as its only message, in place of a sensor's hello.
pub const HEALTH_QUESTION: &[u8] = b"glassbox: ready?";
/// What a collector that is ready answers to it.
pub const HEALTH_ANSWER: &[u8] = b"ready";

/// Everything that a collector process starts from.
///
/// Terminal signals and SIGPIPE, SIGXFSZ are ignored by then (`run`), or blocked for `stop` (`collect`);
/// stdin is never read.
#[derive(Debug)]
pub struct Session {
    /// Listening SOCK_SEQPACKET sockets, non-blocking, close-on-exec.
    pub listeners: Vec<OwnedFd>,
    /// The way to the launcher, under `run`. Its end ([`Received::Closed`]) means that the launcher was
    /// killed: drain, write and return, as for [`ToCollector::Finish`].
    pub launcher: Option<CollectorEnd>,
    /// Readable once the user asked `collect` to end: drain, write and return.
    pub stop: Option<StopSignals>,
    /// Where to write, one at least.
    pub outputs: Vec<Output>,
    /// Whether the outputs begin, or continue those of a collector that died.
    pub opening: Opening,
    /// The rings that an earlier collector of this run was reading, each with the blob it left.
    pub handed_over: Vec<KeptRing>,
    /// How many collectors of this run died before this one.
    pub restarts: u32,
    /// Who is asked what containers are called.
    pub authority: Authority,
    /// What a thread beside the session tells it, where there is one.
    pub control: Control,
    /// Where programs connect to that are ready to serve requests: what they do from then on belongs to the first one.
    pub requests_from: Option<SocketAddr>,
}

/// Talks to a session from another thread, before it has begun too.
#[derive(Clone, Debug)]
pub struct Control {
    news_tx: Sender<News>,
    news_rx: Receiver<News>,
    doorbell: Arc<Doorbell>,
}

impl Default for Control {
    fn default() -> Self {
        let (news_tx, news_rx) = crossbeam_channel::unbounded();
        Self { news_tx, news_rx, doorbell: Arc::default() }
    }
}

impl Control {
    fn tell(&self, news: News) {
        // The other end is in `self` too.
        let _ = self.news_tx.send(news);
        self.doorbell.ring();
    }

    /// Says which request is served from now on, or from the border on where there is one.
    pub fn turn(&self, turn: Turn) {
        self.tell(News::Turn(turn, now_ns()));
    }

    /// Waits, at most for `patience`, until everything that happened before is delivered and written; false where that
    /// was too short. With `is_border` what happens after that belongs to the next request, and is held back until
    /// [`Self::turn`] tells of it.
    pub fn settle(&self, patience: Duration, is_border: bool) -> bool {
        let (done_tx, done_rx) = crossbeam_channel::bounded(0);
        let until_ns = now_ns();
        let patience_ns = u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX);
        let deadline_ns = until_ns.saturating_add(patience_ns);
        self.tell(News::Settle(Settle { until_ns, deadline_ns, is_border, told_ns: None, done_tx }));
        done_rx.recv_timeout(patience + SINKS_PATIENCE)
            == Err(crossbeam_channel::RecvTimeoutError::Disconnected)
    }
}

/// How long sinks are waited for that have been told to write what they have.
const SINKS_PATIENCE: Duration = Duration::from_millis(100);

/// A ring that survived its collector.
#[derive(Debug)]
pub struct KeptRing {
    /// The id it was kept under; stays in use.
    pub id: RingId,
    /// What the earlier collector said of it in [`ToLauncher::Keep`].
    pub blob: Vec<u8>,
    /// The ring's memory.
    pub memfd: OwnedFd,
}

/// Collects until told to end; returns with everything drained and written.
///
/// Opens the outputs first, and fails with status 73 if one cannot be made; then says
/// [`ToLauncher::Ready`](crate::launch::protocol::ToLauncher::Ready) to the launcher, which starts CMD.
pub fn serve(session: Session) -> Result<(), Failure> {
    let Session {
        listeners,
        launcher,
        stop,
        outputs,
        opening,
        handed_over,
        restarts,
        authority,
        control,
        requests_from,
    } = session;
    let Control { news_tx, news_rx, doorbell } = control;
    let outlets = Outlets::open(&outputs, opening, Backlog::Drop)?;
    raise_descriptor_limit();
    keep_rings_out_of_core_dumps();
    let mut doorman = Doorman::new(listeners, launcher, stop, authority, news_tx, Arc::clone(&doorbell))?;
    let (deathwatch, reply) = (doorman.deathwatch(), doorman.reply());
    let drain = std::thread::Builder::new()
        .name("drain".into())
        .spawn(move || {
            let outlets = drain::run(outlets, deathwatch, &reply, &news_rx, &doorbell, requests_from);
            outlets.finish(RunFacts { restarts, collector_ns: processor_time_ns() });
            reply.leave(Word::Written);
            reply.alarm();
        })
        .map_err(|error| {
            Failure::internal(format!("cannot start a thread: {error}; raise the limit of threads"))
        })?;
    doorman.take_over(handed_over);
    if doorman.say_ready() {
        doorman.serve();
    } else {
        doorman.finish();
    }
    // A panic ends the process, so there is nothing to hear from it.
    let _ = drain.join();
    doorman.flush(Duration::from_secs(1));
    Ok(())
}

/// Processor time that this process has used.
fn processor_time_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec.cast_unsigned().saturating_mul(1_000_000_000).saturating_add(time.tv_nsec.cast_unsigned())
}

/// A core dump of the collector need not hold what programs did: without anonymous shared mappings (core(5)).
fn keep_rings_out_of_core_dumps() {
    let _ = std::fs::write("/proc/self/coredump_filter", "0x31");
}

/// One descriptor is kept for each process: as many as we are allowed.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // A limit that stays as it is only means that fewer processes are seen to die.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Sends the events of a recording to the outputs.
///
/// Fails with status 66 if `file` cannot be read, 65 if it is not a whole recording (after writing what it
/// holds), 73 if an output cannot be made.
pub fn replay(file: &Path, outputs: &[Output]) -> Result<(), Failure> {
    sinks::replay::replay(file, outputs)
}
