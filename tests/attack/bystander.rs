//! The innocent program beside an attack: `bystander FOLDER NAME COUNT MILLISECONDS` opens FOLDER/NAME so
//! many times, evenly over that time, and every second time relative to a descriptor of FOLDER.

use std::ffi::CString;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, folder, name, count, milliseconds] = arguments.as_slice() else { panic!("wrong arguments") };
    let number = |text: &str| text.parse::<u32>().expect("a number");
    let (count, milliseconds) = (number(count), number(milliseconds));
    let directory = std::fs::File::open(folder).expect("the folder");
    let whole = CString::new(format!("{folder}/{name}")).expect("no NUL");
    let relative = CString::new(name.as_str()).expect("no NUL");
    let start = Instant::now();
    for done in 0..count {
        let (base, path) = match done % 2 {
            0 => (libc::AT_FDCWD, &whole),
            _ => (directory.as_raw_fd(), &relative),
        };
        // SAFETY: a string ended by a NUL; the descriptor is closed once.
        unsafe {
            let fd = libc::openat(base, path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
            assert!(fd >= 0, "the file");
            libc::close(fd);
        }
        let due = Duration::from_millis(u64::from(milliseconds)) * (done + 1) / count;
        let early = due.saturating_sub(start.elapsed());
        if early > Duration::from_millis(1) {
            std::thread::sleep(early);
        }
    }
}
