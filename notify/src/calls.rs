//! The system calls that the kernel is asked to tell of.
//!
//! One row is one call of a convention's table; rows with the same name are the same call with narrower
//! arguments (16-bit users of i386 and ARM). Names are those of x86_64's table, without suffixes that say
//! only the width (`chown32` and `mmap2` of i386 are `chown` and `mmap`).
//!
//! Sources of the numbers: linux/arch/x86/entry/syscalls/syscall_64.tbl and syscall_32.tbl,
//! linux/include/uapi/asm-generic/unistd.h (aarch64), linux/arch/arm/tools/syscall.tbl.

use crate::abi::{Abi, Machine, X32_BIT};
use crate::level::Level;

/// A system call that the kernel may be asked to tell of.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name, as x86_64 has it.
    pub name: &'static str,
    /// Its number on x86_64. x32 has the same one with bit 30.
    pub x86_64: Option<u32>,
    /// Its number in x32, without bit 30, where that is one of x32's own (512 to 547).
    pub x32: Option<u32>,
    /// Its number on aarch64.
    pub aarch64: Option<u32>,
    /// Its number on i386.
    pub i386: Option<u32>,
    /// Its number on 32-bit ARM.
    pub arm: Option<u32>,
    /// The lowest level that asks about it.
    pub level: Level,
    /// Which instructions it is told of.
    pub from: From,
    /// Which arguments it is told of.
    pub when: When,
}

/// Which instructions a call is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// All, including libc's.
    Anywhere,
    /// All but those by which libc makes this call: there, hooks see it.
    OutsideLibc,
    /// The same, unless libc's own calls are told: libc makes this call for itself too.
    LibcByChoice,
}

/// Which arguments a call is told of. Indexes are those of the arguments, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// All.
    Always,
    /// The flags of open(2) at this index open for writing, create, or truncate. [`Level::Full`] asks about
    /// all.
    OpenWrites(u8),
    /// The protection of mmap(2) at this index has `PROT_EXEC`.
    Executable(u8),
    /// The flags of clone(2) at this index make a namespace.
    NamespaceFlags(u8),
    /// The pointer at this index is not null: the address of sendto(2).
    HasAddress(u8),
    /// The argument at this index is none of these.
    NoneOf(u8, &'static [u32]),
    /// The argument at this index is one of these.
    OneOf(u8, &'static [u32]),
}

/// `O_ACCMODE`, `O_CREAT` and `O_TRUNC`, the same on all machines here
/// (linux/include/uapi/asm-generic/fcntl.h). `O_TMPFILE` works only with an access mode that writes
/// (open(2)).
pub(crate) const WRITING: u32 = 0o3 | 0o100 | 0o1000;

/// `PROT_EXEC` (linux/include/uapi/asm-generic/mman-common.h).
pub(crate) const PROT_EXEC: u32 = 4;

/// `CLONE_NEWNS`, `NEWCGROUP`, `NEWUTS`, `NEWIPC`, `NEWUSER`, `NEWPID`, `NEWNET`
/// (linux/include/uapi/linux/sched.h). `CLONE_NEWTIME` is a part of the signal's number in clone(2)'s flags.
pub(crate) const NAMESPACES: u32 = 0x7e02_0000;

/// The calls of socketcall(2) that have rows of their own: socket, bind, connect, listen, accept, sendto,
/// sendmsg, accept4, sendmmsg (linux/include/uapi/linux/net.h).
const SOCKETCALLS: &[u32] = &[1, 2, 3, 4, 5, 11, 16, 18, 20];

/// `SIGURG`, by which Go's runtime interrupts its own threads up to 100 times a second each; a process that
/// has no handler for it ignores it (signal(7)).
const URGENT: &[u32] = &[23];

impl Call {
    /// Its number in a convention, without bit 30 for x32.
    pub fn number(&self, abi: Abi) -> Option<u32> {
        match abi {
            Abi::X86_64 => self.x86_64,
            Abi::X32 => self.x32.or(self.x86_64),
            Abi::I386 => self.i386,
            Abi::Aarch64 => self.aarch64,
            Abi::Arm => self.arm,
        }
    }

    /// Whether it changes something by itself. A call that [`Level::Full`] alone asks about only shows how
    /// other calls went.
    pub fn is_deed(&self) -> bool {
        self.level < Level::Full
    }

    /// Which arguments it is told of at a level that asks about it.
    pub fn when_at(&self, level: Level) -> When {
        match self.when {
            When::OpenWrites(_) if level >= Level::Full => When::Always,
            when => when,
        }
    }
}

impl When {
    /// Whether a call with these arguments is one that is told of.
    ///
    /// The kernel uses the low 32 bits of flags, signals and numbers of calls, and all 64 of a pointer.
    pub fn holds(self, args: &[u64; 6]) -> bool {
        let arg = |index: u8| args.get(usize::from(index)).copied().unwrap_or_default();
        // Truncation: the low half, as the kernel does.
        let low = |index| arg(index) as u32;
        match self {
            Self::Always => true,
            Self::OpenWrites(flags) => low(flags) & WRITING != 0,
            Self::Executable(prot) => low(prot) & PROT_EXEC != 0,
            Self::NamespaceFlags(flags) => low(flags) & NAMESPACES != 0,
            Self::HasAddress(pointer) => arg(pointer) != 0,
            Self::NoneOf(index, values) => !values.contains(&low(index)),
            Self::OneOf(index, values) => values.contains(&low(index)),
        }
    }
}

/// The row of a notified call, by the `arch` and `nr` of its `struct seccomp_data`.
///
/// `None` for calls that no row has, and for an `arch` that kernels of this machine do not have.
pub fn call(machine: Machine, arch: u32, number: u32) -> Option<&'static Call> {
    let abi = Abi::of(machine, arch, number)?;
    CALLS.iter().find(|call| numbers(call, abi).any(|known| known == number))
}

/// All `nr` by which a call can be made in a convention.
///
/// Kernels before 5.4 take in x32 both x32's own numbers without bit 30, and x86_64's numbers with it, also
/// where x32 has one of its own (seccomp(2)).
pub(crate) fn numbers(call: &Call, abi: Abi) -> impl Iterator<Item = u32> + use<> {
    let all = match abi {
        Abi::X32 => [call.x86_64.map(|n| n | X32_BIT), call.x32.map(|n| n | X32_BIT), call.x32],
        abi => [call.number(abi), None, None],
    };
    all.into_iter().flatten()
}

macro_rules! calls {
    ($($name:ident $x86_64:tt $x32:tt $aarch64:tt $i386:tt $arm:tt $level:ident $from:ident $when:ident $(($($argument:expr),*))?;)*) => {
        /// All calls that any level asks about.
        ///
        /// clone3(2)'s flags lie in memory, where no filter can look, so it is told of always: libc's threads
        /// make it from libc's own sites, and Go's runtime uses clone(2). The same holds for openat2(2)'s
        /// flags and for the addresses of sendmsg(2) and sendmmsg(2).
        pub const CALLS: &[Call] = &[$(Call {
            name: stringify!($name),
            x86_64: number!($x86_64),
            x32: number!($x32),
            aarch64: number!($aarch64),
            i386: number!($i386),
            arm: number!($arm),
            level: Level::$level,
            from: From::$from,
            when: When::$when $(($($argument),*))?,
        }),*];
    };
}

macro_rules! number {
    (-) => {
        None
    };
    ($number:literal) => {
        Some($number)
    };
}

calls! {
    // name         x86_64  x32 arm64 i386  arm  level    from        when
    // Programs, and what changes the kernel.
    execve               59  520  221   11   11  Exec     Anywhere    Always;
    execveat            322  545  281  358  387  Exec     Anywhere    Always;
    init_module         175    -  105  128  128  Exec     OutsideLibc Always;
    finit_module        313    -  273  350  379  Exec     OutsideLibc Always;
    delete_module       176    -  106  129  129  Exec     OutsideLibc Always;
    kexec_load          246  528  104  283  347  Exec     OutsideLibc Always;
    kexec_file_load     320    -  294    -  401  Exec     OutsideLibc Always;
    bpf                 321    -  280  357  386  Exec     OutsideLibc Always;
    // Files: opens.
    open                  2    -    -    5    5  Security LibcByChoice OpenWrites(1);
    openat              257    -   56  295  322  Security LibcByChoice OpenWrites(2);
    openat2             437    -  437  437  437  Security LibcByChoice Always;
    creat                85    -    -    8    8  Security LibcByChoice Always;
    open_by_handle_at   304    -  265  342  371  Security LibcByChoice OpenWrites(2);
    memfd_create        319    -  279  356  385  Security LibcByChoice Always;
    // Files: names, owners, modes, lengths, attributes.
    rename               82    -    -   38   38  Security LibcByChoice Always;
    renameat            264    -   38  302  329  Security LibcByChoice Always;
    renameat2           316    -  276  353  382  Security LibcByChoice Always;
    link                 86    -    -    9    9  Security LibcByChoice Always;
    linkat              265    -   37  303  330  Security LibcByChoice Always;
    symlink              88    -    -   83   83  Security LibcByChoice Always;
    symlinkat           266    -   36  304  331  Security LibcByChoice Always;
    unlink               87    -    -   10   10  Security LibcByChoice Always;
    unlinkat            263    -   35  301  328  Security LibcByChoice Always;
    rmdir                84    -    -   40   40  Security LibcByChoice Always;
    mkdir                83    -    -   39   39  Security LibcByChoice Always;
    mkdirat             258    -   34  296  323  Security LibcByChoice Always;
    mknod               133    -    -   14   14  Security LibcByChoice Always;
    mknodat             259    -   33  297  324  Security LibcByChoice Always;
    chmod                90    -    -   15   15  Security LibcByChoice Always;
    fchmod               91    -   52   94   94  Security LibcByChoice Always;
    fchmodat            268    -   53  306  333  Security LibcByChoice Always;
    fchmodat2           452    -  452  452  452  Security LibcByChoice Always;
    chown                92    -    -  212  212  Security LibcByChoice Always;
    chown                 -    -    -  182  182  Security LibcByChoice Always;
    fchown               93    -   55  207  207  Security LibcByChoice Always;
    fchown                -    -    -   95   95  Security LibcByChoice Always;
    lchown               94    -    -  198  198  Security LibcByChoice Always;
    lchown                -    -    -   16   16  Security LibcByChoice Always;
    fchownat            260    -   54  298  325  Security LibcByChoice Always;
    truncate             76    -   45   92   92  Security LibcByChoice Always;
    truncate64            -    -    -  193  193  Security LibcByChoice Always;
    ftruncate            77    -   46   93   93  Security LibcByChoice Always;
    ftruncate64           -    -    -  194  194  Security LibcByChoice Always;
    setxattr            188    -    5  226  226  Security LibcByChoice Always;
    lsetxattr           189    -    6  227  227  Security LibcByChoice Always;
    fsetxattr           190    -    7  228  228  Security LibcByChoice Always;
    setxattrat          463    -  463  463  463  Security LibcByChoice Always;
    removexattr         197    -   14  235  235  Security LibcByChoice Always;
    lremovexattr        198    -   15  236  236  Security LibcByChoice Always;
    fremovexattr        199    -   16  237  237  Security LibcByChoice Always;
    removexattrat       466    -  466  466  466  Security LibcByChoice Always;
    // Sockets.
    socket               41    -  198  359  281  Security LibcByChoice Always;
    bind                 49    -  200  361  282  Security LibcByChoice Always;
    listen               50    -  201  363  284  Security OutsideLibc  Always;
    connect              42    -  203  362  283  Security LibcByChoice Always;
    accept               43    -  202    -  285  Security OutsideLibc  Always;
    accept4             288    -  242  364  366  Security OutsideLibc  Always;
    sendto               44    -  206  369  290  Security LibcByChoice HasAddress(4);
    sendmsg              46  518  211  370  296  Security LibcByChoice Always;
    sendmmsg            307  538  269  345  374  Security LibcByChoice Always;
    socketcall            -    -    -  102    -  Security OutsideLibc  OneOf(0, SOCKETCALLS);
    // Signals.
    kill                 62    -  129   37   37  Security OutsideLibc Always;
    tkill               200    -  130  238  238  Security OutsideLibc Always;
    tgkill              234    -  131  270  268  Security OutsideLibc NoneOf(2, URGENT);
    rt_sigqueueinfo     129  524  138  178  178  Security OutsideLibc Always;
    rt_tgsigqueueinfo   297  536  240  335  363  Security OutsideLibc Always;
    pidfd_send_signal   424    -  424  424  424  Security OutsideLibc Always;
    // Users, groups, capabilities.
    setuid              105    -  146  213  213  Security OutsideLibc Always;
    setuid                -    -    -   23   23  Security OutsideLibc Always;
    setgid              106    -  144  214  214  Security OutsideLibc Always;
    setgid                -    -    -   46   46  Security OutsideLibc Always;
    setreuid            113    -  145  203  203  Security OutsideLibc Always;
    setreuid              -    -    -   70   70  Security OutsideLibc Always;
    setregid            114    -  143  204  204  Security OutsideLibc Always;
    setregid              -    -    -   71   71  Security OutsideLibc Always;
    setresuid           117    -  147  208  208  Security OutsideLibc Always;
    setresuid             -    -    -  164  164  Security OutsideLibc Always;
    setresgid           119    -  149  210  210  Security OutsideLibc Always;
    setresgid             -    -    -  170  170  Security OutsideLibc Always;
    setfsuid            122    -  151  215  215  Security OutsideLibc Always;
    setfsuid              -    -    -  138  138  Security OutsideLibc Always;
    setfsgid            123    -  152  216  216  Security OutsideLibc Always;
    setfsgid              -    -    -  139  139  Security OutsideLibc Always;
    setgroups           116    -  159  206  206  Security OutsideLibc Always;
    setgroups             -    -    -   81   81  Security OutsideLibc Always;
    capset              126    -   91  185  185  Security OutsideLibc Always;
    // Other processes.
    ptrace              101  521  117   26   26  Security OutsideLibc Always;
    process_vm_readv    310  539  270  347  376  Security OutsideLibc Always;
    process_vm_writev   311  540  271  348  377  Security OutsideLibc Always;
    pidfd_getfd         438    -  438  438  438  Security OutsideLibc Always;
    // Namespaces and mounts.
    setns               308    -  268  346  375  Security OutsideLibc Always;
    unshare             272    -   97  310  337  Security OutsideLibc Always;
    clone                56    -  220  120  120  Security OutsideLibc NamespaceFlags(0);
    clone3              435    -  435  435  435  Security OutsideLibc Always;
    chroot              161    -   51   61   61  Security OutsideLibc Always;
    pivot_root          155    -   41  217  218  Security OutsideLibc Always;
    mount               165    -   40   21   21  Security OutsideLibc Always;
    umount2             166    -   39   52   52  Security OutsideLibc Always;
    umount                -    -    -   22    -  Security OutsideLibc Always;
    move_mount          429    -  429  429  429  Security OutsideLibc Always;
    open_tree           428    -  428  428  428  Security OutsideLibc Always;
    open_tree_attr      467    -  467  467  467  Security OutsideLibc Always;
    fsopen              430    -  430  430  430  Security OutsideLibc Always;
    fsconfig            431    -  431  431  431  Security OutsideLibc Always;
    fsmount             432    -  432  432  432  Security OutsideLibc Always;
    fspick              433    -  433  433  433  Security OutsideLibc Always;
    mount_setattr       442    -  442  442  442  Security OutsideLibc Always;
    // Memory that becomes code, faults that another thread handles, and rings of calls.
    mmap                  9    -  222  192  192  Security OutsideLibc Executable(2);
    old_mmap              -    -    -   90    -  Security OutsideLibc Always;
    mprotect             10    -  226  125  125  Security OutsideLibc Executable(2);
    pkey_mprotect       329    -  288  380  394  Security OutsideLibc Executable(2);
    userfaultfd         323    -  282  374  388  Security OutsideLibc Always;
    io_uring_setup      425    -  425  425  425  Security Anywhere    Always;
    // Descriptors that end: what the kernel knows of them is read before.
    close                 3    -   57    6    6  Full     OutsideLibc Always;
    close_range         436    -  436  436  436  Full     OutsideLibc Always;
    dup2                 33    -    -   63   63  Full     OutsideLibc Always;
    dup3                292    -   24  330  358  Full     OutsideLibc Always;
    exit_group          231    -   94  252  248  Full     OutsideLibc Always;
    // What only looks a file up.
    stat                  4    -    -  106  106  Lookups  LibcByChoice Always;
    stat64                -    -    -  195  195  Lookups  LibcByChoice Always;
    lstat                 6    -    -  107  107  Lookups  LibcByChoice Always;
    lstat64               -    -    -  196  196  Lookups  LibcByChoice Always;
    newfstatat          262    -    -    -    -  Lookups  LibcByChoice Always;
    fstatat               -    -   79    -    -  Lookups  LibcByChoice Always;
    fstatat64             -    -    -  300  327  Lookups  LibcByChoice Always;
    statx               332    -  291  383  397  Lookups  LibcByChoice Always;
    access               21    -    -   33   33  Lookups  LibcByChoice Always;
    faccessat           269    -   48  307  334  Lookups  LibcByChoice Always;
    faccessat2          439    -  439  439  439  Lookups  LibcByChoice Always;
    readlink             89    -    -   85   85  Lookups  LibcByChoice Always;
    readlinkat          267    -   78  305  332  Lookups  LibcByChoice Always;
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    const ABIS: [Abi; 5] = [Abi::X86_64, Abi::X32, Abi::I386, Abi::Aarch64, Abi::Arm];

    /// The numbers of a header of the kernel: `#define __NR_openat 257`.
    fn header(path: &str) -> BTreeMap<String, u32> {
        let text = std::fs::read_to_string(path)
            .unwrap_or_else(|error| panic!("{path}: {error}; install the package linux-libc-dev"));
        let number = |line: &str| {
            let (name, value) = line.strip_prefix("#define __NR")?.split_once(' ')?;
            let name = name.strip_prefix("3264").unwrap_or(name).strip_prefix('_')?;
            let value = value.trim().trim_matches(['(', ')']).trim_start_matches("__X32_SYSCALL_BIT + ");
            Some((name.to_owned(), value.parse().ok()?))
        };
        text.lines().filter_map(number).collect()
    }

    /// Compares each row's number with a header's; numbers that were added after the header was written are
    /// left out, which are those above its last one.
    fn compare(header: &BTreeMap<String, u32>, abi: Abi, name_there: fn(&str) -> Vec<String>) {
        // x32's own numbers, from 512 on, are no later ones.
        let last = *header.values().filter(|number| **number < 512).max().unwrap();
        let mut compared = 0;
        for (name, number) in CALLS.iter().filter_map(|call| Some((call.name, call.number(abi)?))) {
            if number > last && number < 512 {
                continue;
            }
            compared += 1;
            let theirs: Vec<u32> =
                name_there(name).iter().filter_map(|name| header.get(name).copied()).collect();
            assert!(theirs.contains(&number), "{name} of {abi:?} is {number} here and {theirs:?} there");
        }
        assert!(compared > 70, "{compared} of {abi:?}");
        // No call of a row is left out that the convention has.
        for call in CALLS.iter().filter(|call| call.number(abi).is_none()) {
            let is_elsewhere =
                CALLS.iter().any(|other| other.name == call.name && other.number(abi).is_some());
            let narrow = header.get(call.name).is_some() && !is_elsewhere;
            assert!(!narrow, "{} of {abi:?} has a number there and none here", call.name);
        }
    }

    fn same(name: &str) -> Vec<String> {
        vec![name.to_owned()]
    }

    /// The names in tables of 32-bit machines: the wide one and the narrow one.
    fn wide_or_narrow(name: &str) -> Vec<String> {
        match name {
            "mmap" => vec!["mmap2".to_owned()],
            "old_mmap" => vec!["mmap".to_owned()],
            _ => vec![format!("{name}32"), name.to_owned()],
        }
    }

    #[test]
    fn numbers_of_x86_64_are_those_of_its_header() {
        compare(&header("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Abi::X86_64, same);
    }

    #[test]
    fn numbers_of_x32_are_those_of_its_header() {
        compare(&header("/usr/include/x86_64-linux-gnu/asm/unistd_x32.h"), Abi::X32, same);
    }

    #[test]
    fn numbers_of_i386_are_those_of_its_header() {
        compare(&header("/usr/include/x86_64-linux-gnu/asm/unistd_32.h"), Abi::I386, wide_or_narrow);
    }

    #[test]
    fn numbers_of_aarch64_are_those_of_the_header_it_shares() {
        compare(&header("/usr/include/asm-generic/unistd.h"), Abi::Aarch64, same);
    }

    /// Debian has no header of 32-bit ARM among its packages for x86_64. Up to 192 its numbers are those of
    /// i386; behind 423 all machines have the same.
    #[test]
    fn numbers_of_arm_are_those_of_i386_where_the_tables_do_not_differ() {
        let is_common = |number: &u32| *number < 217 || *number > 423;
        let mut compared = 0;
        for call in CALLS.iter().filter(|call| call.arm.as_ref().is_some_and(is_common)) {
            assert_eq!(call.i386, call.arm, "{}", call.name);
            compared += 1;
        }
        assert!(compared > 60, "{compared}");
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn numbers_of_x86_64_are_those_of_the_crate_libc() {
        macro_rules! sys {
            ($($name:ident $constant:ident),*) => { [$((stringify!($name), libc::$constant)),*] };
        }
        let theirs = sys![
            execve SYS_execve, execveat SYS_execveat, init_module SYS_init_module, finit_module SYS_finit_module,
            delete_module SYS_delete_module, kexec_load SYS_kexec_load, kexec_file_load SYS_kexec_file_load,
            bpf SYS_bpf, open SYS_open, openat SYS_openat, openat2 SYS_openat2, creat SYS_creat,
            open_by_handle_at SYS_open_by_handle_at, memfd_create SYS_memfd_create, rename SYS_rename,
            renameat SYS_renameat, renameat2 SYS_renameat2, link SYS_link, linkat SYS_linkat, symlink SYS_symlink,
            symlinkat SYS_symlinkat, unlink SYS_unlink, unlinkat SYS_unlinkat, rmdir SYS_rmdir, mkdir SYS_mkdir,
            mkdirat SYS_mkdirat, mknod SYS_mknod, mknodat SYS_mknodat, chmod SYS_chmod, fchmod SYS_fchmod,
            fchmodat SYS_fchmodat, chown SYS_chown, fchown SYS_fchown, lchown SYS_lchown, fchownat SYS_fchownat,
            truncate SYS_truncate, ftruncate SYS_ftruncate, setxattr SYS_setxattr, lsetxattr SYS_lsetxattr,
            fsetxattr SYS_fsetxattr, removexattr SYS_removexattr, lremovexattr SYS_lremovexattr,
            fremovexattr SYS_fremovexattr, socket SYS_socket, bind SYS_bind, listen SYS_listen,
            connect SYS_connect, accept SYS_accept, accept4 SYS_accept4, sendto SYS_sendto, sendmsg SYS_sendmsg,
            sendmmsg SYS_sendmmsg, kill SYS_kill, tkill SYS_tkill, tgkill SYS_tgkill,
            rt_sigqueueinfo SYS_rt_sigqueueinfo, rt_tgsigqueueinfo SYS_rt_tgsigqueueinfo,
            pidfd_send_signal SYS_pidfd_send_signal, setuid SYS_setuid, setgid SYS_setgid, setreuid SYS_setreuid,
            setregid SYS_setregid, setresuid SYS_setresuid, setresgid SYS_setresgid, setfsuid SYS_setfsuid,
            setfsgid SYS_setfsgid, setgroups SYS_setgroups, capset SYS_capset, ptrace SYS_ptrace,
            process_vm_readv SYS_process_vm_readv, process_vm_writev SYS_process_vm_writev,
            pidfd_getfd SYS_pidfd_getfd, setns SYS_setns, unshare SYS_unshare, clone SYS_clone,
            clone3 SYS_clone3, chroot SYS_chroot, pivot_root SYS_pivot_root, mount SYS_mount,
            umount2 SYS_umount2, move_mount SYS_move_mount, open_tree SYS_open_tree, fsopen SYS_fsopen,
            fsconfig SYS_fsconfig, fsmount SYS_fsmount, fspick SYS_fspick, mount_setattr SYS_mount_setattr,
            mmap SYS_mmap, mprotect SYS_mprotect, pkey_mprotect SYS_pkey_mprotect, userfaultfd SYS_userfaultfd,
            io_uring_setup SYS_io_uring_setup, fchmodat2 SYS_fchmodat2, close SYS_close,
            close_range SYS_close_range, dup2 SYS_dup2, dup3 SYS_dup3, exit_group SYS_exit_group, stat SYS_stat,
            lstat SYS_lstat, newfstatat SYS_newfstatat, statx SYS_statx, access SYS_access,
            faccessat SYS_faccessat, faccessat2 SYS_faccessat2, readlink SYS_readlink,
            readlinkat SYS_readlinkat
        ];
        for (name, number) in theirs {
            let call = CALLS.iter().find(|call| call.name == name).unwrap();
            assert_eq!(u32::try_from(number).ok(), call.x86_64, "{name}");
        }
        let unnamed: Vec<&str> = CALLS
            .iter()
            .filter(|call| call.x86_64.is_some() && !theirs.iter().any(|(name, _)| *name == call.name))
            .map(|call| call.name)
            .collect();
        assert_eq!(vec!["setxattrat", "removexattrat", "open_tree_attr"], unnamed);
    }

    #[test]
    fn no_number_stands_twice_in_a_convention() {
        for abi in ABIS {
            let all: Vec<u32> = CALLS.iter().flat_map(|call| numbers(call, abi)).collect();

            assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len(), "{abi:?}");
        }
    }

    #[test]
    fn each_row_is_found_by_each_of_its_numbers() {
        for machine in [Machine::X86_64, Machine::Aarch64] {
            for abi in [machine.native()].iter().chain(machine.foreign()) {
                for row in CALLS {
                    for number in numbers(row, *abi) {
                        assert_eq!(
                            Some(row),
                            call(machine, abi.audit_arch(), number),
                            "{} {abi:?}",
                            row.name
                        );
                    }
                }
            }
        }
        assert_eq!(None, call(Machine::X86_64, 0xc000_003e, 0), "read");
    }

    #[test]
    fn opens_that_write_create_or_truncate_are_told_apart() {
        let at = |flags: u64| When::OpenWrites(1).holds(&[0, flags, 0, 0, 0, 0]);

        assert!(!at(0) && !at(0o2_000_000 | 0o4000), "O_CLOEXEC, O_NONBLOCK");
        assert!(at(1) && at(2) && at(3) && at(0o100) && at(0o1000));
        assert!(!at(1 << 32), "the kernel takes an int");
    }

    #[test]
    fn other_conditions_look_at_their_argument_alone() {
        let with = |index: usize, value: u64| {
            let mut args = [0; 6];
            args[index] = value;
            args
        };

        assert!(When::Executable(2).holds(&with(2, 5)) && !When::Executable(2).holds(&with(2, 3)));
        assert!(!When::Executable(2).holds(&with(3, 4)));
        assert!(When::NamespaceFlags(0).holds(&with(0, 0x1000_0011)), "CLONE_NEWUSER | SIGCHLD");
        assert!(!When::NamespaceFlags(0).holds(&with(0, 0x003d_0f00)), "a thread");
        assert!(!When::NamespaceFlags(0).holds(&with(0, 0x4111)), "vfork");
        assert!(When::HasAddress(4).holds(&with(4, 1 << 40)) && !When::HasAddress(4).holds(&[0; 6]));
        assert!(!When::NoneOf(2, URGENT).holds(&with(2, 23)) && When::NoneOf(2, URGENT).holds(&with(2, 0)));
        assert!(
            When::OneOf(0, SOCKETCALLS).holds(&with(0, 3)) && !When::OneOf(0, SOCKETCALLS).holds(&with(0, 6))
        );
    }
}
