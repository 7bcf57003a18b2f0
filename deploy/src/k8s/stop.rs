//! Why a pod stays as it is.

/// Why nothing was put in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Stop {
    /// It is not wanted.
    LeftAlone(String),
    /// It is wanted and cannot be: why, and what to do.
    Refused(String),
    /// The pod is none: where in it, as a JSON pointer, and why.
    Malformed(String, String),
}

impl Stop {
    /// There is no pod where one should be.
    pub fn missing(path: &str) -> Self {
        let place = path.trim_start_matches('/').replace('/', ".");
        Self::Malformed(String::new(), format!("it has no '{place}'"))
    }
}

/// A pod that has not the shape of one: where, as a JSON pointer, and why.
pub fn malformed(at: &str, why: &str) -> Stop {
    Stop::Malformed(at.to_owned(), why.to_owned())
}
