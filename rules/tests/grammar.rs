//! Which texts are conditions, and at which byte the others stop being one.
//!
//! The kinds of cases are those of libsinsp's tests of its parser, restated.

use rules::{Expr, ParseError, parse, parse_operand, parse_with_depth};

/// Conditions that are accepted, with the tree as it is written back: one blank between words, parentheses
/// only where a part is inside another kind of part.
const ACCEPTED: &[(&str, &str)] = &[
    // Macros, and words that begin as the language's own do.
    ("shell", "shell"),
    ("   shell", "shell"),
    ("shell   ", "shell"),
    ("(shell)", "shell"),
    ("( ( shell ) )", "shell"),
    ("\tshell\r\n", "shell"),
    ("x", "x"),
    ("X9_", "X9_"),
    ("not", "(not)"),
    ("(not)and a", "(not) and a"),
    ("not (not)", "not (not)"),
    ("and", "and"),
    ("or", "or"),
    ("nothing", "nothing"),
    ("notable and android and oracle", "notable and android and oracle"),
    ("not notable", "not notable"),
    ("not not_here", "not not_here"),
    ("not(not_here)", "not not_here"),
    ("tolower", "tolower"),
    ("val", "val"),
    ("oneof and exists", "oneof and exists"),
    // Precedence and repetition.
    ("a and b", "a and b"),
    ("a and b and c", "a and b and c"),
    ("a or b", "a or b"),
    ("a or b or c", "a or b or c"),
    ("a or b and c", "a or (b and c)"),
    ("a and b or c", "(a and b) or c"),
    ("a and b or c and d", "(a and b) or (c and d)"),
    ("(a or b) and c", "(a or b) and c"),
    ("a and (b or c)", "a and (b or c)"),
    ("(a and b) and c", "(a and b) and c"),
    ("(a and b)", "a and b"),
    ("not a and b", "not a and b"),
    ("not a or b", "not a or b"),
    ("not (a and b)", "not (a and b)"),
    ("not(a or b)", "not (a or b)"),
    ("not not a", "a"),
    ("not not not a", "not a"),
    ("not\tnot\na", "a"),
    ("not not(a)", "a"),
    ("not(not(a))", "not (not a)"),
    ("not(not a)", "not (not a)"),
    ("not (not (a))", "not (not a)"),
    ("not not not(not not(not a))", "not (not a)"),
    ("not(a)and(not(b))", "not a and not b"),
    ("(a)and(b)and(c)", "a and b and c"),
    ("(a)or(b)or(c)", "a or b or c"),
    ("a and b and(c)", "a and b and c"),
    ("a or b or(c)", "a or b or c"),
    ("a and(b or c)", "a and (b or c)"),
    ("a\nand\tb\rand c", "a and b and c"),
    ("a  and  b", "a and b"),
    ("((a) and (b))", "a and b"),
    // Operators.
    ("proc.name exists", "proc.name exists"),
    ("proc.name exists and a", "proc.name exists and a"),
    ("proc.name existsand a", "proc.name exists and a"),
    ("(proc.name exists)and(a)", "proc.name exists and a"),
    ("proc.name = cat", "proc.name = cat"),
    ("proc.name=cat", "proc.name = cat"),
    ("proc.name == cat", "proc.name = cat"),
    ("proc.name==cat", "proc.name = cat"),
    ("proc.name != cat", "proc.name != cat"),
    ("proc.name!=cat", "proc.name != cat"),
    ("proc.name\n=\ncat", "proc.name = cat"),
    ("proc.name glob c*", "proc.name glob c*"),
    ("proc.name iglob C*", "proc.name iglob C*"),
    ("proc.name contains at", "proc.name contains at"),
    ("proc.name contains\nat", "proc.name contains at"),
    ("proc.name contains\tat", "proc.name contains at"),
    ("proc.name icontains AT", "proc.name icontains AT"),
    ("evt.buffer bcontains 4d5a", "evt.buffer bcontains 4d5a"),
    ("evt.buffer bstartswith 4d5a", "evt.buffer bstartswith 4d5a"),
    ("proc.name startswith ca", "proc.name startswith ca"),
    ("proc.name endswith at", "proc.name endswith at"),
    ("proc.name regex c.t", "proc.name regex c.t"),
    ("proc.name regex '(a|b)'", "proc.name regex \"(a|b)\""),
    ("fd.num < 3", "fd.num < 3"),
    ("fd.num<3", "fd.num < 3"),
    ("fd.num <= 3", "fd.num <= 3"),
    ("fd.num > 3", "fd.num > 3"),
    ("fd.num>=3", "fd.num >= 3"),
    ("proc.name in (cat)", "proc.name in (cat)"),
    ("proc.name in(cat)", "proc.name in (cat)"),
    ("proc.name in ()", "proc.name in ()"),
    ("proc.name in()", "proc.name in ()"),
    ("proc.name in (  )", "proc.name in ()"),
    ("proc.name intersects (a, b)", "proc.name intersects (a, b)"),
    ("proc.name intersects ()", "proc.name intersects ()"),
    ("fd.name pmatch (/etc, /usr/*)", "fd.name pmatch (/etc, /usr/*)"),
    ("fd.name pmatch ()", "fd.name pmatch ()"),
    ("proc.name in shells", "proc.name in shells"),
    ("proc.name inshells", "proc.name in shells"),
    // Words and strings.
    ("proc.name = not", "proc.name = not"),
    ("proc.name = and and b", "proc.name = and and b"),
    ("proc.name = proc.pname", "proc.name = proc.pname"),
    ("evt.dir=< and a", "evt.dir = < and a"),
    ("evt.dir=> and fd.name=*.log", "evt.dir = > and fd.name = *.log"),
    ("fd.name = a!@#4:/.;$%^&*[]{}|<>~`?+-_", "fd.name = a!@#4:/.;$%^&*[]{}|<>~`?+-_"),
    ("fd.name = c:\\temp", "fd.name = c:\\temp"),
    ("fd.name = \"\"", "fd.name = \"\""),
    ("fd.name = ''", "fd.name = \"\""),
    ("fd.name = 'two words'", "fd.name = \"two words\""),
    ("fd.name = \"two words\"", "fd.name = \"two words\""),
    ("fd.name=\"(a, b)=c\"", "fd.name = \"(a, b)=c\""),
    ("fd.name = 'it\\'s'", "fd.name = \"it's\""),
    ("fd.name = \"say \\\"so\\\"\"", "fd.name = \"say \\\"so\\\"\""),
    ("fd.name = 'say \"so\"'", "fd.name = \"say \\\"so\\\"\""),
    ("fd.name = \"it's\"", "fd.name = \"it's\""),
    ("fd.name = 'a\\nb\\tc\\rd\\be\\ff\\\\g\\/h'", "fd.name = \"a\\nb\\tc\\rd\\be\\ff\\\\g/h\""),
    ("fd.name = \"an old \\ escape\"", "fd.name = \"an old \\\\escape\""),
    // A mark behind a backslash does not end the string, even if that backslash is escaped.
    ("fd.name = 'a\\\\''", "fd.name = \"a\\\\'\""),
    ("fd.name = ü", "fd.name = ü"),
    ("fd.name = 'ü'", "fd.name = ü"),
    ("fd.name in (1, 'a b', \"c\", d.e, /f)", "fd.name in (1, \"a b\", c, d.e, /f)"),
    ("fd.name in (a,b,c)", "fd.name in (a, b, c)"),
    ("fd.name in ( a , b )", "fd.name in (a, b)"),
    ("fd.name in (\na,\n b\n)", "fd.name in (a, b)"),
    ("fd.name in ('')", "fd.name in (\"\")"),
    ("fd.name = val", "fd.name = val"),
    ("fd.name = tolower and a", "fd.name = tolower and a"),
    ("fd.name = b64 or(a)", "fd.name = b64 or a"),
    // Numbers.
    ("fd.num > 1000", "fd.num > 1000"),
    ("fd.num < +1", "fd.num < +1"),
    ("fd.num >= -1", "fd.num >= -1"),
    ("fd.num <= 0x1f", "fd.num <= 0x1f"),
    ("fd.num <= 0XaB00", "fd.num <= 0XaB00"),
    ("fd.num > 1.25", "fd.num > 1.25"),
    ("fd.num > 1.", "fd.num > 1."),
    ("fd.num > -0.5e+10", "fd.num > -0.5e+10"),
    ("fd.num > 1e-3", "fd.num > 1e-3"),
    ("fd.num >1and b", "fd.num > 1 and b"),
    ("fd.num = 1e5", "fd.num = 1e5"),
    ("fd.num = 0xzz", "fd.num = 0xzz"),
    ("fd.num = -0x1", "fd.num = -0x1"),
    // Arguments in brackets.
    ("proc.aname[2] = sh", "proc.aname[2] = sh"),
    ("proc.env[PATH] = a", "proc.env[PATH] = a"),
    ("proc.env['a key'] = a", "proc.env[\"a key\"] = a"),
    ("proc.env[\"a\\\"b\"] = a", "proc.env[\"a\\\"b\"] = a"),
    ("proc.env[\"\"] = a", "proc.env[\"\"] = a"),
    ("proc.env[a!@#4:/.;$%^&*(){}|=,<>] = a", "proc.env[a!@#4:/.;$%^&*(){}|=,<>] = a"),
    ("container.mount.dest[/proc*] exists", "container.mount.dest[/proc*] exists"),
    ("evt.arg.flags contains x", "evt.arg.flags contains x"),
    ("proc.aname[2]=sh", "proc.aname[2] = sh"),
    ("proc.aname[2]exists", "proc.aname[2] exists"),
    // Transformers on the left.
    ("tolower(proc.name) = a", "tolower(proc.name) = a"),
    ("toupper(proc.name) exists", "toupper(proc.name) exists"),
    ("b64(proc.name) contains a", "b64(proc.name) contains a"),
    ("basename(proc.exepath) in (a)", "basename(proc.exepath) in (a)"),
    ("len(proc.args) > 3", "len(proc.args) > 3"),
    ("tolower( proc.name) exists", "tolower(proc.name) exists"),
    ("tolower(\nproc.name\n) exists", "tolower(proc.name) exists"),
    ("tolower(toupper(b64(proc.name))) = a", "tolower(toupper(b64(proc.name))) = a"),
    ("tolower( toupper( proc.name ) )= a", "tolower(toupper(proc.name)) = a"),
    ("tolower(proc.aname[2]) = a", "tolower(proc.aname[2]) = a"),
    ("not tolower(proc.name) = a", "not tolower(proc.name) = a"),
    ("(tolower(proc.name) exists)", "tolower(proc.name) exists"),
    ("join(\",\", proc.aname) = a", "join(\",\", proc.aname) = a"),
    ("join(\",\", (proc.name, 'x', 5)) = a", "join(\",\", (proc.name, \"x\", 5)) = a"),
    ("join(\",\", ()) = a", "join(\",\", ()) = a"),
    (
        "join(' ', ( proc.name , tolower(proc.pname) )) = a",
        "join(\" \", (proc.name, tolower(proc.pname))) = a",
    ),
    ("concat(proc.name, \"-\", proc.pname) = a-b", "concat(proc.name, \"-\", proc.pname) = a-b"),
    ("concat(proc.name,0x1f,-2.5) = a", "concat(proc.name, 0x1f, -2.5) = a"),
    ("getopt(proc.args, \"ab:\") intersects (a)", "getopt(proc.args, \"ab:\") intersects (a)"),
    ("getopt(proc.args, 'ab:')[b] = x", "getopt(proc.args, \"ab:\")[b] = x"),
    ("getopt(proc.args, 'ab:')['b'] = x", "getopt(proc.args, \"ab:\")[b] = x"),
    ("len(join(',', proc.aname)) > 5", "len(join(\",\", proc.aname)) > 5"),
    ("tolower('ABC') = abc", "tolower(\"ABC\") = abc"),
    // Transformers on the right.
    ("proc.name = val(proc.pname)", "proc.name = val(proc.pname)"),
    ("proc.name = val( proc.pname )", "proc.name = val(proc.pname)"),
    ("proc.name = val(proc.aname[2])", "proc.name = val(proc.aname[2])"),
    ("proc.name != tolower(proc.pname)", "proc.name != tolower(proc.pname)"),
    ("proc.name = toupper(tolower(proc.pname))", "proc.name = toupper(tolower(proc.pname))"),
    ("proc.name startswith b64(proc.pname)", "proc.name startswith b64(proc.pname)"),
    ("fd.num > val(proc.pid)", "fd.num > val(proc.pid)"),
    ("fd.num <= len(proc.name)", "fd.num <= len(proc.name)"),
    ("proc.name in val(proc.aname)", "proc.name in val(proc.aname)"),
    ("proc.name intersects tolower(proc.aname)", "proc.name intersects tolower(proc.aname)"),
    ("proc.name pmatch val(proc.pname)", "proc.name pmatch val(proc.pname)"),
    ("tolower(proc.name) = tolower(proc.pname) and a", "tolower(proc.name) = tolower(proc.pname) and a"),
    // Modifiers.
    ("proc.name startswith anyof (a, b)", "proc.name startswith anyof (a, b)"),
    ("proc.name = oneof (a)", "proc.name = oneof (a)"),
    ("proc.name == allof (a)", "proc.name = allof (a)"),
    ("proc.name != allof (a, b)", "proc.name != allof (a, b)"),
    ("proc.name!=allof(a,b)", "proc.name != allof (a, b)"),
    ("proc.name contains oneof\n(a, b)", "proc.name contains oneof (a, b)"),
    ("proc.name regex anyof ('a.*', \"b\")", "proc.name regex anyof (a.*, b)"),
    ("proc.name glob anyof ()", "proc.name glob anyof ()"),
    ("tolower(proc.name) endswith anyof (a) and b", "tolower(proc.name) endswith anyof (a) and b"),
    ("proc.name = oneof", "proc.name = oneof"),
    ("proc.name = anyof and b", "proc.name = anyof and b"),
    ("proc.name = allofus", "proc.name = allofus"),
    ("proc.name contains oneof or b", "proc.name contains oneof or b"),
];

/// Texts that are no conditions, and the byte at which they stop being one.
const REJECTED: &[(&str, usize)] = &[
    ("", 0),
    ("   ", 3),
    ("()", 1),
    ("(", 1),
    (")", 0),
    ("a)", 1),
    ("(a", 2),
    ("((a)", 4),
    ("1", 0),
    ("_a", 0),
    ("#a", 0),
    ("'a'", 0),
    ("a b", 2),
    ("a; b", 1),
    ("a, b", 1),
    ("a.b", 3),
    ("a . b", 2),
    ("a.1 = b", 1),
    ("a. = b", 1),
    // The words between parts.
    ("a andb", 5),
    ("aand b", 5),
    ("a orb", 4),
    ("aor b", 4),
    ("a and", 5),
    ("a and ", 6),
    ("a or", 4),
    ("a or ", 5),
    ("and a", 4),
    ("or a", 3),
    ("a not b", 2),
    ("a notb", 2),
    ("a and or b", 9),
    ("a and and b", 10),
    ("a andnot b", 5),
    ("a ornot b", 4),
    ("(a)andnot(b)", 6),
    ("(a)ornot(b)", 5),
    ("a AND b", 2),
    ("a && b", 2),
    ("not (a", 6),
    ("not()", 4),
    // After "or(" and its ')' only another "or" may follow.
    ("(a)or(b)and(c)", 8),
    ("a or(b) and c", 8),
    // Operators.
    ("proc.name", 9),
    ("proc.name cat", 10),
    ("proc.name ExIsTs", 10),
    ("proc.name exists cat", 17),
    ("proc.name === cat", 12),
    ("proc.name !== cat", 12),
    ("proc.name =", 11),
    ("proc.name = ", 12),
    ("proc.name =, a", 11),
    ("proc.name <> 1", 11),
    ("proc.name ~ cat", 10),
    ("proc.name containscat", 10),
    ("proc.name icontainscat", 10),
    ("proc.name bcontains00", 10),
    ("proc.name startswithcat", 10),
    ("proc.name bstartswith00", 10),
    ("proc.name endswithcat", 10),
    ("proc.name globcat", 10),
    ("proc.name iglobcat", 10),
    ("proc.name regexcat", 10),
    ("proc.name contains", 10),
    ("proc.name containsin (a)", 10),
    ("proc.name contains ", 19),
    ("a > 12", 2),
    ("a = b", 2),
    ("a.b = b = 1", 8),
    // Words and strings.
    ("fd.name = a,", 11),
    ("fd.name = a=", 11),
    ("fd.name = a(b)", 11),
    ("fd.name = two words", 14),
    ("fd.name = '", 10),
    ("fd.name = \"", 10),
    ("fd.name = 'no end", 10),
    ("fd.name = 'no end\"", 10),
    ("fd.name = 'nul\0'", 10),
    ("fd.name = ''''", 12),
    ("fd.name = \"a\"\"", 13),
    ("fd.name = \"a\\'b\"", 16),
    ("fd.name = 'a\\\"b'", 16),
    ("fd.name = 'a\\xff'", 17),
    ("fd.name = 'a\\qb'", 16),
    ("fd.name = /var/lo);g/d", 17),
    // Lists.
    ("fd.name in", 10),
    ("fd.name in (", 12),
    ("fd.name in )", 11),
    ("fd.name in (a", 13),
    ("fd.name in (a b)", 14),
    ("fd.name in (a,)", 14),
    ("fd.name in (a,,b)", 14),
    ("fd.name in (,)", 12),
    ("fd.name in (a=b)", 13),
    ("fd.name in ((a))", 12),
    ("fd.name in ('a\\q')", 17),
    ("fd.name in 'a'", 11),
    ("fd.name in 5", 11),
    ("fd.name in (tolower(a.b))", 19),
    ("fd.name in (a, val(b.c))", 18),
    ("fd.name > (a)", 10),
    ("fd.name = (a)", 10),
    ("fd.name startswith (a)", 19),
    ("fd.name contains (a)", 17),
    // Numbers.
    ("fd.num > a", 9),
    ("fd.num > !1", 9),
    ("fd.num > 'x'", 9),
    ("fd.num > 0xzz", 10),
    ("fd.num > 0x1.5", 12),
    ("fd.num > 12ab", 11),
    ("fd.num > 1e5", 10),
    ("fd.num > .5", 9),
    ("fd.num > --1", 9),
    ("fd.num > anyof (1)", 9),
    // Arguments.
    ("proc.env[] = a", 9),
    ("proc.env[ = a", 9),
    ("proc.env[[] = a", 9),
    ("proc.env[a = b", 10),
    ("proc.env[a b] = c", 10),
    ("proc.env[ a ] = c", 9),
    ("proc.env[a]] = c", 11),
    ("proc.env[a[b] = c", 10),
    ("proc.env[a\"] = c", 10),
    ("proc.env['''] = c", 11),
    ("proc.env] = c", 8),
    ("proc.env [a] = c", 9),
    ("shell[1]", 5),
    // Transformers.
    ("tolower (proc.name) exists", 8),
    ("tolower\n(proc.name) exists", 8),
    ("tolower(proc.name exists", 18),
    ("tolower(proc.name)", 18),
    ("tolower(proc.name)) exists", 18),
    ("tolower() exists", 8),
    ("tolower(name) exists", 8),
    ("tolower(tolower) exists", 8),
    ("tolower(proc.name [1]) exists", 18),
    ("tolower(proc.name,) exists", 18),
    ("ToLower(proc.name) exists", 7),
    ("other(proc.name) exists", 5),
    ("other.fn(proc.name) exists", 8),
    ("val(proc.name) exists", 3),
    ("tolower(val(proc.name)) exists", 8),
    ("(proc.name) exists", 10),
    ("join(',', (proc.name) = a", 22),
    ("join(',', (proc.name,)) = a", 21),
    ("join(',', (a)) = a", 11),
    ("join(',', ((a.b))) = a", 11),
    ("concat(proc.name, bare) = a", 18),
    ("concat(proc.name proc.pname) = a", 17),
    ("getopt(proc.args, 'a')[] = x", 23),
    ("getopt(proc.args, 'a')[a = x", 24),
    ("proc.name = val(pname)", 16),
    ("proc.name = val(val(proc.pname))", 16),
    ("proc.name = val(tolower(proc.pname))", 16),
    ("proc.name = tolower(val(proc.pname))", 20),
    ("proc.name = val(proc.pname [1])", 27),
    ("proc.name = val (proc.pname)", 16),
    ("proc.name = tolower (proc.pname)", 20),
    ("proc.name = tolower(proc.pname))", 31),
    ("proc.name = tolower(proc.pname", 30),
    ("proc.name = (tolower(proc.pname))", 12),
    ("proc.name = other(proc.pname)", 17),
    ("proc.name = b64and(a)", 18),
    // Modifiers.
    ("proc.name in anyof (a)", 19),
    ("proc.name pmatch oneof (a)", 23),
    ("proc.name = anyof (a", 20),
    ("proc.name = anyof (a,)", 21),
    ("proc.name = anyof a", 18),
    ("proc.name = some (a)", 17),
    ("proc.name anyof (a)", 10),
    ("proc.name = anyof val(proc.pname)", 18),
    ("proc.name = oneof anyof (a)", 18),
];

#[test]
fn conditions_are_accepted_with_their_precedence() {
    for (text, expected) in ACCEPTED {
        match parse(text) {
            Ok(tree) => assert_eq!(*expected, tree.to_string(), "{text:?}"),
            Err(error) => panic!("{text:?}: {error}"),
        }
    }
}

#[test]
fn what_is_written_back_is_read_as_the_same() {
    for (_, written) in ACCEPTED {
        match parse(written) {
            Ok(tree) => assert_eq!(*written, tree.to_string()),
            Err(error) => panic!("{written:?}: {error}"),
        }
    }
}

#[test]
fn other_texts_are_rejected_at_the_byte_where_they_go_wrong() {
    for (text, at) in REJECTED {
        match parse(text) {
            Ok(tree) => panic!("{text:?} was read as {tree}"),
            Err(error) => assert_eq!(*at, error.at, "{text:?}: {}", error.message),
        }
    }
}

#[test]
fn every_prefix_of_a_condition_is_answered() {
    let text = "not (tolower(proc.aname[2]) startswith anyof ('a\\n', b) or fd.num >= 0x1f) and getopt(a.b, \"c\")[d] = val(e.f)";
    for end in 0..=text.len() {
        let _ = parse(&text[..end]);
    }

    assert!(parse(text).is_ok());
}

#[test]
fn a_span_is_what_the_part_was_read_from() {
    let text = "  (a.b[1] = x and not c.d in (y, z)) or  shell ";
    let Expr::Or(parts, span) = parse(text).unwrap() else { panic!("no or") };
    let Expr::And(inner, inner_span) = &parts[0] else { panic!("no and") };

    assert_eq!("(a.b[1] = x and not c.d in (y, z)) or  shell", &text[span.start..span.end]);
    assert_eq!("a.b[1] = x and not c.d in (y, z)", &text[inner_span.start..inner_span.end]);
    assert_eq!("a.b[1] = x", &text[inner[0].span().start..inner[0].span().end]);
    assert_eq!("not c.d in (y, z)", &text[inner[1].span().start..inner[1].span().end]);
    assert_eq!("shell", &text[parts[1].span().start..parts[1].span().end]);
}

/// A parenthesis costs five levels; the condition inside costs seven.
#[test]
fn nesting_is_limited_as_in_libsinsp() {
    let nested = |levels: usize| format!("{}a.b = c{}", "(".repeat(levels), ")".repeat(levels));
    let deepest = (0..).take_while(|levels| parse(&nested(*levels)).is_ok()).count() - 1;
    let deepest_in_files =
        (0..).take_while(|levels| parse_with_depth(&nested(*levels), 1000).is_ok()).count() - 1;

    assert_eq!((18, 198), (deepest, deepest_in_files));
}

#[test]
fn ten_thousand_levels_are_an_error() {
    for open in ["(", "not(", "not (", "a and (", "a or("] {
        let text = format!("{}a{}", open.repeat(10_000), ")".repeat(10_000));
        let error = parse_with_depth(&text, 1000).unwrap_err();

        assert_eq!("the condition nests deeper than 1000 levels", error.message, "{open}");
    }
    let text = format!("{}a.b{} exists", "tolower(".repeat(10_000), ")".repeat(10_000));
    assert!(parse_with_depth(&text, 1000).unwrap_err().message.contains("nests deeper"));
    assert!(parse(&format!("{}a", "not ".repeat(10_000))).is_ok());
}

#[test]
fn a_condition_of_ten_megabytes_is_an_error() {
    let text = format!("a.b in ({})", "x,".repeat(5 << 20));

    let error = parse(&text).unwrap_err();

    let expected = "the condition has 10485769 bytes; the longest that is read has 4194304";
    assert_eq!(ParseError { at: 0, message: expected.into() }, error);
}

#[test]
fn the_longest_conditions_are_read() {
    let values = format!("a.b in ({}x)", "x,".repeat((2 << 20) - 10));
    let checks = format!("{}a", "a.b=c or ".repeat(460_000));

    assert!(parse(&values).is_ok());
    assert!(parse(&checks).is_ok());
}

#[test]
fn an_operand_at_the_front_of_an_output_is_read() {
    let cases = [
        ("proc.name %fd.name", "proc.name", 9),
        ("proc.aname[2], and", "proc.aname[2]", 13),
        ("tolower(proc.name))", "tolower(proc.name)", 18),
        ("evt.time.s", "evt.time.s", 10),
        ("evt.time.", "evt.time", 8),
        ("join(\",\", proc.aname) x", "join(\",\", proc.aname)", 21),
    ];
    for (text, expected, len) in cases {
        let (operand, end) = parse_operand(text).unwrap();

        assert_eq!((expected, len), (operand.to_string().as_str(), end), "{text}");
    }
    assert!(parse_operand("name").is_err());
    assert!(parse_operand("proc.name[").is_err());
}
