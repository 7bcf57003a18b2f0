//! How a process ended: the kernel's word, the launcher's, its parent's wait and its own announcement,
//! weighed.

use super::image::{End, EndKind, ProcessImage};
use super::register::Census;
use super::reports::WaitReport;
use crate::event::Who;
use crate::ids::{ImageId, MonoNs};
use crate::rings::Rings;
use crate::rings::ring::STUCK_NS;
use crate::system::kernel;
use crate::system::procfs;

/// The end of a process is held back for so long, for a word of how it came about.
const GRACE_NS: u64 = 30_000_000;
/// The same where only its parent can tell, which is seen: of a process that was gone before the kernel could
/// be asked, or that is in another pid namespace.
const GRACE_APART_NS: u64 = 500_000_000;
/// The state of the session that an end is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Evidence {
    /// The present moment.
    pub now: MonoNs,
    /// Every hello before this time is certainly known.
    pub certain: MonoNs,
    /// The session ends: nothing is waited for any more but words on their way.
    pub is_ending: bool,
    /// Every record was delivered: no word will come any more.
    pub is_all_told: bool,
}

/// The decision on an image that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A word may still come.
    Wait,
    /// An earlier image of the same process must be concluded first. `heir` is true where this image died
    /// before it told of itself, and goes on from that one.
    WaitFor {
        /// The earlier image.
        before: ImageId,
        /// Whether this image takes its place.
        heir: bool,
    },
    /// The process executed another program.
    Replaced,
    /// The process is dead.
    Died(Fate),
}

/// How a process ended, and the resources that it used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// As waitpid(2) gives it; `None` where it cannot be known.
    pub wait_status: Option<i32>,
    /// Processor time in user mode.
    pub user_ns: Option<u64>,
    /// Processor time in the kernel.
    pub system_ns: Option<u64>,
    /// Largest resident set, bytes.
    pub max_rss: Option<u64>,
}

impl Census {
    /// Decides on an image that has ended and whose records were all delivered.
    pub fn conclude(&self, id: ImageId, evidence: &Evidence, rings: &Rings) -> Verdict {
        let Some(image) = self.get(id) else { return Verdict::Replaced };
        let Some(end) = image.end else { return Verdict::Wait };
        match end.kind {
            EndKind::Exec => self.conclude_exec(image, evidence),
            EndKind::Death => self.conclude_death(image, &end, evidence, rings),
        }
    }

    fn conclude_exec(&self, image: &ProcessImage, evidence: &Evidence) -> Verdict {
        // The next image takes over the books; until it has begun, this one is what it inherits from.
        let is_succeeded = image.after.is_some_and(|after| self.get(after).is_some());
        let has_successor = self
            .live(image.key)
            .and_then(|next| self.get(next))
            .is_some_and(|next| next.before == Some(image.id) && next.process.is_none());
        if !is_succeeded && has_successor && !evidence.is_ending {
            return Verdict::Wait;
        }
        Verdict::Replaced
    }

    fn conclude_death(&self, image: &ProcessImage, end: &End, evidence: &Evidence, rings: &Rings) -> Verdict {
        let Evidence { now, certain, is_ending, is_all_told } = *evidence;
        if let Some(before) = self.before(image.id)
            && !is_ending
        {
            return Verdict::WaitFor { before, heir: image.process.is_none() };
        }
        let report = self.report_on(image);
        // It may have executed a program that said hello, and that the doorman has not come to yet.
        let ended = self.told_end(image).map_or(end.noticed, |at| at.min(end.noticed));
        let is_heard = ended <= certain || now.since(end.noticed) >= STUCK_NS;
        if !is_heard && !is_ending {
            return Verdict::Wait;
        }
        let books = self.brief_books(image.id, rings);
        let said = books.as_ref().and_then(|books| books.usage);
        let reaped = image.pidfd.as_ref().and_then(kernel::exit_status);
        // /proc shows the dead until they are reaped. Not asked without need: it costs as much as ten events.
        let is_asked = image.key.is_visible() && report.is_none() && (reaped.is_none() || said.is_none());
        let stat = is_asked.then(|| procfs::stat(image.key.pid.0)).flatten().filter(|stat| stat.is_zombie);
        let zombie =
            stat.filter(|stat| stat.exit_code != 0 || may_know_status(image)).map(|stat| stat.exit_code);
        let announced = books.as_ref().and_then(|books| books.exit_status.checked_sub(1));
        let status = wait_status(reaped, zombie, report, announced);
        let is_parents = status.value.is_none() && self.has_parent(image);
        let grace_ns = if is_parents { GRACE_APART_NS } else { GRACE_NS };
        let has_waited = now.since(end.noticed) >= grace_ns || is_all_told;
        // Only the launcher tells the largest resident set of its children.
        let launcher = std::os::unix::process::parent_id();
        let is_launchers = image.key.is_visible() && image.ppid.is_some_and(|ppid| ppid.0 == launcher);
        let is_word_due = report.is_none() && (is_launchers || (said.is_none() && stat.is_none()));
        if !has_waited && (!status.is_final || is_word_due) {
            return Verdict::Wait;
        }
        let usage = said.or(report.and_then(|report| report.usage));
        Verdict::Died(Fate {
            wait_status: status.value,
            user_ns: usage.map(|usage| usage.user_ns).or(stat.map(|stat| stat.user_ns)),
            system_ns: usage.map(|usage| usage.system_ns).or(stat.map(|stat| stat.system_ns)),
            max_rss: usage.map(|usage| usage.max_rss),
        })
    }

    /// The word of the launcher, or of a wait, on how the process of an image ended.
    fn report_on(&self, image: &ProcessImage) -> Option<WaitReport> {
        let noted = self.reports.get(image.key, self.parent_key(image));
        let report = noted.filter(|noted| noted.is_launcher).or(image.report).or(noted);
        // A wait before it began told of the process that had its number before.
        report.filter(|report| report.at >= image.born)
    }

    /// When the process of an image had ended, by the launcher's word or a wait of its parent.
    pub(super) fn told_end(&self, image: &ProcessImage) -> Option<MonoNs> {
        let launchers = self.reports.get(image.key, None);
        let report = launchers.or(image.report)?;
        (report.at >= image.born).then_some(report.at)
    }

    /// Whether the parent of an image is seen, and may still tell of it.
    fn has_parent(&self, image: &ProcessImage) -> bool {
        self.parent_key(image).is_some_and(|parent| self.live(parent).is_some())
    }
}

/// A wait status, as far as it is known yet.
struct Status {
    value: Option<i32>,
    /// No source knows better.
    is_final: bool,
}

/// Weighs the sources of a wait status: the pidfd, /proc, a wait's report, and the process's own
/// announcement.
fn wait_status(
    reaped: Option<i32>,
    zombie: Option<i32>,
    report: Option<WaitReport>,
    announced: Option<u32>,
) -> Status {
    let known = |value| Status { value: Some(value), is_final: true };
    let is_sure = report.is_some_and(|report| report.is_launcher);
    let reported = report.map(|report| report.status);
    let announced = announced.filter(|code| *code < 256).map(|code| (code as i32) << 8);
    match (zombie, reaped) {
        _ if is_sure => Status { value: reported, is_final: true },
        (Some(status), _) => known(status),
        // Linux says 0, once in some thousands, where the first thread was gone before another ended them all
        // (seen in
        // 6.18). The other sources come first for a process that announced another end.
        (None, Some(0)) => {
            let value = reported.or(announced).unwrap_or(0);
            Status { value: Some(value), is_final: reported.is_some() || value == 0 }
        }
        (None, Some(status)) => known(status),
        (None, None) => reported.map_or(Status { value: announced, is_final: false }, known),
    }
}

/// Whether the collector may know the wait status of a process: the kernel also shows 0 to a reader that may
/// not look into it (PTRACE_MODE_READ, proc_pid_stat(5)).
fn may_know_status(image: &ProcessImage) -> bool {
    let euid = rustix::process::geteuid();
    let is_ours = |who: &Who| who.uid == Some(euid.as_raw()) && who.euid == Some(euid.as_raw());
    euid.is_root() || image.process.as_ref().is_some_and(|process| is_ours(&process.who))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_taken_from_the_source_that_knows_best() {
        let report =
            |status, is_launcher| Some(WaitReport { status, usage: None, is_launcher, at: MonoNs::ZERO });
        let of = |reaped, zombie, report, announced| {
            let status = wait_status(reaped, zombie, report, announced);
            (status.value, status.is_final)
        };

        assert_eq!((Some(9), true), of(Some(0), Some(0), report(9, true), Some(7)));
        assert_eq!((Some(9), true), of(None, Some(9), report(1 << 8, false), Some(7)));
        assert_eq!((Some(9), true), of(Some(9), None, report(1 << 8, false), Some(7)));
        assert_eq!((Some(7 << 8), false), of(Some(0), None, None, Some(7)));
        assert_eq!((Some(9), true), of(Some(0), None, report(9, false), Some(7)));
        assert_eq!((Some(0), true), of(Some(0), None, None, None));
        assert_eq!((Some(1 << 8), true), of(None, None, report(1 << 8, false), Some(7)));
        assert_eq!((Some(7 << 8), false), of(None, None, None, Some(7)));
        assert_eq!((None, false), of(None, None, None, Some(256)));
    }
}
