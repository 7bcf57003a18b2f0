//! Why events are lost: every cause, once.
//!
//! The sensor counts the first five in its ring ([`Loss`]); the pipeline finds three more; then come a queue
//! in front of an output, the bounds and the share of a user ([`crate::allowance`]), and the end of the
//! session. Each reaches the outputs as the `reason` of a `sensor.loss`.

use wire::ring::layout::Loss;

/// The cause of a `sensor.loss`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LossReason {
    /// See [`Loss::RingFull`].
    RingFull,
    /// See [`Loss::Oversize`].
    Oversize,
    /// See [`Loss::NoSlot`].
    NoSlot,
    /// See [`Loss::Abandoned`].
    Abandoned,
    /// See [`Loss::RingTaken`].
    RingTaken,
    /// A record was begun and never finished.
    KilledWriter,
    /// The ring holds what no sensor writes.
    CorruptRing,
    /// The collector before this one had taken the record.
    CollectorDied,
    /// The queue in front of one output had no room.
    SinkFull,
    /// The process's user has used up its part of the collector.
    Limit,
    /// An output was almost full, and the process's user had put in more than its share.
    OverShare,
    /// The collector was told to end before it had read the record.
    SessionEnd,
}

impl LossReason {
    /// Every cause, in the order of the documentation.
    #[cfg(test)]
    pub const ALL: [Self; 12] = [
        Self::RingFull,
        Self::Oversize,
        Self::NoSlot,
        Self::Abandoned,
        Self::RingTaken,
        Self::KilledWriter,
        Self::CorruptRing,
        Self::CollectorDied,
        Self::SinkFull,
        Self::Limit,
        Self::OverShare,
        Self::SessionEnd,
    ];

    /// The `reason` of `sensor.loss`.
    pub fn name(self) -> &'static str {
        match self {
            Self::RingFull => Loss::RingFull.reason(),
            Self::Oversize => Loss::Oversize.reason(),
            Self::NoSlot => Loss::NoSlot.reason(),
            Self::Abandoned => Loss::Abandoned.reason(),
            Self::RingTaken => Loss::RingTaken.reason(),
            Self::KilledWriter => "killed_writer",
            Self::CorruptRing => "corrupt_ring",
            Self::CollectorDied => "collector_died",
            Self::SinkFull => "sink_full",
            Self::Limit => "limit",
            Self::OverShare => "over_share",
            Self::SessionEnd => "session_end",
        }
    }
}

impl From<Loss> for LossReason {
    fn from(loss: Loss) -> Self {
        match loss {
            Loss::RingFull => Self::RingFull,
            Loss::Oversize => Self::Oversize,
            Loss::NoSlot => Self::NoSlot,
            Loss::Abandoned => Self::Abandoned,
            Loss::RingTaken => Self::RingTaken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::events::Kind;
    use wire::schema::EVENTS;

    impl LossReason {
        /// The cause in one line, as `docs/ledgers.md` says it.
        fn meaning(self) -> &'static str {
            match self {
                Self::RingFull => {
                    "the collector did not keep up; the newest record is dropped, the program does not \
                     wait"
                }
                Self::Oversize => "a record longer than a ring takes",
                Self::NoSlot => "a forked child found all 255 slots of its ring taken",
                Self::Abandoned => {
                    "a signal handler jumped away (siglongjmp) while a record was written, or out of a \
                     call whose record was numbered before it (close)"
                }
                Self::RingTaken => {
                    "the program unmapped or protected its ring, or locked all its memory where the limit \
                     has no room for the ring; counted once, and what the image does from then on is not \
                     seen"
                }
                Self::KilledWriter => "a thread was killed or cancelled while it wrote a record",
                Self::CorruptRing => "the process wrote over its ring",
                Self::CollectorDied => "the collector that died had read the record and not delivered it",
                Self::SinkFull => {
                    "the queue in front of one output had no room; the others have the events. Reported in \
                     that output only, by process; not counted in `lost` of `process.exit`, which is the same in every \
                     output"
                }
                Self::Limit => {
                    "the processes of one user in one control group hold so much of the collector's memory \
                     that something was not kept: the path or address behind a descriptor, a name. The \
                     events that would have shown it are there without it, so they are not counted in \
                     `lost` of `process.exit`. Or the events of one process too many, which is not \
                     known. Reported with one process of that user"
                }
                Self::OverShare => {
                    "the outputs had almost no room, and the processes of one user had put in more than \
                     that user's share; the others lose nothing. No output has these events"
                }
                Self::SessionEnd => {
                    "the collector was told to end, and had no time to read all that programs wrote which \
                     go on; 0.3 s after a signal, else 2 s"
                }
            }
        }
    }

    #[test]
    fn table_of_the_documentation_has_every_cause_with_its_meaning() {
        let rows: String = LossReason::ALL
            .iter()
            .map(|reason| format!("| `{}` | {} |\n", reason.name(), reason.meaning()))
            .collect();

        let ledgers = include_str!("../../docs/ledgers.md");

        assert!(ledgers.contains(&format!("|---|---|\n{rows}\n")), "docs/ledgers.md lacks\n{rows}");
    }

    #[test]
    fn event_table_names_every_cause() {
        let spec = EVENTS.iter().find(|spec| spec.kind == Kind::SensorLoss).unwrap();
        let field = spec.fields().find(|field| field.name() == "reason").unwrap();

        for reason in LossReason::ALL {
            assert!(field.doc.join(" ").contains(&format!("`{}`", reason.name())), "{reason:?}");
        }
    }

    #[test]
    fn no_cause_has_the_name_of_another() {
        let mut names = LossReason::ALL.map(LossReason::name).to_vec();
        names.sort_unstable();
        names.dedup();

        assert_eq!(LossReason::ALL.len(), names.len());
    }

    #[test]
    fn causes_that_the_sensor_counts_keep_their_names() {
        for loss in Loss::ALL {
            assert_eq!(loss.reason(), LossReason::from(loss).name());
        }
    }
}
