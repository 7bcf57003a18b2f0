//! Calls that were told of and did not go on, since a signal came before the answer: the kernel makes each
//! anew. From Linux 5.19 on, no signal comes between (`WAIT_KILLABLE_RECV`).

use rustc_hash::FxHashMap;

use super::decode::Told;
use crate::ids::MonoNs;

/// Calls that are remembered; beyond, some are told of twice.
const MOST: usize = 256;
/// And for so long: a thread's number is another thread's some time.
const REMEMBERED_NS: u64 = 1_000_000_000;

/// The last such call of each thread.
#[derive(Debug, Default)]
pub struct Interrupted(FxHashMap<u32, (MonoNs, Told)>);

impl Interrupted {
    /// Whether a call of the thread is the one that a signal kept from going on, and that was told of then.
    pub fn has(&self, tid: u32, told: &Told) -> bool {
        !self.0.is_empty()
            && self.0.get(&tid).is_some_and(|(at, last)| {
                let is_same = |last: &Told| (last.kind, last.call) == (told.kind, told.call);
                MonoNs::now().since(*at) < REMEMBERED_NS && is_same(last) && last.payload == told.payload
            })
    }

    /// Notes a call that was told of and did not go on; forgets it once it does.
    pub fn note(&mut self, tid: u32, said: Told, has_gone_on: bool) {
        if !has_gone_on {
            if self.0.len() >= MOST {
                self.0.clear();
            }
            self.0.insert(tid, (MonoNs::now(), said));
        } else if self.has(tid, &said) {
            self.0.remove(&tid);
        }
    }
}
