//! Who tells of a call that is asked about: the supervisor, a hook, or one of the two.

use std::sync::Arc;

use notify::{Call, From};
use rustc_hash::FxHashMap;

use super::listener::Notification;
use super::modules::{Awaited, Modules, Switched, Trusted};
use crate::evasion::Place;
use crate::evasion::modules::Known;

/// Processes that are remembered; beyond, all are looked at anew.
const MOST_REMEMBERED: usize = 4096;

/// Who tells of a call.
pub enum Teller {
    /// The supervisor: no hook does. The place, where it went past hooks and that is evidence.
    Supervisor(Option<Place>),
    /// A hook, or else the supervisor: libc made it in a process with hooks. The collector knows which.
    Collector,
}

/// What is known of the code that makes calls.
pub struct Tellers {
    trusted: Arc<Trusted>,
    /// By process.
    modules: FxHashMap<u32, Modules>,
    /// Programs whose loaders are about to load the sensor.
    awaited: Awaited,
    /// Programs whose sensors are off.
    switched: Switched,
    files: Known,
}

impl Tellers {
    /// For processes that load these files.
    pub fn new(trusted: Arc<Trusted>) -> Self {
        Self {
            trusted,
            modules: FxHashMap::default(),
            awaited: Awaited::default(),
            switched: Switched::default(),
            files: Known::default(),
        }
    }

    /// Looks at a process anew at its next call.
    pub fn forget(&mut self, process: u32) {
        self.modules.remove(&process);
    }

    /// Looks at all anew.
    pub fn forget_all(&mut self) {
        self.modules.clear();
    }

    /// Whether hooks tell of a process's calls, as far as it was looked at.
    pub fn has_hooks(&self, process: u32) -> bool {
        self.modules.get(&process).is_some_and(Modules::has_hooks)
    }

    /// Who tells of a call; `None` where a hook in the process does, or libc or the sensor makes it for
    /// itself and that is not to be told.
    ///
    /// For an exec it is looked anew: of the last call of a program, the first may be long ago.
    pub fn of(
        &mut self,
        call: &Call,
        process: u32,
        &Notification { tid, address, ref args, .. }: &Notification,
        is_exec: bool,
    ) -> Option<Teller> {
        let (name, is_deed) = (call.name, call.is_deed());
        // Such a call passes unless it is to be told, and is told where it can be known that no hook does.
        let is_by_choice = self.trusted.is_libc_told && call.from == From::LibcByChoice;
        let known = self.modules.get_mut(&process).filter(|_| !is_exec);
        if let Some(modules) = known.filter(|modules| modules.is_settled(address)) {
            return match modules.tells_of(address) {
                _ if is_by_choice && modules.has(address) => modules.has_hooks().then_some(Teller::Collector),
                true => None,
                false => Some(past_hooks(modules, name, is_deed, tid, address, &mut self.files)),
            };
        }
        let Some(mut modules) = Modules::of(tid, &self.trusted, &mut self.switched) else {
            return Some(Teller::Supervisor(None));
        };
        if let Some(before) = self.modules.remove(&process).filter(|_| !is_exec) {
            modules.keep_others(before);
        }
        let teller = if is_by_choice && modules.has(address) {
            modules.has_hooks().then_some(Teller::Collector)
        } else if modules.tells_of(address)
            || self.trusted.is_inside()
                && modules.awaits_sensor(address)
                && (!is_deed || Awaited::is_a_loaders(name, args))
                && self.awaited.has_patience(tid)
        {
            None
        } else {
            Some(past_hooks(&mut modules, name, is_deed, tid, address, &mut self.files))
        };
        if (modules.is_settled(address) || modules.has_hooks()) && !is_exec {
            if self.modules.len() >= MOST_REMEMBERED {
                self.modules.clear();
            }
            self.modules.insert(process, modules);
        }
        teller
    }
}

/// A call that no hook tells of.
fn past_hooks(
    modules: &mut Modules,
    name: &str,
    is_deed: bool,
    tid: u32,
    address: u64,
    files: &mut Known,
) -> Teller {
    Teller::Supervisor(is_deed.then(|| modules.evident(name, tid, address, files)).flatten())
}
