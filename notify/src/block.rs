//! Pieces of a program in classic BPF that fit together without labels.
//!
//! A [`Block`] ends on every path with a return, so blocks never join: a choice is the jump, the one block,
//! the other block. Jumps lead forward only, as the kernel demands.

/// An instruction of classic BPF: `struct sock_filter` (linux/include/uapi/linux/filter.h).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Instruction {
    /// What it does.
    pub code: u16,
    /// The instructions that are skipped if its comparison holds.
    pub jt: u8,
    /// The instructions that are skipped if it does not.
    pub jf: u8,
    /// Its operand.
    pub k: u32,
}

/// `BPF_LD | BPF_W | BPF_ABS`: loads a word of `struct seccomp_data`.
pub(crate) const LOAD: u16 = 0x20;
/// `BPF_ALU | BPF_AND | BPF_K`
pub(crate) const AND: u16 = 0x54;
/// `BPF_JMP | BPF_JA`
pub(crate) const JUMP: u16 = 0x05;
/// `BPF_JMP | BPF_JEQ | BPF_K`
pub(crate) const IF_EQUAL: u16 = 0x15;
/// `BPF_JMP | BPF_JGE | BPF_K`
pub(crate) const IF_AT_LEAST: u16 = 0x35;
/// `BPF_JMP | BPF_JSET | BPF_K`
pub(crate) const IF_ANY_BIT: u16 = 0x45;
/// `BPF_RET | BPF_K`
pub(crate) const RETURN: u16 = 0x06;

/// The furthest that a conditional jump reaches.
const FAR: usize = u8::MAX as usize;

/// Instructions that end with a return on every path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block(Vec<Instruction>);

impl Block {
    /// Returns an action.
    pub fn give(action: u32) -> Block {
        Block(vec![Instruction { code: RETURN, jt: 0, jf: 0, k: action }])
    }

    /// Loads the word at this offset of `struct seccomp_data` before the block.
    pub fn load(offset: u32, then: Block) -> Block {
        Block::before(Instruction { code: LOAD, jt: 0, jf: 0, k: offset }, then)
    }

    /// Keeps only these bits of the loaded word.
    pub fn mask(bits: u32, then: Block) -> Block {
        Block::before(Instruction { code: AND, jt: 0, jf: 0, k: bits }, then)
    }

    fn before(first: Instruction, then: Block) -> Block {
        let mut all = vec![first];
        all.extend(then.0);
        Block(all)
    }

    /// One block where the loaded word compares, the other where it does not.
    pub fn choose(code: u16, k: u32, yes: Block, no: Block) -> Block {
        if yes == no {
            return yes;
        }
        let mut all = Vec::with_capacity(yes.0.len() + no.0.len() + 2);
        match u8::try_from(no.0.len()) {
            Ok(over_no) => all.push(Instruction { code, jt: over_no, jf: 0, k }),
            Err(_) => {
                all.push(Instruction { code, jt: 0, jf: 1, k });
                // No block is as long as 2^32.
                all.push(Instruction { code: JUMP, jt: 0, jf: 0, k: no.0.len() as u32 });
            }
        }
        all.extend(no.0);
        all.extend(yes.0);
        Block(all)
    }

    /// One block where the loaded word is one of `values`, which ascend, the other elsewhere.
    pub fn one_of(values: &[u32], yes: Block, no: Block) -> Block {
        /// So many comparisons in a line; more are divided by a further one.
        const LINE: usize = 8;
        if values.is_empty() {
            return no;
        }
        let is_near = values.len() + no.0.len() <= FAR;
        if values.len() <= LINE && is_near {
            let mut all = Vec::with_capacity(values.len() + yes.0.len() + no.0.len());
            for (index, k) in values.iter().enumerate() {
                // Fits: `is_near`.
                let over = (values.len() - 1 - index + no.0.len()) as u8;
                all.push(Instruction { code: IF_EQUAL, jt: over, jf: 0, k: *k });
            }
            all.extend(no.0);
            all.extend(yes.0);
            return Block(all);
        }
        let (low, high) = values.split_at(values.len() / 2);
        match high {
            [only] if low.is_empty() => Block::choose(IF_EQUAL, *only, yes, no),
            [first, ..] => {
                let (of_low, of_high) =
                    (Block::one_of(low, yes.clone(), no.clone()), Block::one_of(high, yes, no));
                Block::choose(IF_AT_LEAST, *first, of_high, of_low)
            }
            [] => no,
        }
    }

    /// The block of the first bound that the loaded word is not below, or `no`. Bounds descend.
    pub fn by_bounds(bounds: &[(u32, bool)], yes: Block, no: u32) -> Block {
        let mut all = Vec::with_capacity(bounds.len() + yes.0.len() + 1);
        for (index, (k, is_yes)) in bounds.iter().enumerate() {
            // The rest of the bounds lie between, and, before `yes`, the return. There are at most seven.
            let over = bounds.len() - 1 - index + usize::from(*is_yes);
            all.push(Instruction { code: IF_AT_LEAST, jt: over as u8, jf: 0, k: *k });
        }
        all.extend(Block::give(no).0);
        all.extend(yes.0);
        Block(all)
    }

    /// By binary search, the block of the last of `starts` that the loaded word is not below. Starts ascend;
    /// the first counts also for lesser words.
    pub fn search(starts: &[(u32, &Block)]) -> Option<Block> {
        match starts {
            [] => None,
            [(_, only)] => Some((*only).clone()),
            _ => {
                let (low, high) = starts.split_at(starts.len() / 2);
                let (middle, _) = high.first()?;
                Some(Block::choose(IF_AT_LEAST, *middle, Block::search(high)?, Block::search(low)?))
            }
        }
    }

    /// The instructions.
    pub fn into_instructions(self) -> Vec<Instruction> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpreter::Interpreter;
    use crate::judgement::Data;

    /// What a block returns for a number.
    fn result(block: Block, nr: u32) -> u32 {
        let program = Block::load(0, block).into_instructions();
        Interpreter::new(&program).unwrap().run(&Data { nr, ..Data::default() }).action
    }

    fn long(action: u32, length: usize) -> Block {
        (1..length).fold(Block::give(action), |then, _| Block::mask(u32::MAX, then))
    }

    #[test]
    fn a_choice_leads_to_its_blocks_however_long_they_are() {
        for length in [1, 2, 254, 255, 256, 257, 1000] {
            let block = || Block::choose(IF_EQUAL, 7, long(1, length), long(2, length));

            assert_eq!((1, 2), (result(block(), 7), result(block(), 8)), "{length}");
        }
    }

    #[test]
    fn one_of_many_values_is_found_and_no_other() {
        for count in [0, 1, 2, 8, 9, 40, 300] {
            for length in [1, 250, 300] {
                let values: Vec<u32> = (0..count).map(|n| n * 3).collect();
                let block = Block::one_of(&values, long(1, length), long(2, length));
                for nr in [0, 1, 2, 3, 24, 25, 117, 118, 897, 898, u32::MAX] {
                    let expected = if values.contains(&nr) { 1 } else { 2 };
                    if block.0.len() < 4000 {
                        assert_eq!(expected, result(block.clone(), nr), "{count} {length} {nr}");
                    }
                }
            }
        }
    }

    #[test]
    fn bounds_decide_from_the_greatest_down() {
        let block = || Block::by_bounds(&[(9, true), (6, false), (3, true)], Block::give(1), 2);
        let results: Vec<u32> = (0..12).map(|nr| result(block(), nr)).collect();

        assert_eq!(vec![2, 2, 2, 1, 1, 1, 2, 2, 2, 1, 1, 1], results);
    }

    #[test]
    fn the_search_gives_the_last_start_that_is_not_above() {
        let blocks: Vec<Block> = (0..5).map(Block::give).collect();
        let starts: Vec<(u32, &Block)> = [0, 2, 3, 7, 1000].into_iter().zip(&blocks).collect();
        let found = Block::search(&starts).unwrap();
        let results: Vec<u32> =
            [0, 1, 2, 3, 6, 7, 999, 1000, u32::MAX].map(|nr| result(found.clone(), nr)).to_vec();

        assert_eq!(vec![0, 0, 1, 2, 2, 3, 3, 4, 4], results);
    }
}
