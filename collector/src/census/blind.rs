//! Programs that were executed and never said hello: why the sensor is not in them.
//!
//! A parent's `process.exec` is the only sign of such a program. When its process goes on without a hello, or
//! ends without one, `sensor.blind` says so, with the reason that the file tells, or the process's
//! environment.
//!
//! The questions here are asked by the [`crate::system::examiner`]: the paths come from records.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::executions::Execution;
use super::image::Asked;
use super::register::Census;
use crate::allowance::Account;
use crate::door::identity::Identity;
use crate::enrich::blind::{self, BlindProgram, ENV_CLEARED};
use crate::ids::{ImageId, MonoNs, RingIndex};
use crate::launch::protocol::RingId;
use crate::rings::Rings;
use crate::system::files::On;
use crate::system::kernel;
use crate::system::procfs;
use crate::system::program::{Program, Root};

/// A program that did not say hello within this time after its exec may be blind.
pub(super) const HELLO_NS: u64 = 500_000_000;

/// Why the sensor is not in the process `pid`, which executed `exe`: the `reason` of `sensor.blind`. `pid` is
/// `None` where the kernel does not say the process's number. Not `is_here` where the process is in another
/// pid namespace: a file of this name here would be another one. `said` is the reason that the process itself
/// knows.
pub fn reason_of(exe: &[u8], pid: Option<u32>, is_here: bool, said: Option<&'static str>) -> &'static str {
    let reason = if is_here { reason(Path::new(OsStr::from_bytes(exe)), pid) } else { UNREADABLE };
    said.filter(|_| matches!(reason, UNKNOWN | GONE | UNREADABLE | ENV_CLEARED | ENV_CROWDED))
        .unwrap_or(reason)
}

/// Why a sensor cannot be in the program at `path`. `pid` is the process that runs it, where that can be
/// looked at.
pub fn reason(path: &Path, pid: Option<u32>) -> &'static str {
    let program_at = |path: &Path| Program::on(path, &Root::own(), On::Local);
    // The path is the one that the process's own root shows: here it may lead to another file.
    let running = pid.and_then(|pid| program_at(format!("/proc/{pid}/exe").as_ref()));
    let reason = running.or_else(|| program_at(path)).map(|program| program.reason);
    match reason.filter(|reason| reason.explains_silence) {
        Some(reason) => reason.name,
        None => pid.map_or(UNKNOWN, reason_of_process),
    }
}

/// Why a process is silent whose program could have loaded the sensor.
fn reason_of_process(pid: u32) -> &'static str {
    let Some(environment) = procfs::environment(pid) else { return GONE };
    let has = |wanted: fn(&[u8]) -> bool| environment.split(|byte| *byte == 0).any(wanted);
    if !has(|variable| variable.starts_with(b"LD_PRELOAD=")) {
        // A program may write over it (setproctitle(3bsd)).
        let is_whole = !has(|variable| !variable.is_empty() && !variable.contains(&b'='));
        let len = environment.len() + procfs::command_line_len(pid);
        return match is_whole {
            true if len >= CROWDED_BYTES => ENV_CROWDED,
            true => ENV_CLEARED,
            false => UNKNOWN,
        };
    }
    if has(|variable| variable == b"GLASSBOX=off") {
        return SWITCHED_OFF;
    }
    let is_elsewhere = procfs::is_in_our_user_namespace(pid).is_some_and(|is_in_ours| !is_in_ours);
    if is_elsewhere { USER_NAMESPACE } else { UNKNOWN }
}

/// The reason why no sensor ever says anything in the program at `path`.
fn mute(path: &Path) -> Option<&'static str> {
    let reason = Program::on(path, &Root::own(), On::Local)?.reason;
    (reason.explains_silence && blind::is_mute(reason.name)).then_some(reason.name)
}

impl Census {
    /// The image of a process that said `said`, as it was before any ring that the doorman numbered
    /// `next_ring` or later. `None` where the kernel does not say that they are one process.
    pub fn image_before_hello(&self, said: &Identity, next_ring: RingId, rings: &Rings) -> Option<ImageId> {
        let mut id = self.live(said.key).filter(|_| self.is_of_live(said))?;
        let is_later = |ring: RingIndex| rings.get(ring).is_some_and(|ring| ring.id >= next_ring);
        while self.get(id)?.ring.is_some_and(is_later) {
            id = self.before(id)?;
        }
        Some(id)
    }

    /// Whether the kernel says that the process with the number is the one that said `said`.
    pub fn is_of_live(&self, said: &Identity) -> bool {
        let live = self.live(said.key).and_then(|live| self.get(live));
        said.instance.is_some() && live.is_some_and(|live| live.instance == said.instance)
    }

    /// Whether an image has asked, a moment ago, for a program that may turn out to be mute.
    pub fn may_become_mute(&self, id: ImageId, now: MonoNs) -> bool {
        let asked = self.get(id).filter(|image| image.end.is_none()).and_then(|image| image.asked.as_ref());
        let is_last = || self.get(id).is_some_and(|image| self.live(image.key) == Some(id));
        asked.is_some_and(|asked| now.since(asked.at) < HELLO_NS) && is_last()
    }

    /// The mute program that an image asked for and has become, as far as its file tells at once: it never
    /// says hello.
    pub fn take_mute(&mut self, id: ImageId, rings: &Rings) -> Option<BlindProgram> {
        let reason = self.has_become_mute(id, rings)?;
        let image = self.get_mut(id)?;
        if image.asked.as_ref()?.executed.as_ref().is_some_and(Execution::is_unseen) {
            return self.take_executed(id);
        }
        let Asked { path, arguments, at, .. } = image.take_asked(|_| true)?;
        let exe = procfs::exe(image.key.pid.0).unwrap_or_else(|| path.to_vec());
        let (gids, is_asked_about) = (procfs::gids(image.key.pid.0), image.is_asked_about);
        let environment = Vec::new();
        Some(BlindProgram { path, exe, arguments, reason, gids, environment, at, is_asked_about })
    }

    /// The mute program that an image asked for before a call that no hook told of: it has become that
    /// program, and may have become another one since.
    pub fn take_mute_before(&mut self, id: ImageId) -> Option<BlindProgram> {
        let known = self.get_mut(id)?;
        if let Some((reason, exe)) = known.named.clone()
            && known.asked.as_ref()?.executed.is_none()
            && let Some(Asked { path, arguments, at, .. }) =
                known.take_asked(|asked| asked.said.is_none() || blind::is_mute(reason))
        {
            let pid = known.key.is_visible().then_some(known.key.pid.0);
            let exe = if exe.is_empty() { path.to_vec() } else { exe };
            let gids = pid.and_then(procfs::gids);
            let (environment, is_asked_about) = (Vec::new(), true);
            return Some(BlindProgram {
                path,
                exe,
                arguments,
                reason,
                gids,
                environment,
                at,
                is_asked_about,
            });
        }
        let image = self.get(id)?;
        let (asked, process) = (image.asked.as_ref()?, image.process.as_ref()?);
        if let Some(executed) = &asked.executed {
            return match executed.has_begun {
                // Its next program may be in the place of it.
                Some(true) if executed.is_unseen() => self.take_executed(id),
                _ => None,
            };
        }
        let begun = MonoNs::now();
        if asked.said.is_some() || !process.has_our_root() || !image.account.has_time_to_ask(begun) {
            return None;
        }
        let reason = mute(Path::new(OsStr::from_bytes(&asked.path)));
        let exe = asked.path.to_vec();
        image.account.asked(begun, MonoNs::now());
        let reason = reason?;
        let (gids, is_asked_about) = (procfs::gids(image.key.pid.0), image.is_asked_about);
        let Asked { path, arguments, at, .. } = self.get_mut(id)?.take_asked(|_| true)?;
        let environment = Vec::new();
        Some(BlindProgram { path, exe, arguments, reason, gids, environment, at, is_asked_about })
    }

    /// The program that an image asked for, as its file told, and has become.
    pub(super) fn take_executed(&mut self, id: ImageId) -> Option<BlindProgram> {
        self.look_behind_again(id);
        let image = self.get_mut(id)?;
        let is_asked_about = image.is_asked_about;
        let Asked { path, arguments, at, executed, .. } = image.take_asked(|_| true)?;
        let Execution { program, .. } = executed?;
        let gids = if image.key.is_visible() { procfs::gids(image.key.pid.0) } else { None };
        let exe = if program.exe.is_empty() { path.to_vec() } else { program.exe };
        let (reason, environment) = (program.reason, program.environment);
        Some(BlindProgram { path, exe, arguments, reason, gids, environment, at, is_asked_about })
    }

    /// The reason of the mute program that a process runs, another file than before, where no image follows
    /// this one; or that it asked for, is dead, and told of nothing since, as of an exec that failed.
    fn has_become_mute(&self, id: ImageId, rings: &Rings) -> Option<&'static str> {
        let begun = MonoNs::now();
        let image = self.get(id).filter(|image| self.live(image.key) == Some(image.id))?;
        let (asked, process) = (image.asked.as_ref()?, image.process.as_ref()?);
        if let Some(executed) = &asked.executed {
            let is_dead = image.pidfd.as_ref().is_none_or(kernel::is_dead);
            // Of one that is gone, nothing but its file tells.
            let has_begun = if is_dead { executed.has_begun } else { executed.has_begun_in(image.key.pid.0) };
            let has_begun = has_begun.unwrap_or(is_dead);
            let is_known = executed.is_unseen() || !executed.program.exe.is_empty();
            if is_known || !has_begun {
                return (has_begun && executed.is_unseen()).then_some(executed.program.reason);
            }
        }
        let is_here = image.key.is_visible() && !image.key.is_claim();
        if !is_here || asked.said.is_some() || !image.account.has_time_to_ask(begun) {
            return None;
        }
        let reason = match image.pidfd.as_ref().is_none_or(kernel::is_dead) {
            true => {
                let has_told_all =
                    || self.brief_books(id, rings).is_none_or(|books| image.missing(&books) == 0);
                // Its path leads elsewhere in another root.
                let path = Path::new(OsStr::from_bytes(&asked.path));
                (process.has_our_root() && has_told_all()).then(|| mute(path)).flatten()
            }
            false => {
                let image_of = format!("/proc/{}/exe", image.key.pid.0);
                image.runs_another_file().then(|| mute(image_of.as_ref())).flatten()
            }
        };
        image.account.asked(begun, MonoNs::now());
        reason
    }

    /// Why a sensor cannot be in the program at `path`, which the launcher started.
    pub fn reason_at(&mut self, path: &[u8]) -> &'static str {
        let path = path.to_vec();
        let look = move || reason(Path::new(OsStr::from_bytes(&path)), None);
        self.examiner.ask(&Account::boundless(), look).unwrap_or(UNREADABLE)
    }
}

/// It could have loaded the sensor, and did not.
pub const UNKNOWN: &str = "not_loaded";
/// It ended before it said anything, and before it could be looked at: killed as it began, or its loader
/// failed.
const GONE: &str = "gone";
/// Its environment does not ask for the sensor, and is so long that the hook of its exec may have left our
/// variables out: with them it might not have fitted (`is_crowded` in src/start/environ.rs).
const ENV_CROWDED: &str = "env_crowded";
/// Arguments and environment of less are never too long.
const CROWDED_BYTES: usize = 20 << 10;
/// Its environment switches the sensor off.
const SWITCHED_OFF: &str = "switched_off";
/// It is in a user namespace, in which it could not find out whose the collector is.
const USER_NAMESPACE: &str = "user_namespace";
/// Its file cannot be looked at.
pub const UNREADABLE: &str = "unreadable";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use std::path::PathBuf;
    use std::process::Command;

    use super::*;

    fn written(name: &str, bytes: &[u8], mode: u32) -> PathBuf {
        let path = std::env::temp_dir().join(format!("glassbox-blind-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn reason_of(name: &str, bytes: &[u8], mode: u32) -> &'static str {
        let path = written(name, bytes, mode);
        let reason = reason(&path, None);
        std::fs::remove_file(path).unwrap();
        reason
    }

    /// An executable's beginning with one program header of this kind.
    fn elf(class: u8, header_kind: u32) -> Vec<u8> {
        let mut bytes = vec![0; 120];
        bytes[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1, 1]);
        bytes[16] = 2;
        let machine: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 1;
        bytes[64..68].copy_from_slice(&header_kind.to_le_bytes());
        let loader = b"/bin/true\0";
        bytes[72] = 120;
        bytes[96] = loader.len() as u8;
        bytes.extend_from_slice(loader);
        bytes
    }

    #[test]
    fn a_running_process_says_why_by_its_environment_and_its_namespace() {
        let reason_of = |command: &mut Command| {
            let mut child = command.arg("30").spawn().unwrap();
            // It sleeps once it has begun.
            let sleeps = || {
                let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
                stat.contains("(sleep) S ")
            };
            while !sleeps() {
                std::thread::yield_now();
            }
            let reason = reason_of_process(child.id());
            child.kill().unwrap();
            child.wait().unwrap();
            reason
        };
        let asked = |command: &mut Command| reason_of(command.env("LD_PRELOAD", ""));

        assert_eq!("env_cleared", reason_of(Command::new("/bin/sleep").env_remove("LD_PRELOAD")));
        assert_eq!("env_cleared", reason_of(Command::new("/bin/sleep").env_clear()));
        assert_eq!("switched_off", asked(Command::new("/bin/sleep").env("GLASSBOX", "off")));
        assert_eq!("user_namespace", asked(Command::new("/usr/bin/unshare").args(["-U", "/bin/sleep"])));
        assert_eq!("not_loaded", asked(&mut Command::new("/bin/sleep")));
        let mut dead = Command::new("/bin/true").env("LD_PRELOAD", "").spawn().unwrap();
        while procfs::exe(dead.id()).is_some() {
            std::thread::yield_now();
        }
        assert_eq!("gone", reason_of_process(dead.id()));
        dead.wait().unwrap();
        // No process has this number (kernel/pid.c, PID_MAX_LIMIT).
        assert_eq!("gone", reason_of_process(1 << 22));
    }

    #[test]
    fn file_says_why_the_sensor_is_not_in_it() {
        assert_eq!("static", reason_of("static", &elf(2, 1), 0o755));
        assert_eq!("foreign_libc", reason_of("dynamic", &elf(2, 3), 0o755));
        assert_eq!("setuid", reason_of("setuid", &elf(2, 3), 0o4755));
        assert_eq!("foreign_abi", reason_of("32-bit", &elf(1, 3), 0o755));
        assert_eq!("not_loaded", reason_of("text", b"hello", 0o755));
        assert_eq!("not_loaded", reason(Path::new("/nonexistent"), None));
    }

    #[test]
    fn script_is_what_its_interpreter_is() {
        let program = written("interpreter", &elf(2, 1), 0o755);

        let reason = reason_of("script", format!("#! {} -x\n", program.display()).as_bytes(), 0o755);

        assert_eq!("static", reason);
        std::fs::remove_file(program).unwrap();
    }

    #[test]
    fn cut_headers_never_fault() {
        let whole = elf(2, 1);
        for len in 0..whole.len() {
            reason_of("cut", &whole[..len], 0o755);
        }
        let mut wild = elf(2, 1);
        wild[32..40].fill(0xff);
        wild[56..58].fill(0xff);
        assert_eq!("not_loaded", reason_of("wild", &wild, 0o755));
    }
}
