//! A sensor's first message, as any process can send it that reaches the socket.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::hello::{Blind, Hello, MAX_LEN};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(hello) = Hello::decode(bytes) {
        let _ = Blind::from_byte(hello.blind);
        let mut again = vec![0; bytes.len().max(MAX_LEN)];
        let len = hello.encode(&mut again);
        assert_eq!(bytes, &again[..len], "what decodes is encoded the same");
    }
});
