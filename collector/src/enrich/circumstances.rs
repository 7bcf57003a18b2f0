//! The circumstances of a process that its events carry for rules: directory, group, names.

use std::sync::Arc;

use super::process::Process;
use crate::event::{Background, Circumstances, Names, Surroundings, Who};
use crate::system::users::Users;

impl Process {
    /// Puts into `who` what its events are to say of its circumstances.
    pub(super) fn complete(&mut self, users: &mut Users) {
        let Who { euid, circumstances: known, .. } = &*self.who;
        let is_named = known.names.is_some() || !self.has_our_root();
        if Arc::ptr_eq(&known.cwd, &self.cwd) && is_named {
            return;
        }
        let names = known.names.clone().or_else(|| {
            let user = euid.and_then(|euid| users.user(euid));
            let group = known.egid.and_then(|egid| users.group(egid));
            let login = known.background.as_ref().and_then(|background| users.user(background.login?));
            self.has_our_root().then(|| Arc::new(Names { user, group, login }))
        });
        let circumstances = Circumstances { cwd: Arc::clone(&self.cwd), names, ..known.clone() };
        self.who = Arc::new(Who { circumstances, ..(*self.who).clone() });
    }

    /// Says what the kernel shows of it from here on.
    pub fn set_known(
        &mut self,
        background: Option<Arc<Background>>,
        surroundings: Option<Arc<Surroundings>>,
    ) {
        let circumstances = Circumstances { background, surroundings, ..self.who.circumstances.clone() };
        self.who = Arc::new(Who { circumstances, ..(*self.who).clone() });
        self.listed = (0, 0);
    }

    /// Says that its effective group is another one from here on.
    pub(super) fn set_egid(&mut self, egid: u32) {
        let circumstances = Circumstances { egid: Some(egid), names: None, ..self.who.circumstances.clone() };
        self.who = Arc::new(Who { circumstances, ..(*self.who).clone() });
        self.listed = (0, 0);
    }
}
