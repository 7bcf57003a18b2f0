//! Medians and spreads of repeated measurements.

/// The median of some measurements, and the middle half of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Half of the values are below.
    pub median: f64,
    /// A quarter of the values is below.
    pub low: f64,
    /// A quarter of the values is above.
    pub high: f64,
}

impl Spread {
    /// The spread of values in any order; zeros if there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Spread { median: at(&sorted, 0.5), low: at(&sorted, 0.25), high: at(&sorted, 0.75) }
    }

    /// As a ratio, `×1.063 [1.04–1.09]`; the third digit only if it can matter.
    pub fn ratio(&self) -> String {
        let digits = if self.median < 2.0 { 3 } else { 1 };
        format!("×{:.digits$} [{:.2}–{:.2}]", self.median, self.low, self.high)
    }
}

/// The value at a fraction of sorted values, interpolated between neighbours.
pub fn at(sorted: &[f64], fraction: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = fraction * last as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

/// A time in the unit that reads best.
pub fn time(ns: f64) -> String {
    match ns {
        _ if ns >= 1e9 => format!("{:.2} s", ns / 1e9),
        _ if ns >= 1e6 => format!("{:.2} ms", ns / 1e6),
        _ if ns >= 1e3 => format!("{:.2} µs", ns / 1e3),
        _ => format!("{ns:.1} ns"),
    }
}

/// A rate in the unit that reads best.
pub fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate >= 1e6 => format!("{:.2} M/s", rate / 1e6),
        rate if rate >= 1e3 => format!("{:.0} k/s", rate / 1e3),
        rate => format!("{rate:.1}/s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(Spread { median: 2.5, low: 1.75, high: 3.25 }, Spread::of([4.0, 1.0, 3.0, 2.0]));
    }

    #[test]
    fn a_ratio_just_above_a_bound_does_not_read_as_the_bound() {
        assert_eq!("×1.053 [1.05–1.06]", Spread { median: 1.053, low: 1.05, high: 1.06 }.ratio());
        assert_eq!("×18.2 [17.90–18.40]", Spread { median: 18.21, low: 17.9, high: 18.4 }.ratio());
    }

    #[test]
    fn no_values_give_zeros() {
        assert_eq!(Spread { median: 0.0, low: 0.0, high: 0.0 }, Spread::of([]));
    }

    #[test]
    fn times_choose_their_unit() {
        assert_eq!(
            ["52.0 ns", "2.00 µs", "4.40 ms", "1.50 s"],
            [52.0, 2e3, 4.4e6, 1.5e9].map(time).each_ref().map(String::as_str)
        );
    }
}
