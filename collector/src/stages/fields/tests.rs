//! What fields answer, event by event.

use std::sync::Arc;

use rules::{Answer, ArgumentKind, ArgumentRule, Catalog, Subject, Success, Type};
use wire::events::Kind;
use wire::names;
use wire::record::Via;

use super::FIELDS;
use crate::event::{
    Background, Batch, Circumstances, Comm, Event, Facts, Mount, Names, Place, Pod, Program, Shape,
    Surroundings, Value, Who, sample,
};
use crate::ids::{Pid, UtcNs};
use crate::stages::view::View;

/// An event of a shell's child, with these values.
fn event(kind: Kind, call: &'static str, values: &[(&str, Given)]) -> Batch {
    let named = |path: &[u8], own_pid| Facts {
        comm: Comm::of_path(path),
        own_pid: Some(Pid(own_pid)),
        started: Some(UtcNs(1_000)),
    };
    let init = Program::new(Pid(1), b"/sbin/init"[..].into(), b"/sbin/init\0"[..].into(), None)
        .with(named(b"/sbin/init", 1));
    let shell = Program::new(Pid(10), b"/bin/bash"[..].into(), b"sh\0-c\0go there\0"[..].into(), Some(init))
        .with(named(b"/usr/bin/deploy-everything.sh", 10));
    let program =
        Program::new(Pid(11), b"/bin/busybox"[..].into(), b"cat\0/x\0\0y\0"[..].into(), Some(shell))
            .with(named(b"/bin/cat", 2));
    let names = Names { user: Some("web".into()), group: Some("www".into()), login: Some("ann".into()) };
    let circumstances = Circumstances {
        cwd: b"/srv"[..].into(),
        egid: Some(33),
        names: Some(Arc::new(names)),
        ..Circumstances::default()
    };
    let who = Who { program, euid: Some(33), circumstances, ..(*sample::who()).clone() };
    let mut batch = Batch::default();
    batch.whos.push(Arc::new(who));
    batch.push(Event { call, ret: Some(0), ..sample::head(kind) });
    for (name, given) in values {
        let value = match *given {
            Text(text) => Value::Text(batch.keep(text.as_bytes())),
            Path(path, raw) => {
                let (path, raw) = (batch.keep(path.as_bytes()), batch.keep(raw.as_bytes()));
                Value::Path(path, Some(raw))
            }
            Given::Value(value) => value,
        };
        batch.set(Shape::place(kind, name), value);
    }
    batch
}

#[derive(Clone, Copy)]
enum Given {
    Text(&'static str),
    Path(&'static str, &'static str),
    Value(Value),
}
use Given::{Path, Text};

fn int(number: i64) -> Given {
    Given::Value(Value::Int(number))
}

/// The open of `path` with these flags and this descriptor.
fn open(path: &'static str, flags: u64, fd: Option<i64>) -> Batch {
    let fd = fd.map_or(Value::Absent, Value::Int);
    let values = [
        ("path", Text(path)),
        ("fd", Given::Value(fd)),
        ("flags", Given::Value(Value::Names(&names::OPEN, flags))),
    ];
    event(Kind::FileOpen, "openat", &values)
}

fn failed(mut batch: Batch, error: &'static str) -> Batch {
    batch.events[0].error = error;
    batch.events[0].ret = Some(-1);
    batch
}

/// A connection of 10.0.0.1:40000 with 10.0.0.2:443.
fn connect(call: &'static str) -> Batch {
    let values = [
        ("fd", int(5)),
        ("local", Text("10.0.0.1:40000")),
        ("remote", Text("10.0.0.2:443")),
        ("host", Text("example.org")),
        ("type", Given::Value(Value::Word("SOCK_STREAM"))),
        ("family", Given::Value(Value::Word("AF_INET"))),
    ];
    event(Kind::NetConnect, call, &values)
}

/// The value of a field of the only event, as text; `-` for none.
fn ask(batch: &Batch, field: &str) -> String {
    let found = rules::field::resolve(&*FIELDS, bare(field).0, bare(field).1).unwrap();
    let view = View::new(batch, &batch.events[0], 1);
    shown(&view.field(found.id, found.argument.as_ref()))
}

fn bare(field: &str) -> (&str, Option<&str>) {
    match field.split_once('[') {
        Some((name, rest)) => (name, rest.strip_suffix(']')),
        None => (field, None),
    }
}

fn shown(answer: &Answer<'_>) -> String {
    match answer {
        Answer::Absent => "-".to_owned(),
        Answer::Text(text) => String::from_utf8_lossy(text).into_owned(),
        Answer::Int(number) => number.to_string(),
        Answer::Uint(number) => number.to_string(),
        Answer::Bool(truth) => truth.to_string(),
        Answer::Address(address) => address.to_string(),
        Answer::List(list) => list.iter().map(shown).collect::<Vec<_>>().join(" "),
        Answer::Presumed(Success::Text(text)) => format!("{text}, or a failure"),
        Answer::Presumed(Success::NotNegative) => "0 or more, or a failure".to_owned(),
    }
}

fn asked(batch: &Batch, fields: &[&str]) -> Vec<String> {
    fields.iter().map(|field| ask(batch, field)).collect()
}

/// Whether an answer has the type of its field.
fn is_of(kind: Type, answer: &Answer<'_>) -> bool {
    match answer {
        Answer::Absent => true,
        Answer::Text(_) => matches!(kind, Type::Text | Type::Bytes),
        Answer::Int(_) => matches!(kind, Type::Int | Type::Duration),
        Answer::Uint(_) => matches!(kind, Type::Uint | Type::Port | Type::Time | Type::Duration),
        Answer::Bool(_) => kind == Type::Bool,
        Answer::Address(_) => matches!(kind, Type::Address | Type::Net),
        Answer::List(list) => list.iter().all(|answer| is_of(kind, answer)),
        Answer::Presumed(Success::Text(_)) => kind == Type::Text,
        Answer::Presumed(Success::NotNegative) => kind == Type::Int,
    }
}

#[test]
fn every_field_has_a_name_of_its_own_words_and_answers_of_its_type_for_every_event() {
    let batch = sample::every_kind();

    for (index, spec) in FIELDS.fields().iter().enumerate() {
        let row = FIELDS.row(FIELDS.find(spec.name).unwrap()).unwrap();
        assert_eq!(spec.name, FIELDS.fields()[usize::from(FIELDS.find(spec.name).unwrap().0)].name);
        assert!(FIELDS.fields()[..index].iter().all(|other| other.name != spec.name), "{} twice", spec.name);
        assert!(!spec.help.is_empty() && !row.source.is_empty(), "{}", spec.name);
        let argument = match spec.argument {
            ArgumentRule::None => None,
            ArgumentRule::Optional(ArgumentKind::Index) => Some(rules::Argument::Index(1)),
            _ => Some(rules::Argument::Key("fd".into())),
        };
        for event in &batch.events {
            let view = View::new(&batch, event, 1);
            for argument in [None, argument.as_ref()] {
                let answer = row.answer(&view, argument);
                assert!(is_of(spec.kind, &answer), "{} of {}: {answer:?}", spec.name, event.kind.name());
                assert!(spec.is_list || !matches!(answer, Answer::List(_)), "{} is no list", spec.name);
            }
        }
    }
}

#[test]
fn type_of_a_function_is_the_system_call_that_it_makes() {
    let of = |kind, call| ask(&event(kind, call, &[]), "evt.type");

    assert_eq!("openat", of(Kind::FileOpen, "fopen"));
    assert_eq!("openat", of(Kind::FileOpen, "open"));
    assert_eq!("creat", of(Kind::FileOpen, "creat"));
    assert_eq!("memfd_create", of(Kind::FileOpen, "memfd_create"));
    assert_eq!(
        ["unlink", "rmdir"].map(String::from),
        [of(Kind::FileUnlink, "remove"), of(Kind::FileRmdir, "remove")]
    );
    assert_eq!(
        ["close", "-"].map(String::from),
        [of(Kind::FileClose, "fclose"), of(Kind::FileClose, "dup2")]
    );
    assert_eq!("execve", of(Kind::ProcessStart, ""));
    assert_eq!("procexit", of(Kind::ProcessExit, ""));
    assert_eq!("-", of(Kind::DnsQuery, "getaddrinfo"));
    assert_eq!("sendto", of(Kind::NetConnect, "send"));
}

#[test]
fn exec_counts_when_the_program_begins_or_when_it_failed() {
    let mut before = event(Kind::ProcessExec, "execvp", &[("path", Text("/bin/x"))]);
    before.events[0].ret = None;
    let failed = failed(event(Kind::ProcessExec, "execvp", &[]), "ENOENT");
    let begun = event(Kind::ProcessStart, "", &[("cwd", Text("/tmp"))]);
    let fields = ["evt.type", "evt.rawres", "evt.res", "proc.cwd"];

    assert_eq!(vec!["-", "-", "-", "/srv/"], asked(&before, &fields));
    assert_eq!(vec!["execve", "-2", "ENOENT", "/srv/"], asked(&failed, &fields));
    assert_eq!(vec!["execve", "0", "SUCCESS", "/tmp/"], asked(&begun, &fields));
}

#[test]
fn open_has_a_file_with_its_folder_and_its_access() {
    let fields = [
        "fd.num",
        "fd.type",
        "fd.typechar",
        "fd.name",
        "fd.directory",
        "fd.filename",
        "evt.rawres",
        "evt.is_open_read",
        "evt.is_open_write",
        "evt.arg.flags",
    ];

    assert_eq!(
        vec!["3", "file", "f", "/etc/shadow", "/etc", "shadow", "3", "true", "false", "O_RDONLY|O_CLOEXEC"],
        asked(&open("/etc/shadow", 0o2_000_000, Some(3)), &fields)
    );
    assert_eq!(
        vec!["3", "file", "f", "/x", "/", "x", "3", "true", "true", "O_RDWR"],
        asked(&open("/x", 2, Some(3)), &fields)
    );
}

#[test]
fn open_that_failed_has_the_number_minus_one_and_a_name_but_no_type() {
    let fields = ["fd.num", "fd.type", "fd.typechar", "fd.name", "evt.res", "evt.rawres", "evt.failed"];

    assert_eq!(
        vec!["-1", "-", "f", "/root/x", "EACCES", "-13", "true"],
        asked(&failed(open("/root/x", 0, None), "EACCES"), &fields)
    );
}

#[test]
fn directory_is_told_by_the_flag_of_its_open() {
    let directory = if cfg!(target_arch = "x86_64") { 0o200_000 } else { 0o40_000 };

    let fields = ["fd.type", "fd.typechar", "fd.directory", "fd.filename"];

    assert_eq!(vec!["directory", "d", "/a/b", "-"], asked(&open("/a/b", directory, Some(3)), &fields));
}

#[test]
fn file_that_may_be_executed_is_made_with_such_permissions() {
    let made = |flags, mode| {
        let values = [
            ("path", Text("/x")),
            ("flags", Given::Value(Value::Names(&names::OPEN, flags))),
            ("mode", Given::Value(Value::Uint(mode))),
        ];
        asked(&event(Kind::FileOpen, "open", &values), &["evt.is_open_exec", "evt.is_open_create"])
    };

    assert_eq!(vec!["true", "-"], made(0o101, 0o755));
    assert_eq!(vec!["false", "true"], made(0o301, 0o644));
    assert_eq!(vec!["false", "false"], made(1, 0o755));
}

#[test]
fn connection_has_a_tuple_and_sides() {
    let fields = [
        "fd.name",
        "fd.typechar",
        "fd.cip",
        "fd.sip",
        "fd.sport",
        "fd.lport",
        "fd.rip",
        "fd.ip",
        "fd.l4proto",
        "fd.connected",
        "fd.name_changed",
        "fd.sip.name",
        "fd.sockfamily",
        "fd.is_server",
    ];

    assert_eq!(
        vec![
            "10.0.0.1:40000->10.0.0.2:443",
            "4",
            "10.0.0.1",
            "10.0.0.2",
            "443",
            "40000",
            "10.0.0.2",
            "10.0.0.1 10.0.0.2",
            "tcp",
            "true",
            "true",
            "example.org",
            "ip",
            "false",
        ],
        asked(&connect("connect"), &fields)
    );
    assert_eq!(
        vec!["sendto", "false", "true"],
        asked(&connect("sendto"), &["evt.type", "fd.connected", "fd.name_changed"])
    );
}

#[test]
fn pending_connection_failed_with_einprogress_in_falcos_view() {
    let mut batch = connect("connect");
    batch.set(Shape::place(Kind::NetConnect, "pending"), Value::Bool(true));
    batch.events[0].ret = Some(-1);

    assert_eq!(
        vec!["EINPROGRESS", "-115", "true", "false"],
        asked(&batch, &["evt.res", "evt.rawres", "evt.failed", "fd.connected"])
    );
}

#[test]
fn accepted_connection_begins_at_the_peer() {
    let values = [("fd", int(7)), ("local", Text("[::1]:80")), ("remote", Text("[::1]:5000"))];
    let batch = event(Kind::NetAccept, "accept4", &values);

    assert_eq!(
        vec!["::1:5000->::1:80", "6", "5000", "80", "80", "true"],
        asked(&batch, &["fd.name", "fd.typechar", "fd.cport", "fd.sport", "fd.lport", "fd.is_server"])
    );
}

#[test]
fn socket_bound_to_a_port_is_a_server_and_an_ipv4_address_in_ipv6_is_ipv4() {
    let batch = event(Kind::NetListen, "listen", &[("fd", int(3)), ("local", Text("[::ffff:1.2.3.4]:80"))]);

    assert_eq!(
        vec!["4", "ipv4", "1.2.3.4:80", "1.2.3.4", "80", "-"],
        asked(&batch, &["fd.typechar", "fd.type", "fd.name", "fd.sip", "fd.sport", "fd.lip"])
    );
}

#[test]
fn duplicate_over_a_stream_is_the_new_descriptor() {
    let values = [("fd", int(9)), ("target", int(0)), ("remote", Text("10.0.0.2:4444"))];
    let batch = event(Kind::FdDuplicate, "dup2", &values);

    assert_eq!(
        vec!["dup2", "0", "ipv4", "4"],
        asked(&batch, &["evt.type", "fd.num", "fd.type", "fd.typechar"])
    );
}

#[test]
fn duplicate_of_a_socket_has_both_sides_by_who_connected() {
    let of = |accepted: Option<bool>| {
        let accepted = accepted.map_or(Value::Absent, Value::Bool);
        let values = [
            ("fd", int(9)),
            ("target", int(0)),
            ("local", Text("10.0.0.1:50000")),
            ("remote", Text("10.0.0.2:4444")),
            ("accepted", Given::Value(accepted)),
        ];
        let batch = event(Kind::FdDuplicate, "dup2", &values);
        asked(&batch, &["fd.name", "fd.sip", "fd.cport", "fd.is_server", "fd.rip"])
    };

    assert_eq!(
        vec!["10.0.0.1:50000->10.0.0.2:4444", "10.0.0.2", "50000", "false", "10.0.0.2"],
        of(Some(false))
    );
    assert_eq!(vec!["10.0.0.2:4444->10.0.0.1:50000", "10.0.0.1", "4444", "true", "10.0.0.2"], of(Some(true)));
    assert_eq!(vec!["-", "-", "-", "-", "10.0.0.2"], of(None));
}

#[test]
fn own_address_of_a_listener_for_any_is_not_that_of_its_connections() {
    let of = |local| {
        let values = [("local", Text(local)), ("remote", Text("10.0.0.2:4444"))];
        let batch = event(Kind::NetAccept, "accept4", &values);
        asked(&batch, &["fd.name", "fd.sip", "fd.sport", "fd.cip", "fd.ip"])
    };

    assert_eq!(vec!["-", "-", "80", "10.0.0.2", "10.0.0.2"], of("0.0.0.0:80"));
    assert_eq!(vec!["-", "-", "-", "10.0.0.2", "10.0.0.2"], of("10.0.0.1:0"));
    assert_eq!(
        vec!["10.0.0.2:4444->10.0.0.1:80", "10.0.0.1", "80", "10.0.0.2", "10.0.0.2 10.0.0.1"],
        of("10.0.0.1:80")
    );
}

#[test]
fn names_of_a_program_are_the_kernels_its_own_and_its_files() {
    let batch = open("/x", 0, Some(3));
    let fields = [
        "proc.name",
        "proc.exe",
        "proc.exepath",
        "proc.args",
        "proc.cmdline",
        "proc.exeline",
        "proc.cmdnargs",
        "proc.vpid",
        "proc.pid",
    ];

    assert_eq!(
        vec!["cat", "cat", "/bin/busybox", "/x  y", "cat /x  y", "cat /x  y", "3", "2", "11"],
        asked(&batch, &fields)
    );
}

#[test]
fn ancestors_are_counted_from_the_process_itself() {
    let batch = open("/x", 0, Some(3));
    let fields = [
        "proc.pname",
        "proc.aname[0]",
        "proc.aname[1]",
        "proc.aname[2]",
        "proc.aname[3]",
        "proc.aname",
        "proc.pcmdline",
        "proc.pexe",
        "proc.aexepath[2]",
        "proc.apid[2]",
    ];

    assert_eq!(
        vec![
            "deploy-everythi",
            "cat",
            "deploy-everythi",
            "init",
            "-",
            "deploy-everythi init",
            "deploy-everythi -c go there",
            "sh",
            "/sbin/init",
            "1",
        ],
        asked(&batch, &fields)
    );
}

#[test]
fn program_without_known_names_has_none() {
    let mut batch = open("/x", 0, Some(3));
    batch.whos[0] = sample::who_of(5, 1, b"");

    assert_eq!(
        vec!["-"; 6],
        asked(&batch, &["proc.name", "proc.exe", "proc.args", "proc.cmdline", "proc.pname", "proc.exepath"])
    );
}

#[test]
fn arguments_have_falcos_names_and_absolute_paths() {
    let rename =
        event(Kind::FileRename, "renameat", &[("path", Path("/a/x", "x")), ("new_path", Path("/a/y", "y"))]);
    let link =
        event(Kind::FileSymlink, "symlink", &[("path", Path("/etc/p", "p")), ("new_path", Text("/etc/l"))]);
    let chmod =
        event(Kind::FileChmod, "chmod", &[("path", Text("/x")), ("mode", Given::Value(Value::Uint(0o4755)))]);

    assert_eq!(
        vec!["/a/x", "/a/y", "-"],
        asked(&rename, &["evt.arg.oldpath", "evt.arg.newpath", "evt.arg.path"])
    );
    assert_eq!(vec!["p", "/etc/l"], asked(&link, &["evt.arg.target", "evt.arg[linkpath]"]));
    assert_eq!(
        vec!["/x", "S_IXOTH|S_IROTH|S_IXGRP|S_IRGRP|S_IXUSR|S_IWUSR|S_IRUSR|S_ISUID", "-"],
        asked(&chmod, &["evt.arg.filename", "evt.arg.mode", "fd.name"])
    );
    assert_eq!("fd=<f>/x name=/x flags=O_RDONLY", ask(&open("/x", 0, Some(3)), "evt.args"));
}

#[test]
fn identity_that_is_set_has_a_name_where_it_is_the_processes_own_or_roots() {
    let set = |call, to: &str| {
        let mut batch = event(Kind::ProcessCredentials, call, &[]);
        let to = batch.keep(to.as_bytes());
        batch.set(Shape::place(Kind::ProcessCredentials, "to"), Value::List(to));
        batch
    };

    assert_eq!("web", ask(&set("setuid", "33\0"), "evt.arg.uid"));
    assert_eq!("www", ask(&set("setgid", "33\0"), "evt.arg.gid"));
    assert_eq!("-", ask(&set("setuid", "34\0"), "evt.arg.uid"));
    assert_eq!(
        vec!["root", "web", "<NONE>"],
        asked(&set("setresuid", "0\x0033\0-1\0"), &["evt.arg.ruid", "evt.arg.euid", "evt.arg.suid"])
    );
}

#[test]
fn identity_is_the_effective_one_and_roots_name_is_known_everywhere() {
    let fields = ["user.uid", "user.name", "group.gid", "group.name", "gb.uid"];
    let batch = open("/x", 0, Some(3));
    let mut of_root = batch.clone();
    of_root.whos[0] = sample::who();

    assert_eq!(vec!["33", "web", "33", "www", "1000"], asked(&batch, &fields));
    assert_eq!(vec!["0", "root", "-", "-", "1000"], asked(&of_root, &fields));
}

#[test]
fn container_has_a_short_id_and_an_image_in_parts() {
    let mut batch = open("/x", 0, Some(3));
    let mut container = crate::container::Container::with_id("cd189a933e5849daa93386466019ab50-2495160603");
    container.set(1, "web");
    container.set(2, "r.example:5000/shop/web:7");
    batch.whos[0] = sample::who_in(&Arc::new(container));

    assert_eq!(
        vec!["cd189a933e58", "web", "r.example:5000/shop/web", "7"],
        asked(
            &batch,
            &["container.id", "container.name", "container.image.repository", "container.image.tag"]
        )
    );
    for (place, id) in [(Place::Unknown, "-"), (Place::Host, "host"), (Place::Sandbox, "<NA>")] {
        let circumstances = Circumstances { place, ..Circumstances::default() };
        batch.whos[0] = Arc::new(Who { circumstances, ..(*sample::who()).clone() });
        assert_eq!(vec![id], asked(&batch, &["container.id"]));
    }
}

#[test]
fn what_the_kernel_says_has_no_value_unless_it_was_asked() {
    let fields = [
        "proc.tty",
        "proc.sid",
        "proc.sname",
        "proc.is_sid_leader",
        "proc.is_vpgid_leader",
        "proc.vpgid.name",
        "user.loginuid",
        "thread.cap_effective",
        "thread.cap_permitted",
        "proc.pid.ts",
        "user.loginname",
    ];
    let mut batch = open("/x", 0, Some(3));
    let unasked = asked(&batch, &fields);
    let background = Background {
        tty: 34816,
        session: 10,
        own_group: Some(2),
        own_session: Some(10),
        capabilities: Some([1 << 21 | 1, 0, 0]),
        ..Background::default()
    };
    let mut who = (*batch.whos[0]).clone();
    who.circumstances.background = Some(Arc::new(background));
    batch.whos[0] = Arc::new(who);

    assert_eq!(vec!["-", "-", "-", "-", "-", "-", "-", "-", "-", "1000", "ann"], unasked);
    assert_eq!(
        vec![
            "34816",
            "10",
            "deploy-everythi",
            "false",
            "true",
            "cat",
            "-1",
            "CAP_CHOWN CAP_SYS_ADMIN",
            "",
            "1000",
            "ann",
        ],
        asked(&batch, &fields)
    );
}

#[test]
fn container_and_pod_are_told_as_far_as_they_are_known() {
    let fields = [
        "container.mount.dest[/etc]",
        "container.mount.dest[/home*]",
        "container.mount.source[/host/etc]",
        "container.mount.rdwr[/etc]",
        "container.mounts",
        "container.privileged",
        "proc.is_exe_upper_layer",
        "k8s.ns.name",
        "k8s.pod.name",
        "k8s.pod.uid",
    ];
    let mut batch = open("/x", 0, Some(3));
    let mut with = |place, surroundings: Option<Surroundings>, pod: Option<Pod>| {
        let mut who = (*batch.whos[0]).clone();
        who.circumstances.place = place;
        who.circumstances.surroundings = surroundings.map(Arc::new);
        who.circumstances.pod = pod.map(Arc::new);
        batch.whos[0] = Arc::new(who);
        asked(&batch, &fields).join(" ")
    };
    let mount = Mount { source: b"/etc"[..].into(), place: b"/host/etc"[..].into(), is_writable: false };
    let known = Surroundings {
        is_privileged: Some(true),
        is_exe_added: Some(false),
        mounts: Some(Arc::new([mount])),
    };
    let pod = Pod { uid: "3e41".into(), name: "web-1".into(), namespace: "shop".into() };

    assert_eq!("N/A N/A N/A N/A - - - - - -", with(Place::Host, None, None));
    assert_eq!("<NA> <NA> <NA> <NA> - - - - - -", with(Place::Sandbox, None, None));
    assert_eq!(
        "/host/etc N/A /etc false /etc:/host/etc::false: true false shop web-1 3e41",
        with(Place::Sandbox, Some(known), Some(pod))
    );
}

#[test]
fn connection_that_closes_has_ends_but_no_sides() {
    let values = [("fd", int(5)), ("local", Text("10.0.0.1:80")), ("remote", Text("10.0.0.2:4000"))];
    let batch = event(Kind::NetClose, "close", &values);
    let fields = ["evt.type", "fd.typechar", "fd.name", "fd.sip", "fd.lport", "fd.rport", "fd.ip"];

    assert_eq!(vec!["close", "4", "-", "-", "80", "4000", "10.0.0.1 10.0.0.2"], asked(&batch, &fields));
}

#[test]
fn a_call_that_has_not_returned_is_taken_for_one_that_succeeds() {
    let unfinished = |mut batch: Batch| {
        batch.events[0].via = Some(Via::Notify);
        batch.events[0].ret = None;
        batch
    };
    let fields = ["fd.num", "evt.rawres", "evt.res", "evt.failed"];
    let (number, word) = ("0 or more, or a failure", "SUCCESS, or a failure");
    let opened = || open("/etc/x", 1, None);
    let foreseen = {
        let mut batch = unfinished(opened());
        batch.events[0].error = "ENOENT";
        batch
    };
    let hooked = {
        let mut batch = unfinished(opened());
        batch.events[0].via = Some(Via::Symbol);
        batch
    };

    assert_eq!(vec![number, number, word, "false"], asked(&unfinished(opened()), &fields));
    assert_eq!(
        vec!["-", number, word, "false"],
        asked(&unfinished(event(Kind::FileUnlink, "unlink", &[])), &fields)
    );
    assert_eq!(vec!["-1", "-2", "ENOENT", "true"], asked(&foreseen, &fields));
    assert_eq!(vec!["-", "-", "-", "false"], asked(&hooked, &fields));
    // No event of a system call, in Falco's view.
    assert_eq!(
        vec!["-", "-", "-", "false"],
        asked(&unfinished(event(Kind::ProcessExec, "execve", &[])), &fields)
    );
}
