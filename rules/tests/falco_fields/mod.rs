//! The fields that Falco's own rules use, as a catalog for tests.

use rules::{ArgumentKind, ArgumentRule, Catalog, FieldId, FieldSpec, Type};

/// The fields by name.
pub struct FalcoFields(Vec<FieldSpec>);

const TEXTS: &[&str] = &[
    "container.id",
    "container.image.repository",
    "container.mounts",
    "container.name",
    "evt.args",
    "evt.dir",
    "evt.res",
    "evt.time.iso8601",
    "evt.type",
    "fd.cip.name",
    "fd.directory",
    "fd.filename",
    "fd.l4proto",
    "fd.lip.name",
    "fd.name",
    "fd.nameraw",
    "fd.rip.name",
    "fd.sip.name",
    "fd.sockfamily",
    "fd.type",
    "fd.typechar",
    "group.name",
    "k8s.ns.name",
    "k8s.pod.name",
    "proc.args",
    "proc.cmdline",
    "proc.cwd",
    "proc.exe",
    "proc.exepath",
    "proc.name",
    "proc.pcmdline",
    "proc.pexe",
    "proc.pexepath",
    "proc.pname",
    "proc.sname",
    "thread.cap_effective",
    "thread.cap_permitted",
    "user.loginname",
    "user.name",
];

const INTS: &[&str] =
    &["evt.rawres", "fd.num", "proc.pid", "proc.ppid", "proc.tty", "proc.vpid", "user.loginuid"];

const UINTS: &[&str] = &["evt.num", "group.gid", "user.uid"];

const BOOLS: &[&str] = &[
    "container.privileged",
    "evt.is_open_exec",
    "evt.is_open_read",
    "evt.is_open_write",
    "fd.connected",
    "fd.name_changed",
    "proc.is_exe_from_memfd",
    "proc.is_exe_upper_layer",
    "proc.is_vpgid_leader",
];

const TIMES: &[&str] =
    &["container.start_ts", "evt.rawtime", "evt.time", "proc.exe_ino.ctime", "proc.exe_ino.mtime"];

const DURATIONS: &[&str] = &["proc.duration", "proc.exe_ino.ctime_duration_proc_start"];

const ADDRESSES: &[&str] = &["fd.cip", "fd.ip", "fd.rip", "fd.sip"];

const NETS: &[&str] = &["fd.cnet", "fd.net", "fd.rnet", "fd.snet"];

const PORTS: &[&str] = &["fd.lport", "fd.port", "fd.rport", "fd.sport"];

fn spec(name: &'static str, kind: Type) -> FieldSpec {
    FieldSpec {
        name,
        kind,
        is_list: false,
        argument: ArgumentRule::None,
        has_suffix: false,
        help: "For tests.",
    }
}

impl FalcoFields {
    pub fn new() -> Self {
        let kinds = [
            (TEXTS, Type::Text),
            (INTS, Type::Int),
            (UINTS, Type::Uint),
            (BOOLS, Type::Bool),
            (TIMES, Type::Time),
            (DURATIONS, Type::Duration),
            (ADDRESSES, Type::Address),
            (NETS, Type::Net),
            (PORTS, Type::Port),
        ];
        let mut fields: Vec<FieldSpec> = kinds
            .into_iter()
            .flat_map(|(names, kind)| names.iter().map(move |name| spec(name, kind)))
            .collect();
        let index = ArgumentRule::Optional(ArgumentKind::Index);
        for name in ["proc.aname", "proc.aexe", "proc.aexepath"] {
            fields.push(FieldSpec { is_list: true, argument: index, ..spec(name, Type::Text) });
        }
        fields.push(spec("evt.buffer", Type::Bytes));
        let key = ArgumentRule::Optional(ArgumentKind::Key);
        fields.push(FieldSpec { argument: key, ..spec("proc.env", Type::Text) });
        let key = ArgumentRule::Required(ArgumentKind::Key);
        fields.push(FieldSpec { argument: key, has_suffix: true, ..spec("evt.arg", Type::Text) });
        let key = ArgumentRule::Required(ArgumentKind::IndexOrKey);
        fields.push(FieldSpec { argument: key, ..spec("container.mount.dest", Type::Text) });
        Self(fields)
    }
}

impl Catalog for FalcoFields {
    fn fields(&self) -> &[FieldSpec] {
        &self.0
    }

    fn find(&self, name: &str) -> Option<FieldId> {
        let index = self.0.iter().position(|spec| spec.name == name)?;
        u16::try_from(index).ok().map(FieldId)
    }
}
