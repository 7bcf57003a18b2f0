//! The entry of the fuzz target `notified`: any call, with any arguments and any memory.

use notify::{Abi, CALLS};
use wire::events::Decoded;

use super::decode::{Asked, MOST_READ, told};
use super::memory::Memory;
use super::places::{Peers, Places};

/// Memory out of the input: it begins at [`START`], and is mapped as far as the input goes, or everywhere.
struct Image<'b> {
    bytes: &'b [u8],
    filler: Option<u8>,
    read: usize,
}

const START: u64 = 0x1000;

impl Memory for Image<'_> {
    fn read(&mut self, address: u64, into: &mut [u8]) -> usize {
        self.read += into.len();
        into.fill(self.filler.unwrap_or(0));
        let skipped = address.checked_sub(START).and_then(|skipped| usize::try_from(skipped).ok());
        let mapped = skipped.and_then(|skipped| self.bytes.get(skipped..)).unwrap_or_default();
        let len = mapped.len().min(into.len());
        into[..len].copy_from_slice(&mapped[..len]);
        if self.filler.is_some() { into.len() } else { len }
    }
}

/// Places out of the input.
struct Stand<'b> {
    label: &'b [u8],
    peers: Peers,
}

impl Places for Stand<'_> {
    fn cwd(&mut self) -> Option<Vec<u8>> {
        (!self.label.is_empty()).then(|| self.label.to_vec())
    }
    fn descriptor(&mut self, fd: i32) -> Option<Vec<u8>> {
        (fd < 8).then(|| self.label.to_vec())
    }
    fn finds_connection(&mut self, fd: i32) -> Option<bool> {
        (fd < 8).then_some(fd != 3)
    }
    fn is_new_peer(&mut self, fd: i32, peer: &[u8]) -> bool {
        self.peers.is_new(fd as u64, peer)
    }
}

/// The input: the call, its convention, the memory around it, three bytes for each argument, the length of a
/// label, the label, and the memory.
pub fn run(bytes: &[u8]) {
    let Some(([call, abi, flags, filler], rest)) = bytes.split_first_chunk::<4>() else { return };
    let Some((arguments, rest)) = rest.split_first_chunk::<18>() else { return };
    let Some((label_len, rest)) = rest.split_first() else { return };
    let Some((label, memory)) = rest.split_at_checked((*label_len).into()) else { return };
    let abis = [Abi::X86_64, Abi::X32, Abi::I386, Abi::Aarch64, Abi::Arm];
    let mut args = [0; 6];
    for ([how, low, high], place) in arguments.as_chunks().0.iter().zip(&mut args) {
        let number = u64::from(u16::from_le_bytes([*low, *high]));
        *place = match how % 4 {
            0 => number,
            1 => START.wrapping_add(number),
            2 => u64::MAX - number,
            _ => number << (how / 4 % 49),
        };
    }
    let asked = Asked {
        name: CALLS[usize::from(*call) % CALLS.len()].name,
        args,
        abi: abis[usize::from(*abi) % abis.len()],
        has_narrow_ids: flags & 1 != 0,
    };
    let mut image = Image { bytes: memory, filler: (flags & 2 != 0).then_some(*filler), read: 0 };
    let mut stand = Stand { label, peers: Peers::default() };

    let told = told(&asked, &mut image, &mut stand);

    assert!(image.read <= MOST_READ, "{} bytes were read", image.read);
    let Some(told) = told else { return };
    let mut fields = 0;
    Decoded::decode(told.kind, &told.payload).expect("what was encoded").show(&mut |_, _| fields += 1);
    assert!(fields > 0, "{:?}", told.kind);
    for noted in told.before {
        Decoded::decode(noted.kind, &noted.payload).expect("what was encoded");
    }
}
