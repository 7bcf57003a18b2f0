//! Falco's stable rules (`falco_rules.yaml`), in the order of the file.

use super::Row;

/// The rules.
pub const ROWS: &[Row] = &[
    Row::fires(
        "Directory traversal monitored file read",
        "a program of Python's reads `../../../../../../etc/hostname`",
        r#"/usr/bin/python3 -c "import subprocess; subprocess.run(['cat', '../../../../../../etc/hostname'])""#,
    )
    .but_not(
        "the same with `/etc/hostname`",
        r#"/usr/bin/python3 -c "import subprocess; subprocess.run(['cat', '/etc/hostname'])""#,
    ),
    Row::fires(
        "Read sensitive file trusted after startup",
        "a program `nginx` reads `/etc/shadow` after five seconds",
        r#"snake nginx; ./nginx -c "import time; time.sleep(5.1); open('/etc/shadow').close()""#,
    )
    .but_not("at once", r#"snake nginx; ./nginx -c "open('/etc/shadow').close()""#)
    .where_known("when the process began, by a look at the living program"),
    Row::fires("Read sensitive file untrusted", "`cat /etc/shadow`", "cat /etc/shadow >/dev/null")
        .but_not("`cat /etc/passwd`", "cat /etc/passwd >/dev/null"),
    Row::fires(
        "Run shell untrusted",
        "a program `nginx` starts a shell",
        r#"snake nginx; ./nginx -c "import subprocess; subprocess.run(['sh', '-c', 'true'])""#,
    )
    .but_not(
        "Python starts a shell",
        r#"/usr/bin/python3 -c "import subprocess; subprocess.run(['sh', '-c', 'true'])""#,
    ),
    Row::fires(
        "System user interactive",
        "a program `sshd` starts `id` as the user `nobody`",
        r#"snake sshd; ./sshd -c "import subprocess; subprocess.run(['id'], user='nobody')""#,
    )
    .but_not(
        "the same as root",
        r#"snake sshd; ./sshd -c "import subprocess; subprocess.run(['id'])""#,
    ),
    Row::fires(
        "Terminal shell in container",
        "a program `runc` starts a shell in a terminal",
        r#"snake runc; ./runc -c "import pty; pty.spawn(['/bin/sh', '-c', 'sleep 0.2; true'])""#,
    )
    .but_not(
        "the same without a terminal",
        r#"snake runc; ./runc -c "import subprocess; subprocess.run(['/bin/sh', '-c', 'sleep 0.2; true'])""#,
    )
    .in_container()
    .where_known("the terminal, by a look at the living program"),
    Row::fires(
        "Contact K8S API Server From Container",
        "Python resolves the API server's name and connects to its address",
        r#"unshare -m sh -ec "
echo 127.0.0.1 kubernetes.default.svc.cluster.local >hosts; mount --bind hosts /etc/hosts
exec /usr/bin/python3 -" <<'END'
import socket
try: socket.create_connection(("kubernetes.default.svc.cluster.local", 9))
except ConnectionRefusedError: pass
END"#,
    )
    .but_not(
        "another name of the same address",
        r#"unshare -m sh -ec "
echo 127.0.0.1 web.default.svc.cluster.local >hosts; mount --bind hosts /etc/hosts
exec /usr/bin/python3 -" <<'END'
import socket
try: socket.create_connection(("web.default.svc.cluster.local", 9))
except ConnectionRefusedError: pass
END"#,
    )
    .in_container()
    .where_known("the name of the address, because the process resolved it"),
    Row::fires(
        "Netcat Remote Code Execution in Container",
        "`nc -e /bin/sh 127.0.0.1 9`",
        "nothing nc; ./nc -e /bin/sh 127.0.0.1 9",
    )
    .but_not("`nc -z 127.0.0.1 9`", "nothing nc; ./nc -z 127.0.0.1 9")
    .in_container(),
    Row::fires("Search Private Keys or Passwords", "`find . -name id_rsa`", "find . -name id_rsa")
        .but_not("`find . -name known_hosts`", "find . -name known_hosts"),
    Row::fires("Clear Log Activities", "`: >auth.log`", ": >auth.log").but_not("`: >>auth.log`", ": >>auth.log"),
    Row::fires("Remove Bulk Data from Disk", "`shred file`", "echo x >file; shred file")
        .but_not("`truncate -s 0 file`", "echo x >file; truncate -s 0 file"),
    Row::fires(
        "Create Symlink Over Sensitive Files",
        "`ln -s /etc/shadow link`",
        "ln -s /etc/shadow link",
    )
    .but_not("`ln -s /etc/passwd link`", "ln -s /etc/passwd link"),
    Row::fires(
        "Create Hardlink Over Sensitive Files",
        "`ln /etc/shadow /etc/copy`",
        "own /etc 'echo x >/etc/shadow; ln /etc/shadow /etc/copy'",
    )
    .but_not("`ln /etc/passwd /etc/copy`", "own /etc 'echo x >/etc/passwd; ln /etc/passwd /etc/copy'"),
    Row::fires(
        "Packet socket created in container",
        "Python makes a packet socket",
        r#"/usr/bin/python3 -c "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)""#,
    )
    .but_not(
        "a raw socket of IPv4",
        r#"/usr/bin/python3 -c "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)""#,
    )
    .in_container(),
    Row::fires(
        "Redirect STDOUT/STDIN to Network Connection in Container",
        "Python duplicates a connection to its standard input",
        "/usr/bin/python3 - <<'END'
import os, socket
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()
c = socket.create_connection(s.getsockname())
os.dup2(c.fileno(), 0)
END",
    )
    .but_not(
        "a file, and a connection to another descriptor",
        "/usr/bin/python3 - <<'END'
import os, socket
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()
c = socket.create_connection(s.getsockname())
os.dup2(os.open('/dev/null', os.O_RDONLY), 0)
os.dup2(c.fileno(), 9)
END",
    )
    .in_container(),
    Row::fires(
        "Linux Kernel Module Injection Detected",
        "Python calls `init_module`, in vain",
        r#"/usr/bin/python3 -c "import ctypes; ctypes.CDLL(None).init_module(None, 0, b'')""#,
    )
    .but_not(
        "`delete_module`, in vain",
        r#"/usr/bin/python3 -c "import ctypes; ctypes.CDLL(None).delete_module(b'glassbox-none', 0)""#,
    )
    .in_container()
    .where_known("the capabilities, by a look at the living program"),
    Row::fires(
        "Debugfs Launched in Privileged Container",
        "a program `debugfs` that no capability is out of reach of",
        "cp /bin/sleep debugfs; ./debugfs 0.2",
    )
    .but_not(
        "one that `CAP_SYS_ADMIN` is out of reach of",
        "cp /bin/sleep debugfs; setpriv --bounding-set -sys_admin ./debugfs 0.2",
    )
    .in_container()
    .where_known("whether the container is privileged, by a look at the living program"),
    Row::fires(
        "Detect release_agent File Container Escapes",
        "root writes a file `release_agent`",
        "echo x >release_agent; sleep 0.2",
    )
    .but_not("`notify_on_release`", "echo x >notify_on_release; sleep 0.2")
    .in_container()
    .where_known("the capabilities, by a look at the living program"),
    Row::fires(
        "PTRACE attached to process",
        "Python attaches to its child",
        "/usr/bin/python3 - <<'END'
import ctypes, os, signal, time
child = os.fork()
if child == 0:
    time.sleep(30); os._exit(0)
ctypes.CDLL(None).ptrace(16, child, None, None)
os.kill(child, signal.SIGKILL)
END",
    )
    .but_not(
        "the child wants to be traced",
        "/usr/bin/python3 - <<'END'
import ctypes, os
if os.fork() == 0:
    ctypes.CDLL(None).ptrace(0, 0, None, None); os._exit(0)
os.wait()
END",
    ),
    Row::fires(
        "PTRACE anti-debug attempt",
        "Python's child wants to be traced",
        "/usr/bin/python3 - <<'END'
import ctypes, os
if os.fork() == 0:
    ctypes.CDLL(None).ptrace(0, 0, None, None); os._exit(0)
os.wait()
END",
    )
    .but_not(
        "Python attaches to it",
        "/usr/bin/python3 - <<'END'
import ctypes, os, signal, time
child = os.fork()
if child == 0:
    time.sleep(30); os._exit(0)
ctypes.CDLL(None).ptrace(16, child, None, None)
os.kill(child, signal.SIGKILL)
END",
    ),
    Row::fires("Find AWS Credentials", "`grep aws_access_key_id file`", "echo x >file; grep aws_access_key_id file || true")
        .but_not("`grep region file`", "echo x >file; grep region file || true"),
    Row::fires(
        "Execution from /dev/shm",
        "`/dev/shm/tool`",
        "own /dev/shm 'cp /bin/true /dev/shm/tool; /dev/shm/tool'",
    )
    .but_not("`/mnt/tool`", "own /mnt 'cp /bin/true /mnt/tool; /mnt/tool'"),
    Row::fires(
        "Drop and execute new binary in container",
        "a program that was written to an overlay is executed there",
        r#"mkdir upper work all
unshare -m sh -ec "mount -t overlay overlay -o lowerdir=/usr/bin,upperdir=$PWD/upper,workdir=$PWD/work all
cp /bin/sleep all/new; all/new 0.2""#,
    )
    .but_not(
        "one of the overlay's lower layer",
        r#"mkdir lower upper work all; cp /bin/sleep lower/old
unshare -m sh -ec "mount -t overlay overlay -o lowerdir=$PWD/lower,upperdir=$PWD/upper,workdir=$PWD/work all
cp /bin/sleep all/new; all/old 0.2""#,
    )
    .in_container()
    .where_known("whether the program was added to the container, by a look at the living program"),
    Row::fires(
        "Disallowed SSH Connection Non Standard Port",
        "a program `ssh` connects to port 4444",
        r#"snake ssh; unshare -n sh -ec "ip link set lo up; ip address add 203.0.113.7/32 dev lo; exec ./ssh -" <<'END'
import socket
s = socket.socket(); s.bind(('203.0.113.7', 4444)); s.listen()
socket.create_connection(s.getsockname())
END"#,
    )
    .but_not(
        "to port 22",
        r#"snake ssh; unshare -n sh -ec "ip link set lo up; ip address add 203.0.113.7/32 dev lo; exec ./ssh -" <<'END'
import socket
s = socket.socket(); s.bind(('203.0.113.7', 22)); s.listen()
socket.create_connection(s.getsockname())
END"#,
    ),
    Row::fires(
        "Fileless execution via memfd_create",
        "Python executes a program in memory",
        "/usr/bin/python3 - <<'END'
import os
fd = os.memfd_create('x', 0); os.write(fd, open('/bin/true', 'rb').read())
if os.fork() == 0: os.execve('/proc/self/fd/%d' % fd, ['true'], os.environ)
os.wait()
END",
    )
    .but_not(
        "a file by its descriptor",
        "/usr/bin/python3 - <<'END'
import os
fd = os.open('/bin/true', os.O_RDONLY)
if os.fork() == 0: os.execve('/proc/self/fd/%d' % fd, ['true'], os.environ)
os.wait()
END",
    ),
];
