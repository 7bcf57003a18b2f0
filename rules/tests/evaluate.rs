//! What conditions say about events.

mod common;

use common::{Event, Fields, holds, judged, program, program_with};
use rules::format::Format;
use rules::{Engine, Macros, Matching, Success, parse};

const EVENT: &str = "
    evt.type openat
    evt.arg[path] /etc/passwd
    evt.rawres -13
    evt.buffer MZ\u{1}\u{2}tail
    evt.time 1700000000000000000
    proc.name cat
    proc.pname bash
    proc.cmdline cat -n /etc/passwd /etc/Shadow
    proc.pid 4121
    proc.duration 5000000000
    proc.aname bash | sshd | systemd
    proc.aname[1] bash
    proc.aname[2] sshd
    proc.env[PATH] /usr/bin
    proc.arguments -n | -t5 | /etc/passwd
    fd.name /etc/passwd
    fd.num 3
    fd.ip 10.1.2.3 | 192.168.7.1
    fd.sip ::ffff:10.1.2.3
    fd.net 10.1.2.3 | 192.168.7.1
    fd.snet 2001:db8::5
    fd.port 44321 | 443
    fd.sport 443
    user.uid 0
    fd.connected true
";

/// Conditions that hold for the event.
const HOLD: &[&str] = &[
    // Texts.
    "proc.name = cat",
    "proc.name == cat",
    "proc.name != dog",
    "proc.name in (dog, cat)",
    "proc.name in (cat)",
    "proc.name intersects (cat, dog)",
    "proc.name startswith c",
    "proc.name startswith cat",
    "proc.name startswith ''",
    "proc.name endswith at",
    "proc.name endswith ''",
    "proc.name contains a",
    "proc.name contains ''",
    "proc.name icontains CA",
    "proc.name glob c*",
    "proc.name glob ?at",
    "proc.name iglob C*T",
    "proc.name regex c.t",
    "proc.name regex ^cat$",
    "proc.name regex 'dog|c(a|b)t'",
    "proc.name regex '[[:alpha:]]+'",
    "proc.name > 1",
    "proc.name >= 0",
    "proc.name exists",
    "proc.cmdline contains \"-n /etc\"",
    "proc.cmdline icontains shadow",
    "fd.name glob /*d",
    "fd.name pmatch (/etc)",
    "fd.name pmatch (/tmp, /etc/passwd)",
    "fd.name pmatch (/e*)",
    "fd.name pmatch (/)",
    "fd.name pmatch (\"/*/pass*\")",
    "evt.arg.path = /etc/passwd",
    "evt.arg[path] = /etc/passwd",
    "proc.env[PATH] startswith /usr",
    // Numbers.
    "evt.rawres = -13",
    "evt.rawres < 0",
    "evt.rawres <= -13",
    "evt.rawres != 0",
    "evt.rawres in (-1, -13)",
    "fd.num >= 3",
    "fd.num > +2",
    "fd.num = 0x3",
    "fd.num < 0x10",
    "user.uid = 0",
    "user.uid > -1",
    "evt.time > 1600000000000000000",
    "proc.duration <= 5000000000",
    "fd.connected = true",
    "fd.connected != false",
    "fd.connected in (false, true)",
    // Addresses: either side, and "!=" for neither.
    "fd.ip = 10.1.2.3",
    "fd.ip = 192.168.7.1",
    "fd.ip in (1.1.1.1, 192.168.7.1)",
    "fd.ip != 1.1.1.1",
    "not fd.ip != 10.1.2.3",
    "not fd.net != 10.0.0.0/8",
    "not fd.port != 443",
    "fd.sip = 10.1.2.3",
    "fd.sip = ::ffff:10.1.2.3",
    "fd.net = 10.0.0.0/8",
    "fd.net in (1.0.0.0/8, 192.168.7.0/24)",
    "fd.net = 0.0.0.0/0",
    "fd.net != 172.16.0.0/12",
    "fd.net = 192.168.7.1/32",
    "fd.net = 10.1.2.200/24",
    "fd.snet = 2001:db8::/32",
    "fd.snet = ::/0",
    "fd.snet != 10.0.0.0/8",
    "fd.port = 443",
    "fd.port = https",
    "fd.port >= 44000",
    "fd.port < 1024",
    "fd.port != 80",
    "fd.sport in (80, 443)",
    // Lists: any element.
    "proc.aname = sshd",
    "proc.aname in (init, systemd)",
    "proc.aname startswith ssh",
    "proc.aname intersects (sshd, x)",
    "proc.aname != sshd",
    "proc.aname[1] = bash",
    "proc.aname[2] != bash",
    "proc.aname exists",
    // A value that is not there.
    "not proc.aname[3] exists",
    "not proc.aname[3] = init",
    "not proc.aname[3] != init",
    "not proc.env exists",
    "not proc.env[HOME] = /root",
    "not evt.arg.flags contains O_CREAT",
    // Empty lists.
    "not proc.name in ()",
    "not proc.name intersects ()",
    "not fd.name pmatch ()",
    // Modifiers.
    "proc.name = oneof (cat, dog)",
    "not proc.name = oneof (cat, cat)",
    "proc.name = anyof (cat, cat, dog)",
    "not proc.name = anyof (dog, cow)",
    "proc.name = allof (cat)",
    "proc.name = allof (cat, cat)",
    "not proc.name = allof (cat, dog)",
    "proc.name != oneof (cat, dog)",
    "not proc.name != oneof (cow, dog)",
    "not proc.name != oneof (cat, cat)",
    "proc.name != oneof (cat, cat, dog)",
    "proc.name != anyof (cat, dog)",
    "not proc.name != anyof (cat)",
    "proc.name != allof (dog, cow)",
    "not proc.name != allof (dog, cat)",
    "proc.name startswith anyof (d, c)",
    "not proc.name startswith anyof (d, x)",
    "proc.name startswith allof (c, ca)",
    "not proc.name startswith allof (c, d)",
    "proc.name startswith oneof (c, d)",
    "not proc.name startswith oneof (c, ca)",
    "proc.name endswith anyof (t, x)",
    "not proc.name endswith oneof (t, at)",
    "proc.cmdline contains allof (cat, passwd)",
    "not proc.cmdline contains allof (cat, group)",
    "proc.cmdline contains anyof (group, passwd)",
    "not proc.cmdline contains oneof (cat, passwd)",
    "proc.cmdline icontains anyof (SHADOW, group)",
    "proc.name glob anyof (d*, c*)",
    "not proc.name glob oneof (*t, c*)",
    "proc.name iglob allof (C*, *T)",
    "proc.name regex anyof ('d.*', 'c.*')",
    "not proc.name regex oneof ('.*t', 'c.*')",
    "evt.rawres = anyof (1, -13)",
    "evt.rawres != allof (1, 2)",
    "evt.buffer bcontains anyof (ffff, 4d5a)",
    "not proc.name = anyof ()",
    "not proc.name != allof ()",
    "not proc.name = allof ()",
    // Bytes.
    "evt.buffer bstartswith 4d5A",
    "evt.buffer bcontains 0102",
    "not evt.buffer bcontains 0103",
    "evt.buffer startswith MZ",
    "evt.buffer endswith tail",
    "evt.buffer contains tai",
    // Transformers.
    "toupper(proc.name) = CAT",
    "tolower(proc.cmdline) contains shadow",
    "basename(fd.name) = passwd",
    "len(proc.name) = 3",
    "len(proc.aname) = 3",
    "len(proc.arguments) >= 3",
    "toupper(proc.aname) = SSHD",
    "toupper(proc.aname[2]) = SSHD",
    "join('/', proc.aname) = bash/sshd/systemd",
    "join('-', (proc.name, 'x', 7)) = cat-x-7",
    "join('-', (proc.name, proc.aname[9])) = cat",
    "concat(proc.pname, \">\", proc.name) = 'bash>cat'",
    "not concat(proc.name, proc.env[HOME]) exists",
    "len(concat(proc.name, proc.name)) = 6",
    "getopt(proc.arguments, 'nt:') intersects (t)",
    "getopt(proc.arguments, 'nt:') in (n, t, 5)",
    "not getopt(proc.arguments, 'nt:') in (n, t)",
    "getopt(proc.arguments, 'nt:')[t] = 5",
    "not getopt(proc.arguments, 'nt:')[x] exists",
    "b64('Y2F0') = val(proc.name)",
    "not b64(proc.name) = x",
    "toupper(proc.name) = oneof (CAT, DOG)",
    // Fields on the right.
    "proc.name = val(proc.name)",
    "proc.name != val(proc.pname)",
    "proc.cmdline startswith val(proc.name)",
    "proc.cmdline contains val(fd.name)",
    "evt.arg.path endswith basename(fd.name)",
    "not proc.name = val(proc.env[HOME])",
    "not proc.name != val(proc.env[HOME])",
    "proc.name < val(proc.cmdline)",
    "fd.num < val(proc.pid)",
    "proc.aname intersects val(proc.aname)",
    "proc.name in tolower(proc.name)",
    // Joined.
    "proc.name = cat and fd.num = 3",
    "proc.name = dog or fd.num = 3",
    "not (proc.name = dog or fd.num = 4)",
    "not proc.name = dog and not fd.num = 4",
    "not (proc.name = cat and fd.num = 4)",
    "proc.name = dog and fd.num = 9 or fd.num = 3",
    "(proc.name = dog or fd.num = 3) and user.uid = 0",
    "proc.name = dog or proc.name = cat or proc.name = cow",
    "proc.name != dog and proc.name != cow",
    "not (proc.name != dog and proc.name != cat)",
    "proc.aname != bash and proc.aname != sshd",
    "fd.name startswith /tmp or fd.name startswith /etc or proc.name endswith x",
    "fd.name contains x or fd.name contains pass",
    "proc.aname = x or proc.aname = systemd",
    // Types of events.
    "evt.type = openat",
    "evt.type in (open, openat)",
    "evt.type != open",
    "not evt.type = open",
    "not evt.type in (open, close)",
    "evt.type exists",
    "evt.type startswith open",
    "evt.type = anyof (open, openat)",
    "evt.type != allof (open, close)",
    "evt.type = open or proc.name = cat",
    "not (evt.type = openat and proc.name = dog)",
    "evt.type contains at and evt.type != close",
    "toupper(evt.type) startswith OPENAT",
];

#[test]
fn conditions_hold_for_the_event() {
    let event = Event::new(EVENT);
    for condition in HOLD {
        assert!(holds(condition, "openat", &event), "{condition}");
    }
}

#[test]
fn what_holds_does_not_hold_behind_not() {
    let event = Event::new(EVENT);
    for condition in HOLD {
        assert!(!holds(&format!("not ({condition})"), "openat", &event), "{condition}");
    }
}

#[test]
fn an_event_without_values_passes_no_check() {
    let event = Event::new("evt.type openat");
    for condition in HOLD {
        let is_plain = |condition: &str| {
            !["not", "evt.type", " and ", " or ", "'x'"].iter().any(|w| condition.contains(w))
        };
        if is_plain(condition) {
            assert!(!holds(condition, "openat", &event), "{condition}");
        }
    }
}

/// Conditions that are refused, the byte of the fault, and words of the message.
const REFUSED: &[(&str, usize, &str)] = &[
    ("proc.nmae = cat", 0, "unknown field 'proc.nmae'; did you mean 'proc.name'?"),
    ("fd.num = 3 and proc.nam = cat", 15, "did you mean 'proc.name'?"),
    ("a.b = c", 0, "unknown field 'a.b'"),
    ("proc.name = val(proc.x)", 16, "unknown field 'proc.x'"),
    ("proc.name[1] = a", 0, "field 'proc.name' takes no argument"),
    ("evt.arg = a", 0, "field 'evt.arg' needs an argument"),
    ("proc.aname[x] = a", 0, "must be a number, not 'x'"),
    ("proc.aname[99999999999999999999] = a", 0, "must be a number"),
    ("proc.name.x = a", 0, "unknown field 'proc.name.x'"),
    ("shell", 0, "unknown macro 'shell'"),
    ("proc.name = a or shell", 17, "unknown macro 'shell'"),
    // Operators and types.
    ("fd.num contains 3", 0, "operator 'contains' cannot compare fd.num of type int"),
    ("fd.num startswith 3", 0, "of type int"),
    ("fd.num glob 3", 0, "of type int"),
    ("fd.num pmatch (3)", 0, "of type int"),
    ("fd.connected > 0", 0, "of type bool"),
    ("fd.ip > 0", 0, "of type address"),
    ("fd.ip contains 10", 0, "of type address"),
    ("fd.net startswith 10", 0, "of type net"),
    ("proc.name bcontains 00", 0, "of type text"),
    ("evt.buffer icontains x", 0, "of type bytes"),
    ("evt.buffer glob x", 0, "of type bytes"),
    ("evt.buffer > 1", 0, "of type bytes"),
    ("getopt(proc.arguments, 'a') = a", 0, "operator '=' cannot compare a list"),
    // Values.
    ("fd.num = three", 9, "'three' is no whole number"),
    ("fd.num > 1.5", 9, "'1.5' is no whole number"),
    ("fd.num in (1, 2, x)", 17, "'x' is no whole number"),
    ("fd.num = ''", 9, "'' is no whole number"),
    ("fd.connected = yes", 15, "'yes' is neither 'true' nor 'false'"),
    ("fd.ip = 10.0.0.0/8", 8, "'10.0.0.0/8' is no IP address"),
    ("fd.ip = 10.0.0", 8, "is no IP address"),
    ("fd.ip in (::1, localhost)", 15, "'localhost' is no IP address"),
    ("fd.net = 10.0.0.1", 9, "is no network"),
    ("fd.net = 10.0.0.0/33", 9, "is no network"),
    ("fd.net = ::/129", 9, "is no network"),
    ("fd.port = nonsense", 10, "'nonsense' is no port"),
    ("evt.buffer bcontains 4d5", 21, "hexadecimal digits"),
    ("evt.buffer bcontains xy", 21, "hexadecimal digits"),
    ("proc.name regex '('", 16, "'(' is no regular expression"),
    ("proc.name regex 'a)(b'", 16, "is no regular expression"),
    ("proc.name regex anyof (a, '[')", 26, "is no regular expression"),
    ("proc.name regex '((a{900}){900}){900}'", 16, "it takes more than 2097152 bytes"),
    ("evt.type = nonsense", 11, "unknown event type 'nonsense'"),
    ("evt.type in (open, nonsense)", 19, "unknown event type 'nonsense'"),
    ("evt.type = val(proc.name)", 11, "'evt.type' is compared with values only"),
    ("tolower(evt.type) = open", 0, "'evt.type' is compared without transformers"),
    // Transformers.
    ("tolower(fd.num) = a", 0, "tolower() takes a text, not a value of type int"),
    ("tolower(proc.name, proc.pname) = a", 0, "tolower() takes one argument"),
    ("b64(fd.ip) = a", 0, "b64() takes a text"),
    ("len(fd.num) = 1", 0, "len() takes a list or a text"),
    ("join(proc.name, proc.name) = a", 0, "join() takes a text and a list"),
    ("join(',') = a", 0, "join() takes a text and a list"),
    ("concat(proc.name) = a", 0, "concat() takes two texts or more"),
    ("concat(proc.name, fd.num) = a", 0, "concat() takes two texts or more"),
    ("getopt(proc.name, 'a') exists", 0, "getopt() takes a list of texts and a text"),
    ("getopt(proc.arguments, 'a')[ab] = x", 0, "getopt() selects one letter, not 'ab'"),
    ("tolower(proc.name)[a] = x", 0, "tolower() has no parts to select"),
    ("len(proc.name) = a", 17, "'a' is no whole number"),
    ("len(proc.name) contains 1", 0, "of type uint"),
    // Fields on the right.
    ("proc.name = val(fd.num)", 12, "proc.name has type text, and val(fd.num) has type int"),
    ("proc.name = len(proc.pname)", 12, "has type uint"),
    ("proc.name pmatch val(proc.pname)", 17, "operator 'pmatch' compares with values only"),
    ("proc.name regex val(proc.pname)", 16, "operator 'regex' compares with values only"),
    ("fd.snet = val(fd.snet)", 10, "a network is compared with values only"),
];

#[test]
fn conditions_that_cannot_be_evaluated_are_refused_at_the_fault() {
    for (condition, at, words) in REFUSED {
        let error = rules::compile(&parse(condition).unwrap(), &Macros::default(), &Fields).unwrap_err();

        assert_eq!((*at, None), (error.at, error.within.as_deref()), "{condition}: {error}");
        assert!(error.message.contains(words), "{condition}: {error}");
    }
}

fn macros(definitions: &[(&str, &str)]) -> Macros {
    definitions.iter().map(|(name, condition)| ((*name).to_owned(), parse(condition).unwrap())).collect()
}

#[test]
fn macros_stand_for_their_conditions() {
    let event = Event::new(EVENT);
    let macros = macros(&[
        ("open", "evt.type in (open, openat)"),
        ("read", "open and proc.name = cat"),
        ("or2", "open or read"),
    ]);
    for (condition, expected) in [
        ("read", true),
        ("not read", false),
        ("read and fd.num = 4", false),
        ("or2 and not (open and read)", false),
    ] {
        let program = program_with(condition, &macros).unwrap();
        assert_eq!(expected, program.holds(&event), "{condition}");

        let mut engine = Engine::new(vec![program], Matching::First);
        assert_eq!(expected, !judged(&mut engine, "openat", &event).is_empty(), "{condition}");
    }
}

#[test]
fn a_fault_in_a_macro_is_reported_there() {
    let macros =
        macros(&[("outer", "proc.name = a and inner"), ("inner", "fd.num = x"), ("self", "a or self")]);

    assert_eq!(
        Err("macro 'inner', byte 9: 'x' is no whole number".into()),
        program_with("outer", &macros).map(drop)
    );
}

#[test]
fn a_circle_of_macros_is_an_error() {
    let macros = macros(&[("a", "b"), ("b", "c"), ("c", "a")]);

    assert_eq!(Err("macro 'c', byte 0: macro 'a' names itself".into()), program_with("a", &macros).map(drop));
}

#[test]
fn a_long_chain_of_macros_is_an_error() {
    let macros: Macros =
        (0..10_000).map(|n| (format!("m{n}"), parse(&format!("m{}", n + 1)).unwrap())).collect();

    let error = program_with("m0", &macros).map(drop).unwrap_err();

    assert!(error.contains("nest deeper than 500 levels"), "{error}");
}

/// Each macro names the one before twice: 2^60 checks, if they were written out.
#[test]
fn macros_that_double_cost_what_they_are_long() {
    let mut macros: Macros =
        (1..=60).map(|n| (format!("m{n}"), parse(&format!("m{0} or not m{0}", n - 1)).unwrap())).collect();
    macros.insert("m0".into(), parse("proc.name = cat").unwrap());
    let event = Event::new(EVENT);

    let program = program_with("m60", &macros).unwrap();
    assert!(program.holds(&event));
    assert!(program.explain(&event).len() < 1000);
    assert_eq!(vec![0], judged(&mut Engine::new(vec![program], Matching::First), "open", &event));
}

#[test]
fn an_engine_tells_the_first_rule_or_all() {
    let event = Event::new(EVENT);
    let programs = || {
        ["proc.name = dog", "proc.name = cat", "evt.type = close", "fd.num = 3"]
            .map(|text| program(text).unwrap())
            .to_vec()
    };

    assert_eq!(vec![1], judged(&mut Engine::new(programs(), Matching::First), "openat", &event));
    assert_eq!(vec![1, 3], judged(&mut Engine::new(programs(), Matching::All), "openat", &event));
    assert_eq!(vec![1, 2, 3], judged(&mut Engine::new(programs(), Matching::All), "close", &event));
}

#[test]
fn each_field_is_read_once_an_event() {
    let event = Event::new(EVENT);
    let conditions = [
        "proc.name = dog and fd.num = 1",
        "proc.name = cow or proc.name startswith x or tolower(proc.name) = y",
        "proc.name in (a, b) or fd.num = 7 or fd.num > 10",
        "proc.aname[1] = x or proc.aname[2] = y or proc.aname[2] = z",
    ];
    let programs = conditions.iter().map(|text| program(text).unwrap()).collect();
    let mut engine = Engine::new(programs, Matching::All);

    for round in 1..=3 {
        assert!(judged(&mut engine, "openat", &event).is_empty());
        assert_eq!(4 * round, event.asked.get(), "proc.name, fd.num and two of proc.aname");
    }
}

#[test]
fn a_type_that_no_rule_asks_for_reads_nothing() {
    let event = Event::new(EVENT);
    let programs = ["evt.type = open and proc.name = cat", "evt.type in (close, connect) and fd.num = 3"];
    let mut engine = Engine::new(programs.iter().map(|text| program(text).unwrap()).collect(), Matching::All);

    assert!(judged(&mut engine, "openat", &event).is_empty());
    assert!(!engine.asks_for(engine.event_type("openat")));
    assert!(engine.asks_for(engine.event_type("close")));
    assert_eq!(0, event.asked.get());
}

#[test]
fn an_event_without_a_type_passes_no_check_of_it() {
    for (condition, expected) in [
        ("evt.type exists", false),
        ("evt.type != open", false),
        ("evt.type in (open, close)", false),
        ("not evt.type = open", true),
        ("not evt.type exists and proc.name = cat", true),
        ("proc.name = cat", true),
    ] {
        assert_eq!(expected, holds(condition, "", &Event::new("proc.name cat")), "{condition}");
        assert_eq!(expected, program(condition).unwrap().event_types().may_be(""), "{condition}");
    }
}

#[test]
fn the_types_of_events_follow_and_or_and_not() {
    let cases: &[(&str, &[&str], bool)] = &[
        ("evt.type = open", &["open"], false),
        ("evt.type in (open, close)", &["open", "close"], false),
        ("evt.type != open", &["close", "openat"], true),
        ("not evt.type = open", &["close", "openat"], true),
        ("not evt.type in (open, close)", &["openat"], true),
        ("not evt.type != open", &["open"], false),
        ("not not evt.type = open", &["open"], false),
        ("evt.type exists", &["open", "close", "openat"], true),
        ("not evt.type exists", &[], false),
        ("proc.name = a", &["open", "close", "openat"], true),
        ("not proc.name = a", &["open", "close", "openat"], true),
        ("evt.type = open and proc.name = a", &["open"], false),
        ("evt.type = open and not proc.name = a", &["open"], false),
        ("evt.type = open or proc.name = a", &["open", "close", "openat"], true),
        ("evt.type = open or evt.type = close", &["open", "close"], false),
        ("evt.type = open and evt.type = close", &[], false),
        ("evt.type = open and evt.type != close", &["open"], false),
        ("evt.type = open and not evt.type = open", &[], false),
        ("evt.type = open or not evt.type = open", &["open", "close", "openat"], true),
        ("not (evt.type = open and proc.name = a)", &["open", "close", "openat"], true),
        ("not (evt.type = open or proc.name = a)", &["close", "openat"], true),
        ("not (evt.type = open or evt.type = close)", &["openat"], true),
        ("not (not evt.type = open and not evt.type = close)", &["open", "close"], false),
        ("(evt.type = open or evt.type = close) and not evt.type = close", &["open"], false),
        ("proc.name = a and (evt.type = open or fd.num = 1)", &["open", "close", "openat"], true),
        ("evt.type startswith open", &["open", "close", "openat"], true),
        ("evt.type = anyof (open, close)", &["open", "close"], false),
        ("evt.type != allof (open, close)", &["openat"], true),
        ("evt.type in ()", &[], false),
    ];
    for (condition, names, others) in cases {
        let program = program(condition).unwrap();
        let types = program.event_types();

        for name in ["open", "close", "openat"] {
            assert_eq!(names.contains(&name), types.may_be(name), "{condition} {name}");
        }
        assert_eq!(*others, types.others, "{condition}");
    }
}

#[test]
fn an_explanation_shows_each_part_and_what_decides() {
    let macros = macros(&[("reads", "evt.type in (open, openat) and fd.num >= 0")]);
    let condition = "reads and (proc.name = dog or proc.aname[9] = x) and not user.uid = 0";
    let program = program_with(condition, &macros).unwrap();

    let shown: Vec<String> = program
        .explain(&Event::new(EVENT))
        .iter()
        .map(|step| {
            let found = step.found.as_deref().map(|found| format!(" <{found}>")).unwrap_or_default();
            let within = step.within.as_deref().unwrap_or_default();
            let marks =
                format!("{}{}", if step.holds { '+' } else { '-' }, if step.decides { '!' } else { ' ' });
            format!("{marks}{}{}{found} {within}", " ".repeat(step.depth), step.text).trim_end().to_owned()
        })
        .collect();

    let expected = [
        "-!and",
        "+  macro reads",
        "+   and reads",
        "+    evt.type in (open, openat) <openat> reads",
        "+    fd.num >= 0 <3> reads",
        "-! or",
        "-!  proc.name = dog <cat>",
        "-!  proc.aname[9] = x",
        "-! not",
        "+!  user.uid = 0 <0>",
    ];
    assert_eq!(expected.as_slice(), shown);
    assert_eq!(Some(26), program.explain(&Event::new(EVENT))[6].span.map(|span| span.end));
    let engine = Engine::new(vec![program], Matching::First);
    assert_eq!(10, engine.explain(0, &Event::new(EVENT)).len());
    assert!(engine.explain(1, &Event::new(EVENT)).is_empty());
}

/// A small generator of numbers, the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn condition(&mut self, depth: usize) -> String {
        const CHECKS: &[&str] = &[
            "evt.type = open",
            "evt.type in (open, close)",
            "evt.type != openat",
            "evt.type startswith open",
            "evt.type exists",
            "proc.name = a",
            "proc.name = b",
            "proc.name != a",
            "proc.name != b",
            "proc.name in (b, c)",
            "proc.name startswith a",
            "proc.name startswith b",
            // Enough texts for tables and gates.
            "proc.name in (d, e, f, g, h, i, j, a)",
            "proc.name in (d, e, f, g, h, i, j, b)",
            "proc.name startswith anyof (d, e, f, g, h, i, a)",
            "proc.pname in (d, e, f, g, h, i, ab, a)",
            "proc.pname endswith anyof (d, e, f, g, h, i, b)",
            "proc.name contains c",
            "proc.name contains anyof (a, b)",
            "proc.aname = a",
            "proc.aname != a",
            "proc.aname != b",
            "proc.aname in (b, c)",
            "proc.aname startswith a",
            "proc.aname exists",
            "fd.num = 1",
            "fd.num != 1",
            "fd.num > 1",
            "fd.num in (1, 3)",
            "fd.ip = 10.0.0.1",
            "fd.ip != 10.0.0.1",
            "fd.ip != 10.0.0.2",
            "fd.net = 10.0.0.0/30",
            "toupper(proc.name) = A",
            "proc.name = val(proc.pname)",
        ];
        if depth == 1 && self.roll(10) == 0 {
            return "proc.aname != a and proc.aname != b".to_owned();
        }
        match self.roll(if depth == 0 { 1 } else { 6 }) {
            0 | 1 => CHECKS[self.roll(CHECKS.len())].to_owned(),
            2 => format!("not ({})", self.condition(depth - 1)),
            joined => {
                let word = if joined < 5 { " and " } else { " or " };
                let parts = 2 + self.roll(3);
                let parts: Vec<String> =
                    (0..parts).map(|_| format!("({})", self.condition(depth - 1))).collect();
                parts.join(if self.roll(2) == 0 { " or " } else { word })
            }
        }
    }

    fn event(&mut self) -> (&'static str, Event) {
        let name = ["open", "openat", "close", "execve", ""][self.roll(5)];
        let mut lines = if name.is_empty() { String::new() } else { format!("evt.type {name}\n") };
        for (field, values) in [
            ("proc.name", ["a", "b", "c"]),
            ("proc.pname", ["a", "b", "ab"]),
            ("proc.aname", ["a", "a | b", "c | ab | a"]),
            ("fd.num", ["1", "2", "3"]),
            ("fd.ip", ["10.0.0.1", "10.0.0.1 | 10.0.0.2", "10.0.0.2 | ::1"]),
            ("fd.net", ["10.0.0.1", "10.0.0.9", "::1"]),
        ] {
            if self.roll(5) > 0 {
                lines += &format!("{field} {}\n", values[self.roll(3)]);
            }
        }
        (name, Event::new(&lines))
    }
}

/// The engine folds, merges, reorders and shares; the program does none of it.
#[test]
fn an_engine_of_many_rules_says_what_each_says_alone() {
    let mut dice = Dice(7);
    for _ in 0..60 {
        let programs: Vec<_> =
            (0..20).map(|_| dice.condition(3)).map(|text| (program(&text).unwrap(), text)).collect();
        let mut engine =
            Engine::new(programs.iter().map(|(program, _)| program.clone()).collect(), Matching::All);
        for _ in 0..60 {
            let (name, event) = dice.event();
            let expected: Vec<u32> =
                (0..20).filter(|index| programs[*index as usize].0.holds(&event)).collect();

            let judged = judged(&mut engine, name, &event);

            assert_eq!(expected, judged, "{:?}", programs.iter().map(|(_, text)| text).collect::<Vec<_>>());
        }
    }
}

/// An open that has not returned, and is not known to fail.
fn unfinished() -> Event {
    let mut event = Event::new("evt.type openat\nproc.name cat");
    event.presume("evt.rawres", Success::NotNegative);
    event.presume("fd.num", Success::NotNegative);
    // Stands for `evt.res`, which this catalog does not have.
    event.presume("fd.name", Success::Text("SUCCESS"));
    event
}

#[test]
fn of_a_call_that_has_not_returned_a_check_holds_that_holds_for_every_success() {
    for condition in [
        "fd.num >= 0",
        "fd.num > -1",
        "fd.num >= -5",
        "fd.num != -1",
        "fd.num exists",
        "fd.num != allof (-1, -2)",
        "fd.num != anyof (-1, 3)",
        "(evt.rawres >= 0 or proc.name = dog)",
        "fd.name = SUCCESS",
        "fd.name in (EINPROGRESS, SUCCESS)",
        "fd.name != ENOENT",
        "fd.name startswith SUCC",
        "fd.name exists",
        "not fd.num < 0",
        "not fd.num = -1",
        "not fd.name startswith E",
        "not fd.name = ENOENT",
        "not fd.name != SUCCESS",
    ] {
        assert!(holds(condition, "openat", &unfinished()), "{condition}");
    }
}

#[test]
fn of_a_call_that_has_not_returned_a_check_does_not_hold_that_fails_for_a_success() {
    for condition in [
        "fd.num = 3",
        "fd.num > 0",
        "fd.num >= 1",
        "fd.num < 0",
        "fd.num <= 5",
        "fd.num = -1",
        "fd.num != 0",
        "fd.num in (0, 1, 2)",
        "fd.num != oneof (-1, 3)",
        "fd.num != allof (-1, 3)",
        "fd.name != SUCCESS",
        "fd.name = ENOENT",
        "fd.name startswith E",
        "fd.name in (ENOENT, EACCES)",
        "fd.num = val(evt.rawres)",
        "tolower(fd.name) = success",
        "not fd.num >= 0",
        "not fd.num != -1",
        "not fd.name = SUCCESS",
        "not (evt.rawres >= 0 or fd.name = EINPROGRESS)",
    ] {
        assert!(!holds(condition, "openat", &unfinished()), "{condition}");
    }
}

#[test]
fn outputs_show_no_result_of_a_call_that_has_not_returned() {
    let format = Format::parse("*%fd.num %fd.name %proc.name", &Fields).unwrap();

    let output = format.resolve(&unfinished()).unwrap();

    assert_eq!("<NA> <NA> cat", output.message);
}
