//! `proc.*` and `thread.*`: the program that runs, and those that it descends from.

use rules::{Answer, Argument, Type};

use super::super::view::{Key, View, int, made, text, text_unless_empty, truth};
use super::row::Field;
use crate::event::Program;

/// The rows of this file.
pub const FIELDS: &[Field] = &[
    Field::new("proc.exe", Type::Text, exe, "argv[0].", "the kernel's argument vector"),
    Field::new("proc.pexe", Type::Text, pexe, "argv[0] of the parent.", "the line of programs").of_ancestors(),
    Field::new(
        "proc.aexe",
        Type::Text,
        aexe,
        "argv[0] of an ancestor, of all without a number.",
        "the line of programs",
    )
    .indexed().of_ancestors(),
    Field::new("proc.exepath", Type::Text, exepath, "The path of the image.", "/proc/PID/exe"),
    Field::new("proc.pexepath", Type::Text, pexepath, "The image of the parent.", "the line of programs").of_ancestors(),
    Field::new(
        "proc.aexepath",
        Type::Text,
        aexepath,
        "The image of an ancestor, of all without a number.",
        "the line of programs",
    )
    .indexed().of_ancestors(),
    Field::new(
        "proc.name",
        Type::Text,
        name,
        "The name of the process, cut to 15 bytes.",
        "the executed path, as the kernel does",
    )
    .limits("not what prctl made of it; with an empty path of execveat the descriptor's number"),
    Field::new("proc.pname", Type::Text, pname, "The name of the parent.", "the line of programs").of_ancestors(),
    Field::new(
        "proc.aname",
        Type::Text,
        aname,
        "The name of an ancestor, of all without a number.",
        "the line of programs",
    )
    .indexed()
    .limits("16 ancestors at least; those that the sensor is not in by /proc, where a rule asks for them, and none of those that ended before").of_ancestors(),
    Field::new(
        "proc.args",
        Type::Text,
        args,
        "The arguments without argv[0], with blanks between them.",
        "the kernel's argument vector",
    )
    .limits("cut at 16 KiB"),
    Field::new("proc.cmdline", Type::Text, cmdline, "`proc.name` and `proc.args`.", "both"),
    Field::new("proc.pcmdline", Type::Text, pcmdline, "The same of the parent.", "the line of programs").of_ancestors(),
    Field::new(
        "proc.acmdline",
        Type::Text,
        acmdline,
        "The same of an ancestor, of all without a number.",
        "the line of programs",
    )
    .indexed().of_ancestors(),
    Field::new(
        "proc.cmdnargs",
        Type::Uint,
        count,
        "How many arguments there are.",
        "the kernel's argument vector",
    ),
    Field::new(
        "proc.cmdlenargs",
        Type::Uint,
        length,
        "Their bytes together.",
        "the kernel's argument vector",
    ),
    Field::new("proc.exeline", Type::Text, exeline, "`proc.exe` and `proc.args`.", "both"),
    Field::new(
        "proc.env",
        Type::Text,
        env,
        "The environment, or one variable by its name.",
        "the program's start",
    )
    .keyed()
    .limits("`LD_*`, `GLIBC_TUNABLES`, `GLASSBOX*` and proxies only, on `process.start` only"),
    Field::new(
        "proc.cwd",
        Type::Text,
        cwd,
        "The current directory, with a slash at its end.",
        "the program's start, and its calls",
    ),
    Field::new("proc.pid", Type::Int, pid, "The process.", "the kernel")
        .limits("in its own namespace where it has no number in the collector's"),
    Field::new("proc.ppid", Type::Int, ppid, "Its parent.", "the kernel"),
    Field::new("proc.apid", Type::Int, apid, "An ancestor, all without a number.", "the line of programs")
        .indexed().of_ancestors(),
    Field::new("proc.vpid", Type::Int, vpid, "The process in its own pid namespace.", "the kernel"),
    Field::new(
        "proc.pvpid",
        Type::Int,
        pvpid,
        "The parent in its own pid namespace.",
        "the line of programs",
    ).of_ancestors(),
    Field::new(
        "proc.is_exe_from_memfd",
        Type::Bool,
        is_from_memory,
        "Whether the image is a file in memory.",
        "/proc/PID/exe",
    ),
    Field::new("thread.tid", Type::Int, tid, "The thread.", "the sensor"),
    Field::new(
        "thread.ismain",
        Type::Bool,
        is_main,
        "Whether it is the process's first thread.",
        "the sensor",
    ),
];

/// The program at a place of the line: 0 is the process itself, 1 its parent.
fn in_line<'a>(view: &View<'a>, place: usize) -> Option<&'a Program> {
    match place {
        0 => Some(view.program()),
        _ => view.program().ancestors().nth(place - 1).map(|program| &**program),
    }
}

/// A fact of an ancestor by its place; without a place of all ancestors.
fn of_ancestors<'a>(
    view: &View<'a>,
    argument: Option<&Argument>,
    of: impl Fn(&'a Program) -> Answer<'a>,
) -> Answer<'a> {
    if let Some(Argument::Index(place)) = argument {
        let program = usize::try_from(*place).ok().and_then(|place| in_line(view, place));
        return program.map_or(Answer::Absent, of);
    }
    let known = view.program().ancestors().map(|program| of(program));
    Answer::List(known.filter(|answer| *answer != Answer::Absent).collect())
}

fn of_parent<'a>(view: &View<'a>, of: impl Fn(&'a Program) -> Answer<'a>) -> Answer<'a> {
    in_line(view, 1).map_or(Answer::Absent, of)
}

fn name_of(program: &Program) -> Answer<'_> {
    text_unless_empty(program.facts.comm.bytes())
}

fn exepath_of(program: &Program) -> Answer<'_> {
    text_unless_empty(&program.exe)
}

/// The strings of the argument vector; `None` where it is not known.
fn argv(program: &Program) -> Option<impl Iterator<Item = &[u8]> + Clone> {
    let argv = program.argv.strip_suffix(b"\0")?;
    Some(argv.split(|byte| *byte == 0))
}

fn exe_of(program: &Program) -> Answer<'_> {
    text(argv(program).and_then(|mut argv| argv.next()))
}

/// `first` and the arguments behind argv\[0\], with blanks between them.
fn line(first: &[u8], program: &Program) -> Option<Vec<u8>> {
    let mut line = first.to_vec();
    for argument in argv(program)?.skip(1) {
        if !line.is_empty() {
            line.push(b' ');
        }
        line.extend_from_slice(argument);
    }
    Some(line)
}

fn cmdline_of(program: &Program) -> Answer<'_> {
    match program.facts.comm.bytes() {
        [] => Answer::Absent,
        name => made(line(name, program)),
    }
}

/// The name of the process: the kernel's, 15 bytes.
pub fn name<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    name_of(view.program())
}

/// argv\[0\].
pub fn exe<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    exe_of(view.program())
}

/// The path of the image.
pub fn exepath<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    exepath_of(view.program())
}

/// The arguments without argv\[0\].
pub fn args<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    made(line(b"", view.program()))
}

/// The name and the arguments.
pub fn cmdline<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    cmdline_of(view.program())
}

/// argv\[0\] and the arguments.
pub fn exeline<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    let first = argv(view.program()).and_then(|mut argv| argv.next());
    made(first.and_then(|first| line(first, view.program())))
}

/// How many arguments there are.
pub fn count<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    let known = argv(view.program()).map(|argv| argv.skip(1).count() as u64);
    let all = view.integer(Key::Argc).map(|argc| argc.saturating_sub(1).cast_unsigned());
    all.or(known).map_or(Answer::Absent, Answer::Uint)
}

/// The bytes of the arguments.
pub fn length<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    let known = argv(view.program()).map(|argv| argv.skip(1).map(<[u8]>::len).sum::<usize>() as u64);
    known.map_or(Answer::Absent, Answer::Uint)
}

/// The parent's name.
pub fn pname<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    of_parent(view, name_of)
}

/// The parent's argv\[0\].
pub fn pexe<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    of_parent(view, exe_of)
}

/// The parent's image.
pub fn pexepath<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    of_parent(view, exepath_of)
}

/// The parent's name and arguments.
pub fn pcmdline<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    of_parent(view, cmdline_of)
}

/// Ancestors' names.
pub fn aname<'a>(view: &View<'a>, argument: Option<&Argument>) -> Answer<'a> {
    of_ancestors(view, argument, name_of)
}

/// Ancestors' argv\[0\].
pub fn aexe<'a>(view: &View<'a>, argument: Option<&Argument>) -> Answer<'a> {
    of_ancestors(view, argument, exe_of)
}

/// Ancestors' images.
pub fn aexepath<'a>(view: &View<'a>, argument: Option<&Argument>) -> Answer<'a> {
    of_ancestors(view, argument, exepath_of)
}

/// Ancestors' names and arguments.
pub fn acmdline<'a>(view: &View<'a>, argument: Option<&Argument>) -> Answer<'a> {
    of_ancestors(view, argument, cmdline_of)
}

/// Ancestors' numbers.
pub fn apid<'a>(view: &View<'a>, argument: Option<&Argument>) -> Answer<'a> {
    of_ancestors(view, argument, |program| int(Some(program.pid.0)))
}

/// The process.
pub fn pid<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    int(Some(view.who.pid().0))
}

/// Its parent.
pub fn ppid<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    int(view.who.ppid.map(|ppid| ppid.0))
}

/// The process in its own pid namespace.
pub fn vpid<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    int(view.program().facts.own_pid.map(|pid| pid.0))
}

/// The parent in its own pid namespace.
pub fn pvpid<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    of_parent(view, |program| int(program.facts.own_pid.map(|pid| pid.0)))
}

/// The thread.
pub fn tid<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    int(Some(view.event.tid.0).filter(|tid| *tid != 0))
}

/// Whether it is the first thread.
pub fn is_main<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    let tid = view.event.tid;
    truth((tid.0 != 0).then(|| tid == view.who.pid().main_thread()))
}

/// The current directory, with a slash at its end.
pub fn cwd<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    let known: &[u8] = &view.who.circumstances.cwd;
    let cwd = view.text(Key::Cwd).unwrap_or(known);
    if cwd.is_empty() {
        return Answer::Absent;
    }
    if cwd.ends_with(b"/") { text(Some(cwd)) } else { made(Some([cwd, b"/"].concat())) }
}

/// The known variables of the environment, or one of them.
pub fn env<'a>(view: &View<'a>, argument: Option<&Argument>) -> Answer<'a> {
    let Some(known) = view.list(Key::Env) else { return Answer::Absent };
    let mut variables = view.batch.strings(known);
    match argument {
        Some(Argument::Key(name)) => text(variables.find_map(|variable| {
            variable.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="))
        })),
        Some(Argument::Index(_)) => Answer::Absent,
        None => made(Some(variables.collect::<Vec<_>>().join(b" ".as_slice()))),
    }
}

/// Whether the image is a file in memory.
pub fn is_from_memory<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    truth(Some(view.who.exe()).filter(|exe| !exe.is_empty()).map(|exe| exe.starts_with(b"/memfd:")))
}
