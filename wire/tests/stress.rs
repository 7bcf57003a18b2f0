//! The ring under many threads, under signals, and with writers that are killed.
//!
//! The test called `stress_…` runs under the address and the thread sanitizer, too, on the stable toolchain
//! (`cargo xtask test` does it; the triple keeps the flags away from build scripts, and `thread` is the other
//! one):
//!
//! ```text
//! RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer" \
//!     cargo test -p wire --release --tests --target x86_64-unknown-linux-gnu \
//!     --target-dir target/asan -- stress
//! ```
//!
//! The other tests fork, trace or interrupt, which the thread sanitizer gets in the way of. The seed of each
//! run is printed; `GLASSBOX_SEED` gives it again.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

mod support;

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::{Lent, Random, Small};
use wire::codec::Sink as _;
use wire::ring::{Memory, Next, Reader, Refused, bell, reserve};

/// The thread sanitizer calls this when the program starts. The standard library is not instrumented (its
/// source is no part of the toolchain), so the sanitizer does not see how the test harness hands its results
/// over. No frame of the ring's is under these. `Arc`s that cross threads would be reported too, hence
/// [`Thread`].
#[unsafe(no_mangle)]
extern "C" fn __tsan_default_suppressions() -> *const libc::c_char {
    c"race:test::event::CompletedTest\nrace:std::sync::mpmc".as_ptr()
}

/// A thread made by libc alone, which the thread sanitizer sees being made and joined. The standard library's
/// threads share an `Arc`; its last owner frees it after a fence that the sanitizer does not see.
struct Thread<'w> {
    handle: libc::pthread_t,
    _work: PhantomData<&'w ()>,
}

impl<'w> Thread<'w> {
    fn spawn<F: Fn() + Sync>(work: &'w F) -> Self {
        extern "C" fn run<F: Fn()>(work: *mut libc::c_void) -> *mut libc::c_void {
            // SAFETY: what `spawn` passed, which outlives the thread.
            let work = unsafe { &*work.cast::<F>() };
            work();
            std::ptr::null_mut()
        }
        let mut handle = 0;
        let work = (&raw const *work).cast_mut().cast();
        // SAFETY: `work` lives until the thread is joined by `drop`; the default attributes.
        let made = unsafe { libc::pthread_create(&mut handle, std::ptr::null(), run::<F>, work) };
        assert_eq!(0, made);
        Self { handle, _work: PhantomData }
    }
}

impl Drop for Thread<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle of a thread that is joined only here.
        unsafe { libc::pthread_join(self.handle, std::ptr::null_mut()) };
    }
}

/// A record of `words` words: number, then a word that depends on everything, repeated.
fn write<M: Memory>(ring: &M, slot: u8, number: u64, words: u64) -> Result<bool, Refused> {
    let mut record = reserve(ring, slot, words as usize * 8)?;
    record.put(&number.to_le_bytes());
    for _ in 1..words {
        record.put(&check_word(slot, number, words).to_le_bytes());
    }
    Ok(record.commit())
}

fn check_word(slot: u8, number: u64, words: u64) -> u64 {
    (number ^ u64::from(slot) << 56 ^ words << 48).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The number of an undamaged record.
fn read(slot: u8, bytes: &[u8]) -> u64 {
    let word = |chunk: &[u8]| u64::from_le_bytes(chunk.try_into().unwrap());
    let number = word(&bytes[..8]);
    let expected = check_word(slot, number, bytes.len() as u64 / 8);
    assert!(
        bytes[8..].chunks_exact(8).all(|chunk| word(chunk) == expected),
        "damaged: slot {slot}, {number}"
    );
    number
}

fn wake(ring: &Small) {
    // SAFETY: the futex word lives as long as the ring.
    unsafe { libc::syscall(libc::SYS_futex, ring.bell().as_ptr(), libc::FUTEX_WAKE, 1) };
}

/// True when the wait ended by a wake-up or was not needed; false when the time was over.
fn wait(ring: &Small, mode: u32, limit: Duration) -> bool {
    let limit = libc::timespec { tv_sec: limit.as_secs() as _, tv_nsec: limit.subsec_nanos() as _ };
    // SAFETY: the futex word lives as long as the ring, the time as long as the call.
    let done =
        unsafe { libc::syscall(libc::SYS_futex, ring.bell().as_ptr(), libc::FUTEX_WAIT, mode, &limit) };
    // SAFETY: a valid pointer to this thread's errno.
    done == 0 || unsafe { *libc::__errno_location() } != libc::ETIMEDOUT
}

#[test]
fn stress_threads_lose_nothing_that_was_not_refused_and_never_miss_a_sleeping_reader() {
    const WRITERS: u8 = 4;
    const RECORDS: u64 = 30_000;
    let seed = Random::from_environment();
    let ring = Small::new(4096, 0);
    let refused: Vec<AtomicU64> = (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
    let writing = AtomicUsize::new(usize::from(WRITERS));
    let mut delivered = vec![Vec::new(); usize::from(WRITERS)];
    let mut quiet = 0;

    let writers: Vec<_> = (0..WRITERS)
        .map(|slot| {
            let (ring, refused, writing) = (&ring, &refused[usize::from(slot)], &writing);
            move || {
                let mut random = Random(seed.0 ^ u64::from(slot) << 32);
                for number in 0..RECORDS {
                    match write(ring, slot, number, 1 + random.below(30)) {
                        Ok(true) => wake(ring),
                        Ok(false) => {}
                        Err(Refused::Full) => {
                            refused.fetch_add(1, Ordering::Relaxed);
                            // Time for the reader, or most would be refused.
                            thread::sleep(Duration::from_micros(20));
                        }
                        Err(Refused::TooLong) => unreachable!("at most 240 bytes"),
                    }
                    if random.below(64) == 0 {
                        thread::yield_now();
                    }
                }
                // Release: with the reader's Acquire, the last records are there when this is 0.
                writing.fetch_sub(1, Ordering::Release);
                // The reader may sleep with nothing more to come.
                wake(ring);
            }
        })
        .collect();
    {
        let _running: Vec<Thread<'_>> = writers.iter().map(Thread::spawn).collect();
        let mut reader = Reader::new(Lent(&ring));
        let mut copy = vec![0; wire::ring::MAX_RECORD];
        loop {
            let is_over = writing.load(Ordering::Acquire) == 0;
            match reader.next(&mut copy) {
                Next::Record { slot, len } => {
                    delivered[usize::from(slot)].push(read(slot, &copy[..len]));
                    if delivered[usize::from(slot)].len() % 3 == 0 {
                        reader.release();
                    }
                    continue;
                }
                Next::Corrupt => panic!("no hostile writer is here"),
                Next::Empty if is_over => break,
                Next::Empty | Next::Unfinished(_) => reader.release(),
            }
            // A missed wake-up shows as time that is over though there is something to read.
            if reader.may_sleep(bell::SLEEPING) {
                let was_woken = wait(&ring, bell::SLEEPING, Duration::from_secs(1));
                reader.wake_up();
                quiet += usize::from(!was_woken && reader.pending() > 0);
                assert!(quiet < 3, "the reader sleeps though there are {} bytes", reader.pending());
            }
        }
    }

    let lengths: Vec<usize> = delivered.iter().map(Vec::len).collect();
    println!("delivered {lengths:?} of {RECORDS} each, {quiet} sleeps too long");
    for (numbers, refused) in delivered.iter().zip(refused) {
        assert!(numbers.is_sorted_by(|one, next| one < next), "out of order, or twice");
        assert_eq!(RECORDS, numbers.len() as u64 + refused.into_inner());
    }
}

static SIGNAL_RING: AtomicPtr<Small> = AtomicPtr::new(std::ptr::null_mut());
static SIGNALS: AtomicU64 = AtomicU64::new(0);
static SIGNALS_REFUSED: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_signal(_: libc::c_int) {
    // SAFETY: null, or a ring that lives until the handler is removed.
    let Some(ring) = (unsafe { SIGNAL_RING.load(Ordering::Acquire).as_ref() }) else { return };
    let number = SIGNALS.fetch_add(1, Ordering::Relaxed);
    if write(ring, 1, number, 5).is_err() {
        SIGNALS_REFUSED.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_signal_handler_that_interrupts_a_writer_anywhere_writes_records_of_its_own() {
    const SIGNALS_WANTED: u64 = 2000;
    let mut random = Random::from_environment();
    let ring = Small::new(8192, 0);
    SIGNAL_RING.store((&raw const ring).cast_mut(), Ordering::Release);
    // SAFETY: a zeroed sigaction is a valid one; the handler only uses atomics and the ring.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(0, libc::sigaction(libc::SIGUSR2, &action, std::ptr::null_mut()));
    }
    let is_over = AtomicBool::new(false);
    let (mut own, mut nested, mut written, mut refused) = (Vec::new(), Vec::new(), 0, 0);

    thread::scope(|scope| {
        // SAFETY: gives this thread's own handle.
        let victim = unsafe { libc::pthread_self() } as usize;
        let (ring, is_over) = (&ring, &is_over);
        scope.spawn(move || {
            while !is_over.load(Ordering::Acquire) {
                // SAFETY: the thread waits for this one at the end of the scope.
                unsafe { libc::pthread_kill(victim as libc::pthread_t, libc::SIGUSR2) };
                (0..random.below(3000)).for_each(|_| std::hint::spin_loop());
            }
        });
        let mut reader = Reader::new(Lent(ring));
        let mut copy = vec![0; wire::ring::MAX_RECORD];
        let mut drain = || {
            while let Next::Record { slot, len } = reader.next(&mut copy) {
                let numbers = if slot == 0 { &mut own } else { &mut nested };
                numbers.push(read(slot, &copy[..len]));
            }
            reader.release();
        };
        let limit = Instant::now() + Duration::from_secs(20);
        while SIGNALS.load(Ordering::Relaxed) < SIGNALS_WANTED && Instant::now() < limit {
            for _ in 0..16 {
                refused += u64::from(write(ring, 0, written, 20).is_err());
                written += 1;
            }
            drain();
        }
        is_over.store(true, Ordering::Release);
        // The last signal may come until the other thread has ended: the handler stays, the ring too.
        thread::sleep(Duration::from_millis(20));
        drain();
    });
    // SAFETY: the default action for a late signal would end the process: ignore it.
    unsafe { libc::signal(libc::SIGUSR2, libc::SIG_IGN) };
    SIGNAL_RING.store(std::ptr::null_mut(), Ordering::Release);

    assert!(own.is_sorted_by(|one, next| one < next));
    assert!(nested.is_sorted_by(|one, next| one < next));
    assert_eq!(written, own.len() as u64 + refused);
    let signals = SIGNALS.load(Ordering::Relaxed);
    assert_eq!(signals, nested.len() as u64 + SIGNALS_REFUSED.load(Ordering::Relaxed));
    println!("{signals} signals among {written} records, {refused} refused");
    assert!(signals >= SIGNALS_WANTED, "{signals} signals in 20 s");
}

/// Makes a child that runs `work` and does nothing of Rust's before or after.
fn fork(work: impl FnOnce()) -> libc::pid_t {
    // SAFETY: the child calls nothing that needs a lock or memory: it writes into the ring, and ends by a
    // signal or by `_exit`.
    match unsafe { libc::fork() } {
        0 => {
            work();
            // SAFETY: ends the process.
            unsafe { libc::_exit(0) }
        }
        child => {
            assert!(child > 0);
            child
        }
    }
}

#[test]
fn a_killed_writer_costs_at_most_one_record_and_the_reader_goes_on() {
    const KILLS: usize = 300;
    let mut random = Random::from_environment();
    // Two children write at a time, and both are killed; their counters are as in a slot of the mapping.
    let ring = Small::new(32 * 1024, 0);
    let ledger = Small::new(4096, 0);
    let (mut interrupted, mut holes, mut records) = (0, 0, 0);
    let mut copy = vec![0; wire::ring::MAX_RECORD];
    let mut reader = Reader::new(Lent(&ring));

    for _ in 0..KILLS / 2 {
        ledger.scribble(&[0; 8]);
        let children = [0_u8, 1].map(|slot| {
            let mut random = Random(random.0 ^ u64::from(slot) << 40);
            let (ring, ledger) = (&ring, &ledger);
            fork(move || {
                loop {
                    let seq = ledger.state(u64::from(slot) * 16).fetch_add(1, Ordering::Relaxed);
                    if write(ring, slot, seq, 2 + random.below(200)).is_err() {
                        ledger.state(u64::from(slot) * 16 + 8).fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        });
        let mut delivered = [0_u64; 2];
        let until = Instant::now() + Duration::from_micros(random.below(3000));
        let mut drain = |reader: &mut Reader<Lent<'_>>| {
            let found = reader.next(&mut copy);
            if let Next::Record { slot, len } = found {
                read(slot, &copy[..len]);
                delivered[usize::from(slot)] += 1;
            }
            reader.release();
            found
        };
        while Instant::now() < until {
            drain(&mut reader);
        }
        for child in children {
            // SAFETY: signals and awaits a child of this process.
            unsafe {
                libc::kill(child, libc::SIGKILL);
                assert_eq!(child, libc::waitpid(child, std::ptr::null_mut(), 0));
            }
        }

        let mut skips = 0;
        loop {
            match drain(&mut reader) {
                Next::Record { .. } => {}
                Next::Unfinished(unfinished) => {
                    assert!(reader.skip());
                    skips += 1;
                    holes += usize::from(unfinished.slot.is_none());
                }
                Next::Empty => break,
                Next::Corrupt => panic!("a killed writer made the ring unreadable"),
            }
        }

        assert!(skips <= 2, "{skips} skips for two kills");
        for slot in [0, 1] {
            let word = |at: u64| ledger.state(slot * 16 + at).load(Ordering::Relaxed);
            let (produced, refused) = (word(0), word(8));
            let lost = produced - refused - delivered[slot as usize];
            assert!(lost <= 1, "{lost} records of slot {slot} lost by one kill");
            interrupted += lost;
            records += delivered[slot as usize];
        }
    }
    println!(
        "{KILLS} kills among {records} records: {interrupted} lost, {holes} of them without a state word"
    );
}

/// Runs a writer one instruction at a time, and looks after each one at what a reader would find if it died
/// there.
#[test]
fn a_writer_that_dies_after_any_instruction_costs_at_most_its_own_record() {
    let ring = Small::new(512, 0);
    write(&ring, 1, 0, 4).unwrap();
    let writer = fork(|| {
        // SAFETY: lets the parent trace this child, and stops it.
        unsafe {
            libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
            libc::raise(libc::SIGSTOP);
        }
        let _ = write(&ring, 2, 7, 4);
    });
    let mut status = 0;
    // SAFETY: awaits a child of this process.
    unsafe { libc::waitpid(writer, &mut status, 0) };
    assert!(libc::WIFSTOPPED(status), "the child cannot be traced");

    let (mut steps, mut outcomes) = (0, [0; 4]);
    loop {
        // SAFETY: the child is stopped and traced by this thread.
        unsafe {
            assert_eq!(0, libc::ptrace(libc::PTRACE_SINGLESTEP, writer, 0, 0));
            assert_eq!(writer, libc::waitpid(writer, &mut status, 0));
        }
        if !libc::WIFSTOPPED(status) {
            break;
        }
        steps += 1;
        outcomes[after_death(&ring.snapshot())] += 1;
    }

    println!("{steps} instructions: not begun, hole, busy, committed = {outcomes:?}");
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}: not every state was met");
}

/// The victim's record in a ring whose writer is dead: 0 never reserved, 1 a hole, 2 busy, 3 delivered.
fn after_death(ring: &Small) -> usize {
    write(ring, 3, 1, 4).unwrap();
    let mut reader = Reader::new(Lent(ring));
    let mut copy = vec![0; wire::ring::MAX_RECORD];
    let (mut outcome, mut found) = (0, Vec::new());

    loop {
        match reader.next(&mut copy) {
            Next::Record { slot, len } => found.push((slot, read(slot, &copy[..len]))),
            Next::Unfinished(unfinished) => {
                assert_eq!(0, outcome, "more than one skip");
                outcome = if unfinished.slot.is_none() { 1 } else { 2 };
                assert!(reader.skip());
            }
            Next::Empty => break,
            Next::Corrupt => panic!("the ring is unreadable"),
        }
    }

    match found[..] {
        [(1, 0), (3, 1)] => outcome,
        [(1, 0), (2, 7), (3, 1)] if outcome == 0 => 3,
        _ => panic!("found {found:?}"),
    }
}
