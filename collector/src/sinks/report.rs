//! The counts of an output's events, and the message for a person when some are missing.

use super::strain::{Cause, Lossy};

/// Every event that was delivered to an output is in exactly one of these counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkReport {
    /// The output as messages call it: `jsonl to '/x'`.
    pub name: String,
    /// Events that are where they should be.
    pub written: u64,
    /// Events that are not, by reason.
    pub lost: Lost,
    /// Why the carrier came to its end before the session did.
    pub error: Option<String>,
    /// How the time went in which the queue lost events.
    pub lossy: Lossy,
    /// Bytes of events that had room in the queue at the end.
    pub queue_bytes: usize,
}

/// Events that an output lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// The queue had no room for them.
    pub queue_full: u64,
    /// The place that they were to go to refused them.
    pub refused: u64,
    /// They came with, or after, the carrier's end.
    pub failed: u64,
}

impl Lost {
    /// All of them.
    pub fn all(self) -> u64 {
        self.queue_full + self.refused + self.failed
    }
}

impl SinkReport {
    /// One line about what is not in the output; `None` where nothing is missing.
    pub fn line(&self) -> Option<String> {
        let Self { name, written, lost, error, .. } = self;
        let (missing, all) = (lost.all(), written + lost.all());
        if let Some(error) = error {
            return Some(format!(
                "{name} lacks {missing} events: {error}; make room there, or give it another destination"
            ));
        }
        let refused = format!("the destination refused {}; look there for the reason", lost.refused);
        let why = match (lost.refused, lost.queue_full) {
            _ if missing == 0 => return None,
            (0, _) => self.why_full(),
            (_, 0) => refused,
            (_, full) => format!("{refused}; {full} found no room: {}", self.why_full()),
        };
        Some(format!("{name} lacks {missing} of {all} events: {why}"))
    }

    /// Why the queue had no room, and what to do.
    fn why_full(&self) -> String {
        let meanwhile = format!("of the {:.1} s in which events were lost", self.lossy.seconds());
        let fewer = "choose fewer events (--filter, -e)";
        let recorded = match self.name.starts_with("recording ") {
            true => "",
            false => ", or use 'recording', which takes less time, and replay it",
        };
        match self.lossy.cause() {
            Cause::Destination(percent) => format!(
                "the destination was too slow, and took {percent}% {meanwhile}; give it a faster destination{recorded}"
            ),
            Cause::Machine(percent) => format!(
                "the collector was not given enough processor time: the output's thread ran for {percent}% {meanwhile}; \
                 give the collector more of the machine, or {fewer}"
            ),
            Cause::Encoder(percent) => format!(
                "the collector was too slow, and making the output took {percent}% {meanwhile}; {fewer}{recorded}"
            ),
            Cause::Burst => format!(
                "more came at once than the collector's queue of {} KiB holds, in a burst of {:.2} s; {fewer}{recorded}",
                self.queue_bytes >> 10,
                self.lossy.seconds()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::strain::Times;

    const SECOND: u64 = 1_000_000_000;

    fn line(name: &str, lost: Lost, ns: u64, times: Times) -> String {
        let (name, lossy) = (name.to_owned(), Lossy { ns, times });
        SinkReport { name, written: 90, lost, error: None, lossy, queue_bytes: 8 << 20 }.line().unwrap()
    }

    #[test]
    fn line_names_the_true_cause_with_its_figures() {
        let full = Lost { queue_full: 10, ..Lost::default() };
        let slow = Times { carrying_ns: 9 * SECOND, ..Times::default() };
        let busy = Times { encoding_ns: 9 * SECOND, running_ns: 9 * SECOND, ..Times::default() };
        let starved = Times { encoding_ns: 9 * SECOND, running_ns: 2 * SECOND, ..Times::default() };

        assert_eq!(
            "jsonl to 'x' lacks 10 of 100 events: the destination was too slow, and took 90% of the 10.0 s in which \
             events were lost; give it a faster destination, or use 'recording', which takes less time, and replay it",
            line("jsonl to 'x'", full, 10 * SECOND, slow)
        );
        assert_eq!(
            "jsonl to 'x' lacks 10 of 100 events: the collector was too slow, and making the output took 90% of the \
             10.0 s in which events were lost; choose fewer events (--filter, -e), or use 'recording', which takes \
             less time, and replay it",
            line("jsonl to 'x'", full, 10 * SECOND, busy)
        );
        assert_eq!(
            "recording to 'x' lacks 10 of 100 events: the collector was not given enough processor time: the output's \
             thread ran for 20% of the 10.0 s in which events were lost; give the collector more of the machine, or \
             choose fewer events (--filter, -e)",
            line("recording to 'x'", full, 10 * SECOND, starved)
        );
        assert_eq!(
            "recording to 'x' lacks 10 of 100 events: more came at once than the collector's queue of 8192 KiB holds, \
             in a burst of 0.25 s; choose fewer events (--filter, -e)",
            line("recording to 'x'", full, SECOND / 4, Times::default())
        );
    }

    #[test]
    fn refusals_and_a_full_queue_are_told_apart() {
        let both = Lost { queue_full: 7, refused: 3, failed: 0 };

        let line = line("falco to 'x'", both, 0, Times::default());

        let begin = "falco to 'x' lacks 10 of 100 events: the destination refused 3; look there for the reason; 7 found \
                     no room: more came at once";
        assert!(line.starts_with(begin), "{line}");
    }
}
