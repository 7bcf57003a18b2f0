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
    assert_eq!(Vec::<String>::new(), fired("env -i /bin/true; ldd /bin/true; true"));
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

/// A script for a mount namespace with an empty /etc.
fn in_empty_etc(script: &str) -> String {
    format!(
        "unshare -m sh -c 'mount -t tmpfs none /etc; mkdir -p /etc/cron.d /etc/systemd/system /etc/sudoers.d; {script}'; true"
    )
}

#[test]
fn service_account_token_read_fires_at_cat_and_not_at_a_client() {
    let make =
        "d=run/secrets/kubernetes.io/serviceaccount; mkdir -p $d; echo t >$d/token; echo c >$d/ca.crt; ";
    let client = python("open('run/secrets/kubernetes.io/serviceaccount/token').read()");

    assert_eq!(vec!["Service account token read"], fired(&format!("{make} cat $d/token >/dev/null; true")));
    assert_eq!(Vec::<String>::new(), fired(&format!("{make} cat $d/ca.crt >/dev/null; {client}")));
}

#[test]
fn file_of_secret_settings_read_fires_at_grep_and_not_at_the_shell_that_uses_it() {
    assert_eq!(vec!["File of secret settings read"], fired("echo A=b >.env; grep A .env >/dev/null; true"));
    assert_eq!(
        Vec::<String>::new(),
        fired("echo A=b >.env; . ./.env; echo x >.env.example; cat .env.example >/dev/null; true")
    );
}

#[test]
fn environment_of_another_process_read_fires_at_cat_and_not_at_ps() {
    assert_eq!(
        vec!["Environment of another process read"],
        fired("cat /proc/$PPID/environ >/dev/null; true")
    );
    assert_eq!(Vec::<String>::new(), fired("ps e >/dev/null; cat /proc/$PPID/status >/dev/null; true"));
}

#[test]
fn executed_from_shared_memory_fires_at_a_program_and_not_at_a_script_that_is_read() {
    let folder = "d=$(mktemp -d /dev/shm/gbx-XXXXXX); trap \"rm -r $d\" EXIT; ";

    assert_eq!(
        vec!["Dropped and executed", "Executed from shared memory"],
        fired(&format!("{folder} cp /bin/true $d/tool; $d/tool; true"))
    );
    assert_eq!(Vec::<String>::new(), fired(&format!("{folder} echo : >$d/tool.sh; sh $d/tool.sh; true")));
}

#[test]
fn package_manager_in_a_container_fires_at_an_installation_and_not_at_a_question() {
    // A control group with the name that a runtime gives one.
    let container = format!(
        "for h in /sys/fs/cgroup /sys/fs/cgroup/*; do [ -e $h/cgroup.procs ] && break; done\n\
         c=$h/docker-{}$$.scope; mkdir $c; trap 'rmdir $c' EXIT; ln -s /bin/true apk\n\
         run() {{ bash -c \"echo \\$\\$ >$c/cgroup.procs; ./apk $1; true\"; }}\n",
        "a".repeat(50),
    );
    let container = container.replace("$$.scope", "$(printf '%014d' $$).scope");

    assert_eq!(vec!["Package manager in a container"], fired(&format!("{container} run 'add curl'; true")));
    assert_eq!(Vec::<String>::new(), fired(&format!("{container} run info; true")));
}

#[test]
fn many_files_removed_fires_at_six_hundred_and_not_at_one_hundred() {
    let remove = |count: u32| {
        fired(&format!(
            "unshare -m sh -c 'mount -t tmpfs none /srv; cd /srv; seq {count} | xargs touch; seq {count} | xargs rm'"
        ))
    };

    assert_eq!(vec!["Many files removed"], remove(600));
    assert_eq!(Vec::<String>::new(), remove(100));
}

#[test]
fn disk_opened_for_writing_fires_at_dd_and_not_at_a_read() {
    let dev = |script: &str| fired(&format!("unshare -m sh -c 'mount -t tmpfs none /dev; {script}'; true"));

    assert_eq!(vec!["Disk opened for writing"], dev("dd if=/bin/true of=/dev/sda1 status=none"));
    assert_eq!(
        Vec::<String>::new(),
        dev("cp /bin/true /dev/other; dd if=/dev/other of=copy status=none; cat /dev/sda1")
    );
}

#[test]
fn traces_removed_fires_at_a_history_and_not_at_another_file() {
    assert_eq!(vec!["Traces removed"], fired("touch .bash_history; rm .bash_history; true"));
    assert_eq!(vec!["Traces removed"], fired("ln -s /dev/null .bash_history; true"));
    assert_eq!(Vec::<String>::new(), fired("touch history; rm history; cat .bash_history; true"));
}

#[test]
fn netcat_runs_a_program_fires_at_a_shell_and_not_at_a_question() {
    assert_eq!(vec!["Netcat runs a program"], fired("ln -s /bin/true nc; ./nc -e /bin/sh 127.0.0.1 9; true"));
    assert_eq!(Vec::<String>::new(), fired("ln -s /bin/true nc; ./nc -z 127.0.0.1 9; true"));
}

#[test]
fn miners_pool_asked_fires_at_its_name_and_not_at_another_of_its_address() {
    let ask = |name: &str| {
        fired(&format!(
            "echo '127.0.0.1 xmr.nanopool.invalid other.invalid' >hosts\n\
             unshare -m sh -c 'mount --bind hosts /etc/hosts; curl -s http://{name}.invalid:9'; true"
        ))
    };

    assert_eq!(vec!["Miner's pool asked"], ask("xmr.nanopool"));
    assert_eq!(Vec::<String>::new(), ask("other"));
}

#[test]
fn tunnel_started_fires_at_a_forwarded_port_and_not_at_a_login() {
    let ssh = |options: &str| fired(&format!("ssh -o BatchMode=yes {options} nobody@127.0.0.1 -p 9; true"));

    assert_eq!(vec!["Tunnel started"], ssh("-R 9:localhost:9"));
    assert_eq!(Vec::<String>::new(), ssh("-v"));
}

#[test]
fn many_connections_in_vain_fires_at_forty_ports_and_not_at_ten() {
    let ask = |ports: &str| {
        let script = "import socket\nfor port in PORTS:\n    socket.socket().connect_ex(('127.0.0.1', port))";
        fired(&python(&script.replace("PORTS", ports)))
    };

    assert_eq!(vec!["Many connections in vain"], ask("range(1, 41)"));
    assert_eq!(Vec::<String>::new(), ask("[1, 2, 3, 4, 5] * 20"));
}

#[test]
fn scheduled_job_written_fires_at_a_file_of_cron_and_not_at_its_name_elsewhere() {
    assert_eq!(vec!["Scheduled job written"], fired(&in_empty_etc("echo x >/etc/cron.d/job")));
    assert_eq!(vec!["Scheduled job written"], fired(&in_empty_etc("echo x >here; mv here /etc/cron.d/job")));
    assert_eq!(Vec::<String>::new(), fired("mkdir cron.d; echo x >cron.d/job; cat /etc/crontab; true"));
}

#[test]
fn service_written_fires_at_a_unit_and_not_at_a_draft() {
    assert_eq!(vec!["Service written"], fired(&in_empty_etc("echo x >/etc/systemd/system/x.service")));
    assert_eq!(Vec::<String>::new(), fired("echo x >x.service; cat /lib/systemd/system/*.service; true"));
}

#[test]
fn library_for_every_program_set_fires_at_the_loaders_file_and_not_at_a_look_at_it() {
    assert_eq!(vec!["Library for every program set"], fired(&in_empty_etc(": >/etc/ld.so.preload")));
    assert_eq!(Vec::<String>::new(), fired("cat /etc/ld.so.conf; true"));
}

#[test]
fn account_changed_by_hand_fires_at_an_appended_line_and_not_at_another_file() {
    assert_eq!(
        vec!["Account or right changed by hand"],
        fired(&in_empty_etc("echo r::0:0::: >>/etc/passwd"))
    );
    assert_eq!(vec!["Account or right changed by hand"], fired(&in_empty_etc("echo r >/etc/sudoers.d/x")));
    assert_eq!(Vec::<String>::new(), fired(&in_empty_etc("echo r >/etc/other; cat /etc/passwd")));
}

#[test]
fn program_given_its_owners_rights_fires_at_chmod_and_not_at_a_copy_that_keeps_them() {
    assert_eq!(vec!["Program given its owner's rights"], fired("cp /bin/true tool; chmod 4755 tool; true"));
    assert_eq!(
        Vec::<String>::new(),
        fired(
            "cp /bin/true tool; chmod 755 tool; cp -p /bin/su copy; tar cpf - copy | tar xpOf - >/dev/null; true"
        )
    );
}

#[test]
fn kernel_module_loaded_fires_where_the_kernel_agrees_and_not_where_it_refuses() {
    // No kernel of a test has modules to spare: a filter answers in its place, that the call succeeded.
    const ASK: &str = "import ctypes, struct, os\n\
        libc = ctypes.CDLL(None)\n\
        number = 106 if os.uname().machine == 'aarch64' else 176\n\
        words = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (6, 0, 0, 0x50000), (6, 0, 0, 0x7fff0000)]\n\
        text = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *word) for word in words))\n\
        class Program(ctypes.Structure): _fields_ = [('len', ctypes.c_ushort), ('filter', ctypes.c_void_p)]\n\
        program = Program(len(words), ctypes.addressof(text))\n";
    let agreed = "libc.prctl(38, 1, 0, 0, 0); libc.prctl(22, 2, ctypes.byref(program), 0, 0)\n";
    let call = "libc.syscall(number, b'nothing', 0)";

    assert_eq!(vec!["Kernel module loaded"], fired(&python(&format!("{ASK}{agreed}{call}"))));
    assert_eq!(Vec::<String>::new(), fired(&python(&format!("{ASK}{call}"))));
}

#[test]
fn foreign_library_put_into_a_program_fires_at_one_of_tmp_and_not_at_a_systems() {
    let make = "lib=$(mktemp /tmp/glassbox-XXXXXX.so); trap 'rm $lib' EXIT; echo 'int x;' >x.c; cc -shared -o $lib x.c; ";
    // The environment is read while the program runs.
    let run = |library: &str| fired(&format!("{make} LD_PRELOAD=$LD_PRELOAD:{library} sleep 0.5; true"));

    assert_eq!(vec!["Foreign library put into a program"], run("$lib"));
    assert_eq!(Vec::<String>::new(), run("$(ldd /bin/true | grep -o '/[^ ]*libc[^ ]*')"));
}
