//! The constructor: finds its way in the process, and hands a ring to the collector if one listens.
//!
//! Runs once in each image, in the thread that starts it, before `main`. When anything is not as it should be, it
//! leaves: the hooks then only call on. It keeps no descriptor, starts no thread, changes no limit and no signal, and
//! waits for nobody: a collector that does not take the connection at once is none.

use core::ffi::{CStr, c_char, c_int};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use wire::events::ProcessStart;
use wire::fields::{AT_FDCWD, Args, Environment, Hidden, Path, Vector};
use wire::hello::{self, Blind, Hello, Joined};
use wire::record::Flags;
use wire::ring::layout::{self, Mapped};

use crate::elf::{self, Image};
use crate::environ::{self, Wishes};
use crate::hook::Row;
use crate::probe::Probe;
use crate::{capture, emit, exits, got, inline, real, state, stdio, sys};

type Strings = *const *const c_char;

/// Where the default collector listens: an abstract name.
const DEFAULT_SOCKET: &[u8] = b"@glassbox";
/// Most environment variables shown in `process.start`.
const SHOWN: usize = 16;

/// What the kernel told this image (getauxval(3)).
struct Auxiliary {
    words: [usize; 128],
    len: usize,
}

impl Auxiliary {
    /// The first description that leads to the loader's list of images, and where the list begins: the kernel's, or that of
    /// /proc, where emulators put the one that they made, or the one that the loader was given.
    ///
    /// The last is the only one where /proc is not mounted and the kernel is older than Linux 6.4, and the only one that is
    /// right where something else than the kernel loaded the program (proot).
    fn find() -> Option<(Self, Maps)> {
        let is_usual = |found: &Self| found.is_of_this_stack();
        let usual = Self::from(sys::auxiliary_vector).filter(is_usual).and_then(Self::with_maps);
        let file = || Self::from(sys::auxiliary_file).and_then(Self::with_maps);
        usual.or_else(file).or_else(Self::find_on_stack)
    }

    fn from(source: impl FnOnce(&mut [usize]) -> sys::Result<usize>) -> Option<Self> {
        let mut auxiliary = Self { words: [0; 128], len: 0 };
        auxiliary.len = source(&mut auxiliary.words).ok()?;
        Some(auxiliary)
    }

    fn with_maps(self) -> Option<(Self, Maps)> {
        let maps = Maps::of(&self)?;
        Some((self, maps))
    }

    /// Whether it describes the program that we are in, which then runs on the stack that it points to.
    ///
    /// Under valgrind the kernel's describes valgrind, whose program lies elsewhere and whose vDSO is gone.
    fn is_of_this_stack(&self) -> bool {
        let here = (&raw const *self) as usize;
        let name = self.get(libc::AT_EXECFN).unwrap_or(0);
        // Between the two are arguments and environment, at most 6 MiB (execve(2)), and what was called so far.
        name.checked_sub(here).is_some_and(|distance| distance < MOST_STACK)
    }

    /// Looks from here up the stack, which ends with the vector that the loader was given, but for strings. Copies of others,
    /// which lead nowhere, may come first.
    #[cold]
    #[inline(never)]
    fn find_on_stack() -> Option<(Self, Maps)> {
        let here = 0usize;
        let mut from = (&raw const here) as usize;
        let end = from.saturating_add(MOST_STACK);
        while let Some(place) = headers_entry(from, end) {
            from = place + size_of::<[usize; 2]>();
            if let Some(found) = Self::around(place).with_maps() {
                return Some(found);
            }
        }
        None
    }

    /// The vector on the stack whose entry `AT_PHDR` is at `place`.
    fn around(place: usize) -> Self {
        let mut probe = Probe::new();
        let mut word = |address: usize| probe.pointer(address as *const _).map_or(0, |word| word as usize);
        let mut first = place;
        // Before it stand the environment and its null, so what looks like an entry's tag there is a pointer, or null.
        while (1..=HIGHEST_TAG).contains(&word(first - 16)) {
            first -= 16;
        }
        let mut found = Self { words: [0; 128], len: 0 };
        for (index, kept) in found.words.iter_mut().enumerate() {
            *kept = word(first + index * size_of::<usize>());
        }
        found.len = found.words.len();
        found
    }

    fn get(&self, key: u64) -> Option<usize> {
        let words = self.words.get(..self.len)?;
        let (pairs, _) = words.as_chunks::<2>();
        let mut known = pairs.iter().take_while(|[tag, _]| *tag != libc::AT_NULL as usize);
        known.find(|[tag, _]| *tag == key as usize).map(|[_, value]| *value)
    }
}

/// No stack between a constructor and the strings at the stack's end is larger.
const MOST_STACK: usize = 16 << 20;
/// Tags beyond the kernel's highest (AT_MINSIGSTKSZ, 51) are no tags.
const HIGHEST_TAG: usize = 127;

/// The first place in `from..end` of an auxiliary vector's entry `AT_PHDR`, told by those that follow it in the kernel's
/// order (`create_elf_tables`). `None` where the memory ends before.
fn headers_entry(from: usize, end: usize) -> Option<usize> {
    const WORD: usize = size_of::<usize>();
    let (mut probe, mut last) = (Probe::new(), [0; 7]);
    for place in (from.next_multiple_of(WORD)..end).step_by(WORD) {
        last.rotate_left(1);
        last[6] = probe.pointer(place as *const _)? as usize;
        let [tag, _, size_tag, size, count_tag, _, base_tag] = last;
        let tags = [tag, size_tag, count_tag, base_tag].map(|tag| tag as u64);
        if tags == [libc::AT_PHDR, libc::AT_PHENT, libc::AT_PHNUM, libc::AT_BASE] && size == elf::HEADER_SIZE
        {
            return Some(place - 6 * WORD);
        }
    }
    None
}

/// Finds the link map, if that is not done: for hooks that are called before the constructor.
#[cold]
pub fn find_maps() {
    if !IS_LOOKED_FOR.swap(true, Ordering::Relaxed)
        && let Some((_, maps)) = Auxiliary::find()
    {
        maps.keep();
    }
}

static IS_LOOKED_FOR: AtomicBool = AtomicBool::new(false);
static IS_LATE: AtomicBool = AtomicBool::new(false);

/// Whether the sensor was loaded into a program that ran already, so that nobody is bound to it by name.
pub fn is_late() -> bool {
    IS_LATE.load(Ordering::Relaxed)
}

/// Entries of the link map: the program's, and the sensor's own.
struct Maps {
    first: *const elf::LinkMap,
    own: *const elf::LinkMap,
}

impl Maps {
    /// Only the base namespace is armed: in another (dlmopen, an auditor) we are not in this list.
    fn of(auxiliary: &Auxiliary) -> Option<Self> {
        elf::use_pages_of(auxiliary.get(libc::AT_PAGESZ));
        let headers = auxiliary.get(libc::AT_PHDR).unwrap_or(0);
        let count = auxiliary.get(libc::AT_PHNUM).unwrap_or(0);
        // SAFETY: the kernel's word for where the program's headers are mapped.
        let program = unsafe { Image::of_headers(headers, count, None) };
        let debug = match program.as_ref().map_or(0, Image::debug) {
            // Run as `ld.so program`, the headers are the loader's own, and it names its structure itself.
            0 => loader_debug(auxiliary.get(libc::AT_BASE).unwrap_or(0), program),
            debug => debug,
        };
        // SAFETY: the loader's `struct r_debug`, or 0.
        let first = unsafe { elf::first_map(debug) };
        // SAFETY: the first entry or null.
        let own = unsafe { elf::find_map(first, own_dynamic()) };
        (!own.is_null()).then_some(Self { first, own })
    }

    fn keep(&self) {
        if state::OWN_MAP.load(Ordering::Relaxed) != 0 {
            return;
        }
        // SAFETY: entries of the link map; ours is not the first, which is the program.
        let (after_own, after_program) = unsafe { (elf::next_map(self.own), elf::next_map(self.first)) };
        // The loader, if not libc, follows whatever was preloaded. Behind what is loaded later stands nobody yet.
        IS_LATE.store(after_own.is_null(), Ordering::Relaxed);
        let behind = if after_own.is_null() { after_program } else { after_own };
        state::BEHIND_MAP.store(behind as usize, Ordering::Release);
        state::OWN_MAP.store(self.own as usize, Ordering::Release);
        state::FIRST_MAP.store(self.first as usize, Ordering::Release);
    }
}

fn loader_debug(base: usize, program: Option<Image>) -> usize {
    // SAFETY: the kernel's word for where the loader is mapped.
    let loader = if base == 0 { program } else { unsafe { Image::at(base) } };
    let Some(loader) = loader else { return 0 };
    // musl names a pointer to it.
    // SAFETY: a variable of the mapped loader.
    let musl = || loader.symbol(c"_dl_debug_addr").map(|place| unsafe { *(place as *const usize) });
    loader.symbol(c"_r_debug").or_else(musl).unwrap_or(0)
}

#[cfg(not(test))]
fn own_dynamic() -> usize {
    unsafe extern "C" {
        #[link_name = "_DYNAMIC"]
        static DYNAMIC: [u8; 0];
    }
    (&raw const DYNAMIC) as usize
}

#[cfg(test)]
fn own_dynamic() -> usize {
    0
}

/// The constructor. glibc passes `main`'s arguments, musl passes nothing: so nothing is taken from here.
pub extern "C" fn start() {
    IS_LOOKED_FOR.store(true, Ordering::Relaxed);
    let Some((auxiliary, maps)) = Auxiliary::find() else { return };
    maps.keep();
    // Whoever loads us into a program that runs calls `join` next, and says where to report.
    if !is_late() {
        begin(&auxiliary, None);
    }
}

/// Joins a program that runs already: `glassbox attach` calls this, the library's entry point, once it has loaded us.
/// `socket` is where the collector listens. Gives a [`Joined`] as a number.
///
/// # Safety
/// `socket` is a C string.
pub unsafe extern "C" fn join(socket: *const c_char) -> c_int {
    // SAFETY: the caller's promise.
    let (Some(socket), Some((auxiliary, maps))) = (unsafe { capture::text(socket, 108) }, Auxiliary::find())
    else {
        return Joined::NotHere as c_int;
    };
    maps.keep();
    let joined = match (is_late(), state::ring()) {
        (true, None) => begin(&auxiliary, Some(socket)),
        (_, Some(_)) => Joined::Already,
        (false, None) => Joined::NotHere,
    };
    if joined == Joined::Seen {
        got::take_over();
    }
    joined as c_int
}

/// Attaches this process to a collector: the one that listens at `socket`, else where the environment says.
fn begin(auxiliary: &Auxiliary, socket: Option<&'static [u8]>) -> Joined {
    use_vdso(auxiliary);
    let began_ns = sys::now_ns();
    let own = state::OWN_MAP.load(Ordering::Relaxed) as *const elf::LinkMap;
    if own.is_null() {
        return Joined::NotHere;
    }
    let Some(image) = Start::of(auxiliary) else { return Joined::NotHere };
    // SAFETY: the kernel's string.
    let executed = unsafe { capture::text(image.path, 4096) }.unwrap_or_default();
    // SAFETY: the program's environment.
    let mut wishes = unsafe { environ::read(image.environment, executed) };
    if wishes.is_off && socket.is_none() {
        return Joined::NotHere;
    }
    wishes.socket = socket.or(wishes.socket);
    // SAFETY: our own entry.
    let library = unsafe { elf::name_of(own) }.to_bytes();
    // SAFETY: the program's environment; the sensor begins here.
    unsafe { environ::remember(image.environment, library, socket) };
    state::watch_threads(real::global(c"__libc_single_threaded"));
    let Some(ring) = attach(&wishes, &image) else { return Joined::Unseen };
    stdio::begin();
    if let Some(engine) = wishes.inline {
        inline::begin(engine);
    }
    ring.slot(0).start_ns.store(sys::now_ns().saturating_sub(began_ns), Ordering::Relaxed);
    Joined::Seen
}

/// The destructor, at a normal exit: what was used. Nothing that matters waits for it.
pub extern "C" fn finish() {
    exits::note_usage();
}

fn use_vdso(auxiliary: &Auxiliary) {
    let Some(start) = auxiliary.get(libc::AT_SYSINFO_EHDR).filter(|start| *start != 0) else { return };
    let name = if cfg!(target_arch = "x86_64") { c"__vdso_clock_gettime" } else { c"__kernel_clock_gettime" };
    // SAFETY: the kernel's word for where the vDSO is mapped.
    if let Some(clock) = unsafe { Image::at(start) }.and_then(|image| image.symbol(name)) {
        sys::use_clock(clock);
    }
}

/// The image that starts, as the kernel and the loader describe it.
struct Start {
    environment: Strings,
    arguments: Strings,
    path: *const c_char,
    uid: u32,
    euid: u32,
    gid: u32,
    egid: u32,
    pid: u32,
    ppid: u32,
}

impl Start {
    fn of(auxiliary: &Auxiliary) -> Option<Self> {
        let environment = environ::at_start();
        let path = auxiliary.get(libc::AT_EXECFN).unwrap_or(0) as *const c_char;
        if environment.is_null() {
            return None;
        }
        // What the kernel said at the start, or what has become of it since.
        let [uid, euid, gid, egid] = match is_late() {
            false => [libc::AT_UID, libc::AT_EUID, libc::AT_GID, libc::AT_EGID]
                .map(|key| auxiliary.get(key).unwrap_or(0) as u32),
            true => sys::ids(),
        };
        Some(Self {
            environment,
            // SAFETY: checked there.
            arguments: unsafe { arguments_before(environment, path) },
            path,
            uid,
            euid,
            gid,
            egid,
            pid: sys::getpid(),
            ppid: sys::getppid(),
        })
    }

    /// Writes the image's first record. A collector that `is_near` finds the image's file itself.
    ///
    /// Long paths have functions of their own: their buffers are pages of stack that the program may never touch, and each
    /// costs its start a fault.
    fn tell(&self, is_near: bool) {
        if is_late() {
            return self.tell_late();
        }
        // SAFETY: the kernel's string.
        let executed = unsafe { capture::text(self.path, 4096) };
        match sys::getcwd(&mut [0; SHORT]) {
            Ok(cwd) => self.tell_from(cwd, executed, is_near),
            Err(_) => self.tell_from_afar(executed, is_near),
        }
    }

    #[cold]
    #[inline(never)]
    fn tell_from_afar(&self, executed: Option<&[u8]>, is_near: bool) {
        self.tell_from(sys::getcwd(&mut [0; 4096]).unwrap_or_default(), executed, is_near);
    }

    fn tell_from(&self, cwd: &[u8], executed: Option<&[u8]>, is_near: bool) {
        // An image run by descriptor has a name only in /proc.
        let named = executed.filter(|path| !path.starts_with(b"/dev/fd/"));
        if is_near && named.is_some() {
            return self.report(cwd, named, &[], None);
        }
        match sys::readlink(EXE, &mut [0; SHORT]) {
            Ok(image) if image.len() < SHORT => self.report(cwd, named, image, None),
            _ => self.tell_of_long(cwd, named, executed),
        }
    }

    #[cold]
    #[inline(never)]
    fn tell_of_long(&self, cwd: &[u8], named: Option<&[u8]>, executed: Option<&[u8]>) {
        let mut buffer = [0; 4096];
        let image = sys::readlink(EXE, &mut buffer).ok().or(executed).unwrap_or_default();
        self.report(cwd, named, image, None);
    }

    /// A program that runs may have written over what it was started with (setproctitle does): /proc knows.
    #[cold]
    #[inline(never)]
    fn tell_late(&self) {
        let (mut cwd, mut image, mut arguments) = ([0; 4096], [0; 4096], [0; 4096]);
        let len = sys::read_file(c"/proc/self/cmdline", &mut arguments).ok();
        self.report(
            sys::getcwd(&mut cwd).unwrap_or_default(),
            None,
            sys::readlink(EXE, &mut image).unwrap_or_default(),
            len.and_then(|len| arguments.get(..len)),
        );
    }

    /// The record: `named` is what was executed, by a name; `arguments` are as /proc shows them, if they were asked for.
    #[inline(never)]
    fn report(&self, cwd: &[u8], named: Option<&[u8]>, image: &[u8], arguments: Option<&[u8]>) {
        let mut shown = [core::ptr::null(); SHOWN];
        let (argv, flags) = match arguments {
            Some(strings) => packed(strings),
            None => capture::arguments(&mut Probe::believing(), self.arguments).unwrap_or((Args::NONE, 0)),
        };
        // SAFETY: the program's environment.
        let env = Environment(unsafe { shown_environment(self.environment, &mut shown) });
        emit::before(
            if is_late() { Row::NONE.redirected() } else { Row::NONE },
            flags,
            &ProcessStart {
                path: Path { dir: AT_FDCWD, raw: named.or(Some(image)) },
                argv,
                cwd,
                gid: self.gid,
                egid: self.egid,
                env,
                image: Hidden(image),
                real_uid: Hidden(self.uid),
                effective_uid: Hidden(self.euid),
                parent: Hidden(self.ppid),
            },
        );
    }
}

/// Room for a path of everyday length.
const SHORT: usize = 512;
const EXE: &CStr = c"/proc/self/exe";

/// An argument vector as /proc shows it, and the record's flags if it was cut in the middle of a string.
fn packed(strings: &[u8]) -> (Args<'_>, u8) {
    let end = strings.iter().rposition(|byte| *byte == 0).map_or(0, |last| last + 1);
    let flags = if end < strings.len() { Flags::TRUNCATED } else { 0 };
    (Args::Packed(strings.get(..end).unwrap_or_default()), flags)
}

/// The argument vector, which stands before the environment on the initial stack: found from there, since musl passes it
/// to no constructor. Null when the environment is not the one the kernel laid out.
///
/// # Safety
/// `environment` is a null-terminated array; `name` is AT_EXECFN, which lies above it on the initial stack.
unsafe fn arguments_before(environment: Strings, name: *const c_char) -> Strings {
    // The kernel allows arguments and environment a quarter of the stack limit, at most 6 MiB (execve(2)).
    let distance = (name as usize).wrapping_sub(environment as usize);
    if name.is_null() || distance > 8 << 20 {
        return core::ptr::null();
    }
    let words = environment.cast::<usize>();
    // From the null that ends the arguments downwards, until a word says how many there were between.
    for count in 0..distance / size_of::<usize>() {
        // SAFETY: below the environment stand the null, `count` pointers and their count; the walk ends there.
        if unsafe { words.sub(count + 2).read() } == count {
            // SAFETY: as above.
            return unsafe { environment.sub(count + 1) };
        }
    }
    core::ptr::null()
}

/// The variables that matter to the loader, and ours.
///
/// # Safety
/// `environment` is a null-terminated array of C strings.
unsafe fn shown_environment<'s>(environment: Strings, shown: &'s mut [*const u8; SHOWN]) -> Args<'s> {
    let (mut count, mut len_bytes, mut index) = (0, 0, 0);
    loop {
        // SAFETY: the caller's promise; the walk stops at the null.
        let string = unsafe { environment.add(index).read() };
        if string.is_null() {
            break;
        }
        index += 1;
        // SAFETY: a C string.
        let is_shown = unsafe { capture::text(string, 9) }
            .is_some_and(|variable| variable.starts_with(b"LD_") || variable.starts_with(b"GLASSBOX"));
        if is_shown && let Some(place) = shown.get_mut(count) {
            *place = string.cast();
            // SAFETY: a C string.
            len_bytes += unsafe { capture::length(string, 4096) } + 1;
            count += 1;
        }
    }
    // SAFETY: `count` strings were put there.
    Args::Vector(unsafe { Vector::new(shown.as_ptr(), count, len_bytes) })
}

/// Makes a ring, writes the image's first record into it, and sends it to the collector.
///
/// Normally the collector is looked for first, so that nothing is made in vain. One that is near is known to be there
/// (`glassbox run` started it): then the ring comes first, and the connection and the packet reach the collector
/// together, which wakes it once instead of twice.
fn attach(wishes: &Wishes, image: &Start) -> Option<Mapped> {
    let name = wishes.socket.unwrap_or(DEFAULT_SOCKET);
    let is_near = hello::is_near(name);
    let mut early = is_near.then(|| prepare(wishes, image, is_near));
    let socket = sys::packet_socket().or_else(|error| match early {
        // The last descriptor went to the ring: it serves better to say so.
        Some(Ok(made)) if matches!(error.0, libc::EMFILE | libc::ENFILE) => {
            sys::close(made.memfd);
            state::disarm();
            early = Some(Err(Blind::FdLimit));
            sys::packet_socket()
        }
        _ => Err(error),
    });
    let attached = socket.ok().and_then(|socket| {
        let is_sent = connect(socket, name, image.euid).then(|| {
            let made = early.unwrap_or_else(|| prepare(wishes, image, is_near));
            let (blind, memfd) = match made {
                Ok(made) => (0, Some(made.memfd)),
                Err(blind) => (blind as u8, None),
            };
            let distance = if is_near { Distance::Near } else { distance_of(socket) };
            DISTANCE.store(distance as u8, Ordering::Relaxed);
            let pid_ns = match distance {
                Distance::Apart => make_up_for_distance(memfd),
                Distance::Near | Distance::Beside => 0,
            };
            (made, say_hello(socket, image, blind, memfd, pid_ns, wishes.container))
        });
        sys::close(socket);
        is_sent
    });
    // No descriptor free for a socket, or nobody there: nobody can be told. The parent's exec event stands alone then.
    let (made, is_sent) = match attached {
        Some((made, is_sent)) => (Some(made), is_sent),
        None => (early, false),
    };
    let made = made?.ok()?;
    sys::close(made.memfd);
    if is_sent {
        return Some(made.ring);
    }
    state::disarm();
    None
}

/// A ring that holds the image's first record, and that the hooks write into from here on.
fn prepare(wishes: &Wishes, image: &Start, is_near: bool) -> Result<Made, Blind> {
    let made = make_ring(wishes)?;
    state::arm(made.ring, made.data_len, made.page, image.pid);
    if !is_late() {
        state::note_first_thread(image.pid);
    }
    let slot = made.ring.slot(0);
    slot.born_ns.store(sys::now_ns(), Ordering::Relaxed);
    slot.ppid.store(image.ppid, Ordering::Relaxed);
    slot.pid.store(image.pid, Ordering::Release);
    image.tell(is_near);
    Ok(made)
}

/// Connects to the collector: by path, then by the abstract name equal to the path, for a process that lost the way to
/// the path or the right to it.
fn connect(socket: c_int, name: &[u8], euid: u32) -> bool {
    let (path, abstract_name) = match name.strip_prefix(b"@") {
        Some(rest) => (None, rest),
        None => (Some(name), name),
    };
    let by_path = path.and_then(|path| unix_address(0, path));
    // Whoever made the path was allowed to by its directory; an abstract name anybody can take.
    if by_path.is_some_and(|(address, len)| sys::connect(socket, &address, len).is_ok()) {
        return true;
    }
    let Some((address, len)) = unix_address(1, abstract_name) else { return false };
    sys::connect(socket, &address, len).is_ok() && is_trusted(socket, euid)
}

fn unix_address(leading_nul: usize, name: &[u8]) -> Option<(libc::sockaddr_un, usize)> {
    let mut address = libc::sockaddr_un { sun_family: libc::AF_UNIX as u16, sun_path: [0; 108] };
    let place = address.sun_path.get_mut(leading_nul..leading_nul + name.len())?;
    for (to, from) in place.iter_mut().zip(name) {
        *to = *from as c_char;
    }
    // A path needs its NUL, an abstract name has none: its length ends it.
    let ending = usize::from(leading_nul == 0);
    let len = 2 + leading_nul + name.len() + ending;
    (len <= size_of_val(&address)).then_some((address, len))
}

/// Whether the listener may be handed what this process does: root's, our own user's, or one whose user this namespace
/// cannot name.
fn is_trusted(socket: c_int, euid: u32) -> bool {
    const OVERFLOW_UID: u32 = 65534;
    sys::peer(socket).is_ok_and(|peer| [0, OVERFLOW_UID, euid].contains(&peer.uid))
}

/// How far away the collector is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Distance {
    /// It shares our /proc and files, and says so by its socket's name.
    Near = 0,
    /// It has a number in our pid namespace.
    Beside = 1,
    /// It has none.
    Apart = 2,
}

static DISTANCE: AtomicU8 = AtomicU8::new(Distance::Near as u8);

/// How far away the collector is that this image told of itself.
pub fn distance() -> Distance {
    match DISTANCE.load(Ordering::Relaxed) {
        0 => Distance::Near,
        1 => Distance::Beside,
        _ => Distance::Apart,
    }
}

fn distance_of(socket: c_int) -> Distance {
    if sys::peer(socket).is_ok_and(|peer| peer.pid != 0) { Distance::Beside } else { Distance::Apart }
}

/// Has a collector that is apart learn what the kernel does not tell it; gives our pid namespace, by inode.
///
/// One in a namespace beside ours has no number for us, and before Linux 6.5 no descriptor of us: our pid means something
/// to it only with the namespace. The ring is held in a way that ends with the last of us, and the status noted with
/// which each of us ends.
fn make_up_for_distance(memfd: Option<c_int>) -> u64 {
    if let Some(memfd) = memfd {
        sys::hold(memfd);
        exits::ask_for_status();
    }
    sys::inode(c"/proc/self/ns/pid").unwrap_or(0)
}

/// A ring that is mapped, and the file behind it.
#[derive(Clone, Copy)]
struct Made {
    ring: Mapped,
    data_len: u64,
    page: NonNull<u8>,
    memfd: c_int,
}

fn make_ring(wishes: &Wishes) -> Result<Made, Blind> {
    let data_len = wishes.ring_kib.map_or(layout::DEFAULT_DATA_LEN, |kib| {
        (kib.saturating_mul(1024).clamp(layout::MIN_DATA_LEN, layout::MAX_DATA_LEN) + 1).next_power_of_two()
            / 2
    });
    let len = layout::file_len(data_len);
    // ftruncate(2) beyond the limit does not only fail, it raises SIGXFSZ.
    if sys::soft_limit(libc::RLIMIT_FSIZE) < len {
        return Err(Blind::NoMemory);
    }
    let memfd = sys::sealed_memfd(c"glassbox", len).map_err(|error| match error.0 {
        libc::EMFILE | libc::ENFILE => Blind::FdLimit,
        _ => Blind::NoMemory,
    })?;
    let mapped = sys::map_shared(memfd, len as usize).ok().and_then(NonNull::new);
    let page = sys::map_anonymous(4096).ok().and_then(NonNull::new);
    let (Some(base), Some(page)) = (mapped, page) else {
        sys::close(memfd);
        return Err(Blind::AddressSpace);
    };
    // Neither is needed: an old kernel without WIPEONFORK relies on the fork hook.
    let _ = sys::advise(page.as_ptr(), 4096, libc::MADV_WIPEONFORK);
    let _ = sys::advise(base.as_ptr(), len as usize, libc::MADV_DONTDUMP);
    // SAFETY: just mapped with this length, sealed against shrinking, never unmapped while armed; `data_len` is a
    // power of two by its clamping.
    let ring = unsafe { Mapped::new(base, data_len) };
    ring.format();
    Ok(Made { ring, data_len, page, memfd })
}

fn say_hello(
    socket: c_int,
    image: &Start,
    blind: u8,
    memfd: Option<c_int>,
    pid_ns: u64,
    container: &[u8],
) -> bool {
    let hello = Hello {
        magic: hello::MAGIC,
        version: wire::VERSION,
        events: wire::FINGERPRINT,
        calls: crate::CALLS,
        pid: image.pid,
        ppid: image.ppid,
        slot: 0,
        own_fds: [socket, memfd.unwrap_or(-1)],
        blind,
        exe: &[],
        pid_ns,
        container,
    };
    match blind {
        0 => send(&hello, &mut [0; hello::MAX_SEEN_LEN], memfd),
        _ => say_blind(hello),
    }
}

/// As with [`Start::tell`], long buffers are kept apart.
#[cold]
#[inline(never)]
fn say_blind(hello: Hello<'_>) -> bool {
    let mut path = [0; 4096];
    let exe = sys::readlink(EXE, &mut path).unwrap_or_default();
    send(&Hello { exe, ..hello }, &mut [0; hello::MAX_LEN], None)
}

fn send(hello: &Hello<'_>, buffer: &mut [u8], memfd: Option<c_int>) -> bool {
    let [socket, _] = hello.own_fds;
    let len = hello.encode(buffer);
    buffer.get(..len).is_some_and(|packet| len > 0 && sys::send_packet(socket, packet, memfd).is_ok())
}
