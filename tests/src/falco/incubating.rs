//! Falco's incubating rules (`falco-incubating_rules.yaml`), in the order of the file.

use super::Row;

/// What the rules leave to their user.
///
/// Of the two rules about metadata services, the later one has a turn only where the first one allows the
/// container; and the rule about local networks is about no pod until one is named.
pub const TUNING: &str = "\
- macro: ec2_metadata_containers
  condition: (proc.name = agent)
  override: {condition: replace}
- list: namespace_scope_network_only_subnet
  items: [shop]
  override: {items: append}
";

/// The rules.
pub const ROWS: &[Row] = &[
    Row::fires("Modify Shell Configuration File", "`cp /etc/hostname .bashrc`", "cp /etc/hostname .bashrc")
        .but_not("`echo x >.bashrc`, by the shell itself", "echo x >.bashrc"),
    Row::fires(
        "Schedule Cron Jobs",
        "`touch /etc/cron.d/job`",
        "own /etc 'mkdir /etc/cron.d; touch /etc/cron.d/job'",
    )
    .but_not("`mkdir /etc/cron.d`", "own /etc 'mkdir /etc/cron.d'"),
    Row::fires(
        "Read ssh information",
        "`cat /home/ann/.ssh/config`",
        "own /home 'mkdir -p /home/ann/.ssh; echo x >/home/ann/.ssh/config; cat /home/ann/.ssh/config'",
    )
    .but_not(
        "`cat /home/ann/ssh/config`",
        "own /home 'mkdir -p /home/ann/ssh; echo x >/home/ann/ssh/config; cat /home/ann/ssh/config'",
    ),
    Row::fires(
        "DB program spawned process",
        "a shell `mysqld` runs `id`",
        "shell mysqld; ./mysqld -c 'id; true'",
    )
    .but_not("it runs itself", "shell mysqld; ./mysqld -c './mysqld -c true; true'"),
    Row::fires(
        "Change thread namespace",
        "Python calls `setns`",
        "/usr/bin/python3 - <<'END'
import ctypes, os
ctypes.CDLL(None).setns(os.open('/proc/self/ns/uts', os.O_RDONLY), 0)
END",
    )
    .but_not(
        "a program `runc` does",
        "snake runc; ./runc - <<'END'
import ctypes, os
ctypes.CDLL(None).setns(os.open('/proc/self/ns/uts', os.O_RDONLY), 0)
END",
    ),
    Row::fires(
        "Change namespace privileges via unshare",
        "Python without capabilities calls `unshare`",
        "setpriv --reuid 1000 --clear-groups /usr/bin/python3 - <<'END'
import ctypes, time
time.sleep(0.3)
ctypes.CDLL(None).unshare(0x10000000)
END",
    )
    .but_not(
        "root does",
        "/usr/bin/python3 - <<'END'
import ctypes, time
time.sleep(0.3)
ctypes.CDLL(None).unshare(0x10000000)
END",
    )
    .in_container()
    .where_known("the capabilities, by a look at the living program"),
    Row::fires(
        "Launch Privileged Container",
        "root's process number 1 of a pid namespace, with all capabilities",
        "unshare -pf --mount-proc sleep 0.3",
    )
    .but_not(
        "the same with all but one",
        "setpriv --bounding-set -sys_boot unshare -pf --mount-proc sleep 0.3",
    )
    .in_container()
    .where_known("whether the container is privileged, by a look at the living program"),
    Row::fires(
        "Launch Excessively Capable Container",
        "root's process number 1 of a pid namespace, with all capabilities but one",
        "setpriv --bounding-set -sys_boot unshare -pf sleep 0.3",
    )
    .but_not("the same without capabilities", "unshare -Upf sleep 0.3")
    .in_container()
    .where_known("the capabilities, by a look at the living program"),
    Row::fires(
        "System procs network activity",
        "bash connects through `/dev/tcp`",
        "at 203.0.113.7 /usr/bin/python3 - <<'END'
import socket, subprocess
server = socket.create_server(('203.0.113.7', 7000))
subprocess.run(['bash', '-c', 'exec 3<>/dev/tcp/203.0.113.7/7000'], check=True)
END",
    )
    .but_not(
        "to 127.0.0.1",
        "at 203.0.113.7 /usr/bin/python3 - <<'END'
import socket, subprocess
server = socket.create_server(('127.0.0.1', 7000))
subprocess.run(['bash', '-c', 'exec 3<>/dev/tcp/127.0.0.1/7000'], check=True)
END",
    ),
    Row::fires(
        "Program run with disallowed http proxy env",
        "`HTTP_PROXY=http://127.0.0.1:9 curl …`",
        "HTTP_PROXY=http://127.0.0.1:9 curl -s http://127.0.0.1:9/ || true",
    )
    .but_not("`curl …`", "curl -s http://127.0.0.1:9/ || true"),
    Row::fires(
        "Unexpected UDP Traffic",
        "Python connects a UDP socket with port 5353",
        "at 203.0.113.7 /usr/bin/python3 - <<'END'
import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('203.0.113.7', 5353))
END",
    )
    .but_not(
        "with port 53",
        "at 203.0.113.7 /usr/bin/python3 - <<'END'
import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('203.0.113.7', 53))
END",
    ),
    Row::fires(
        "Non sudo setuid",
        "Python of user 1000 calls `setuid`",
        r#"setpriv --reuid 1000 --clear-groups /usr/bin/python3 -c "import os; os.setuid(1000)""#,
    )
    .but_not(
        "user `nobody` becomes itself",
        r#"setpriv --reuid nobody --clear-groups /usr/bin/python3 -c "import os; os.setuid(os.getuid())""#,
    ),
    Row::fires("User mgmt binaries", "`useradd ann`", "nothing useradd; ./useradd ann")
        .but_not("`useradd -D`", "nothing useradd; ./useradd -D"),
    Row::fires("Create files below dev", "`touch /dev/hidden`", "own /dev 'touch /dev/hidden'")
        .but_not("`touch /dev/shm/hidden`", "own /dev 'mkdir /dev/shm; touch /dev/shm/hidden'"),
    Row::fires(
        "Contact EC2 Instance Metadata Service From Container",
        "Python connects to 169.254.169.254",
        "meet 169.254.169.254 80",
    )
    .but_not("to 169.254.169.253", "meet 169.254.169.253 80")
    .in_container(),
    Row::fires(
        "Contact cloud metadata service from container",
        "a program of which `ec2_metadata_containers` says that it may connects to 169.254.169.254",
        "snake agent; meet 169.254.169.254 80 ./agent",
    )
    .but_not("to 169.254.169.253", "snake agent; meet 169.254.169.253 80 ./agent")
    .in_container(),
    Row::fires("Launch Package Management Process in Container", "`apk add x`", "nothing apk; ./apk add x")
        .but_not("`aptly add x`", "nothing aptly; ./aptly add x")
        .in_container(),
    Row::fires("Launch Suspicious Network Tool in Container", "`nmap 127.0.0.1`", "nothing nmap; ./nmap 127.0.0.1")
        .but_not("`ping 127.0.0.1`", "nothing ping; ./ping 127.0.0.1")
        .in_container(),
    Row::fires("Launch Suspicious Network Tool on Host", "`nmap 127.0.0.1`", "nothing nmap; ./nmap 127.0.0.1")
        .but_not("`ping 127.0.0.1`", "nothing ping; ./ping 127.0.0.1"),
    Row::fires("Delete or rename shell history", "`rm .bash_history`", "touch .bash_history; rm .bash_history")
        .but_not("`rm .bash_history.txt`", "touch .bash_history.txt; rm .bash_history.txt"),
    Row::fires("Set Setuid or Setgid bit", "`chmod u+s tool`", "nothing tool; chmod u+s tool")
        .but_not("`chmod 0777 tool`", "nothing tool; chmod 0777 tool"),
    Row::fires("Launch Remote File Copy Tools in Container", "`rsync a b:`", "nothing rsync; ./rsync a b:")
        .but_not("`cp a b`", "touch a; cp a b")
        .in_container(),
    Row::fires(
        "Network Connection outside Local Subnet",
        "Python connects to 203.0.113.7 from a pod of a namespace that `namespace_scope_network_only_subnet` names",
        "meet 203.0.113.7 7000",
    )
    .but_not("to 10.1.1.1", "meet 10.1.1.1 7000")
    .in_pod()
    .where_known("the pod's namespace"),
    Row::fires(
        "Mount Launched in Privileged Container",
        "root runs a program `mount`, with all capabilities",
        "cp /bin/sleep mount; ./mount 0.3",
    )
    .but_not(
        "the same with all but one",
        "cp /bin/sleep mount; setpriv --bounding-set -sys_boot ./mount 0.3",
    )
    .in_container()
    .where_known("whether the container is privileged, by a look at the living program"),
    Row::fires(
        "Launch Ingress Remote File Copy Tools in Container",
        "`curl -o file …`",
        "curl -s -o file http://127.0.0.1:9/ || true",
    )
    .but_not("`curl …`", "curl -s http://127.0.0.1:9/ || true")
    .in_container(),
    Row::fires(
        "Read environment variable from /proc files",
        "`cat /proc/self/environ`",
        "cat /proc/self/environ",
    )
    .but_not("`cat /proc/self/status`", "cat /proc/self/status")
    .in_container(),
    Row::fires(
        "Exfiltrating Artifacts via Kubernetes Control Plane",
        "`tar` as the child of a program `conmon`, as `kubectl cp` runs it",
        "shell conmon; yes | head -c 300000 >data; ./conmon -c 'tar -cf - data | (sleep 0.3; cat >copy)'",
    )
    .but_not(
        "as the child of a shell",
        "yes | head -c 300000 >data; tar -cf - data | (sleep 0.3; cat >copy)",
    )
    .in_container()
    .where_known("the terminal, by a look at the living program"),
    Row::fires(
        "Adding ssh keys to authorized_keys",
        "`echo key >>/home/ann/.ssh/authorized_keys`",
        "own /home 'mkdir -p /home/ann/.ssh; echo key >>/home/ann/.ssh/authorized_keys'",
    )
    .but_not(
        "`echo host >>/home/ann/.ssh/known_hosts`",
        "own /home 'mkdir -p /home/ann/.ssh; echo host >>/home/ann/.ssh/known_hosts'",
    ),
    Row::fires(
        "Potential Local Privilege Escalation via Environment Variables Misuse",
        "`GLIBC_TUNABLES=glibc.malloc.check=0 true`",
        "GLIBC_TUNABLES=glibc.malloc.check=0 /bin/true",
    )
    .but_not("`LD_BIND_NOW=1 true`", "LD_BIND_NOW=1 /bin/true"),
    Row::fires(
        "Backdoored library loaded into SSHD (CVE-2024-3094)",
        "Python as `sshd` opens a file `liblzma.so.5.6.0`; not when the dynamic loader opens one, which `lib.load` tells of",
        "snake sshd; touch liblzma.so.5.6.0; ./sshd -c 'open(\"liblzma.so.5.6.0\")'",
    )
    .but_not(
        "it opens `liblzma.so.5.6.2`",
        "snake sshd; touch liblzma.so.5.6.2; ./sshd -c 'open(\"liblzma.so.5.6.2\")'",
    ),
    Row::fires(
        "BPF Program Not Profiled",
        "Python calls `syscall` with bpf(2) and `BPF_PROG_LOAD`, in vain",
        r#"/usr/bin/python3 -c "import ctypes, os; ctypes.CDLL(None).syscall({'x86_64': 321, 'aarch64': 280}[os.uname().machine], 5, None, 0)""#,
    )
    .but_not(
        "with `BPF_MAP_CREATE`",
        r#"/usr/bin/python3 -c "import ctypes, os; ctypes.CDLL(None).syscall({'x86_64': 321, 'aarch64': 280}[os.uname().machine], 0, None, 0)""#,
    ),
];
