//! The agreement between a format and the place where its bytes go.
//!
//! An encoder knows no file, and a carrier knows no format. The carrier needs to know which part of what it
//! holds is whole ([`Framing`]), and the encoder needs to know what it goes on from ([`Found`]).

/// How the bytes of a format are divided.
#[derive(Clone, Copy, Debug)]
pub enum Framing {
    /// Lines of text. Half a line is worth nothing.
    Lines,
    /// Binary frames, each as long as its head says. They do not go to a terminal.
    Frames(Frames),
    /// One text at the end.
    Page,
    /// One text from its beginning to its end, for a program that shows it. It does not go to a terminal.
    Document,
    /// Parcels for receivers, see [`super::parcel`].
    Parcels,
}

/// How to walk over frames without an understanding of what they hold.
#[derive(Clone, Copy, Debug)]
pub struct Frames {
    /// How an output of this format begins.
    pub magic: &'static [u8],
    /// Bytes of a frame's head.
    pub head_bytes: usize,
    /// Bytes behind this head; `None` for a frame that is damaged, or that nothing may follow.
    pub body_bytes: fn(head: &[u8]) -> Option<u64>,
}

/// The state in which a carrier found the place where the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing: the output begins here.
    Fresh,
    /// The whole pieces that an earlier collector wrote, or something that cannot be looked at (a pipe).
    Continued,
    /// The same, and behind them half a line, which cannot be taken back: another program may read the file.
    Torn,
}
