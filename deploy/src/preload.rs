//! Merges `LD_PRELOAD`: the sensor is appended, what is there stays, and nothing is named twice.

/// `present` with `sensor` at its end, unless `present` names it already.
///
/// The loader takes colons and spaces as separators (ld.so(8)), so both are read; the sensor is appended with
/// a colon.
pub fn appended(present: &str, sensor: &str) -> String {
    if names(present).any(|name| name == sensor) {
        return present.to_owned();
    }
    if present.is_empty() { sensor.to_owned() } else { format!("{present}:{sensor}") }
}

/// The libraries that a value of `LD_PRELOAD` names.
pub fn names(value: &str) -> impl Iterator<Item = &str> {
    value.split([':', ' ']).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_preloaded_already_stays_first_and_is_named_once() {
        let merged = ["", "/a.so", "/a.so /s.so", "/s.so:/a.so"].map(|present| appended(present, "/s.so"));

        assert_eq!(["/s.so", "/a.so:/s.so", "/a.so /s.so", "/s.so:/a.so"].map(str::to_owned), merged);
    }
}
