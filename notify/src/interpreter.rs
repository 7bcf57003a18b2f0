//! Runs a program in classic BPF as the kernel does for seccomp, and refuses what the kernel refuses.
//!
//! The kernel's checks are `seccomp_check_filter` (kernel/seccomp.c) and `bpf_check_classic` with
//! `check_load_and_stores` (net/core/filter.c). Besides tests and fuzzing, `glassbox attach --notify`
//! runs the filters that a process has, before it is to install another one.

use std::fmt;

use crate::block::Instruction;
use crate::filter::MOST_INSTRUCTIONS;
use crate::judgement::Data;

/// The cells of scratch memory, `BPF_MEMWORDS`.
const CELLS: usize = 16;

/// The length of `struct seccomp_data`, in bytes.
const DATA_BYTES: u32 = 64;

/// A program that the kernel refuses (EINVAL of seccomp(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The index of the instruction.
    pub at: usize,
    /// The reason.
    pub why: &'static str,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "instruction {} of the filter: {}; this is a fault of glassbox, please report it",
            self.at, self.why
        )
    }
}

impl std::error::Error for Refused {}

/// A program that passed the kernel's checks.
#[derive(Clone, Copy, Debug)]
pub struct Interpreter<'p> {
    program: &'p [Instruction],
}

/// The result of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The value that the program returned: `SECCOMP_RET_…`.
    pub action: u32,
    /// The words of [`Data`] that it loaded: bit 0 for the word at offset 0, bit 1 for that at 4, and so on.
    pub loaded: u16,
    /// The instructions that it took.
    pub steps: usize,
}

/// An instruction, decoded. `usize` operands are indexes of cells.
#[derive(Clone, Copy)]
enum Operation {
    Load(u32),
    LoadConstant(u32),
    LoadCell(usize),
    IndexConstant(u32),
    IndexCell(usize),
    Store(usize),
    StoreIndex(usize),
    Arithmetic(Arithmetic, Operand),
    Negate,
    ToIndex,
    FromIndex,
    Jump(u32),
    If(Comparison, Operand),
    Return(u32),
    ReturnAccumulator,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Or,
    And,
    ShiftLeft,
    ShiftRight,
    Xor,
}

#[derive(Clone, Copy)]
enum Comparison {
    Equal,
    Greater,
    AtLeast,
    AnyBit,
}

#[derive(Clone, Copy)]
enum Operand {
    Constant(u32),
    Index,
}

impl Instruction {
    /// The operation, of those that seccomp takes. Codes by linux/include/uapi/linux/bpf_common.h: class in
    /// bits 0 to 2, source in bit 3, operation in the rest.
    fn operation(self) -> Option<Operation> {
        let source = if self.code & 0x08 == 0 { Operand::Constant(self.k) } else { Operand::Index };
        let cell = self.k as usize;
        let operation = match self.code {
            0x20 => Operation::Load(self.k),
            0x80 => Operation::LoadConstant(DATA_BYTES),
            0x81 => Operation::IndexConstant(DATA_BYTES),
            0x00 => Operation::LoadConstant(self.k),
            0x01 => Operation::IndexConstant(self.k),
            0x60 => Operation::LoadCell(cell),
            0x61 => Operation::IndexCell(cell),
            0x02 => Operation::Store(cell),
            0x03 => Operation::StoreIndex(cell),
            0x06 => Operation::Return(self.k),
            0x16 => Operation::ReturnAccumulator,
            0x07 => Operation::ToIndex,
            0x87 => Operation::FromIndex,
            0x84 => Operation::Negate,
            0x05 => Operation::Jump(self.k),
            code if code & 0x07 == 0x04 && code <= 0xff => Operation::Arithmetic(
                match code & 0xf0 {
                    0x00 => Arithmetic::Add,
                    0x10 => Arithmetic::Subtract,
                    0x20 => Arithmetic::Multiply,
                    0x30 => Arithmetic::Divide,
                    0x40 => Arithmetic::Or,
                    0x50 => Arithmetic::And,
                    0x60 => Arithmetic::ShiftLeft,
                    0x70 => Arithmetic::ShiftRight,
                    0xa0 => Arithmetic::Xor,
                    _ => return None,
                },
                source,
            ),
            code if code & 0x07 == 0x05 && code <= 0xff => Operation::If(
                match code & 0xf0 {
                    0x10 => Comparison::Equal,
                    0x20 => Comparison::Greater,
                    0x30 => Comparison::AtLeast,
                    0x40 => Comparison::AnyBit,
                    _ => return None,
                },
                source,
            ),
            _ => return None,
        };
        Some(operation)
    }
}

impl<'p> Interpreter<'p> {
    /// Checks a program as the kernel does.
    pub fn new(program: &'p [Instruction]) -> Result<Interpreter<'p>, Refused> {
        let last = match program.len() {
            0 => return Err(Refused { at: 0, why: "the program is empty" }),
            length if length > MOST_INSTRUCTIONS => {
                return Err(Refused { at: MOST_INSTRUCTIONS, why: "the program is too long" });
            }
            length => length - 1,
        };
        // For each instruction, the cells that every way to it has stored.
        let mut stored = vec![u16::MAX; program.len()];
        let mut cells = 0_u16;
        for (at, instruction) in program.iter().enumerate() {
            let refused = |why| Refused { at, why };
            let operation =
                instruction.operation().ok_or_else(|| refused("seccomp does not take this code"))?;
            cells &= stored.get(at).copied().unwrap_or_default();
            let is_within = |skipped: u32| (skipped as usize) < last - at;
            let mut lead = |skipped: u32, cells: u16| {
                if let Some(there) = stored.get_mut(at + 1 + skipped as usize) {
                    *there &= cells;
                }
            };
            match operation {
                Operation::Load(offset) if offset >= DATA_BYTES || !offset.is_multiple_of(4) => {
                    return Err(refused("the offset is no word of the call's data"));
                }
                Operation::LoadCell(cell)
                | Operation::IndexCell(cell)
                | Operation::Store(cell)
                | Operation::StoreIndex(cell)
                    if cell >= CELLS =>
                {
                    return Err(refused("there are 16 cells of memory"));
                }
                Operation::Store(cell) | Operation::StoreIndex(cell) => cells |= 1 << cell,
                Operation::LoadCell(cell) | Operation::IndexCell(cell) if cells & (1 << cell) == 0 => {
                    return Err(refused("the cell of memory was not stored before on every way"));
                }
                Operation::Arithmetic(Arithmetic::Divide, Operand::Constant(0)) => {
                    return Err(refused("it divides by 0"));
                }
                Operation::Arithmetic(
                    Arithmetic::ShiftLeft | Arithmetic::ShiftRight,
                    Operand::Constant(k),
                ) if k >= 32 => {
                    return Err(refused("it shifts by more than 31"));
                }
                Operation::Jump(skipped) => {
                    if !is_within(skipped) {
                        return Err(refused("it jumps behind the end"));
                    }
                    lead(skipped, cells);
                    cells = u16::MAX;
                }
                Operation::If(..) => {
                    let (yes, no) = (u32::from(instruction.jt), u32::from(instruction.jf));
                    if !is_within(yes) || !is_within(no) {
                        return Err(refused("it jumps behind the end"));
                    }
                    lead(yes, cells);
                    lead(no, cells);
                    cells = u16::MAX;
                }
                _ => {}
            }
        }
        let ends = program.last().and_then(|last| last.operation());
        match ends {
            Some(Operation::Return(_) | Operation::ReturnAccumulator) => Ok(Interpreter { program }),
            _ => Err(Refused { at: last, why: "the last instruction does not return" }),
        }
    }

    /// Runs the program over a call.
    pub fn run(&self, data: &Data) -> Run {
        let (mut accumulator, mut index) = (0_u32, 0_u32);
        let mut cells = [0_u32; CELLS];
        let mut run = Run { action: 0, loaded: 0, steps: 0 };
        let mut at = 0_usize;
        // Each step leads forward, so that the program's length bounds the steps.
        while let Some(instruction) = self.program.get(at) {
            at += 1;
            run.steps += 1;
            let Some(operation) = instruction.operation() else { return run };
            let value = |operand| match operand {
                Operand::Constant(k) => k,
                Operand::Index => index,
            };
            match operation {
                Operation::Load(offset) => {
                    run.loaded |= 1 << (offset / 4);
                    accumulator = data.word(offset).unwrap_or_default();
                }
                Operation::LoadConstant(k) => accumulator = k,
                Operation::LoadCell(cell) => accumulator = cells.get(cell).copied().unwrap_or_default(),
                Operation::IndexConstant(k) => index = k,
                Operation::IndexCell(cell) => index = cells.get(cell).copied().unwrap_or_default(),
                Operation::Store(cell) => {
                    cells.get_mut(cell).into_iter().for_each(|cell| *cell = accumulator)
                }
                Operation::StoreIndex(cell) => cells.get_mut(cell).into_iter().for_each(|cell| *cell = index),
                Operation::Arithmetic(Arithmetic::Divide, operand) => {
                    match accumulator.checked_div(value(operand)) {
                        Some(quotient) => accumulator = quotient,
                        // The kernel ends the program with 0, which kills the thread.
                        None => return run,
                    }
                }
                Operation::Arithmetic(arithmetic, operand) => {
                    accumulator = arithmetic.of(accumulator, value(operand));
                }
                Operation::Negate => accumulator = accumulator.wrapping_neg(),
                Operation::ToIndex => index = accumulator,
                Operation::FromIndex => accumulator = index,
                Operation::Jump(skipped) => at += skipped as usize,
                Operation::If(comparison, operand) => {
                    let holds = comparison.holds(accumulator, value(operand));
                    at += usize::from(if holds { instruction.jt } else { instruction.jf });
                }
                Operation::Return(k) => return Run { action: k, ..run },
                Operation::ReturnAccumulator => return Run { action: accumulator, ..run },
            }
        }
        run
    }
}

impl Arithmetic {
    fn of(self, left: u32, right: u32) -> u32 {
        match self {
            Self::Add => left.wrapping_add(right),
            Self::Subtract => left.wrapping_sub(right),
            Self::Multiply => left.wrapping_mul(right),
            Self::Divide => left.checked_div(right).unwrap_or_default(),
            Self::Or => left | right,
            Self::And => left & right,
            // The kernel takes the lowest five bits of a shift.
            Self::ShiftLeft => left.wrapping_shl(right),
            Self::ShiftRight => left.wrapping_shr(right),
            Self::Xor => left ^ right,
        }
    }
}

impl Comparison {
    fn holds(self, left: u32, right: u32) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Greater => left > right,
            Self::AtLeast => left >= right,
            Self::AnyBit => left & right != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
        Instruction { code, jt, jf, k }
    }

    const RETURN_A: Instruction = Instruction { code: 0x16, jt: 0, jf: 0, k: 0 };

    fn refused(program: &[Instruction]) -> (usize, &'static str) {
        let refused = Interpreter::new(program).unwrap_err();
        (refused.at, refused.why)
    }

    /// What a program leaves in the accumulator.
    fn result(program: &[(u16, u32)]) -> u32 {
        let mut all: Vec<Instruction> =
            program.iter().map(|(code, k)| instruction(*code, 0, 0, *k)).collect();
        all.push(RETURN_A);
        Interpreter::new(&all).unwrap().run(&Data { nr: 59, ..Data::default() }).action
    }

    #[test]
    fn programs_of_a_wrong_length_or_without_an_end_are_refused() {
        assert_eq!((0, "the program is empty"), refused(&[]));
        assert_eq!((4096, "the program is too long"), refused(&vec![RETURN_A; 4097]));
        assert!(Interpreter::new(&vec![RETURN_A; 4096]).is_ok());
        assert_eq!((0, "the last instruction does not return"), refused(&[instruction(0, 0, 0, 0)]));
    }

    #[test]
    fn codes_that_only_socket_filters_have_are_refused() {
        // LD H ABS, LD B ABS, LD W IND, LDX B MSH, ALU MOD K, a code with bits above.
        for code in [0x28, 0x30, 0x40, 0xb1, 0x94, 0x9c, 0x8c, 0x0d, 0x120, 0xffff] {
            assert_eq!(
                (0, "seccomp does not take this code"),
                refused(&[instruction(code, 0, 0, 0), RETURN_A])
            );
        }
    }

    #[test]
    fn operands_out_of_range_are_refused() {
        let at_first = |code, k| refused(&[instruction(code, 0, 0, k), RETURN_A]).1;

        assert_eq!("the offset is no word of the call's data", at_first(0x20, 64));
        assert_eq!("the offset is no word of the call's data", at_first(0x20, 2));
        assert_eq!("there are 16 cells of memory", at_first(0x02, 16));
        assert_eq!("it divides by 0", at_first(0x34, 0));
        assert_eq!("it shifts by more than 31", at_first(0x64, 32));
        assert_eq!("it jumps behind the end", at_first(0x05, 1));
        assert_eq!("it jumps behind the end", at_first(0x05, u32::MAX));
        assert_eq!((0, "it jumps behind the end"), refused(&[instruction(0x15, 0, 1, 0), RETURN_A]));
        assert_eq!((0, "it jumps behind the end"), refused(&[instruction(0x15, 1, 0, 0), RETURN_A]));
    }

    #[test]
    fn a_cell_must_be_stored_on_every_way() {
        let load = instruction(0x60, 0, 0, 3);
        let store = instruction(0x02, 0, 0, 3);
        let why = "the cell of memory was not stored before on every way";

        assert_eq!((0, why), refused(&[load, RETURN_A]));
        assert!(Interpreter::new(&[store, load, RETURN_A]).is_ok());
        assert_eq!((2, why), refused(&[instruction(0x15, 1, 0, 0), store, load, RETURN_A]));
        assert_eq!((2, why), refused(&[instruction(0x05, 0, 0, 1), store, load, RETURN_A]));
    }

    #[test]
    fn each_operation_does_what_its_code_says() {
        assert_eq!(59, result(&[(0x20, 0)]));
        assert_eq!(64, result(&[(0x80, 0)]));
        assert_eq!(64, result(&[(0x81, 0), (0x87, 0)]));
        assert_eq!(7, result(&[(0x00, 7)]));
        assert_eq!(7, result(&[(0x00, 7), (0x02, 3), (0x00, 9), (0x60, 3)]));
        assert_eq!(9, result(&[(0x01, 9), (0x03, 3), (0x61, 3), (0x87, 0)]));
        assert_eq!(7, result(&[(0x00, 7), (0x07, 0), (0x00, 1), (0x87, 0)]));
        assert_eq!(u32::MAX, result(&[(0x00, 1), (0x84, 0)]));
        for (code, expected) in [
            (0x04, 15),
            (0x14, 9),
            (0x24, 36),
            (0x34, 4),
            (0x44, 15),
            (0x54, 0),
            (0x64, 96),
            (0x74, 1),
            (0xa4, 15),
        ] {
            assert_eq!(expected, result(&[(0x00, 12), (code, 3)]), "{code:#x}");
            assert_eq!(expected, result(&[(0x00, 12), (0x01, 3), (code | 8, 0)]), "{code:#x} by index");
        }
        assert_eq!(0, result(&[(0x00, 12), (0x3c, 0)]), "divided by an index of 0");
    }

    #[test]
    fn each_comparison_skips_by_its_result() {
        for (code, below, equal, above) in
            [(0x15, 2, 1, 2), (0x25, 2, 2, 1), (0x35, 2, 1, 1), (0x45, 1, 1, 2)]
        {
            for (nr, expected) in [(5, below), (7, equal), (8, above)] {
                let program = [
                    instruction(0x20, 0, 0, 0),
                    instruction(code, 1, 0, 7),
                    instruction(0x06, 0, 0, 2),
                    instruction(0x06, 0, 0, 1),
                ];
                let run = Interpreter::new(&program).unwrap().run(&Data { nr, ..Data::default() });
                assert_eq!((expected, 1, 3), (run.action, run.loaded, run.steps), "{code:#x} {nr}");
            }
        }
    }
}
