//! `glassbox top`: a live view of a running collector.
//!
//! A thread reads the recording that the collector sends and keeps [`live`]; the main thread draws it once a
//! second, and takes keys. Nothing is asked of the programs that are watched. See ADR 49.

mod link;
mod live;
mod own;
mod printed;
mod rates;
#[cfg(test)]
mod tests;
mod view;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event, KeyEventKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::event::Batch;
use crate::shell::failure::{Failure, Status};
use crate::shell::socket::Name;
use crate::shell::stop::{Beside, StopSignals};
use crate::sinks::recording::reader::{Frame, Reader};
use crate::stages::Stages;
use link::Packets;
use live::{Live, Standing, lock};
use own::Own;
use view::{View, Wish};

/// It looks so often.
const LOOK: Duration = Duration::from_secs(1);
/// Keys and signals are waited for so long.
const NAP: Duration = Duration::from_millis(100);

/// Watches the collector at `name` until the user leaves. Events go through `stages` first.
///
/// Fails with status 64 where there is no terminal, 1 where no collector answers, 69 where it refuses.
pub fn watch(name: Name, stages: Stages, record_to: PathBuf) -> Result<(), Failure> {
    check_terminal("'glassbox top' needs a terminal; for a file or a pipe use 'glassbox collect -o jsonl'")?;
    let packets = link::connect(&name)?;
    // Before a thread is started, which would take the signals.
    let mut stop = StopSignals::watch(Beside::None)?;
    let live = Arc::new(Mutex::new(Live::new(stages)));
    let feeding = Arc::clone(&live);
    thread::Builder::new()
        .name("feed".into())
        .spawn(move || feed(&name, packets, &feeding))
        .map_err(|error| Failure::internal(format!("cannot start a thread: {error}")))?;
    show(&live, &mut stop, View::new(record_to), None)
}

/// Runs a program with these options of `glassbox run`, and watches it until the user leaves; prints what it
/// prints then, until it ends. Gives its status. Fails with status 64 where there is no terminal.
pub fn run(
    options: &[OsString],
    command: &[OsString],
    stages: Stages,
    record_to: PathBuf,
) -> Result<u8, Failure> {
    check_terminal("--tui needs a terminal; leave it out where there is none")?;
    // It is given no signal mask or disposition of the view's.
    let started = own::start(options, command)?;
    let mut stop = StopSignals::watch(Beside::None)?;
    let live = Arc::new(Mutex::new(Live::new(stages)));
    let mut own = started.read(&live)?;
    let shown = show(&live, &mut stop, View::new(record_to), Some(&mut own));
    let status = own.wait(&live, || stop.take());
    shown.map(|()| status)
}

fn check_terminal(refusal: &str) -> Result<(), Failure> {
    let has_one = io::stdout().is_terminal() && io::stdin().is_terminal();
    if has_one { Ok(()) } else { Err(Failure::usage(refusal)) }
}

fn show(
    live: &Mutex<Live>,
    stop: &mut StopSignals,
    view: View,
    own: Option<&mut Own>,
) -> Result<(), Failure> {
    let failed = |error| Failure::new(Status::Output, format!("the terminal cannot be used: {error}"));
    // Restored when this function ends, and by a panic.
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let watched = serve(&mut terminal, live, stop, view, own);
    // A terminal that is gone cannot be restored. What ratatui says of that, it would say there, and panic.
    if terminal.show_cursor().is_err() {
        std::mem::forget(terminal);
    }
    let _ = ratatui::try_restore();
    // A recording gets its end.
    if lock(live).is_recording() {
        lock(live).record(std::path::Path::new(""));
    }
    watched.map_err(failed)
}

fn serve(
    terminal: &mut ratatui::DefaultTerminal,
    live: &Mutex<Live>,
    stop: &mut StopSignals,
    mut view: View,
    mut own: Option<&mut Own>,
) -> io::Result<()> {
    let mut looked = Instant::now();
    let mut is_first = true;
    loop {
        let columns = usize::from(terminal.size()?.width);
        let is_due = is_first || looked.elapsed() >= LOOK;
        if is_due {
            view.look(&lock(live), looked.elapsed().as_secs_f64(), columns);
            (looked, is_first) = (Instant::now(), false);
        }
        let is_running = own.as_mut().is_some_and(|own| own.is_running(live));
        let has_signal = match &own {
            // The program gets it first: a hang-up comes more than once.
            Some(own) => stop.take().map(|signal| own.signal(signal)).is_some(),
            None => stop.next().is_some(),
        };
        if has_signal {
            return Ok(());
        }
        // What it printed says why.
        if own.as_ref().is_some_and(|own| own.never_began(live)) {
            return Ok(());
        }
        if !has_terminal(if is_due { Duration::ZERO } else { NAP }) {
            return Ok(());
        }
        let has_changed = event::poll(Duration::ZERO)? && {
            if let Event::Key(key) = event::read()?
                && key.kind != KeyEventKind::Release
            {
                match (view.key(key, &mut lock(live)), &own) {
                    (Wish::Interrupt, Some(own)) if is_running => own.signal(libc::SIGINT),
                    (Wish::Interrupt | Wish::Leave, _) => return Ok(()),
                    (Wish::Stay, _) => {}
                }
            }
            // Rates are of whole looks.
            view.arrange(&lock(live), columns);
            true
        };
        if is_due || has_changed {
            terminal.draw(|frame| view.draw(frame, &lock(live)))?;
        }
    }
}

/// Waits for a key, at most so long; false where the terminal is gone, which would look like keys without
/// end.
fn has_terminal(patience: Duration) -> bool {
    let stdin = io::stdin();
    let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
    let patience = Timespec { tv_sec: 0, tv_nsec: i64::from(patience.subsec_nanos()) };
    let _ = poll(&mut polled, Some(&patience));
    !polled[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)
}

/// Takes in what the collector sends; looks for it again once that has an end.
fn feed(name: &Name, first: Packets, live: &Mutex<Live>) {
    let mut packets = Some(first);
    loop {
        let gone = match packets.take().map_or_else(|| link::connect(name), Ok) {
            Ok(packets) => {
                lock(live).begin_session();
                read(packets, live)
            }
            Err(failure) => failure.to_string(),
        };
        lock(live).standing = Standing::Gone(gone);
        thread::sleep(LOOK);
    }
}

/// Reads a recording to its end; says what that was.
fn read(packets: Packets, live: &Mutex<Live>) -> String {
    let mut reader = match Reader::new(packets) {
        Ok(reader) => reader,
        Err(trouble) => return format!("the collector ended: what it sent {trouble}"),
    };
    loop {
        match reader.next(Batch::default()) {
            Ok(Frame::Batch(batch)) => lock(live).take(batch),
            Ok(Frame::End(_)) => return "the collector ended".to_owned(),
            Err(_) => return "the collector ended, or let go of a view that stood still".to_owned(),
        }
    }
}
