//! The engine: judges an event by all rules at once.
//!
//! All conditions become one graph in which equal parts are one node, whichever rule they come from. For each
//! type of events that a rule names, the checks of `evt.type` are decided when the engine is made, and what
//! follows from them is left out: a type has a list of the rules that can hold for it, each with the rest of
//! its condition. An event costs a look at the gates of those rules ([`crate::gates`]), then the nodes that
//! are needed, each once at most, and the fields that they look at, each once at most (ADR 22).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::ast::{Modifier, Operator};
use crate::compare::{Question, Test};
use crate::compile::{Leaf, Named, Program, Tree, TypeOf, fold};
use crate::eval::Step;
use crate::field::{Answer, Subject, Type};
use crate::gates::{Bit, Gates, MOST, TableId};
use crate::slot::{Places, Slot, SlotId, Slots, Values};
use crate::tables::{EXISTS, Relation, Table};

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

/// The types that no rule names.
const OTHER_TYPE: EventType = EventType(0);

/// The number of events without a type: a check of `evt.type` is false for them, whatever it asks.
const NO_TYPE: EventType = EventType(1);

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
    nodes: Vec<Packed>,
    /// The parts of all "and" and "or", those of a node one after the other.
    parts: Vec<NodeId>,
    checks: Vec<Check>,
    /// The type's number by its name; 0 are the types that no rule names, and [`NO_TYPE`] is no type.
    types: HashMap<String, EventType>,
    /// The rules that can hold for each type, in the order of definition.
    rules: Vec<Vec<(u32, NodeId)>>,
    /// What each node costs, about.
    costs: Vec<u32>,
    /// For each "and", which part to ask first: the one that was false at last, unless it is dear.
    first: Vec<u32>,
    /// Answers of shared nodes: twice the event's number, and the answer in the last bit.
    answers: Vec<u32>,
    event: u32,
    places: Places,
    tables: Vec<Place>,
    /// The words of all tables.
    words: Vec<u64>,
    /// Which rules of a type can hold, of each type.
    gates: Vec<Gates>,
    /// Memory for those that can hold for an event.
    open: Vec<u64>,
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

/// The tables and bits of those nodes that a table answers.
type Bits = FxHashMap<NodeId, Bit>;

/// Marks a node that several nodes or rules ask for, so that its answer is worth keeping.
const SHARED: NodeId = 1 << 31;

/// The node that always holds, and the one that never does.
const TRUE: NodeId = 0;
const FALSE: NodeId = 1;

/// A node as the engine walks it: small, so that those of a type of events lie together.
#[derive(Clone, Copy, Debug)]
enum Packed {
    Constant(bool),
    /// A range of `parts`.
    And(u32, u32),
    /// A range of `parts`.
    Or(u32, u32),
    Not(NodeId),
    /// An index of `checks`.
    Check(u32),
    /// The same, with a table, and the check's bit of it. With [`NEGATED`], the check holds if the bit is not
    /// set.
    Bit(u32, TableId, u32),
}

/// Marks a bit whose check holds for a value if the bit is not set.
const NEGATED: u32 = 1 << 31;

/// The fewest texts of a table that is a good gate.
const SELECTIVE: usize = 8;

/// The fewest checks of texts that make a table worth its look.
const FEWEST: usize = 3;

/// A table, and its words among those of the present event.
#[derive(Debug)]
struct Place {
    slot: SlotId,
    table: Table,
    start: u32,
    end: u32,
    /// The event for which the words were set.
    event: u32,
}

type Check = (SlotId, Test);

/// The most that a part may cost to be asked before those that cost less. Only a field's first reading and a
/// look into a set are that cheap.
const CHEAP: u32 = 48;

/// A part of conditions.
#[derive(Clone, Debug)]
enum Node {
    Constant(bool),
    And(Box<[NodeId]>),
    Or(Box<[NodeId]>),
    Not(NodeId),
    Check(SlotId, Test),
}

impl Node {
    fn parts(&self) -> &[NodeId] {
        match self {
            Node::And(parts) | Node::Or(parts) => parts,
            Node::Not(part) => std::slice::from_ref(part),
            Node::Constant(_) | Node::Check(..) => &[],
        }
    }
}

impl Engine {
    /// Makes an engine of rules in the order of their definition.
    #[must_use]
    pub fn new(rules: Vec<Program>, matching: Matching) -> Engine {
        let names: BTreeSet<&String> =
            rules.iter().flat_map(|rule| rule.event_types().named.keys()).collect();
        // The first two numbers are taken; no kernel has 65 535 system calls.
        let types: HashMap<String, EventType> = names
            .into_iter()
            .zip(NO_TYPE.0 + 1..)
            .map(|(name, number)| (name.clone(), EventType(number)))
            .collect();
        let mut builder = Builder::new();
        let mut by_type = vec![Vec::new(); types.len() + 2];
        for (index, rule) in (0_u32..).zip(&rules) {
            let ids = builder.slots.adopt(&rule.slots);
            let mut add = |of: TypeOf<'_>, number: EventType| {
                let node = builder.build(&rule.tree, &ids, of);
                if node != FALSE {
                    by_type[usize::from(number.0)].push((index, node));
                }
            };
            if rule.event_types().others {
                add(TypeOf::Other, OTHER_TYPE);
            }
            if rule.event_types().none {
                add(TypeOf::None, NO_TYPE);
            }
            for (name, number) in types.iter().filter(|(name, _)| rule.event_types().may_be(name)) {
                add(TypeOf::Named(name), *number);
            }
        }
        if matching == Matching::First {
            for ids in &mut by_type {
                ids.sort_by_key(|(index, _)| !rules[*index as usize].counts);
            }
        }
        let asked = builder.asked(&by_type);
        builder.order(&asked);
        let (tables, bits, words) = builder.tables();
        let gates = builder.gates(&by_type, &tables, &bits);
        builder.mark_shared(&mut by_type, &asked);
        let slots = builder.slots.list().to_vec();
        let (nodes, parts, checks) = builder.packed(&bits);
        Engine {
            matching,
            programs: rules,
            nodes,
            parts,
            checks,
            first: vec![0; builder.nodes.len()],
            costs: builder.costs,
            types,
            rules: by_type,
            answers: vec![0; builder.nodes.len()],
            event: 0,
            places: Places::new(slots.len()),
            tables,
            words: vec![0; words],
            gates,
            open: Vec::new(),
            room: Vec::new(),
            slots,
        }
    }

    /// The number of a type of events by its name, which is empty for events without a type. To be asked once
    /// for each name, not for each event.
    #[must_use]
    pub fn event_type(&self, name: &str) -> EventType {
        let other = if name.is_empty() { NO_TYPE } else { OTHER_TYPE };
        self.types.get(name).copied().unwrap_or(other)
    }

    /// Whether a rule can hold for events of this type.
    #[must_use]
    pub fn asks_for(&self, event_type: EventType) -> bool {
        self.rules.get(usize::from(event_type.0)).is_some_and(|rules| !rules.is_empty())
    }

    /// Appends the rules that the event matches to `matches`, in the order of their definition.
    ///
    /// Checks of `evt.type` are answered by `event_type` and not by the subject. Asks the subject for each
    /// pair of field and argument once at most.
    pub fn judge(&mut self, event_type: EventType, subject: &dyn Subject, matches: &mut Vec<Match>) {
        let Some(rules) = self.rules.get(usize::from(event_type.0)).filter(|rules| !rules.is_empty()) else {
            return;
        };
        // Half of the numbers, as an answer takes the last bit.
        if self.event == u32::MAX >> 1 {
            self.answers.fill(0);
            self.tables.iter_mut().for_each(|place| place.event = 0);
            self.event = 0;
        }
        self.event += 1;
        self.places.next_event();
        let room = std::mem::take(&mut self.room);
        let mut judge = Judge {
            nodes: &self.nodes,
            parts: &self.parts,
            checks: &self.checks,
            first: &mut self.first,
            costs: &self.costs,
            answers: &mut self.answers,
            event: self.event,
            tables: &mut self.tables,
            words: &mut self.words,
            values: Values::new(&self.slots, &mut self.places, subject, room),
        };
        let gates = &self.gates[usize::from(event_type.0)];
        gates.open(&mut self.open, |table, ask| ask(judge.look(table)));
        'all: for (index, word) in self.open.iter().enumerate() {
            let mut open = *word;
            while open != 0 {
                let (rule, node) = rules[index * 64 + open.trailing_zeros() as usize];
                open &= open - 1;
                if judge.holds(node) {
                    matches.push(Match { rule });
                    if self.matching == Matching::First && !self.programs[rule as usize].counts {
                        break 'all;
                    }
                }
            }
        }
        self.room = judge.values.into_room();
    }

    /// All parts of a rule's condition with what they say about an event, also those that `judge` need not
    /// ask.
    ///
    /// Empty if there is no such rule. [`Program::explain`] has the details.
    #[must_use]
    pub fn explain(&self, rule: u32, subject: &dyn Subject) -> Vec<Step> {
        self.programs.get(rule as usize).map(|program| program.explain(subject)).unwrap_or_default()
    }
}

/// The state of one event.
struct Judge<'s, 'e> {
    nodes: &'e [Packed],
    parts: &'e [NodeId],
    checks: &'e [Check],
    first: &'e mut [u32],
    costs: &'e [u32],
    answers: &'e mut [u32],
    event: u32,
    tables: &'e mut [Place],
    words: &'e mut [u64],
    values: Values<'s, 'e>,
}

impl Judge<'_, '_> {
    #[inline]
    fn holds(&mut self, id: NodeId) -> bool {
        if id & SHARED == 0 {
            return self.ask(id as usize);
        }
        let at = (id & !SHARED) as usize;
        let answer = self.answers[at];
        if answer >> 1 == self.event {
            return answer & 1 == 1;
        }
        let holds = self.ask(at);
        self.answers[at] = self.event << 1 | u32::from(holds);
        holds
    }

    fn ask(&mut self, at: usize) -> bool {
        match self.nodes[at] {
            Packed::Constant(is) => is,
            Packed::And(start, end) => self.all(at, start as usize..end as usize),
            Packed::Or(start, end) => {
                let parts = self.parts;
                parts[start as usize..end as usize].iter().any(|part| self.holds(*part))
            }
            Packed::Not(part) => !self.holds(part),
            Packed::Check(check) => self.check(check),
            Packed::Bit(check, table, bit) => self.bit(check, table, bit),
        }
    }

    fn check(&mut self, check: u32) -> bool {
        let checks = self.checks;
        let (slot, test) = &checks[check as usize];
        test.passes(*slot, &mut self.values)
    }

    /// What a table says of the event.
    fn look(&mut self, table: TableId) -> &[u64] {
        let place = &mut self.tables[table as usize];
        let words = &mut self.words[place.start as usize..place.end as usize];
        if place.event != self.event {
            place.event = self.event;
            words.fill(0);
            place.table.look(self.values.get(place.slot), words);
        }
        words
    }

    /// Takes the answer from a table that was looked at. A look for one check alone costs more than the
    /// check.
    #[inline]
    fn bit(&mut self, check: u32, table: TableId, bit: u32) -> bool {
        let place = &self.tables[table as usize];
        if place.event != self.event {
            return self.check(check);
        }
        let words = &self.words[place.start as usize..place.end as usize];
        let has = |bit: u32| words[bit as usize / 64] >> (bit % 64) & 1 == 1;
        if bit & NEGATED == 0 { has(bit) } else { has(EXISTS) && !has(bit & !NEGATED) }
    }

    /// Events resemble each other: the part that was false at last is probably false again.
    fn all(&mut self, at: usize, range: std::ops::Range<usize>) -> bool {
        let parts = &self.parts[range];
        let first = self.first[at] as usize;
        if !self.holds(parts[first]) {
            return false;
        }
        for (index, part) in parts.iter().enumerate() {
            if index != first && !self.holds(*part) {
                if self.costs[(*part & !SHARED) as usize] <= CHEAP {
                    self.first[at] = index as u32;
                }
                return false;
            }
        }
        true
    }
}

/// What nodes are equal by.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    And(Vec<NodeId>),
    Or(Vec<NodeId>),
    Not(NodeId),
    Check(SlotId, Arc<Question>),
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
    fn build(&mut self, tree: &Tree, slots: &[SlotId], of: TypeOf<'_>) -> NodeId {
        Build { builder: self, slots, of, macros: HashMap::new() }.node(tree)
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

    fn check(&mut self, slot: SlotId, test: Test) -> NodeId {
        // The first reading of a field costs more than a comparison, and a part of one, or one that is made,
        // the more.
        let reading = match self.slots.list().get(slot as usize) {
            Some(Slot::Field(field)) if field.argument.is_none() => 2,
            Some(Slot::Field(_)) => 4,
            _ => 10,
        };
        let cost = reading + test.cost();
        let key = Key::Check(slot, Arc::clone(&test.question));
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
        // The cheapest first; otherwise in the order of the condition, which its author knows to be a good
        // one.
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
                Ok(test) => single.push(self.check(slot, test)),
                Err(_) => single.extend(members),
            }
        }
        single
    }

    /// The tables, the bit of each node that one answers, and the words that all need.
    fn tables(&self) -> (Vec<Place>, Bits, usize) {
        let mut groups: BTreeMap<(SlotId, Relation), Vec<(NodeId, &Test)>> = BTreeMap::new();
        for (id, node) in (0..).zip(&self.nodes) {
            if let Node::Check(slot, test) = node
                && let Some(relation) = test.relation()
            {
                groups.entry((*slot, relation)).or_default().push((id, test));
            }
        }
        let (mut tables, mut bits, mut words) = (Vec::new(), Bits::default(), 0_u32);
        for ((slot, relation), checks) in groups {
            if checks.len() < FEWEST {
                continue;
            }
            let mut rows = Vec::with_capacity(checks.len());
            for (bit, (id, test)) in (EXISTS + 1..).zip(&checks) {
                let marked = if test.is_negated() { bit | NEGATED } else { bit };
                bits.insert(*id, (u32::try_from(tables.len()).unwrap_or(u32::MAX), marked));
                rows.push((test.question.values.as_slice(), bit));
            }
            let start = words;
            words += u32::try_from(checks.len() / 64).unwrap_or(u32::MAX) + 1;
            let table = Table::new(relation, &rows);
            tables.push(Place { slot, table, start, end: words, event: 0 });
        }
        (tables, bits, words as usize)
    }

    /// The gates of each type's rules.
    fn gates(&self, rules: &[Vec<(u32, NodeId)>], tables: &[Place], bits: &Bits) -> Vec<Gates> {
        let mut known = FxHashMap::default();
        let mut of = |rules: &Vec<(u32, NodeId)>| {
            let sets: Vec<_> =
                rules.iter().map(|(_, root)| self.gate(*root, tables, bits, &mut known)).collect();
            Gates::new(&sets)
        };
        rules.iter().map(&mut of).collect()
    }

    /// Bits of which one at least is set where the node holds; `None` where no such bits are known.
    fn gate(
        &self,
        id: NodeId,
        tables: &[Place],
        bits: &Bits,
        known: &mut FxHashMap<NodeId, Option<Vec<Bit>>>,
    ) -> Option<Vec<Bit>> {
        if let Some(gate) = known.get(&id) {
            return gate.clone();
        }
        let gate = match &self.nodes[id as usize] {
            Node::Check(..) => bits.get(&id).filter(|(_, bit)| bit & NEGATED == 0).map(|bit| vec![*bit]),
            Node::And(parts) => {
                let gates = parts.iter().filter_map(|part| self.gate(*part, tables, bits, known));
                gates.min_by_key(|gate| {
                    let used: BTreeSet<TableId> = gate.iter().map(|(table, _)| *table).collect();
                    // The fewer texts rules know of a field, the likelier are they: "fd.typechar = f".
                    let is_likely =
                        used.iter().any(|table| tables[*table as usize].table.texts() < SELECTIVE);
                    (is_likely, used.len(), gate.len())
                })
            }
            Node::Or(parts) => {
                let gates: Option<Vec<Vec<Bit>>> =
                    parts.iter().map(|part| self.gate(*part, tables, bits, known)).collect();
                gates.map(|gates| gates.concat()).filter(|gate| gate.len() <= MOST)
            }
            Node::Constant(_) | Node::Not(_) => None,
        };
        known.insert(id, gate.clone());
        gate
    }

    /// The nodes as the engine walks them, with the parts and the checks that they name by index. `bits` are
    /// those of the checks that a table answers.
    fn packed(&self, bits: &Bits) -> (Vec<Packed>, Vec<NodeId>, Vec<Check>) {
        let (mut parts, mut checks) = (Vec::new(), Vec::new());
        let index = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let mut add = |new: &[NodeId]| {
            let start = index(parts.len());
            parts.extend_from_slice(new);
            (start, index(parts.len()))
        };
        let nodes = (0..).zip(&self.nodes).map(|(id, node)| match node {
            Node::Constant(is) => Packed::Constant(*is),
            Node::And(new) => {
                let (start, end) = add(new);
                Packed::And(start, end)
            }
            Node::Or(new) => {
                let (start, end) = add(new);
                Packed::Or(start, end)
            }
            Node::Not(part) => Packed::Not(*part),
            Node::Check(slot, test) => {
                checks.push((*slot, test.clone()));
                let check = index(checks.len() - 1);
                bits.get(&id).map_or(Packed::Check(check), |(table, bit)| Packed::Bit(check, *table, *bit))
            }
        });
        let nodes = nodes.collect();
        (nodes, parts, checks)
    }

    /// How many nodes and rules ask for each node.
    fn asked(&self, rules: &[Vec<(u32, NodeId)>]) -> Vec<u32> {
        let mut asked = vec![0_u32; self.nodes.len()];
        let roots = rules.iter().flatten().map(|(_, root)| *root);
        for id in self.nodes.iter().flat_map(Node::parts).copied().chain(roots) {
            asked[id as usize] += 1;
        }
        asked
    }

    /// Puts the parts that cost least in front, where the cost of a part is shared by all that ask for it: an
    /// event pays for it once.
    fn order(&mut self, asked: &[u32]) {
        let costs: Vec<u32> = self
            .costs
            .iter()
            .zip(asked)
            .map(|(cost, asked)| cost.saturating_mul(8) / (*asked).max(1))
            .collect();
        for node in &mut self.nodes {
            if let Node::And(parts) | Node::Or(parts) = node {
                parts.sort_by_key(|part| costs[*part as usize]);
            }
        }
        self.costs = costs;
    }

    /// Marks nodes that more than one node or rule asks for, wherever they are named.
    fn mark_shared(&mut self, rules: &mut [Vec<(u32, NodeId)>], asked: &[u32]) {
        let mark = |id: &mut NodeId| *id |= if asked[*id as usize] > 1 { SHARED } else { 0 };
        rules.iter_mut().flatten().for_each(|(_, root)| mark(root));
        for node in &mut self.nodes {
            match node {
                Node::And(parts) | Node::Or(parts) => parts.iter_mut().for_each(mark),
                Node::Not(part) => mark(part),
                Node::Constant(_) | Node::Check(..) => (),
            }
        }
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
    of: TypeOf<'b>,
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
        if let Some(is) = fold(leaf, self.of) {
            return constant(is);
        }
        let mut test = leaf.test.clone();
        if let Some(other) = test.question.other {
            let question = Question { other: Some(self.slots[other as usize]), ..(*test.question).clone() };
            test = Test::new(question).unwrap_or(test);
        }
        self.builder.check(self.slots[leaf.slot as usize], test)
    }
}
