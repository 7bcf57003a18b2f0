use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;

use super::*;
use crate::event::sample;
use crate::sinks::encoder::Plan;
use crate::sinks::jsonl;

/// The text of the elements of a document, as far as it goes.
fn text_of(document: &[u8]) -> Vec<String> {
    let document = std::str::from_utf8(document).unwrap();
    let open = OPEN.trim_end();
    document.split(open).skip(1).map(|rest| unpacked(rest.split("</script>").next().unwrap())).collect()
}

fn unpacked(base64: &str) -> String {
    let tidy: String = base64.split_ascii_whitespace().collect();
    let whole = &tidy[..tidy.len() - tidy.len() % 4];
    let mut text = Vec::new();
    // A stream that ends anywhere gives what it has, and then an error.
    let mut decoder = GzDecoder::new(std::io::Cursor::new(STANDARD.decode(whole).unwrap()));
    let mut piece = [0; 1];
    while let Ok(1) = decoder.read(&mut piece) {
        text.push(piece[0]);
    }
    String::from_utf8(text).unwrap()
}

fn lines_of_jsonl(batch: &Batch) -> Vec<String> {
    let (mut out, mut encoder) = (Vec::new(), (jsonl::FORMAT.build)(&Plan::default()));
    encoder.batch(batch, &mut out);
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn document_has_the_page_then_the_lines_of_jsonl_then_an_end() {
    let batch = sample::every_kind();
    let (mut out, mut html) = (Vec::new(), Html::default());

    html.begin(Found::Fresh, &mut out);
    html.batch(&batch, &mut out);
    html.end(&RunFacts { restarts: 2, collector_ns: 7, ..RunFacts::default() }, &mut out);

    assert!(out.starts_with(PAGE.as_bytes()) && out.ends_with(CLOSE.as_bytes()));
    let texts = text_of(&out);
    assert_eq!(1, texts.len());
    let lines: Vec<&str> = texts[0].lines().collect();
    assert!(lines[0].starts_with("{\"begin\":{"), "{}", lines[0]);
    let events: Vec<&str> = lines.iter().copied().filter(|line| line.starts_with("{\"time\"")).collect();
    assert_eq!(lines_of_jsonl(&batch), events);
    let end: serde_json::Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!(serde_json::json!({ "end": { "restarts": 2, "collector_ns": 7 } }), end);
}

#[test]
fn only_letters_of_base64_stand_between_the_page_and_the_end() {
    let (mut out, mut html) = (Vec::new(), Html::default());

    html.begin(Found::Fresh, &mut out);
    for _ in 0..50 {
        html.batch(&sample::every_kind(), &mut out);
        html.flush(&mut out);
    }
    html.end(&RunFacts::default(), &mut out);

    let data = &out[PAGE.len() + OPEN.len()..out.len() - CLOSE.len()];
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=\n".contains(byte);
    assert_eq!(None, data.iter().find(|byte| !is_plain(byte)));
    assert!(data.split(|byte| *byte == b'\n').all(|line| line.len() <= 4096));
}

#[test]
fn after_a_flush_nothing_is_held_back() {
    let batch = sample::every_kind();
    let (mut out, mut html) = (Vec::new(), Html::default());
    html.begin(Found::Fresh, &mut out);
    html.batch(&batch, &mut out);
    assert!(html.due_at().is_some());

    html.flush(&mut out);

    assert_eq!(None, html.due_at());
    let text = text_of(&out).remove(0);
    assert_eq!(lines_of_jsonl(&batch).last().map(String::as_str), text.lines().last());
}

#[test]
fn what_a_killed_collector_left_is_gone_on_with_in_an_element_of_its_own() {
    let batch = sample::every_kind();
    let (mut out, mut killed, mut next) = (Vec::new(), Html::default(), Html::default());
    killed.begin(Found::Fresh, &mut out);
    killed.batch(&batch, &mut out);
    killed.flush(&mut out);
    out.truncate(out.len() - 5);

    next.begin(Found::Continued, &mut out);
    next.batch(&batch, &mut out);
    next.end(&RunFacts::default(), &mut out);

    let texts = text_of(&out);
    assert_eq!(2, texts.len());
    let page = String::from_utf8(out).unwrap();
    assert!(page.contains(&format!("\n</script>{OPEN}")), "the element that was left open is closed");
    assert!(texts[1].starts_with("{\"begin\"") && texts[1].contains("\"is_resumed\":true"), "{}", texts[1]);
    assert!(texts.iter().all(|text| text.contains(&lines_of_jsonl(&batch)[0])));
}

#[test]
fn file_that_is_put_aside_is_a_whole_document() {
    let (mut out, mut html) = (Vec::new(), Html::default());
    html.begin(Found::Fresh, &mut out);
    html.batch(&sample::every_kind(), &mut out);

    html.part(&mut out);

    assert!(out.ends_with(CLOSE.as_bytes()));
    assert!(!text_of(&out)[0].contains("{\"end\""), "the session goes on");
}

#[test]
fn memory_does_not_grow_with_the_events() {
    let batch = sample::every_kind();
    let (mut out, mut html) = (Vec::new(), Html::default());
    html.begin(Found::Fresh, &mut out);

    for _ in 0..2_000 {
        out.clear();
        html.batch(&batch, &mut out);
    }

    assert!(html.text.capacity() < 1 << 20, "{} bytes of lines", html.text.capacity());
    let held = html.stream.as_ref().map_or(0, Stream::held_bytes);
    assert!(held < 1 << 20, "{held} bytes of gzip");
}

#[test]
fn line_of_an_alert_shows_what_a_program_chose_as_escapes() {
    let mut out = Vec::new();

    lines::line(serde_json::json!({ "x": "re\u{202e}gpj\n" }), &mut out);

    assert_eq!("{\"x\":\"re\\u202egpj\\n\"}\n", String::from_utf8(out).unwrap());
}

#[test]
fn every_reason_of_doctor_has_its_remedy_in_the_document() {
    let mut out = Vec::new();

    lines::begin(Found::Fresh, &mut out);

    let begin: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let reasons = &begin["begin"]["reasons"];
    for name in ["static", "setuid", "go", "no_libc"] {
        assert!(reasons[name]["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "{name}: {reasons}");
    }
    assert!(reasons.get("").is_none());
}
