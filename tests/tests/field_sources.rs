//! Fields of rules whose values come from /proc: ancestors without the sensor, and the container around a
//! process.

use std::fs;

use glassbox_tests::child::{self, Status};
use glassbox_tests::glassbox;
use glassbox_tests::scene::Scene;
use serde_json::Value;

/// The output fields of the alerts of one rule about `script`, in a shell under `glassbox run`.
fn fields(condition: &str, fields: &[&str], script: &str) -> Vec<Value> {
    let scene = Scene::of("steady", &["0"]);
    scene.clean();
    let output: Vec<String> = fields.iter().map(|field| format!("%{field}")).collect();
    let rule = format!(
        "- rule: x\n  desc: d\n  condition: {condition}\n  output: \"{}\"\n  priority: INFO\n",
        output.join(" ")
    );
    fs::write(scene.work().join("rules.yaml"), rule).unwrap();
    let mut command = scene.command(glassbox());
    command.args(["run", "--no-default-rules", "--rules", "rules.yaml", "-o", "falco:-", "--"]);
    command.args(["/bin/sh", "-c", script]);
    let ending = child::run(command, b"");
    assert_eq!(Status::Exited(0), ending.status, "{}", ending.stderr);
    let alerts = ending.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    alerts.map(|alert| alert["output_fields"].clone()).collect()
}

#[test]
fn ancestors_without_the_sensor_are_those_that_proc_shows() {
    let asked = ["proc.pname", "proc.pid", "proc.apid[2]", "proc.aname[2]", "proc.pcmdline"];

    let found = fields("evt.type = execve and proc.name = sh", &asked, "sleep 0.3");

    let own = std::process::id();
    assert_eq!("glassbox", found[0]["proc.pname"], "{found:?}");
    assert_eq!(own, found[0]["proc.apid[2]"], "{found:?}");
    let comm = fs::read_to_string("/proc/self/comm").unwrap();
    assert_eq!(comm.trim_end(), found[0]["proc.aname[2]"], "{found:?}");
    assert!(found[0]["proc.pcmdline"].as_str().unwrap().starts_with("glassbox run "), "{found:?}");
}

#[test]
fn mounts_of_another_namespace_are_known_by_their_source() {
    let asked = ["container.mount.dest[/etc]", "container.mount.dest[/root*]", "container.mount.rdwr[/etc]"];

    let found = fields(
        "evt.type = execve and proc.name = sleep",
        &asked,
        "mkdir d; unshare -m sh -c 'mount --bind /etc d && mount -o remount,bind,ro d && sleep 0.3'",
    );

    assert_eq!(1, found.len(), "{found:?}");
    let place = found[0]["container.mount.dest[/etc]"].as_str().unwrap();
    assert!(place.ends_with("/d"), "{found:?}");
    assert_eq!("N/A", found[0]["container.mount.dest[/root*]"]);
    assert_eq!("false", found[0]["container.mount.rdwr[/etc]"]);
}

#[test]
fn program_in_the_upper_layer_of_an_overlay_was_added() {
    let script = "mkdir lower upper work all; cp /bin/sleep lower/was; cp /bin/sleep upper/added
        unshare -m sh -c \"mount -t overlay x -o lowerdir=$PWD/lower,upperdir=$PWD/upper,workdir=$PWD/work all \
            && ls all all/was all/added >/dev/null && all/was 0.3 && all/added 0.3\"";

    let found = fields(
        "evt.type = execve and proc.name in (was, added)",
        &["proc.name", "proc.is_exe_upper_layer"],
        script,
    );

    let found: Vec<(&str, &Value)> = found
        .iter()
        .map(|fields| (fields["proc.name"].as_str().unwrap(), &fields["proc.is_exe_upper_layer"]))
        .collect();
    assert_eq!(vec![("was", &Value::Bool(false)), ("added", &Value::Bool(true))], found);
}

#[test]
fn socket_in_place_of_a_stream_has_both_ends() {
    let script = "python3 -c '
import os, socket
other = socket.socket(); other.bind((\"127.0.0.1\", 0)); at = other.getsockname(); other.close()
server = socket.socket(); server.bind(at); server.listen()
client = socket.create_connection(server.getsockname())
peer, _ = server.accept()
os.dup2(client.fileno(), 0)
os.dup2(peer.fileno(), 1)
'";

    let found = fields("evt.type = dup2", &["fd.name", "fd.is_server", "fd.sport"], script);

    assert_eq!(2, found.len(), "{found:?}");
    // The same connection from both of its sides.
    assert_eq!(found[0]["fd.name"], found[1]["fd.name"], "{found:?}");
    assert_eq!([&Value::Bool(false), &Value::Bool(true)], [0, 1].map(|at| &found[at]["fd.is_server"]));
    assert!(found[0]["fd.name"].as_str().unwrap().starts_with("127.0.0.1:"), "{found:?}");
}
