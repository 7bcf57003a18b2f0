//! Connections: accepted, heard once, and let go.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{SendFlags, SocketFlags, accept_with, send};
use wire::hello::{Hello, PROOF_QUESTION};

use super::Doorman;
use super::guests::{self, Message};
use super::news::News;
use super::proof;
use super::watchers::{MOST_WATCHERS, WATCHER, Watcher, may_watch};
use crate::ids::MonoNs;
use crate::notify::link::SUPERVISES;
use crate::shell::socket::{HEALTH_ANSWER, HEALTH_QUESTION, WATCH_ACCEPTED, WATCH_QUESTION, WATCH_REFUSED};
use crate::sinks::carrier::watcher;
use crate::sinks::encoder::Plan;
use crate::sinks::{OutputChange, recording};

/// Out of descriptors or memory, the doorman waits so long before it accepts again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// Descriptors that wait to be closed are waited for so long: most are closed in it.
const CLOSE_PAUSE: Duration = Duration::from_millis(1);
/// Guests that may have spoken by the time that the next one is accepted: there are few, unless strangers
/// stay silent.
const MOST_HEARD_AGAIN: usize = 8;
/// Connections accepted in one go, so that everything else has its turn.
const MOST_ACCEPTED: usize = 128;
/// At the end, connections that wait are accepted for so long.
const LAST_ACCEPT: Duration = Duration::from_millis(100);

impl Doorman {
    /// Accepts the connections that wait, for a bounded time.
    pub(super) fn let_all_in(&mut self) {
        let begun = Instant::now();
        for index in 0..self.listeners.len() {
            while self.let_in(index) && begun.elapsed() < LAST_ACCEPT {}
        }
    }

    /// Whether so many descriptors of strangers wait to be closed that no more can be taken. They are waited
    /// for a moment.
    fn is_crowded(&mut self) -> bool {
        if !self.janitor.is_full() {
            return false;
        }
        std::thread::sleep(CLOSE_PAUSE);
        let is_crowded = self.janitor.is_full();
        if is_crowded {
            self.complain(
                "strangers sent so many descriptors that no sensor is let in until they are closed",
            );
        }
        is_crowded
    }

    /// Accepts the connections that wait at a listener, some at a time. False once there are no more.
    pub(super) fn let_in(&mut self, index: usize) -> bool {
        for _ in 0..MOST_ACCEPTED {
            if self.is_crowded() {
                self.has_left_some = true;
                return false;
            }
            let Some(listener) = self.listeners.get(index) else { return false };
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            match accept_with(listener, flags) {
                Ok(guest) => self.greet(guest),
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(Errno::AGAIN) => return false,
                Err(error) => {
                    // Without the pause epoll would announce the waiting connections without end.
                    self.complain(&format!("cannot let a sensor in: {error}; raise the limit of open files"));
                    std::thread::sleep(ACCEPT_PAUSE);
                    self.has_left_some = true;
                    return false;
                }
            }
        }
        true
    }

    /// Hears a new guest at once if it has spoken, as sensors do right after connecting; else waits for it.
    ///
    /// Those that came before it are heard first: one may be an image of the same process, which has executed
    /// the new guest since, or of its parent.
    fn greet(&mut self, guest: OwnedFd) {
        for token in self.guests.latest(MOST_HEARD_AGAIN) {
            self.hear_guest(token);
        }
        let Some(guest) = self.hear(guest) else { return };
        let token = self.guests.next_token();
        let data = epoll::EventData::new_u64(token);
        match epoll::add(&*self.epoll, &guest, data, epoll::EventFlags::IN) {
            Ok(()) => self.keep(token, guest),
            Err(_) => self.janitor.dismiss(guest),
        }
    }

    pub(super) fn hear_guest(&mut self, token: u64) {
        // What it said stays where it is, and is announced again.
        if self.is_crowded() {
            self.has_left_some = true;
            return;
        }
        if let Some(guest) = self.guests.take(token)
            && let Some(guest) = self.hear(guest)
        {
            self.keep(token, guest);
        }
    }

    fn keep(&mut self, token: u64, guest: OwnedFd) {
        if let Some(oldest) = self.guests.keep(token, guest) {
            self.janitor.dismiss(oldest);
        }
    }

    /// Answers a guest's message. Gives the guest back when its hello has not come yet.
    fn hear(&mut self, guest: OwnedFd) -> Option<OwnedFd> {
        match guests::receive(&guest) {
            // The hello comes next on the same connection, and is the message that brings a descriptor.
            Ok(Some(message)) if message.bytes() == PROOF_QUESTION && message.descriptors.is_empty() => {
                if proof::is_given(&guest) {
                    return Some(guest);
                }
            }
            Ok(Some(message)) if message.bytes().starts_with(SUPERVISES) => {
                self.hear_supervisor(guest, message);
                return None;
            }
            Ok(Some(message)) if message.bytes() == WATCH_QUESTION => {
                self.janitor.close(message.descriptors);
                self.hear_watcher(guest);
                return None;
            }
            Ok(Some(message)) => self.answer_guest(&guest, message),
            Ok(None) => return Some(guest),
            Err(_) => {}
        }
        self.janitor.dismiss(guest);
        None
    }

    fn answer_guest(&mut self, guest: &OwnedFd, mut message: Message) {
        let mut descriptors = std::mem::take(&mut message.descriptors).into_iter();
        let descriptor = descriptors.next();
        self.janitor.close(descriptors);
        let sender = std::mem::take(&mut message.sender);
        match message.bytes() {
            [] => {}
            HEALTH_QUESTION => {
                let answer = match self.pulses.stuck(MonoNs::now()) {
                    None => HEALTH_ANSWER.to_vec(),
                    Some((thread, time)) => {
                        format!("{thread} has stood still for {} s", time.as_secs()).into_bytes()
                    }
                };
                let _ = send(guest, &answer, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
            }
            bytes => match Hello::decode(bytes) {
                Ok(hello) => return self.welcome(guest, sender, &hello, descriptor),
                Err(_) => self.complain("a peer at the socket is no sensor, and is ignored"),
            },
        }
        self.janitor.close(descriptor);
    }

    /// Lets a peer watch, or tells it why not.
    pub(super) fn hear_watcher(&mut self, connection: OwnedFd) {
        let refused = match may_watch(&connection) {
            Ok(()) if self.watchers.list.len() >= MOST_WATCHERS => Err("four others watch already"),
            result => result,
        };
        let answer = |text: &[u8]| send(&connection, text, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
        if let Err(why) = refused {
            let _ = answer(&[WATCH_REFUSED, why.as_bytes()].concat());
            return self.janitor.dismiss(connection);
        }
        let token = WATCHER | self.watchers.next;
        let flags = epoll::EventFlags::RDHUP | epoll::EventFlags::ONESHOT;
        let data = epoll::EventData::new_u64(token);
        // A guest that did not speak at once is watched for that already.
        let is_watched = epoll::add(&*self.epoll, &connection, data, flags)
            .or_else(|_| epoll::modify(&*self.epoll, &connection, data, flags));
        let (Ok(stream), Ok(())) = (connection.try_clone(), is_watched) else {
            return self.janitor.dismiss(connection);
        };
        let _ = answer(WATCH_ACCEPTED);
        self.watchers.next += 1;
        let (id_tx, id_rx) = bounded(1);
        self.tell(News::Output(OutputChange::Add {
            name: "recording to a watcher".into(),
            encoder: (recording::writer::FORMAT.build)(&Plan::default()),
            opened: watcher::opened(stream),
            id_tx,
        }));
        self.watchers.list.push(Watcher { token, connection, id_rx });
    }

    /// A watcher has hung up, or was let go.
    pub(super) fn lose_watcher(&mut self, token: u64) {
        let Some(place) = self.watchers.list.iter().position(|watcher| watcher.token == token) else {
            return;
        };
        let Watcher { connection, id_rx, .. } = self.watchers.list.swap_remove(place);
        self.janitor.dismiss(connection);
        self.tell(News::Output(OutputChange::Remove { id_rx }));
    }
}
