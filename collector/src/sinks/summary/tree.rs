//! Draws the processes of a session as a tree.

use std::hash::{DefaultHasher, Hash, Hasher};

use rustc_hash::FxHashMap;

use super::table::sum;
use crate::picture::{End, Picture, Process, Ran};
use crate::sinks::signals;
use crate::sinks::text::{self, Paint, Style};

/// Lines of the tree.
const MOST_LINES: usize = 24;
/// Groups of children under one process.
const MOST_CHILDREN: usize = 10;
/// Generations.
const DEEPEST: usize = 10;
/// Columns of a line before how the process ended.
const WIDEST: usize = 64;

/// Siblings that show as one line.
#[derive(Debug, Default)]
struct Group {
    members: Vec<u32>,
}

/// Appends the tree, up to two dozen lines.
pub fn write(picture: &Picture, style: Style, now_ns: u64, out: &mut Vec<u8>) {
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
        Drawing { processes, style, now_ns, has_containers, children, signatures, sizes, lines, shown };
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
    let left = picture.len().saturating_sub(shown);
    if left > 0 {
        let more = format!("  {}\n", text::more(left, "process"));
        style.text(Paint::Dim, &more, out);
    }
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

/// For each process a hash of everything that its siblings are compared by, and the number of processes under
/// it, itself included.
fn shapes(processes: &[Process], children: &[Vec<u32>], downwards: &[u32]) -> (Vec<u64>, Vec<u64>) {
    let mut signatures = vec![0; processes.len()];
    let mut sizes = vec![1; processes.len()];
    for index in downwards.iter().rev().map(|index| *index as usize) {
        let Some(node) = processes.get(index) else { continue };
        let of = |place: &u32| signatures.get(*place as usize).copied().unwrap_or(0);
        let mut below: Vec<u64> = children.get(index).into_iter().flatten().map(of).collect();
        below.sort_unstable();
        below.dedup();
        let mut hasher = DefaultHasher::new();
        (
            &node.container,
            &node.program,
            node.called(),
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
    style: Style,
    now_ns: u64,
    /// Processes of more than one container, or of one and of none.
    has_containers: bool,
    children: Vec<Vec<u32>>,
    signatures: Vec<u64>,
    sizes: Vec<u64>,
    lines: Vec<Line>,
    /// The number of processes that the lines stand for.
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
        let members: Vec<&Process> =
            group.members.iter().filter_map(|node| self.processes.get(*node as usize)).collect();
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
    fn label(&self, node: &Process, members: &[&Process], line: &mut Line) {
        let out = &mut line.text;
        let parent = node.parent.and_then(|parent| self.processes.get(parent as usize));
        let is_its_parents = parent.is_some_and(|parent| parent.container == node.container);
        if self.has_containers && !is_its_parents && !node.container.is_empty() {
            self.style.paint(Paint::Magenta, out, |out| {
                line.columns += text::quote(node.container.as_bytes(), 24, out) + 2;
            });
            out.extend_from_slice(b": ");
        }
        for Ran { program, called } in &node.before {
            line.columns += text::quote(program, 16, out) + 3;
            line.columns += self.called(called.as_deref(), out);
            out.extend_from_slice(" → ".as_bytes());
        }
        let name: &[u8] = if node.program.is_empty() { b"?" } else { &node.program };
        self.style.paint(Paint::Cyan, out, |out| line.columns += text::quote(name, 24, out));
        if !node.has_started {
            line.columns += 7;
            return self.style.text(Paint::Dim, " (fork)", out);
        }
        line.columns += self.called(node.called(), out);
        let is_same = members.iter().all(|member| member.argv == node.argv);
        let arguments = node.argv.split(|byte| *byte == 0).skip(1);
        // The text after the last NUL is empty, or an argument that was cut.
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

    /// Appends the name that a program was executed by, where that is another than its file's; gives the
    /// columns that it takes.
    fn called(&self, name: Option<&[u8]>, out: &mut Vec<u8>) -> usize {
        let Some(name) = name else { return 0 };
        let mut columns = 0;
        self.style.paint(Paint::Dim, out, |out| {
            out.extend_from_slice(b" (as ");
            columns = 6 + text::quote(name, 16, out);
            out.push(b')');
        });
        columns
    }

    /// Appends its end, its duration and its failures.
    fn how(&self, node: &Process, members: &[&Process], out: &mut Vec<u8>) {
        match node.end {
            End::Code(0) => self.style.text(Paint::Green, "exit 0", out),
            End::Code(code) => self.style.text(Paint::Yellow, &format!("exit {code}"), out),
            End::Signal(signal) => self.style.text(Paint::Red, &signals::name(signal.into()), out),
            End::Running => self.style.text(Paint::Dim, "still running", out),
            End::Unknown => self.style.text(Paint::Dim, "ended", out),
        }
        let last_ns = |node: &Process| if node.end == End::Running { self.now_ns } else { node.ended_ns };
        let lasted = sum(members.iter().map(|node| last_ns(node).saturating_sub(node.began_ns)));
        let total = if members.len() > 1 { "Σ " } else { "" };
        // A forked process that reported only its end has no beginning to count from.
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
