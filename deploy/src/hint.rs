//! What to do about a text that no reader takes: it may be a template, or have comments that JSON has not.

/// The marks of templates: Go's and Jinja's, ERB's, and those of Terraform and shells.
const MARKS: [&str; 3] = ["{{", "<%", "${"];

/// What to do about a text that cannot be read as YAML or a Dockerfile, in brackets, with a space in front.
/// `${` has a meaning of its own in these.
pub fn template(text: &str) -> &'static str {
    match MARKS[..2].iter().any(|mark| text.contains(mark)) {
        true => " (a template? patch what it makes)",
        false => "",
    }
}

/// What to do about a text that is not JSON.
pub fn json(text: &str) -> &'static str {
    if MARKS.iter().any(|mark| text.contains(mark)) {
        return " (a template? patch what it makes)";
    }
    let is_comment = |line: &str| ["//", "/*", "#"].iter().any(|mark| line.trim_start().starts_with(mark));
    let is_behind = |line: &str| {
        let code = line.rsplit_once("//").map_or("", |(code, _)| code.trim_end());
        code.ends_with([',', '{', '[', '}', ']', '"']) || code.ends_with(|c: char| c.is_ascii_digit())
    };
    match text.lines().any(|line| is_comment(line) || is_behind(line)) {
        true => " (JSON has no comments; take them out)",
        false => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_and_comments_are_told_apart_from_mistakes() {
        for text in ["{\"cpu\": {{cpu}}}", "{\"cpu\": ${cpu}}", "{\"cpu\": <%= cpu %>}"] {
            assert!(json(text).contains("template"), "{text}");
        }
        for text in ["{\n// ours\n\"a\": 1}", "{\"a\": 1, // one\n}", "{ /* x */ }\n/* y */"] {
            assert!(json(text).contains("comments"), "{text}");
        }
        for text in ["{\"a\": \"https://b\" x}", "["] {
            assert_eq!("", json(text), "{text}");
        }
        assert!(template("{{ if .x }}\nFROM a").contains("template"));
        assert_eq!("", template("FROM ${X"));
    }
}
