//! The processes whose end was reported last, for what is told of them late.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::Name;

/// So many, since a parent that gets the processor late tells of children that have come and gone; and not more, since a
/// number is given to another process in time.
const MOST: usize = 4096;

/// The last [`MOST`] names that were put here. Asked of every forked child, so nothing is searched through.
#[derive(Debug, Default)]
pub struct Buried {
    order: VecDeque<Name>,
    /// How often each stands in `order`: a number is given to another process in time.
    counts: FxHashMap<Name, u32>,
}

impl Buried {
    /// Puts a name in; the oldest makes way for it.
    pub fn put(&mut self, name: Name) {
        if self.order.len() == MOST
            && let Some(oldest) = self.order.pop_front()
            && let Some(count) = self.counts.get_mut(&oldest)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&oldest);
            }
        }
        self.order.push_back(name);
        *self.counts.entry(name).or_default() += 1;
    }

    /// Whether the name is among them.
    pub fn contains(&self, name: &Name) -> bool {
        self.counts.contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_names_are_known_and_one_that_came_again_as_long_as_its_last_time() {
        let mut buried = Buried::default();
        buried.put((None, 1));
        buried.put((Some(7), 2));
        buried.put((None, 1));
        (10..10 + MOST as u32 - 2).for_each(|pid| buried.put((None, pid)));

        let kept = [(None, 1), (Some(7), 2), (None, 2)].map(|name| buried.contains(&name));
        buried.put((None, 9999));
        let later = [(None, 1), (Some(7), 2), (None, 9999)].map(|name| buried.contains(&name));

        assert_eq!(([true, true, false], [true, false, true]), (kept, later));
    }
}
