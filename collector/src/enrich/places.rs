//! Where the fields that the collector fills in stand among an event's values: looked up by name once.

use wire::events::Kind;

use crate::event::Shape;

/// Places of `process.exec`.
#[derive(Clone, Copy, Debug)]
pub struct ExecPlaces {
    pub path: usize,
    pub argv: usize,
    pub argc: usize,
}

/// Places of `process.exit`.
#[derive(Clone, Copy, Debug)]
pub struct ExitPlaces {
    pub code: usize,
    pub signal: usize,
    pub cause: usize,
    pub user_ns: usize,
    pub system_ns: usize,
    pub max_rss: usize,
    pub sensor_ns: usize,
    pub calls: usize,
    pub events: usize,
    pub lost: usize,
}

/// Places of `sensor.blind`, and of the `process.start` of a program that the sensor is not in.
#[derive(Clone, Copy, Debug)]
pub struct BlindPlaces {
    pub path: usize,
    pub reason: usize,
    pub argv: usize,
    pub argc: usize,
}

/// Places of `sensor.evasion`.
#[derive(Clone, Copy, Debug)]
pub struct EvasionPlaces {
    pub addr: usize,
    pub mapping: usize,
    pub module: usize,
    pub reason: usize,
    pub count: usize,
}

/// Places of `file.close`.
#[derive(Clone, Copy, Debug)]
pub struct FileClosePlaces {
    pub path: usize,
    pub fd: usize,
    pub bytes_read: usize,
    pub bytes_written: usize,
    pub reads: usize,
    pub writes: usize,
    pub open_ns: usize,
}

/// Places of `net.close`.
#[derive(Clone, Copy, Debug)]
pub struct NetClosePlaces {
    pub fd: usize,
    pub family: usize,
    pub local: usize,
    pub remote: usize,
    pub bytes_sent: usize,
    pub bytes_received: usize,
    pub sends: usize,
    pub receives: usize,
    pub open_ns: usize,
    pub kind: usize,
    pub protocol: usize,
    pub host: usize,
    pub remotes: usize,
    pub peers: usize,
}

/// Places of `net.connected`.
#[derive(Clone, Copy, Debug)]
pub struct ConnectedPlaces {
    pub local: usize,
    pub remote: usize,
    pub family: usize,
    pub host: usize,
    pub duration_ns: usize,
    pub kind: usize,
    pub protocol: usize,
}

/// Places of `duration_ns`.
#[derive(Clone, Copy, Debug)]
pub struct DurationPlaces {
    pub start: usize,
    pub fork: usize,
    pub connect: usize,
    pub query: usize,
    pub reverse: usize,
    pub sync: usize,
}

/// All of them.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    pub durations: DurationPlaces,
    pub start_coverage: usize,
    pub start_cwd: usize,
    pub start_env: usize,
    pub start_gid: usize,
    pub start_egid: usize,
    pub start: BlindPlaces,
    pub exec: ExecPlaces,
    pub fork_child: usize,
    pub signal_target: usize,
    pub trace_target: usize,
    pub limit_target: usize,
    pub namespace_flags: usize,
    pub open_path: usize,
    pub rename_path: usize,
    pub rename_new_path: usize,
    pub link_path: usize,
    pub link_new_path: usize,
    pub symlink_path: usize,
    pub symlink_new_path: usize,
    pub socket_protocol: usize,
    pub bind_local: usize,
    pub bind_family: usize,
    pub bind_type: usize,
    pub bind_protocol: usize,
    pub listen_local: usize,
    pub listen_family: usize,
    pub listen_type: usize,
    pub listen_protocol: usize,
    pub connect_remote: usize,
    pub connect_family: usize,
    pub connect_host: usize,
    pub connect_pending: usize,
    pub connect_local: usize,
    pub connect_type: usize,
    pub connect_protocol: usize,
    pub accept_remote: usize,
    pub accept_local: usize,
    pub accept_family: usize,
    pub accept_type: usize,
    pub accept_protocol: usize,
    pub map_path: usize,
    pub duplicate_path: usize,
    pub duplicate_remote: usize,
    pub duplicate_local: usize,
    pub duplicate_accepted: usize,
    pub loss_count: usize,
    pub loss_reason: usize,
    pub blind: BlindPlaces,
    pub evasion: EvasionPlaces,
    pub exit: ExitPlaces,
    pub file_close: FileClosePlaces,
    pub net_close: NetClosePlaces,
    pub connected: ConnectedPlaces,
}

impl Default for Places {
    fn default() -> Self {
        let start = |name| Shape::place(Kind::ProcessStart, name);
        let exec = |name| Shape::place(Kind::ProcessExec, name);
        let exit = |name| Shape::place(Kind::ProcessExit, name);
        let blind = |name| Shape::place(Kind::SensorBlind, name);
        let evasion = |name| Shape::place(Kind::SensorEvasion, name);
        let file = |name| Shape::place(Kind::FileClose, name);
        let net = |name| Shape::place(Kind::NetClose, name);
        let duration = |kind| Shape::place(kind, "duration_ns");
        let connected = |name| Shape::place(Kind::NetConnected, name);
        Self {
            durations: DurationPlaces {
                start: duration(Kind::ProcessStart),
                fork: duration(Kind::ProcessFork),
                connect: duration(Kind::NetConnect),
                query: duration(Kind::DnsQuery),
                reverse: duration(Kind::DnsReverse),
                sync: duration(Kind::FileSync),
            },
            start_coverage: start("coverage"),
            start_cwd: start("cwd"),
            start_env: start("env"),
            start_gid: start("gid"),
            start_egid: start("egid"),
            start: BlindPlaces {
                path: start("path"),
                reason: start("reason"),
                argv: start("argv"),
                argc: start("argc"),
            },
            exec: ExecPlaces { path: exec("path"), argv: exec("argv"), argc: exec("argc") },
            fork_child: Shape::place(Kind::ProcessFork, "child"),
            open_path: Shape::place(Kind::FileOpen, "path"),
            signal_target: Shape::place(Kind::ProcessSignal, "target"),
            trace_target: Shape::place(Kind::ProcessTrace, "target"),
            limit_target: Shape::place(Kind::ProcessLimit, "target"),
            namespace_flags: Shape::place(Kind::ProcessNamespace, "flags"),
            rename_path: Shape::place(Kind::FileRename, "path"),
            rename_new_path: Shape::place(Kind::FileRename, "new_path"),
            link_path: Shape::place(Kind::FileLink, "path"),
            link_new_path: Shape::place(Kind::FileLink, "new_path"),
            symlink_path: Shape::place(Kind::FileSymlink, "path"),
            symlink_new_path: Shape::place(Kind::FileSymlink, "new_path"),
            socket_protocol: Shape::place(Kind::NetSocket, "protocol"),
            bind_local: Shape::place(Kind::NetBind, "local"),
            bind_family: Shape::place(Kind::NetBind, "family"),
            bind_type: Shape::place(Kind::NetBind, "type"),
            bind_protocol: Shape::place(Kind::NetBind, "protocol"),
            listen_local: Shape::place(Kind::NetListen, "local"),
            listen_family: Shape::place(Kind::NetListen, "family"),
            listen_type: Shape::place(Kind::NetListen, "type"),
            listen_protocol: Shape::place(Kind::NetListen, "protocol"),
            connect_remote: Shape::place(Kind::NetConnect, "remote"),
            connect_family: Shape::place(Kind::NetConnect, "family"),
            connect_host: Shape::place(Kind::NetConnect, "host"),
            connect_pending: Shape::place(Kind::NetConnect, "pending"),
            connect_local: Shape::place(Kind::NetConnect, "local"),
            connect_type: Shape::place(Kind::NetConnect, "type"),
            connect_protocol: Shape::place(Kind::NetConnect, "protocol"),
            accept_remote: Shape::place(Kind::NetAccept, "remote"),
            accept_local: Shape::place(Kind::NetAccept, "local"),
            accept_family: Shape::place(Kind::NetAccept, "family"),
            accept_type: Shape::place(Kind::NetAccept, "type"),
            accept_protocol: Shape::place(Kind::NetAccept, "protocol"),
            map_path: Shape::place(Kind::MemoryMap, "path"),
            duplicate_path: Shape::place(Kind::FdDuplicate, "path"),
            duplicate_remote: Shape::place(Kind::FdDuplicate, "remote"),
            duplicate_local: Shape::place(Kind::FdDuplicate, "local"),
            duplicate_accepted: Shape::place(Kind::FdDuplicate, "accepted"),
            loss_count: Shape::place(Kind::SensorLoss, "count"),
            loss_reason: Shape::place(Kind::SensorLoss, "reason"),
            blind: BlindPlaces {
                path: blind("path"),
                reason: blind("reason"),
                argv: blind("argv"),
                argc: blind("argc"),
            },
            evasion: EvasionPlaces {
                addr: evasion("addr"),
                mapping: evasion("mapping"),
                module: evasion("module"),
                reason: evasion("reason"),
                count: evasion("count"),
            },
            exit: ExitPlaces {
                code: exit("code"),
                signal: exit("signal"),
                cause: exit("cause"),
                user_ns: exit("user_ns"),
                system_ns: exit("system_ns"),
                max_rss: exit("max_rss"),
                sensor_ns: exit("sensor_ns"),
                calls: exit("calls"),
                events: exit("events"),
                lost: exit("lost"),
            },
            file_close: FileClosePlaces {
                path: file("path"),
                fd: file("fd"),
                bytes_read: file("bytes_read"),
                bytes_written: file("bytes_written"),
                reads: file("reads"),
                writes: file("writes"),
                open_ns: file("open_ns"),
            },
            net_close: NetClosePlaces {
                fd: net("fd"),
                family: net("family"),
                local: net("local"),
                remote: net("remote"),
                bytes_sent: net("bytes_sent"),
                bytes_received: net("bytes_received"),
                sends: net("sends"),
                receives: net("receives"),
                open_ns: net("open_ns"),
                kind: net("type"),
                protocol: net("protocol"),
                host: net("host"),
                remotes: net("remotes"),
                peers: net("peers"),
            },
            connected: ConnectedPlaces {
                local: connected("local"),
                remote: connected("remote"),
                family: connected("family"),
                host: connected("host"),
                duration_ns: connected("duration_ns"),
                kind: connected("type"),
                protocol: connected("protocol"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_that_is_filled_in_is_in_the_table() {
        let places = Places::default();

        assert_eq!(0, places.open_path);
        assert_eq!(0, places.exit.code);
    }
}
