//! The boundary between the command line and the collector proper: the state that a collector process begins
//! with, and the two things that it does.
//!
//! `main` calls [`serve`] in the collector process (for `glassbox collect`, or as the launcher's child under
//! `glassbox run`) and [`replay`] for `glassbox replay`. Both return once everything is written.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::container::Authority;
use crate::door::Doorman;
use crate::door::news::{KeptRing, Word};
use crate::door::wires::ToPipeline;
use crate::evasion::watch::Watch;
use crate::launch::channel::CollectorEnd;
use crate::metrics::server;
use crate::notify::ring::Packets;
use crate::notify::sightings::{self, OfLauncher, Sightings};
use crate::notify::way::Ends;
use crate::outputs::Output;
use crate::pipeline::control::Control;
use crate::pipeline::{Pipeline, Wires};
use crate::reload::Reloader;
use crate::replay;
use crate::settings::judged::Judged;
use crate::shell::failure::{Failure, say};
use crate::shell::greeting;
use crate::shell::listeners::Listeners;
use crate::shell::stop::StopSignals;
use crate::sinks::carrier::kind::Opening;
use crate::sinks::{Backlog, Haste, Outlets, RunFacts};
use crate::stages::Stages;
use crate::system::clock::processor_time_ns;
use crate::system::kernel;
use crate::system::pulse::Pulses;

/// How much nicer than others the pipeline is (nice(2)), as far as the kernel lets it: where all processors
/// are busy, rings fill faster than a thread with an equal share reads them. auditd's `priority_boost` is the
/// same.
const NICENESS: i32 = -4;

/// Everything that a collector process starts from.
///
/// Terminal signals and SIGPIPE, SIGXFSZ are ignored by then (`run`), or blocked for `stop` (`collect`);
/// stdin is never read.
#[derive(Debug)]
pub struct Session {
    /// Listening SOCK_SEQPACKET sockets, non-blocking, close-on-exec.
    pub listeners: Listeners,
    /// The channel to the launcher, under `run`. Its end means that the launcher was killed: the session
    /// drains, writes and returns, as it does when the launcher asks for that.
    pub launcher: Option<CollectorEnd>,
    /// Readable once the user asked `collect` to end: the session drains, writes and returns.
    pub stop: Option<StopSignals>,
    /// Reads the settings again, where a signal may ask for that.
    pub reloader: Option<Reloader>,
    /// What is shown on stderr once programs can attach.
    pub greeting: Option<String>,
    /// Whether the session ends once nothing reads its outputs any more.
    pub ends_with_readers: bool,
    /// Whether a signal may ask for a summary of what happened so far.
    pub gathers_page: bool,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// At least one.
    pub outputs: Vec<Output>,
    /// What events go through before them.
    pub judged: Judged,
    /// Whether the outputs begin, or continue those of a collector that died.
    pub opening: Opening,
    /// The rings that an earlier collector of this run was reading, each with the blob it left.
    pub handed_over: Vec<KeptRing>,
    /// Where the supervisor's packets arrive, where there is one.
    pub sightings: Option<Ends>,
    /// How many collectors of this run died before this one.
    pub restarts: u32,
    /// The endpoint that knows the names of containers.
    pub authority: Authority,
    /// Lets another thread talk to the session.
    pub control: Control,
    /// The address that programs connect to when they are ready to serve requests. Their events from then on
    /// belong to the first request.
    pub requests_from: Option<SocketAddr>,
}

/// Collects until the launcher, or `stop`, asks for the end; returns with everything drained and written.
///
/// Opens the outputs first, and fails with status 73 if one cannot be made; then says
/// [`ToLauncher::Ready`](crate::launch::protocol::ToLauncher::Ready) to the launcher, which starts CMD.
pub fn serve(session: Session) -> Result<(), Failure> {
    let Session {
        listeners,
        launcher,
        stop,
        reloader,
        greeting,
        ends_with_readers,
        gathers_page,
        metrics,
        outputs,
        judged,
        opening,
        handed_over,
        sightings,
        restarts,
        authority,
        control,
        requests_from,
    } = session;
    let Control { news_tx, news_rx, doorbell } = control;
    // Before any thread is started.
    kernel::ask_for_short_turns();
    kernel::return_large_memory();
    let pulses = Arc::new(Pulses::default());
    let mut outlets = Outlets::open_watched(&outputs, opening, Backlog::Drop, &pulses)?;
    if gathers_page {
        outlets.gather_page()?;
    }
    if let Some(address) = metrics {
        let metrics = Arc::default();
        match (server::start(address, &metrics, &pulses), opening) {
            (Err(failure), Opening::Fresh) => return Err(failure),
            // Whoever took the port of a collector that died does not keep the next one from its work.
            (Err(failure), Opening::Resumed) => say(&failure.to_string()),
            (Ok(()), _) => outlets.count_in(metrics),
        }
    }
    raise_descriptor_limit();
    keep_rings_out_of_core_dumps();
    let (sent_tx, sent_rx) = sightings::channel();
    let mut doorman = Doorman::new(
        listeners,
        launcher,
        stop,
        authority,
        ToPipeline { news_tx, sent_tx: sent_tx.clone(), doorbell: Arc::clone(&doorbell) },
        Arc::clone(&pulses),
    )?;
    doorman.asks = judged.asks;
    doorman.reloader = reloader;
    if ends_with_readers {
        doorman.end_with_readers(outputs);
    }
    let is_without_command = Arc::clone(&doorman.is_without_command);
    let reply = doorman.reply();
    let is_supervised = sightings.is_some();
    if let Some(Ends { socket, memfd }) = sightings {
        let packets = memfd.map(Packets::of).transpose().map_err(|refusal| {
            Failure::internal(format!("cannot read the supervisor's ring: {}", refusal.reason()))
        })?;
        let supervisor = Sightings::read(socket, packets, OfLauncher, sent_tx, Arc::clone(&doorbell));
        doorman.hear_sightings(supervisor.map_err(|error| {
            Failure::internal(format!("cannot start a thread: {error}; raise the limit of threads"))
        })?);
    }
    let watch = Watch::start(Arc::clone(&doorbell)).map_err(|error| {
        Failure::internal(format!("cannot start a thread: {error}; raise the limit of threads"))
    })?;
    let wires = Wires {
        deathwatch: doorman.deathwatch(),
        reply: reply.clone(),
        news_rx,
        sent_rx,
        watch: Some(watch),
        sightings: Vec::new(),
        is_supervised,
        doorbell,
        pulse: pulses.add("the pipeline"),
    };
    let verdict = judged.verdict;
    let pipeline = std::thread::Builder::new()
        .name("pipeline".into())
        .spawn(move || {
            // Refused without CAP_SYS_NICE: then it has a thread's share, as others have.
            let _ = rustix::process::nice(NICENESS);
            let (outlets, haste) =
                Pipeline::new(judged.stages, outlets, wires, requests_from).asking(judged.asks).run();
            let facts = RunFacts {
                restarts,
                collector_ns: processor_time_ns(),
                // Acquire: pairs with the doorman's, before the end.
                is_without_command: is_without_command.load(Ordering::Acquire),
            };
            outlets.finish_in(facts, haste);
            reply.leave(Word::Written);
            reply.alarm();
        })
        .map_err(|error| {
            Failure::internal(format!("cannot start a thread: {error}; raise the limit of threads"))
        })?;
    if let Some(greeting) = greeting {
        greeting::show(&greeting);
    }
    doorman.take_over(handed_over);
    if !doorman.say_ready() {
        doorman.finish(Haste::Patient);
    } else if !doorman.serve() {
        // The threads end with the process.
        return Err(Failure::internal(
            "a thread of the collector stands still; the outputs may lack their last events".to_owned(),
        ));
    }
    // A panic ends the process, so the result cannot be one.
    let _ = pipeline.join();
    if verdict.is_failed() {
        doorman.say_alerted();
    }
    doorman.flush(Duration::from_secs(1));
    match doorman.readers {
        Some(readers) if readers.are_gone() => Err(Failure::output(
            "collecting has ended: nothing reads its output any more; give it a second one (-o jsonl:FILE) to go on \
             without a reader",
        )),
        _ => Ok(()),
    }
}

/// Leaves anonymous shared mappings out of a core dump of the collector (core(5)): they hold what programs
/// did.
fn keep_rings_out_of_core_dumps() {
    let _ = std::fs::write("/proc/self/coredump_filter", "0x31");
}

/// The collector keeps a descriptor for each process, so it takes as many as it is allowed.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // With a lower limit the collector sees fewer processes die.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Sends the events of a recording through `stages` to the outputs.
///
/// Fails with status 66 if `file` cannot be read, 65 if it is not a whole recording (after writing what it
/// holds), 73 if an output cannot be made.
pub fn replay(files: &[PathBuf], outputs: &[Output], stages: Stages) -> Result<(), Failure> {
    replay::replay(files, outputs, stages)
}
