//! How much memory a JSON text would take as a [`Value`], before it is made one.
//!
//! A text of 3 MB can be 400 000 objects, and each takes some hundred bytes: a table of its members, their
//! names, their values. So a bound on the text alone is none on the memory.

use serde_json::Value;

/// Memory that one object under review may take, in bytes. The etcd of a cluster takes objects of 1.5 MiB; as
/// one list of environment variables these weigh 40 MiB here.
pub const MOST: usize = 48 << 20;

/// An object with one member: the table, in which there is room for four, and the index beside it.
const OBJECT: usize = 640;
/// A list with one item: room for four.
const LIST: usize = 5 * size_of::<Value>();
/// A further member or item: its value, a name or a hash, with the room that is kept for more.
const PART: usize = 2 * size_of::<Value>();
/// A text or name: its own allocation.
const TEXT: usize = 32;

/// The bytes that a JSON text takes as a value, at most. Any text has a weight; only JSON has a right one.
pub fn of(text: &str) -> usize {
    let (mut weight, mut is_text, mut is_escaped) = (text.len(), false, false);
    for byte in text.bytes() {
        if is_text {
            is_text = is_escaped || byte != b'"';
            is_escaped = byte == b'\\' && !is_escaped;
            continue;
        }
        weight += match byte {
            b'"' => {
                is_text = true;
                TEXT
            }
            b'{' => OBJECT,
            b'[' => LIST,
            b',' => PART,
            _ => 0,
        };
    }
    weight
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    /// What a value takes, by the capacities that its parts have.
    fn taken(value: &Value) -> usize {
        match value {
            Value::String(text) => text.capacity() + 16,
            Value::Array(items) => {
                items.capacity() * size_of::<Value>() + 16 + items.iter().map(taken).sum::<usize>()
            }
            Value::Object(members) => {
                // An entry is a name, a value and a hash; the index has a word and a byte for each, by powers
                // of two.
                let entry = size_of::<String>() + size_of::<Value>() + 8;
                let room = members.len().next_power_of_two().max(4);
                let table = if members.is_empty() {
                    0
                } else {
                    room * entry + (room * 8 / 7 + 1).next_power_of_two() * 9 + 64
                };
                table + members.iter().map(|(name, value)| name.capacity() + 16 + taken(value)).sum::<usize>()
            }
            _ => 0,
        }
    }

    #[test]
    fn no_value_takes_more_than_its_text_weighs() {
        let many = |item: &str| format!("[{}]", vec![item; 1000].join(","));
        let wide: Map<String, Value> = (0..3000).map(|n| (n.to_string(), Value::Null)).collect();
        for text in [
            many("{}"),
            many("[]"),
            many("{\"a\":1}"),
            many("[1]"),
            many("{\"a\":{\"b\":[{}]}}"),
            many("\"\""),
            many("\"\\\\\\\"{[,\""),
            many("{\"name\":\"x\",\"value\":\"y\"}"),
            many("{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5}"),
            many("1"),
            Value::Object(wide).to_string(),
            format!("{}{}", "[".repeat(100), "]".repeat(100)),
            format!("\"{}\"", "x".repeat(100_000)),
        ] {
            let value: Value = serde_json::from_str(&text).unwrap();

            assert!(taken(&value) <= of(&text), "{} > {}: {:.60}", taken(&value), of(&text), text);
        }
    }

    #[test]
    fn brackets_in_a_text_weigh_nothing() {
        assert_eq!(of("[\"\"]") + 4, of("[\"{[,:\"]"));
        assert_eq!(of("[\"\"]") + 4, of("[\"\\\"{[\"]"));
    }
}
