//! The sensor's way in: a stopped thread loads it and calls its entry point.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use wire::hello::Joined;

use super::target::{Door, Target};
use super::thread::Thread;
use crate::shell::failure::Failure;

/// How long the program was held up.
pub fn cost(stood: Duration) -> String {
    format!("one thread of it stood for {:.1} ms", stood.as_secs_f64() * 1e3)
}

/// Has a stopped thread load the sensor and connect it to `socket`, and lets it go on; gives how long it
/// stood.
pub fn enter(
    target: &Target,
    door: Door,
    mut stopped: Thread,
    socket: &OsString,
) -> Result<Duration, Failure> {
    let path = target.sensor().as_os_str().as_bytes();
    let handle = stopped.call(door.dlopen, &[path], libc::RTLD_NOW as u64 | door.dlopen_flags)?;
    if handle == 0 {
        let reason = door.dlerror.and_then(|dlerror| {
            let message = stopped.call(dlerror, &[], 0).ok().filter(|message| *message != 0)?;
            stopped.text(message)
        });
        let reason = reason.unwrap_or_else(|| "its loader does not say why".to_owned());
        return Err(target
            .refusal(&format!("its loader refuses the sensor ({reason}); start it with 'glassbox run'")));
    }
    let joined = stopped.call(target.entry()?, &[socket.as_bytes()], 0)?;
    let stood = stopped.go_on();
    match Joined::from_number(joined & 0xffff_ffff) {
        Some(Joined::Seen) => Ok(stood),
        Some(Joined::Already) => Err(target.refusal("it has the sensor already; nothing is left to do")),
        Some(Joined::Unseen) => Err(target.refusal(
            "the sensor is in it, but reached no collector, or had no descriptor or memory left for a ring; raise its \
             limits, or start it with 'glassbox run'",
        )),
        Some(Joined::NotHere) => {
            Err(target.refusal("the sensor cannot read this program; start it with 'glassbox run'"))
        }
        None => Err(target.refusal(
            "the sensor there gave no answer that this glassbox knows; use the sensor beside it",
        )),
    }
}
