//! Draws the processes of a session as a tree.

use std::cmp::Reverse;
use std::hash::{DefaultHasher, Hash, Hasher};

use rustc_hash::FxHashMap;

use super::table::sum;
use crate::picture::{End, Picture, Process, Ran};
use crate::sinks::look::{Look, Sort};
use crate::sinks::signals;
use crate::sinks::text::{self, Paint};

/// Lines of the tree.
const MOST_LINES: usize = 24;
/// Groups of children under one process.
const MOST_CHILDREN: usize = 10;
/// Generations.
const DEEPEST: usize = 10;
/// Columns of a line before how the process ended, where there is room for more.
const USUAL: usize = 64;
/// Columns of how a process ended, mostly.
const HOW: usize = 30;

/// Siblings that show as one line.
#[derive(Debug, Default)]
struct Group {
    members: Vec<u32>,
}

/// Appends the tree.
pub fn write(picture: &Picture, look: Look, now_ns: u64, out: &mut Vec<u8>) {
    let processes = picture.processes();
    let mut children: Vec<Vec<u32>> = vec![Vec::new(); processes.len()];
    let mut roots = Vec::new();
    for (index, process) in processes.iter().enumerate() {
        match process.parent.and_then(|parent| children.get_mut(parent as usize)) {
            Some(siblings) => siblings.push(index as u32),
            None => roots.push(index as u32),
        }
    }
    let (signatures, sizes) = shapes(processes, &children, &downwards(&roots, &children));
    let first = processes.first().map(|process| &process.container);
    let has_containers = processes.iter().any(|process| Some(&process.container) != first);
    let (lines, shown) = (Vec::new(), 0);
    let mut drawing =
        Drawing { processes, look, now_ns, has_containers, children, signatures, sizes, lines, shown };
    drawing.siblings(&roots, "", 0);
    let Drawing { lines, shown, .. } = drawing;
    // One long line does not push the others' ends to the right.
    let widest = room(look).min(USUAL);
    let width = lines.iter().map(|line| line.columns).max().unwrap_or(0).min(widest + 2);
    for line in &lines {
        out.extend_from_slice(b"  ");
        out.extend_from_slice(&line.text);
        if !line.how.is_empty() {
            text::pad(line.columns, width + 2, out);
            out.extend_from_slice(&line.how);
        }
        out.push(b'\n');
    }
    let left = picture.len().saturating_sub(shown);
    if left > 0 {
        let more = format!("  {}\n", text::more(left, "process"));
        look.style.text(Paint::Dim, &more, out);
    }
}

/// Columns for a process and its arguments. On a narrow terminal its end stands on a line of its own.
fn room(look: Look) -> usize {
    const NARROW: usize = 72;
    let is_narrow = look.columns.is_some_and(|columns| columns < NARROW);
    look.room(if is_narrow { 2 } else { HOW })
}

/// A process's command, each word ended by a NUL: its arguments, where they are known.
pub fn with_arguments(process: &Process) -> Vec<u8> {
    let known = process.argv.iter().position(|byte| *byte == 0).map(|end| &process.argv[end..]);
    let suffix: &[u8] = if process.has_started { b"" } else { b" (fork)" };
    [process.name(), suffix, known.unwrap_or(b"\0")].concat()
}

/// The processes, parents before their children.
fn downwards(roots: &[u32], children: &[Vec<u32>]) -> Vec<u32> {
    let mut order = roots.to_vec();
    let mut next = 0;
    while let Some(parent) = order.get(next).copied() {
        order.extend(children.get(parent as usize).into_iter().flatten());
        next += 1;
    }
    order
}

/// What siblings are compared by, as hashes of everything that a line shows.
#[derive(Clone, Copy, Debug, Default)]
struct Signature {
    whole: u64,
    /// The same without arguments.
    program: u64,
}

/// For each process its signature, and the number of processes under it, itself included.
fn shapes(processes: &[Process], children: &[Vec<u32>], downwards: &[u32]) -> (Vec<Signature>, Vec<u64>) {
    let mut signatures = vec![Signature::default(); processes.len()];
    let mut sizes = vec![1; processes.len()];
    for index in downwards.iter().rev().map(|index| *index as usize) {
        let Some(node) = processes.get(index) else { continue };
        let below = |hash: fn(&Signature) -> u64| {
            let of = |place: &u32| signatures.get(*place as usize).map_or(0, hash);
            let mut below: Vec<u64> = children.get(index).into_iter().flatten().map(of).collect();
            below.sort_unstable();
            below.dedup();
            below
        };
        let look = (
            &node.container,
            &node.program,
            node.name(),
            &node.before,
            node.has_started,
            node.end,
            node.blind,
            &node.failure,
        );
        let signature = Signature {
            whole: hash((&look, &node.argv, below(|signature| signature.whole))),
            program: hash((&look, below(|signature| signature.program))),
        };
        let size = 1 + children
            .get(index)
            .into_iter()
            .flatten()
            .fold(0, |sum, child| sum + sizes.get(*child as usize).copied().unwrap_or(0));
        if let (Some(own), Some(known)) = (signatures.get_mut(index), sizes.get_mut(index)) {
            *own = signature;
            *known = size;
        }
    }
    (signatures, sizes)
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Whether a process says that it failed, or was killed.
fn has_failed(process: &Process) -> bool {
    matches!(process.end, End::Signal(_)) || matches!(process.end, End::Code(code) if code != 0)
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
    processes: &'a [Process],
    look: Look,
    now_ns: u64,
    /// Processes of more than one container, or of one and of none.
    has_containers: bool,
    children: Vec<Vec<u32>>,
    signatures: Vec<Signature>,
    sizes: Vec<u64>,
    lines: Vec<Line>,
    /// The number of processes that the lines stand for.
    shown: u64,
}

impl Drawing<'_> {
    /// Draws siblings, `prefix` before each line.
    fn siblings(&mut self, nodes: &[u32], prefix: &str, depth: usize) {
        let groups = self.groups(nodes);
        let most_lines = self.look.most(MOST_LINES);
        let shown = groups.len().min(self.look.most(MOST_CHILDREN));
        for (index, group) in groups.iter().take(shown).enumerate() {
            if self.lines.len() >= most_lines {
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
        if groups.len() > shown && self.lines.len() < most_lines {
            let left = groups.iter().skip(shown).flat_map(|group| &group.members);
            let left: u64 = left.map(|node| self.sizes.get(*node as usize).copied().unwrap_or(1)).sum();
            self.shown += left;
            let branch = if depth == 0 { "" } else { "└─ " };
            let mut line = Line::default();
            let more = format!("{prefix}{branch}{}", text::more(left, "process"));
            self.look.style.text(Paint::Dim, &more, &mut line.text);
            self.lines.push(line);
        }
    }

    /// Siblings that look alike, wherever they stand, in the order of the first of each; where these are too
    /// many lines, those that differ in their arguments alone count as alike.
    fn groups(&self, nodes: &[u32]) -> Vec<Group> {
        let mut groups = self.alike(nodes, |signature| signature.whole);
        if groups.len() > self.look.most(MOST_CHILDREN) && self.look.top.is_none() {
            groups = self.alike(nodes, |signature| signature.program);
        }
        let first = |group: &Group| self.processes.get(*group.members.first()? as usize);
        match self.look.sort {
            Sort::Bytes => {}
            Sort::Time => groups.sort_by_key(|group| Reverse(sum(self.durations(&group.members)))),
            Sort::Failures => {
                groups.sort_by_key(|group| first(group).is_none_or(|process| !has_failed(process)))
            }
            Sort::Name => groups.sort_by(|one, other| {
                let name = |group| first(group).map(|process| (process.name(), &process.argv));
                name(one).cmp(&name(other))
            }),
        }
        groups
    }

    fn alike(&self, nodes: &[u32], hash: fn(&Signature) -> u64) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        let mut known: FxHashMap<u64, usize> = FxHashMap::default();
        for node in nodes {
            let signature = self.signatures.get(*node as usize).map_or(0, hash);
            let place = *known.entry(signature).or_insert(groups.len());
            match groups.get_mut(place) {
                Some(group) => group.members.push(*node),
                None => groups.push(Group { members: vec![*node] }),
            }
        }
        groups
    }

    /// How long each of these lasted.
    fn durations<'a>(&'a self, members: &'a [u32]) -> impl Iterator<Item = u64> + 'a {
        let members = members.iter().filter_map(|node| self.processes.get(*node as usize));
        members.map(|node| self.duration(node))
    }

    fn duration(&self, node: &Process) -> u64 {
        let last_ns = if node.end == End::Running { self.now_ns } else { node.ended_ns };
        last_ns.saturating_sub(node.began_ns)
    }

    fn line(&self, group: &Group, prefix: &str) -> Line {
        let mut line = Line::default();
        let members: Vec<&Process> =
            group.members.iter().filter_map(|node| self.processes.get(*node as usize)).collect();
        let Some(first) = members.first() else { return line };
        if !prefix.is_empty() {
            self.look.style.text(Paint::Dim, prefix, &mut line.text);
        }
        line.columns = prefix.chars().count();
        if members.len() > 1 {
            let times = format!("{} × ", text::count(members.len() as u64));
            line.columns += times.chars().count();
            self.look.style.text(Paint::Bold, &times, &mut line.text);
        }
        self.label(first, &members, &mut line);
        self.how(first, &members, &mut line.how);
        line
    }

    /// The programs that a process ran, the last with its arguments.
    fn label(&self, node: &Process, members: &[&Process], line: &mut Line) {
        let out = &mut line.text;
        let parent = node.parent.and_then(|parent| self.processes.get(parent as usize));
        let is_its_parents = parent.is_some_and(|parent| parent.container == node.container);
        if self.has_containers && !is_its_parents && !node.container.is_empty() {
            self.look.style.paint(Paint::Magenta, out, |out| {
                line.columns += text::quote(node.container.as_bytes(), 24, out) + 2;
            });
            out.extend_from_slice(b": ");
        }
        for Ran { program, called } in &node.before {
            line.columns += self.names(called.as_deref(), program, 16, out) + 3;
            out.extend_from_slice(" → ".as_bytes());
        }
        let known = |name: &'static [u8], or: &[u8]| if or.is_empty() { name.to_vec() } else { or.to_vec() };
        if !node.has_started {
            line.columns += 7 + self.names(None, &known(b"?", node.name()), 24, out);
            return self.look.style.text(Paint::Dim, " (fork)", out);
        }
        line.columns += self.names(node.called(), &known(b"?", &node.program), 24, out);
        let arguments = node.argv.split(|byte| *byte == 0).skip(1);
        // The text after the last NUL is empty, or an argument that was cut.
        let arguments: Vec<&[u8]> = arguments.collect();
        let whole = arguments
            .split_last()
            .map_or(&[][..], |(cut, whole)| if cut.is_empty() { whole } else { &arguments });
        let widest = room(self.look);
        let is_same = members.iter().all(|member| member.argv == node.argv);
        for argument in whole.iter().take(if is_same { usize::MAX } else { 1 }) {
            let left = widest.saturating_sub(line.columns + 1);
            if left < 4 {
                line.columns += 2;
                return out.extend_from_slice(" …".as_bytes());
            }
            out.push(b' ');
            line.columns += 1 + text::quote(argument, left, out);
        }
        if !is_same && !out.ends_with("…".as_bytes()) && !out.ends_with("…\"".as_bytes()) {
            line.columns += 2;
            out.extend_from_slice(" …".as_bytes());
        }
    }

    /// Appends the name that a program was executed by, and its file's behind it where that is another one;
    /// gives the columns that they take.
    fn names(&self, called: Option<&[u8]>, program: &[u8], most: usize, out: &mut Vec<u8>) -> usize {
        let style = self.look.style;
        let mut columns = 0;
        style.paint(Paint::Cyan, out, |out| columns = text::quote(called.unwrap_or(program), most, out));
        if called.is_some() {
            style.paint(Paint::Dim, out, |out| {
                out.extend_from_slice(b" (");
                columns += 3 + text::quote(program, most, out);
                out.push(b')');
            });
        }
        columns
    }

    /// Appends its end, its duration and its failures.
    fn how(&self, node: &Process, members: &[&Process], out: &mut Vec<u8>) {
        match node.end {
            End::Code(0) => self.look.style.text(Paint::Green, "exit 0", out),
            End::Code(code) => self.look.style.text(Paint::Yellow, &format!("exit {code}"), out),
            End::Signal(signal) => self.look.style.text(Paint::Red, &signals::name(signal.into()), out),
            End::Running => self.look.style.text(Paint::Dim, "still running", out),
            End::Unknown => self.look.style.text(Paint::Dim, "ended", out),
        }
        let lasted = || members.iter().map(|node| self.duration(node));
        let (all, slowest) = (sum(lasted()), lasted().max().unwrap_or(0));
        // A forked process that reported only its end has no beginning to count from.
        if all > 0 {
            let total = if members.len() > 1 { "Σ " } else { "" };
            let mut text = format!("  {total}{}", text::duration(all));
            let cpu = sum(members.iter().map(|node| node.cpu_ns));
            if cpu > 0 {
                text.push_str(&format!(", cpu {}", text::duration(cpu)));
            }
            if members.len() > 1 {
                text.push_str(&format!(", slowest {}", text::duration(slowest)));
            }
            self.look.style.text(Paint::Dim, &text, out);
        }
        if let Some((path, error)) = &node.failure {
            self.look.style.paint(Paint::Red, out, |out| {
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
            self.look.style.text(Paint::Yellow, &format!("  not seen into: {}", node.blind), out);
        }
        let lost = sum(members.iter().map(|node| node.lost));
        if lost > 0 {
            self.look.style.text(Paint::Red, &format!("  {} lost", text::count(lost)), out);
        }
    }
}
