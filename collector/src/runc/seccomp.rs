//! `linux.seccomp` of a `config.json`: the calls that the kernel is to ask about, through the runtime's
//! `listenerPath`, beside what is allowed and refused there already.
//!
//! What was refused stays refused: a call is asked about only where it was allowed. A list with a listener of
//! its own is left alone.

use std::collections::{BTreeMap, BTreeSet};

use notify::{Compare, Is, Level, Rule};
use serde_json::{Map, Value, json};

const ALLOW: &str = "SCMP_ACT_ALLOW";
const NOTIFY: &str = "SCMP_ACT_NOTIFY";

/// All calling conventions of a machine: libseccomp kills a program that makes a call of another one.
#[cfg(target_arch = "x86_64")]
const CONVENTIONS: [&str; 3] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
#[cfg(target_arch = "aarch64")]
const CONVENTIONS: [&str; 2] = ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"];

/// Flags of seccomp(2) that are wanted: a call that was received is interrupted by a kill alone (Linux 5.19);
/// no mitigation slows all code down (before 5.16).
const KILLABLE: &str = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV";
const SPEC_ALLOW: &str = "SECCOMP_FILTER_FLAG_SPEC_ALLOW";

/// What a runtime can make of it, as its command `features` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    flags: BTreeSet<String>,
}

impl Features {
    /// Reads the answer of `features`.
    ///
    /// # Errors
    /// What the runtime lacks.
    pub fn of(answer: &Value) -> Result<Self, String> {
        let seccomp = &answer["linux"]["seccomp"];
        let words = |name: &str| {
            let list = seccomp[name].as_array().map(Vec::as_slice).unwrap_or_default();
            list.iter().filter_map(Value::as_str).map(str::to_owned).collect::<BTreeSet<_>>()
        };
        if seccomp["enabled"] != true || !words("actions").contains(NOTIFY) {
            return Err("its 'features' do not name the seccomp action SCMP_ACT_NOTIFY".to_owned());
        }
        Ok(Self { flags: words("supportedFlags") })
    }
}

/// Has the calls of a level asked about: the runtime sends the filter's listener to the socket `listener`.
///
/// # Errors
/// Why that cannot be had in this container. `config` may then be changed in part.
pub fn ask(config: &mut Value, level: Level, listener: &str, features: &Features) -> Result<(), String> {
    let linux = member(config, "linux")?;
    let seccomp = linux.entry("seccomp").or_insert(Value::Null);
    let is_new = seccomp.is_null();
    if is_new {
        *seccomp = json!({ "defaultAction": ALLOW, "architectures": CONVENTIONS });
    }
    let seccomp = seccomp.as_object_mut().ok_or("'linux.seccomp' is not an object")?;
    if seccomp.get("listenerPath").and_then(Value::as_str).is_some_and(|path| !path.is_empty()) {
        return Err("the container has a seccomp listener of its own ('linux.seccomp.listenerPath')".into());
    }
    let default = seccomp.get("defaultAction").and_then(Value::as_str);
    let default = default.ok_or("'linux.seccomp' has no 'defaultAction'")?.to_owned();
    let lists = seccomp.entry("syscalls").or_insert(Value::Null);
    if lists.is_null() {
        *lists = json!([]);
    }
    let lists = lists.as_array_mut().ok_or("'linux.seccomp.syscalls' is not a list")?;
    if default == NOTIFY || lists.iter().any(|list| list["action"] == NOTIFY) {
        return Err("the container has calls that its own seccomp listener is asked about".into());
    }
    *lists = asked(lists, &default, &notify::rules(level))?;
    let asks_about = |list: &Value| {
        list["action"] == NOTIFY
            && list["names"].as_array().is_some_and(|names| names.contains(&json!("execve")))
    };
    // What lets a call through that no list names.
    let lets_through = [ALLOW, "SCMP_ACT_LOG", "SCMP_ACT_TRACE"].contains(&default.as_str());
    if lets_through && !lists.iter().any(asks_about) {
        return Err(format!(
            "its seccomp profile decides about execve in a way that leaves nothing to ask about (defaultAction {default})"
        ));
    }
    seccomp.insert("listenerPath".into(), json!(listener));
    set_flags(seccomp, is_new, features)
}

/// Takes the listener out of a list that [`ask`] made and that nobody listens for any more, so that the
/// container can start. What was allowed is allowed. False where it has none of ours.
pub fn release(config: &mut Value, is_ours: impl Fn(&str) -> bool) -> bool {
    let seccomp = config.get_mut("linux").and_then(|linux| linux.get_mut("seccomp"));
    let Some(seccomp) = seccomp.and_then(Value::as_object_mut) else { return false };
    if !seccomp.get("listenerPath").and_then(Value::as_str).is_some_and(is_ours) {
        return false;
    }
    seccomp.remove("listenerPath");
    let lists = seccomp.get_mut("syscalls").and_then(Value::as_array_mut);
    for list in lists.into_iter().flatten().filter(|list| list["action"] == NOTIFY) {
        list["action"] = json!(ALLOW);
    }
    if let Some(flags) = seccomp.get_mut("flags").and_then(Value::as_array_mut) {
        // Of a filter without a listener the kernel refuses it.
        flags.retain(|flag| flag != KILLABLE);
    }
    true
}

fn member<'a>(value: &'a mut Value, name: &str) -> Result<&'a mut Map<String, Value>, String> {
    let object = value.as_object_mut().ok_or("it is not an object")?;
    let member = object.entry(name).or_insert(Value::Null);
    if member.is_null() {
        *member = json!({});
    }
    member.as_object_mut().ok_or_else(|| format!("'{name}' is not an object"))
}

fn set_flags(seccomp: &mut Map<String, Value>, is_new: bool, features: &Features) -> Result<(), String> {
    let has_none = seccomp.get("flags").is_none_or(Value::is_null);
    let mut wanted = vec![KILLABLE];
    // A runtime's own choice where there is no list of flags is this one (runc).
    wanted.extend((is_new || has_none).then_some(SPEC_ALLOW));
    wanted.retain(|flag| features.flags.contains(*flag));
    if wanted.is_empty() {
        return Ok(());
    }
    let flags = seccomp.entry("flags").or_insert(Value::Null);
    if flags.is_null() {
        *flags = json!([]);
    }
    let flags = flags.as_array_mut().ok_or("'linux.seccomp.flags' is not a list")?;
    for flag in wanted {
        if !flags.iter().any(|known| known == flag) {
            flags.push(json!(flag));
        }
    }
    Ok(())
}

/// How the lists of a `config.json` name a call.
#[derive(Debug, Default)]
struct Mention {
    /// The places of the lists that allow it whatever its arguments are.
    whole: Vec<usize>,
    /// The lists that allow it with conditions.
    partial: Vec<usize>,
    /// Another list decides about it too.
    has_other: bool,
}

/// The lists with those of our rules that can be had. `default` holds for calls that no list names.
fn asked(lists: &[Value], default: &str, rules: &[Rule]) -> Result<Vec<Value>, String> {
    let mentions = mentions(lists)?;
    let none = Mention::default();
    // By list: the names that move to one that asks under its conditions, and to lists of their own.
    let (mut moved, mut apart) =
        (BTreeMap::<usize, BTreeSet<&str>>::new(), BTreeMap::<usize, BTreeSet<&str>>::new());
    let (mut always, mut ours) = (Vec::new(), Vec::new());
    for Rule { name, split } in rules {
        let mention = mentions.get(name).unwrap_or(&none);
        let is_allowed_else = default == ALLOW;
        if mention.has_other && is_allowed_else {
            // What this list refuses by its arguments would have to be refused before it is asked about.
            continue;
        }
        let is_simple = !mention.has_other && (is_allowed_else || !mention.whole.is_empty());
        if is_simple {
            for place in mention.whole.iter().chain(&mention.partial) {
                apart.entry(*place).or_default().insert(name);
            }
            match split {
                None => always.push(*name),
                Some(split) => {
                    ours.extend(split.asked.iter().map(|compare| list(name, NOTIFY, *compare)));
                    ours.extend((!is_allowed_else).then(|| list(name, ALLOW, split.rest)));
                }
            }
            continue;
        }
        let allowing = || mention.whole.iter().chain(&mention.partial);
        // Such as clone(2) where it may make no namespace.
        let is_rest =
            |place: &&usize| split.as_ref().is_some_and(|split| is_within(&lists[**place], split.rest));
        if !allowing().all(|place| is_rest(&place)) {
            for place in allowing() {
                moved.entry(*place).or_default().insert(name);
            }
        }
    }

    let mut all = Vec::new();
    for (place, list) in lists.iter().enumerate() {
        let (moved, apart) =
            (moved.remove(&place).unwrap_or_default(), apart.remove(&place).unwrap_or_default());
        let of = |names: &BTreeSet<&str>, is_in: bool| -> Vec<Value> {
            let all = list["names"].as_array().map(Vec::as_slice).unwrap_or_default();
            let has = |name: &&Value| name.as_str().is_some_and(|name| names.contains(name));
            all.iter().filter(|name| has(name) == is_in).cloned().collect()
        };
        let taken: BTreeSet<&str> = moved.union(&apart).copied().collect();
        let kept = of(&taken, false);
        if taken.is_empty() || !kept.is_empty() {
            all.push(with(list, kept, None));
        }
        if !moved.is_empty() {
            all.push(with(list, of(&moved, true), Some(NOTIFY)));
        }
    }
    if !always.is_empty() {
        all.push(json!({ "names": always, "action": NOTIFY }));
    }
    all.extend(ours);
    Ok(all)
}

/// A list with other names, and maybe another action.
fn with(list: &Value, names: Vec<Value>, action: Option<&str>) -> Value {
    let mut list = list.clone();
    if let Some(object) = list.as_object_mut() {
        object.insert("names".into(), names.into());
        if let Some(action) = action {
            object.insert("action".into(), json!(action));
            object.remove("errnoRet");
        }
    }
    list
}

fn list(name: &str, action: &str, compare: Compare) -> Value {
    json!({ "names": [name], "action": action, "args": [argument(compare)] })
}

fn argument(Compare { index, is }: Compare) -> Value {
    match is {
        Is::Equal(value) => json!({ "index": index, "value": value, "op": "SCMP_CMP_EQ" }),
        Is::Other(value) => json!({ "index": index, "value": value, "op": "SCMP_CMP_NE" }),
        Is::Masked { mask, value } => {
            json!({ "index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ" })
        }
    }
}

/// Whether all calls that a list's conditions let through are ones for which `rest` holds: it has one that
/// looks at the same bits, or more of them.
fn is_within(list: &Value, rest: Compare) -> bool {
    let Is::Masked { mask, value: 0 } = rest.is else { return false };
    let Some([only]) = list["args"].as_array().map(Vec::as_slice) else { return false };
    let number = |name: &str| only[name].as_u64().unwrap_or(0);
    only["index"].as_u64() == Some(rest.index.into())
        && only["op"] == "SCMP_CMP_MASKED_EQ"
        && number("value") & mask == mask
        && number("valueTwo") & mask == 0
}

fn mentions(lists: &[Value]) -> Result<BTreeMap<&str, Mention>, String> {
    let mut all = BTreeMap::<&str, Mention>::new();
    for (place, list) in lists.iter().enumerate() {
        let names = list["names"].as_array().ok_or("a list of 'linux.seccomp.syscalls' has no 'names'")?;
        let has_conditions = list["args"].as_array().is_some_and(|args| !args.is_empty());
        for name in names.iter().filter_map(Value::as_str) {
            let mention = all.entry(name).or_default();
            match (list["action"] == ALLOW, has_conditions) {
                (true, false) => mention.whole.push(place),
                (true, true) => mention.partial.push(place),
                (false, _) => mention.has_other = true,
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/run/glassbox-x/listener";

    fn asking(seccomp: Value, level: Level) -> Result<Value, String> {
        let mut config = json!({ "linux": { "seccomp": seccomp } });
        ask(&mut config, level, PATH, &Features::default()).map(|()| config["linux"]["seccomp"].take())
    }

    /// What a filter of these lists decides about a call: by a whole list, else by the conditions that hold.
    /// Several that hold must say the same, since libseccomp keeps no order among them.
    fn decision(seccomp: &Value, name: &str, args: [u64; 6]) -> String {
        let holds = |list: &Value| {
            let all = list["args"].as_array().map(Vec::as_slice).unwrap_or_default();
            all.iter().all(|test| {
                let number = |name: &str| test[name].as_u64().unwrap_or(0);
                let index = u8::try_from(number("index")).unwrap();
                let is = match test["op"].as_str().unwrap() {
                    "SCMP_CMP_EQ" => Is::Equal(number("value")),
                    "SCMP_CMP_NE" => Is::Other(number("value")),
                    _ => Is::Masked { mask: number("value"), value: number("valueTwo") },
                };
                Compare { index, is }.holds(&args)
            })
        };
        let lists = seccomp["syscalls"].as_array().unwrap();
        let named = |list: &&Value| list["names"].as_array().unwrap().iter().any(|known| known == name);
        let is_whole = |list: &&Value| list["args"].as_array().is_none_or(Vec::is_empty);
        let whole: Vec<_> = lists.iter().filter(named).filter(is_whole).collect();
        let those: Vec<&Value> = match whole.is_empty() {
            true => lists.iter().filter(named).filter(|list| holds(list)).collect(),
            false => whole,
        };
        let actions: BTreeSet<&str> = those.iter().map(|list| list["action"].as_str().unwrap()).collect();
        assert!(actions.len() < 2, "{name} {args:x?}: {actions:?}");
        let default = seccomp["defaultAction"].as_str().unwrap();
        actions.first().copied().unwrap_or(default).trim_start_matches("SCMP_ACT_").to_lowercase()
    }

    /// Arguments, for each call, that hold and do not hold.
    fn arguments() -> Vec<[u64; 6]> {
        let words = [0, 1, 2, 4, 9, 16, 23, 0o100, 0o1000, 0x1000_0000, 0x2_0000, u64::MAX];
        let one = |at: usize, word| {
            let mut args = [0; 6];
            args[at] = word;
            args
        };
        (0..6).flat_map(|at| words.map(|word| one(at, word))).collect()
    }

    #[test]
    fn without_a_list_all_is_allowed_and_ours_are_asked_about() {
        let seccomp = asking(Value::Null, Level::Security).unwrap();

        assert_eq!(
            (PATH, ALLOW),
            (seccomp["listenerPath"].as_str().unwrap(), seccomp["defaultAction"].as_str().unwrap())
        );
        assert_eq!(json!(CONVENTIONS), seccomp["architectures"]);
        assert_eq!(None, seccomp.get("flags"));
        for (name, args, expected) in [
            ("execve", [0; 6], "notify"),
            ("connect", [0; 6], "notify"),
            ("openat", [0; 6], "allow"),
            ("openat", [0, 0, 0o101, 0, 0, 0], "notify"),
            ("open", [0, 1, 0, 0, 0, 0], "notify"),
            ("mmap", [0, 0, 3, 0, 0, 0], "allow"),
            ("mmap2", [0, 0, 5, 0, 0, 0], "notify"),
            ("tgkill", [1, 1, 23, 0, 0, 0], "allow"),
            ("setuid32", [0; 6], "notify"),
            ("write", [0; 6], "allow"),
            ("read", [0; 6], "allow"),
        ] {
            assert_eq!(expected, decision(&seccomp, name, args), "{name} {args:x?}");
        }
    }

    #[test]
    fn a_profile_that_leaves_no_exec_to_ask_about_is_refused() {
        for default in ["SCMP_ACT_LOG", "SCMP_ACT_TRACE"] {
            let words = asking(json!({ "defaultAction": default }), Level::Security).unwrap_err();

            assert!(words.contains(default), "{words}");
        }
    }

    #[test]
    fn a_level_asks_about_its_own_calls() {
        let seccomp = asking(Value::Null, Level::Exec).unwrap();

        assert_eq!("notify", decision(&seccomp, "execveat", [0; 6]));
        assert_eq!("allow", decision(&seccomp, "connect", [0; 6]));
    }

    /// A list as podman and docker have it, with what is special in theirs.
    fn strict() -> Value {
        json!({
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "architectures": ["SCMP_ARCH_X86_64"],
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "syscalls": [
                { "names": ["read", "execve", "openat", "unlink", "tgkill", "sendto"], "action": ALLOW, "args": [] },
                { "names": ["mount", "bpf"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "args": [] },
                { "names": ["clone"], "action": ALLOW,
                  "args": [{ "index": 0, "value": 0x7e02_0000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" }] },
                { "names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22,
                  "args": [{ "index": 0, "value": 16, "op": "SCMP_CMP_EQ" }, { "index": 2, "value": 9, "op": "SCMP_CMP_EQ" }] },
                { "names": ["socket"], "action": ALLOW, "args": [{ "index": 2, "value": 9, "op": "SCMP_CMP_NE" }] },
                { "names": ["socket"], "action": ALLOW, "args": [{ "index": 0, "value": 16, "op": "SCMP_CMP_NE" }] },
                { "names": ["mprotect"], "action": ALLOW, "args": [{ "index": 1, "value": 9, "op": "SCMP_CMP_NE" }] },
                { "names": ["setns"], "action": "SCMP_ACT_KILL" },
            ],
        })
    }

    #[test]
    fn what_was_refused_is_refused_and_only_what_was_allowed_is_asked_about() {
        for (before, levels) in
            [(strict(), Level::ALL), (json!({ "defaultAction": "SCMP_ACT_KILL" }), Level::ALL)]
        {
            for level in levels {
                let after = asking(before.clone(), level).unwrap();
                let names = notify::rules(Level::Full).into_iter().map(|rule| rule.name);
                for name in names.chain(["read", "write", "getpid"]) {
                    for args in arguments() {
                        let mut whole = before.clone();
                        if whole["syscalls"].is_null() {
                            whole["syscalls"] = json!([]);
                        }
                        let (was, is) = (decision(&whole, name, args), decision(&after, name, args));
                        let expected = if is == "notify" { "allow" } else { is.as_str() };
                        assert_eq!(was, expected, "{name} {args:x?} at {level}");
                    }
                }
                for member in ["defaultAction", "defaultErrnoRet", "architectures", "flags"] {
                    assert_eq!(before.get(member), after.get(member), "{member}");
                }
            }
        }
    }

    #[test]
    fn what_a_strict_list_allows_is_asked_about_where_it_can_be() {
        let seccomp = asking(strict(), Level::Security).unwrap();

        for (name, args, expected) in [
            ("execve", [0; 6], "notify"),
            ("unlink", [0; 6], "notify"),
            ("openat", [0; 6], "allow"),
            ("openat", [0, 0, 1, 0, 0, 0], "notify"),
            ("sendto", [0; 6], "allow"),
            ("sendto", [0, 0, 0, 0, 7, 0], "notify"),
            ("tgkill", [0, 0, 9, 0, 0, 0], "notify"),
            // No call that is told of is allowed, so threads are not asked about.
            ("clone", [17, 0, 0, 0, 0, 0], "allow"),
            ("clone", [0x1000_0000, 0, 0, 0, 0, 0], "errno"),
            ("socket", [2, 1, 0, 0, 0, 0], "notify"),
            ("socket", [16, 3, 9, 0, 0, 0], "errno"),
            // All that passes is asked about where conditions on two arguments would be needed.
            ("mprotect", [0, 1, 0, 0, 0, 0], "notify"),
            ("mprotect", [0, 9, 4, 0, 0, 0], "errno"),
            ("mount", [0; 6], "errno"),
            ("connect", [0; 6], "errno"),
        ] {
            assert_eq!(expected, decision(&seccomp, name, args), "{name} {args:x?}");
        }
        let lists = seccomp["syscalls"].as_array().unwrap();
        assert!(lists.iter().all(|list| !list["names"].as_array().unwrap().is_empty()), "{lists:?}");
        assert!(lists.iter().all(|list| list["action"] != NOTIFY || list.get("errnoRet").is_none()));
    }

    #[test]
    fn what_an_open_list_refuses_by_arguments_is_left_to_it() {
        let refused = json!([{ "index": 0, "value": 5, "op": "SCMP_CMP_EQ" }]);
        let seccomp = asking(
            json!({ "defaultAction": ALLOW, "syscalls": [
                { "names": ["kill"], "action": "SCMP_ACT_ERRNO", "args": refused },
                { "names": ["ptrace"], "action": "SCMP_ACT_ERRNO" },
                { "names": ["unlink", "read"], "action": ALLOW },
            ] }),
            Level::Security,
        )
        .unwrap();

        let of = |name, args| decision(&seccomp, name, args);
        assert_eq!(["errno", "allow"].map(str::to_owned), [of("kill", [5; 6]), of("kill", [0; 6])]);
        assert_eq!(["errno", "notify"].map(str::to_owned), [of("ptrace", [0; 6]), of("unlink", [0; 6])]);
        assert!(seccomp.get("architectures").is_none());
    }

    #[test]
    fn a_listener_of_another_one_is_left_alone() {
        for (seccomp, words) in [
            (json!({ "defaultAction": ALLOW, "listenerPath": "/run/other" }), "listener of its own"),
            (json!({ "defaultAction": NOTIFY }), "its own seccomp listener"),
            (
                json!({ "defaultAction": ALLOW, "syscalls": [{ "names": ["kill"], "action": NOTIFY }] }),
                "its own seccomp listener",
            ),
            (json!({}), "no 'defaultAction'"),
            (json!([]), "is not an object"),
            (json!({ "defaultAction": ALLOW, "syscalls": {} }), "is not a list"),
            (json!({ "defaultAction": ALLOW, "syscalls": [3] }), "no 'names'"),
        ] {
            let why = asking(seccomp.clone(), Level::Exec).unwrap_err();
            assert!(why.contains(words), "{seccomp}: {why}");
        }
    }

    #[test]
    fn flags_are_those_that_the_runtime_knows() {
        let features = |flags: &[&str]| {
            Features::of(&json!({ "linux": { "seccomp": {
                "enabled": true, "actions": [ALLOW, NOTIFY], "supportedFlags": flags } } }))
        };
        let flags = |before: Value, known: &[&str]| {
            let mut config = json!({ "linux": { "seccomp": before } });
            ask(&mut config, Level::Exec, PATH, &features(known).unwrap()).unwrap();
            config["linux"]["seccomp"]["flags"].take()
        };
        let log = "SECCOMP_FILTER_FLAG_LOG";
        let strict = json!({ "defaultAction": ALLOW, "flags": [log] });

        assert_eq!(json!([KILLABLE, SPEC_ALLOW]), flags(Value::Null, &[SPEC_ALLOW, KILLABLE, log]));
        assert_eq!(json!([log, KILLABLE]), flags(strict.clone(), &[SPEC_ALLOW, KILLABLE, log]));
        assert_eq!(json!([log]), flags(strict, &[SPEC_ALLOW, log]));
        for lacking in [json!({}), json!({ "linux": { "seccomp": { "enabled": true, "actions": [ALLOW] } } })]
        {
            assert!(Features::of(&lacking).unwrap_err().contains("SCMP_ACT_NOTIFY"));
        }
    }

    #[test]
    fn a_list_that_nobody_listens_for_any_more_allows_what_it_did() {
        for before in [Value::Null, strict()] {
            let after = asking(before.clone(), Level::Security).unwrap();
            let mut config = json!({ "linux": { "seccomp": after } });
            assert!(!release(&mut config, |path| path == "/other"));
            assert!(release(&mut config, |path| path == PATH));
            assert!(!release(&mut config, |path| path == PATH));

            let released = config["linux"]["seccomp"].take();
            let before =
                if before.is_null() { json!({ "defaultAction": ALLOW, "syscalls": [] }) } else { before };
            assert!(!released.to_string().contains("NOTIFY") && released.get("listenerPath").is_none());
            for Rule { name, .. } in notify::rules(Level::Full) {
                for args in arguments() {
                    assert_eq!(
                        decision(&before, name, args),
                        decision(&released, name, args),
                        "{name} {args:x?}"
                    );
                }
            }
            assert!(asking(released, Level::Security).is_ok());
        }
        assert!(!release(&mut json!({ "linux": 3 }), |_| true));
    }
}
