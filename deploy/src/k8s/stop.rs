//! Why a pod stays as it is.

/// What to do about an object that lacks what every such object has.
pub const FRAGMENT: &str = " (a patch of kustomize? patch what 'kustomize build' makes)";

/// Why the sensor was not put in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Stop {
    /// The pod does not want it.
    LeftAlone(String),
    /// The pod should have it and cannot: why, and what to do.
    Refused(String),
    /// The value is not a pod: where in it, as a JSON pointer, and why.
    Malformed(String, String),
}

impl Stop {
    /// An object that should hold a pod at `path` holds none.
    pub fn missing(path: &str) -> Self {
        let place = path.trim_start_matches('/').replace('/', ".");
        Self::Malformed(String::new(), format!("it has no '{place}'{FRAGMENT}"))
    }
}

/// A value that is not a pod: where in it, as a JSON pointer, and why.
pub fn malformed(at: &str, why: &str) -> Stop {
    Stop::Malformed(at.to_owned(), why.to_owned())
}
