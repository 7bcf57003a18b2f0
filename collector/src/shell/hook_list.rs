//! `glassbox hooks`: prints the hook table, from the same rows that the sensor is made of.

use std::io::{self, Write};

use hook_table::{FAMILIES, Row};

use crate::json;

/// Writes every family with its rows: function, events, exported symbols, the row's sentence.
pub fn write(out: &mut impl Write) -> io::Result<()> {
    for (position, family) in FAMILIES.iter().enumerate() {
        if position > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}", family.name)?;
        let rows: Vec<[String; 4]> = family.rows.iter().map(cells).collect();
        let widths: [usize; 3] =
            std::array::from_fn(|column| rows.iter().map(|cells| cells[column].len()).max().unwrap_or(0));
        for [name, events, symbols, doc] in &rows {
            let [first, second, third] = widths;
            writeln!(out, "  {name:first$}  {events:second$}  {symbols:third$}  {doc}")?;
        }
    }
    Ok(())
}

/// Writes one JSON object a line for each row.
pub fn write_json(out: &mut impl Write) -> io::Result<()> {
    let mut line = Vec::new();
    for (family, row) in FAMILIES.iter().flat_map(|family| family.rows.iter().map(move |row| (family, row))) {
        line.clear();
        let doc = sentence(row);
        // The compiler's spelling of it has lines.
        let prototype = row.prototype.split_whitespace().collect::<Vec<_>>().join(" ");
        let events: Vec<&str> = row.events.iter().map(|kind| kind.name()).collect();
        let told: Vec<&str> = row.told.iter().map(|(name, _)| *name).collect();
        for (name, text) in
            [("function", row.name), ("family", family.name), ("call", row.call), ("prototype", &prototype)]
        {
            member(name, &mut line);
            json::string(text.as_bytes(), &mut line);
        }
        let lists =
            [("symbols", row.symbols), ("events", &events), ("arguments", row.arguments), ("told", &told)];
        for (name, texts) in lists {
            member(name, &mut line);
            list(texts, &mut line);
        }
        for (name, text) in [("how", row.phase), ("doc", &doc)] {
            member(name, &mut line);
            json::string(text.as_bytes(), &mut line);
        }
        line.extend_from_slice(b"}\n");
        out.write_all(&line)?;
    }
    Ok(())
}

/// Begins a member of the object that is written.
fn member(name: &str, line: &mut Vec<u8>) {
    line.push(if line.is_empty() { b'{' } else { b',' });
    json::string(name.as_bytes(), line);
    line.push(b':');
}

fn list(texts: &[&str], line: &mut Vec<u8>) {
    line.push(b'[');
    for (position, text) in texts.iter().enumerate() {
        if position > 0 {
            line.push(b',');
        }
        json::string(text.as_bytes(), line);
    }
    line.push(b']');
}

fn sentence(row: &Row) -> String {
    row.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// A row's columns; `-` where a function makes no event of its own or has no symbol of its own.
fn cells(row: &Row) -> [String; 4] {
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let events: Vec<&str> = row.events.iter().map(|kind| kind.name()).collect();
    [row.name.to_owned(), or_dash(events.join(",")), or_dash(row.symbols.join(",")), sentence(row)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_an_object_with_the_same_names() {
        let mut text = Vec::new();

        write_json(&mut text).unwrap();

        let text = String::from_utf8(text).unwrap();
        let objects: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(hook_table::rows().count(), objects.len());
        for (row, object) in hook_table::rows().zip(&objects) {
            assert_eq!(row.name, object["function"]);
            assert_eq!(serde_json::json!(row.symbols), object["symbols"]);
            assert_eq!(serde_json::json!(row.arguments), object["arguments"]);
        }
    }

    #[test]
    fn every_row_is_listed_with_its_symbols() {
        let mut text = Vec::new();

        write(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();

        for row in hook_table::rows() {
            assert!(
                text.lines().any(|line| line.split_whitespace().next() == Some(row.name)
                    && row.symbols.iter().all(|symbol| line.contains(symbol))),
                "{}",
                row.name
            );
        }
    }
}
