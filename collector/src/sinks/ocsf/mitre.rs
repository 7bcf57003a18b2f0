//! MITRE ATT&CK in the tags of rules: `T1059.004`, `mitre_execution`.

use super::members::text;
use crate::json::key;

/// The tactics of the enterprise matrix: the tag of rules, as Falco's have it, the name and the number
/// (<https://attack.mitre.org/tactics/enterprise/>).
const TACTICS: [(&str, &str, &str); 14] = [
    ("mitre_reconnaissance", "Reconnaissance", "TA0043"),
    ("mitre_resource_development", "Resource Development", "TA0042"),
    ("mitre_initial_access", "Initial Access", "TA0001"),
    ("mitre_execution", "Execution", "TA0002"),
    ("mitre_persistence", "Persistence", "TA0003"),
    ("mitre_privilege_escalation", "Privilege Escalation", "TA0004"),
    ("mitre_defense_evasion", "Defense Evasion", "TA0005"),
    ("mitre_credential_access", "Credential Access", "TA0006"),
    ("mitre_discovery", "Discovery", "TA0007"),
    ("mitre_lateral_movement", "Lateral Movement", "TA0008"),
    ("mitre_collection", "Collection", "TA0009"),
    ("mitre_command_and_control", "Command and Control", "TA0011"),
    ("mitre_exfiltration", "Exfiltration", "TA0010"),
    ("mitre_impact", "Impact", "TA0040"),
];

/// What a tag says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag<'a> {
    /// Name and number.
    Tactic(&'static str, &'static str),
    /// The number of a technique, and the whole tag where it is one of its parts.
    Technique(&'a str, Option<&'a str>),
}

impl<'a> Tag<'a> {
    fn of(tag: &'a str) -> Option<Self> {
        if let Some((_, name, uid)) = TACTICS.iter().find(|(known, ..)| known.eq_ignore_ascii_case(tag)) {
            return Some(Self::Tactic(name, uid));
        }
        let (technique, part) = match tag.split_once('.') {
            Some((technique, part)) => (technique, Some(part)),
            None => (tag, None),
        };
        let is_number =
            |text: &str, digits| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_technique = technique.strip_prefix(['T', 't']).is_some_and(|number| is_number(number, 4));
        let is_part = part.is_none_or(|part| is_number(part, 3));
        (is_technique && is_part).then_some(Self::Technique(technique, part.map(|_| tag)))
    }
}

/// Appends the member `attacks` to an object that is open; nothing where the tags have none.
///
/// A rule's tags do not say which technique serves which tactic: a single tactic stands with each technique,
/// several stand by themselves.
pub fn attacks(tags: &[String], out: &mut Vec<u8>) {
    let known: Vec<Tag<'_>> = tags.iter().filter_map(|tag| Tag::of(tag)).collect();
    let tactics: Vec<Tag<'_>> = known.iter().copied().filter(|tag| matches!(tag, Tag::Tactic(..))).collect();
    let techniques: Vec<Tag<'_>> =
        known.iter().copied().filter(|tag| matches!(tag, Tag::Technique(..))).collect();
    let attacks: Vec<Vec<Tag<'_>>> = match (&*tactics, &*techniques) {
        ([], []) => return,
        ([tactic], [_, ..]) => techniques.iter().map(|technique| vec![*tactic, *technique]).collect(),
        _ => tactics.iter().chain(&techniques).map(|tag| vec![*tag]).collect(),
    };
    key("attacks", "", out);
    out.push(b'[');
    for (index, attack) in attacks.into_iter().enumerate() {
        out.extend_from_slice(if index > 0 { b",{" } else { b"{" });
        attack.into_iter().for_each(|tag| write(tag, out));
        out.push(b'}');
    }
    out.push(b']');
}

fn write(tag: Tag<'_>, out: &mut Vec<u8>) {
    let mut member = |name: &str, uid: &str, called: Option<&str>| {
        key(name, "", out);
        out.push(b'{');
        text("uid", uid.to_ascii_uppercase().as_bytes(), out);
        if let Some(called) = called {
            text("name", called.as_bytes(), out);
        }
        out.push(b'}');
    };
    match tag {
        Tag::Tactic(name, uid) => member("tactic", uid, Some(name)),
        Tag::Technique(technique, part) => {
            member("technique", technique, None);
            if let Some(part) = part {
                member("sub_technique", part, None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attacks_of(tags: &[&str]) -> String {
        let mut out = Vec::from(b"{");
        attacks(&tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>(), &mut out);
        out.push(b'}');
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn single_tactic_stands_with_each_technique() {
        assert_eq!(
            r#"{"attacks":[{"tactic":{"uid":"TA0002","name":"Execution"},"technique":{"uid":"T1059"},"sub_technique":{"uid":"T1059.004"}},{"tactic":{"uid":"TA0002","name":"Execution"},"technique":{"uid":"T1095"}}]}"#,
            attacks_of(&["T1059.004", "T1095", "container", "mitre_execution"])
        );
    }

    #[test]
    fn several_tactics_stand_by_themselves() {
        assert_eq!(
            r#"{"attacks":[{"tactic":{"uid":"TA0040","name":"Impact"}},{"tactic":{"uid":"TA0005","name":"Defense Evasion"}},{"technique":{"uid":"T1105"}}]}"#,
            attacks_of(&["mitre_impact", "mitre_defense_evasion", "t1105"])
        );
    }

    #[test]
    fn tags_that_are_no_attacks_give_none() {
        assert_eq!("{}", attacks_of(&["T105", "T10590", "T1059.4", "TA0002x", "mitre_", "shell"]));
    }
}
