//! News of the doorman, of the launcher, and of a thread beside the session.

use std::sync::Arc;

use wire::events::Usage;

use super::conductor::{MOST_SENT, Pipeline, Wires};
use super::session::{UnseenCommand, Wish};
use crate::allowance::Resource;
use crate::census::image::{EndKind, ProcessImage};
use crate::census::reports::WaitReport;
use crate::door::identity::Identity;
use crate::door::news::{Attached, News, Unseen};
use crate::enrich::blind::{self, Arguments, BlindProgram};
use crate::enrich::process::Process;
use crate::event::{Circumstances, Claimed, Who};
use crate::ids::{ImageId, MonoNs, Pid, ProcessKey};
use crate::launch::protocol::Reaped;
use crate::notify::sightings::Sightings;
use crate::reload::Reloaded;

/// Programs that say that they cannot be seen into and wait; the first makes way for one more.
const MOST_UNSEEN: usize = 1024;

impl Pipeline {
    /// Hears all news that are there. True if there were any.
    pub(super) fn hear_news(&mut self) -> bool {
        self.look_at_frontier();
        self.hear_first(self.wires.news_rx.len())
    }

    /// As [`Self::hear_news`], after what supervisors said: what is said of a process while its exec waits
    /// was said before the hello of the program that it executes.
    pub(super) fn hear_news_after_sent(&mut self) -> bool {
        self.look_at_frontier();
        let count = self.wires.news_rx.len();
        self.take_sent();
        self.hear_first(count)
    }

    /// News that were told before are heard afterwards, and what supervisors said is taken in, before
    /// anything is delivered.
    fn look_at_frontier(&mut self) {
        let Wires { deathwatch, sightings, sent_rx, .. } = &self.wires;
        let told_until = || {
            let by_supervisors = sightings.iter().map(Sightings::told_until);
            by_supervisors.fold(deathwatch.told_until(), MonoNs::min)
        };
        let has_told_all = || {
            deathwatch.has_told_all()
                && sightings.iter().all(Sightings::has_told_all)
                && sent_rx.len() <= MOST_SENT
        };
        self.order.frontier.look(told_until, has_told_all);
    }

    /// Hears so many news, as far as they are there. True if there were to be any.
    ///
    /// Not those that come meanwhile: strangers may make as many as the doorman tells of.
    fn hear_first(&mut self, count: usize) -> bool {
        for news in self.wires.news_rx.clone().try_iter().take(count) {
            self.hear(news);
        }
        count > 0
    }

    /// Whether the session is over.
    pub(super) fn is_over(&self) -> bool {
        match self.session.wish {
            Wish::GoOn => false,
            Wish::EndWhenIdle => self.census.len() == 0,
            Wish::End => true,
        }
    }

    /// Hears one piece of news.
    pub fn hear(&mut self, news: News) {
        match news {
            News::Attached(attached) => {
                // What a supervisor said of the process was sent before it went on to this.
                self.take_sent();
                self.attach(*attached);
            }
            News::Blind(unseen) => self.let_wait(unseen),
            News::Sightings(sightings) => {
                self.wires.sightings.retain(|known| !known.is_over());
                self.wires.sightings.push(sightings);
            }
            News::Supervisor(process) => self.census.note_supervisor(process, false),
            News::Died(image, at) => self.census.end(image, EndKind::Death, at, &mut self.rings),
            News::Renamed(before, after) => self.census.rename(&before, &after),
            News::Command(started) => self.command_started(UnseenCommand::new(*started)),
            News::Exited(exited) => self.reaped(&exited),
            News::NotAskedAbout => self.census.is_all_asked_about = false,
            News::Turn(turn, heard) => self.turn(turn, heard),
            News::Flush(flush) => self.flushes.add(flush),
            News::Output(change) => {
                // Events until here go to the outputs until here.
                self.publish();
                self.outbox.change_outputs(change);
            }
            News::Reloaded(reloaded) => self.take_up(*reloaded),
            News::ShowPage => {
                self.publish();
                self.outbox.outlets_mut().show_page();
            }
            News::FinishWhenIdle => self.session.wish = Wish::EndWhenIdle,
            News::Finish(haste) => {
                self.session.wish = Wish::End;
                self.session.haste = haste;
            }
        }
        self.carry_out_changes();
    }

    /// Lets what comes from here on go by other settings.
    fn take_up(&mut self, Reloaded { stages, outputs, .. }: Reloaded) {
        self.publish();
        if let Some((stages, asks)) = stages {
            self.census.asks = asks;
            self.outbox.change_stages(stages);
        }
        self.outbox.outlets_mut().exchange(outputs);
    }

    /// Takes a ring in.
    pub fn attach(&mut self, attached: Attached) {
        self.see_command(attached.identity.key);
        self.see_child_of_command(&attached.identity);
        self.census.attach(attached, &mut self.rings, MonoNs::now());
        self.carry_out_changes();
    }

    /// A process was seen: if it is CMD, its sensor has said hello.
    fn see_command(&mut self, key: ProcessKey) {
        self.session.unseen_command.take_if(|command| key == ProcessKey::here(command.pid()));
    }

    /// The launcher started CMD; its sensor may have said hello before this was heard, or a child of it.
    fn command_started(&mut self, command: UnseenCommand) {
        if self.census.is_all_asked_about && self.see_supervised(&command) {
            return;
        }
        if self.census.has_seen(&ProcessKey::here(command.pid())) {
            return;
        }
        let is_its_child =
            |image: &ProcessImage| command.is_parent_of(image.key, image.ppid, image.uid, image.claimed);
        let has_child = self.census.iter().any(is_its_child);
        self.session.unseen_command = Some(command);
        if has_child {
            self.tell_command();
        }
    }

    /// Reports CMD as a program whose calls the kernel asks about, where no sensor can be in it; false where
    /// one may.
    fn see_supervised(&mut self, command: &UnseenCommand) -> bool {
        let reason = self.census.reason_at(&command.started.path);
        if !blind::is_mute(reason) {
            return false;
        }
        let image = self.census.notified(ProcessKey::here(command.pid()), &mut self.rings);
        self.carry_out_changes();
        if let Some(known) = self.census.get_mut(image) {
            // It may be dead by now; then the kernel says nothing of it.
            let launched = command.process();
            known.ppid = known.ppid.or(launched.who.ppid);
            known.uid = known.uid.or(launched.who.uid);
            known.euid = known.euid.or(launched.who.euid);
        }
        self.census.begin(image, &self.rings);
        if let Some(process) = self.census.process_mut(image) {
            self.enricher.blind(process, &command.program(reason, true));
        }
        true
    }

    /// A process was seen: if CMD made it, and no sensor in CMD has said hello before, none will.
    fn see_child_of_command(&mut self, Identity { key, ppid, uid, claimed, .. }: &Identity) {
        let command = self.session.unseen_command.as_ref();
        if command.is_some_and(|command| command.is_parent_of(*key, *ppid, *uid, *claimed)) {
            self.tell_command();
        }
    }

    /// Reports CMD as a program that cannot be seen into, once.
    pub(super) fn tell_command(&mut self) {
        let Some(command) = self.session.unseen_command.as_mut().filter(|command| !command.is_told) else {
            return;
        };
        command.is_told = true;
        let key = ProcessKey::here(command.pid());
        // Where it says so itself, that counts.
        if self.report_unseen_process(key) {
            return;
        }
        let Some(command) = &self.session.unseen_command else { return };
        let reason = self.census.reason_at(&command.started.path);
        let is_asked_about = self.census.is_all_asked_about;
        self.enricher.blind(&mut command.process(), &command.program(reason, is_asked_about));
    }

    /// Lets a program that said that it cannot be seen into wait until what came before it was delivered.
    fn let_wait(&mut self, mut unseen: Box<Unseen>) {
        // It was looked at, and descriptors are few.
        unseen.identity.pidfd = None;
        self.session.unseen.push_back((MonoNs::now(), unseen));
        if self.session.unseen.len() > MOST_UNSEEN
            && let Some((_, first)) = self.session.unseen.pop_front()
        {
            self.hear_blind(*first);
        }
    }

    /// Reports the programs that said up to `horizon` that they cannot be seen into.
    pub(super) fn report_unseen(&mut self, horizon: MonoNs) {
        while self.session.unseen.front().is_some_and(|(heard, _)| *heard <= horizon)
            && let Some((_, unseen)) = self.session.unseen.pop_front()
        {
            self.hear_blind(*unseen);
        }
    }

    /// The same of the process of an image.
    pub(super) fn report_unseen_of(&mut self, image: ImageId) {
        if let Some(key) = self.census.get(image).map(|image| image.key) {
            self.report_unseen_process(key);
        }
    }

    /// The same of one process; false where it said nothing.
    fn report_unseen_process(&mut self, key: ProcessKey) -> bool {
        let place = self.session.unseen.iter().position(|(_, unseen)| unseen.identity.key == key);
        let Some((_, unseen)) = place.and_then(|place| self.session.unseen.remove(place)) else {
            return false;
        };
        self.hear_blind(*unseen);
        true
    }

    /// A program said that it cannot be seen into.
    fn hear_blind(&mut self, unseen: Unseen) {
        let Unseen { identity, exe, reason, next_ring, share } = unseen;
        let image = self.census.image_before_hello(&identity, next_ring, &self.rings);
        let is_apart = self.census.live(identity.key).is_some() && !self.census.is_of_live(&identity);
        let (arguments, at) = self.exec_of(&identity, image);
        let Identity { key, ppid, uid, euid, claim, claimed, standpoint, exe: seen, .. } = identity;
        let claimed = claimed.and_if(is_apart, Claimed::PID).and_if(seen != exe, Claimed::EXE);
        let (container, is_claimed) = self.census.container_of(key, ppid, claim.as_ref(), None);
        let who = Who {
            program: self.census.program_of(key, ppid, exe.as_slice().into(), Arc::default()),
            ppid,
            uid,
            euid,
            pid_ns: key.namespace,
            uid_inside: uid.and_then(|uid| standpoint.uid_inside(uid)),
            mnt_ns: standpoint.mnt_ns(),
            container,
            claimed: claimed.and_if(is_claimed, Claimed::CONTAINER),
            circumstances: Circumstances::default(),
            claimant: u64::from(is_apart),
        };
        let mut process = Process::new(who, ImageId::NONE);
        process.charge(share.account());
        if let Some(known) = image.and_then(|image| self.census.process_mut(image)) {
            known.becomes(&exe, &exe, &arguments.argv);
            known.claim_exe(seen != exe);
        }
        let known = image.and_then(|image| self.census.get(image));
        let is_asked_about = known.is_some_and(|image| image.is_asked_about);
        let path = exe.as_slice().into();
        let (gids, environment) = (None, Vec::new());
        let program = BlindProgram { path, exe, arguments, reason, gids, environment, at, is_asked_about };
        let (now, mark) = (MonoNs::now(), self.enricher.mark());
        self.enricher.blind(&mut process, &program);
        if !self.outbox.takes(share.account(), self.enricher.written_since(mark), now) {
            self.enricher.take_back(mark);
            share.account().refuse(Resource::Bytes);
        }
        if self.outbox.is_full(&self.enricher.batch) {
            self.publish();
        }
    }

    /// The exec that made the program of `identity`, of the process of `image`: its arguments, and when it
    /// was; the present moment where it was not seen.
    fn exec_of(&mut self, identity: &Identity, image: Option<ImageId>) -> (Arguments, MonoNs) {
        let command = self.session.unseen_command.as_mut();
        if let Some(command) = command.filter(|command| identity.key == ProcessKey::here(command.pid())) {
            command.is_told = true;
            return (command.arguments(), MonoNs(command.started.began_ns));
        }
        let image = image.and_then(|image| self.census.get_mut(image));
        match image.and_then(|image| image.take_asked(|_| true)) {
            Some(asked) => (asked.arguments, asked.at),
            None => (Arguments::default(), MonoNs::now()),
        }
    }

    /// The launcher reaped a process.
    fn reaped(&mut self, exited: &Reaped) {
        let pid = Pid(exited.pid.cast_unsigned());
        if let Some(command) = self.session.unseen_command.as_mut().filter(|command| command.pid() == pid) {
            command.end = Some((*exited, MonoNs::now()));
        }
        let usage = Usage {
            user_ns: exited.user_us.saturating_mul(1000),
            system_ns: exited.system_us.saturating_mul(1000),
            max_rss: exited.max_rss_kib.saturating_mul(1024),
        };
        let at = MonoNs::now();
        let report = WaitReport { status: exited.wait_status, usage: Some(usage), is_launcher: true, at };
        self.census.reaped(ProcessKey::here(pid), report);
    }
}
