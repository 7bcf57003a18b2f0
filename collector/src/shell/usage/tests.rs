use std::ffi::OsString;

use super::shell_word;
use crate::shell::cli::Cli;

fn refusal(arguments: &[&str]) -> String {
    let arguments = ["glassbox"].iter().chain(arguments).map(OsString::from);
    let failure = Cli::from_arguments(arguments).unwrap_err();
    assert_eq!(64, failure.status(), "{failure}");
    failure.to_string()
}

#[test]
fn every_refusal_is_one_line_that_names_the_help_of_its_command() {
    for (arguments, help) in [
        (&["run"][..], "'glassbox run --help'"),
        (&["run", "--folow", "--", "ls"], "'glassbox run --help'"),
        (&["run", "-o"], "'glassbox run --help'"),
        (&["rnu"], "'glassbox --help'"),
        (&[], "'glassbox --help'"),
        (&["replay"], "'glassbox replay --help'"),
        (&["patch"], "'glassbox patch --help'"),
        (&["patch", "ecs"], "'glassbox patch ecs --help'"),
        (&["help", "patch", "eks"], "'glassbox patch --help'"),
        (&["rules", "explain", "--rule"], "'glassbox rules explain --help'"),
    ] {
        let refusal = refusal(arguments);

        assert!(refusal.ends_with(&format!("see {help}")), "{arguments:?}: {refusal}");
        assert!(!refusal.contains('\n') && refusal.contains("; "), "{refusal}");
    }
}

#[test]
fn program_without_run_gets_the_command_line_that_starts_it() {
    assert_eq!(
        "no command 'ls'; did you mean `glassbox run -- ls -l 'my files'`?; see 'glassbox --help'",
        refusal(&["ls", "-l", "my files"])
    );
    assert!(refusal(&["/bin/sh"]).contains("did you mean `glassbox run -- /bin/sh`?"));
}

#[test]
fn word_that_is_neither_a_command_nor_a_program_gets_the_nearest_command() {
    assert_eq!(
        "no command 'replya'; did you mean `glassbox replay`?; see 'glassbox --help'",
        refusal(&["replya", "r.gbx"])
    );
    assert_eq!(
        "no command 'no-such'; a program is run with 'glassbox run -- CMD'; see 'glassbox --help'",
        refusal(&["no-such"])
    );
}

#[test]
fn option_before_its_command_is_said_to_belong_behind_it() {
    for (given, arguments) in
        [("-o", &["-o", "human", "ls"][..]), ("--follow", &["--follow", "run", "--", "ls"])]
    {
        assert_eq!(
            format!(
                "'{given}' is an option of commands; write it behind one, as in 'glassbox run {given} …'; \
                 see 'glassbox --help'"
            ),
            refusal(arguments)
        );
    }
}

#[test]
fn misspelt_option_says_what_was_probably_meant() {
    assert_eq!(
        "unexpected argument '--folow' found; a similar argument exists: '--follow'; see 'glassbox run --help'",
        refusal(&["run", "--folow", "--", "ls"])
    );
}

#[test]
fn command_of_commands_without_one_names_them() {
    assert_eq!(
        "'glassbox patch' needs one of compose, dockerfile, ecs, k8s; see 'glassbox patch --help'",
        refusal(&["patch"])
    );
}

#[test]
fn words_are_quoted_for_a_shell_where_they_must_be() {
    for (word, quoted) in
        [("a/b-c.d", "a/b-c.d"), ("", "''"), ("a b", "'a b'"), ("it's", "'it'\\''s'"), ("$x", "'$x'")]
    {
        assert_eq!(quoted, shell_word(word));
    }
}

#[test]
fn help_is_a_command_too() {
    for arguments in
        [&["glassbox", "help", "run"][..], &["glassbox", "help"], &["glassbox", "patch", "help", "k8s"]]
    {
        let parsed = Cli::from_arguments(arguments.iter().map(OsString::from));

        assert!(matches!(parsed, Ok(None)), "{arguments:?}: {parsed:?}");
    }
}
