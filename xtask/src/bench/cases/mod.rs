//! The cases of `bench`, in the order of the table of costs (docs/performance.md).

mod delay;
mod flood;
mod lambda;
mod loops;
mod memory;
mod notify;
mod pairs;
mod programs;

use anyhow::Result;

use super::Bench;

pub use self::programs::nginx_configuration;

/// A case, by the name that selects it.
pub struct Case {
    pub name: &'static str,
    pub what: &'static str,
    pub run: fn(&mut Bench) -> Result<()>,
}

/// Every case.
pub const ALL: &[Case] = &[
    Case { name: "event", what: "one event, hot, 40-byte path", run: loops::event },
    Case { name: "open-close", what: "open+close loop", run: loops::open_close },
    Case { name: "read-write", what: "read+write loops", run: loops::read_write },
    Case { name: "connect-accept", what: "connect+accept loop", run: loops::connect_accept },
    Case {
        name: "fork-exec",
        what: "fork+exec of /bin/true, and vfork, and posix_spawn",
        run: loops::fork_exec,
    },
    Case { name: "python", what: "python3 importing 45 standard modules", run: programs::python },
    Case { name: "node", what: "node -e 1", run: programs::node },
    Case { name: "java", what: "java -version", run: programs::java },
    Case { name: "git", what: "git status in a repository of 200 files", run: programs::git },
    Case { name: "nginx", what: "nginx worker CPU a request", run: programs::nginx },
    Case { name: "size", what: "the sensor's file", run: memory::size },
    Case { name: "memory", what: "private memory of a process", run: memory::memory },
    Case { name: "idle", what: "wake-ups while nothing happens", run: memory::idle },
    Case { name: "flood", what: "events a second under a flood", run: flood::flood },
    Case { name: "delay", what: "from the call to a line of JSON", run: delay::line },
    Case { name: "alert", what: "from the call to the alert of a rule, under load", run: delay::alert },
    Case { name: "lambda", what: "billed time of an invocation in AWS Lambda", run: lambda::billed },
    Case { name: "codec", what: "encode+commit and decode alone: time and instructions", run: loops::codec },
];

/// The cases of what `run --notify` costs.
pub const NOTIFY: &[Case] = &[
    Case {
        name: "allowed",
        what: "calls that libc makes, which the filter lets through",
        run: notify::allowed,
    },
    Case { name: "notified", what: "calls that the kernel asks about", run: notify::notified },
    Case { name: "exec", what: "vfork+exec of /bin/true", run: notify::exec },
    Case { name: "starts", what: "python3, node and java, started by a program below", run: notify::starts },
    Case { name: "runs", what: "python3, node and java, each in a run of its own", run: notify::runs },
    Case { name: "server", what: "a static Go HTTP server under load", run: notify::server },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_case_stands_twice() {
        for cases in [ALL, NOTIFY] {
            let mut names: Vec<_> = cases.iter().map(|case| case.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(cases.len(), names.len());
        }
    }
}
