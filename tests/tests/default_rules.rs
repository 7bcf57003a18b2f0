//! Glassbox's own rules: real programs at which they fire, and those beside them at which they stay silent.

use std::fs;

use glassbox_tests::child;
use glassbox_tests::glassbox;
use glassbox_tests::scene::Scene;
use serde_json::Value;

/// The rules that fire at a script, without any configuration, each once and sorted.
fn fired(script: &str) -> Vec<String> {
    let scene = Scene::of("steady", &["0"]);
    scene.clean();
    let mut command = scene.command(glassbox());
    // In a file: the words of a script that is an argument would be those of the shell.
    fs::write(scene.work().join("play.sh"), script).unwrap();
    command.args(["run", "-o", "falco:-", "--", "/bin/bash", "play.sh"]);
    let ending = child::run(command, b"");
    let alert = |line: &str| {
        let alert: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        alert["rule"].as_str().unwrap().to_owned()
    };
    let mut rules: Vec<String> =
        ending.stdout.lines().filter(|line| line.starts_with('{')).map(alert).collect();
    rules.sort();
    rules.dedup();
    rules
}

/// A connection of the process itself to a port that it listens at, as descriptor 4.
const CONNECTED: &str = "import os, socket\n\
    s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n\
    c = socket.create_connection(s.getsockname())\n";

fn python(script: &str) -> String {
    format!("/usr/bin/python3 - <<'END' >&2\n{script}\nEND")
}

#[test]
fn password_hashes_read_fires_at_cat_and_not_at_the_names_of_users() {
    assert_eq!(vec!["Password hashes read"], fired("cat /etc/shadow >/dev/null; true"));
    assert_eq!(
        Vec::<String>::new(),
        fired("cat /etc/passwd >/dev/null; getent passwd root >/dev/null; true")
    );
}

#[test]
fn private_key_read_fires_at_a_copy_and_not_at_ssh_keygen() {
    let make = "mkdir .ssh; ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519; ";

    assert_eq!(vec!["Private key read"], fired(&format!("{make} cp .ssh/id_ed25519 copy; true")));
    assert_eq!(
        Vec::<String>::new(),
        fired(&format!(
            "{make} ssh-keygen -y -f .ssh/id_ed25519 >/dev/null; cat .ssh/id_ed25519.pub >/dev/null; true"
        ))
    );
}

#[test]
fn cloud_credentials_read_fires_at_base64_and_not_at_a_program_with_an_sdk() {
    let make = "mkdir .aws; echo x >.aws/credentials; echo y >.aws/config; ";

    assert_eq!(
        vec!["Cloud credentials read"],
        fired(&format!("{make} base64 .aws/credentials >/dev/null; true"))
    );
    assert_eq!(
        Vec::<String>::new(),
        fired(&format!("{make} cat .aws/config >/dev/null; {}", python("open('.aws/credentials').read()")))
    );
}

#[test]
fn many_credentials_read_fires_at_four_services_and_not_at_two() {
    let read = |folders: &str| {
        let make = "for f in .aws .kube .docker .azure; do mkdir $f; done; \
            echo x | tee .aws/credentials .kube/config .docker/config.json .azure/accessTokens.json >/dev/null; ";
        let script = format!("for name in {folders}:\n    open(name).read()");
        fired(&format!("{make}{}", python(&script)))
    };

    assert_eq!(
        vec!["Many credentials read"],
        read("'.aws/credentials', '.kube/config', '.docker/config.json', '.azure/accessTokens.json'")
    );
    assert_eq!(Vec::<String>::new(), read("'.aws/credentials', '.kube/config'"));
}

#[test]
fn start_up_file_of_a_shell_written_fires_at_an_appended_line_and_not_at_a_read() {
    assert_eq!(vec!["Start-up file of a shell written"], fired("echo 'x &' >>.bashrc; true"));
    assert_eq!(vec!["Start-up file of a shell written"], fired("echo x >new; mv new .profile; true"));
    assert_eq!(
        Vec::<String>::new(),
        fired("echo x >bashrc; mkdir skel; echo x >skel/.bashrc; cat skel/.bashrc >/dev/null; true")
    );
}

#[test]
fn keys_for_logins_written_fires_at_authorized_keys_and_not_at_known_hosts() {
    assert_eq!(vec!["Keys for logins written"], fired("mkdir .ssh; echo key >>.ssh/authorized_keys; true"));
    assert_eq!(Vec::<String>::new(), fired("mkdir .ssh; echo host >>.ssh/known_hosts; true"));
}

#[test]
fn dropped_and_executed_fires_at_a_copy_and_not_at_what_a_linker_made() {
    let folder = "cd $(mktemp -d /tmp/glassbox-dropped-XXXXXX); trap 'rm -r $PWD' EXIT; ";

    assert_eq!(
        vec!["Dropped and executed"],
        fired(&format!("{folder} cp /bin/true tool; chmod +x tool; ./tool"))
    );
    assert_eq!(
        Vec::<String>::new(),
        fired(&format!("{folder} echo 'int main(void){{return 0;}}' >a.c; cc a.c -o a.out; ./a.out"))
    );
}

#[test]
fn executed_from_memory_fires_at_a_memfd_and_not_at_a_file() {
    let run = |open: &str| {
        fired(&python(&format!(
            "import os\nfd = {open}\n\
            if os.fork() == 0: os.execve('/proc/self/fd/%d' % fd, ['true'], os.environ)\nos.wait()"
        )))
    };

    assert_eq!(
        vec!["Executed from memory"],
        run("os.memfd_create('x', 0); os.write(fd, open('/bin/true', 'rb').read())")
    );
    assert_eq!(Vec::<String>::new(), run("os.open('/bin/true', os.O_RDONLY)"));
}

#[test]
fn interpreter_fed_by_a_download_fires_at_a_pipe_and_not_at_a_file() {
    let script = "echo 'echo hello >&2' >script; ";

    assert_eq!(
        vec!["Interpreter fed by a download"],
        fired(&format!("{script} curl -s file://$PWD/script | sh; true"))
    );
    assert_eq!(
        Vec::<String>::new(),
        fired(&format!(
            "{script} curl -s -o got file://$PWD/script; sh got; curl -s file://$PWD/script | cat >&2; true"
        ))
    );
}

#[test]
fn standard_input_is_a_connection_fires_at_a_reverse_shell_and_not_at_a_pipe() {
    let shell = "if os.fork() == 0:\n    os.dup2(c.fileno(), 0); os.execv('/bin/sh', ['sh', '-c', 'true'])\nos.wait()";

    assert_eq!(vec!["Standard input is a connection"], fired(&python(&format!("{CONNECTED}{shell}"))));
    assert_eq!(
        Vec::<String>::new(),
        fired(&python(&format!(
            "{CONNECTED}import subprocess\nsubprocess.run(['sh', '-c', 'cat'], input=b'')"
        )))
    );
}

#[test]
fn shell_opens_a_connection_fires_at_dev_tcp_and_not_at_curl() {
    assert_eq!(vec!["Shell opens a connection"], fired("exec 3<>/dev/tcp/127.0.0.1/9; true"));
    assert_eq!(Vec::<String>::new(), fired("curl -s http://127.0.0.1:9/; true"));
}

#[test]
fn program_under_a_false_name_fires_at_a_daemons_and_not_at_a_login_shells() {
    assert_eq!(
        vec!["Program under a false name"],
        fired("(exec -a sshd true); (exec -a '[kworker/0:0]' true)")
    );
    assert_eq!(
        Vec::<String>::new(),
        fired("(exec -l bash -c true); (exec -a other true); [ -e x ]; /usr/bin/[ -n x ]")
    );
}

#[test]
fn metadata_service_asked_by_a_tool_fires_at_curl_and_not_at_an_interpreter() {
    // In a network of its own, which has no route to anything.
    let curl = "unshare -rn curl -s http://169.254.169.254/latest/; true";
    let sdk = "import socket\n\
        try: socket.create_connection(('169.254.169.254', 80), 1)\n\
        except OSError: pass";
    let own_network = format!("unshare -rn {}", python(sdk));

    assert_eq!(vec!["Metadata service asked by a tool"], fired(curl));
    assert_eq!(Vec::<String>::new(), fired(&own_network));
}

#[test]
fn miner_started_fires_at_its_arguments_and_not_at_a_search_for_them() {
    assert_eq!(
        vec!["Miner started"],
        fired("/usr/bin/env true -o stratum+tcp://pool.invalid:3333 -u wallet")
    );
    assert_eq!(Vec::<String>::new(), fired("echo x >file; grep stratum+tcp file; true"));
}

#[test]
fn many_files_got_another_ending_fires_at_forty_and_not_at_ten() {
    let rename = |count: u32| {
        fired(&python(&format!(
            "import os\nfor n in range({count}):\n    open('f%d' % n, 'w').close(); os.rename('f%d' % n, 'f%d.locked' % n)"
        )))
    };

    assert_eq!(vec!["Many files got another ending"], rename(40));
    assert_eq!(Vec::<String>::new(), rename(10));
}

#[test]
fn another_process_written_into_fires_at_an_attach_and_not_at_a_wish_to_be_traced() {
    let ptrace = |request: &str| {
        fired(&python(&format!(
            "import ctypes, os, signal, time\nlibc = ctypes.CDLL(None)\n\
            child = os.fork()\n\
            if child == 0:\n    time.sleep(30); os._exit(0)\n\
            libc.ptrace({request})\n\
            os.kill(child, signal.SIGKILL)"
        )))
    };

    assert_eq!(vec!["Another process written into"], ptrace("16, child, None, None"));
    assert_eq!(Vec::<String>::new(), ptrace("0, 0, None, None"));
}

#[test]
fn memory_made_writable_and_executable_fires_at_a_plain_program_and_not_at_an_interpreter() {
    let program = "printf '#include <sys/mman.h>\\nint main(void)\
        {return mmap(0, 4096, 7, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) == MAP_FAILED;}' >a.c; cc a.c -o a.out; ./a.out";

    assert_eq!(vec!["Memory made writable and executable"], fired(program));
    assert_eq!(Vec::<String>::new(), fired(&python("import mmap\nmmap.mmap(-1, 4096, prot=7)")));
}

#[test]
fn program_hidden_from_glassbox_fires_at_one_that_is_switched_off_and_not_at_an_empty_environment() {
    assert_eq!(vec!["Program hidden from glassbox"], fired("x=off; GLASSBOX=$x sleep 0.5; true"));
    assert_eq!(Vec::<String>::new(), fired("env -i /bin/true; true"));
}

#[test]
fn sensor_switched_off_fires_at_env_and_not_at_other_variables() {
    assert_eq!(vec!["Sensor switched off"], fired("x=LD_PRELOAD; env -u $x true; true"));
    assert_eq!(Vec::<String>::new(), fired("env -u LANG X=off true; true"));
}

#[test]
fn sensors_file_changed_fires_at_its_removal_and_not_at_another_librarys() {
    assert_eq!(vec!["Sensor's file changed"], fired("touch libglassbox.so; rm libglassbox.so; true"));
    assert_eq!(Vec::<String>::new(), fired("touch libother.so; rm libother.so; true"));
}
