//! `glassbox hooks`: prints the hook table, from the same rows that the sensor is made of.

use std::io::{self, Write};

use hook_table::{FAMILIES, Row};

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

/// A row's columns; `-` where a function makes no event of its own or has no symbol of its own.
fn cells(row: &Row) -> [String; 4] {
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let events: Vec<&str> = row.events.iter().map(|kind| kind.name()).collect();
    let doc = row.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    [row.name.to_owned(), or_dash(events.join(",")), or_dash(row.symbols.join(",")), doc]
}

#[cfg(test)]
mod tests {
    use super::*;

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
