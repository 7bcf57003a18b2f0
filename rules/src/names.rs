//! Names that are not known: whether one is, and which known name was probably meant.

use crate::field::{self, Catalog, FieldUse};

/// The name among `known` that differs least from `name`, if it differs little: by one edit in three
/// characters.
///
/// A longer name that begins with `name` is one edit away.
/// Names longer than 64 bytes have no nearest one.
pub(crate) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let most = ((name.len() + 1) / 3).min(4);
    if name.is_empty() || name.len() > LONGEST {
        return None;
    }
    let scored = known.into_iter().filter_map(|other| {
        if name.len() >= 3 && other.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
            return Some((1, other));
        }
        let is_near = other.len().abs_diff(name.len()) <= most;
        is_near.then(|| (distance(name.as_bytes(), other.as_bytes()), other))
    });
    scored.filter(|(edits, other)| *edits <= most && *other != name).min().map(|(_, other)| other)
}

/// The end of a message about an unknown name: nothing, or what was probably meant.
#[must_use]
pub fn did_you_mean<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    nearest(name, known).map_or_else(String::new, |other| format!("; did you mean '{other}'?"))
}

const LONGEST: usize = 64;

/// How many insertions, removals, replacements and swaps of neighbours make `a` from `b`.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(!x.eq_ignore_ascii_case(y));
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before_last[j - 1] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// Whether no field has this name, nor a part of it with a suffix.
pub(crate) fn is_unknown(name: &str, catalog: &dyn Catalog) -> bool {
    let has_suffix = |name: &str| {
        let spec = catalog.find(name).and_then(|id| field::spec(catalog, id));
        spec.is_some_and(|spec| spec.has_suffix)
    };
    catalog.find(name).is_none() && !name.match_indices('.').any(|(dot, _)| has_suffix(&name[..dot]))
}

/// Finds a field and its argument; the error is a message, with the field that was probably meant.
pub(crate) fn resolve(catalog: &dyn Catalog, name: &str, argument: Option<&str>) -> Result<FieldUse, String> {
    field::resolve(catalog, name, argument).map_err(|message| {
        let is_plain = is_unknown(name, catalog) && !message.contains("did you mean");
        let names = catalog.fields().iter().map(|spec| spec.name);
        let hint = if is_plain { did_you_mean(name, names) } else { String::new() };
        format!("{message}{hint}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swapped_letters_are_one_edit() {
        assert_eq!(Some("proc.name"), nearest("proc.nmae", ["proc.pname", "proc.name", "fd.name"]));
    }

    #[test]
    fn a_name_that_is_far_from_all_has_no_nearest() {
        assert_eq!(None, nearest("k8s.ns", ["proc.name", "fd.name"]));
    }

    #[test]
    fn a_name_may_be_cut_short() {
        assert_eq!(Some("Warning"), nearest("WARN", ["Notice", "Warning"]));
    }

    #[test]
    fn the_name_itself_is_not_proposed() {
        assert_eq!(None, nearest("desc", ["desc"]));
    }
}
