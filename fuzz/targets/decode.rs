//! A record's bytes after they were copied out of a ring: the head, the payload, and what each field shows
//! as.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::codec;
use wire::events::{Decoded, Kind};
use wire::fields::Shown;
use wire::record::{Head, Via};

fuzz_target!(|bytes: &[u8]| {
    // Two bytes name the kind, so that every payload is met soon; the head is tried with all of it.
    let Some((number, payload)) = bytes.split_first_chunk::<2>() else { return };
    show(u16::from_le_bytes(*number), payload);
    if let Ok((head, payload)) = codec::decode::<Head>(bytes) {
        let _ = Via::from_byte(head.via);
        show(head.kind, payload);
    }
});

fn show(number: u16, payload: &[u8]) {
    let Some(kind) = Kind::from_number(number) else { return };
    let Ok(decoded) = Decoded::decode(kind, payload) else { return };
    let mut shown_len = 0;
    decoded.show(&mut |_, value| match value {
        Shown::List(list) | Shown::Map(list) => shown_len += list.iter().map(<[u8]>::len).sum::<usize>(),
        Shown::Text(text)
        | Shown::Address(text)
        | Shown::Answers(text)
        | Shown::Ip(text)
        | Shown::Actions(text) => shown_len += text.len(),
        Shown::Path(path) => shown_len += path.raw.map_or(0, <[u8]>::len),
        Shown::Names(table, bits) => {
            let left = table.names(bits, |name| assert!(!name.is_empty()));
            assert_eq!(0, left & !bits, "bits out of nowhere");
        }
        Shown::Absent | Shown::Int(_) | Shown::Uint(_) | Shown::Bool(_) | Shown::Word(_) => {}
    });
    assert!(shown_len <= payload.len(), "more is shown than was sent");
}
