//! The time that the doorman's questions take: counted apart from the pipeline's, since each measure has one
//! thread that adds to it.

use super::{Account, MOST_ASKING_NS};
use crate::ids::MonoNs;

impl Account {
    /// Whether the doorman has time for one more question that costs microseconds.
    pub fn has_time_at_door(&self, now: MonoNs) -> bool {
        let has_time = self.times == 0 || self.door_ns.spent(now) < MOST_ASKING_NS * self.time_times();
        has_time && self.whole.iter().all(|whole| whole.has_time_at_door(now))
    }

    /// Notes that questions of the doorman, which began at `begun`, were answered at `now`.
    pub fn asked_at_door(&self, begun: MonoNs, now: MonoNs) {
        self.door_ns.spend(now, now.since(begun));
        self.whole.iter().for_each(|whole| whole.asked_at_door(begun, now));
    }
}
