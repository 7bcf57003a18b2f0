//! Every shape with a secret in it, near misses, and what must hold for any text.

use super::*;

/// What becomes of a text, as text.
fn plain(text: &str) -> String {
    let changed = redacted(TextKind::Plain, text.as_bytes());
    String::from_utf8(changed.unwrap_or_else(|| text.as_bytes().to_vec())).unwrap()
}

/// The same of words: blanks divide those given, bars those that come out.
fn words(words: &[&str]) -> String {
    let list: Vec<u8> = words.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
    let changed = redacted(TextKind::List, &list).unwrap_or(list);
    String::from_utf8(changed).unwrap().trim_end_matches('\0').replace('\0', "|")
}

fn variable(text: &str) -> String {
    let map = [text.as_bytes(), b"\0"].concat();
    let changed = redacted(TextKind::Map, &map).unwrap_or(map);
    String::from_utf8(changed).unwrap().trim_end_matches('\0').to_owned()
}

#[test]
fn values_of_options_are_taken_out_and_their_names_stay() {
    for (given, shown) in [
        (&["x", "--password=hunter2"][..], "x|--password=[redacted]"),
        (&["x", "--password", "hunter2", "more"], "x|--password|[redacted]|more"),
        (&["x", "--password=my pass word"], "x|--password=[redacted]"),
        (
            &["x", "--api-key", "k", "--token=t", "-secret", "s"],
            "x|--api-key|[redacted]|--token=[redacted]|-secret|[redacted]",
        ),
        (&["x", "TOKEN=a,b;c", "Y=1"], "x|TOKEN=[redacted]|Y=1"),
        (
            &["aws", "configure", "set", "aws_secret_access_key", "x"],
            "aws|configure|set|aws_secret_access_key|[redacted]",
        ),
        (
            &["npm", "config", "set", "//r.org/:_authToken", "x"],
            "npm|config|set|//r.org/:_authToken|[redacted]",
        ),
        (
            &["python3", "-c", "password = 'a b'; x(password == \"c\"); token = f()"],
            "python3|-c|password = '[redacted]'; x(password == \"[redacted]\"); token = f()",
        ),
        (&["kubectl", "--from-literal=password=a b"], "kubectl|--from-literal=password=[redacted]"),
        (&["java", "-Ddb.password=x", "-jar", "a.jar"], "java|-Ddb.password=[redacted]|-jar|a.jar"),
        (
            &["sh", "-c", "PASSWORD=x ./run --token y z"],
            "sh|-c|PASSWORD=[redacted] ./run --token [redacted] z",
        ),
    ] {
        assert_eq!(shown, words(given), "{given:?}");
    }
}

#[test]
fn short_options_count_with_the_programs_that_have_them() {
    for (given, shown) in [
        (&["mysql", "-uroot", "-phunter2", "db"][..], "mysql|-uroot|-p[redacted]|db"),
        (&["sudo", "/usr/bin/mysqldump", "-phunter2"], "sudo|/usr/bin/mysqldump|-p[redacted]"),
        (&["mongo", "-p", "x", "-px"], "mongo|-p|[redacted]|-p[redacted]"),
        (&["redis-cli", "-a", "x", "ping"], "redis-cli|-a|[redacted]|ping"),
        (&["sshpass", "-p", "x", "ssh", "h"], "sshpass|-p|[redacted]|ssh|h"),
        (&["curl", "-u", "me:x:y", "h"], "curl|-u|me:[redacted]|h"),
        (&["curl", "-ume:x", "--user", "a:b"], "curl|-ume:[redacted]|--user|a:[redacted]"),
        (&["docker", "login", "-u", "me", "-p", "x"], "docker|login|-u|me|-p|[redacted]"),
        (
            &["openssl", "enc", "-passin", "pass:x", "-passout", "file:/x"],
            "openssl|enc|-passin|pass:[redacted]|-passout|file:/x",
        ),
        (&["sh", "-c", "cd /; mysql -phunter2 db"], "sh|-c|cd /; mysql -p[redacted] db"),
    ] {
        assert_eq!(shown, words(given), "{given:?}");
    }
}

#[test]
fn headers_and_tokens_are_taken_out() {
    for (given, shown) in [
        (&["curl", "-H", "Authorization: Bearer abc.def"][..], "curl|-H|Authorization: Bearer [redacted]"),
        (&["curl", "-H", "authorization: Basic YTpi"], "curl|-H|authorization: Basic [redacted]"),
        (&["curl", "-H", "Authorization: abc"], "curl|-H|Authorization: [redacted]"),
        (&["curl", "-H", "Authorization:", "Bearer", "abc"], "curl|-H|Authorization:|Bearer|[redacted]"),
        (&["curl", "-H", "X-Api-Key: a b"], "curl|-H|X-Api-Key: [redacted]"),
        (
            &["x", "-H", "Authorization: Digest a=\"b\", response=\"c\""],
            "x|-H|Authorization: Digest [redacted]",
        ),
        (
            &["curl", "-d", r#"{"user":"a","password":"b\"c d"}"#],
            r#"curl|-d|{"user":"a","password":"[redacted]"}"#,
        ),
        (&["curl", "-d", r#"{"token": "x", "n": 1}"#], r#"curl|-d|{"token": "[redacted]", "n": 1}"#),
        (
            &["sh", "-c", "curl -H \"Authorization: Bearer abc\" https://h/"],
            "sh|-c|curl -H \"Authorization: Bearer [redacted]\" https://h/",
        ),
        (
            &["x", r#"{"Authorization":"Digest a=\"b\", c","d":1}"#],
            r#"x|{"Authorization":"Digest [redacted]","d":1}"#,
        ),
        (&["x", "bearer", "0123456789abcdef"], "x|bearer|[redacted]"),
    ] {
        assert_eq!(shown, words(given), "{given:?}");
    }
}

#[test]
fn secrets_that_are_known_by_their_look_are_taken_out_of_any_text() {
    let token = "0123456789abcdefghij0123456789abcdefghij";
    for (given, shown) in [
        ("/x/AKIAIOSFODNN7EXAMPLE/y".to_owned(), "/x/[redacted]/y"),
        ("AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(), "[redacted]:[redacted]"),
        (format!("a ghp_{token} b"), "a [redacted] b"),
        (format!("github_pat_{token}"), "[redacted]"),
        (format!("glpat-{token}"), "[redacted]"),
        (format!("xoxb-1-{token}"), "[redacted]"),
        (format!("sk_live_{token}"), "[redacted]"),
        (format!("npm_{token}"), "[redacted]"),
        (format!("pypi-AgE{token}"), "[redacted]"),
        (
            format!("https://hooks.slack.com/services/T0/B0/{token}"),
            "https://hooks.slack.com/services/[redacted]",
        ),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln".to_owned(), "[redacted]"),
        ("postgres://u:p@ss@h:5432/db?x=1".to_owned(), "postgres://u:[redacted]@h:5432/db?x=1"),
        ("postgres://u:pa/ss@h:5432/db".to_owned(), "postgres://u:[redacted]@h:5432/db"),
        ("https://u:p@h/a@b".to_owned(), "https://u:[redacted]@h/a@b"),
        ("redis://:p@h".to_owned(), "redis://:[redacted]@h"),
        ("https://h:80/a?b=1&token=t&c=2".to_owned(), "https://h:80/a?b=1&token=[redacted]&c=2"),
        (
            "Server=h;User Id=a;Pwd=x;Password=y;Db=z".to_owned(),
            "Server=h;User Id=a;Pwd=[redacted];Password=[redacted];Db=z",
        ),
        ("AccountName=a;AccountKey=x==;End=y".to_owned(), "AccountName=a;AccountKey=[redacted];End=y"),
        ("user=a,password=b".to_owned(), "user=a,password=[redacted]"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nabc\ndef\n-----END RSA PRIVATE KEY-----\n".to_owned(),
            "-----BEGIN RSA PRIVATE KEY-----\n[redacted]\n-----END RSA PRIVATE KEY-----\n",
        ),
        ("-----BEGIN PRIVATE KEY-----\nabc".to_owned(), "-----BEGIN PRIVATE KEY-----\n[redacted]"),
    ] {
        assert_eq!(shown, plain(&given), "{given}");
    }
}

#[test]
fn variables_with_the_name_of_a_secret_have_no_value_left() {
    for (given, shown) in [
        ("PASSWORD=a b=c", "PASSWORD=[redacted]"),
        ("AWS_SECRET_ACCESS_KEY=x", "AWS_SECRET_ACCESS_KEY=[redacted]"),
        ("DATABASE_URL=mysql://a:b@c/d", "DATABASE_URL=mysql://a:[redacted]@c/d"),
        ("PASSWORD=", "PASSWORD="),
        ("PWD=/home", "PWD=/home"),
        ("PASSWORD_FILE=/run/secrets/x", "PASSWORD_FILE=/run/secrets/x"),
    ] {
        assert_eq!(shown, variable(given));
    }
}

#[test]
fn near_misses_stay() {
    for given in [
        &["x", "--password-file=/x"][..],
        &["x", "--password-file", "/x"],
        &["x", "--password-stdin", "y"],
        &["nginx", "-p", "8080"],
        &["docker", "run", "-p", "8080:80", "nginx"],
        &["mysql", "-p", "db"],
        &["mysql", "--password", "db"],
        &["psql", "--password", "db"],
        &["x", "--max-tokens=5", "--token", "--next"],
        &["git", "clone", "https://me@h/repo", "ssh://git@h:22/x"],
        &["x", "tokens", "secret", "bearer", "of", "news"],
        &["cat", "/etc/passwd", "/run/secrets/token", "/home/u/.ssh/id_key"],
        &["x", "--author=me", "sort", "--key=1"],
        &["x", "image:tag", "basic", "training"],
        &["x", "AKIAshort", "task-1", "msg.txt", "eyJ"],
    ] {
        assert_eq!(given.join("|"), words(given));
    }
    for given in [
        "/usr/lib/libsecret-1.so.0",
        "/a/token=x/b",
        "token.example.com",
        "http://h:80/@x",
        "-----BEGIN CERTIFICATE-----\nabc",
    ] {
        assert_eq!(given, plain(given));
    }
}

#[test]
fn program_without_secrets_stays_the_same_and_one_with_some_becomes_one_other() {
    use crate::event::sample;
    use crate::ids::Pid;

    let shell = Program::new(Pid(1), b"/bin/sh"[..].into(), b"sh\0--token=t\0"[..].into(), None);
    let child = Program::new(Pid(2), b"/bin/true"[..].into(), b"true\0"[..].into(), Some(Arc::clone(&shell)));
    let plain = Program::new(Pid(3), b"/bin/true"[..].into(), b"true\0"[..].into(), None);
    let who =
        |program: &Arc<Program>| Arc::new(Who { program: Arc::clone(program), ..(*sample::who()).clone() });
    let (with, without) = (who(&child), who(&plain));
    let mut stage = stage();
    let mut passed = || {
        let mut batch = Batch::default();
        batch.whos.extend([Arc::clone(&with), Arc::clone(&without)]);
        stage(batch).unwrap()
    };

    let (first, second) = (passed(), passed());

    assert!(Arc::ptr_eq(&without, &first.whos[1]));
    assert!(Arc::ptr_eq(&first.whos[0], &second.whos[0]) && !Arc::ptr_eq(&with, &first.whos[0]));
    let parent = first.whos[0].program.parent.as_ref().unwrap();
    assert_eq!(b"sh\0--token=[redacted]\0", &*parent.argv);
    assert_eq!(child.argv, first.whos[0].program.argv);
}

#[test]
fn text_with_a_secret_is_taken_for_no_other_that_was_clean() {
    use crate::event::{Shape, Value, sample};
    use wire::events::Kind;

    let mut stage = stage();
    let mut passed = |text: &str| {
        let mut batch = Batch::default();
        batch.whos.push(sample::who());
        batch.push(sample::head(Kind::FileOpen));
        let path = batch.keep(text.as_bytes());
        batch.set(Shape::place(Kind::FileOpen, "path"), Value::Path(path, None));
        let batch = stage(batch).unwrap();
        let shown = batch.text(batch.value(&batch.events[0], "path")).unwrap();
        String::from_utf8(shown.to_vec()).unwrap()
    };

    // All of one length and end, so of one place.
    for _ in 0..2 {
        assert_eq!("/x?taken=abcdefgh12345678", passed("/x?taken=abcdefgh12345678"));
        assert_eq!("/x?token=[redacted]", passed("/x?token=abcdefgh12345678"));
    }
}

#[test]
fn hostile_texts_take_no_longer_than_others() {
    let long = |part: &str| part.repeat(16 * 1024 / part.len());
    let begun = std::time::Instant::now();

    for part in [
        "token=",
        "eyJ-",
        "://",
        "://a:b/",
        "authorization: ",
        "-----BEGIN PRIVATE KEY-----",
        "glpat-0123456789abcdef-",
        "bearer ",
        "password: \"",
        "\"token\":",
        "--token ",
        "AKIA",
        "sk-",
        "basic AAAA",
        "a:",
        "://@:",
        "'\"",
        "token=\\\"",
    ] {
        let text = long(part);
        for kind in [TextKind::Plain, TextKind::List, TextKind::Map] {
            let changed = redacted(kind, text.as_bytes()).unwrap_or_default();
            assert!(changed.len() <= REDACTED.len() * text.len(), "{part}");
        }
    }

    // Quadratic time would take minutes.
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}

proptest::proptest! {
    #[test]
    fn what_was_redacted_stays_as_it_is(text in "([a-z]{0,3}|token|password|[=:;,&\"' \\\\@/{}-]|--|Authorization|Bearer |://|eyJ|AKIA|é|\\[redacted\\]){0,24}") {
        for kind in [TextKind::Plain, TextKind::List, TextKind::Map] {
            let text = text.replace('&', "\0");
            let once = redacted(kind, text.as_bytes()).unwrap_or_else(|| text.clone().into_bytes());
            proptest::prop_assert!(std::str::from_utf8(&once).is_ok());
            proptest::prop_assert_eq!(None, redacted(kind, &once));
        }
    }
}
