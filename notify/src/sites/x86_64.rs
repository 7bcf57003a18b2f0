//! Instructions of x86_64.

use iced_x86::{
    Code as Opcode, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic,
    OpAccess, OpKind, Register,
};
use memchr::{memchr3_iter, memmem};

use super::listing::{Code, Flow, Origin, Place, Step};

/// Instructions of x86_64. Registers are numbered as in their encoding: rax 0, rcx 1, …, r15 15.
pub(super) struct Decoded;

const RAX: u8 = 0;
const RSP: u8 = 4;

fn decode(bytes: &[u8], address: u64) -> Instruction {
    Decoder::with_ip(64, bytes, address, DecoderOptions::NONE).decode()
}

/// The number of a register of which the lower half at least is meant; none for narrower ones.
fn wide(register: Register) -> Option<u8> {
    (register.is_gpr32() || register.is_gpr64()).then(|| register.number() as u8)
}

impl Code for Decoded {
    const CALL_BYTES: u64 = 2;
    const NUMBER: u8 = RAX;
    const RETURN_BYTES: i32 = 8;
    // The rest of the longest instruction, of 15 bytes.
    const MOST_PREFIXES: u64 = 14;
    // A distance of one byte, -128 to 127, from behind two bytes.
    const NEAR: u64 = 130;

    fn calls(bytes: &[u8]) -> impl Iterator<Item = usize> {
        memmem::find_iter(bytes, &[0x0f, 0x05])
    }

    /// call and jmp, the conditional jumps, and xbegin, with a distance of four bytes. Of xbegin, also with
    /// one of two.
    fn far_jumps(bytes: &[u8], address: u64, mut visit: impl FnMut(usize, u64)) {
        let mut visit_far = |index: usize, opcode_bytes: usize| {
            if let Some(distance) = bytes.get(index + opcode_bytes..).and_then(<[u8]>::first_chunk) {
                let behind = address.wrapping_add((index + opcode_bytes + size_of::<i32>()) as u64);
                visit(index, behind.wrapping_add_signed(i32::from_le_bytes(*distance).into()));
            }
        };
        for index in memchr3_iter(0xe8, 0xe9, 0x0f, bytes) {
            match bytes.get(index..index + 2) {
                Some([0xe8 | 0xe9, _]) => visit_far(index, 1),
                Some([0x0f, 0x80..=0x8f]) => visit_far(index, 2),
                _ => {}
            }
        }
        let xbegins = || memmem::find_iter(bytes, &[0xc7, 0xf8]);
        xbegins().for_each(|index| visit_far(index, 2));
        for index in xbegins() {
            if let Some(distance) = bytes.get(index + 2..).and_then(<[u8]>::first_chunk) {
                let behind = address.wrapping_add((index + 2 + size_of::<i16>()) as u64);
                visit(index, behind.wrapping_add_signed(i16::from_le_bytes(*distance).into()));
            }
        }
    }

    /// The conditional jumps, loop, jrcxz and jmp with a distance of one byte.
    fn near_jumps(bytes: &[u8], address: u64, target: u64) -> impl Iterator<Item = usize> {
        let distance = target.wrapping_sub(address).wrapping_sub(2);
        let leads_there = move |index: usize, byte: u8| {
            // Truncation: the distances that bytes can have differ in their lowest byte.
            byte == distance.wrapping_sub(index as u64) as u8
        };
        bytes.windows(2).enumerate().filter_map(move |(index, pair)| {
            let (opcode, byte) = (pair.first()?, pair.get(1)?);
            let is_jump = matches!(opcode, 0x70..=0x7f | 0xe0..=0xe3 | 0xeb);
            (leads_there(index, *byte) && is_jump).then_some(index)
        })
    }

    fn step(bytes: &[u8], address: u64) -> Step {
        step(&decode(bytes, address))
    }

    /// With one decoder for all, because making one costs as much as an instruction.
    fn sweep(bytes: &[u8], address: u64, mut visit: impl FnMut(usize, Step) -> Option<usize>) {
        let mut decoder = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE);
        let mut instruction = Instruction::default();
        while decoder.can_decode() {
            let index = decoder.position();
            decoder.decode_out(&mut instruction);
            let Some(next) = visit(index, step(&instruction)) else { return };
            if next != decoder.position() {
                if decoder.set_position(next).is_err() {
                    return;
                }
                decoder.set_ip(address + next as u64);
            }
        }
    }

    fn origin(bytes: &[u8], address: u64, place: Place) -> Origin {
        let instruction = decode(bytes, address);
        match place {
            Place::Register(register) => of_register(&instruction, register),
            Place::Stack(above) => of_stack(&instruction, above),
        }
    }

    /// rbx, rsp, rbp, r12 to r15 (System V ABI, AMD64 supplement, figure 3.4).
    fn survives_calls(register: u8) -> bool {
        matches!(register, 3 | 4 | 5 | 12..=15)
    }
}

/// The instruction, as far as the order of instructions goes.
fn step(instruction: &Instruction) -> Step {
    if instruction.is_invalid() {
        return Step { bytes: 1, flow: Flow::Stop };
    }
    let target = || {
        let is_near = matches!(instruction.op0_kind(), OpKind::NearBranch64 | OpKind::NearBranch32);
        is_near.then(|| instruction.near_branch_target())
    };
    let flow = match instruction.flow_control() {
        _ if instruction.code() == Opcode::Syscall => Flow::SystemCall,
        _ if matches!(instruction.mnemonic(), Mnemonic::Hlt | Mnemonic::Int3) => Flow::Stop,
        FlowControl::Next | FlowControl::Interrupt => Flow::Next,
        FlowControl::UnconditionalBranch => target().map_or(Flow::Stop, Flow::Jump),
        FlowControl::ConditionalBranch | FlowControl::XbeginXabortXend => {
            target().map_or(Flow::Next, Flow::Branch)
        }
        FlowControl::Call => Flow::Call(target()),
        FlowControl::IndirectCall => Flow::Call(None),
        _ => Flow::Stop,
    };
    // At most 15.
    Step { bytes: instruction.len() as u8, flow }
}

/// Whether the instruction may change this register, or a part of it.
fn writes(instruction: &Instruction, register: u8) -> bool {
    // The kernel's result; and the interrupt that makes calls of i386.
    let is_result = matches!(instruction.mnemonic(), Mnemonic::Syscall | Mnemonic::Int) && register == RAX;
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info(instruction);
    is_result
        || info.used_registers().iter().any(|used| {
            let is_written = !matches!(used.access(), OpAccess::None | OpAccess::Read | OpAccess::CondRead);
            let full = used.register().full_register();
            is_written && full.is_gpr64() && full.number() == usize::from(register)
        })
}

/// The value that an operand at this index has before the instruction.
fn of_operand(instruction: &Instruction, index: u32) -> Origin {
    match instruction.op_kind(index) {
        OpKind::Register => match wide(instruction.op_register(index)) {
            Some(register) => Origin::Place(Place::Register(register)),
            None => Origin::Unknown,
        },
        OpKind::Memory => match stack_slot(instruction) {
            Some(above) if above >= 0 => Origin::Place(Place::Stack(above)),
            _ => Origin::Unknown,
        },
        OpKind::Immediate32
        | OpKind::Immediate64
        | OpKind::Immediate8to64
        | OpKind::Immediate32to64
        | OpKind::Immediate8to32 => {
            // The kernel takes the lower half for the number.
            Origin::Value(instruction.immediate(index) & 0xffff_ffff)
        }
        _ => Origin::Unknown,
    }
}

/// The distance from the stack pointer of the memory that the instruction names.
fn stack_slot(instruction: &Instruction) -> Option<i32> {
    let is_plain = instruction.memory_base() == Register::RSP && instruction.memory_index() == Register::None;
    is_plain.then(|| instruction.memory_displacement64() as i64).and_then(|above| i32::try_from(above).ok())
}

fn of_register(instruction: &Instruction, register: u8) -> Origin {
    if !writes(instruction, register) {
        return Origin::Place(Place::Register(register));
    }
    if let Some(byte) = lowest_byte(instruction, register) {
        return Origin::LowestByte(byte);
    }
    let is_destination =
        instruction.op0_kind() == OpKind::Register && wide(instruction.op0_register()) == Some(register);
    if !is_destination {
        return Origin::Unknown;
    }
    match instruction.mnemonic() {
        Mnemonic::Mov | Mnemonic::Movsxd => of_operand(instruction, 1),
        Mnemonic::Xor | Mnemonic::Sub
            if instruction.op1_kind() == OpKind::Register
                && instruction.op0_register() == instruction.op1_register() =>
        {
            Origin::Value(0)
        }
        Mnemonic::Pop => Origin::Place(Place::Stack(0)),
        _ if is_conditional_move(instruction.mnemonic()) => match of_operand(instruction, 1) {
            Origin::Place(other) => Origin::Either(Place::Register(register), other),
            _ => Origin::Place(Place::Register(register)),
        },
        _ => Origin::Unknown,
    }
}

/// The byte, if the instruction sets nothing but the lowest byte of the register: musl's `clone` has `mov al,
/// 56`.
fn lowest_byte(instruction: &Instruction, register: u8) -> Option<u8> {
    let destination = instruction.op0_register();
    let is_lowest = destination.is_gpr8()
        && !matches!(destination, Register::AH | Register::BH | Register::CH | Register::DH)
        && destination.full_register().number() == usize::from(register);
    let is_set = instruction.mnemonic() == Mnemonic::Mov && instruction.op1_kind() == OpKind::Immediate8;
    (is_lowest && is_set).then(|| instruction.immediate8())
}

fn is_conditional_move(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(
        mnemonic,
        Cmova
            | Cmovae
            | Cmovb
            | Cmovbe
            | Cmove
            | Cmovg
            | Cmovge
            | Cmovl
            | Cmovle
            | Cmovne
            | Cmovno
            | Cmovnp
            | Cmovns
            | Cmovo
            | Cmovp
            | Cmovs
    )
}

fn of_stack(instruction: &Instruction, above: i32) -> Origin {
    let moved = |above: Option<i32>| match above {
        Some(above) if above >= 0 => Origin::Place(Place::Stack(above)),
        // Below the stack pointer is nothing yet.
        _ => Origin::Unknown,
    };
    if !writes(instruction, RSP) {
        let writes_memory = instruction.op0_kind() == OpKind::Memory;
        let Some(slot) = stack_slot(instruction).filter(|_| writes_memory) else {
            return Origin::Place(Place::Stack(above));
        };
        let length = i64::try_from(instruction.memory_size().size()).unwrap_or(i64::MAX).max(1);
        let is_apart =
            i64::from(slot) + length <= i64::from(above) || i64::from(above) + 8 <= i64::from(slot);
        return match instruction.mnemonic() {
            _ if is_apart => Origin::Place(Place::Stack(above)),
            Mnemonic::Mov if slot == above && (length == 4 || length == 8) => of_operand(instruction, 1),
            Mnemonic::Cmp | Mnemonic::Test => Origin::Place(Place::Stack(above)),
            _ => Origin::Unknown,
        };
    }
    let is_rsp = instruction.op0_kind() == OpKind::Register && instruction.op0_register() == Register::RSP;
    let constant = || {
        let is_constant = !matches!(instruction.op1_kind(), OpKind::Register | OpKind::Memory);
        is_constant.then(|| instruction.immediate(1) as i64).and_then(|value| i32::try_from(value).ok())
    };
    match instruction.mnemonic() {
        Mnemonic::Push if instruction.stack_pointer_increment() == -8 => match above {
            0..8 => match of_operand(instruction, 0) {
                _ if above != 0 => Origin::Unknown,
                // Relative to the stack pointer before the push.
                origin => origin,
            },
            _ => moved(above.checked_sub(8)),
        },
        Mnemonic::Pop if !is_rsp && instruction.op0_kind() == OpKind::Register => moved(above.checked_add(8)),
        Mnemonic::Sub if is_rsp => moved(constant().and_then(|by| above.checked_sub(by))),
        Mnemonic::Add if is_rsp => moved(constant().and_then(|by| above.checked_add(by))),
        Mnemonic::Lea if is_rsp => moved(stack_slot(instruction).and_then(|slot| above.checked_add(slot))),
        _ => Origin::Unknown,
    }
}
