//! How long calls took: from the clock before a call to the time of its record, which is written when the
//! call has returned.

use wire::events::Decoded;
use wire::fields::Hidden;
use wire::record::Head;

use super::Enricher;
use crate::event::Value;
use crate::ids::MonoNs;

impl Enricher {
    /// Fills in how long the call of a record took, where the sensor read the clock before it. A connect that
    /// is under way has not ended with its call.
    pub(super) fn set_duration(&mut self, head: &Head, decoded: &Decoded<'_>) {
        let places = self.places.durations;
        let (place, Hidden(began_ns)) = match decoded {
            Decoded::ProcessFork(fork) => (places.fork, fork.began_ns),
            Decoded::NetConnect(_) if i32::from(head.errno) == libc::EINPROGRESS => return,
            Decoded::NetConnect(connect) => (places.connect, connect.began_ns),
            Decoded::DnsQuery(query) => (places.query, query.began_ns),
            Decoded::DnsReverse(query) => (places.reverse, query.began_ns),
            Decoded::FileSync(sync) => (places.sync, sync.began_ns),
            _ => return,
        };
        if began_ns != 0
            && let Some(duration_ns) = head.time_ns.checked_sub(began_ns)
        {
            self.batch.set(place, Value::Uint(duration_ns));
        }
    }

    /// Fills in how long the program of the last event, its `process.start`, took to begin.
    pub fn has_begun(&mut self, asked: MonoNs, begun: MonoNs) {
        self.batch.set(self.places.durations.start, Value::Uint(begun.since(asked)));
    }
}

#[cfg(test)]
mod tests {
    use wire::events::{FileSync, Kind, NetConnect};
    use wire::fields::{Address, Path};
    use wire::record::Flags;

    use super::*;
    use crate::enrich::process::Process;
    use crate::event::Who;
    use crate::ids::ImageId;

    /// The duration of a call that returned at 50 with this error, by the row of a wrapper.
    fn duration(kind: Kind, errno: u16, decoded: &Decoded<'_>) -> Option<u64> {
        let mut process = Process::new(Who::default(), ImageId::new(1, 0));
        let (kind_number, flags) = (kind as u16, Flags::RETURNED);
        let head = Head {
            time_ns: 50,
            seq: 0,
            ret: 0,
            pid: 1,
            tid: 1,
            kind: kind_number,
            call: 0,
            errno,
            via: 0,
            flags,
        };
        let mut enricher = Enricher::default();

        enricher.record(&mut process, &head, MonoNs(50), decoded);

        let Value::Uint(duration_ns) = enricher.batch.value(&enricher.batch.events[0], "duration_ns") else {
            return None;
        };
        Some(duration_ns)
    }

    fn sync(began_ns: u64) -> Decoded<'static> {
        Decoded::FileSync(FileSync {
            path: Path { dir: 3, raw: None },
            fd: Some(3),
            began_ns: Hidden(began_ns),
        })
    }

    #[test]
    fn call_that_was_timed_took_as_long_as_from_then_to_its_record() {
        assert_eq!(Some(8), duration(Kind::FileSync, 0, &sync(42)));
        assert_eq!(Some(0), duration(Kind::FileSync, 0, &sync(50)));
    }

    #[test]
    fn clock_that_was_not_read_or_is_ahead_gives_none() {
        assert_eq!(None, duration(Kind::FileSync, 0, &sync(0)));
        assert_eq!(None, duration(Kind::FileSync, 0, &sync(51)));
    }

    #[test]
    fn connect_that_is_under_way_has_no_duration_yet() {
        let none = Address(&[]);
        let connect = NetConnect { fd: 3, remote: none, own: Hidden(none), began_ns: Hidden(42) };
        let connect = Decoded::NetConnect(connect);

        assert_eq!(Some(8), duration(Kind::NetConnect, 0, &connect));
        assert_eq!(Some(8), duration(Kind::NetConnect, libc::ECONNREFUSED as u16, &connect));
        assert_eq!(None, duration(Kind::NetConnect, libc::EINPROGRESS as u16, &connect));
    }
}
