//! Falco's sandbox rules (`falco-sandbox_rules.yaml`), in the order of the file.

use super::Row;

/// What the rules leave to their user: which containers may start. As the file has it, each may.
pub const TUNING: &str = "\
- macro: allowed_containers
  condition: (proc.name != stranger)
  override: {condition: replace}
";

/// The rules.
pub const ROWS: &[Row] = &[
    Row::fires(
        "Unexpected inbound connection source",
        "Python accepts a connection from 203.0.113.7",
        "meet 203.0.113.7 7000",
    )
    .but_not("from 127.0.0.1", "meet 127.0.0.1 7000"),
    Row::fires("Read Shell Configuration File", "`cat .bashrc`", "touch .bashrc; cat .bashrc")
        .but_not("a shell reads it", "touch .bashrc; . ./.bashrc"),
    Row::fires(
        "Update Package Repository",
        "`touch /etc/apt/sources.list`",
        "own /etc 'mkdir /etc/apt; touch /etc/apt/sources.list'",
    )
    .but_not("`touch /etc/sources.list`", "own /etc 'touch /etc/sources.list'"),
    Row::fires("Write below binary dir", "`touch /usr/sbin/tool`", "own /usr/sbin 'touch /usr/sbin/tool'")
        .but_not(
            "`touch /usr/sbin/tools/tool`",
            "own /usr/sbin 'mkdir /usr/sbin/tools; touch /usr/sbin/tools/tool'",
        ),
    Row::fires("Write below monitored dir", "`touch /boot/image`", "own /boot 'touch /boot/image'")
        .but_not("`touch /boot/grub/image`", "own /boot 'mkdir /boot/grub; touch /boot/grub/image'"),
    Row::fires("Write below etc", "`touch /etc/new`", "own /etc 'touch /etc/new'")
        .but_not("`touch /etc/motd`", "own /etc 'touch /etc/motd'"),
    Row::fires("Write below root", "`touch /root/new`", "own /root 'touch /root/new'")
        .but_not("`touch /root/.bash_history`", "own /root 'touch /root/.bash_history'"),
    Row::fires(
        "Write below rpm database",
        "`touch /var/lib/rpm/Packages`",
        "own /var/lib 'mkdir /var/lib/rpm; touch /var/lib/rpm/Packages'",
    )
    .but_not(
        "`touch /var/lib/dpkg/status`",
        "own /var/lib 'mkdir /var/lib/dpkg; touch /var/lib/dpkg/status'",
    ),
    Row::fires(
        "Modify binary dirs",
        "`rm /usr/sbin/tool`",
        "own /usr/sbin 'touch /usr/sbin/tool; rm /usr/sbin/tool'",
    )
    .but_not(
        "a program `dpkg` does it",
        "ln -s /bin/rm dpkg; own /usr/sbin 'touch /usr/sbin/tool; ./dpkg /usr/sbin/tool'",
    ),
    Row::fires("Mkdir binary dirs", "`mkdir /usr/sbin/tools`", "own /usr/sbin 'mkdir /usr/sbin/tools'").but_not(
        "a program `dpkg` does it",
        "ln -s /bin/mkdir dpkg; own /usr/sbin './dpkg /usr/sbin/tools'",
    ),
    Row::fires(
        "Launch Sensitive Mount Container",
        "process number 1 of a pid namespace, where `/root` is mounted elsewhere",
        "mkdir place; unshare -mpf sh -ec 'mount --bind /root place; exec sleep 0.3'",
    )
    .but_not(
        "where `/boot` is",
        "mkdir place; unshare -mpf sh -ec 'mount --bind /boot place; exec sleep 0.3'",
    )
    .in_container()
    .where_known("the mounts, by a look at the living program"),
    Row::fires(
        "Launch Disallowed Container",
        "process number 1 of a pid namespace that `allowed_containers` does not allow",
        "nothing stranger; unshare -pf ./stranger",
    )
    .but_not("one that it allows", "unshare -pf /bin/true")
    .in_container(),
    Row::fires(
        "Interpreted procs inbound network activity",
        "Python accepts a connection from 10.1.1.1",
        "meet 10.1.1.1 7000",
    )
    .but_not("from 127.0.0.1", "meet 127.0.0.1 7000"),
    Row::fires(
        "Interpreted procs outbound network activity",
        "Python connects to 203.0.113.7",
        "meet 203.0.113.7 7000",
    )
    .but_not("to 10.1.1.1", "meet 10.1.1.1 7000"),
    Row::fires(
        "Unexpected K8s NodePort Connection",
        "a program connects to port 30080",
        "snake client; meet 203.0.113.7 30080 ./client",
    )
    .but_not("to port 29080", "snake client; meet 203.0.113.7 29080 ./client")
    .in_container(),
    Row::fires("Create Hidden Files or Directories", "`mkdir .hidden`", "mkdir .hidden")
        .but_not("`mkdir hidden`", "mkdir hidden"),
    Row::fires(
        "Detect outbound connections to common miner pool ports",
        "a program resolves `pool.minexmr.com` and connects to port 3333 of it",
        r#"snake client; own /etc 'echo 203.0.113.7 pool.minexmr.com >/etc/hosts; unshare -n sh -ec "ip link set lo up; ip address add 203.0.113.7/32 dev lo; exec ./client -"' <<'END'
import socket
server = socket.create_server(('203.0.113.7', 3333))
socket.create_connection(('pool.minexmr.com', 3333))
END"#,
    )
    .but_not(
        "to port 3332 of it",
        r#"snake client; own /etc 'echo 203.0.113.7 pool.minexmr.com >/etc/hosts; unshare -n sh -ec "ip link set lo up; ip address add 203.0.113.7/32 dev lo; exec ./client -"' <<'END'
import socket
server = socket.create_server(('203.0.113.7', 3332))
socket.create_connection(('pool.minexmr.com', 3332))
END"#,
    )
    .where_known("the name of the address, because the process resolved it"),
    Row::fires(
        "Detect crypto miners using the Stratum protocol",
        "`tool -o stratum+tcp://pool.invalid:3333`",
        "nothing tool; ./tool -o stratum+tcp://pool.invalid:3333",
    )
    .but_not("`tool -o tcp://pool.invalid:3333`", "nothing tool; ./tool -o tcp://pool.invalid:3333"),
    Row::fires("Kubernetes Client Tool Launched in Container", "`kubectl get pods`", "nothing kubectl; ./kubectl get pods")
        .but_not("`kubectx`", "nothing kubectx; ./kubectx")
        .in_container(),
    Row::fires("Container Drift Detected (chmod)", "`chmod +x tool`", "touch tool; chmod +x tool")
        .but_not("`chmod 0640 tool`", "touch tool; chmod 0640 tool")
        .in_container(),
    Row::fires(
        "Container Drift Detected (open+create)",
        "`cp /bin/true tool`",
        "cp /bin/true tool",
    )
    .but_not("`touch tool`", "touch tool")
    .in_container(),
    Row::fires(
        "Container Run as Root User",
        "root's process number 1 of a pid namespace",
        "unshare -pf /bin/true",
    )
    .but_not("the same of another user", "unshare -pf --setuid 1000 /bin/true")
    .in_container(),
    Row::fires(
        "Sudo Potential Privilege Escalation",
        r"`sudoedit -s '\'`",
        r"shell sudoedit; echo sleep 0.3 | ./sudoedit -s '\'",
    )
    .but_not("`sudoedit -s x`", "shell sudoedit; echo sleep 0.3 | ./sudoedit -s x")
    .where_known("the login, by a look at the living program"),
    Row::fires(
        "Unprivileged Delegation of Page Faults Handling to a Userspace Process",
        "Python of user 1000 calls `syscall` with userfaultfd(2)",
        r#"setpriv --reuid 1000 --clear-groups /usr/bin/python3 -c "import ctypes, os; ctypes.CDLL(None).syscall({'x86_64': 323, 'aarch64': 282}[os.uname().machine], 1)""#,
    )
    .but_not("root does", r#"/usr/bin/python3 -c "import ctypes, os; ctypes.CDLL(None).syscall({'x86_64': 323, 'aarch64': 282}[os.uname().machine], 1)""#),
    Row::fires(
        "Polkit Local Privilege Escalation Vulnerability (CVE-2021-4034)",
        "`pkexec` without arguments",
        "ln -s /bin/cat pkexec; sleep 0.3 | ./pkexec",
    )
    .but_not("`pkexec -`", "ln -s /bin/cat pkexec; sleep 0.3 | ./pkexec -")
    .where_known("the login, by a look at the living program"),
    Row::cannot_fire(
        "Java Process Class File Download",
        "`evt.buffer` has no value: the sensor does not copy data, and single reads are no events",
    ),
    Row::fires(
        "Modify Container Entrypoint",
        "Python opens `/proc/self/fd/3` for writing",
        "/usr/bin/python3 - <<'END'
import os
file = os.open('file', os.O_CREAT | os.O_RDONLY)
open('/proc/self/fd/%d' % file, 'w')
END",
    )
    .but_not(
        "it opens `/proc/self/exe` for reading, and `/proc/self/comm` for writing",
        r#"/usr/bin/python3 -c "open('/proc/self/exe', 'rb'); open('/proc/self/comm', 'w')""#,
    )
    .in_container(),
    Row::fires("Decoding Payload in Container", "`base64 -d`", "echo aGkK | base64 -d")
        .but_not("`base64`", "echo hi | base64")
        .in_container(),
    Row::fires(
        "Basic Interactive Reconnaissance",
        "a program `whoami` that leads its group at a terminal",
        "cp /bin/sleep whoami; script -qec 'exec ./whoami 0.3' /dev/null",
    )
    .but_not("the same without a terminal", "cp /bin/sleep whoami; setsid ./whoami 0.3")
    .where_known("terminal and process group, by a look at the living program"),
    Row::fires(
        "Netcat/Socat Remote Code Execution on Host",
        "`socat TCP:127.0.0.1:9 EXEC:sh`",
        "nothing socat; ./socat TCP:127.0.0.1:9 EXEC:sh",
    )
    .but_not("`socat TCP:127.0.0.1:9 STDIO`", "nothing socat; ./socat TCP:127.0.0.1:9 STDIO"),
    Row::fires(
        "Network Tool Executed During NPM Package Install",
        "a shell `npm` runs `nc 127.0.0.1 9`",
        "shell npm; nothing nc; ./npm -c './nc 127.0.0.1 9; true'",
    )
    .but_not("a shell `npx` does", "shell npx; nothing nc; ./npx -c './nc 127.0.0.1 9; true'")
    .in_container(),
    Row::fires("Known Cryptominer Process Executed", "`xmrig`", "nothing xmrig; ./xmrig")
        .but_not("`xmrig2`", "nothing xmrig2; ./xmrig2"),
    Row::fires(
        "Web Server Spawned Shell",
        "a shell `nginx` runs `sh -c true`",
        "shell nginx; ./nginx -c 'sh -c true; true'",
    )
    .but_not("it runs `sh healthcheck`", "shell nginx; touch healthcheck; ./nginx -c 'sh healthcheck; true'"),
    Row::fires(
        "Web Server Spawned Suspicious Child Process",
        "a shell `nginx` runs `whoami`",
        "shell nginx; ./nginx -c 'whoami; true'",
    )
    .but_not("it runs `date`", "shell nginx; ./nginx -c 'date; true'"),
    Row::fires(
        "Reverse Shell from Web Server",
        "a shell `nginx` runs `tool nc -e`",
        "shell nginx; nothing tool; ./nginx -c './tool nc -e; true'",
    )
    .but_not("it runs `tool nc`", "shell nginx; nothing tool; ./nginx -c './tool nc; true'"),
    Row::fires(
        "Privileged Container Device Access",
        "`cat /dev/sda`, where that is a file",
        "own /dev 'touch /dev/sda; cat /dev/sda'",
    )
    .but_not("`cat /dev/disk`", "own /dev 'touch /dev/disk; cat /dev/disk'")
    .in_container(),
    Row::fires(
        "Container Access to Host Sensitive Paths",
        "Python reads `/host/shadow`, below a root of its own",
        "mkdir host; touch host/shadow
/usr/bin/python3 -c \"import os; os.chroot('.'); open('/host/shadow')\"",
    )
    .but_not(
        "it reads `/hosts`",
        "touch hosts; /usr/bin/python3 -c \"import os; os.chroot('.'); open('/hosts')\"",
    )
    .in_container(),
];
