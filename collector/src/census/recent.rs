//! The processes whose end was reported last: late records may still mention them.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::ids::{Instance, Pid, ProcessKey};

/// A parent that gets the processor late tells of many children that have come and gone. Not more are kept,
/// since the kernel gives a number to another process in time.
const MOST: usize = 4096;

/// The last [`MOST`] processes that were put here. Every fork asks this, so nothing is searched through.
#[derive(Debug, Default)]
pub struct Recent {
    order: VecDeque<ProcessKey>,
    /// How often each stands in `order`, and what the kernel said of it when it came last.
    counts: FxHashMap<ProcessKey, (u32, Last)>,
}

/// The parent of a process, and which of those with its number it was; `None` where the kernel did not say.
type Last = (Option<Pid>, Option<Instance>);

impl Recent {
    /// Puts a process in; the oldest makes way for it.
    pub fn put(&mut self, key: ProcessKey, last_said: Last) {
        if self.order.len() == MOST
            && let Some(oldest) = self.order.pop_front()
            && let Some((count, _)) = self.counts.get_mut(&oldest)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&oldest);
            }
        }
        self.order.push_back(key);
        let (count, last) = self.counts.entry(key).or_default();
        (*count, *last) = (*count + 1, last_said);
    }

    /// The parent of a process that is among them, where the kernel named it.
    pub fn parent(&self, key: &ProcessKey) -> Option<Pid> {
        self.counts.get(key)?.1.0
    }

    /// Whether the kernel says that the process, and no other one with its number, is among them.
    pub fn contains_instance(&self, key: &ProcessKey, instance: Option<Instance>) -> bool {
        instance.is_some() && self.counts.get(key).is_some_and(|(_, (_, last))| *last == instance)
    }

    /// Whether the process is among them.
    pub fn contains(&self, key: &ProcessKey) -> bool {
        self.counts.contains_key(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(namespace: Option<u64>, pid: u32) -> ProcessKey {
        ProcessKey { namespace, pid: Pid(pid), claimant: 0 }
    }

    #[test]
    fn the_last_keys_are_known_and_one_that_came_again_as_long_as_its_last_time() {
        let mut recent = Recent::default();
        recent.put(key(None, 1), (None, None));
        recent.put(key(Some(7), 2), (None, None));
        recent.put(key(None, 1), (None, None));
        (10..10 + MOST as u32 - 2).for_each(|pid| recent.put(key(None, pid), (None, None)));

        let kept = [(None, 1), (Some(7), 2), (None, 2)].map(|(ns, pid)| recent.contains(&key(ns, pid)));
        recent.put(key(None, 9999), (Some(Pid(1)), None));
        let parents = [9999, 10].map(|pid| recent.parent(&key(None, pid)));
        let later = [(None, 1), (Some(7), 2), (None, 9999)].map(|(ns, pid)| recent.contains(&key(ns, pid)));

        assert_eq!([Some(Pid(1)), None], parents);
        assert_eq!(([true, true, false], [true, false, true]), (kept, later));
    }
}
