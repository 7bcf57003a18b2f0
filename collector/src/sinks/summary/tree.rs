//! The processes of a session as a tree, and its lines.
//!
//! A node is a process from its first event to its exit, through all images that it ran. A node's parent comes before
//! it in the list, so whatever is worked out from the leaves up is worked out from the end of the list.

use std::hash::{DefaultHasher, Hash, Hasher};

use rustc_hash::FxHashMap;

use super::sum;
use crate::event::Who;
use crate::sinks::signals;
use crate::sinks::text::{self, Paint, Style};

/// Processes that are kept apart; later ones only count.
const MOST_NODES: usize = 10_000;
/// Bytes of an argument vector that are kept.
const ARGV_BYTES: usize = 160;
/// Images that a process ran before its last, by name.
const MOST_BEFORE: usize = 3;
/// Lines of the tree.
const MOST_LINES: usize = 24;
/// Groups of children under one process.
const MOST_CHILDREN: usize = 10;
/// Generations.
const DEEPEST: usize = 10;
/// Columns of a line before how the process ended.
const WIDEST: usize = 64;

/// How a process ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum End {
    /// It has not, as far as was seen.
    #[default]
    Running,
    /// With this status.
    Code(u64),
    /// Killed by this signal.
    Signal(u64),
    /// Nobody could say.
    Unknown,
}

/// What is kept of the end of a process.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// How it ended.
    pub how: End,
    /// When, UTC.
    pub time_ns: u64,
    /// Time that it spent in the sensor.
    pub sensor_ns: u64,
    /// Events of it that were lost.
    pub lost: u64,
}

/// One process.
#[derive(Debug)]
struct Node {
    pid: u32,
    /// What its container is called; empty outside of one.
    container: Box<str>,
    parent: Option<u32>,
    /// The program it runs, and its arguments, each ended by a NUL; of a process that was forked and ran no program
    /// of its own, the program it was forked in.
    program: Box<[u8]>,
    argv: Box<[u8]>,
    has_started: bool,
    /// Names of the programs before.
    before: Vec<Box<[u8]>>,
    blind: &'static str,
    failed: u64,
    failure: Option<(Box<[u8]>, &'static str)>,
    began_ns: u64,
    ended_ns: u64,
    end: End,
    sensor_ns: u64,
    lost: u64,
}

/// Every process of a session.
#[derive(Debug, Default)]
pub struct Tree {
    nodes: Vec<Node>,
    /// The living, by pid namespace and pid.
    live: FxHashMap<(Option<u64>, u32), u32>,
    keys: Vec<(Option<u64>, u32)>,
    /// Ends of processes that had no place in the list.
    unlisted: u64,
}

/// Siblings that show as one line.
#[derive(Debug, Default)]
struct Group {
    members: Vec<u32>,
}

impl Tree {
    /// The living process that is `who`; made if it is not known. `None` once there are too many.
    pub fn find(&mut self, who: &Who, time_ns: u64) -> Option<u32> {
        let key = (who.pid_ns, who.pid().0);
        let container = who.container.as_ref().map_or("", |container| container.short_name());
        if let Some(node) = self.live.get(&key).copied() {
            // Its name may come after its id.
            if let Some(known) = self.get(Some(node)).filter(|known| *known.container != *container) {
                known.container = container.into();
            }
            return Some(node);
        }
        if self.nodes.len() == MOST_NODES {
            return None;
        }
        let parent = who.ppid.and_then(|ppid| self.live.get(&(who.pid_ns, ppid.0)).copied());
        let node = self.nodes.len() as u32;
        self.nodes.push(Node {
            pid: who.pid().0,
            container: container.into(),
            parent,
            program: text::base(who.exe()).into(),
            argv: Box::default(),
            has_started: false,
            before: Vec::new(),
            blind: "",
            failed: 0,
            failure: None,
            began_ns: time_ns,
            ended_ns: time_ns,
            end: End::Running,
            sensor_ns: 0,
            lost: 0,
        });
        self.keys.push(key);
        self.live.insert(key, node);
        Some(node)
    }

    fn get(&mut self, node: Option<u32>) -> Option<&mut Node> {
        self.nodes.get_mut(node? as usize)
    }

    /// A program began in it.
    pub fn started(&mut self, node: Option<u32>, exe: &[u8], argv: &[u8]) {
        if let Some(node) = self.get(node) {
            let program = std::mem::replace(&mut node.program, text::base(exe).into());
            if node.has_started && node.before.len() < MOST_BEFORE {
                node.before.push(program);
            }
            node.has_started = true;
            node.argv = argv.get(..ARGV_BYTES).unwrap_or(argv).into();
        }
    }

    /// An exec failed.
    pub fn failed(&mut self, node: Option<u32>, path: &[u8], error: &'static str) {
        if let Some(node) = self.get(node) {
            node.failed += 1;
            node.failure.get_or_insert_with(|| (path.into(), error));
        }
    }

    /// It cannot be seen into.
    pub fn blind(&mut self, node: Option<u32>, reason: &'static str) {
        if let Some(node) = self.get(node) {
            node.blind = reason;
        }
    }

    /// It ended.
    pub fn ended(&mut self, node: Option<u32>, ended: Ended) {
        let Some(index) = node else {
            self.unlisted += 1;
            return;
        };
        if let Some(key) = self.keys.get(index as usize)
            && self.live.get(key) == Some(&index)
        {
            self.live.remove(key);
        }
        if let Some(node) = self.get(node) {
            node.end = ended.how;
            node.ended_ns = ended.time_ns;
            node.sensor_ns = ended.sensor_ns;
            node.lost = ended.lost;
        }
    }

    /// How many there were.
    pub fn len(&self) -> u64 {
        self.nodes.len() as u64 + self.unlisted
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// How many were not seen to end.
    pub fn running(&self) -> u64 {
        self.nodes.iter().filter(|node| node.end == End::Running).count() as u64
    }

    /// The processes that the sensor cost most: name, pid, nanoseconds.
    pub fn dearest(&self, most: usize) -> Vec<(&[u8], u32, u64)> {
        let mut nodes: Vec<&Node> = self.nodes.iter().filter(|node| node.sensor_ns > 0).collect();
        nodes.sort_by_key(|node| std::cmp::Reverse(node.sensor_ns));
        nodes.iter().take(most).map(|node| (&*node.program, node.pid, node.sensor_ns)).collect()
    }

    /// Appends the tree, up to two dozen lines.
    pub fn write(&self, style: Style, now_ns: u64, out: &mut Vec<u8>) {
        let mut children: Vec<Vec<u32>> = vec![Vec::new(); self.nodes.len()];
        let mut roots = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            match node.parent.and_then(|parent| children.get_mut(parent as usize)) {
                Some(siblings) => siblings.push(index as u32),
                None => roots.push(index as u32),
            }
        }
        let (signatures, sizes) = self.shapes(&children);
        let first = self.nodes.first().map(|node| &node.container);
        let has_containers = self.nodes.iter().any(|node| Some(&node.container) != first);
        let (lines, shown) = (Vec::new(), 0);
        let mut drawing =
            Drawing { tree: self, style, now_ns, has_containers, children, signatures, sizes, lines, shown };
        drawing.siblings(&roots, "", 0);
        let Drawing { lines, shown, .. } = drawing;
        let width = lines.iter().map(|line| line.columns).max().unwrap_or(0).min(WIDEST + 2);
        for line in &lines {
            out.extend_from_slice(b"  ");
            out.extend_from_slice(&line.text);
            if !line.how.is_empty() {
                text::pad(line.columns, width + 2, out);
                out.extend_from_slice(&line.how);
            }
            out.push(b'\n');
        }
        let left = self.len().saturating_sub(shown);
        if left > 0 {
            let more = format!("  {}\n", text::more(left, "process"));
            style.text(Paint::Dim, &more, out);
        }
    }

    /// What makes siblings look alike, and how many processes there are under each, itself included.
    fn shapes(&self, children: &[Vec<u32>]) -> (Vec<u64>, Vec<u64>) {
        let mut signatures = vec![0; self.nodes.len()];
        let mut sizes = vec![1; self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate().rev() {
            let of = |place: &u32| signatures.get(*place as usize).copied().unwrap_or(0);
            let mut below: Vec<u64> = children.get(index).into_iter().flatten().map(of).collect();
            below.sort_unstable();
            below.dedup();
            let mut hasher = DefaultHasher::new();
            (
                &node.container,
                &node.program,
                &node.before,
                node.has_started,
                node.end,
                node.blind,
                &node.failure,
                below,
            )
                .hash(&mut hasher);
            let size = 1 + children
                .get(index)
                .into_iter()
                .flatten()
                .fold(0, |sum, child| sum + sizes.get(*child as usize).copied().unwrap_or(0));
            if let (Some(signature), Some(known)) = (signatures.get_mut(index), sizes.get_mut(index)) {
                *signature = hasher.finish();
                *known = size;
            }
        }
        (signatures, sizes)
    }
}

/// A line of the tree.
#[derive(Debug, Default)]
struct Line {
    text: Vec<u8>,
    columns: usize,
    how: Vec<u8>,
}

/// The tree while it is written.
struct Drawing<'a> {
    tree: &'a Tree,
    style: Style,
    now_ns: u64,
    /// More than one container, or one and what is in none.
    has_containers: bool,
    children: Vec<Vec<u32>>,
    signatures: Vec<u64>,
    sizes: Vec<u64>,
    lines: Vec<Line>,
    /// Processes that the lines stand for.
    shown: u64,
}

impl Drawing<'_> {
    /// Draws siblings, `prefix` before each line.
    fn siblings(&mut self, nodes: &[u32], prefix: &str, depth: usize) {
        let groups = self.groups(nodes);
        let shown = groups.len().min(MOST_CHILDREN);
        for (index, group) in groups.iter().take(shown).enumerate() {
            if self.lines.len() >= MOST_LINES {
                return;
            }
            let is_last = index + 1 == groups.len();
            let (branch, below) = match (depth, is_last) {
                (0, _) => ("", ""),
                (_, true) => ("└─ ", "   "),
                (_, false) => ("├─ ", "│  "),
            };
            let line = self.line(group, &format!("{prefix}{branch}"));
            self.lines.push(line);
            let size = |node: &u32| self.sizes.get(*node as usize).copied().unwrap_or(1);
            self.shown += 1 + group.members.iter().skip(1).map(size).sum::<u64>();
            if let Some(first) = group.members.first() {
                let children = self.children.get_mut(*first as usize).map(std::mem::take).unwrap_or_default();
                if depth < DEEPEST {
                    self.siblings(&children, &format!("{prefix}{below}"), depth + 1);
                }
            }
        }
        if groups.len() > shown && self.lines.len() < MOST_LINES {
            let left = groups.iter().skip(shown).flat_map(|group| &group.members);
            let left: u64 = left.map(|node| self.sizes.get(*node as usize).copied().unwrap_or(1)).sum();
            self.shown += left;
            let branch = if depth == 0 { "" } else { "└─ " };
            let mut line = Line::default();
            let more = format!("{prefix}{branch}{}", text::more(left, "process"));
            self.style.text(Paint::Dim, &more, &mut line.text);
            self.lines.push(line);
        }
    }

    /// Siblings that look alike, wherever they stand, in the order of the first of each.
    fn groups(&self, nodes: &[u32]) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        let mut known: FxHashMap<u64, usize> = FxHashMap::default();
        for node in nodes {
            let signature = self.signatures.get(*node as usize).copied().unwrap_or(0);
            let place = *known.entry(signature).or_insert(groups.len());
            match groups.get_mut(place) {
                Some(group) => group.members.push(*node),
                None => groups.push(Group { members: vec![*node] }),
            }
        }
        groups
    }

    fn line(&self, group: &Group, prefix: &str) -> Line {
        let mut line = Line::default();
        let members: Vec<&Node> =
            group.members.iter().filter_map(|node| self.tree.nodes.get(*node as usize)).collect();
        let Some(first) = members.first() else { return line };
        if !prefix.is_empty() {
            self.style.text(Paint::Dim, prefix, &mut line.text);
        }
        line.columns = prefix.chars().count();
        if members.len() > 1 {
            let times = format!("{} × ", text::count(members.len() as u64));
            line.columns += times.chars().count();
            self.style.text(Paint::Bold, &times, &mut line.text);
        }
        self.label(first, &members, &mut line);
        self.how(first, &members, &mut line.how);
        line
    }

    /// The programs that a process ran, the last with its arguments.
    fn label(&self, node: &Node, members: &[&Node], line: &mut Line) {
        let out = &mut line.text;
        let parent = node.parent.and_then(|parent| self.tree.nodes.get(parent as usize));
        let is_its_parents = parent.is_some_and(|parent| parent.container == node.container);
        if self.has_containers && !is_its_parents && !node.container.is_empty() {
            self.style.paint(Paint::Magenta, out, |out| {
                line.columns += text::quote(node.container.as_bytes(), 24, out) + 2;
            });
            out.extend_from_slice(b": ");
        }
        for before in &node.before {
            line.columns += text::quote(before, 16, out) + 3;
            out.extend_from_slice(" → ".as_bytes());
        }
        let name: &[u8] = if node.program.is_empty() { b"?" } else { &node.program };
        self.style.paint(Paint::Cyan, out, |out| line.columns += text::quote(name, 24, out));
        if !node.has_started {
            line.columns += 7;
            return self.style.text(Paint::Dim, " (fork)", out);
        }
        let is_same = members.iter().all(|member| member.argv == node.argv);
        let arguments = node.argv.split(|byte| *byte == 0).skip(1);
        // What stands after the last NUL is either nothing, or was cut.
        let arguments: Vec<&[u8]> = arguments.collect();
        let whole = arguments
            .split_last()
            .map_or(&[][..], |(cut, whole)| if cut.is_empty() { whole } else { &arguments });
        for argument in whole.iter().take(if is_same { usize::MAX } else { 1 }) {
            let left = WIDEST.saturating_sub(line.columns + 1);
            if left < 4 {
                line.columns += 2;
                return out.extend_from_slice(" …".as_bytes());
            }
            out.push(b' ');
            line.columns += 1 + text::quote(argument, left.min(40), out);
        }
        if !is_same && !out.ends_with("…".as_bytes()) && !out.ends_with("…\"".as_bytes()) {
            line.columns += 2;
            out.extend_from_slice(" …".as_bytes());
        }
    }

    /// How it ended, how long it took, what went wrong.
    fn how(&self, node: &Node, members: &[&Node], out: &mut Vec<u8>) {
        match node.end {
            End::Code(0) => self.style.text(Paint::Green, "exit 0", out),
            End::Code(code) => self.style.text(Paint::Yellow, &format!("exit {code}"), out),
            End::Signal(signal) => self.style.text(Paint::Red, &signals::name(signal.into()), out),
            End::Running => self.style.text(Paint::Dim, "still running", out),
            End::Unknown => self.style.text(Paint::Dim, "ended", out),
        }
        let last_ns = |node: &Node| if node.end == End::Running { self.now_ns } else { node.ended_ns };
        let lasted = sum(members.iter().map(|node| last_ns(node).saturating_sub(node.began_ns)));
        let total = if members.len() > 1 { "Σ " } else { "" };
        // Of a forked process that did nothing but end, there is no beginning to count from.
        if lasted > 0 {
            self.style.text(Paint::Dim, &format!("  {total}{}", text::duration(lasted)), out);
        }
        if let Some((path, error)) = &node.failure {
            self.style.paint(Paint::Red, out, |out| {
                out.extend_from_slice("  ✗ exec ".as_bytes());
                text::quote(path, 40, out);
                out.push(b' ');
                out.extend_from_slice(error.as_bytes());
                let failed: u64 = members.iter().map(|node| node.failed).sum();
                if failed > 1 {
                    out.extend_from_slice(format!(" ({failed}×)").as_bytes());
                }
            });
        }
        if !node.blind.is_empty() {
            self.style.text(Paint::Yellow, &format!("  not seen into: {}", node.blind), out);
        }
        let lost = sum(members.iter().map(|node| node.lost));
        if lost > 0 {
            self.style.text(Paint::Red, &format!("  {} lost", text::count(lost)), out);
        }
    }
}
