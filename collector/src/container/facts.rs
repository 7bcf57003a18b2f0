//! A container as events show it: the facts that are known of it.

/// The facts of a container: the name of each in events, and its place in the endpoint's answer (JSON
/// pointers, RFC 6901).
///
/// In the order in which events show them. A recording numbers them in this order, so that facts are only
/// ever appended.
pub const FACTS: [(&str, &str); 9] = [
    ("id", "/DockerId"),
    ("name", "/Name"),
    ("image", "/Image"),
    ("image_id", "/ImageID"),
    ("arn", "/ContainerARN"),
    ("task", "/Labels/com.amazonaws.ecs.task-arn"),
    ("family", "/Labels/com.amazonaws.ecs.task-definition-family"),
    ("revision", "/Labels/com.amazonaws.ecs.task-definition-version"),
    ("cluster", "/Labels/com.amazonaws.ecs.cluster"),
];

const ID: usize = 0;
const NAME: usize = 1;

/// Bytes of one fact, at most; a longer one is left out.
const LONGEST: usize = 512;

/// The facts of a container, in the order of [`FACTS`]; an unknown one is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Container {
    facts: [Box<str>; FACTS.len()],
}

impl Container {
    /// A container whose names are not known.
    pub fn with_id(id: &str) -> Self {
        let mut container = Self::default();
        container.facts[ID] = id.into();
        container
    }

    /// The names of all facts.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FACTS.iter().map(|(name, _)| *name)
    }

    /// Sets the fact at `place` of [`FACTS`]; a place that this version does not know, or a text that is too
    /// long, is left out.
    pub fn set(&mut self, place: usize, text: &str) {
        if let Some(fact) = self.facts.get_mut(place).filter(|_| text.len() <= LONGEST) {
            *fact = text.into();
        }
    }

    /// The known facts that identify it: id and name.
    pub fn which(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.facts().take_while(|(place, ..)| *place <= NAME).map(|(_, name, text)| (name, text))
    }

    /// The other known facts.
    pub fn what(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.facts().skip_while(|(place, ..)| *place <= NAME).map(|(_, name, text)| (name, text))
    }

    /// The fact of this name; `None` where it is not known.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts().find(|(_, known, _)| *known == name).map(|(_, _, text)| text)
    }

    fn facts(&self) -> impl Iterator<Item = (usize, &'static str, &str)> {
        let facts = FACTS.iter().zip(&self.facts).enumerate();
        facts
            .filter(|(_, (_, text))| !text.is_empty())
            .map(|(place, ((name, _), text))| (place, *name, &**text))
    }

    /// All facts in the order of [`FACTS`]; an unknown one is empty.
    pub fn all(&self) -> &[Box<str>] {
        &self.facts
    }

    /// The id; empty where it is not known.
    pub fn id(&self) -> &str {
        &self.facts[ID]
    }

    /// Its name, else the first 12 bytes of its id, as engines show it.
    pub fn short_name(&self) -> &str {
        const ENOUGH: usize = 12;
        match &*self.facts[NAME] {
            "" => self.id().get(..ENOUGH).unwrap_or(self.id()),
            name => name,
        }
    }
}

/// Repository, tag and digest of `REPOSITORY[:TAG][@DIGEST]`.
pub fn image_parts(image: &str) -> (&str, Option<&str>, Option<&str>) {
    let (named, digest) = match image.split_once('@') {
        Some((named, digest)) => (named, Some(digest)),
        None => (image, None),
    };
    match named.rsplit_once(':') {
        // A colon before a slash is that of the registry's port.
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag), digest),
        _ => (named, None, digest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_is_taken_apart_at_tag_and_digest() {
        assert_eq!(("nginx", None, None), image_parts("nginx"));
        assert_eq!(("nginx", Some("1.27"), None), image_parts("nginx:1.27"));
        assert_eq!(("r:5000/a/b", None, None), image_parts("r:5000/a/b"));
        assert_eq!(("r:5000/a/b", Some("t"), Some("sha256:00")), image_parts("r:5000/a/b:t@sha256:00"));
    }
}
