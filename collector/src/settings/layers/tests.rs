use super::*;
use crate::settings::keys::{FAIL, FILTER, FOLLOW, INLINE, METRICS, REDACT, RULES, SENSOR, SOCKET};

const LIST: [&str; 2] = ["human", "jsonl:x"];

fn variables(pairs: &[(&str, &str)]) -> Variables {
    pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
}

fn layers(reader: Reader, pairs: &[(&str, &str)]) -> Layers {
    let environment = environment(reader, &variables(pairs)).unwrap();
    Layers { environment, ..Layers::default() }
}

fn with_file(layers: Layers, text: &str) -> Layers {
    let configuration = file::read(text.as_bytes(), "g.yaml", None).unwrap();
    Layers { configuration: Some(configuration), ..layers }
}

fn found(layers: &Layers, key: &'static Key) -> (Source, String) {
    let setting = layers.setting(key);
    (setting.source.clone(), setting.text().to_str().unwrap().to_owned())
}

fn of_variable(name: &str) -> Source {
    Source::Environment(name.to_owned())
}

#[test]
fn flag_comes_before_environment_before_file_before_default() {
    let set = layers(Reader::Every, &[("GLASSBOX_SOCKET", "/environment")]);
    let set = with_file(set, "socket: /file").with_default(&SOCKET, "/default");
    let unset = with_file(Layers::default(), "socket: /file");

    let by_environment = found(&set, &SOCKET);
    let by_flag = found(&set.with_flag(&SOCKET, ["/flag".into()]), &SOCKET);

    assert_eq!((Source::Flag, "/flag".into()), by_flag);
    assert_eq!((of_variable("GLASSBOX_SOCKET"), "/environment".into()), by_environment);
    assert_eq!((Source::File("g.yaml:1:9".into()), "/file".into()), found(&unset, &SOCKET));
    assert_eq!((Source::Default, "@glassbox".into()), found(&Layers::default(), &SOCKET));
}

#[test]
fn default_of_the_command_comes_before_that_of_the_table() {
    let layers = Layers::default().with_default(&SOCKET, "/run/glassbox/socket");

    assert_eq!((Source::Default, "/run/glassbox/socket".into()), found(&layers, &SOCKET));
}

#[test]
fn empty_variable_and_no_flags_are_as_good_as_none() {
    let layers = layers(Reader::Extension, &[("GLASSBOX_SOCKET", ""), ("GLASSBOX_OUTPUT", "  ")]);
    let layers = layers.with_flag(&FOLLOW, []);

    assert_eq!((Source::Default, "@glassbox".into()), found(&layers, &SOCKET));
    assert_eq!((Source::Default, String::new()), found(&layers, &OUTPUT));
    assert_eq!((Source::Default, "off".into()), found(&layers, &FOLLOW));
    assert_eq!((Source::Default, String::new()), found(&layers, &SENSOR));
}

#[test]
fn list_has_spaces_or_brackets_in_the_environment_and_several_values_elsewhere() {
    let words = layers(Reader::Every, &[("GLASSBOX_OUTPUTS", " human  jsonl:x ")]);
    let yaml = layers(Reader::Every, &[("GLASSBOX_OUTPUTS", "[human, {format: jsonl, to: x}]")]);
    let file = with_file(Layers::default(), "outputs:\n- human\n- jsonl:x\n");
    let flags = Layers::default().with_flag(&OUTPUT, LIST.map(OsString::from));

    for layers in [words, yaml, file, flags] {
        assert_eq!(LIST.map(OsString::from).to_vec(), layers.setting(&OUTPUT).values);
    }
}

#[test]
fn older_variables_of_the_extension_are_read_by_no_other_command_and_derived_ones_by_all() {
    let pairs = [("GLASSBOX_OUTPUT", "human"), ("GLASSBOX_FAIL", "closed"), ("GLASSBOX_RULES", "/r")];
    let derived = [("GLASSBOX_OUTPUTS", "human"), ("GLASSBOX_LAMBDA__FAIL", "closed")];

    assert_eq!("human", layers(Reader::Extension, &pairs).setting(&OUTPUT).text());
    assert_eq!("/r", layers(Reader::Extension, &pairs).setting(&RULES).text());
    assert_eq!("", layers(Reader::Every, &pairs).setting(&OUTPUT).text());
    assert_eq!("open", layers(Reader::Every, &pairs).setting(&FAIL).text());
    for reader in [Reader::Every, Reader::Extension] {
        assert_eq!("human", layers(reader, &derived).setting(&OUTPUT).text());
        assert_eq!("closed", layers(reader, &derived).setting(&FAIL).text());
    }
}

#[test]
fn derived_variable_comes_before_the_older_one() {
    let layers = layers(Reader::Every, &[("GLASSBOX_LIB", "/older"), ("GLASSBOX_SENSOR", "/derived")]);

    assert_eq!((of_variable("GLASSBOX_SENSOR"), "/derived".into()), found(&layers, &SENSOR));
}

#[test]
fn variable_of_a_section_that_is_none_is_refused_with_the_nearest_and_others_are_not_ours() {
    let refused = |name| environment(Reader::Every, &variables(&[(name, "x")])).unwrap_err();

    assert_eq!(
        "unknown variable GLASSBOX_RULES__FILE; did you mean 'GLASSBOX_RULES__FILES'?",
        refused("GLASSBOX_RULES__FILE").to_string()
    );
    assert_eq!(64, refused("GLASSBOX_X__Y").status());
    // As Kubernetes sets them where a service is called glassbox.
    let others = [("GLASSBOX_SERVICE_HOST", "10.0.0.1"), ("GLASSBOX_PORT_53_TCP", "tcp://")];
    assert!(environment(Reader::Every, &variables(&others)).unwrap().is_empty());
}

#[test]
fn variable_that_is_no_value_of_its_setting_is_refused() {
    let refused = |name, value| environment(Reader::Extension, &variables(&[(name, value)])).unwrap_err();

    assert_eq!(
        "GLASSBOX_REDACT: 'maybe' is neither on nor off; write one of them",
        refused("GLASSBOX_REDACT", "maybe").to_string()
    );
    assert_eq!(64, refused("GLASSBOX_FAIL", "closd").status());
    assert_eq!(
        "GLASSBOX_OUTPUTS: 1:2: unknown format 'yaml' in -o 'yaml'",
        refused("GLASSBOX_OUTPUTS", "[yaml]").to_string().split(';').next().unwrap()
    );
}

#[test]
fn message_names_the_layer_of_a_value() {
    let layers = layers(Reader::Every, &[("GLASSBOX_SOCKET", "@")]);
    let layers = with_file(layers, "\nsensor: /x").with_flag(&INLINE, ["e.so".into()]);

    assert_eq!("GLASSBOX_SOCKET='@'", layers.setting(&SOCKET).to_string());
    assert_eq!("g.yaml:2:9: sensor: '/x'", layers.setting(&SENSOR).to_string());
    assert_eq!("--inline 'e.so'", layers.setting(&INLINE).to_string());
}

#[test]
fn what_is_handed_down_is_the_same_there_with_absolute_paths() {
    let layers = layers(Reader::Every, &[("GLASSBOX_REDACT", "off")]);
    let layers = with_file(layers, "filter: evt.type = execve\nrules: {files: [/a, b c]}\noutputs: [human]");
    let layers = layers.with_flag(&FOLLOW, ["on".into()]);

    let spelled = layers.spelled().unwrap();
    let words: Vec<OsString> = spelled.into_iter().filter(|word| word != SET).collect();
    let there = Layers::handed_down(&words);

    for key in [&FILTER, &REDACT, &FOLLOW, &SOCKET] {
        assert_eq!(layers.setting(key), there.setting(key));
    }
    let rules = there.setting(&RULES);
    assert_eq!(2, rules.values.len());
    assert!(rules.values.iter().all(|path| Path::new(path).is_absolute()), "{rules:?}");
    assert!(there.setting(&OUTPUT).values.is_empty());
}

#[test]
fn outputs_of_the_default_file_are_for_the_collector_that_it_is_for() {
    let named = with_file(Layers::default(), "outputs: [human]\nmetrics: 9464\nfilter: evt.type = open");
    let mut default = named.clone();
    default.configuration.as_mut().unwrap().is_named = false;

    assert_eq!("human", named.without_outputs_of_default_file().setting(&OUTPUT).text());
    assert_eq!("human", default.setting(&OUTPUT).text());
    let default_metrics = default.setting(&METRICS).text().to_owned();
    let beside = default.without_outputs_of_default_file();
    assert_eq!("", beside.setting(&OUTPUT).text());
    assert_eq!("9464", default_metrics);
    assert_eq!("", beside.setting(&METRICS).text());
    assert_eq!("evt.type = open", beside.setting(&FILTER).text());
}
