//! Text for people: colours, quoting, sizes and durations; used by `human` and `summary`.

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Plain text.
    Plain,
    /// With ANSI colours.
    Coloured,
}

impl Style {
    /// The style of a destination that wants colours, or not.
    pub fn new(is_coloured: bool) -> Self {
        if is_coloured { Self::Coloured } else { Self::Plain }
    }
}
