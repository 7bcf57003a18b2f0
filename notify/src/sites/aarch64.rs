//! Instructions of aarch64.
//!
//! Encodings are those of the Arm Architecture Reference Manual, section C4.1.

use super::listing::{Code, Flow, Origin, Place, Step};

/// Instructions of aarch64. Registers are x0 to x30 by number.
pub(super) struct Decoded;

/// `svc #0`
const SUPERVISOR_CALL: u32 = 0xd400_0001;

/// The register number that reads as zero, or means the stack pointer.
const ZERO: u8 = 31;

fn word(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// The register in the five bits from `shift` on.
fn register(word: u32, shift: u32) -> u8 {
    (word >> shift & 31) as u8
}

/// The target of a jump: `bits` bits from `shift` on, signed, times 4, from the instruction on.
fn target(word: u32, shift: u32, bits: u32, address: u64) -> u64 {
    let distance = ((word << (32 - shift - bits)) as i32 >> (32 - bits)) as i64 * 4;
    address.wrapping_add_signed(distance)
}

impl Code for Decoded {
    const CALL_BYTES: u64 = 4;
    const NUMBER: u8 = 8;
    const RETURN_BYTES: i32 = 0;
    const MOST_PREFIXES: u64 = 0;
    const NEAR: u64 = 0;

    fn calls(bytes: &[u8]) -> impl Iterator<Item = usize> {
        let call = SUPERVISOR_CALL.to_le_bytes();
        bytes.windows(4).enumerate().filter(move |(_, word)| **word == call).map(|(index, _)| index)
    }

    /// All jumps. At an address that is no multiple of four there is no instruction.
    fn far_jumps(bytes: &[u8], address: u64, mut visit: impl FnMut(usize, u64)) {
        let first = (address.wrapping_neg() % 4) as usize;
        for (count, word) in bytes.get(first..).unwrap_or_default().chunks_exact(4).enumerate() {
            let index = first + 4 * count;
            let flow = Self::step(word, address.wrapping_add(index as u64)).flow;
            if let Flow::Jump(target) | Flow::Branch(target) | Flow::Call(Some(target)) = flow {
                visit(index, target);
            }
        }
    }

    fn near_jumps(_bytes: &[u8], _address: u64, _target: u64) -> impl Iterator<Item = usize> {
        std::iter::empty()
    }

    fn step(bytes: &[u8], address: u64) -> Step {
        // Code is aligned; the processor runs no other (section D1.8).
        let to_next = 4 - (address % 4) as u8;
        let Some(word) = word(bytes).filter(|_| to_next == 4) else {
            return Step { bytes: to_next, flow: Flow::Stop };
        };
        let flow = match word {
            SUPERVISOR_CALL => Flow::SystemCall,
            // b, bl
            _ if word >> 26 == 0b00_0101 => Flow::Jump(target(word, 0, 26, address)),
            _ if word >> 26 == 0b10_0101 => Flow::Call(Some(target(word, 0, 26, address))),
            // b.cond; cbz and cbnz; tbz and tbnz
            _ if word >> 24 == 0x54 => Flow::Branch(target(word, 5, 19, address)),
            _ if word >> 25 & 0x3f == 0b01_1010 => Flow::Branch(target(word, 5, 19, address)),
            _ if word >> 25 & 0x3f == 0b01_1011 => Flow::Branch(target(word, 5, 14, address)),
            // br, blr, ret, eret, and those with an authenticated address; bit 21 alone means a call
            _ if word >> 25 == 0b110_1011 => match word >> 21 & 3 {
                1 => Flow::Call(None),
                _ => Flow::Stop,
            },
            // udf, brk, hlt
            _ if word >> 16 == 0 || word >> 21 == 0x6a1 || word >> 21 == 0x6a2 => Flow::Stop,
            _ => Flow::Next,
        };
        Step { bytes: 4, flow }
    }

    fn origin(bytes: &[u8], _address: u64, place: Place) -> Origin {
        match (place, word(bytes)) {
            (Place::Register(register), Some(word)) => of_register(word, register),
            // Eight registers pass arguments; a number never lies on the stack.
            _ => Origin::Unknown,
        }
    }

    /// x19 to x29 (Procedure Call Standard for the Arm 64-bit Architecture, section 6.1.1).
    fn survives_calls(register: u8) -> bool {
        (19..=29).contains(&register)
    }
}

/// What a source register holds.
fn of_source(source: u8) -> Origin {
    if source == ZERO { Origin::Value(0) } else { Origin::Place(Place::Register(source)) }
}

fn of_register(word: u32, wanted: u8) -> Origin {
    if !may_write(word, wanted) {
        return Origin::Place(Place::Register(wanted));
    }
    if register(word, 0) != wanted {
        return Origin::Unknown;
    }
    // movz
    if word & 0x7f80_0000 == 0x5280_0000 {
        return Origin::Value(u64::from(word >> 5 & 0xffff) << (16 * (word >> 21 & 3)));
    }
    // mov between registers: orr with the zero register
    if word & 0x7fe0_ffe0 == 0x2a00_03e0 {
        return of_source(register(word, 16));
    }
    // sxtw
    if word & 0xffff_fc00 == 0x9340_7c00 {
        return of_source(register(word, 5));
    }
    // csel
    if word & 0x7fe0_0c00 == 0x1a80_0000 {
        return match (of_source(register(word, 5)), of_source(register(word, 16))) {
            (Origin::Place(one), Origin::Place(other)) => Origin::Either(one, other),
            (Origin::Place(one), _) | (_, Origin::Place(one)) => Origin::Place(one),
            (one, _) => one,
        };
    }
    Origin::Unknown
}

/// Whether the instruction may change the register. Where that is not certain, it may.
fn may_write(word: u32, wanted: u8) -> bool {
    let (first, base, second, status) =
        (register(word, 0), register(word, 5), register(word, 10), register(word, 16));
    let is_vector = word >> 26 & 1 == 1;
    match word >> 25 & 0xf {
        // Branches, exceptions, system.
        0b1010 | 0b1011 => match word {
            SUPERVISOR_CALL => wanted == 0,
            // msr, hints and barriers write none; mrs and sysl do.
            _ if word >> 22 == 0x354 => word >> 21 & 1 == 1 && first == wanted,
            _ => false,
        },
        // Loads and stores.
        0b0100 | 0b0110 | 0b1100 | 0b1110 => match word >> 27 & 7 {
            // Pairs.
            0b101 => {
                let is_load = word >> 22 & 1 == 1;
                let moves_base = word >> 23 & 1 == 1;
                (is_load && !is_vector && (first == wanted || second == wanted))
                    || (moves_base && base == wanted)
            }
            // One register.
            0b111 => {
                let is_store = word >> 22 & 3 == 0;
                let has_offset = word >> 24 & 1 == 1;
                let is_atomic = !has_offset && word >> 21 & 1 == 1 && word >> 10 & 3 == 0;
                let moves_base = !has_offset && word >> 21 & 1 == 0 && word >> 10 & 1 == 1;
                let loads = !is_vector && (!is_store || is_atomic) && first == wanted;
                loads || (moves_base && base == wanted) || (is_atomic && status == wanted)
            }
            // Literals, exclusive, ordered, and of vectors.
            _ => first == wanted || second == wanted || base == wanted || status == wanted,
        },
        // Computation, also of vectors, of which some write a general register.
        _ => first == wanted,
    }
}
