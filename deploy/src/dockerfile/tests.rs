use super::*;
use crate::notify::Notify;

const COPY: &str = "COPY --from=glassbox:0.1.0 /opt/glassbox/libglassbox.so /opt/glassbox/\n";
const ENV: &str = "ENV LD_PRELOAD=\"${LD_PRELOAD:+$LD_PRELOAD:}/opt/glassbox/libglassbox.so\" \
                   GLASSBOX_SOCKET=/run/glassbox/socket\n";

/// Patches a text, and checks the promises of every patch: a second patch changes nothing, and nothing is
/// taken away.
fn patched(text: &str, request: &Request) -> String {
    let once = patch(text, request).unwrap_or_else(|error| panic!("{error}: {text}"));
    let twice = patch(&once.text, request).unwrap();

    assert_eq!(once.text, twice.text, "twice is not once");
    assert!(!twice.notes.iter().any(|note| matches!(note, Note::Done(_))), "{:?}", twice.notes);
    once.text
}

fn plain(text: &str) -> String {
    patched(text, &Request::default())
}

fn refusal(text: &str, request: &Request) -> String {
    match patch(text, request) {
        Err(Error::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn warnings(text: &str, request: &Request) -> Vec<String> {
    let notes = patch(text, request).unwrap().notes;
    notes
        .into_iter()
        .filter_map(|note| match note {
            Note::Warning(what) => Some(what),
            _ => None,
        })
        .collect()
}

fn run() -> Request {
    Request { run: Some(Run::default()), ..Request::default() }
}

#[test]
fn sensor_comes_behind_what_runs_copies_or_sets_something() {
    let before = "# syntax=docker/dockerfile:1\nFROM debian:12 AS build\nRUN make\n\nFROM debian:12\n\
                  COPY --from=build /app /app\nRUN chmod 1 /app # x\n";
    let after = "\n# it starts here\nUSER app\nEXPOSE 80\nENTRYPOINT [\"/app\"]\n";

    assert_eq!(format!("{before}{COPY}{ENV}{after}"), plain(&format!("{before}{after}")));
}

#[test]
fn line_ends_stay_as_they_are() {
    let windows = |text: &str| text.replace('\n', "\r\n");

    assert_eq!(
        windows(&format!("FROM a\nRUN x \\\n  y\n{COPY}{ENV}CMD z")),
        plain(&windows("FROM a\nRUN x \\\n  y\nCMD z"))
    );
    assert_eq!(format!("FROM a\n{COPY}{ENV}"), plain("FROM a"));
}

#[test]
fn here_documents_are_not_cut_apart() {
    let text = "FROM a\nRUN <<EOF\nFROM b\nENV LD_PRELOAD=/opt/glassbox/libglassbox.so\nEOF\n";

    assert_eq!(format!("{text}{COPY}{ENV}CMD x\n"), plain(&format!("{text}CMD x\n")));
}

#[test]
fn present_preloads_stay_and_come_first() {
    for line in [
        "ENV LD_PRELOAD=/usr/lib/libjemalloc.so.2\n",
        "ENV LD_PRELOAD /opt/dynatrace/liboneagentproc.so\n",
        "ENV A=1 \\\n    LD_PRELOAD=\"$A:/opt/datadog/launcher.preload.so\"\n",
    ] {
        let text = format!("FROM a\n{line}RUN x\n");

        assert_eq!(format!("{text}{COPY}{ENV}"), plain(&text));
    }
}

#[test]
fn a_stage_has_what_its_base_has() {
    let once = plain("FROM a AS base\nRUN x\n");
    let text = format!("{once}FROM scratch AS other\nADD x.tar /\nFROM BASE AS app\nRUN y\n");

    assert_eq!(text, plain(&text));
    assert!(warnings(&text, &Request::default()).is_empty());
}

#[test]
fn a_base_may_be_chosen_by_argument() {
    let once = plain("ARG KIND=full\nARG TAG=12\nFROM debian:${TAG} AS app-full\nRUN x\n");
    let text = format!("{once}FROM app-${{KIND}}\nCMD y\n");
    assert_eq!(text, plain(&text));

    let once = plain("ARG DEBUG\nFROM a AS app-linux\nRUN x\n");
    let text = format!("{once}FROM b AS app-windows\nFROM app-$TARGETOS${{DEBUG:+-debug}}\n");
    assert_eq!(text, plain(&text));
    let warnings = warnings(&text, &Request::default());
    assert!(warnings[0].contains("inherits the sensor from stage 'app-linux'"), "{warnings:?}");
}

#[test]
fn a_variable_that_is_set_anew_is_appended_to_again() {
    let once = plain("FROM a\nRUN x\n");

    for (line, is_lost) in [
        ("ENV LD_PRELOAD=/b.so\n", true),
        ("ENV LD_PRELOAD=/b.so:/opt/glassbox/libglassbox.so\n", false),
        ("ENV LD_PRELOAD=$LD_PRELOAD:/b.so\n", false),
        ("ENV LD_PRELOAD='$LD_PRELOAD:/b.so'\n", true),
        ("ENV LD_PRELOAD \"/b.so ${LD_PRELOAD}\"\n", false),
    ] {
        let text = format!("{once}{line}");
        let expected = if is_lost {
            format!("{text}{}", ENV.replace(" GLASSBOX_SOCKET=/run/glassbox/socket", ""))
        } else {
            text.clone()
        };

        assert_eq!(expected, plain(&text), "{line}");
    }
}

#[test]
fn another_image_changes_its_name_alone() {
    let once = plain("FROM a\nRUN x\nCMD y\n");
    let request = Request { image: Some("r.example/glassbox:2".into()), ..Request::default() };
    let moved = patched(&once, &request);

    assert_eq!(once.replace("glassbox:0.1.0", "r.example/glassbox:2"), moved);
    assert_eq!(moved, plain(&moved), "without an image the one in the file stays");
}

#[test]
fn another_socket_changes_its_value_alone() {
    let once = plain("FROM a\nCMD y\n");
    let request = Request { socket: Some("@x".into()), ..Request::default() };

    assert_eq!(once.replace("/run/glassbox/socket", "@x"), patched(&once, &request));
}

#[test]
fn a_socket_that_was_set_stays() {
    let text = "FROM a\nENV GLASSBOX_SOCKET=@mine\n";

    assert_eq!(
        format!("{text}{COPY}{}", ENV.replace(" GLASSBOX_SOCKET=/run/glassbox/socket", "")),
        plain(text)
    );
}

#[test]
fn command_line_is_added_to_the_copy_that_is_there() {
    let request = Request { has_collector: true, ..Request::default() };
    let both = COPY.replace(".so /opt", ".so /opt/glassbox/glassbox /opt");

    assert_eq!(format!("FROM a\n{both}{ENV}"), patched("FROM a\n", &request));
    assert_eq!(format!("FROM a\n{both}{ENV}"), patched(&plain("FROM a\n"), &request));
    let by_hand = "FROM a\nCOPY --from=g:1 --link [\"/opt/glassbox/\", \"/opt/glassbox/\"]\n";
    assert_eq!(format!("{by_hand}{ENV}"), patched(by_hand, &request));
}

#[test]
fn chosen_stages_are_patched() {
    let text = "FROM a AS One\nRUN x\nFROM b\nRUN y\nFROM one AS three\nRUN z\n";
    let one = |name: &str| Request { stages: Which::One(name.into()), ..Request::default() };

    let first = format!("FROM a AS One\nRUN x\n{COPY}{ENV}FROM b\nRUN y\nFROM one AS three\nRUN z\n");
    assert_eq!(first, patched(text, &one("one")));
    assert_eq!(first, patched(text, &one("0")));
    assert_eq!(
        format!("FROM a AS One\nRUN x\n{COPY}{ENV}FROM b\nRUN y\n{COPY}{ENV}FROM one AS three\nRUN z\n"),
        patched(text, &Request { stages: Which::All, ..Request::default() }),
        "the third has what the first was given"
    );
    assert_eq!("no stage is called 'four'; there are one, 1, three", refusal(text, &one("four")));
}

#[test]
fn entry_points_are_started_by_run() {
    let front = "\"/opt/glassbox/glassbox\", \"run\", \"--\"";
    let copy = COPY.replace(".so /opt", ".so /opt/glassbox/glassbox /opt");
    for (before, after) in [
        ("ENTRYPOINT [\"/app\",\"-v\"]\nCMD x\n", format!("ENTRYPOINT [{front}, \"/app\",\"-v\"]\nCMD x\n")),
        ("ENTRYPOINT [ \\\n  \"/app\" ]\n", format!("ENTRYPOINT [ \\\n  {front}, \"/app\" ]\n")),
        (
            "entrypoint exec app \\\n  \"a b\"\n",
            format!("entrypoint [{front}, \"/bin/sh\", \"-c\", \"exec app   \\\"a b\\\"\"]\n"),
        ),
        (
            "SHELL [\"/bin/bash\", \"-ec\"]\nENTRYPOINT a\nSHELL [\"/bin/zsh\"]\n",
            format!(
                "SHELL [\"/bin/bash\", \"-ec\"]\nENTRYPOINT [{front}, \"/bin/bash\", \"-ec\", \"a\"]\nSHELL [\"/bin/zsh\"]\n"
            ),
        ),
        ("ENTRYPOINT []\nCMD [\"x\"]\n", format!("ENTRYPOINT [{front}]\nCMD [\"x\"]\n")),
    ] {
        assert_eq!(format!("FROM a\n{copy}{after}"), patched(&format!("FROM a\n{before}"), &run()));
    }
}

#[test]
fn inherited_entry_points_are_written_again_with_their_command() {
    let text = "FROM a AS base\nENTRYPOINT [\"/app\"]\nCMD one \\\n two\nFROM base\nRUN x\n";
    let copy = COPY.replace(".so /opt", ".so /opt/glassbox/glassbox /opt");

    assert_eq!(
        format!(
            "{text}{copy}ENTRYPOINT [\"/opt/glassbox/glassbox\", \"run\", \"--\", \"/app\"]\nCMD one  two\n"
        ),
        patched(text, &run())
    );
}

#[test]
fn a_base_images_entry_point_must_be_told() {
    let known = |words: &[&str]| {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let options = vec!["-o".into(), "jsonl".into()];
        Request { run: Some(Run { options }), entry_point: Some(words), ..Request::default() }
    };
    let copy = COPY.replace(".so /opt", ".so /opt/glassbox/glassbox /opt");
    let front = "\"/opt/glassbox/glassbox\", \"run\", \"-o\", \"jsonl\", \"--\"";

    assert_eq!(
        format!("FROM node\n{copy}ENTRYPOINT [{front}, \"docker-entrypoint.sh\"]\nCMD node app.js\n"),
        patched("FROM node\nCMD node app.js\n", &known(&["docker-entrypoint.sh"]))
    );
    assert_eq!(
        format!("FROM python\n{copy}ENTRYPOINT [{front}]\nCMD python app.py\n"),
        patched("FROM python\nCMD python app.py\n", &known(&[]))
    );
    assert!(
        refusal("FROM node\nCMD x\n", &run()).contains("has no ENTRYPOINT, and its base image may have one")
    );
    assert!(refusal("FROM node\n", &known(&[])).contains("has no CMD"));
    assert!(refusal("FROM a\nENTRYPOINT []\n", &run()).contains("has no CMD"));
    // An entry point makes docker forget the other stage's command.
    assert!(refusal("FROM a AS b\nCMD x\nFROM b\nENTRYPOINT []\n", &run()).contains("has no CMD"));
}

fn asked(level: &str) -> Request {
    let level = (level != "off").then(|| level.to_owned());
    Request { notify: Some(Notify { level, is_required: false }), ..Request::default() }
}

#[test]
fn a_supervisor_stands_before_the_entry_point_and_goes_again() {
    let front = "\"/opt/glassbox/glassbox\", \"exec\", \"--notify\", \"security\", \"--\"";
    let both = COPY.replace(".so /opt", ".so /opt/glassbox/glassbox /opt");
    for (before, after, gone) in [
        (
            "ENTRYPOINT [\"/app\",\"-v\"]\nCMD x\nHEALTHCHECK CMD [\"/app\", \"alive\"]\n",
            format!("ENTRYPOINT [{front}, \"/app\",\"-v\"]\nCMD x\nHEALTHCHECK CMD [\"/app\", \"alive\"]\n"),
            None,
        ),
        ("ENTRYPOINT [ \\\n  \"/a\\\"b\" ]\n", format!("ENTRYPOINT [ \\\n  {front}, \"/a\\\"b\" ]\n"), None),
        (
            "ENTRYPOINT exec app $X\n",
            format!("ENTRYPOINT [{front}, \"/bin/sh\", \"-c\", \"exec app $X\"]\n"),
            Some("ENTRYPOINT [\"/bin/sh\", \"-c\", \"exec app $X\"]\n"),
        ),
        ("ENTRYPOINT []\nCMD [\"x\"]\n", format!("ENTRYPOINT [{front}]\nCMD [\"x\"]\n"), None),
    ] {
        let on = patched(&format!("FROM a\n{before}"), &asked("security"));

        assert_eq!(format!("FROM a\n{both}{ENV}{after}"), on);
        assert_eq!(on, plain(&on), "what is there stays");
        assert_eq!(on.replace("security", "full"), patched(&on, &asked("full")));
        let gone = gone.unwrap_or(before);
        assert_eq!(format!("FROM a\n{both}{ENV}{gone}"), patched(&on, &asked("off")));
    }
}

#[test]
fn scratch_has_no_entry_point_of_its_own() {
    let both = COPY.replace(".so /opt", ".so /opt/glassbox/glassbox /opt");
    let text = "FROM scratch\nCOPY app /app\nCMD [\"/app\"]\n";

    let on = patched(text, &asked("security"));

    let front = "ENTRYPOINT [\"/opt/glassbox/glassbox\", \"exec\", \"--notify\", \"security\", \"--\"]\n";
    assert_eq!(format!("FROM scratch\nCOPY app /app\n{both}{ENV}{front}CMD [\"/app\"]\n"), on);
    assert!(warnings(text, &asked("security")).is_empty());
    assert!(warnings(text, &Request::default())[0].contains("give --notify security"));
    assert!(refusal("FROM scratch\nCOPY app /app\n", &asked("exec")).contains("has no CMD"));
}

#[test]
fn run_takes_the_level_itself() {
    let with = |level: &str, options: &[&str]| {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        Request { run: Some(Run { options }), ..asked(level) }
    };
    let text = "FROM a\nENTRYPOINT [\"/app\"]\n";
    let started = |on: &str, words: &str| {
        let line = format!("ENTRYPOINT [\"/opt/glassbox/glassbox\", {words}, \"--\", \"/app\"]\n");
        assert!(on.ends_with(&line), "{on}");
    };

    let on = patched(text, &with("security", &["-o", "human"]));
    started(&on, "\"run\", \"--notify\", \"security\", \"-o\", \"human\"");
    started(&patched(&on, &with("full", &[])), "\"run\", \"--notify\", \"full\", \"-o\", \"human\"");
    started(&patched(&on, &with("off", &[])), "\"run\", \"-o\", \"human\"");
    assert_eq!(on, patched(&on, &run()));
    let exec = patched(text, &asked("exec"));
    started(&patched(&exec, &run()), "\"run\", \"--notify\", \"exec\"");
    assert!(refusal(&on, &asked("exec")).contains("give --run, too"));
}

#[test]
fn a_command_that_only_the_base_image_knows_is_refused() {
    let known = Request { entry_point: Some(vec!["docker-entrypoint.sh".into()]), ..asked("exec") };

    assert!(refusal("FROM node\nCMD x\n", &asked("exec")).contains("name it with --entrypoint"));
    assert!(patched("FROM node\nCMD x\n", &known).contains("\"--\", \"docker-entrypoint.sh\"]\nCMD x\n"));
    patched("FROM node\nCMD x\n", &asked("off"));
    let lambda = "FROM public.ecr.aws/lambda/python:3.12\nENTRYPOINT [\"/a\"]\n";
    assert!(refusal(lambda, &asked("exec")).contains("is for AWS Lambda"));
    patched(lambda, &Request::default());
}

#[test]
fn windows_is_refused() {
    for line in [
        "FROM mcr.microsoft.com/windows/servercore:ltsc2022",
        "FROM --platform=windows/amd64 golang",
        "FROM mcr.microsoft.com/dotnet/aspnet:8.0-nanoserver-1809 AS x\nFROM x",
    ] {
        assert!(refusal(line, &Request::default()).contains("is for Windows"), "{line}");
    }
    plain("FROM example/windows-exporter\n");
}

#[test]
fn what_may_not_work_is_warned_of() {
    for (text, words) in [
        ("FROM scratch\nCOPY --from=x /app /\n", "begins from scratch"),
        ("FROM gcr.io/distroless/static-debian12\n", "made for static programs"),
        ("FROM --platform=linux/amd64 a\n", "build with --platform=linux/amd64"),
        ("FROM a\nVOLUME [\"/opt\"]\n", "declares a volume around /opt/glassbox"),
        ("FROM a\nARG LD_PRELOAD\n", "line 2 takes LD_PRELOAD as an argument"),
        ("# syntax=example/other\nFROM a\n", "'example/other' is not one of docker's frontends"),
    ] {
        let warnings = warnings(text, &Request::default());

        assert!(matches!(warnings.as_slice(), [one] if one.contains(words)), "{text}: {warnings:?}");
    }
    for text in [
        "FROM scratch\nADD rootfs.tar.xz /\n",
        "FROM scratch\nCOPY --from=x /rootfs/ /\n",
        "FROM --platform=$TARGETPLATFORM a\nVOLUME /opt/other /optical\n",
        "FROM --platform=$BUILDPLATFORM a\n",
        "ARG WHERE=linux/arm64\nFROM --platform=${WHERE} a\n",
    ] {
        assert_eq!(Vec::<String>::new(), warnings(text, &Request::default()), "{text}");
    }
}

#[test]
fn images_and_stages_are_not_mixed_up() {
    let request = Request { image: Some("glassbox".into()), ..Request::default() };
    assert!(refusal("FROM a AS glassbox\nFROM b\n", &request).contains("a stage is called 'glassbox'"));

    let by_hand = "FROM g:1 AS g\nFROM a\nCOPY --from=g /opt/glassbox/libglassbox.so /opt/glassbox/\n";
    assert_eq!(format!("{by_hand}{ENV}"), patched(by_hand, &request));
}

#[test]
fn what_no_builder_takes_is_malformed() {
    for (text, words) in [
        ("", "it has no FROM"),
        ("ARG A=1\n# x\n", "it has no FROM"),
        ("RUN x\nFROM a\n", "line 1: RUN before the first FROM"),
        ("FROM\n", "line 1: FROM takes an image"),
        ("FROM a b\n", "line 1: FROM takes an image"),
        ("FROM a\nENV LD_PRELOAD\n", "line 2: ENV LD_PRELOAD has no value"),
        ("FROM a\nCMD\n", "line 2: CMD says nothing"),
        ("FROM a\nENTRYPOINT ['a', 'b']\n", "line 2: the list of ENTRYPOINT is not JSON"),
        ("FROM a\nSHELL bash\n", "line 2: SHELL takes a list"),
        ("FROM a\nCOPY <<E /x\n", "line 2: the here-document 'E' does not end"),
    ] {
        let Err(Error::Malformed(why)) = patch(text, &Request::default()) else { panic!("{text}") };

        assert!(why.starts_with(words), "{why}");
    }
}

#[test]
fn no_text_brings_it_down() {
    // A file that has every part, cut at every character.
    let text = "\u{feff}# escape=`\nFROM --platform=$P a AS b\nENV A=\"x' `\n $B\" L='é`\nRUN <<-'E' x\n\tE\n\
                COPY --from=b [\"é\", \"/opt/glassbox\"]\nENTRYPOINT [ \"é\" `\n]\nENV LD_PRELOAD é\nCMD x `` `\ny";

    for (start, _) in text.char_indices() {
        for request in [Request::default(), run()] {
            let _ = patch(&text[start..], &request);
            let _ = patch(&text[..start], &request);
        }
    }
}

/// Pieces of files, good and bad, which the test joins in every order.
const PIECES: &[&str] = &[
    "FROM a AS one\n",
    "FROM --platform=$TARGETPLATFORM b\n",
    "from one as two\r\n",
    "FROM ${KIND:-two}\n",
    "FROM scratch\n",
    "ARG KIND=one\n",
    "ARG LD_PRELOAD\n",
    "RUN x \\\n  # within\n  y\n",
    "RUN <<E cat\nFROM z\nE\n",
    "COPY --from=one /x /y\n",
    "COPY --from=glassbox:0.1.0 /opt/glassbox/libglassbox.so /opt/glassbox/\n",
    "COPY --from=g:2 [\"/opt/glassbox/libglassbox.so\", \"/opt/glassbox/\"]\n",
    "ENV LD_PRELOAD=/a.so\n",
    "ENV LD_PRELOAD \"$LD_PRELOAD:/b.so\"\n",
    "ENV A=1 \\\n  LD_PRELOAD='/opt/glassbox/libglassbox.so' GLASSBOX_SOCKET=@x\n",
    "SHELL [\"/bin/bash\", \"-c\"]\n",
    "ENTRYPOINT [\"/app\"]\n",
    "ENTRYPOINT app \\\n  -v\n",
    "ENTRYPOINT []\n",
    "CMD [\"x\"]\n",
    "CMD x\n",
    "VOLUME /opt\n",
    "# a comment\n",
    "\n",
    "USER x",
];

proptest::proptest! {
    #[test]
    fn whatever_is_patched_is_kept_and_patched_once(
        pieces in proptest::collection::vec(proptest::sample::select(PIECES), 1..12),
        which in 0..3,
        has_collector: bool,
        is_run: bool,
        is_moved: bool,
        level in proptest::option::weighted(0.3, proptest::sample::select(&["off", "exec", "full"][..])),
    ) {
        let stages = [Which::Last, Which::All, Which::One("one".into())][which as usize].clone();
        let run = is_run.then(|| Run { options: vec!["-o".into(), "human".into()] });
        let image = is_moved.then(|| "r/glassbox:3".to_owned());
        let notify = level.and_then(|level| asked(level).notify);
        let request = Request { image, stages, has_collector, run, notify, ..Request::default() };
        let text = format!("FROM a\n{}", pieces.concat());

        let Ok(once) = patch(&text, &request) else { return Ok(()) };
        let twice = patch(&once.text, &request).unwrap();

        assert_eq!(once.text, twice.text);
        assert!(text::read(&once.text).unwrap().instructions.len() >= text::read(&text).unwrap().instructions.len());
        if !is_run && !is_moved && !has_collector && level.is_none() {
            let mut lines = once.text.lines();
            for line in text.lines() {
                assert!(lines.any(|kept| kept == line), "{line} is gone or elsewhere:\n{}", once.text);
            }
        }
    }
}

#[test]
fn template_of_a_dockerfile_is_known() {
    let why = patch("{{ if .x }}\nFROM a\n{{ end }}\n", &Request::default()).unwrap_err().to_string();

    assert!(why.contains("line 1: unknown instruction '{{'") && why.contains("a template?"), "{why}");
}
