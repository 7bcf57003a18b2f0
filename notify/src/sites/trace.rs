//! Looks backward from a system call instruction for the numbers that its register can hold.
//!
//! A path is followed over instructions, direct jumps, and from a function's beginning to its direct callers,
//! as long as the value can be followed from place to place. musl, and glibc from 2.41 on, make all calls at
//! which a thread can be cancelled by one instruction, to which functions pass the number as an argument.

use std::collections::{BTreeSet, HashSet};

use super::NUMBERS;
use super::listing::{Code, Flow, Listing, Origin, Place};

/// The most pairs of instruction and place that are looked at for one system call instruction. glibc 2.36
/// takes 40 on average.
const MOST_STEPS: usize = 50_000;

/// All numbers that some path to the instruction at `site` shows.
pub(super) fn numbers<C: Code>(listing: &Listing<C>, site: u64) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut seen = HashSet::new();
    // What a place holds before the instruction at an address.
    let mut open = vec![(site, Place::Register(C::NUMBER))];
    while let Some((address, place)) = open.pop() {
        if !seen.insert((address, place)) || seen.len() > MOST_STEPS {
            continue;
        }
        let mut is_function = false;
        if !listing.is_open_entry(address) {
            for source in listing.sources(address) {
                let Some(bytes) = listing.at(source) else { continue };
                match C::step(bytes, source).flow {
                    Flow::Call(_) => {
                        is_function = true;
                        // Where the value is before the caller's return address lies on the stack.
                        match place {
                            Place::Register(_) => open.push((source, place)),
                            Place::Stack(above) if above >= C::RETURN_BYTES => {
                                open.push((source, Place::Stack(above - C::RETURN_BYTES)));
                            }
                            Place::Stack(_) => {}
                        }
                    }
                    _ => open.push((source, place)),
                }
            }
        }
        let Some((before, step)) = listing.before(address) else { continue };
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
            Origin::Value(value) if value < NUMBERS => {
                // Fits: below 1024.
                found.insert(value as u32);
            }
            Origin::Value(_) | Origin::Unknown => {}
            Origin::Place(place) => open.push((before, place)),
            Origin::Either(one, other) => open.extend([(before, one), (before, other)]),
        }
    }
    found
}
