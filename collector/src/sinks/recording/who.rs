//! A process image in a recording: written, and read back.

use std::sync::Arc;

use super::input::Input;
use super::varints::unsigned;
use super::{WITH_PROGRAMS, WITH_USERS_INSIDE};
use crate::container::Container;
use crate::event::{Claimed, Program, Who};
use crate::ids::Pid;

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
    Some(Who { program, ppid, uid, euid, pid_ns, uid_inside, mnt_ns, container, claimed, claimant })
}
