//! The doorman's end of the channel to the launcher, under `glassbox run`; nothing where there is no
//! launcher.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::io::Errno;

use crate::launch::channel::{CollectorEnd, Received};
use crate::launch::protocol::{ToCollector, ToLauncher};

/// The epoll token of the channel.
pub const LAUNCHER: u64 = 1;

/// See the module.
#[derive(Debug)]
pub struct Launcher {
    channel: Option<CollectorEnd>,
    epoll: Arc<OwnedFd>,
    /// A message waits for the launcher to read.
    wants_room: bool,
}

/// A message of the launcher.
#[derive(Debug)]
pub enum Said {
    /// The launcher sent this.
    Message(ToCollector),
    /// The launcher is gone.
    Gone,
}

impl Launcher {
    /// Watches the channel, where there is one, in `epoll`.
    pub fn new(channel: Option<CollectorEnd>, epoll: &Arc<OwnedFd>) -> Result<Self, Errno> {
        if let Some(channel) = &channel {
            epoll::add(&**epoll, channel, epoll::EventData::new_u64(LAUNCHER), epoll::EventFlags::IN)?;
        }
        Ok(Self { channel, epoll: Arc::clone(epoll), wants_room: false })
    }

    /// Whether there is a launcher, which keeps rings.
    pub fn is_there(&self) -> bool {
        self.channel.is_some()
    }

    /// Says [`ToLauncher::Ready`]; false when the launcher is gone.
    pub fn say_ready(&mut self) -> bool {
        match &mut self.channel {
            Some(channel) => channel.send(&ToLauncher::Ready, None).is_ok(),
            None => true,
        }
    }

    /// Says that an alert was urgent enough for the run to fail.
    pub fn say_alerted(&mut self) {
        if let Some(channel) = &mut self.channel {
            let _ = channel.send(&ToLauncher::Alerted, None);
        }
    }

    /// Says that there is still something to write.
    pub fn say_working(&mut self) {
        if let Some(channel) = &mut self.channel {
            let _ = channel.send(&ToLauncher::Working, None);
        }
    }

    /// Sends a message, with a ring's memory where it has one. A full channel takes the message later.
    pub fn send(&mut self, message: &ToLauncher, memfd: Option<&OwnedFd>) {
        let Some(channel) = &mut self.channel else { return };
        // The end of the channel tells that a launcher is gone.
        let _ = channel.send(message, memfd.map(AsFd::as_fd));
        if channel.has_unsent() && !self.wants_room {
            self.wants_room = true;
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT;
            let _ = epoll::modify(&*self.epoll, &*channel, epoll::EventData::new_u64(LAUNCHER), flags);
        }
    }

    /// The next message that is there; `None` when there is none.
    pub fn next(&mut self) -> Option<Said> {
        let channel = self.channel.as_mut()?;
        if self.wants_room && channel.flush().is_ok() && !channel.has_unsent() {
            self.wants_room = false;
            let data = epoll::EventData::new_u64(LAUNCHER);
            let _ = epoll::modify(&*self.epoll, &*channel, data, epoll::EventFlags::IN);
        }
        match channel.receive() {
            Received::Nothing => None,
            Received::Message(message, _) => Some(Said::Message(message)),
            Received::Closed => {
                // The descriptor would be readable for ever.
                let _ = epoll::delete(&*self.epoll, &*channel);
                self.channel = None;
                Some(Said::Gone)
            }
        }
    }

    /// Sends everything that is unsent, for at most `patience`.
    pub fn flush(&mut self, patience: Duration) {
        let begun = Instant::now();
        while let Some(channel) = &mut self.channel
            && channel.flush().is_ok()
            && channel.has_unsent()
            && begun.elapsed() < patience
        {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
