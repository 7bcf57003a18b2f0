//! The reasons for which events are lost: one enum for all of them.

use wire::ring::layout::Loss;

/// Why events are missing: the `reason` of `sensor.loss`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossReason {
    /// The sensor counted them.
    Sensor(Loss),
    /// The process was killed between reserving a record and finishing it.
    KilledWriter,
    /// The ring held bytes that no sensor writes.
    CorruptRing,
    /// A collector had read them and died before they were written.
    CollectorDied,
    /// The queue of an output was full.
    SinkFull,
}

impl LossReason {
    /// The name that users see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sensor(cause) => cause.reason(),
            Self::KilledWriter => "killed_writer",
            Self::CorruptRing => "corrupt_ring",
            Self::CollectorDied => "collector_died",
            Self::SinkFull => "sink_full",
        }
    }
}

impl From<Loss> for LossReason {
    fn from(cause: Loss) -> Self {
        Self::Sensor(cause)
    }
}
