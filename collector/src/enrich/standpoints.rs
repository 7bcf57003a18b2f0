//! Where a process stands at each of its events: its user and its mount namespace.

use std::sync::Arc;

use super::process::Process;
use crate::event::{Claimed, Who};
use crate::ids::MonoNs;
use crate::system::standpoint::Standpoint;

impl Process {
    /// Says that it stands there from here on.
    pub fn stand_at(&mut self, standpoint: Standpoint) {
        self.later = None;
        self.standpoint = standpoint;
        self.show_standpoint();
    }

    /// Says that it stands there from the time on at which the kernel was asked.
    pub fn stand_later(&mut self, standpoint: Standpoint) {
        self.later = Some(Box::new(standpoint));
    }

    /// See [`Self::stand_later`].
    pub fn later(&self) -> Option<&Standpoint> {
        self.later.as_deref()
    }

    /// Whether an event at `at` may show another standpoint than the one before.
    #[inline]
    pub fn may_stand_elsewhere(&self, at: MonoNs) -> bool {
        self.later.is_some() || self.standpoint.asked < at && self.standpoint.is_without_users()
    }

    /// Takes up where it stands later, if that is no later than `at`.
    pub fn take_later(&mut self, at: MonoNs) {
        if let Some(later) = self.later.take_if(|later| later.asked <= at) {
            let standpoint = later.or(&self.standpoint);
            self.stand_at(standpoint);
        }
    }

    /// Shows its user as it sees it, and its mount namespace, where they are others than the collector's.
    pub(super) fn show_standpoint(&mut self) {
        let uid_inside = self.who.uid.and_then(|uid| self.standpoint.uid_inside(uid));
        let mnt_ns = self.standpoint.mnt_ns();
        let is_claim = uid_inside.is_some() && self.who.claimed.has(Claimed::UID);
        let claimed = self.who.claimed.without(Claimed::UID_INSIDE).and_if(is_claim, Claimed::UID_INSIDE);
        if (uid_inside, mnt_ns, claimed) != (self.who.uid_inside, self.who.mnt_ns, self.who.claimed) {
            self.who = Arc::new(Who { uid_inside, mnt_ns, claimed, ..(*self.who).clone() });
            self.listed = (0, 0);
        }
    }

    /// Says that it is not known where it stood before the kernel was asked, where that is another place.
    pub fn forget_where_apart(&mut self) {
        let Some(later) = self.later.take() else { return };
        let mut known = self.standpoint.clone();
        if known.user != later.user {
            (known.user, known.users) = (None, None);
        }
        if known.mount != later.mount {
            known.mount = None;
        }
        self.stand_at(known);
        self.later = Some(later);
    }
}
