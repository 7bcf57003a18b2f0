//! A process image in a recording: written, and read back.

use std::sync::Arc;

use super::input::Input;
use super::varints::{bytes, unsigned};
use super::{WITH_FACTS, WITH_PROGRAMS, WITH_USERS_INSIDE};
use crate::container::Container;
use crate::event::{
    Background, Circumstances, Claimed, Mount, Names, Place, Pod, Program, Surroundings, Who,
};
use crate::ids::{Pid, UtcNs};

/// Bits of an image's first byte.
mod knows {
    pub const PPID: u8 = 1;
    pub const UID: u8 = 2;
    pub const EUID: u8 = 4;
    pub const PID_NS: u8 = 8;
    pub const CONTAINER: u8 = 16;
    pub const CLAIMED: u8 = 32;
    pub const UID_INSIDE: u8 = 64;
    pub const MNT_NS: u8 = 128;
}

/// Bits of the byte before its circumstances.
mod also_knows {
    pub const CWD: u8 = 1;
    pub const EGID: u8 = 2;
    pub const USER: u8 = 4;
    pub const GROUP: u8 = 8;
    pub const BACKGROUND: u8 = 16;
    pub const HOST: u8 = 32;
    pub const SANDBOX: u8 = 64;
    pub const MORE: u8 = 128;
}

/// Bits of the byte behind its circumstances, where there are more.
mod even_knows {
    pub const LOGIN: u8 = 1;
    pub const POD: u8 = 2;
    pub const SURROUNDINGS: u8 = 4;
}

const NAMELESS: Names = Names { user: None, group: None, login: None };

/// Appends an image, whose program and container have these places in their lists.
pub fn write(who: &Who, program: u64, container: Option<u64>, out: &mut Vec<u8>) {
    let bit = |is_known: bool, bit: u8| if is_known { bit } else { 0 };
    out.push(
        bit(who.ppid.is_some(), knows::PPID)
            | bit(who.uid.is_some(), knows::UID)
            | bit(who.euid.is_some(), knows::EUID)
            | bit(who.pid_ns.is_some(), knows::PID_NS)
            | bit(container.is_some(), knows::CONTAINER)
            | bit(!who.claimed.is_empty(), knows::CLAIMED)
            | bit(who.uid_inside.is_some(), knows::UID_INSIDE)
            | bit(who.mnt_ns.is_some(), knows::MNT_NS),
    );
    unsigned(program, out);
    let small = |number: Option<u32>| number.map(u64::from);
    let numbers =
        [small(who.ppid.map(|ppid| ppid.0)), small(who.uid), small(who.euid), who.pid_ns, container];
    for number in numbers.into_iter().flatten() {
        unsigned(number, out);
    }
    if !who.claimed.is_empty() {
        unsigned(who.claimed.bits().into(), out);
        unsigned(who.claimant, out);
    }
    for number in [small(who.uid_inside), who.mnt_ns].into_iter().flatten() {
        unsigned(number, out);
    }
    let Circumstances { cwd, egid, names, place, background, surroundings, pod } = &who.circumstances;
    let Names { user, group, login } = names.as_deref().unwrap_or(&NAMELESS);
    let more = bit(login.is_some(), even_knows::LOGIN)
        | bit(pod.is_some(), even_knows::POD)
        | bit(surroundings.is_some(), even_knows::SURROUNDINGS);
    out.push(
        bit(!cwd.is_empty(), also_knows::CWD)
            | bit(egid.is_some(), also_knows::EGID)
            | bit(user.is_some(), also_knows::USER)
            | bit(group.is_some(), also_knows::GROUP)
            | bit(background.is_some(), also_knows::BACKGROUND)
            | bit(*place == Place::Host, also_knows::HOST)
            | bit(*place == Place::Sandbox, also_knows::SANDBOX)
            | bit(more != 0, also_knows::MORE),
    );
    if !cwd.is_empty() {
        bytes(cwd, out);
    }
    if let Some(egid) = egid {
        unsigned((*egid).into(), out);
    }
    for name in [user, group].into_iter().flatten() {
        bytes(name.as_bytes(), out);
    }
    if let Some(background) = background {
        write_background(background, out);
    }
    if more != 0 {
        out.push(more);
    }
    if let Some(login) = login {
        bytes(login.as_bytes(), out);
    }
    if let Some(pod) = pod {
        let Pod { uid, name, namespace } = &**pod;
        [uid, name, namespace].into_iter().for_each(|text| bytes(text.as_bytes(), out));
    }
    if let Some(surroundings) = surroundings {
        write_surroundings(surroundings, out);
    }
}

/// Reads an image of a file of this version; `None` where its bytes are none.
pub fn read(
    input: &mut Input<'_>,
    version: u8,
    programs: &[Arc<Program>],
    containers: &[Arc<Container>],
) -> Option<Who> {
    let bits = input.byte()?;
    let has = |bit| bits & bit != 0;
    let program = match version {
        WITH_PROGRAMS.. => Arc::clone(programs.get(input.count()?)?),
        _ => Program::new(Pid(input.small()?), input.bytes()?.into(), Arc::default(), None),
    };
    let small = |input: &mut Input<'_>, bit| if has(bit) { input.small().map(Some) } else { Some(None) };
    let large = |input: &mut Input<'_>, bit| if has(bit) { input.unsigned().map(Some) } else { Some(None) };
    let ppid = small(input, knows::PPID)?.map(Pid);
    let (uid, euid) = (small(input, knows::UID)?, small(input, knows::EUID)?);
    let pid_ns = large(input, knows::PID_NS)?;
    let container = match has(knows::CONTAINER) {
        true => Some(Arc::clone(containers.get(input.count()?)?)),
        false => None,
    };
    let (claimed, claimant) = match (has(knows::CLAIMED), version) {
        (false, _) => (0, 0),
        (true, WITH_USERS_INSIDE..) => (input.small()?.try_into().ok()?, input.unsigned()?),
        (true, _) => (input.byte()?.into(), input.unsigned()?),
    };
    let (uid_inside, mnt_ns) = match version {
        WITH_USERS_INSIDE.. => (small(input, knows::UID_INSIDE)?, large(input, knows::MNT_NS)?),
        _ => (None, None),
    };
    let claimed = Claimed::from_bits(claimed);
    let circumstances = match version {
        WITH_FACTS.. => circumstances(input)?,
        _ => Circumstances::default(),
    };
    Some(Who {
        program,
        ppid,
        uid,
        euid,
        pid_ns,
        uid_inside,
        mnt_ns,
        container,
        claimed,
        circumstances,
        claimant,
    })
}

fn circumstances(input: &mut Input<'_>) -> Option<Circumstances> {
    let bits = input.byte()?;
    let has = |bit| bits & bit != 0;
    let cwd = if has(also_knows::CWD) { input.bytes()?.into() } else { Arc::default() };
    let egid = if has(also_knows::EGID) { Some(input.small()?) } else { None };
    let mut name = |bit| match has(bit) {
        true => Some(Some(Arc::from(std::str::from_utf8(input.bytes()?).ok()?))),
        false => Some(None),
    };
    let (user, group) = (name(also_knows::USER)?, name(also_knows::GROUP)?);
    let background = match has(also_knows::BACKGROUND) {
        true => Some(Arc::new(read_background(input)?)),
        false => None,
    };
    let place = match (has(also_knows::HOST), has(also_knows::SANDBOX)) {
        (true, _) => Place::Host,
        (false, true) => Place::Sandbox,
        (false, false) => Place::Unknown,
    };
    let more = if has(also_knows::MORE) { input.byte()? } else { 0 };
    let login = match more & even_knows::LOGIN {
        0 => None,
        _ => Some(Arc::from(text(input)?)),
    };
    let names = Names { user, group, login };
    let names = (names != NAMELESS).then(|| Arc::new(names));
    let pod = match more & even_knows::POD {
        0 => None,
        _ => {
            let (uid, name, namespace) = (text(input)?, text(input)?, text(input)?);
            Some(Arc::new(Pod { uid: uid.into(), name: name.into(), namespace: namespace.into() }))
        }
    };
    let surroundings = match more & even_knows::SURROUNDINGS {
        0 => None,
        _ => Some(Arc::new(read_surroundings(input)?)),
    };
    Some(Circumstances { cwd, egid, names, place, background, surroundings, pod })
}

fn text<'a>(input: &mut Input<'a>) -> Option<&'a str> {
    std::str::from_utf8(input.bytes()?).ok()
}

/// Appends what is known of a container; truths that may be missing are 0, or counted from 1.
fn write_surroundings(surroundings: &Surroundings, out: &mut Vec<u8>) {
    let Surroundings { is_privileged, is_exe_added, mounts } = surroundings;
    out.extend([is_privileged, is_exe_added].map(|truth| truth.map_or(0, |truth| u8::from(truth) + 1)));
    unsigned(mounts.as_ref().map_or(0, |mounts| mounts.len() as u64 + 1), out);
    for Mount { source, place, is_writable } in mounts.iter().flat_map(|mounts| mounts.iter()) {
        bytes(source, out);
        bytes(place, out);
        out.push((*is_writable).into());
    }
}

fn read_surroundings(input: &mut Input<'_>) -> Option<Surroundings> {
    let mut truth = || input.byte().map(|byte| byte.checked_sub(1).map(|truth| truth != 0));
    let (is_privileged, is_exe_added) = (truth()?, truth()?);
    let mounts = match input.unsigned()?.checked_sub(1) {
        None => None,
        Some(count) => {
            let mut mounts = Vec::new();
            for _ in 0..count {
                let (source, place) = (input.bytes()?.into(), input.bytes()?.into());
                mounts.push(Mount { source, place, is_writable: input.byte()? != 0 });
            }
            Some(mounts.into())
        }
    };
    Some(Surroundings { is_privileged, is_exe_added, mounts })
}

/// Appends what the kernel said; numbers that may be missing are counted from 1.
fn write_background(background: &Background, out: &mut Vec<u8>) {
    let Background { tty, session, own_group, own_session, started, login, capabilities } = background;
    let or_none = |number: &Option<u32>| number.map_or(0, |number| u64::from(number) + 1);
    let numbers = [u64::from(*tty), u64::from(*session), started.0];
    let missing = [or_none(own_group), or_none(own_session), or_none(login), capabilities.is_some().into()];
    let sets = capabilities.iter().flatten().copied();
    numbers.into_iter().chain(missing).chain(sets).for_each(|number| unsigned(number, out));
}

fn read_background(input: &mut Input<'_>) -> Option<Background> {
    let (tty, session, started) = (input.small()?, input.small()?, UtcNs(input.unsigned()?));
    let mut or_none =
        || input.unsigned()?.checked_sub(1).map_or(Some(None), |number| number.try_into().ok().map(Some));
    let (own_group, own_session, login) = (or_none()?, or_none()?, or_none()?);
    let capabilities = match input.unsigned()? {
        0 => None,
        _ => Some([input.unsigned()?, input.unsigned()?, input.unsigned()?]),
    };
    Some(Background { tty, session, own_group, own_session, started, login, capabilities })
}
