//! `glassbox attach PID`: puts the sensor into a program that runs already.
//!
//! First, [`target`] looks for reasons against it. Then [`thread`] stops one thread between two system calls,
//! makes it call dlopen(3) with the sensor's path and then the sensor's entry point, and puts it back exactly
//! as it was; the other threads run on. The loader and the sensor run there as part of the program: nothing
//! is written into its code.
//!
//! With `--notify` the thread first puts its process under a filter ([`graft`]), in static programs too; the
//! process that has it do so stays as the supervisor ([`aside`]).

mod aside;
mod calls;
mod entry;
mod filters;
mod graft;
mod machine;
mod ptrace;
pub mod target;
mod thread;
mod tracee;

use notify::Level;

use self::entry::{cost, enter};
use self::target::{Request, Target};
use self::thread::Thread;
use crate::launch::Notify;
use crate::shell::failure::Failure;
use crate::shell::failure::say;
use crate::shell::socket::{self, Name};

/// Makes a process report to the collector; gives the exit status.
pub fn attach(request: Request, notify: Notify) -> Result<u8, Failure> {
    let request = Request { socket: absolute(request.socket)?, ..request };
    let is_asked = notify.level != Level::Off;
    if is_asked && let Some(status) = aside::attach(&request, notify)? {
        return Ok(status);
    }
    let target = Target::examine(request.pid, &request.sensor)?;
    target.door().map_err(|kept| target.refusal(&kept.message))?;
    socket::ask_health(&request.socket)?;
    put_in(&target, &request.socket)?;
    Ok(0)
}

/// The socket's name in a form that does not depend on the current directory.
fn absolute(name: Name) -> Result<Name, Failure> {
    match name {
        Name::Path(path) => std::path::absolute(&path).map(Name::Path).map_err(|error| {
            Failure::usage(format!(
                "cannot tell where '{}' is: {error}; give an absolute path",
                path.display()
            ))
        }),
        Name::Abstract(_) => Ok(name),
    }
}

/// Puts the sensor into a process, and says so.
fn put_in(target: &Target, socket: &Name) -> Result<(), Failure> {
    let door = target.door().map_err(|kept| target.refusal(&kept.message))?;
    let stood = Thread::with_one_of(target, |stopped| enter(target, door, stopped, &socket.spelling()))??;
    say(&format!("{} is seen from now on; {}", target.name(), cost(stood)));
    Ok(())
}
