//! Every event, declared once: its fields, their types, units and meaning.
//!
//! The table below gives the structs that the sensor encodes and the collector decodes, the JSON names, and
//! `docs/events.md`. `sent` fields travel in the record; `added` ones come from the collector. The collector
//! makes events without `sent`. The entries under `records` travel, but are no events: they keep the
//! collector's picture of descriptors and directories right.
//!
//! Fields are only ever appended, and numbers never used again. A change shows in the golden bytes of
//! `tests/golden.rs` and gets a line in `docs/wire-format.md`.

use bincode::{BorrowDecode, Decode};

use crate::codec::{Encode, Malformed, decode};
use crate::encode_by_fields;
use crate::fields::{
    AccessMode, Actions, Address, AllocateFlags, Answers, Args, AtFlags, Control, Environment, Family, Field,
    HandleFlags, Hidden, Ip, LoadFlags, LockKind, MountAttributes, NamespaceFlags, OpenFlags, Path,
    Protection, Protocol, RenameFlags, ResolveFlags, ResourceLimit, Show, Shown, SocketType, Text, Trace,
    XattrFlags,
};

/// The part of a record after its head: implemented for each struct of the table.
pub trait Payload: Encode {
    /// The event that the payload belongs to.
    const KIND: Kind;
    /// Bytes of the payload on the wire.
    fn encoded_len(&self) -> usize;
}

macro_rules! events {
    ($lifetime:tt
     events { $(
        $(#[doc = $doc:literal])+
        $name:ident = $number:literal $event:literal {
            $(sent $(<$borrow:tt>)? { $($(#[doc = $sent_doc:literal])+ $sent:ident: $sent_type:ty,)* })?
            $(added { $($(#[doc = $added_doc:literal])+ $added:ident: $added_type:literal,)* })?
        }
     )* }
     records { $(
        $(#[doc = $record_doc:literal])+
        $record:ident $(<$record_borrow:tt>)? = $record_number:literal {
            $($(#[doc = $part_doc:literal])+ $part:ident: $part_type:ty,)*
        }
     )* }) => {
        /// The number of an event, or of a record that is no event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Kind {
            $($(#[doc = $doc])+ $name = $number,)*
            $($(#[doc = $record_doc])+ $record = $record_number,)*
        }

        impl Kind {
            /// Every kind, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)* $(Self::$record,)*];

            /// The name that users see, `noun.verb`; for a record that is no event, its own.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $event,)* $(Self::$record => stringify!($record),)* }
            }

            /// Reads the number of a record; `None` for one that this version does not know.
            #[inline]
            pub fn from_number(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    $($record_number => Some(Self::$record),)*
                    _ => None,
                }
            }
        }

        $($(
            #[doc = concat!("What the sensor sends of `", $event, "`.")]
            #[derive(Clone, Copy, Debug, PartialEq, BorrowDecode)]
            pub struct $name $(<$borrow>)? { $($(#[doc = $sent_doc])+ pub $sent: $sent_type,)* }

            encode_by_fields! { $name $(<$borrow>)? { $($sent),* } }

            impl $(<$borrow>)? Payload for $name $(<$borrow>)? {
                const KIND: Kind = Kind::$name;
                #[inline(always)]
                fn encoded_len(&self) -> usize { 0 $(+ self.$sent.encoded_len())* }
            }

            /// The type that each field shows as. Here, because a lifetime can be named here.
            #[allow(non_upper_case_globals)] // named after the fields
            impl $(<$borrow>)? $name $(<$borrow>)? {
                $( pub(crate) const $sent: &'static str = <$sent_type as Field>::TYPE; )*
            }
        )?)*
        $(
            $(#[doc = $record_doc])+
            #[derive(Clone, Copy, Debug, PartialEq, BorrowDecode)]
            pub struct $record $(<$record_borrow>)? { $($(#[doc = $part_doc])+ pub $part: $part_type,)* }

            encode_by_fields! { $record $(<$record_borrow>)? { $($part),* } }

            impl $(<$record_borrow>)? Payload for $record $(<$record_borrow>)? {
                const KIND: Kind = Kind::$record;
                #[inline(always)]
                fn encoded_len(&self) -> usize { 0 $(+ self.$part.encoded_len())* }
            }
        )*

        /// A decoded payload; each variant is the struct of the same name. Events that the collector makes
        /// itself have none.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Decoded<$lifetime> {
            $($( #[doc = concat!("`", $event, "`")] $name($name $(<$borrow>)?), )?)*
            $( $(#[doc = $record_doc])+ $record($record $(<$record_borrow>)?), )*
        }

        impl<$lifetime> Decoded<$lifetime> {
            /// Decodes the payload of a record of this kind; refuses bytes left over, and kinds that never
            /// travel.
            pub fn decode(kind: Kind, bytes: &$lifetime [u8]) -> Result<Self, Malformed> {
                let (decoded, rest) = match kind {
                    $($( Kind::$name => {
                        let (payload, rest) = decode::<$name $(<$borrow>)?>(bytes)?;
                        (Self::$name(payload), rest)
                    } )?)*
                    $( Kind::$record => {
                        let (payload, rest) = decode::<$record $(<$record_borrow>)?>(bytes)?;
                        (Self::$record(payload), rest)
                    } )*
                    _ => return Err(Malformed),
                };
                // A record is as long as a multiple of 8; the padding is less than that.
                if rest.len() < 8 { Ok(decoded) } else { Err(Malformed) }
            }

            /// Calls `each` with every sent field that is not hidden: its index in `EventSpec::fields`, its
            /// value.
            pub fn show(&self, each: &mut impl FnMut(usize, Shown<$lifetime>)) {
                match self {
                    $($( Self::$name(payload) => {
                        let _ = payload; // an event may send no field
                        let mut index = 0;
                        $( if !<$sent_type as Field>::TYPE.is_empty() {
                            each(index, payload.$sent.shown());
                            index += 1;
                        } )*
                        let _ = index;
                    } )?)*
                    $( Self::$record(_) => {} )*
                }
            }
        }

        /// Records that are no events, for the description of the wire format: name, number, documentation.
        pub const RECORDS: &[(&str, u16, &[&str])] =
            &[$((stringify!($record), $record_number, &[$($record_doc),+]),)*];
    };
}

/// The table, handed to a macro: to `events!` above, and to the one in [`crate::schema`] that makes data of
/// it.
#[rustfmt::skip] // the table is read at the margin
macro_rules! table { ($reader:ident) => { $reader! { 'a
events {
    /// A program image begins, one for each successful exec.
    ProcessStart = 1 "process.start" {
        sent<'a> {
            /// The executed file: for a script the script, where `exe` is its interpreter.
            path: Path<'a>,
            /// The argument vector as the kernel passed it. One longer than 16 KiB is cut (`truncated`);
            /// `GLASSBOX_ARGV_KIB` sets another bound.
            argv: Args<'a>,
            /// The current directory.
            cwd: Text<'a>,
            /// Real group id.
            gid: u32,
            /// Effective group id.
            egid: u32,
            /// The environment variables that matter to the loader (`LD_*`, `GLIBC_TUNABLES`), those of
            /// proxies (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` in either case), and `GLASSBOX*`.
            env: Environment<'a>,
            /// The running image (`exe` of each event of this process).
            image: Hidden<Text<'a>>,
            /// Real user id (`uid` of each event).
            real_uid: Hidden<u32>,
            /// Effective user id (`euid` of each event).
            effective_uid: Hidden<u32>,
            /// Parent as the process sees it.
            parent: Hidden<u32>,
            /// The number of arguments, where `argv` was cut.
            argc: Option<u32>,
        }
        added {
            /// The degree to which it is seen: `hooked`, `notify` or `blind`.
            coverage: "name",
            /// Why it is blind.
            reason: "name",
            /// The time from the exec that asked for it until the sensor began in it, nanoseconds: the
            /// kernel's work, the loader's, and the constructors that run before the sensor's.
            duration_ns: "number",
        }
    }
    /// An exec is asked for (before the call), and again with `ret` and `error` if it failed.
    ProcessExec = 2 "process.exec" {
        sent<'a> {
            /// The program; where the call searches `PATH`, what it finds there, or the file that it fails
            /// for.
            path: Path<'a>,
            /// The argument vector, cut as in `process.start`.
            argv: Args<'a>,
            /// The number of arguments, where `argv` was cut.
            argc: Option<u32>,
            /// What the child does before it becomes the program, posix_spawn_file_actions_init(3):
            /// `close 3`, `dup2 4 1`, `open 2 /log O_WRONLY 0600`, `chdir /x`, `fchdir 5`, `closefrom 3`,
            /// `tcsetpgrp 0`. `path` is relative to where they lead.
            actions: Actions<'a>,
            /// The flags of execveat: `AT_…`.
            flags: Option<AtFlags>,
        }
    }
    /// A process was made: fork, vfork, clone, posix_spawn, popen, system.
    ProcessFork = 3 "process.fork" {
        sent {
            /// The new process, where the caller learns it (system(3) does not).
            child: Option<u32>,
            /// The clock of the record's time before the call; 0 where it was not read.
            began_ns: Hidden<u64>,
        }
        added {
            /// The time that the call took, nanoseconds: of vfork until the child executed a program or
            /// ended, of system and wordexp until the command ended.
            duration_ns: "number",
        }
    }
    /// The process ended.
    ProcessExit = 4 "process.exit" {
        added {
            /// Exit status, 0 to 255.
            code: "number",
            /// The signal that killed it.
            signal: "number",
            /// `unknown` where neither `code` nor `signal` can be known.
            cause: "name",
            /// Processor time in user mode, nanoseconds.
            user_ns: "number",
            /// Processor time in the kernel, nanoseconds.
            system_ns: "number",
            /// Largest resident set, bytes.
            max_rss: "number",
            /// Time spent in the sensor, nanoseconds, estimated from samples (see `docs/ledgers.md`).
            sensor_ns: "number",
            /// Hooked calls seen.
            calls: "number",
            /// Events delivered.
            events: "number",
            /// Events lost.
            lost: "number",
        }
    }
    /// A signal is sent: kill, tgkill, pidfd_send_signal.
    ProcessSignal = 5 "process.signal" {
        sent {
            /// Process, or process group if negative, that it is sent to.
            target: i32,
            /// The signal's number.
            signal: i32,
            /// The pidfd that it is sent by, in place of `target`.
            pidfd: Hidden<Option<i32>>,
        }
    }
    /// Identity changes: set*id, setgroups, capset.
    ProcessCredentials = 6 "process.credentials" {
        sent<'a> {
            /// Which identity: `uid`, `euid`, `reuid`, `resuid`, `fsuid`, the same with `gid`, `groups`,
            /// `capabilities`.
            what: Text<'a>,
            /// The numbers it was set to, in the order of the call's arguments, -1 for one that stays; of
            /// `capabilities` the effective, permitted and inheritable set.
            to: Args<'a>,
            /// Real user id after the call, where it could be asked for.
            real_uid: Hidden<Option<u32>>,
            /// Effective user id after the call.
            effective_uid: Hidden<Option<u32>>,
        }
    }
    /// Another process is looked into: ptrace, process_vm_readv, process_vm_writev.
    ProcessTrace = 7 "process.trace" {
        sent {
            /// The request: `PTRACE_…`, `process_vm_readv` or `process_vm_writev`.
            request: Trace,
            /// The process looked into.
            target: i32,
        }
    }
    /// The process's view of the system changes: setns, unshare, chroot, pivot_root, mount, umount, and the
    /// calls that mount in steps.
    ProcessNamespace = 8 "process.namespace" {
        sent<'a> {
            /// Which kind of change: `setns`, `unshare`, `chroot`, `pivot_root`, `mount`, `umount`; `fsopen`,
            /// `fspick`, `fsconfig` (with a source), `fsmount`, `open_tree`, `move_mount`, `mount_setattr`.
            what: Text<'a>,
            /// The path concerned: the new root, the mount point, the namespace's file.
            path: Path<'a>,
            /// The call's flags: `CLONE_…`, `MS_…`, `MNT_…`, and so on.
            flags: NamespaceFlags,
            /// The source of the mount, as the caller passed it; for pivot_root the place of the old root;
            /// for move_mount the path of the mount that is moved.
            source: Option<Text<'a>>,
            /// The type of the file system that is mounted.
            filesystem: Option<Text<'a>>,
            /// The attributes that fsmount and mount_setattr give a mount: `MOUNT_ATTR_…`.
            attributes: Option<MountAttributes>,
        }
    }
    /// The process changes its rights or its name: prctl, seccomp. A filter is reported before the call.
    ProcessControl = 9 "process.control" {
        sent<'a> {
            /// Which option, `PR_SET_…`.
            what: Control,
            /// The option's first argument.
            argument: Option<u64>,
            /// The name, for `PR_SET_NAME`.
            name: Option<Text<'a>>,
        }
    }
    /// A limit of a process changes: setrlimit, prlimit with a new limit.
    ProcessLimit = 10 "process.limit" {
        sent {
            /// The resource: `RLIMIT_…`.
            resource: ResourceLimit,
            /// The limit that holds; 18446744073709551615 for none.
            soft: u64,
            /// The limit that it can be raised to, in the same way.
            hard: u64,
            /// The process, where the caller named one.
            target: Option<i32>,
        }
    }
    /// A file, directory or anonymous file was opened, or could not be.
    FileOpen = 20 "file.open" {
        sent<'a> {
            /// The file; for memfd_create `memfd:` and its name.
            path: Path<'a>,
            /// The new descriptor; absent for scandir and glob, which leave none.
            fd: Option<i32>,
            /// The flags of open; for fopen those that the mode string means.
            flags: OpenFlags,
            /// Permissions for a file that is made.
            mode: Option<u32>,
            /// How the path is resolved, for openat2: `RESOLVE_…`. With `RESOLVE_IN_ROOT` a path that begins
            /// with a slash begins at the directory of the call.
            resolve: Option<ResolveFlags>,
        }
    }
    /// An open file ends: close, fclose, dup2 over it, exec, exit.
    FileClose = 21 "file.close" {
        added {
            /// The file.
            path: "path",
            /// The descriptor.
            fd: "number",
            /// Bytes read through this descriptor by this process. Here and below, what the kernel does not
            /// tell of a notified program is absent (docs/notify.md).
            bytes_read: "number",
            /// Bytes written through this descriptor by this process.
            bytes_written: "number",
            /// Successful calls that read.
            reads: "number",
            /// Successful calls that wrote.
            writes: "number",
            /// The time for which it was open, nanoseconds.
            open_ns: "number",
        }
    }
    /// A name is removed.
    FileUnlink = 22 "file.unlink" { sent<'a> {
        /// The name.
        path: Path<'a>,
    } }
    /// A directory is removed.
    FileRmdir = 23 "file.rmdir" { sent<'a> {
        /// The directory.
        path: Path<'a>,
    } }
    /// A directory is made.
    FileMkdir = 24 "file.mkdir" { sent<'a> {
        /// The directory.
        path: Path<'a>,
        /// Its permissions before the umask.
        mode: u32,
    } }
    /// Permissions change.
    FileChmod = 25 "file.chmod" { sent<'a> {
        /// The file.
        path: Path<'a>,
        /// The permissions.
        mode: u32,
        /// The flags of fchmodat: `AT_…`.
        flags: Option<AtFlags>,
    } }
    /// The owner changes.
    FileChown = 26 "file.chown" { sent<'a> {
        /// The file.
        path: Path<'a>,
        /// User id, -1 if unchanged.
        owner: i32,
        /// Group id, -1 if unchanged.
        group: i32,
        /// The flags of fchownat: `AT_…`.
        flags: Option<AtFlags>,
    } }
    /// A file's length is set.
    FileTruncate = 27 "file.truncate" { sent<'a> {
        /// The file.
        path: Path<'a>,
        /// Its length in bytes.
        length: i64,
    } }
    /// An extended attribute is set or removed.
    FileXattr = 28 "file.xattr" { sent<'a> {
        /// The file.
        path: Path<'a>,
        /// The attribute.
        name: Text<'a>,
        /// The flags of setxattr: `XATTR_…`.
        flags: Option<XattrFlags>,
        /// The length of the value that is set, bytes.
        size: Option<u64>,
    } }
    /// A file gets another name.
    FileRename = 29 "file.rename" { sent<'a> {
        /// The name it had.
        path: Path<'a>,
        /// The name it gets.
        new_path: Path<'a>,
        /// The flags of renameat2: `RENAME_…`. With `RENAME_EXCHANGE` the file that had `new_path` gets
        /// `path`.
        flags: Option<RenameFlags>,
    } }
    /// A file gets one more name.
    FileLink = 30 "file.link" { sent<'a> {
        /// The file that is pointed at.
        path: Path<'a>,
        /// The new name.
        new_path: Path<'a>,
        /// The flags of linkat: `AT_…`.
        flags: Option<AtFlags>,
    } }
    /// A symbolic link is made.
    FileSymlink = 31 "file.symlink" { sent<'a> {
        /// The target of the link.
        path: Path<'a>,
        /// The new name.
        new_path: Path<'a>,
    } }
    /// A file that is no directory is made by name: mknod, mkfifo.
    FileMknod = 32 "file.mknod" { sent<'a> {
        /// The name.
        path: Path<'a>,
        /// Its type and its permissions before the umask, as mknod(2) takes them.
        mode: u32,
        /// The device that it stands for, else 0.
        device: u64,
    } }
    /// A handle of a file is asked for, by which open_by_handle_at opens it without a path.
    FileHandle = 33 "file.handle" { sent<'a> {
        /// The file.
        path: Path<'a>,
        /// The flags: `AT_…`.
        flags: HandleFlags,
    } }
    /// The times of a file are set.
    FileTimes = 34 "file.times" { sent<'a> {
        /// The file.
        path: Path<'a>,
        /// The time of the last access that it gets, nanoseconds since 1970; absent if it gets the present
        /// one, or keeps its own.
        accessed: Option<i64>,
        /// The time of the last change, in the same way.
        modified: Option<i64>,
        /// The flags of utimensat: `AT_…`.
        flags: Option<AtFlags>,
    } }
    /// The attributes of a file were asked for (the stat family), and the call failed; on request
    /// (`GLASSBOX_TELL=lookups`) also one that succeeded.
    FileStat = 35 "file.stat" { sent<'a> {
        /// The file.
        path: Path<'a>,
        /// The flags of fstatat and statx: `AT_…`.
        flags: Option<AtFlags>,
    } }
    /// The right to a file was asked for (the access family), and the call failed; on request
    /// (`GLASSBOX_TELL=lookups`) also one that succeeded.
    FileAccess = 36 "file.access" { sent<'a> {
        /// The file.
        path: Path<'a>,
        /// The right: `R_OK`, `W_OK`, `X_OK`; none of them where only the file's existence is asked.
        mode: AccessMode,
        /// The flags of faccessat: `AT_…`.
        flags: Option<AtFlags>,
    } }
    /// The target of a symbolic link was asked for, and the call failed; on request
    /// (`GLASSBOX_TELL=lookups`) also one that succeeded.
    FileReadlink = 37 "file.readlink" { sent<'a> {
        /// The link.
        path: Path<'a>,
        /// Its target, as it stands in the link, cut as the call cut it.
        target: Option<Text<'a>>,
    } }
    /// A file's space is allocated or given back: fallocate, posix_fallocate.
    FileAllocate = 38 "file.allocate" { sent<'a> {
        /// The file.
        path: Path<'a>,
        /// The descriptor.
        fd: i32,
        /// The operation: `FALLOC_FL_…`.
        flags: AllocateFlags,
        /// Where the range begins, bytes.
        offset: i64,
        /// Its length, bytes.
        length: i64,
    } }
    /// A file is locked or unlocked, on request (`GLASSBOX_TELL=locks`): flock, fcntl, lockf.
    FileLock = 39 "file.lock" { sent<'a> {
        /// The file.
        path: Path<'a>,
        /// The descriptor.
        fd: i32,
        /// The kind of lock: `LOCK_…` of flock, `F_RDLCK`, `F_WRLCK` and `F_UNLCK` of fcntl, `F_ULOCK`,
        /// `F_LOCK`, `F_TLOCK` and `F_TEST` of lockf.
        lock: LockKind,
        /// Whether the call waits for it.
        waits: bool,
        /// Where the locked range begins, bytes, counted as the call says; absent for flock and lockf.
        start: Option<i64>,
        /// Its length, bytes, 0 for all that follows; absent for flock.
        length: Option<i64>,
    } }
    /// What was written is forced to the disk: fsync, fdatasync, syncfs, sync, sync_file_range.
    FileSync = 110 "file.sync" {
        sent<'a> {
            /// The file; of syncfs one of the file system; absent for sync, which forces all.
            path: Path<'a>,
            /// The descriptor.
            fd: Option<i32>,
            /// The clock of the record's time before the call; 0 where it was not read.
            began_ns: Hidden<u64>,
        }
        added {
            /// The time that the call took, nanoseconds.
            duration_ns: "number",
        }
    }
    /// A socket is made.
    NetSocket = 40 "net.socket" { sent {
        /// The new descriptor.
        fd: Option<i32>,
        /// Address family.
        family: Family,
        /// Type, without flags.
        r#type: SocketType,
        /// Protocol.
        protocol: Protocol,
    } }
    /// A socket gets a local address.
    NetBind = 41 "net.bind" {
        sent<'a> {
            /// The socket.
            fd: i32,
            /// The address.
            local: Address<'a>,
        }
        added {
            /// Address family.
            family: "name",
            /// Type of the socket.
            r#type: "name",
            /// Protocol of the socket.
            protocol: "name",
        }
    }
    /// A socket waits for connections.
    NetListen = 42 "net.listen" {
        sent {
            /// The socket.
            fd: i32,
            /// Length of the queue asked for.
            backlog: i32,
        }
        added {
            /// The address it was bound to.
            local: "`addr:port`, `[addr]:port` or a path",
            /// Address family.
            family: "name",
            /// Type of the socket.
            r#type: "name",
            /// Protocol of the socket.
            protocol: "name",
        }
    }
    /// A connection is asked for, or a first datagram sent to a peer.
    NetConnect = 43 "net.connect" {
        sent<'a> {
            /// The socket.
            fd: i32,
            /// The peer.
            remote: Address<'a>,
            /// The local address, which the kernel chose.
            own: Hidden<Address<'a>>,
            /// The clock of the record's time before the call; 0 where it was not read.
            began_ns: Hidden<u64>,
        }
        added {
            /// Address family.
            family: "name",
            /// The name that this process last resolved to the address.
            host: "string",
            /// True when the call returned before the connection was made (`EINPROGRESS`).
            pending: "boolean",
            /// The local address, where it is known.
            local: "`addr:port`, `[addr]:port` or a path",
            /// Type of the socket.
            r#type: "name",
            /// Protocol of the socket.
            protocol: "name",
            /// The time that the call took, nanoseconds. Absent where it is pending, which `net.connected`
            /// tells the time of, and of a first datagram.
            duration_ns: "number",
        }
    }
    /// A connect that was under way when its call returned has an outcome; `error` says why it failed. The
    /// call is the one that showed it: getsockopt, a transfer, a wait, a close. None for a socket that is
    /// closed before, or that failed, is closed unasked, and may be another's, too.
    NetConnected = 46 "net.connected" {
        sent<'a> {
            /// The socket.
            fd: i32,
            /// The local address.
            local: Address<'a>,
        }
        added {
            /// The peer.
            remote: "`addr:port`, `[addr]:port` or a path",
            /// Address family.
            family: "name",
            /// The name that this process had resolved to the address when it asked for the connection.
            host: "string",
            /// The time from the connect until the outcome was seen, nanoseconds.
            duration_ns: "number",
            /// Type of the socket.
            r#type: "name",
            /// Protocol of the socket.
            protocol: "name",
        }
    }
    /// A connection was accepted.
    NetAccept = 44 "net.accept" {
        sent<'a> {
            /// The new descriptor.
            fd: Option<i32>,
            /// The peer.
            remote: Address<'a>,
            /// The listening socket.
            listener: Hidden<i32>,
        }
        added {
            /// The address that the listening socket is bound to.
            local: "`addr:port`, `[addr]:port` or a path",
            /// Address family.
            family: "name",
            /// Type of the socket.
            r#type: "name",
            /// Protocol of the socket.
            protocol: "name",
        }
    }
    /// A socket ends: close, dup2 over it, exec, exit.
    NetClose = 45 "net.close" {
        added {
            /// The descriptor.
            fd: "number",
            /// Address family.
            family: "name",
            /// The local address, where it is known.
            local: "`addr:port`, `[addr]:port` or a path",
            /// The peer.
            remote: "`addr:port`, `[addr]:port` or a path",
            /// Bytes sent through this descriptor by this process; via `notify` those of the socket that no
            /// close has told of yet.
            bytes_sent: "number",
            /// Bytes received through this descriptor by this process, in the same way.
            bytes_received: "number",
            /// Successful calls that sent.
            sends: "number",
            /// Successful calls that received.
            receives: "number",
            /// The time for which it was open, nanoseconds.
            open_ns: "number",
            /// Type of the socket.
            r#type: "name",
            /// Protocol of the socket.
            protocol: "name",
            /// The name that this process had resolved to the peer's address when it connected.
            host: "string",
            /// The peers, where datagrams went to more than one of them: the bytes are those of all, and
            /// `remote` and `host` are absent. The first of them, 256 bytes at most.
            remotes: "list of strings",
            /// The number of peers, where there was more than one. One that is missing in `remotes` counts as
            /// often as `net.connect` tells of it.
            peers: "number",
        }
    }
    /// A name is resolved.
    DnsQuery = 50 "dns.query" {
        sent<'a> {
            /// The name.
            host: Option<Text<'a>>,
            /// The addresses it resolved to.
            answers: Answers<'a>,
            /// The clock of the record's time before the call; 0 where it was not read.
            began_ns: Hidden<u64>,
        }
        added {
            /// The time that the call took, nanoseconds. Absent of getaddrinfo_a, and of a message that the
            /// program sends to a name server itself.
            duration_ns: "number",
        }
    }
    /// The name of an address is asked for: getnameinfo, gethostbyaddr.
    DnsReverse = 51 "dns.reverse" {
        sent<'a> {
            /// The address.
            addr: Ip<'a>,
            /// The name that was found.
            host: Option<Text<'a>>,
            /// The clock of the record's time before the call; 0 where it was not read.
            began_ns: Hidden<u64>,
        }
        added {
            /// The time that the call took, nanoseconds.
            duration_ns: "number",
        }
    }
    /// A library is loaded at run time (before the call).
    LibLoad = 60 "lib.load" { sent<'a> {
        /// The library; a name without a slash is searched by the loader and shown as it is.
        path: Path<'a>,
        /// The flags of dlopen.
        flags: LoadFlags,
    } }
    /// Memory becomes executable: mmap, mprotect, pkey_mprotect.
    MemoryMap = 70 "memory.map" {
        sent {
            /// Address.
            addr: u64,
            /// Length in bytes.
            len: u64,
            /// Protection.
            prot: Protection,
            /// The mapped file's descriptor, or -1.
            fd: Hidden<i32>,
        }
        added {
            /// The mapped file.
            path: "path",
        }
    }
    /// A kernel module is loaded or removed.
    KernelModule = 80 "kernel.module" { sent<'a> {
        /// The module's file, where one is given.
        path: Path<'a>,
        /// The name of a module that is removed.
        name: Option<Text<'a>>,
    } }
    /// bpf(2) is called.
    KernelBpf = 81 "kernel.bpf" { sent {
        /// The command's number.
        command: i32,
    } }
    /// userfaultfd(2) is called.
    KernelUserfaultfd = 82 "kernel.userfaultfd" { sent {
        /// Its flags.
        flags: u32,
    } }
    /// io_uring_setup(2) is called.
    KernelIoUring = 83 "kernel.io_uring" { sent {
        /// Length of the submission queue asked for.
        entries: u32,
    } }
    /// A descriptor is put in place of a standard stream: dup2, dup3.
    FdDuplicate = 90 "fd.duplicate" {
        sent {
            /// The descriptor duplicated.
            fd: i32,
            /// The standard stream replaced: 0, 1 or 2.
            target: i32,
            /// Whether the copy closes at exec.
            cloexec: Hidden<bool>,
        }
        added {
            /// The file behind it.
            path: "path",
            /// The peer behind it.
            remote: "`addr:port`, `[addr]:port` or a path",
            /// The own end of the socket behind it.
            local: "`addr:port`, `[addr]:port` or a path",
            /// Whether the peer connected to this process, and not the other way round.
            accepted: "boolean",
        }
    }
    /// Events of a process were lost.
    SensorLoss = 100 "sensor.loss" { added {
        /// The number of events.
        count: "number",
        /// Why: `ring_full`, `oversize`, `no_slot`, `abandoned`, `ring_taken`, `killed_writer`,
        /// `corrupt_ring`, `collector_died`, `sink_full`, `limit`, `over_share`, `session_end`.
        reason: "name",
    } }
    /// A hooked program got past the hooks, or took them away: once for each program and reason, and at its
    /// end once more with the `count` of the further ones. The call itself, where one was seen, has its own
    /// event.
    SensorEvasion = 101 "sensor.evasion" { added {
        /// The address of the call, or of the first word that was changed.
        addr: "number",
        /// The mapping that holds it: a file, or a name of the kernel's such as `[stack]`; `anonymous` for
        /// memory without either.
        mapping: "string",
        /// The file of that mapping; of `exec_unseen` the program that runs instead.
        module: "path",
        /// Which evidence: `raw_call`, `preload_lost`, `exec_unseen`, `hook_changed`, `slot_changed`,
        /// `mapping_changed`, `ring_gone`.
        reason: "name",
        /// How often: 1 at first, at the program's end the further ones.
        count: "number",
    } }
    /// A program ran that the sensor cannot see into. `time` is that of the exec, where one was seen.
    SensorBlind = 102 "sensor.blind" { added {
        /// The program.
        path: "path",
        /// Why: `static`, `setuid`, `env_cleared`, `foreign_libc`, `seccomp`, `out_of_reach`,
        /// `switched_off`, `user_namespace`, `fd_limit`, `no_memory`, `address_space`, …; `gone` where it
        /// ended before it said anything.
        reason: "name",
        /// The argument vector that the exec gave, cut as in `process.start`; absent where no exec was seen.
        argv: "list of strings",
        /// The number of arguments, where `argv` was cut.
        argc: "number",
    } }
}
records {
    /// A descriptor was closed: becomes `file.close` or `net.close`. The one record here that is stamped.
    FdClosed = 200 {
        /// The descriptor.
        fd: i32,
        /// Bytes and calls; `None` for a descriptor above the counters' table.
        counters: Option<Counters>,
    }
    /// A descriptor was duplicated, other than over a standard stream.
    FdDuped = 201 {
        /// The descriptor duplicated.
        fd: i32,
        /// Its copy.
        target: i32,
        /// Whether the copy closes at exec.
        cloexec: bool,
    }
    /// All descriptors of a range were closed, or marked to close at exec; those that had been opened by this
    /// image are reported one by one before it.
    FdRange = 202 {
        /// First of the range.
        first: u32,
        /// Last of the range.
        last: u32,
        /// Marked to close at exec rather than closed.
        cloexec: bool,
    }
    /// The current directory changed.
    DirChange<'a> = 203 {
        /// The directory.
        path: Path<'a>,
    }
    /// A descriptor's close-on-exec flag was set or cleared.
    FdFlags = 204 {
        /// The descriptor.
        fd: i32,
        /// Whether it closes at exec.
        cloexec: bool,
    }
    /// A wait call gave the parent the status of a child.
    ChildStatus = 205 {
        /// The child.
        child: u32,
        /// As waitpid(2) gives it.
        status: i32,
        /// User and system time and largest resident set, where the call gave them.
        usage: Option<Usage>,
    }
    /// A descriptor that no other record reports: a pipe, a socket pair, an epoll instance, and descriptors
    /// that another process opened and passed on.
    FdMade<'a> = 206 {
        /// The descriptor.
        fd: i32,
        /// Its kind, as its link in `/proc/self/fd` begins: `pipe:`, `socket:`, `anon_inode:[eventfd]`.
        label: Text<'a>,
        /// Whether it closes at exec.
        cloexec: bool,
        /// The own address of a socket that another process made.
        local: Address<'a>,
        /// Its peer.
        remote: Address<'a>,
    }
    /// The thread is in the real function of a row from here on, or in none. Only where libc's own calls are
    /// told (`GLASSBOX_TELL=libc`): those that it makes there are the row's to tell.
    Within = 207 {
        /// The row's number; 0 for none.
        row: u32,
    }
}
} }; }
pub(crate) use table;

table! { events }

/// The bytes and calls of a descriptor, as counted by the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Decode)]
pub struct Counters {
    /// Bytes read or received.
    pub bytes_in: u64,
    /// Bytes written or sent.
    pub bytes_out: u64,
    /// Successful calls that read or received.
    pub calls_in: u64,
    /// Successful calls that wrote or sent.
    pub calls_out: u64,
}

impl Field for Counters {
    #[inline(always)]
    fn encoded_len(&self) -> usize {
        32
    }
    const TYPE: &'static str = "";
}

/// Resources that a process used in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Decode)]
pub struct Usage {
    /// Processor time in user mode, nanoseconds.
    pub user_ns: u64,
    /// Processor time in the kernel, nanoseconds.
    pub system_ns: u64,
    /// Largest resident set, bytes.
    pub max_rss: u64,
}

impl Field for Usage {
    #[inline(always)]
    fn encoded_len(&self) -> usize {
        24
    }
    const TYPE: &'static str = "";
}

encode_by_fields! {
    Counters { bytes_in, bytes_out, calls_in, calls_out }
    Usage { user_ns, system_ns, max_rss }
}
