//! Looks backward from a system call instruction for the numbers that its register can hold.
//!
//! A path is followed over instructions, direct jumps, and from a function's beginning to its direct callers,
//! as long as the value can be followed from place to place. musl, and glibc from 2.41 on, make all calls at
//! which a thread can be cancelled by one instruction, to which functions pass the number as an argument.

use std::collections::{BTreeSet, HashSet};

use super::listing::{Code, Flow, Listing, Origin, Place};
use super::{NUMBERS, Unscannable};

/// The most steps backward from one system call instruction, counting each instruction with a place and each
/// jump that leads there. glibc 2.41 takes 300 at most, and 4 on average.
const MOST_STEPS: usize = 4096;

/// The most steps for all system call instructions of a file; the ones that are left then have no number.
pub(super) const MOST_STEPS_IN_FILE: usize = 500_000;

/// All numbers that some path to the instruction at `site` shows. Takes its steps from `left`.
pub(super) fn numbers<C: Code>(
    listing: &mut Listing<C>,
    site: u64,
    left: &mut usize,
) -> Result<BTreeSet<u32>, Unscannable> {
    let mut found = BTreeSet::new();
    let mut seen = HashSet::new();
    let enough = left.saturating_sub(MOST_STEPS);
    // What a place holds before the instruction at an address, and the lowest byte if that is set later.
    let mut open = vec![(site, Place::Register(C::NUMBER), None)];
    while let Some((address, place, lowest)) = open.pop() {
        if *left <= enough {
            break;
        }
        *left -= 1;
        if !seen.insert((address, place, lowest)) {
            continue;
        }
        let mut is_function = false;
        if !listing.is_open_entry(address) {
            for source in listing.sources(address)?.into_iter().take(*left - enough) {
                *left -= 1;
                let Some(bytes) = listing.at(source) else { continue };
                match C::step(bytes, source).flow {
                    Flow::Call(_) => {
                        is_function = true;
                        // Where the value is before the caller's return address lies on the stack.
                        match place {
                            Place::Register(_) => open.push((source, place, lowest)),
                            Place::Stack(above) if above >= C::RETURN_BYTES => {
                                open.push((source, Place::Stack(above - C::RETURN_BYTES), lowest));
                            }
                            Place::Stack(_) => {}
                        }
                    }
                    _ => open.push((source, place, lowest)),
                }
            }
        }
        let Some((before, step)) = listing.before(address)? else { continue };
        let Some(bytes) = listing.at(before) else { continue };
        let origin = match step.flow {
            Flow::Jump(_) | Flow::Stop => continue,
            // The function does not return: what follows is the next function.
            Flow::Call(_) if is_function || listing.is_named(address) => continue,
            Flow::Call(_) => match place {
                Place::Register(register) if !C::survives_calls(register) => Origin::Unknown,
                place => Origin::Place(place),
            },
            Flow::Next | Flow::Branch(_) | Flow::SystemCall => C::origin(bytes, before, place),
        };
        match origin {
            Origin::Value(value) => {
                let value = lowest.map_or(value, |lowest| value & !0xff | u64::from(lowest));
                // Fits: below 1024.
                found.extend((value < NUMBERS).then_some(value as u32));
            }
            Origin::Unknown => {}
            Origin::Place(place) => open.push((before, place, lowest)),
            Origin::Either(one, other) => open.extend([(before, one, lowest), (before, other, lowest)]),
            Origin::LowestByte(byte) => open.push((before, place, lowest.or(Some(byte)))),
        }
    }
    Ok(found)
}
