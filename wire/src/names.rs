//! Names of the constants that events show: flags of open, address families, and so on.
//!
//! The values are the kernel's for the architecture that this is compiled for (`include/uapi`); where
//! x86_64 and aarch64 differ, the table says so.

/// A field of exclusive values under a mask, then bits that may be set together.
#[derive(Debug, PartialEq)]
pub struct FlagTable {
    /// The bits that hold one of `choices`, not a set.
    pub mask: u64,
    /// Names of the values under the mask.
    pub choices: &'static [(u64, &'static str)],
    /// Names of bits, the ones that include others first.
    pub bits: &'static [(u64, &'static str)],
}

impl FlagTable {
    /// Calls `each` with the names in `value`, then gives the bits that have none.
    pub fn names(&self, value: u64, mut each: impl FnMut(&'static str)) -> u64 {
        let chosen = self.choices.iter().find(|(code, _)| *code == value & self.mask);
        let mut left = value;
        if let Some((_, name)) = chosen {
            each(name);
            left &= !self.mask;
        }
        for (bits, name) in self.bits {
            if left & bits == *bits {
                each(name);
                left &= !bits;
            }
        }
        left
    }
}

/// The name of `value` in a table of exclusive values.
pub fn word(table: &'static [(i64, &'static str)], value: i64) -> Option<&'static str> {
    table.iter().find(|(code, _)| *code == value).map(|(_, name)| *name)
}

#[cfg(target_arch = "x86_64")]
mod differing {
    pub const DIRECTORY: u64 = 0o200_000;
    pub const NOFOLLOW: u64 = 0o400_000;
    pub const DIRECT: u64 = 0o40_000;
    pub const LARGEFILE: u64 = 0o100_000;
}
#[cfg(target_arch = "aarch64")]
mod differing {
    pub const DIRECTORY: u64 = 0o40_000;
    pub const NOFOLLOW: u64 = 0o100_000;
    pub const DIRECT: u64 = 0o200_000;
    pub const LARGEFILE: u64 = 0o400_000;
}

/// open(2).
pub static OPEN: FlagTable = FlagTable {
    mask: 3,
    choices: &[(0, "O_RDONLY"), (1, "O_WRONLY"), (2, "O_RDWR")],
    bits: &[
        (0o20_000_000 | differing::DIRECTORY, "O_TMPFILE"),
        (0o4_010_000, "O_SYNC"),
        (0o10_000, "O_DSYNC"),
        (0o100, "O_CREAT"),
        (0o200, "O_EXCL"),
        (0o400, "O_NOCTTY"),
        (0o1_000, "O_TRUNC"),
        (0o2_000, "O_APPEND"),
        (0o4_000, "O_NONBLOCK"),
        (0o20_000, "O_ASYNC"),
        (differing::DIRECT, "O_DIRECT"),
        (differing::LARGEFILE, "O_LARGEFILE"),
        (differing::DIRECTORY, "O_DIRECTORY"),
        (differing::NOFOLLOW, "O_NOFOLLOW"),
        (0o1_000_000, "O_NOATIME"),
        (0o2_000_000, "O_CLOEXEC"),
        (0o10_000_000, "O_PATH"),
    ],
};

/// openat2(2), how a path is resolved.
pub static RESOLVE: FlagTable = FlagTable {
    mask: 0,
    choices: &[],
    bits: &[
        (1, "RESOLVE_NO_XDEV"),
        (2, "RESOLVE_NO_MAGICLINKS"),
        (4, "RESOLVE_NO_SYMLINKS"),
        (8, "RESOLVE_BENEATH"),
        (RESOLVE_IN_ROOT, "RESOLVE_IN_ROOT"),
        (0x20, "RESOLVE_CACHED"),
    ],
};
/// The directory of the call is the root of its path (openat2(2)).
pub const RESOLVE_IN_ROOT: u64 = 0x10;

/// renameat2(2).
pub static RENAME: FlagTable = FlagTable {
    mask: 0,
    choices: &[],
    bits: &[(1, "RENAME_NOREPLACE"), (2, "RENAME_EXCHANGE"), (4, "RENAME_WHITEOUT")],
};

/// Calls that take a directory: fchmodat(2), fchownat(2), linkat(2).
pub static AT: FlagTable = FlagTable {
    mask: 0,
    choices: &[],
    bits: &[
        (0x100, "AT_SYMLINK_NOFOLLOW"),
        (0x200, "AT_EACCESS"),
        (0x400, "AT_SYMLINK_FOLLOW"),
        (0x800, "AT_NO_AUTOMOUNT"),
        (0x1000, "AT_EMPTY_PATH"),
        (0x2000, "AT_STATX_FORCE_SYNC"),
        (0x4000, "AT_STATX_DONT_SYNC"),
        (0x8000, "AT_RECURSIVE"),
    ],
};

/// name_to_handle_at(2).
pub static HANDLE: FlagTable = FlagTable {
    mask: 0,
    choices: &[],
    bits: &[
        (1, "AT_HANDLE_MNT_ID_UNIQUE"),
        (2, "AT_HANDLE_CONNECTABLE"),
        (0x200, "AT_HANDLE_FID"),
        (0x400, "AT_SYMLINK_FOLLOW"),
        (0x1000, "AT_EMPTY_PATH"),
    ],
};

/// setxattr(2).
pub static XATTR: FlagTable =
    FlagTable { mask: 0, choices: &[], bits: &[(1, "XATTR_CREATE"), (2, "XATTR_REPLACE")] };

/// memfd_create(2).
pub static MEMFD: FlagTable = FlagTable {
    mask: 0,
    choices: &[],
    bits: &[
        (1, "MFD_CLOEXEC"),
        (2, "MFD_ALLOW_SEALING"),
        (4, "MFD_HUGETLB"),
        (8, "MFD_NOEXEC_SEAL"),
        (16, "MFD_EXEC"),
    ],
};

/// dlopen(3).
pub static DLOPEN: FlagTable = FlagTable {
    mask: 0,
    choices: &[],
    bits: &[
        (1, "RTLD_LAZY"),
        (2, "RTLD_NOW"),
        (4, "RTLD_NOLOAD"),
        (8, "RTLD_DEEPBIND"),
        (0x100, "RTLD_GLOBAL"),
        (0x1000, "RTLD_NODELETE"),
    ],
};

/// mmap(2).
pub static PROT: FlagTable =
    FlagTable { mask: 0, choices: &[], bits: &[(1, "PROT_READ"), (2, "PROT_WRITE"), (4, "PROT_EXEC")] };

/// unshare(2) and setns(2).
pub static NAMESPACE: FlagTable = FlagTable {
    mask: 0,
    choices: &[],
    bits: &[
        (0x80, "CLONE_NEWTIME"),
        (0x100, "CLONE_VM"),
        (0x200, "CLONE_FS"),
        (0x400, "CLONE_FILES"),
        (0x800, "CLONE_SIGHAND"),
        (0x1_0000, "CLONE_THREAD"),
        (0x2_0000, "CLONE_NEWNS"),
        (0x4_0000, "CLONE_SYSVSEM"),
        (0x200_0000, "CLONE_NEWCGROUP"),
        (0x400_0000, "CLONE_NEWUTS"),
        (0x800_0000, "CLONE_NEWIPC"),
        (0x1000_0000, "CLONE_NEWUSER"),
        (0x2000_0000, "CLONE_NEWPID"),
        (0x4000_0000, "CLONE_NEWNET"),
    ],
};

/// mount(2).
pub static MOUNT: FlagTable = FlagTable {
    mask: 0,
    choices: &[],
    bits: &[
        (1, "MS_RDONLY"),
        (2, "MS_NOSUID"),
        (4, "MS_NODEV"),
        (8, "MS_NOEXEC"),
        (0x10, "MS_SYNCHRONOUS"),
        (0x20, "MS_REMOUNT"),
        (0x40, "MS_MANDLOCK"),
        (0x80, "MS_DIRSYNC"),
        (0x100, "MS_NOSYMFOLLOW"),
        (0x400, "MS_NOATIME"),
        (0x800, "MS_NODIRATIME"),
        (0x1000, "MS_BIND"),
        (0x2000, "MS_MOVE"),
        (0x4000, "MS_REC"),
        (0x8000, "MS_SILENT"),
        (0x1_0000, "MS_POSIXACL"),
        (0x2_0000, "MS_UNBINDABLE"),
        (0x4_0000, "MS_PRIVATE"),
        (0x8_0000, "MS_SLAVE"),
        (0x10_0000, "MS_SHARED"),
        (0x20_0000, "MS_RELATIME"),
        (0x80_0000, "MS_I_VERSION"),
        (0x100_0000, "MS_STRICTATIME"),
        (0x200_0000, "MS_LAZYTIME"),
    ],
};

/// umount2(2).
pub static UMOUNT: FlagTable = FlagTable {
    mask: 0,
    choices: &[],
    bits: &[(1, "MNT_FORCE"), (2, "MNT_DETACH"), (4, "MNT_EXPIRE"), (8, "UMOUNT_NOFOLLOW")],
};

/// access(2).
pub static ACCESS: FlagTable =
    FlagTable { mask: 0, choices: &[], bits: &[(4, "R_OK"), (2, "W_OK"), (1, "X_OK")] };

/// fallocate(2).
pub static ALLOCATE: FlagTable = FlagTable {
    mask: 0,
    choices: &[],
    bits: &[
        (1, "FALLOC_FL_KEEP_SIZE"),
        (2, "FALLOC_FL_PUNCH_HOLE"),
        (4, "FALLOC_FL_NO_HIDE_STALE"),
        (8, "FALLOC_FL_COLLAPSE_RANGE"),
        (0x10, "FALLOC_FL_ZERO_RANGE"),
        (0x20, "FALLOC_FL_INSERT_RANGE"),
        (0x40, "FALLOC_FL_UNSHARE_RANGE"),
    ],
};

/// flock(2), fcntl(2) and lockf(3), as [`crate::fields::LockKind`] has them.
pub static LOCK: &[(i64, &str)] = &[
    (1, "LOCK_SH"),
    (2, "LOCK_EX"),
    (8, "LOCK_UN"),
    (0x100, "F_RDLCK"),
    (0x101, "F_WRLCK"),
    (0x102, "F_UNLCK"),
    (0x200, "F_ULOCK"),
    (0x201, "F_LOCK"),
    (0x202, "F_TLOCK"),
    (0x203, "F_TEST"),
];

/// setrlimit(2).
pub static RESOURCE: &[(i64, &str)] = &[
    (0, "RLIMIT_CPU"),
    (1, "RLIMIT_FSIZE"),
    (2, "RLIMIT_DATA"),
    (3, "RLIMIT_STACK"),
    (4, "RLIMIT_CORE"),
    (5, "RLIMIT_RSS"),
    (6, "RLIMIT_NPROC"),
    (7, "RLIMIT_NOFILE"),
    (8, "RLIMIT_MEMLOCK"),
    (9, "RLIMIT_AS"),
    (10, "RLIMIT_LOCKS"),
    (11, "RLIMIT_SIGPENDING"),
    (12, "RLIMIT_MSGQUEUE"),
    (13, "RLIMIT_NICE"),
    (14, "RLIMIT_RTPRIO"),
    (15, "RLIMIT_RTTIME"),
];

/// fsopen(2).
pub static FSOPEN: FlagTable = FlagTable { mask: 0, choices: &[], bits: &[(1, "FSOPEN_CLOEXEC")] };

/// fspick(2).
pub static FSPICK: FlagTable = FlagTable {
    mask: 0,
    choices: &[],
    bits: &[
        (1, "FSPICK_CLOEXEC"),
        (2, "FSPICK_SYMLINK_NOFOLLOW"),
        (4, "FSPICK_NO_AUTOMOUNT"),
        (8, "FSPICK_EMPTY_PATH"),
    ],
};

/// fsmount(2).
pub static FSMOUNT: FlagTable = FlagTable { mask: 0, choices: &[], bits: &[(1, "FSMOUNT_CLOEXEC")] };

/// open_tree(2).
pub static OPEN_TREE: FlagTable = FlagTable {
    mask: 0,
    choices: &[],
    bits: &[
        (1, "OPEN_TREE_CLONE"),
        (0x100, "AT_SYMLINK_NOFOLLOW"),
        (0x800, "AT_NO_AUTOMOUNT"),
        (0x1000, "AT_EMPTY_PATH"),
        (0x8000, "AT_RECURSIVE"),
        (0o2_000_000, "OPEN_TREE_CLOEXEC"),
    ],
};

/// move_mount(2).
pub static MOVE_MOUNT: FlagTable = FlagTable {
    mask: 0,
    choices: &[],
    bits: &[
        (1, "MOVE_MOUNT_F_SYMLINKS"),
        (2, "MOVE_MOUNT_F_AUTOMOUNTS"),
        (4, "MOVE_MOUNT_F_EMPTY_PATH"),
        (0x10, "MOVE_MOUNT_T_SYMLINKS"),
        (0x20, "MOVE_MOUNT_T_AUTOMOUNTS"),
        (0x40, "MOVE_MOUNT_T_EMPTY_PATH"),
        (0x100, "MOVE_MOUNT_SET_GROUP"),
        (0x200, "MOVE_MOUNT_BENEATH"),
    ],
};

/// mount_setattr(2) and fsmount(2).
pub static MOUNT_ATTRIBUTES: FlagTable = FlagTable {
    mask: 0x70,
    choices: &[(0x10, "MOUNT_ATTR_NOATIME"), (0x20, "MOUNT_ATTR_STRICTATIME")],
    bits: &[
        (1, "MOUNT_ATTR_RDONLY"),
        (2, "MOUNT_ATTR_NOSUID"),
        (4, "MOUNT_ATTR_NODEV"),
        (8, "MOUNT_ATTR_NOEXEC"),
        (0x80, "MOUNT_ATTR_NODIRATIME"),
        (0x10_0000, "MOUNT_ATTR_IDMAP"),
        (0x20_0000, "MOUNT_ATTR_NOSYMFOLLOW"),
    ],
};

/// ptrace(2), and what else looks into another process.
pub static TRACE: &[(i64, &str)] = &[
    (-2, "process_vm_writev"),
    (-1, "process_vm_readv"),
    (0, "PTRACE_TRACEME"),
    (1, "PTRACE_PEEKTEXT"),
    (2, "PTRACE_PEEKDATA"),
    (3, "PTRACE_PEEKUSER"),
    (4, "PTRACE_POKETEXT"),
    (5, "PTRACE_POKEDATA"),
    (6, "PTRACE_POKEUSER"),
    (7, "PTRACE_CONT"),
    (8, "PTRACE_KILL"),
    (9, "PTRACE_SINGLESTEP"),
    (12, "PTRACE_GETREGS"),
    (13, "PTRACE_SETREGS"),
    (14, "PTRACE_GETFPREGS"),
    (15, "PTRACE_SETFPREGS"),
    (16, "PTRACE_ATTACH"),
    (17, "PTRACE_DETACH"),
    (24, "PTRACE_SYSCALL"),
    (31, "PTRACE_SYSEMU"),
    (32, "PTRACE_SYSEMU_SINGLESTEP"),
    (0x4200, "PTRACE_SETOPTIONS"),
    (0x4201, "PTRACE_GETEVENTMSG"),
    (0x4202, "PTRACE_GETSIGINFO"),
    (0x4203, "PTRACE_SETSIGINFO"),
    (0x4204, "PTRACE_GETREGSET"),
    (0x4205, "PTRACE_SETREGSET"),
    (0x4206, "PTRACE_SEIZE"),
    (0x4207, "PTRACE_INTERRUPT"),
    (0x4208, "PTRACE_LISTEN"),
    (0x4209, "PTRACE_PEEKSIGINFO"),
    (0x420a, "PTRACE_GETSIGMASK"),
    (0x420b, "PTRACE_SETSIGMASK"),
    (0x420c, "PTRACE_SECCOMP_GET_FILTER"),
    (0x420e, "PTRACE_GET_SYSCALL_INFO"),
];

/// prctl(2): the options that events tell of.
pub static CONTROL: &[(i64, &str)] = &[
    (1, "PR_SET_PDEATHSIG"),
    (4, "PR_SET_DUMPABLE"),
    (8, "PR_SET_KEEPCAPS"),
    (15, "PR_SET_NAME"),
    (22, "PR_SET_SECCOMP"),
    (24, "PR_CAPBSET_DROP"),
    (28, "PR_SET_SECUREBITS"),
    (35, "PR_SET_MM"),
    (36, "PR_SET_CHILD_SUBREAPER"),
    (38, "PR_SET_NO_NEW_PRIVS"),
    (47, "PR_CAP_AMBIENT"),
    (0x5961_6d61, "PR_SET_PTRACER"),
];

/// socket(2), address families.
pub static FAMILY: &[(i64, &str)] = &[
    (0, "AF_UNSPEC"),
    (1, "AF_UNIX"),
    (2, "AF_INET"),
    (10, "AF_INET6"),
    (15, "AF_KEY"),
    (16, "AF_NETLINK"),
    (17, "AF_PACKET"),
    (29, "AF_CAN"),
    (31, "AF_BLUETOOTH"),
    (38, "AF_ALG"),
    (40, "AF_VSOCK"),
    (44, "AF_XDP"),
];

/// socket(2), types.
pub static SOCKET_TYPE: &[(i64, &str)] = &[
    (1, "SOCK_STREAM"),
    (2, "SOCK_DGRAM"),
    (3, "SOCK_RAW"),
    (4, "SOCK_RDM"),
    (5, "SOCK_SEQPACKET"),
    (10, "SOCK_PACKET"),
];

/// protocols(5), those of internet sockets.
pub static PROTOCOL: &[(i64, &str)] = &[
    (0, "IPPROTO_IP"),
    (1, "IPPROTO_ICMP"),
    (6, "IPPROTO_TCP"),
    (17, "IPPROTO_UDP"),
    (41, "IPPROTO_IPV6"),
    (58, "IPPROTO_ICMPV6"),
    (132, "IPPROTO_SCTP"),
    (136, "IPPROTO_UDPLITE"),
    (255, "IPPROTO_RAW"),
    (262, "IPPROTO_MPTCP"),
];
