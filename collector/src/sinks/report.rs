//! The counts of an output's events, and the message for a person when some are missing.

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
        let Self { name, written, lost, error } = self;
        let (missing, all) = (lost.all(), written + lost.all());
        match error {
            Some(error) => Some(format!(
                "{name} lacks {missing} events: {error}; make room there, or give it another destination"
            )),
            None if missing == 0 => None,
            None if lost.refused == 0 => Some(format!(
                "{name} lacks {missing} of {all} events: it was too slow for them; give it a faster destination, or use \
                 'recording' and replay it"
            )),
            None => Some(format!(
                "{name} lacks {missing} of {all} events: the destination refused {}, and was too slow for {}; look there \
                 for the reason, or use 'recording' and replay it",
                lost.refused, lost.queue_full
            )),
        }
    }
}
