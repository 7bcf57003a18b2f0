//! Room for a session without an end: what ended makes way.

use super::{Did, End, MOST_PROCESSES, Picture, Process};

impl Picture {
    /// Whether there is no room for another process, and a tenth of the room is taken by ones that ended.
    pub fn is_crowded(&self) -> bool {
        self.processes.len() == MOST_PROCESSES && self.live.len() <= MOST_PROCESSES / 10 * 9
    }

    /// Makes room: drops the processes that ended, whose children have no parent then. Gives the new place of
    /// each that stays. Not between the events of a batch.
    pub fn forget_ended(&mut self) -> Vec<Option<u32>> {
        let mut next = 0..;
        let runs = |process: &Process| process.end == End::Running;
        let places: Vec<Option<u32>> =
            self.processes.iter().map(|process| if runs(process) { next.next() } else { None }).collect();
        let moved = |place: u32| places.get(place as usize).copied().flatten();
        self.processes.retain(runs);
        for process in &mut self.processes {
            process.parent = process.parent.and_then(moved);
        }
        self.live.retain(|_, place| match moved(*place) {
            Some(now) => {
                *place = now;
                true
            }
            None => false,
        });
        self.orphans.retain(|_, children| {
            *children = children.iter().filter_map(|child| moved(*child)).collect();
            !children.is_empty()
        });
        self.ended.clear();
        self.of_images.clear();
        places
    }

    /// The processes that run, as if nothing of what they did had been seen.
    pub fn running_anew(&self) -> Self {
        let processes = self.processes.clone();
        let (live, orphans) = (self.live.clone(), self.orphans.clone());
        let mut anew = Self { processes, live, orphans, ..Self::default() };
        anew.forget_ended();
        for process in &mut anew.processes {
            (process.did, process.lost, process.failed, process.failure) = (Did::default(), 0, 0, None);
        }
        anew
    }

    /// Nothing more will be told of the processes that run.
    pub fn lose_sight(&mut self) {
        for process in &mut self.processes {
            if process.end == End::Running {
                process.end = End::Unknown;
            }
        }
        self.live.clear();
        self.orphans.clear();
    }
}
