//! The difference between two values, from which text edits and JSON patches are made.
//!
//! [`Change::between`] compares structure. Members are matched by name; items of lists by equality, then by
//! the `name` they carry, so that an item put in front of others is one addition and not a change of each of
//! them. The result is a tree that runs parallel to the value: `yaml` walks it together with the text, and
//! [`Change::json_patch`] flattens it into RFC 6902.

use serde_json::{Map, Value, json};

/// Lists with more pairs of items than this are not compared; their items are matched by position.
const PAIRS: usize = 1 << 20;

/// How one value becomes another.
#[derive(Clone, Debug, PartialEq)]
pub struct Change<'a> {
    /// The value afterwards.
    pub after: &'a Value,
    /// The kind of change.
    pub kind: Kind<'a>,
}

/// The change of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind<'a> {
    /// The value stays.
    Same,
    /// Another value takes its place.
    Replaced,
    /// It stays an object; these of its members change.
    Object(Vec<(&'a str, Step<'a>)>),
    /// It stays a list: a step for each of its items, in order, with the added items in between.
    Array(Vec<Step<'a>>),
}

/// The change of a member or an item.
#[derive(Clone, Debug, PartialEq)]
pub enum Step<'a> {
    /// It stays, perhaps changed inside.
    Stays(Change<'a>),
    /// It is new.
    Added(&'a Value),
    /// It goes.
    Removed,
}

impl<'a> Change<'a> {
    /// The change from `before` to `after`. Numbers are equal if they are written alike: `1` is not `1.0`.
    pub fn between(before: &'a Value, after: &'a Value) -> Self {
        let kind = match (before, after) {
            _ if before == after => Kind::Same,
            (Value::Object(before), Value::Object(after)) => Kind::Object(members(before, after)),
            (Value::Array(before), Value::Array(after)) => Kind::Array(items(before, after)),
            _ => Kind::Replaced,
        };
        Self { after, kind }
    }

    /// Whether the two values are equal.
    pub fn is_none(&self) -> bool {
        self.kind == Kind::Same
    }

    /// The change as a JSON patch (RFC 6902): `add`, `remove` and `replace` operations, to be applied in this
    /// order.
    pub fn json_patch(&self) -> Vec<Value> {
        let mut operations = Vec::new();
        self.flatten("", &mut operations);
        operations
    }

    fn flatten(&self, path: &str, operations: &mut Vec<Value>) {
        match &self.kind {
            Kind::Same => {}
            Kind::Replaced => operations.push(json!({"op": "replace", "path": path, "value": self.after})),
            Kind::Object(members) => {
                for (name, step) in members {
                    step.flatten(
                        &format!("{path}/{}", name.replace('~', "~0").replace('/', "~1")),
                        operations,
                    );
                }
            }
            Kind::Array(steps) => {
                // Each operation applies to the list as the operations before it left it.
                let mut index = 0;
                for step in steps {
                    step.flatten(&format!("{path}/{index}"), operations);
                    index += usize::from(*step != Step::Removed);
                }
            }
        }
    }
}

impl Step<'_> {
    fn flatten(&self, path: &str, operations: &mut Vec<Value>) {
        match self {
            Self::Stays(change) => change.flatten(path, operations),
            Self::Added(value) => operations.push(json!({"op": "add", "path": path, "value": value})),
            Self::Removed => operations.push(json!({"op": "remove", "path": path})),
        }
    }
}

fn members<'a>(before: &'a Map<String, Value>, after: &'a Map<String, Value>) -> Vec<(&'a str, Step<'a>)> {
    let stay_or_go = before.iter().filter_map(|(name, old)| match after.get(name) {
        None => Some((name.as_str(), Step::Removed)),
        Some(new) => {
            let change = Change::between(old, new);
            (!change.is_none()).then_some((name.as_str(), Step::Stays(change)))
        }
    });
    let come = after.iter().filter(|(name, _)| !before.contains_key(*name));
    stay_or_go.chain(come.map(|(name, value)| (name.as_str(), Step::Added(value)))).collect()
}

fn items<'a>(before: &'a [Value], after: &'a [Value]) -> Vec<Step<'a>> {
    let front = before.iter().zip(after).take_while(|(old, new)| old == new).count();
    let (before, after, in_front) = (&before[front..], &after[front..], &after[..front]);
    let back = before.iter().rev().zip(after.iter().rev()).take_while(|(old, new)| old == new).count();
    let (before, after, behind) =
        (&before[..before.len() - back], &after[..after.len() - back], &after[after.len() - back..]);
    let same = |value| Step::Stays(Change { after: value, kind: Kind::Same });

    let mut steps: Vec<Step> = in_front.iter().map(same).collect();
    let (mut old, mut new) = (0, 0);
    for (old_end, new_end) in
        common(before, after, is_same_item).into_iter().chain([(before.len(), after.len())])
    {
        // Items without a partner between two matched ones: if there are as many on both sides, they are
        // paired.
        let gap = (old_end - old, new_end - new);
        let paired = if gap.0 == gap.1 { gap.0 } else { 0 };
        for (old, new) in before[old..old + paired].iter().zip(&after[new..new + paired]) {
            steps.push(Step::Stays(Change::between(old, new)));
        }
        steps.extend((paired..gap.0).map(|_| Step::Removed));
        steps.extend(after[new + paired..new_end].iter().map(Step::Added));
        if let (Some(old), Some(new)) = (before.get(old_end), after.get(new_end)) {
            steps.push(Step::Stays(Change::between(old, new)));
        }
        (old, new) = (old_end + 1, new_end + 1);
    }
    steps.extend(behind.iter().map(same));
    steps
}

/// Whether an item of the old list and one of the new list are the same thing, perhaps changed inside. A name
/// may be any value: in a CloudFormation template, a function gives it.
fn is_same_item(old: &Value, new: &Value) -> bool {
    fn name(value: &Value) -> Option<(&Value, Option<&Value>)> {
        let named =
            ["name", "Name"].into_iter().find_map(|key| value.get(key).filter(|name| !name.is_null()));
        named.map(|name| (name, value.get("mountPath")))
    }
    match (name(old), name(new)) {
        (Some(old), Some(new)) => old == new,
        _ => old == new,
    }
}

/// The longest sequence of matching pairs that is in order in both lists.
///
/// Pairs at the front and at the back need no search: `belong` is an equivalence, so a longest sequence
/// begins with the first items wherever these match. Most lists are searched in the few items in between.
fn common(before: &[Value], after: &[Value], belong: impl Fn(&Value, &Value) -> bool) -> Vec<(usize, usize)> {
    let front = before.iter().zip(after).take_while(|(old, new)| belong(old, new)).count();
    let (old_rest, new_rest) = (&before[front..], &after[front..]);
    let back =
        old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(old, new)| belong(old, new)).count();
    let (old_end, new_end) = (before.len() - back, after.len() - back);
    let between = searched(&before[front..old_end], &after[front..new_end], belong);
    let mut pairs: Vec<(usize, usize)> = (0..front).map(|index| (index, index)).collect();
    pairs.extend(between.into_iter().map(|(old, new)| (old + front, new + front)));
    pairs.extend((0..back).map(|index| (old_end + index, new_end + index)));
    pairs
}

fn searched(
    before: &[Value],
    after: &[Value],
    belong: impl Fn(&Value, &Value) -> bool,
) -> Vec<(usize, usize)> {
    let width = after.len() + 1;
    if before.len().saturating_mul(after.len()) > PAIRS {
        let pairs = before.iter().zip(after).enumerate();
        return pairs.filter(|(_, (old, new))| belong(old, new)).map(|(index, _)| (index, index)).collect();
    }
    // lengths[i][j]: how many pairs before[i..] and after[j..] have in common.
    let mut lengths = vec![0u32; (before.len() + 1) * width];
    let mut is_pair = vec![false; before.len() * width];
    for i in (0..before.len()).rev() {
        for j in (0..after.len()).rev() {
            let pair = belong(&before[i], &after[j]);
            is_pair[i * width + j] = pair;
            let with = if pair { lengths[(i + 1) * width + j + 1] + 1 } else { 0 };
            lengths[i * width + j] = with.max(lengths[(i + 1) * width + j]).max(lengths[i * width + j + 1]);
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while i < before.len() && j < after.len() {
        if is_pair[i * width + j] && lengths[i * width + j] == lengths[(i + 1) * width + j + 1] + 1 {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if lengths[(i + 1) * width + j] >= lengths[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Applies a patch by the letter of RFC 6902.
    fn patched(mut value: Value, patch: &[Value]) -> Value {
        for operation in patch {
            let (path, new) = (operation["path"].as_str().unwrap(), &operation["value"]);
            let Some((parent, last)) = path.rsplit_once('/') else {
                assert_eq!("replace", operation["op"]);
                value = new.clone();
                continue;
            };
            let last = last.replace("~1", "/").replace("~0", "~");
            match (value.pointer_mut(parent).unwrap(), operation["op"].as_str().unwrap()) {
                (Value::Array(items), "add") => items.insert(last.parse().unwrap(), new.clone()),
                (Value::Array(items), "remove") => drop(items.remove(last.parse().unwrap())),
                (Value::Array(items), "replace") => items[last.parse::<usize>().unwrap()] = new.clone(),
                (Value::Object(members), "add") => assert!(members.insert(last, new.clone()).is_none()),
                (Value::Object(members), "remove") => drop(members.remove(&last).unwrap()),
                (Value::Object(members), "replace") => drop(members.insert(last, new.clone()).unwrap()),
                (parent, operation) => panic!("{operation} in {parent}"),
            }
        }
        value
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), (0..4).prop_map(Value::from)];
        leaf.prop_recursive(4, 40, 5, |inner| {
            let members = prop::collection::hash_map("(name|a/b|~|)", inner.clone(), 0..3);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                members.prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
                ("[xyz]", inner).prop_map(|(name, value)| json!({"name": name, "value": value})),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_patch_makes_the_one_value_of_the_other(before in any_value(), after in any_value()) {
            let patch = Change::between(&before, &after).json_patch();

            prop_assert_eq!(&after, &patched(before.clone(), &patch));
            prop_assert_eq!(patch.is_empty(), before == after);
        }
    }

    #[test]
    fn an_item_in_front_is_an_addition_and_named_items_are_recognised() {
        let before = json!({"c": [{"name": "app", "env": [1]}, {"name": "log"}]});
        let after = json!({"c": [{"name": "ours"}, {"name": "app", "env": [1, 2]}, {"name": "log"}]});

        assert_eq!(
            vec![
                json!({"op": "add", "path": "/c/0", "value": {"name": "ours"}}),
                json!({"op": "add", "path": "/c/1/env/1", "value": 2}),
            ],
            Change::between(&before, &after).json_patch()
        );
    }

    #[test]
    fn items_are_recognised_by_a_name_that_a_function_gives() {
        let before = json!([{"Name": {"Ref": "App"}, "Image": 1}, {"Name": {"Fn::Sub": "${App}-log"}}]);
        let after = json!([
            {"Name": {"Ref": "App"}, "Image": 1, "Essential": true},
            {"Name": {"Fn::Sub": "${App}-log"}},
            {"Name": "ours"},
        ]);

        assert_eq!(
            vec![
                json!({"op": "add", "path": "/0/Essential", "value": true}),
                json!({"op": "add", "path": "/2", "value": {"Name": "ours"}}),
            ],
            Change::between(&before, &after).json_patch()
        );
    }

    #[test]
    fn removals_move_what_comes_behind_them() {
        let (before, after) = (json!(["a", "b", "c", "d"]), json!(["b", "x", "d", "e"]));

        assert_eq!(
            vec![
                json!({"op": "remove", "path": "/0"}),
                json!({"op": "replace", "path": "/1", "value": "x"}),
                json!({"op": "add", "path": "/3", "value": "e"}),
            ],
            Change::between(&before, &after).json_patch()
        );
    }

    #[test]
    fn names_with_slashes_and_tildes_are_escaped() {
        let (before, after) = (json!({}), json!({"glassbox/a~b": 1}));

        assert_eq!("/glassbox~1a~0b", Change::between(&before, &after).json_patch()[0]["path"]);
    }

    #[test]
    fn equal_values_need_nothing_and_other_kinds_are_replaced() {
        let (list, object) = (json!([1]), json!({"a": 1}));

        assert!(Change::between(&list, &list).is_none());
        assert_eq!(
            vec![json!({"op": "replace", "path": "", "value": {"a": 1}})],
            Change::between(&list, &object).json_patch()
        );
    }
}
