//! News of the doorman, of the launcher, and of a thread beside the session.

use std::sync::Arc;

use wire::events::Usage;

use super::conductor::Pipeline;
use super::session::{UnseenCommand, Wish};
use crate::allowance::Resource;
use crate::census::image::EndKind;
use crate::census::reports::WaitReport;
use crate::door::identity::Identity;
use crate::door::news::{Attached, News, Unseen};
use crate::enrich::process::Process;
use crate::event::{Claimed, Who};
use crate::ids::{ImageId, MonoNs, Pid, ProcessKey};
use crate::launch::protocol::Reaped;

impl Pipeline {
    /// Hears all news that are there. True if there were any.
    pub(super) fn hear_news(&mut self) -> bool {
        let deathwatch = &self.wires.deathwatch;
        // News that were told before are heard below, before anything is delivered.
        self.order.frontier.look(|| deathwatch.told_until(), || deathwatch.has_told_all());
        // Not those that come meanwhile: strangers may make as many as the doorman tells of.
        let count = self.wires.news_rx.len();
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
            News::Attached(attached) => self.attach(*attached),
            News::Blind(unseen) => self.hear_blind(*unseen),
            News::Died(image, at) => self.census.end(image, EndKind::Death, at, &mut self.rings),
            News::Renamed(before, after) => self.census.rename(&before, &after),
            News::Command(pid, path) => {
                let is_seen = self.census.has_seen(&ProcessKey::here(pid));
                self.session.unseen_command = (!is_seen).then_some(UnseenCommand { pid, path, end: None });
            }
            News::Exited(exited) => self.reaped(&exited),
            News::Turn(turn, heard) => self.turn(turn, heard),
            News::Flush(flush) => self.flushes.add(flush),
            News::Output(change) => {
                // Events until here go to the outputs until here.
                self.publish();
                self.outbox.change_outputs(change);
            }
            News::FinishWhenIdle => self.session.wish = Wish::EndWhenIdle,
            News::Finish(haste) => {
                self.session.wish = Wish::End;
                self.session.haste = haste;
            }
        }
        self.carry_out_changes();
    }

    /// Takes a ring in.
    pub fn attach(&mut self, attached: Attached) {
        self.see_command(attached.identity.key);
        self.census.attach(attached, &mut self.rings, MonoNs::now());
        self.carry_out_changes();
    }

    /// A process was seen: if it is CMD, its sensor has said hello.
    fn see_command(&mut self, key: ProcessKey) {
        self.session.unseen_command.take_if(|command| key == ProcessKey::here(command.pid));
    }

    /// A program said that it cannot be seen into.
    fn hear_blind(&mut self, unseen: Unseen) {
        let Unseen { identity, exe, reason, share } = unseen;
        let Identity { key, ppid, uid, euid, claim, claimed, standpoint, exe: seen, .. } = identity;
        self.see_command(key);
        let is_apart = self.census.live(key).is_some() && identity.is_dead;
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
            claimant: u64::from(is_apart),
        };
        let mut process = Process::new(who, ImageId::NONE);
        let (now, mark) = (MonoNs::now(), self.enricher.mark());
        self.enricher.blind(&mut process, now, &exe, reason);
        if !self.outbox.takes(share.account(), self.enricher.written_since(mark), now) {
            self.enricher.take_back(mark);
            share.account().refuse(Resource::Bytes);
        }
        if self.outbox.is_full(&self.enricher.batch) {
            self.publish();
        }
    }

    /// The launcher reaped a process.
    fn reaped(&mut self, exited: &Reaped) {
        let pid = Pid(exited.pid.cast_unsigned());
        if let Some(command) = self.session.unseen_command.as_mut().filter(|command| command.pid == pid) {
            command.end = Some(*exited);
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
