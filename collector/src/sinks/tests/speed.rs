//! How many events a second each encoder writes on one core.
//!
//! A measurement, not a test: `cargo test --release -p glassbox --lib speed -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use wire::events::Kind;

use crate::event::{Batch, Event, Shape, Value, sample};
use crate::ids::UtcNs;
use crate::sinks::encoder::Plan;
use crate::sinks::formats::FORMATS;
use crate::sinks::framing::Found;

/// Events of a program that opens, reads and closes files and now and then connects, of four processes in
/// turn.
fn mixture(events: usize) -> Batch {
    let mut batch = Batch::default();
    batch.whos = (0..4).map(|_| sample::who()).collect();
    for index in 0..events {
        let kind = match index % 8 {
            0 | 2 | 4 => Kind::FileOpen,
            1 | 3 | 5 => Kind::FileClose,
            6 => Kind::FileStat,
            _ => Kind::NetConnect,
        };
        let head = sample::head(kind);
        let time = UtcNs(head.time.0 + index as u64 * 1000);
        batch.push(Event { time, who: (index / 16 % 4) as u32, seq: Some(index as u64), ..head });
        for (place, name) in Shape::of(kind).fields.iter().enumerate() {
            let value = match *name {
                "path" => Value::Path(
                    batch.keep(format!("/usr/lib/python3/dist-packages/module_{index}.py").as_bytes()),
                    None,
                ),
                "flags" if kind == Kind::FileOpen => Value::Names(&wire::names::OPEN, 0o2_000_000),
                "fd" => Value::Int(3 + index as i64 % 8),
                "local" => Value::Text(batch.keep(b"192.0.2.7:50123")),
                "remote" => Value::Text(batch.keep(b"198.51.100.4:443")),
                "host" => Value::Text(batch.keep(b"api.example.com")),
                "family" => Value::Word("AF_INET"),
                "type" => Value::Word("SOCK_STREAM"),
                "bytes_read" | "reads" | "open_ns" => Value::Uint(4711),
                _ => Value::Absent,
            };
            batch.set(place, value);
        }
    }
    batch
}

#[test]
#[ignore = "a measurement"]
fn speed_of_every_encoder() {
    const BATCH: usize = 512;
    let batch = mixture(BATCH);
    for format in FORMATS {
        let mut encoder = (format.build)(&Plan::default());
        let mut out = Vec::new();
        encoder.begin(Found::Fresh, &mut out);
        let (mut events, mut bytes, started) = (0, 0, Instant::now());
        while started.elapsed() < Duration::from_secs(1) {
            for _ in 0..16 {
                encoder.batch(&batch, &mut out);
                events += BATCH;
                bytes += out.len();
                out.clear();
            }
        }
        let rate = events as f64 / started.elapsed().as_secs_f64();
        println!("{:10} {:8.0} k events/s, {:5} bytes an event", format.name, rate / 1e3, bytes / events);
    }
}
