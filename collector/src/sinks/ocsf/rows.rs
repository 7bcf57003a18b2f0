//! The table: which activity of OCSF each kind of event becomes, and which attributes its fields fill.
//!
//! A field that no part takes goes to `unmapped` under its own name, so that nothing is lost. To add a kind:
//! a row; a test looks for it.

use wire::events::Kind;

use super::class::{Activity, CONNECTION, DNS, EXTENSION, FILE, KERNEL, LIFECYCLE, MEMORY, MODULE, PROCESS};
use super::parts::{self, Part};
use super::{files, network};
use crate::sinks::reading::Given;

/// A kind of event.
#[derive(Debug)]
pub struct Row {
    pub kind: Kind,
    /// `severity_id`.
    pub severity: u8,
    /// The fields by which `choose` decides, by number.
    pub reads: &'static [&'static str],
    /// The number of the case that an event is.
    pub choose: fn(&Given<'_>) -> usize,
    pub cases: &'static [Case],
}

/// What a kind of event may be.
#[derive(Debug)]
pub struct Case {
    pub activity: Activity,
    /// What it has besides the attributes of every line.
    pub parts: &'static [Part],
}

/// `severity_id` of what is no alert.
const INFORMATIONAL: u8 = 1;
const LOW: u8 = 2;
const HIGH: u8 = 4;

const fn case(activity: Activity, parts: &'static [Part]) -> Case {
    Case { activity, parts }
}

/// A kind of one case.
const fn always(kind: Kind, cases: &'static [Case; 1]) -> Row {
    Row { kind, severity: INFORMATIONAL, reads: &[], choose: |_| 0, cases }
}

/// A kind of several cases.
const fn by(
    kind: Kind,
    reads: &'static [&'static str],
    choose: fn(&Given<'_>) -> usize,
    cases: &'static [Case],
) -> Row {
    Row { kind, severity: INFORMATIONAL, reads, choose, cases }
}

impl Row {
    const fn severe(self, severity: u8) -> Self {
        Self { severity, ..self }
    }
}

const LAUNCH: Activity = PROCESS.does(1, "Launch");
const CREATE: Activity = FILE.does(1, "Create");
const UPDATE: Activity = FILE.does(3, "Update");
const DELETE: Activity = FILE.does(4, "Delete");
const SET_ATTRIBUTES: Activity = FILE.does(6, "Set Attributes");
const SET_SECURITY: Activity = FILE.does(7, "Set Security");
const GET_ATTRIBUTES: Activity = FILE.does(8, "Get Attributes");
const INVOKE: Activity = KERNEL.does(4, "Invoke");

/// Every kind, in the order of the table of events.
pub const ROWS: &[Row] = &[
    always(Kind::ProcessStart, &[case(LAUNCH, &[parts::BY_EXEC, parts::STARTED])]),
    by(
        Kind::ProcessExec,
        &[],
        |given| usize::from(given.has_failed()),
        &[
            // The program that it leads to is the launch.
            case(PROCESS.other("Exec"), &[parts::EXECUTED]),
            case(LAUNCH, &[parts::BY_EXEC, parts::EXECUTED]),
        ],
    ),
    by(
        Kind::ProcessFork,
        &[],
        |given| usize::from(matches!(given.event.call, "posix_spawn" | "posix_spawnp" | "popen" | "system")),
        &[case(LAUNCH, &[parts::BY_FORK, parts::CHILD]), case(LAUNCH, &[parts::BY_SPAWN, parts::CHILD])],
    ),
    always(
        Kind::ProcessExit,
        &[case(PROCESS.does(2, "Terminate"), &[parts::OWN_WITH_PARENT, parts::EXIT_CODE])],
    ),
    always(Kind::ProcessSignal, &[case(PROCESS.other("Signal"), &[parts::TARGET])]),
    by(
        Kind::ProcessCredentials,
        &["what"],
        |given| usize::from(!given.text(0).is_some_and(|what| what.ends_with(b"uid"))),
        &[
            case(PROCESS.does(5, "Set User ID"), &[parts::OWN]),
            case(PROCESS.other("Set Groups or Capabilities"), &[parts::OWN]),
        ],
    ),
    by(
        Kind::ProcessTrace,
        &["request"],
        |given| usize::from(given.text(0).is_some_and(writes_into)),
        &[case(PROCESS.does(3, "Open"), &[parts::TARGET]), case(PROCESS.does(4, "Inject"), &[parts::TARGET])],
    ),
    by(
        Kind::ProcessNamespace,
        &["what"],
        |given| match given.text(0) {
            Some(b"mount" | b"move_mount" | b"fsmount") => 0,
            Some(b"umount") => 1,
            _ => 2,
        },
        &[
            case(FILE.does(12, "Mount"), &[files::FOLDER]),
            case(FILE.does(13, "Unmount"), &[files::FOLDER]),
            case(INVOKE, &[parts::KERNEL_OF_WHAT]),
        ],
    ),
    always(Kind::ProcessControl, &[case(INVOKE, &[parts::KERNEL_OF_WHAT])]),
    always(Kind::ProcessLimit, &[case(INVOKE, &[parts::KERNEL_OF_RESOURCE])]),
    by(
        Kind::FileOpen,
        &["flags"],
        |given| {
            let is_new =
                given.event.call == "memfd_create" || given.has(0, "O_EXCL") || given.has(0, "O_TMPFILE");
            usize::from(is_new && !given.has_failed())
        },
        &[case(FILE.does(14, "Open"), &[files::OPENED]), case(CREATE, &[files::OPENED])],
    ),
    by(
        Kind::FileClose,
        &["writes", "reads"],
        |given| match (given.uint(0), given.uint(1)) {
            (Some(1..), _) => 0,
            (_, Some(1..)) => 1,
            _ => 2,
        },
        &[
            case(UPDATE, &[files::FILE, parts::DURATION]),
            case(FILE.does(2, "Read"), &[files::FILE, parts::DURATION]),
            case(FILE.other("Close"), &[files::FILE, parts::DURATION]),
        ],
    ),
    always(Kind::FileUnlink, &[case(DELETE, &[files::FILE])]),
    always(Kind::FileRmdir, &[case(DELETE, &[files::FOLDER])]),
    always(Kind::FileMkdir, &[case(CREATE, &[files::FOLDER])]),
    always(Kind::FileChmod, &[case(SET_SECURITY, &[files::FILE])]),
    always(Kind::FileChown, &[case(SET_SECURITY, &[files::OWNED])]),
    always(Kind::FileTruncate, &[case(UPDATE, &[files::SIZED])]),
    always(Kind::FileXattr, &[case(SET_ATTRIBUTES, &[files::FILE])]),
    always(Kind::FileRename, &[case(FILE.does(5, "Rename"), &[files::FILE, files::RESULT])]),
    always(Kind::FileLink, &[case(CREATE, &[files::NEW])]),
    always(Kind::FileSymlink, &[case(CREATE, &[files::NEW_LINK])]),
    always(Kind::FileMknod, &[case(CREATE, &[files::NODE])]),
    always(Kind::FileHandle, &[case(GET_ATTRIBUTES, &[files::FILE])]),
    always(Kind::FileTimes, &[case(SET_ATTRIBUTES, &[files::TIMED])]),
    always(Kind::FileStat, &[case(GET_ATTRIBUTES, &[files::FILE])]),
    always(Kind::FileAccess, &[case(FILE.does(9, "Get Security"), &[files::FILE])]),
    always(Kind::FileReadlink, &[case(GET_ATTRIBUTES, &[files::LINK])]),
    always(Kind::FileAllocate, &[case(UPDATE, &[files::FILE])]),
    always(Kind::FileLock, &[case(FILE.other("Lock"), &[files::FILE])]),
    always(Kind::FileSync, &[case(FILE.other("Sync"), &[files::FILE])]),
    always(Kind::NetSocket, &[case(CONNECTION.other("Socket"), &[network::SOCKET])]),
    always(Kind::NetBind, &[case(CONNECTION.other("Bind"), &[network::EITHER, network::UNASSIGNED])]),
    always(Kind::NetListen, &[case(CONNECTION.does(7, "Listen"), &[network::LISTENING])]),
    by(
        Kind::NetConnect,
        &["pending"],
        |given| if given.is_true(0) { OUTCOMES } else { outcome(given) },
        &[
            case(CONNECTION.does(1, "Open"), &[network::OUTBOUND]),
            case(CONNECTION.does(5, "Refuse"), &[network::OUTBOUND]),
            case(CONNECTION.does(3, "Reset"), &[network::OUTBOUND]),
            case(CONNECTION.does(4, "Fail"), &[network::OUTBOUND]),
            // Its outcome is another event.
            case(CONNECTION.other("Connect"), &[network::OUTBOUND]),
        ],
    ),
    by(
        Kind::NetConnected,
        &[],
        outcome,
        &[
            case(CONNECTION.does(1, "Open"), &[network::OUTBOUND, network::TAKEN]),
            case(CONNECTION.does(5, "Refuse"), &[network::OUTBOUND, network::TAKEN]),
            case(CONNECTION.does(3, "Reset"), &[network::OUTBOUND, network::TAKEN]),
            case(CONNECTION.does(4, "Fail"), &[network::OUTBOUND, network::TAKEN]),
        ],
    ),
    by(
        Kind::NetAccept,
        &[],
        |given| usize::from(given.has_failed()),
        &[
            case(CONNECTION.does(1, "Open"), &[network::INBOUND]),
            case(CONNECTION.does(4, "Fail"), &[network::INBOUND]),
        ],
    ),
    always(
        Kind::NetClose,
        &[case(
            CONNECTION.does(2, "Close"),
            &[network::EITHER, network::UNASSIGNED, network::TRAFFIC, parts::DURATION],
        )],
    ),
    by(
        Kind::DnsQuery,
        &[],
        |given| usize::from(given.event.call.starts_with("send")),
        &[
            // libc asks and is answered.
            case(DNS.does(6, "Traffic"), &[network::QUERY, network::ANSWERS]),
            // A datagram to a name server.
            case(DNS.does(1, "Query"), &[network::QUERY]),
        ],
    ),
    always(Kind::DnsReverse, &[case(DNS.does(6, "Traffic"), &[network::REVERSE, network::NAME])]),
    always(Kind::LibLoad, &[case(MODULE.does(1, "Load"), &[files::MODULE])]),
    by(
        Kind::MemoryMap,
        &["path"],
        |given| match (given.event.call, given.text(0)) {
            ("mprotect" | "pkey_mprotect", _) => 0,
            (_, Some(_)) => 1,
            _ => 2,
        },
        &[
            case(MEMORY.does(2, "Modify Page"), &[parts::OWN, parts::PAGES]),
            case(MEMORY.does(9, "Map View"), &[parts::OWN, parts::PAGES]),
            case(MEMORY.does(1, "Allocate Page"), &[parts::OWN, parts::PAGES]),
        ],
    ),
    by(
        Kind::KernelModule,
        &[],
        |given| usize::from(given.event.call == "delete_module"),
        &[
            case(EXTENSION.does(1, "Load"), &[files::DRIVER]),
            case(EXTENSION.does(2, "Unload"), &[files::DRIVER]),
        ],
    ),
    always(Kind::KernelBpf, &[case(INVOKE, &[parts::KERNEL_OF_CALL])]),
    always(Kind::KernelUserfaultfd, &[case(INVOKE, &[parts::KERNEL_OF_CALL])]),
    always(Kind::KernelIoUring, &[case(INVOKE, &[parts::KERNEL_OF_CALL])]),
    always(Kind::FdDuplicate, &[case(PROCESS.other("Redirect"), &[parts::OWN])]),
    always(Kind::SensorLoss, &[case(LIFECYCLE.other("Loss"), &[parts::APP])]).severe(LOW),
    always(Kind::SensorEvasion, &[case(LIFECYCLE.other("Evasion"), &[parts::APP])]).severe(HIGH),
    always(Kind::SensorBlind, &[case(LIFECYCLE.other("Blind"), &[parts::APP])]).severe(LOW),
];

/// Outcomes of a connect, the first cases of its row.
const OUTCOMES: usize = 4;

fn outcome(given: &Given<'_>) -> usize {
    match given.event.error {
        "" => 0,
        "ECONNREFUSED" => 1,
        "ECONNRESET" => 2,
        _ => OUTCOMES - 1,
    }
}

/// Whether a request of ptrace(2), or a call of its kin, changes the other process.
fn writes_into(request: &[u8]) -> bool {
    const WRITING: [&[u8]; 6] = [
        b"process_vm_writev",
        b"PTRACE_POKETEXT",
        b"PTRACE_POKEDATA",
        b"PTRACE_POKEUSER",
        b"PTRACE_SETREGS",
        b"PTRACE_SETREGSET",
    ];
    WRITING.contains(&request)
}

#[cfg(test)]
mod tests {
    use wire::schema::{EVENTS, EventSpec};

    use super::*;
    use crate::sinks::reading::MOST;

    #[test]
    fn every_kind_has_one_row_in_the_order_of_the_events() {
        let kinds: Vec<Kind> = ROWS.iter().map(|row| row.kind).collect();

        assert_eq!(EVENTS.iter().map(|spec| spec.kind).collect::<Vec<_>>(), kinds);
    }

    #[test]
    fn every_field_that_a_row_reads_is_one_of_the_event_in_some_row_at_least() {
        for Row { kind, reads, cases, .. } in ROWS {
            let spec = EventSpec::of(*kind).unwrap();
            assert!(reads.iter().all(|field| spec.index_of(field).is_some()), "{kind:?}");
            for part in cases.iter().flat_map(|case| case.parts) {
                let names = part.fields.iter().map(|field| field.name());
                assert!(part.fields.len() <= MOST, "{kind:?}");
                assert!(
                    part.fields.is_empty() || names.clone().any(|name| spec.index_of(name).is_some()),
                    "{kind:?}: none of {:?}",
                    names.collect::<Vec<_>>()
                );
            }
        }
    }
}
