//! `glassbox attach PID`: puts the sensor into a program that runs already.
//!
//! First, [`target`] looks for reasons against it. Then [`thread`] stops one thread between two system calls,
//! makes it call dlopen(3) with the sensor's path and then the sensor's entry point, and puts it back exactly
//! as it was; the other threads run on. The loader and the sensor run there as part of the program: nothing
//! is written into its code.

pub mod target;
#[cfg(target_arch = "x86_64")]
mod thread;

use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use wire::hello::Joined;

use crate::settings;
use crate::shell::failure::{Failure, say};
use crate::shell::sensor_path;
use crate::shell::socket::{self, Name};

use self::target::Target;

/// Makes process `pid` report to the collector that `GLASSBOX_SOCKET` names.
pub fn attach(pid: u32) -> Result<(), Failure> {
    let name = settings::socket()?;
    let target = Target::examine(pid, &sensor_path::find(settings::sensor()?)?)?;
    socket::ask_health(&name)?;
    let (joined, stood) = enter(&target, absolute(&name)?.as_bytes())?;
    match joined {
        Joined::Seen => {
            let program = target.program();
            let stood_ms = stood.as_secs_f64() * 1e3;
            say(&format!("process {pid} ({program}) is seen from now on; one thread of it stood for {stood_ms:.1} ms"));
            Ok(())
        }
        Joined::Already => Err(target.refusal("it has the sensor already; nothing is left to do")),
        Joined::Unseen => Err(target.refusal(
            "the sensor is in it, but reached no collector, or had no descriptor or memory left for a ring; raise its \
             limits, or start it with 'glassbox run'",
        )),
        Joined::NotHere => Err(target.refusal("the sensor cannot read this program; start it with 'glassbox run'")),
    }
}

/// The socket's name in a form that does not depend on the current directory.
fn absolute(name: &Name) -> Result<std::ffi::OsString, Failure> {
    match name {
        Name::Path(path) => std::path::absolute(path).map(Into::into).map_err(|error| {
            Failure::usage(format!(
                "cannot tell where '{}' is: {error}; give an absolute path",
                path.display()
            ))
        }),
        Name::Abstract(_) => Ok(name.spelling()),
    }
}

#[cfg(target_arch = "x86_64")]
fn enter(target: &Target, socket: &[u8]) -> Result<(Joined, Duration), Failure> {
    use self::thread::Thread;

    let mut stopped = Thread::stop_one_of(target)?;
    let path = target.sensor().as_os_str().as_bytes();
    let handle = stopped.call(target.dlopen(), &[path], libc::RTLD_NOW as u64 | target.dlopen_flags())?;
    if handle == 0 {
        let reason = target.dlerror().and_then(|dlerror| {
            let message = stopped.call(dlerror, &[], 0).ok().filter(|message| *message != 0)?;
            stopped.text(message)
        });
        let reason = reason.unwrap_or_else(|| "its loader does not say why".to_owned());
        return Err(target
            .refusal(&format!("its loader refuses the sensor ({reason}); start it with 'glassbox run'")));
    }
    let joined = stopped.call(target.entry()?, &[socket], 0)?;
    let stood = stopped.go_on();
    let joined = Joined::from_number(joined & 0xffff_ffff).ok_or_else(|| {
        target.refusal("the sensor there gave no answer that this glassbox knows; use the sensor beside it")
    })?;
    Ok((joined, stood))
}

#[cfg(not(target_arch = "x86_64"))]
fn enter(target: &Target, _socket: &[u8]) -> Result<(Joined, Duration), Failure> {
    Err(target.refusal("this is known for x86_64 only; start it with 'glassbox run'"))
}
