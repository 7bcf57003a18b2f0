//! The boundary between the outer shell and the collector proper: what a collector process is given, and
//! the two things it does.
//!
//! `main` calls [`serve`] in the collector process (for `glassbox collect`, or as the launcher's child under
//! `glassbox run`) and [`replay`] for `glassbox replay`. Both return once everything is written.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketFlags, accept_with, recvmsg, send,
};

use crate::failure::Failure;
use crate::launch::channel::{CollectorEnd, Received};
use crate::launch::protocol::{RingId, ToCollector, ToLauncher};
use crate::outputs::{Opening, Output};
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
}

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
/// [`ToLauncher::Ready`] to the launcher, which starts CMD.
pub fn serve(mut session: Session) -> Result<(), Failure> {
    for output in &session.outputs {
        output.destination.open(session.opening)?;
    }
    let mut next_id = session.handed_over.iter().map(|ring| ring.id + 1).max().unwrap_or(0);
    if let Some(launcher) = &mut session.launcher
        && launcher.send(&ToLauncher::Ready, None).is_err()
    {
        return Ok(());
    }
    let mut guests: Vec<OwnedFd> = Vec::new();
    loop {
        let mut polled: Vec<PollFd<'_>> =
            session.listeners.iter().chain(&guests).map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        polled.extend(session.launcher.iter().map(|launcher| PollFd::new(launcher, PollFlags::IN)));
        polled.extend(session.stop.iter().map(|stop| PollFd::new(stop, PollFlags::IN)));
        let _ = poll(&mut polled, None);
        for listener in &session.listeners {
            guests.extend(accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK));
        }
        let mut is_over = session.stop.as_mut().is_some_and(StopSignals::was_asked);
        guests.retain(|guest| match greet(guest) {
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            Ok(memfd) => {
                if let (Some(launcher), Some(memfd)) = (&mut session.launcher, memfd) {
                    is_over |= launcher
                        .send(&ToLauncher::Keep { id: next_id, blob: Vec::new() }, Some(memfd.as_fd()))
                        .is_err();
                    next_id += 1;
                }
                false
            }
        });
        while let Some(launcher) = &mut session.launcher {
            match launcher.receive() {
                Received::Message(ToCollector::Finish | ToCollector::FinishWhenIdle, _)
                | Received::Closed => {
                    return Ok(());
                }
                Received::Message(..) => {}
                Received::Nothing => break,
            }
        }
        if is_over {
            return Ok(());
        }
    }
}

/// Reads a guest's only message; answers `health`, returns a sensor's memfd.
fn greet(guest: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    let mut message = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [io::IoSliceMut::new(&mut message)];
    let length = recvmsg(guest, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC)?.bytes;
    if message.get(..length) == Some(HEALTH_QUESTION) {
        let _ = send(guest, HEALTH_ANSWER, SendFlags::NOSIGNAL);
    }
    let mut memfd = None;
    for ancillary in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = ancillary {
            memfd = descriptors.next();
        }
    }
    Ok(memfd)
}

/// Sends the events of a recording to the outputs.
///
/// Fails with status 66 if `file` cannot be read, 65 if it is not a whole recording (after writing what it
/// holds), 73 if an output cannot be made.
pub fn replay(file: &Path, outputs: &[Output]) -> Result<(), Failure> {
    std::fs::File::open(file).map_err(|error| {
        Failure::missing(format!("cannot read recording '{}': {error}; check the path", file.display()))
    })?;
    for output in outputs {
        output.destination.open(Opening::Fresh)?;
    }
    Ok(())
}
