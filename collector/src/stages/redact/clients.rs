//! Programs whose short options take a password.

/// How an option takes its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// In the same word: `-pX`. Alone it asks.
    Attached,
    /// In the next word: `-a X`.
    Apart,
    /// Either.
    Both,
}

/// Which part of the value is the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// What comes after the first of this byte; nothing without one.
    After(u8),
    /// What comes after this text; nothing of a value that does not begin with it.
    Behind(&'static str),
}

/// A client's option.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The programs.
    pub programs: &'static [&'static str],
    /// A word that must have come before, as in `docker login`; empty for none.
    pub command: &'static str,
    /// The option.
    pub option: &'static str,
    /// See [`Form`].
    pub form: Form,
    /// See [`Part`].
    pub part: Part,
}

const MYSQL: &[&str] = &[
    "mysql",
    "mysqladmin",
    "mysqldump",
    "mysqlimport",
    "mysqlshow",
    "mysqlcheck",
    "mysqlslap",
    "mysqlpump",
    "mysqlbinlog",
    "mysqlsh",
    "mariadb",
    "mariadb-admin",
    "mariadb-dump",
    "mariadb-import",
    "mariadb-show",
    "mariadb-check",
];
const MONGO: &[&str] = &[
    "mongo",
    "mongosh",
    "mongodump",
    "mongorestore",
    "mongoexport",
    "mongoimport",
    "mongostat",
    "mongotop",
    "mongofiles",
];
const POSTGRES: &[&str] = &[
    "psql",
    "pg_dump",
    "pg_dumpall",
    "pg_restore",
    "pg_basebackup",
    "createdb",
    "dropdb",
    "createuser",
    "dropuser",
    "vacuumdb",
    "reindexdb",
];
const LDAP: &[&str] =
    &["ldapsearch", "ldapadd", "ldapmodify", "ldapdelete", "ldappasswd", "ldapwhoami", "ldapcompare"];
const REGISTRIES: &[&str] = &["docker", "podman", "buildah", "skopeo", "nerdctl", "helm", "oc", "az", "cf"];
const SEVEN: &[&str] = &["7z", "7za", "7zr", "rar", "unrar"];

const fn row(programs: &'static [&'static str], option: &'static str, form: Form, part: Part) -> Row {
    Row { programs, command: "", option, form, part }
}

/// The options.
pub const ROWS: &[Row] = &[
    row(MYSQL, "-p", Form::Attached, Part::Whole),
    row(MONGO, "-p", Form::Both, Part::Whole),
    row(&["redis-cli"], "-a", Form::Apart, Part::Whole),
    row(&["sshpass"], "-p", Form::Both, Part::Whole),
    row(&["curl"], "-u", Form::Both, Part::After(b':')),
    row(&["curl"], "-U", Form::Both, Part::After(b':')),
    row(&["curl", "etcdctl"], "--user", Form::Apart, Part::After(b':')),
    row(&["curl"], "--proxy-user", Form::Apart, Part::After(b':')),
    row(&["http", "https"], "-a", Form::Both, Part::After(b':')),
    row(LDAP, "-w", Form::Both, Part::Whole),
    row(&["smbclient", "rpcclient"], "-U", Form::Both, Part::After(b'%')),
    Row { command: "login", ..row(REGISTRIES, "-p", Form::Both, Part::Whole) },
    row(&["zip", "unzip"], "-P", Form::Apart, Part::Whole),
    row(SEVEN, "-p", Form::Attached, Part::Whole),
    row(&["sqlcmd", "bcp", "tsql"], "-P", Form::Both, Part::Whole),
    row(&["mosquitto_pub", "mosquitto_sub", "ipmitool"], "-P", Form::Both, Part::Whole),
    row(&["cqlsh", "rabbitmqadmin"], "-p", Form::Both, Part::Whole),
    row(&["openssl"], "-passin", Form::Apart, Part::Behind("pass:")),
    row(&["openssl"], "-passout", Form::Apart, Part::Behind("pass:")),
    row(&["openssl"], "-pass", Form::Apart, Part::Behind("pass:")),
];

/// Clients whose `--password` in a word of its own takes no value.
const ASKING: [&[&str]; 2] = [MYSQL, POSTGRES];

/// The programs of all rows.
pub fn programs() -> impl Iterator<Item = &'static str> {
    ROWS.iter().flat_map(|row| row.programs.iter().copied())
}

/// The program's name at the end of a word.
pub fn program(word: &[u8]) -> &[u8] {
    let word = word.strip_prefix(b"$").unwrap_or(word);
    let word = word.strip_prefix(b"(").unwrap_or(word);
    word.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// Whether rows name the program.
pub fn is_known(program: &[u8]) -> bool {
    programs().any(|name| name.as_bytes() == program) || asks(program)
}

/// Whether the program's `--password` asks.
pub fn asks(program: &[u8]) -> bool {
    ASKING.iter().any(|names| names.iter().any(|name| name.as_bytes() == program))
}
