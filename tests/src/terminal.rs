//! A program on a pseudo-terminal of its own, as a person sees it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::child::{self, Status, wait_until};

/// A running program that is its session's first process. Dropping it kills it, and the terminal hangs up on
/// all others.
pub struct OnTerminal {
    running: Child,
    master: File,
    shown: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl OnTerminal {
    /// Starts `command` there.
    pub fn start(mut command: Command) -> OnTerminal {
        let (mut master, mut slave) = (0, 0);
        // SAFETY: both pointers are to live integers, the other three are allowed to be null (man 3 openpty).
        let opened = unsafe {
            libc::openpty(
                &mut master,
                &mut slave,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                std::ptr::null_mut(),
            )
        };
        assert_eq!(0, opened, "a pseudo-terminal");
        // SAFETY: openpty made both descriptors, and no other owner has them.
        let (master, slave) = unsafe { (File::from_raw_fd(master), File::from_raw_fd(slave)) };
        let stream = || Stdio::from(slave.try_clone().expect("a descriptor"));
        command.stdin(stream()).stdout(stream()).stderr(stream());
        child::inherit_only_standard_streams(&mut command);
        // SAFETY: setsid and ioctl are async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                libc::setsid();
                libc::ioctl(0, libc::TIOCSCTTY, 0);
                Ok(())
            })
        };
        let running = command.spawn().expect("the program starts");
        drop(command);
        drop(slave);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut screen, seen) = (master.try_clone().expect("a descriptor"), Arc::clone(&shown));
        let reader = thread::spawn(move || {
            let mut block = [0; 4096];
            // Reading fails (EIO) once no process has the other side open.
            while let Ok(len @ 1..) = screen.read(&mut block) {
                seen.lock().expect("whole at any time").extend_from_slice(&block[..len]);
            }
        });
        OnTerminal { running, master, shown, reader: Some(reader) }
    }

    /// Types.
    pub fn type_in(&mut self, bytes: &[u8]) {
        self.master.write_all(bytes).expect("the terminal takes it");
    }

    /// All that it showed so far.
    pub fn shown(&self) -> String {
        child::escaped(&self.shown.lock().expect("whole at any time"))
    }

    /// Waits until it has shown `text`.
    ///
    /// # Panics
    /// If it does not.
    pub fn wait_for(&self, text: &str) {
        wait_until(text, || self.shown().contains(text));
    }

    /// Waits for the program's end; gives all that it showed.
    ///
    /// # Panics
    /// If it does not end, or something else holds the terminal.
    pub fn finish(mut self) -> (Status, String) {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.running.try_wait().expect("it is our child") {
                break Status::from(status);
            }
            assert!(
                started.elapsed() < child::DEADLINE / 3,
                "{:?} did not end: {}",
                self.running,
                self.shown()
            );
            thread::sleep(Duration::from_millis(5));
        };
        let reader = self.reader.take();
        wait_until("the end of the terminal", || reader.as_ref().is_none_or(JoinHandle::is_finished));
        (status, self.shown())
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = self.running.kill();
        let _ = self.running.wait();
    }
}
