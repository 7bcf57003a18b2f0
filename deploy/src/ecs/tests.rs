use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::notify::Notify;

fn registration() -> Value {
    json!({
        "family": "web",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [
            {
                "name": "web",
                "image": "nginx",
                "environment": [{"name": "LD_PRELOAD", "value": "/opt/dynatrace/liboneagentproc.so"}],
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {"awslogs-group": "/web", "awslogs-multiline-pattern": "^\\d", "awslogs-region": "eu-west-1"},
                },
            },
            {"name": "worker", "image": "worker:1", "dependsOn": [{"containerName": "web", "condition": "START"}]},
        ],
    })
}

fn template() -> Value {
    json!({
        "Resources": {
            "Bucket": {"Type": "AWS::S3::Bucket"},
            "Task": {
                "Type": "AWS::ECS::TaskDefinition",
                "Properties": {
                    "Family": {"Fn::Sub": "${AWS::StackName}-web"},
                    "Cpu": {"Ref": "Cpu"},
                    "Memory": "512",
                    "NetworkMode": "awsvpc",
                    "RequiresCompatibilities": ["FARGATE"],
                    "ContainerDefinitions": [{
                        "Name": {"Ref": "Name"},
                        "Image": {"Fn::Join": ["", [{"Ref": "AWS::AccountId"}, ".dkr.ecr.x.amazonaws.com/web:1"]]},
                        "Environment": [{"Name": "TABLE", "Value": {"Fn::GetAtt": ["Table", "Arn"]}}],
                        "LogConfiguration": {"LogDriver": "awslogs", "Options": {"awslogs-group": {"Ref": "Group"}}},
                    }],
                },
            },
        },
    })
}

fn patched_with(value: &Value, request: &Request) -> (Value, Vec<Note>) {
    let text = serde_json::to_string_pretty(value).unwrap();
    let patched = patch(&text, request).unwrap();
    let again = patch(&patched.text, request).unwrap();
    assert_eq!(patched.text, again.text, "patched twice");
    (serde_json::from_str(&patched.text).unwrap(), patched.notes)
}

fn patched(value: &Value) -> Value {
    patched_with(value, &Request::default()).0
}

fn why(value: &Value) -> String {
    why_with(value, &Request::default())
}

fn why_with(value: &Value, request: &Request) -> String {
    match patch(&value.to_string(), request) {
        Err(error) => error.to_string(),
        Ok(patched) => panic!("patched: {}", patched.text),
    }
}

/// A list of one container with these fields more.
fn container(more: Value) -> Value {
    let mut container = json!({"name": "web", "image": "nginx"});
    container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!([container])
}

fn warnings(notes: &[Note]) -> Vec<&str> {
    told(notes, |note| matches!(note, Note::Warning(_)))
}

fn skipped(notes: &[Note]) -> Vec<&str> {
    told(notes, |note| matches!(note, Note::Skipped(_)))
}

fn told(notes: &[Note], is_wanted: impl Fn(&Note) -> bool) -> Vec<&str> {
    let wanted = notes.iter().filter(|note| is_wanted(note));
    wanted
        .map(|note| match note {
            Note::Done(text) | Note::Skipped(text) | Note::Warning(text) | Note::Missed(text) => {
                text.as_str()
            }
        })
        .collect()
}

#[test]
fn a_registration_gets_a_container_and_what_leads_to_it() {
    let mut expected = registration();
    let containers = &mut expected["containerDefinitions"];
    let (volumes, dependency) = (
        json!([{"sourceContainer": "glassbox", "readOnly": true}]),
        json!({"containerName": "glassbox", "condition": "HEALTHY"}),
    );
    containers[0]["environment"] = json!([
        {"name": "LD_PRELOAD", "value": "/opt/dynatrace/liboneagentproc.so:/opt/glassbox/libglassbox.so"},
        {"name": "GLASSBOX_SOCKET", "value": "/opt/glassbox/socket"},
    ]);
    containers[0]["volumesFrom"] = volumes.clone();
    containers[0]["dependsOn"] = json!([dependency]);
    containers[1]["environment"] = json!([
        {"name": "LD_PRELOAD", "value": "/opt/glassbox/libglassbox.so"},
        {"name": "GLASSBOX_SOCKET", "value": "/opt/glassbox/socket"},
    ]);
    containers[1]["volumesFrom"] = volumes;
    containers[1]["dependsOn"] = json!([{"containerName": "web", "condition": "START"}, dependency]);
    containers.as_array_mut().unwrap().push(json!({
        "name": "glassbox",
        "image": crate::image::DEFAULT_IMAGE,
        "essential": false,
        "command": ["-o", "jsonl"],
        "healthCheck": {"command": ["CMD", "/opt/glassbox/glassbox", "health"], "interval": 5},
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {"awslogs-group": "/web", "awslogs-region": "eu-west-1"},
        },
    }));

    assert_eq!(expected, patched(&registration()));
}

#[test]
fn a_template_is_patched_in_its_own_spelling_around_its_functions() {
    let mut expected = template();
    let containers = &mut expected["Resources"]["Task"]["Properties"]["ContainerDefinitions"];
    containers[0]["Environment"].as_array_mut().unwrap().extend([
        json!({"Name": "LD_PRELOAD", "Value": "/opt/glassbox/libglassbox.so"}),
        json!({"Name": "GLASSBOX_SOCKET", "Value": "/opt/glassbox/socket"}),
    ]);
    containers[0]["VolumesFrom"] = json!([{"SourceContainer": "glassbox", "ReadOnly": true}]);
    containers[0]["DependsOn"] = json!([{"ContainerName": "glassbox", "Condition": "HEALTHY"}]);
    containers.as_array_mut().unwrap().push(json!({
        "Name": "glassbox",
        "Image": crate::image::DEFAULT_IMAGE,
        "Essential": false,
        "Command": ["-o", "jsonl"],
        "HealthCheck": {"Command": ["CMD", "/opt/glassbox/glassbox", "health"], "Interval": 5},
        "LogConfiguration": {"LogDriver": "awslogs", "Options": {"awslogs-group": {"Ref": "Group"}}},
    }));

    assert_eq!(expected, patched(&template()));
}

#[test]
fn a_description_becomes_what_can_be_registered() {
    let mut description = registration();
    for key in READ_ONLY {
        description[key] = json!("x");
    }
    let tags = json!([{"key": "team", "value": "shop"}]);
    let (whole, inner) =
        (json!({"taskDefinition": description, "tags": tags, "ResponseMetadata": {}}), description);

    let from_whole = patched(&whole);
    let from_inner = patched(&inner);

    let expected = patched(&registration());
    assert_eq!(expected, from_inner);
    assert_eq!(tags, from_whole["tags"]);
    assert_eq!(expected["containerDefinitions"], from_whole["containerDefinitions"]);
    assert_eq!(expected.as_object().unwrap().len() + 1, from_whole.as_object().unwrap().len());
    assert_eq!(None, patched(&json!({"taskDefinition": registration(), "tags": []})).get("tags"));
}

#[test]
fn a_list_of_containers_stays_one() {
    let list = registration()["containerDefinitions"].clone();

    assert_eq!(patched(&registration())["containerDefinitions"], patched(&list));
}

#[test]
fn order_indentation_and_the_rest_of_the_text_stay() {
    let text = "{\n\t\"x\": 1.0e3,\n\t\"containerDefinitions\": [\n\t\t{ \"name\": \"web\" }\n\t],\n\t\"family\": \"web\"\n}\n";

    let after = patch(text, &Request::default()).unwrap().text;

    assert!(
        after.starts_with(
            "{\n\t\"x\": 1.0e3,\n\t\"containerDefinitions\": [\n\t\t{ \"name\": \"web\", \"environment\": ["
        ),
        "{after}"
    );
    assert!(after.ends_with("\n\t],\n\t\"family\": \"web\"\n}\n"), "{after}");
}

#[test]
fn json_behind_a_byte_order_mark_stays_json() {
    let text = registration().to_string();

    let [bare, marked] = [text.clone(), format!("\u{feff}{text}")].map(|text| {
        let patched = patch(&text, &Request::default()).unwrap();
        assert_eq!(patched.text, patch(&patched.text, &Request::default()).unwrap().text);
        patched.text
    });

    assert_eq!(Some(bare.as_str()), marked.strip_prefix('\u{feff}'));
}

#[test]
fn texts_of_another_kind_are_told_what_is_expected() {
    for (text, words) in [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("# nothing\n", "it is empty"),
        ("Resources:\n  A: 1\n", "the template has no AWS::ECS::TaskDefinition"),
        ("Resources:\n  A: &a\n   - *b\n", "as YAML, line 3"),
        ("Resources: {}\nResources: {}\n", "as YAML, line 2"),
        ("a: 1\n---\nb: 1\n", "it has 2 documents of YAML"),
        ("resource \"aws_ecs_task_definition\" \"web\" {}\n", "it is a text, neither an object nor a list"),
        ("null", "it is empty"),
        ("[", "it is not JSON: EOF while parsing a list at line 1 column 1"),
        ("[]", "the list is empty"),
        ("{}", "the object is empty"),
        ("[1]", "element 0 of the list has no 'name'"),
        (r#"[{"Name": "web"}]"#, "element 0 of the list has no 'name'"),
        (r#"{"services": {}, "version": 3}"#, "it is not a task definition (it has 'services', 'version')"),
        (r#"{"taskDefinition": "web:3"}"#, "it is not a task definition"),
        (
            r#"{"taskDefinition": {"taskDefinition": {"containerDefinitions": []}}}"#,
            "it is not a task definition",
        ),
        (r#"{"Resources": []}"#, "'Resources' is a list, not an object"),
        (
            r#"{"Resources": {"A": {"Type": "AWS::S3::Bucket"}}}"#,
            "the template has no AWS::ECS::TaskDefinition",
        ),
    ] {
        let Err(Error::Malformed(why)) = patch(text, &Request::default()) else { panic!("{text}") };

        assert!(why.starts_with(words), "{text}: {why}");
        assert!(
            why.contains("; give a task definition")
                || why.ends_with("; correct it there")
                || why.ends_with("; remove one of them"),
            "no remedy: {why}"
        );
    }
}

#[test]
fn fields_of_a_wrong_type_are_told_by_name() {
    for (value, words) in [
        (json!({"containerDefinitions": []}), "it has no container; a task definition needs one"),
        (json!({"containerDefinitions": null}), "it has no container; a task definition needs one"),
        (json!({"containerDefinitions": {}}), "'containerDefinitions' is an object, not a list; correct it"),
        (json!({"containerDefinitions": [7]}), "container 1 is a number, not an object; correct it"),
        (json!({"containerDefinitions": [{"image": "x"}]}), "container 1 has no name; give it one"),
        (
            json!({"containerDefinitions": [{"name": {"Ref": "X"}}]}),
            "container 1: its name is an object, not a text",
        ),
        (
            container(json!({"environment": {"Ref": "X"}})),
            "container 'web': 'environment' is an object, not a list",
        ),
        (
            container(json!({"environment": ["A=1"]})),
            "container 'web': element 0 of 'environment' is a text, not an object",
        ),
        (
            container(json!({"environment": [{"name": "LD_PRELOAD", "value": 7}]})),
            "its LD_PRELOAD is a number, not a text",
        ),
        (container(json!({"volumesFrom": "x"})), "'volumesFrom' is a text, not a list"),
        (container(json!({"dependsOn": true})), "'dependsOn' is a boolean, not a list"),
        (container(json!({"mountPoints": 1})), "'mountPoints' is a number, not a list"),
        (
            container(json!({"dockerLabels": {"glassbox/sensor": "maybe"}})),
            "its label glassbox/sensor is 'maybe'; say \"on\" or \"off\"",
        ),
        (
            container(json!({"dockerLabels": {"glassbox/sensor": true}})),
            "its label glassbox/sensor is 'true'; say \"on\" or \"off\"",
        ),
        (
            json!({"Resources": {"T": {"Type": "AWS::ECS::TaskDefinition"}}}),
            "task definition 'T': 'Properties' is null, not an object; correct it",
        ),
        (
            json!({"Resources": {"T": {"Type": "AWS::ECS::TaskDefinition", "Properties": {"ContainerDefinitions": [{"Name": 1}]}}}}),
            "task definition 'T': container 1: its name is a number, not a text; correct it",
        ),
    ] {
        let Err(Error::Malformed(why)) = patch(&value.to_string(), &Request::default()) else {
            panic!("{value}")
        };

        assert!(why.contains(words), "{value}: {why}");
    }
}

#[test]
fn null_and_empty_fields_are_as_if_they_were_not_there() {
    let bare = patched(&container(json!({})));

    let null = patched(&container(
        json!({"environment": null, "volumesFrom": null, "dependsOn": null, "secrets": null}),
    ));
    let empty = patched(&container(
        json!({"environment": [], "volumesFrom": [], "dependsOn": [], "mountPoints": []}),
    ));

    for field in ["environment", "volumesFrom", "dependsOn"] {
        assert_eq!(bare[0][field], null[0][field]);
        assert_eq!(bare[0][field], empty[0][field]);
    }
}

#[test]
fn what_cannot_be_patched_safely_is_refused_with_a_remedy() {
    let secret = |name: &str| container(json!({"secrets": [{"name": name, "valueFrom": "arn:aws:ssm:x"}]}));
    let with = |more: Value| {
        let mut list = container(json!({})).as_array().unwrap().clone();
        list.push(more);
        Value::from(list)
    };
    let template = |more: Value| {
        let mut template = template();
        let container = &mut template["Resources"]["Task"]["Properties"]["ContainerDefinitions"][0];
        container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        template
    };
    let many: Vec<Value> = (0..10).map(|index| json!({"name": format!("c{index}")})).collect();
    for (value, words) in [
        (
            secret("LD_PRELOAD"),
            "container 'web': LD_PRELOAD comes from its secrets, and cannot be added to; write it",
        ),
        (secret("GLASSBOX_SOCKET"), "GLASSBOX_SOCKET comes from its secrets"),
        (
            with(json!({"name": "glassbox", "image": "x"})),
            "container 'glassbox' is not the sensor's (its health check is not",
        ),
        (
            container(json!({"mountPoints": [{"sourceVolume": "v", "containerPath": "/opt/glassbox/"}]})),
            "something else is mounted at /opt/glassbox; mount it elsewhere",
        ),
        (
            json!({"containerDefinitions": [{"name": "a"}], "runtimePlatform": {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}}),
            "its containers are Windows', where nothing can be preloaded",
        ),
        (
            container(json!({"image": "mcr.microsoft.com/windows/servercore:ltsc2022"})),
            "its containers are Windows'",
        ),
        (
            container(json!({"dependsOn": [{"containerName": "db", "condition": "START"}]})),
            "container 'web' depends on 'db', which is not a container of the task, so registering it would fail",
        ),
        (json!(many), "with the sensor's it has 11 containers, and a task definition may have 10"),
        (
            with(
                json!({"name": "s", "healthCheck": {"command": ["CMD", "/opt/glassbox/glassbox", "health"]},
                        "dependsOn": [{"containerName": "web", "condition": "START"}]}),
            ),
            "containers wait for each other: s → web → s; take one of these out",
        ),
        (
            template(json!({"Environment": [{"Name": "LD_PRELOAD", "Value": {"Ref": "Preload"}}]})),
            "task definition 'Task': container 1: its LD_PRELOAD is given by Ref; append ':/opt/glassbox/libglassbox.so' to it",
        ),
        (
            template(
                json!({"Environment": [{"Fn::If": ["C", {"Name": "LD_PRELOAD", "Value": "/a.so"}, {"Ref": "AWS::NoValue"}]}]}),
            ),
            "container 1: a function decides on its LD_PRELOAD; append",
        ),
        (
            template(json!({"Environment": {"Fn::If": ["C", [], []]}})),
            "'Environment' is given by Fn::If, and its value is not known before the stack is made; write the list out",
        ),
        (
            template(
                json!({"Secrets": [{"Fn::If": ["C", {"Name": "LD_PRELOAD", "ValueFrom": "x"}, {"Ref": "AWS::NoValue"}]}]}),
            ),
            "LD_PRELOAD comes from its secrets",
        ),
    ] {
        let Err(Error::Refused(why)) = patch(&value.to_string(), &Request::default()) else {
            panic!("{value}")
        };

        assert!(why.contains(words), "{value}: {why}");
        assert!(why.contains("; "), "no remedy: {why}");
    }
}

#[test]
fn a_function_that_names_the_sensor_already_is_taken_as_it_is() {
    for entry in [
        json!({"Name": "LD_PRELOAD", "Value": {"Fn::Sub": "${Preload}:/opt/glassbox/libglassbox.so"}}),
        json!({"Fn::If": ["C", {"Name": "LD_PRELOAD", "Value": "/a.so:/opt/glassbox/libglassbox.so"},
                          {"Name": "LD_PRELOAD", "Value": "/opt/glassbox/libglassbox.so"}]}),
    ] {
        let mut template = template();
        let at = "/Resources/Task/Properties/ContainerDefinitions/0/Environment";
        *template.pointer_mut(at).unwrap() = json!([entry]);

        let after = patched(&template);

        assert_eq!(
            json!([entry, {"Name": "GLASSBOX_SOCKET", "Value": "/opt/glassbox/socket"}]),
            *after.pointer(at).unwrap()
        );
    }
}

#[test]
fn functions_for_containers_and_resources_are_told_of() {
    let mut template = template();
    let both = json!({"Fn::If": ["C", {"Name": "b"}, {"Ref": "AWS::NoValue"}]});
    template["Resources"]["Task"]["Properties"]["ContainerDefinitions"]
        .as_array_mut()
        .unwrap()
        .push(both.clone());
    template["Resources"]["Fn::ForEach::Tasks"] = json!([]);

    let (after, notes) = patched_with(&template, &Request::default());

    assert_eq!(both, after["Resources"]["Task"]["Properties"]["ContainerDefinitions"][1]);
    assert!(warnings(&notes).contains(
        &"task definition 'Task': container 2 is given by Fn::If; put the sensor in there by hand"
    ));
    assert!(warnings(&notes).iter().any(|what| what.contains("Fn::ForEach")), "{notes:?}");
}

#[test]
fn windows_among_other_task_definitions_is_left_alone() {
    let mut template = template();
    template["Resources"]["Windows"] = template["Resources"]["Task"].clone();
    template["Resources"]["Windows"]["Properties"]["RuntimePlatform"] =
        json!({"OperatingSystemFamily": "WINDOWS_SERVER_2019_FULL"});

    let (after, notes) = patched_with(&template, &Request::default());

    assert_eq!(template["Resources"]["Windows"], after["Resources"]["Windows"]);
    assert_eq!(vec!["task definition 'Windows': its containers are Windows'"], skipped(&notes));
    assert_eq!(2, after["Resources"]["Task"]["Properties"]["ContainerDefinitions"].as_array().unwrap().len());
}

#[test]
fn routers_agents_and_those_that_opted_out_are_left_alone() {
    let label = |word: &str| json!({"glassbox.sensor": word});
    let list = json!([
        {"name": "web", "image": "web"},
        {"name": "log_router", "image": "mirror/logs", "firelensConfiguration": {"type": "fluentbit"}},
        {"name": "datadog-agent", "image": "public.ecr.aws/datadog/agent:7"},
        {"name": "taken", "image": "public.ecr.aws/datadog/agent:7", "dockerLabels": label("on")},
        {"name": "off", "image": "x", "dockerLabels": label("off")},
        {"name": "slash", "image": "x", "dockerLabels": {"glassbox/sensor": "off"}},
        {"name": "env", "image": "x", "environment": [{"name": "GLASSBOX", "value": "off"}]},
        {"name": "own", "image": "x", "environment": [{"name": "LD_PRELOAD", "value": "/usr/lib/glassbox/libglassbox.so"}]},
    ]);

    let (after, notes) = patched_with(&list, &Request::default());

    let has = |index: usize| after[index].get("volumesFrom").is_some();
    assert_eq!([true, false, false, true, false, false, false, false], std::array::from_fn(has));
    assert_eq!(
        vec![
            "container 'log_router': it is the log router",
            "container 'datadog-agent': it is the Datadog agent",
            "container 'off': its label glassbox.sensor says off",
            "container 'slash': its label glassbox/sensor says off",
            "container 'env': GLASSBOX=off is in its environment",
            "container 'own': it brings a sensor of its own",
        ],
        skipped(&notes)
    );
}

#[test]
fn agents_are_known_by_images_that_functions_put_together() {
    let list = json!(["${R}/aws-otel-collector:1", {"R": {"Ref": "R"}}]);
    for image in [
        json!("public.ecr.aws/aws-observability/aws-otel-collector:1"),
        json!({"Fn::Sub": "${R}/aws-otel-collector:1"}),
        json!({"Fn::Sub": list}),
        json!({"Fn::Join": ["", [{"Ref": "R"}, "/aws-otel-collector:1"]]}),
    ] {
        let mut template = template();
        let agent = json!({"Name": "otel", "Image": image});
        let containers = &mut template["Resources"]["Task"]["Properties"]["ContainerDefinitions"];
        containers.as_array_mut().unwrap().push(agent.clone());

        let (after, _) = patched_with(&template, &Request::default());

        assert_eq!(agent, after["Resources"]["Task"]["Properties"]["ContainerDefinitions"][1]);
    }
}

#[test]
fn the_sensor_is_known_by_a_health_check_of_either_kind() {
    let mut list = patched(&container(json!({})));
    list[1]["healthCheck"]["command"] = json!(["CMD-SHELL", "/opt/glassbox/glassbox health || exit 1"]);

    assert_eq!(list, patched(&list));
}

#[test]
fn containers_are_chosen_and_excluded_by_name() {
    let list = json!([
        {"name": "web", "image": "web"},
        {"name": "job", "image": "job"},
        {"name": "agent", "image": "datadog/agent"},
    ]);
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let chosen = |request: &Request| {
        let (after, _) = patched_with(&list, request);
        std::array::from_fn(|index| after[index].get("volumesFrom").is_some())
    };

    assert_eq!([true, true, false], chosen(&Request::default()));
    assert_eq!(
        [false, true, true],
        chosen(&Request { containers: names(&["job", "agent"]), ..Request::default() })
    );
    assert_eq!([true, false, false], chosen(&Request { excluded: names(&["job"]), ..Request::default() }));
    let typo = Request { containers: names(&["wbe"]), ..Request::default() };
    assert_eq!("no container is named 'wbe'; there are 'web', 'job', 'agent'", why_with(&list, &typo));
    let typo = Request { excluded: names(&["wbe"]), ..Request::default() };
    assert!(
        warnings(&patched_with(&list, &typo).1)
            .contains(&"no container is named 'wbe', which is to be excluded")
    );
}

#[test]
fn what_would_be_refused_can_be_excluded() {
    let mut list = container(json!({"secrets": [{"name": "LD_PRELOAD", "valueFrom": "x"}]}));
    list.as_array_mut().unwrap().push(json!({"name": "job", "image": "job"}));

    let options = Request { excluded: vec!["web".into()], ..Request::default() };
    let (after, _) = patched_with(&list, &options);

    assert_eq!(list[0], after[0]);
}

#[test]
fn nothing_is_changed_where_no_container_is_chosen() {
    let list = container(json!({"dockerLabels": {"glassbox/sensor": "off"}}));

    let (after, notes) = patched_with(&list, &Request::default());

    assert_eq!(list, after);
    assert_eq!(vec!["no container gets the sensor; name one with --container"], warnings(&notes));
}

#[test]
fn an_upgrade_changes_what_is_asked_for_and_keeps_what_was_adapted() {
    let first = Request { image: Some("registry/glassbox:1".into()), ..Request::default() };
    let (mut adapted, _) = patched_with(&registration(), &first);
    let sensor = &mut adapted["containerDefinitions"][2];
    sensor["logConfiguration"]["options"]["awslogs-group"] = json!("/sensor");
    sensor["healthCheck"]["interval"] = json!(10);
    sensor["name"] = json!("security");
    for container in 0..2 {
        let container = &mut adapted["containerDefinitions"][container];
        container["volumesFrom"][0]["sourceContainer"] = json!("security");
        container["dependsOn"].as_array_mut().unwrap().last_mut().unwrap()["containerName"] =
            json!("security");
    }

    assert_eq!(adapted, patched(&adapted));
    let second = Request {
        image: Some("registry/glassbox:2".into()),
        outputs: vec!["human".into(), "recording:/r.gbx".into()],
        is_essential: true,
        condition: Some(Condition::Start),
        memory_reservation_mib: Some(100),
        ..Request::default()
    };
    let (upgraded, _) = patched_with(&adapted, &second);

    let mut expected = adapted;
    let sensor = &mut expected["containerDefinitions"][2];
    sensor["image"] = json!("registry/glassbox:2");
    sensor["command"] = json!(["-o", "human", "-o", "recording:/r.gbx"]);
    sensor["essential"] = json!(true);
    sensor["memoryReservation"] = json!(100);
    expected["containerDefinitions"][0]["dependsOn"][0]["condition"] = json!("START");
    expected["containerDefinitions"][1]["dependsOn"][1]["condition"] = json!("START");
    assert_eq!(expected, upgraded);
}

#[test]
fn files_of_other_vendors_keep_what_they_put_in() {
    // As Datadog's workload protection, OpenTelemetry's and Dynatrace's instructions for ECS have it.
    let list = json!([
        {"name": "cws-init", "image": "datadog/cws-instrumentation:latest", "essential": false, "command": ["/cws-instrumentation", "setup"],
         "mountPoints": [{"sourceVolume": "cws", "containerPath": "/cws-instrumentation-volume"}]},
        {"name": "datadog-agent", "image": "public.ecr.aws/datadog/agent:7", "healthCheck": {"command": ["CMD-SHELL", "agent health"]}},
        {"name": "otel", "image": "public.ecr.aws/aws-observability/aws-otel-collector:v0.40.0"},
        {"name": "web", "image": "web", "entryPoint": ["/cws-instrumentation-volume/cws-instrumentation", "trace", "--", "/web"],
         "mountPoints": [{"sourceVolume": "cws", "containerPath": "/cws-instrumentation-volume", "readOnly": true}],
         "dependsOn": [{"containerName": "datadog-agent", "condition": "HEALTHY"}, {"containerName": "cws-init", "condition": "SUCCESS"}],
         "environment": [{"name": "JAVA_TOOL_OPTIONS", "value": "-javaagent:/otel/opentelemetry-javaagent.jar"},
                         {"name": "LD_PRELOAD", "value": "/opt/dynatrace/oneagent/agent/lib64/liboneagentproc.so"}]},
    ]);

    let after = patched(&list);

    let mut expected = list.clone();
    let web = &mut expected[3];
    web["environment"][1]["value"] =
        json!("/opt/dynatrace/oneagent/agent/lib64/liboneagentproc.so:/opt/glassbox/libglassbox.so");
    web["environment"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "GLASSBOX_SOCKET", "value": "/opt/glassbox/socket"}));
    web["dependsOn"]
        .as_array_mut()
        .unwrap()
        .push(json!({"containerName": "glassbox", "condition": "HEALTHY"}));
    web["volumesFrom"] = json!([{"sourceContainer": "glassbox", "readOnly": true}]);
    assert_eq!(expected.as_array().unwrap()[..], after.as_array().unwrap()[..4]);
}

#[test]
fn every_ld_preload_of_a_container_is_appended_to() {
    let entry = |value: &str| json!({"name": "LD_PRELOAD", "value": value});
    let environment = json!([entry("/a.so"), {"name": "LD_PRELOAD"}, entry(""), {"name": "GLASSBOX_SOCKET", "value": "@old"}]);

    assert_eq!(
        json!([
            entry("/a.so:/opt/glassbox/libglassbox.so"),
            entry("/opt/glassbox/libglassbox.so"),
            entry("/opt/glassbox/libglassbox.so"),
            {"name": "GLASSBOX_SOCKET", "value": "/opt/glassbox/socket"},
        ]),
        patched(&container(json!({"environment": environment})))[0]["environment"]
    );
}

#[test]
fn variables_in_files_are_warned_of_while_nothing_of_theirs_is_named() {
    let files = json!([{"value": "arn:aws:s3:::b/x.env", "type": "s3"}]);
    let told = |environment: Value| {
        let (_, notes) = patched_with(
            &container(json!({"environmentFiles": files, "environment": environment})),
            &Request::default(),
        );
        warnings(&notes).iter().any(|what| {
            what.starts_with("container 'web': an LD_PRELOAD in its environmentFiles does not count")
        })
    };

    assert!(told(json!([])));
    assert!(!told(json!([{"name": "LD_PRELOAD", "value": "/a.so"}])));
}

#[test]
fn a_container_that_is_left_keeps_what_it_has() {
    let once = patched(&container(json!({})));

    let options = Request { excluded: vec!["web".into()], ..Request::default() };
    let (after, notes) = patched_with(&once, &options);

    assert_eq!(once, after);
    assert_eq!(
        vec!["container 'web': it is excluded, and the parts of the sensor that it has stay"],
        skipped(&notes)
    );
}

#[test]
fn memory_is_reserved_where_the_task_has_none() {
    let reserved = |value: &Value, request: &Request| {
        let after = patched_with(value, request).0;
        let containers = after.get("containerDefinitions").unwrap_or(&after).as_array().unwrap().clone();
        containers.last().unwrap()["memoryReservation"].clone()
    };
    let task = json!({"containerDefinitions": [{"name": "web", "memory": 100}]});
    let given = Request { memory_reservation_mib: Some(32), ..Request::default() };

    assert_eq!(json!(64), reserved(&task, &Request::default()));
    assert_eq!(json!(32), reserved(&task, &given));
    assert_eq!(Value::Null, reserved(&registration(), &Request::default()));
    let list = container(json!({"memory": 100}));
    assert_eq!(Value::Null, reserved(&list, &Request::default()));
    let (_, notes) = patched_with(&list, &Request::default());
    assert!(warnings(&notes).iter().any(|what| what.contains("give --memory-reservation MIB")), "{notes:?}");
}

#[test]
fn log_router_that_waits_for_an_application_makes_a_circle() {
    let list = json!([
        {"name": "web", "image": "web", "logConfiguration": {"logDriver": "awsfirelens"}},
        {"name": "router", "image": "x", "firelensConfiguration": {"type": "fluentbit"}},
    ]);
    let options = Request { containers: vec!["router".into()], ..Request::default() };

    // The sensor logs through the router, which would wait for the sensor.
    assert!(
        why_with(&list, &options)
            .starts_with("containers wait for each other: glassbox → router → glassbox; ")
    );
    assert_eq!(json!({"logDriver": "awsfirelens"}), patched(&list)[2]["logConfiguration"]);
}

#[test]
fn two_sensors_are_one_too_many() {
    let mut list = patched(&container(json!({})));
    let mut second = list[1].clone();
    second["name"] = json!("second");
    list.as_array_mut().unwrap().push(second);

    assert_eq!(
        "container 'glassbox' and container 'second' are both the sensor's; remove one of them",
        why(&list)
    );
}

#[test]
fn what_fargate_does_not_take_is_warned_of() {
    let mut task = registration();
    task["pidMode"] = json!("host");
    task["ipcMode"] = json!("task");
    task["volumes"] = json!([{"name": "a"}, {"name": "b", "host": {"sourcePath": "/x"}}, {"name": "c", "dockerVolumeConfiguration": {"scope": "task"}}]);
    let web = &mut task["containerDefinitions"][0];
    web["privileged"] = json!(true);
    web["dockerSecurityOptions"] = json!(["no-new-privileges"]);
    web["linuxParameters"] = json!({
        "capabilities": {"add": ["SYS_PTRACE", "SYS_ADMIN"]}, "devices": [{"hostPath": "/dev/x"}], "sharedMemorySize": 1, "maxSwap": 0, "swappiness": 0,
    });
    web["stopTimeout"] = json!(121);
    web["startTimeout"] = json!(1);
    web["healthCheck"] = json!({"command": ["curl", "x"]});
    web["logConfiguration"]["logDriver"] = json!("json-file");
    let worker = &mut task["containerDefinitions"][1];
    worker["dependsOn"][0]["condition"] = json!("RUNNING");
    worker["firelensConfiguration"] = json!({"type": "fluentbit", "options": {"config-file-type": "s3"}});
    let options =
        Request { image: Some("r/glassbox".into()), containers: vec!["worker".into()], ..Request::default() };

    let (_, notes) = patched_with(&task, &options);

    assert_eq!(
        vec![
            "pidMode \"host\" is not supported, only task on Fargate",
            "ipcMode is not supported on Fargate",
            "volume 2: host.sourcePath is not supported on Fargate",
            "volume 3: dockerVolumeConfiguration is not supported on Fargate",
            "container 'web': privileged is not supported on Fargate",
            "container 'web': dockerSecurityOptions is not supported on Fargate",
            "container 'web': linuxParameters.capabilities.add \"SYS_ADMIN\" is not supported, only SYS_PTRACE on Fargate",
            "container 'web': linuxParameters.devices is not supported on Fargate",
            "container 'web': linuxParameters.sharedMemorySize is not supported on Fargate",
            "container 'web': linuxParameters.maxSwap is not supported on Fargate",
            "container 'web': linuxParameters.swappiness is not supported on Fargate",
            "container 'worker': dependsOn.condition \"RUNNING\" is not supported, only START or COMPLETE or SUCCESS or HEALTHY on Fargate",
            "container 'web': startTimeout must be 2 to 120 seconds on Fargate",
            "container 'web': stopTimeout must be 2 to 120 seconds on Fargate",
            "container 'web': logConfiguration.logDriver \"json-file\" is not supported, only awslogs or splunk or awsfirelens on Fargate",
            "container 'glassbox': logConfiguration.logDriver \"json-file\" is not supported, only awslogs or splunk or awsfirelens on Fargate",
            "container 'worker': firelensConfiguration.options.config-file-type \"s3\" is not supported, only file on Fargate",
            "container 'web': healthCheck.command must begin with CMD or CMD-SHELL on Fargate",
        ],
        warnings(&notes)
    );
}

#[test]
fn what_fargate_requires_is_an_error_only_where_the_file_names_fargate() {
    for (key, value, words) in [
        (
            "networkMode",
            json!("bridge"),
            "networkMode must be awsvpc on Fargate, so registering it would fail; correct it first",
        ),
        ("networkMode", Value::Null, "networkMode must be awsvpc on Fargate"),
        ("cpu", Value::Null, "cpu is required on Fargate"),
        ("memory", Value::Null, "memory is required on Fargate"),
    ] {
        let mut task = registration();
        task[key] = value;
        assert!(why(&task).starts_with(words), "{key}: {}", why(&task));

        task["requiresCompatibilities"] = json!(["EC2"]);
        let told = |is_fargate| {
            let (_, notes) = patched_with(&task, &Request { is_fargate, ..Request::default() });
            warnings(&notes).iter().any(|what| what.ends_with(" on Fargate"))
        };
        assert_eq!([false, true], [told(false), told(true)], "{key}");
    }
}

#[test]
fn what_functions_give_is_right_for_fargate() {
    let mut template = template();
    let task = &mut template["Resources"]["Task"]["Properties"];
    for key in ["NetworkMode", "Memory", "PidMode", "IpcMode"] {
        task[key] = json!({"Ref": key});
    }
    let container = &mut task["ContainerDefinitions"][0];
    container["Privileged"] = json!({"Fn::If": ["C", true, false]});
    container["LogConfiguration"]["LogDriver"] = json!({"Ref": "Driver"});
    container["StopTimeout"] = json!({"Ref": "Stop"});

    let (_, notes) = patched_with(&template, &Request { image: Some("x".into()), ..Request::default() });

    assert_eq!(Vec::<&str>::new(), warnings(&notes));
}

#[test]
fn notes_say_what_was_done() {
    let text = serde_json::to_string_pretty(&registration()).unwrap();
    let options = Request { image: Some("r/glassbox:1".into()), ..Request::default() };

    let first = patch(&text, &options).unwrap();
    let second = patch(&first.text, &options).unwrap();
    let upgrade = patch(&first.text, &Request { image: Some("r/glassbox:2".into()), ..options }).unwrap();

    let done = |what: &str| Note::Done(what.to_owned());
    assert_eq!(
        vec![
            done(
                "adds container 'glassbox' of image 'r/glassbox:1', with the log configuration of container 'web'"
            ),
            done("puts the sensor into container 'web'"),
            done("puts the sensor into container 'worker'"),
        ],
        first.notes
    );
    assert_eq!(Vec::<Note>::new(), second.notes);
    assert_eq!(vec![done("changes the sensor's container to \"r/glassbox:2\"")], upgrade.notes);
}

#[test]
fn a_template_in_yaml_keeps_its_comments_and_short_functions() {
    let before = "\
# The shop.
AWSTemplateFormatVersion: 2010-09-09
Resources:
  Task:
    Type: AWS::ECS::TaskDefinition
    Properties:
      Family: !Sub '${AWS::StackName}-web'
      Cpu: !Ref Cpu   # 256 is too little
      Memory: '1024'
      ContainerDefinitions:
        - Name: web
          Image: !Sub
            - '${Registry}/web:${Tag}'
            - {Tag: !Ref Tag}
          Environment:
            # The table that orders go to.
            - Name: TABLE
              Value: !GetAtt Table.Arn
            - {Name: LD_PRELOAD, Value: /a.so}
          LogConfiguration:
            LogDriver: awslogs
            Options: {awslogs-group: !Ref Logs}
        - Name: xray
          Image: !Sub '${Registry}/xray/aws-xray-daemon:3.x'
  Table: !If [IsTest, {}, {}]
";

    let once = patch(before, &Request { image: Some("r/glassbox:1".into()), ..Request::default() }).unwrap();
    let twice = patch(&once.text, &Request::default()).unwrap();

    let after = before
        .replace(
            "Value: /a.so}\n",
            "\
Value: /a.so:/opt/glassbox/libglassbox.so}
            - Name: GLASSBOX_SOCKET
              Value: /opt/glassbox/socket
",
        )
        .replace(
            "Options: {awslogs-group: !Ref Logs}\n",
            "\
Options: {awslogs-group: !Ref Logs}
          VolumesFrom:
            - SourceContainer: glassbox
              ReadOnly: true
          DependsOn:
            - ContainerName: glassbox
              Condition: HEALTHY
",
        )
        .replace(
            "aws-xray-daemon:3.x'\n",
            "\
aws-xray-daemon:3.x'
        - Name: glassbox
          Image: r/glassbox:1
          Essential: false
          Command:
            - \"-o\"
            - jsonl
          HealthCheck:
            Command:
              - CMD
              - /opt/glassbox/glassbox
              - health
            Interval: 5
          LogConfiguration:
            LogDriver: awslogs
            Options:
              awslogs-group:
                Ref: Logs
",
        );
    assert_eq!(after, once.text);
    assert_eq!(once.text, twice.text);
    assert_eq!(
        vec!["task definition 'Task': container 'xray': it is the X-Ray daemon"],
        skipped(&once.notes)
    );
}

#[test]
fn functions_of_yaml_are_refused_as_those_of_json() {
    let template = |environment: &str| {
        format!(
            "Resources:\n  T:\n    Type: AWS::ECS::TaskDefinition\n    Properties:\n      ContainerDefinitions:\n        - Name: \
             web\n          Environment: {environment}\n"
        )
    };
    let told = |text: &str| match patch(text, &Request::default()) {
        Err(Error::Refused(why)) => why,
        other => panic!("{text}: {other:?}"),
    };

    assert!(
        told(&template("[{Name: LD_PRELOAD, Value: !Ref P}]"))
            .contains("its LD_PRELOAD is given by Ref; append")
    );
    assert!(told(&template("!If [A, [], []]")).contains("'Environment' is given by Fn::If"));
    assert!(
        told(&template("[!If [A, {Name: LD_PRELOAD, Value: x}, !Ref 'AWS::NoValue']]"))
            .contains("a function decides")
    );
}

#[test]
fn registrations_descriptions_and_lists_may_be_yaml_too() {
    for value in [
        registration(),
        json!({"taskDefinition": registration()}),
        registration()["containerDefinitions"].clone(),
    ] {
        let text = yaml(&value);

        let after = patch(&text, &Request::default()).unwrap().text;

        assert_eq!(patched(&value), Documents::read(&after).unwrap().values()[0], "{text}");
    }
}

/// A value as YAML.
fn yaml(value: &Value) -> String {
    Documents::read("~\n").unwrap().edited(std::slice::from_ref(value)).unwrap()
}

/// Keys and words that mean something here, in either spelling.
const WORDS: &[&str] = &[
    "name",
    "Name",
    "image",
    "environment",
    "Environment",
    "value",
    "Value",
    "volumesFrom",
    "VolumesFrom",
    "sourceContainer",
    "dependsOn",
    "DependsOn",
    "containerName",
    "ContainerName",
    "condition",
    "containerDefinitions",
    "ContainerDefinitions",
    "taskDefinition",
    "Resources",
    "Type",
    "Properties",
    "AWS::ECS::TaskDefinition",
    "Ref",
    "Fn::Sub",
    "Fn::If",
    "secrets",
    "LD_PRELOAD",
    "GLASSBOX_SOCKET",
    "GLASSBOX",
    "off",
    "glassbox",
    "web",
    "/opt/glassbox/libglassbox.so",
    "healthCheck",
    "command",
    "/opt/glassbox/glassbox",
    "logConfiguration",
    "options",
    "logDriver",
    "awsfirelens",
    "firelensConfiguration",
    "dockerLabels",
    "glassbox/sensor",
    "on",
    "requiresCompatibilities",
    "FARGATE",
    "memory",
    "linuxParameters",
    "volumes",
    "host",
    "sourcePath",
    "revision",
    "tags",
    "mountPoints",
    "containerPath",
    "environmentFiles",
    "networkMode",
    "awsvpc",
    "cpu",
    "stopTimeout",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![8 => prop::sample::select(WORDS).prop_map(str::to_owned), 1 => "[a-z]{0,3}"]
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => (0..200_u64).prop_map(Value::from),
        6 => word().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((word(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A container with some fields that are right and some that are anything.
fn some_container() -> impl Strategy<Value = Value> {
    let field = prop_oneof![
        Just(("environment", json!([{"name": "LD_PRELOAD", "value": "/a.so"}]))),
        Just(("environment", json!([{"name": "GLASSBOX_SOCKET", "value": "@x"}, {"name": "LD_PRELOAD"}]))),
        Just(("volumesFrom", json!([{"sourceContainer": "glassbox"}]))),
        Just(("dependsOn", json!([{"containerName": "a", "condition": "START"}]))),
        Just(("dockerLabels", json!({"glassbox/sensor": "on"}))),
        Just(("entryPoint", json!(["/app", "-v"]))),
        Just(("entryPoint", json!(["/opt/glassbox/glassbox", "exec", "--notify", "full", "--", "/app"]))),
        Just(("healthCheck", json!({"command": ["CMD", "/opt/glassbox/glassbox", "health"]}))),
        Just(("logConfiguration", json!({"logDriver": "awslogs", "options": {"awslogs-group": "x"}}))),
        (prop::sample::select(WORDS), anything()),
    ];
    let name = prop::sample::select(&["a", "b", "c", "glassbox"][..]);
    (name, prop::collection::vec(field, 0..4)).prop_map(|(name, fields)| {
        let mut container = json!({"name": name, "image": "x"});
        container
            .as_object_mut()
            .unwrap()
            .extend(fields.into_iter().map(|(key, value)| (key.to_owned(), value)));
        container
    })
}

/// The same in `PascalCase`, but for what is free.
fn pascal(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(pascal).collect(),
        Value::Object(map) => {
            let key = |key: &str| {
                if key.contains(['-', '/', ':']) { key.to_owned() } else { Case::Pascal.key(key) }
            };
            Value::Object(map.iter().map(|(name, value)| (key(name), pascal(value))).collect())
        }
        other => other.clone(),
    }
}

fn some_file() -> impl Strategy<Value = Value> {
    (prop::collection::vec(some_container(), 1..4), anything(), 0..4_u8).prop_map(|(containers, other, shape)| match shape {
        0 => Value::from(containers),
        1 => json!({"containerDefinitions": containers, "revision": 1, "volumes": other}),
        2 => json!({"taskDefinition": {"containerDefinitions": containers, "status": "ACTIVE"}, "tags": other}),
        _ => json!({"Resources": {
            "Other": other,
            "Task": {"Type": RESOURCE, "Properties": {"ContainerDefinitions": pascal(&Value::from(containers))}},
        }}),
    })
}

fn some_request() -> impl Strategy<Value = Request> {
    let names = || {
        prop::collection::vec(prop::sample::select(&["a", "b", "glassbox"][..]).prop_map(str::to_owned), 0..2)
    };
    let level = prop::option::of(Just("security".to_owned()));
    let notify = prop::option::weighted(0.3, level.prop_map(|level| Notify { level, is_required: false }));
    (prop::option::of(Just("r/g:2".to_owned())), names(), names(), any::<bool>(), any::<bool>(), notify)
        .prop_map(|(image, containers, excluded, is_fargate, is_started, notify)| Request {
            image,
            containers,
            excluded,
            is_fargate,
            condition: is_started.then_some(Condition::Start),
            notify,
            ..Request::default()
        })
}

/// A patched text gives itself, and what was there is there still.
fn check(value: &Value, request: &Request, way: u8) -> bool {
    let text = match way % 3 {
        0 => value.to_string(),
        1 => serde_json::to_string_pretty(value).unwrap(),
        _ => yaml(value),
    };
    let Ok(once) = patch(&text, request) else { return false };
    let twice = patch(&once.text, request).expect("what was patched can be patched");
    assert_eq!(once.text, twice.text, "of {text}");
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_json_makes_it_panic(value in anything(), options in some_request(), way: u8) {
        check(&value, &options, way);
    }

    #[test]
    fn patching_twice_is_patching_once(value in some_file(), options in some_request(), way: u8) {
        check(&value, &options, way);
    }
}

#[test]
fn the_property_is_about_files_that_are_patched() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();

    let is_patched = |way| {
        let (value, options) =
            (some_file().new_tree(&mut runner).unwrap(), some_request().new_tree(&mut runner).unwrap());
        check(&value.current(), &options.current(), way)
    };
    let count = (0..200).map(is_patched).filter(|is_patched| *is_patched).count();

    assert!(count > 50, "only {count} of 200 files can be patched");
}

#[test]
fn container_that_a_function_names_keeps_its_comments_and_short_forms() {
    let text = "\
Resources:
  Task:
    Type: AWS::ECS::TaskDefinition
    Properties:
      ContainerDefinitions:
        - Name: !Ref Service   # the service's own name
          # pinned by the release job
          Image: !Sub '${Registry}/shop:${Tag}'
        - Name: !If [IsLive, live, test]
          Image: \"log:1\"
";
    let after = patch(text, &Request::default()).unwrap().text;

    let mut lines = after.lines();
    for line in text.lines() {
        assert!(lines.any(|kept| kept == line), "not kept: {line}: {after}");
    }
}

#[test]
fn description_keeps_its_layout() {
    let text = "\
{
    \"taskDefinition\": {
        \"revision\": 7,
        \"containerDefinitions\": [
            {
                \"name\": \"web\",
                \"image\": \"nginx:1.27\",
                \"environment\": []
            }
        ],
        \"family\": \"shop\",
        \"status\": \"ACTIVE\"
    },
    \"tags\": [{\"key\": \"a\", \"value\": \"b\"}]
}
";

    let after = patch(text, &Request::default()).unwrap().text;

    for line in [
        "    \"containerDefinitions\": [",
        "            \"image\": \"nginx:1.27\",",
        "    \"family\": \"shop\",",
    ] {
        assert!(after.lines().any(|found| found == line), "no line {line}: {after}");
    }
    assert!(after.starts_with("{\n    \"containerDefinitions\"") && after.ends_with("\n}\n"), "{after}");
    let windows = patch(&text.replace('\n', "\r\n"), &Request::default()).unwrap().text;
    assert_eq!(after.replace('\n', "\r\n"), windows);
}

#[test]
fn description_on_one_line_gets_a_line_for_each_element() {
    let text =
        json!({"taskDefinition": {"family": "f", "containerDefinitions": [{"name": "a"}]}}).to_string();

    let after = patch(&text, &Request::default()).unwrap().text;

    assert!(after.starts_with("{\n  \"family\": \"f\",\n  \"containerDefinitions\": [\n"), "{after}");
}
