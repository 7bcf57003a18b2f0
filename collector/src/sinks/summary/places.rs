//! Where the fields that a summary looks at stand among the values of their events.

use wire::events::Kind;

use crate::picture::fields::places;

/// A row for each kind of event that is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    pub exit: [usize; 4],
    pub open: [usize; 2],
    pub file_close: [usize; 5],
    pub listen: [usize; 1],
    pub bind: [usize; 3],
    pub connect: [usize; 2],
    pub connected: [usize; 2],
    pub accept: [usize; 1],
    pub net_close: [usize; 8],
    pub dns: [usize; 2],
    pub map: [usize; 1],
    pub chmod: [usize; 1],
    pub loss: [usize; 2],
    pub blind: [usize; 2],
}

impl Default for Places {
    fn default() -> Self {
        Self {
            exit: places(Kind::ProcessExit, ["user_ns", "system_ns", "sensor_ns", "calls"]),
            open: places(Kind::FileOpen, ["path", "flags"]),
            file_close: places(Kind::FileClose, ["path", "bytes_read", "reads", "bytes_written", "writes"]),
            listen: places(Kind::NetListen, ["local"]),
            bind: places(Kind::NetBind, ["local", "type", "family"]),
            connect: places(Kind::NetConnect, ["remote", "host"]),
            connected: places(Kind::NetConnected, ["remote", "host"]),
            accept: places(Kind::NetAccept, ["local"]),
            net_close: places(
                Kind::NetClose,
                ["remote", "host", "local", "type", "bytes_sent", "bytes_received", "remotes", "peers"],
            ),
            dns: places(Kind::DnsQuery, ["host", "answers"]),
            map: places(Kind::MemoryMap, ["prot"]),
            chmod: places(Kind::FileChmod, ["mode"]),
            loss: places(Kind::SensorLoss, ["count", "reason"]),
            blind: places(Kind::SensorBlind, ["path", "reason"]),
        }
    }
}
