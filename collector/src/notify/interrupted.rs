//! Calls that were told of and did not go on, since a signal came before the answer: the kernel makes each
//! anew. From Linux 5.19 on, no signal comes between (`WAIT_KILLABLE_RECV`).

use rustc_hash::FxHashMap;
use wire::events::Kind;

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
            && self
                .0
                .get(&tid)
                .is_some_and(|(at, last)| MonoNs::now().since(*at) < REMEMBERED_NS && is_same(last, told))
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

/// A close is the same by its descriptor: its bytes have been told, so that the next look finds none.
fn is_same(last: &Told, told: &Told) -> bool {
    const FD: usize = size_of::<i32>();
    let compared = |told: &Told| match told.kind {
        Kind::FdClosed => told.payload.len().min(FD),
        _ => told.payload.len(),
    };
    (last.kind, last.call) == (told.kind, told.call)
        && last.payload.get(..compared(last)) == told.payload.get(..compared(told))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(fd: i32, bytes: u64) -> Told {
        Told {
            before: Vec::new(),
            kind: Kind::FdClosed,
            call: 1,
            flags: 0,
            payload: [&fd.to_le_bytes()[..], &bytes.to_le_bytes()].concat().into(),
            environment: Box::default(),
            untold: 0,
            is_unpreloaded: false,
        }
    }

    #[test]
    fn a_close_that_is_made_anew_is_the_same_though_its_bytes_have_been_told() {
        let mut interrupted = Interrupted::default();
        interrupted.note(1, close(5, 7), false);

        assert!(interrupted.has(1, &close(5, 0)));
        assert!(!interrupted.has(1, &close(6, 7)) && !interrupted.has(2, &close(5, 7)));
        interrupted.note(1, close(5, 0), true);
        assert!(!interrupted.has(1, &close(5, 0)));
    }
}
