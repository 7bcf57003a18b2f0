//! The engine: judges an event by all rules at once.
//!
//! All conditions become one graph in which equal parts are one node, whichever rule they come from. For each type
//! of events that a rule names, the checks of `evt.type` are decided when the engine is made, and what follows from
//! them is left out: a type has a list of the rules that can hold for it, each with the rest of its condition. An
//! event costs a look at that list, then the nodes that are needed, each once at most, and the fields that they look
//! at, each once at most (ADR 22).

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::ast::{Modifier, Operator};
use crate::compare::{Question, Test};
use crate::compile::{Leaf, Named, Program, Tree, fold};
use crate::eval::Step;
use crate::field::{Answer, Subject, Type};
use crate::slot::{Places, Slot, SlotId, Slots, Values};

/// How many rules may match an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Matching {
    /// The first one in the order of definition, and in front of it all that count ([`Program::counting`]).
    #[default]
    First,
    /// All.
    All,
}

/// A name of an event (`evt.type`), as the engine numbers those that its rules name.
///
/// Only the engine that gave it knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventType(pub u16);

/// A rule that an event matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// The rule's index in the list that the engine was made of.
    pub rule: u32,
}

/// Judges events by rules.
pub struct Engine {
    matching: Matching,
    programs: Vec<Program>,
    slots: Vec<Slot>,
    nodes: Vec<Node>,
    /// Whether several nodes or rules ask for a node, so that its answer is worth keeping.
    is_shared: Vec<bool>,
    /// The type's number by its name; 0 are the types that no rule names.
    types: HashMap<String, EventType>,
    /// The rules that can hold for each type, in the order of definition.
    rules: Vec<Vec<(u32, NodeId)>>,
    /// Answers of shared nodes: twice the event's number, and the answer in the last bit.
    answers: Vec<u32>,
    event: u32,
    places: Places,
    /// Memory for values; empty between events.
    room: Vec<Answer<'static>>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rules, nodes, types) = (self.programs.len(), self.nodes.len(), self.types.len());
        write!(f, "Engine {{ {rules} rules, {nodes} nodes, {} slots, {types} types }}", self.slots.len())
    }
}

type NodeId = u32;

/// The node that always holds, and the one that never does.
const TRUE: NodeId = 0;
const FALSE: NodeId = 1;

/// A part of conditions.
#[derive(Clone, Debug)]
enum Node {
    Constant(bool),
    And(Box<[NodeId]>),
    Or(Box<[NodeId]>),
    Not(NodeId),
    Check(SlotId, Arc<Test>),
}

impl Engine {
    /// Makes an engine of rules in the order of their definition.
    #[must_use]
    pub fn new(rules: Vec<Program>, matching: Matching) -> Engine {
        let names: BTreeSet<&String> =
            rules.iter().flat_map(|rule| rule.event_types().named.keys()).collect();
        // The number 0 is taken; no kernel has 65 535 system calls.
        let types: HashMap<String, EventType> =
            names.into_iter().zip(1_u16..).map(|(name, number)| (name.clone(), EventType(number))).collect();
        let mut builder = Builder::new();
        let mut by_type = vec![Vec::new(); types.len() + 1];
        for (index, rule) in (0_u32..).zip(&rules) {
            let ids = builder.slots.adopt(&rule.slots);
            let mut add = |name: Option<&str>, number: usize| {
                let node = builder.build(&rule.tree, &ids, name);
                if node != FALSE {
                    by_type[number].push((index, node));
                }
            };
            if rule.event_types().others {
                add(None, 0);
            }
            for (name, number) in types.iter().filter(|(name, _)| rule.event_types().may_be(name)) {
                add(Some(name), usize::from(number.0));
            }
        }
        if matching == Matching::First {
            for ids in &mut by_type {
                ids.sort_by_key(|(index, _)| !rules[*index as usize].counts);
            }
        }
        let is_shared = builder.shared(&by_type);
        let slots = builder.slots.list().to_vec();
        Engine {
            matching,
            programs: rules,
            is_shared,
            types,
            rules: by_type,
            answers: vec![0; builder.nodes.len()],
            event: 0,
            places: Places::new(slots.len()),
            room: Vec::new(),
            slots,
            nodes: builder.nodes,
        }
    }

    /// The number of a type of events by its name. To be asked once for each name, not for each event.
    #[must_use]
    pub fn event_type(&self, name: &str) -> EventType {
        self.types.get(name).copied().unwrap_or(EventType(0))
    }

    /// Whether a rule can hold for events of this type.
    #[must_use]
    pub fn asks_for(&self, event_type: EventType) -> bool {
        self.rules.get(usize::from(event_type.0)).is_some_and(|rules| !rules.is_empty())
    }

    /// Appends the rules that the event matches to `matches`, in the order of their definition.
    ///
    /// Checks of `evt.type` are answered by `event_type` and not by the subject. Asks the subject for each pair of
    /// field and argument once at most.
    pub fn judge(&mut self, event_type: EventType, subject: &dyn Subject, matches: &mut Vec<Match>) {
        let Some(rules) = self.rules.get(usize::from(event_type.0)).filter(|rules| !rules.is_empty()) else {
            return;
        };
        // Half of the numbers, as an answer takes the last bit.
        if self.event == u32::MAX >> 1 {
            self.answers.fill(0);
            self.event = 0;
        }
        self.event += 1;
        self.places.next_event();
        let room = std::mem::take(&mut self.room);
        let mut judge = Judge {
            nodes: &self.nodes,
            is_shared: &self.is_shared,
            answers: &mut self.answers,
            event: self.event,
            values: Values::new(&self.slots, &mut self.places, subject, room),
        };
        for (rule, node) in rules {
            if judge.holds(*node) {
                matches.push(Match { rule: *rule });
                if self.matching == Matching::First && !self.programs[*rule as usize].counts {
                    break;
                }
            }
        }
        self.room = judge.values.into_room();
    }

    /// All parts of a rule's condition with what they say about an event, also those that `judge` need not ask.
    ///
    /// Empty if there is no such rule. [`Program::explain`] has the details.
    #[must_use]
    pub fn explain(&self, rule: u32, subject: &dyn Subject) -> Vec<Step> {
        self.programs.get(rule as usize).map(|program| program.explain(subject)).unwrap_or_default()
    }
}

/// The state of one event.
struct Judge<'s, 'e> {
    nodes: &'e [Node],
    is_shared: &'e [bool],
    answers: &'e mut [u32],
    event: u32,
    values: Values<'s, 'e>,
}

impl Judge<'_, '_> {
    fn holds(&mut self, id: NodeId) -> bool {
        let at = id as usize;
        if !self.is_shared[at] {
            return self.ask(at);
        }
        let answer = self.answers[at];
        if answer >> 1 == self.event {
            return answer & 1 == 1;
        }
        let holds = self.ask(at);
        self.answers[at] = self.event << 1 | u32::from(holds);
        holds
    }

    fn ask(&mut self, at: usize) -> bool {
        let nodes = self.nodes;
        match &nodes[at] {
            Node::Constant(is) => *is,
            Node::And(parts) => parts.iter().all(|part| self.holds(*part)),
            Node::Or(parts) => parts.iter().any(|part| self.holds(*part)),
            Node::Not(part) => !self.holds(*part),
            Node::Check(slot, test) => test.passes(*slot, &mut self.values),
        }
    }
}

/// What nodes are equal by.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    And(Vec<NodeId>),
    Or(Vec<NodeId>),
    Not(NodeId),
    Check(SlotId, Question),
}

struct Builder {
    slots: Slots,
    nodes: Vec<Node>,
    costs: Vec<u32>,
    known: FxHashMap<Key, NodeId>,
}

impl Builder {
    fn new() -> Builder {
        let nodes = vec![Node::Constant(true), Node::Constant(false)];
        Builder { slots: Slots::default(), nodes, costs: vec![0; 2], known: FxHashMap::default() }
    }

    /// The node of a condition for events of a type. `slots` are the ids of its slots here.
    fn build(&mut self, tree: &Tree, slots: &[SlotId], name: Option<&str>) -> NodeId {
        Build { builder: self, slots, name, macros: HashMap::new() }.node(tree)
    }

    fn add(&mut self, key: Key, make: impl FnOnce(&Key) -> Node, cost: u32) -> NodeId {
        if let Some(id) = self.known.get(&key) {
            return *id;
        }
        let id = NodeId::try_from(self.nodes.len()).unwrap_or(NodeId::MAX);
        self.nodes.push(make(&key));
        self.costs.push(cost);
        self.known.insert(key, id);
        id
    }

    fn cost(&self, id: NodeId) -> u32 {
        self.costs[id as usize]
    }

    fn not(&mut self, part: NodeId) -> NodeId {
        match &self.nodes[part as usize] {
            Node::Constant(is) => constant(!is),
            Node::Not(inner) => *inner,
            _ => self.add(Key::Not(part), |_| Node::Not(part), self.cost(part)),
        }
    }

    fn check(&mut self, slot: SlotId, test: Arc<Test>) -> NodeId {
        // The first reading of a field costs more than a comparison, and a part of one, or one that is made, the more.
        let reading = match self.slots.list().get(slot as usize) {
            Some(Slot::Field(field)) if field.argument.is_none() => 2,
            Some(Slot::Field(_)) => 4,
            _ => 10,
        };
        let cost = reading + test.cost();
        let key = Key::Check(slot, test.question.clone());
        self.add(key, |_| Node::Check(slot, test), cost)
    }

    /// Parts with "and" or "or" between them; `decides` is the part's answer that is the answer of all.
    fn join(&mut self, parts: Vec<NodeId>, decides: bool) -> NodeId {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match &self.nodes[part as usize] {
                Node::Constant(is) if *is == decides => return constant(decides),
                Node::Constant(_) => (),
                Node::And(inner) if !decides => flat.extend_from_slice(inner),
                Node::Or(inner) if decides => flat.extend_from_slice(inner),
                _ => flat.push(part),
            }
        }
        let mut parts = self.merge(flat, decides);
        let mut seen = BTreeSet::new();
        parts.retain(|part| seen.insert(*part));
        // The cheapest first; otherwise in the order of the condition, which its author knows to be a good one.
        parts.sort_by_key(|part| self.cost(*part));
        match parts.as_slice() {
            [] => constant(!decides),
            [one] => *one,
            _ => {
                let cost = parts.iter().map(|part| self.cost(*part)).fold(0, u32::saturating_add);
                let join = if decides { Node::Or } else { Node::And };
                let nodes = parts.clone().into_boxed_slice();
                self.add(if decides { Key::Or(parts) } else { Key::And(parts) }, |_| join(nodes), cost)
            }
        }
    }

    /// Makes one check of those parts that ask the same slot the same kind of question.
    fn merge(&mut self, parts: Vec<NodeId>, decides: bool) -> Vec<NodeId> {
        let mut groups: Vec<((SlotId, Type, Operator), Vec<NodeId>)> = Vec::new();
        let mut places: HashMap<(SlotId, Type, Operator), usize> = HashMap::new();
        let mut single = Vec::new();
        for part in parts {
            let key = match &self.nodes[part as usize] {
                Node::Check(slot, test) => {
                    mergeable(&test.question, decides).map(|kind| (*slot, kind.0, kind.1))
                }
                _ => None,
            };
            let Some(key) = key else {
                single.push(part);
                continue;
            };
            let at = *places.entry(key).or_insert_with(|| {
                groups.push((key, Vec::new()));
                groups.len() - 1
            });
            groups[at].1.push(part);
        }
        for ((slot, kind, operator), members) in groups {
            if members.len() < 2 {
                single.extend(members);
                continue;
            }
            let mut values = BTreeSet::new();
            for member in &members {
                if let Node::Check(_, test) = &self.nodes[*member as usize] {
                    values.extend(test.question.values.iter().cloned());
                }
            }
            let modifier = if decides { Modifier::AnyOf } else { Modifier::AllOf };
            let values = values.into_iter().collect();
            let question = Question {
                kind,
                operator,
                modifier: (operator != Operator::In).then_some(modifier),
                is_list: false,
                // As of those that it is made of; for "any of" it does not matter.
                is_one: !decides,
                values,
                other: None,
            };
            match Test::new(question) {
                Ok(test) => single.push(self.check(slot, Arc::new(test))),
                Err(_) => single.extend(members),
            }
        }
        single
    }

    /// Which nodes more than one node or rule asks for.
    fn shared(&self, rules: &[Vec<(u32, NodeId)>]) -> Vec<bool> {
        let mut asked = vec![0_u32; self.nodes.len()];
        let parts = self.nodes.iter().flat_map(|node| match node {
            Node::And(parts) | Node::Or(parts) => parts.iter().as_slice(),
            Node::Not(part) => std::slice::from_ref(part),
            Node::Constant(_) | Node::Check(..) => &[],
        });
        let roots = rules.iter().flatten().map(|(_, root)| root);
        for id in parts.chain(roots) {
            asked[*id as usize] += 1;
        }
        asked.into_iter().map(|times| times > 1).collect()
    }
}

fn constant(is: bool) -> NodeId {
    if is { TRUE } else { FALSE }
}

/// The type and the operator by which a check can become one with others.
fn mergeable(question: &Question, decides: bool) -> Option<(Type, Operator)> {
    use Operator as O;
    if question.other.is_some() || question.is_list || question.values.is_empty() {
        return None;
    }
    let is_any = question.modifier == Some(Modifier::AnyOf) || question.values.len() == 1;
    let is_all = question.modifier == Some(Modifier::AllOf) || question.values.len() == 1;
    let operator = match question.operator {
        // "a != x and a != y": for one value, none of them.
        O::NotEqual if !decides && question.is_one && is_all => O::NotEqual,
        _ if !decides => return None,
        O::In | O::Intersects => O::In,
        O::Equal if is_any => O::In,
        O::StartsWith | O::EndsWith | O::Contains | O::IContains | O::PMatch
            if is_any || question.modifier.is_none() =>
        {
            question.operator
        }
        _ => return None,
    };
    Some((question.kind, operator))
}

/// Builds one condition for one type of events.
struct Build<'b> {
    builder: &'b mut Builder,
    slots: &'b [SlotId],
    name: Option<&'b str>,
    macros: HashMap<*const Named, NodeId>,
}

impl Build<'_> {
    fn node(&mut self, tree: &Tree) -> NodeId {
        match tree {
            Tree::And(parts) => self.nodes(parts, false),
            Tree::Or(parts) => self.nodes(parts, true),
            Tree::Not(part) => {
                let part = self.node(part);
                self.builder.not(part)
            }
            Tree::Macro(named) => match self.macros.get(&Arc::as_ptr(named)) {
                Some(id) => *id,
                None => {
                    let id = self.node(&named.tree);
                    self.macros.insert(Arc::as_ptr(named), id);
                    id
                }
            },
            Tree::Leaf(leaf) => self.leaf(leaf),
        }
    }

    fn nodes(&mut self, parts: &[Tree], decides: bool) -> NodeId {
        let parts = parts.iter().map(|part| self.node(part)).collect();
        self.builder.join(parts, decides)
    }

    fn leaf(&mut self, leaf: &Leaf) -> NodeId {
        if let Some(is) = fold(leaf, self.name) {
            return constant(is);
        }
        let mut test = Arc::clone(&leaf.test);
        if let Some(other) = test.question.other {
            let question = Question { other: Some(self.slots[other as usize]), ..test.question.clone() };
            if let Ok(here) = Test::new(question) {
                test = Arc::new(here);
            }
        }
        self.builder.check(self.slots[leaf.slot as usize], test)
    }
}
