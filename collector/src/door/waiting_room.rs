//! Rings that wait for the name of a container.
//!
//! The first processes of a container whose name is being asked for come to the pipeline when the answer is
//! there, at most a third of a second later; meanwhile their events wait in their rings. A process that may
//! descend from a waiting one waits behind it, so that no child comes before its parent.

use std::sync::Arc;

use super::news::Attached;
use crate::container::{Container, Containers, Key};

/// A ring that waits for the name of a container: its own process's, or that of a process before it.
#[derive(Debug)]
struct Waiting {
    key: Key,
    attached: Box<Attached>,
}

/// The rings that wait, in the order of their hellos.
#[derive(Debug, Default)]
pub struct WaitingRoom(Vec<Waiting>);

impl WaitingRoom {
    /// Whether no ring waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Delays a ring while the name of its container, `key`, is being fetched, or while an earlier process it
    /// may descend from is delayed. Gives the ring back where neither is so.
    pub fn admit(
        &mut self,
        key: Option<Key>,
        attached: Box<Attached>,
        containers: &Containers,
    ) -> Option<Box<Attached>> {
        let before = self.0.iter().rfind(|waiting| attached.identity.is_behind(&waiting.attached.identity));
        let key = match before {
            Some(waiting) => Some(waiting.key.clone()),
            None => key.filter(|key| containers.awaited_until(key).is_some()),
        };
        match key {
            Some(key) => {
                self.0.push(Waiting { key, attached });
                None
            }
            None => Some(attached),
        }
    }

    /// Takes out every ring, in the order of the hellos.
    pub fn drain(&mut self) -> impl Iterator<Item = Box<Attached>> + use<> {
        std::mem::take(&mut self.0).into_iter().map(|waiting| waiting.attached)
    }

    /// Takes up that more is known of the container `before`.
    pub fn rename(&mut self, before: &Arc<Container>, after: &Arc<Container>) {
        for Waiting { attached, .. } in &mut self.0 {
            if let Some(claim) = &mut attached.identity.claim
                && Arc::ptr_eq(&claim.container, before)
            {
                claim.container = Arc::clone(after);
            }
        }
    }

    /// Takes out the rings that need not wait any longer, in the order of their hellos.
    pub fn due(&mut self, containers: &Containers) -> impl Iterator<Item = Box<Attached>> + use<> {
        let mut due: Vec<Key> = Vec::new();
        for Waiting { key, attached } in &self.0 {
            // A ring that fills up would lose events, which is worse than a late name.
            let is_due = || containers.awaited_until(key).is_none() || attached.mapping.is_half_full();
            if !due.contains(key) && is_due() {
                due.push(key.clone());
            }
        }
        let (due, kept): (Vec<Waiting>, Vec<Waiting>) =
            std::mem::take(&mut self.0).into_iter().partition(|waiting| due.contains(&waiting.key));
        self.0 = kept;
        due.into_iter().map(|waiting| waiting.attached)
    }
}
