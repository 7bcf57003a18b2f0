//! The programs: tools, shells, interpreters, compilers, servers, databases, a browser.
//!
//! A row is a name, the programs it needs, and a shell script. Times and numbers that the script prints
//! differ between two bare runs and are then not compared, so rows need not avoid them; but a row that prints
//! little else proves little. Servers listen on sockets in the folder if they can, and otherwise on fixed
//! high ports of 127.0.0.1.

use std::time::Duration;

use super::Case;

type Needs = &'static [(&'static str, &'static str)];

/// The rows of this file, in the group `programs`.
pub fn programs() -> Vec<Case> {
    let tools = TOOLS.iter().map(|&(name, needs, run)| Case {
        needs: needs.to_vec(),
        prepare: TREE.to_owned(),
        ..Case::new("programs", name, run)
    });
    let larger = LARGER.iter().map(|&(name, needs, prepare, run)| Case {
        needs: needs.to_vec(),
        prepare: prepare.to_owned(),
        limit: Duration::from_secs(300),
        ..Case::new("programs", name, run)
    });
    let mut cases: Vec<Case> = tools.chain(larger).collect();
    for case in &mut cases {
        case.is_quick = QUICK.contains(&case.name.as_str());
    }
    cases
}

/// The rows that `cargo xtask test` runs: one of each kind that takes less than a second.
const QUICK: &[&str] = &[
    "ls",
    "cp -a",
    "find xargs",
    "sort",
    "grep",
    "tar",
    "env",
    "sed awk",
    "bash",
    "dash",
    "perl",
    "python3",
    "git",
    "make gcc",
    "sqlite3",
    "timeout kill",
    "job control",
    "descriptors",
];

/// The folder that the tools work in.
const TREE: &str = r#"
mkdir -p tree/a/b tree/empty; cd tree
seq 1 2000 >numbers; seq 2000 -3 1 >down; echo text >a/one; echo more >a/b/two; ln -s one a/link; ln a/one a/hard
chmod 640 a/one; chmod 4755 a/b/two; mkfifo pipe; printf 'b 2\na 1\nc 3\n' >keys; printf 'a x\nb y\nd z\n' >others
head -c 300000 /dev/zero >zeros; find . -exec touch -h -d @1000000000 {} +
"#;

/// Name, needs, script; run in [`TREE`].
const TOOLS: &[(&str, Needs, &str)] = &[
    ("ls", &[], "exec ls -laR --full-time tree"),
    ("cat head tail", &[], "cat tree/numbers | head -50 | tail -5; tail -c 20 tree/down; cat nothing"),
    ("cp -a", &[], "exec cp -a tree copy"),
    (
        "mv ln rm",
        &[],
        "mv -v tree/a moved; ln -sv moved link; rm -rfv moved/b; rmdir tree/empty; mv x y; rm nothing",
    ),
    (
        "mkdir chmod touch",
        &[],
        "umask 027; mkdir -pvm 711 p/q; chmod -v g+w p; touch -d @5 p/t; stat -c '%a %n %Y' p p/t",
    ),
    (
        "chown install mktemp",
        &[],
        "install -vm 751 tree/keys kept; chown -v $(id -u) kept; rmdir $(mktemp -d XXXXXX)",
    ),
    (
        "sort",
        &[],
        "sort -n --parallel=4 -S 16k tree/numbers tree/down | md5sum; sort -k2r tree/keys; sort -u tree/down -o sorted",
    ),
    (
        "uniq cut tr comm join paste",
        &[],
        "cut -c1 tree/numbers | uniq -c; tr 0-9 a-j <tree/keys; sort tree/keys | join - tree/others; paste tree/keys tree/others; comm tree/others tree/others",
    ),
    (
        "wc sums",
        &[],
        "wc tree/numbers tree/keys; md5sum tree/numbers; sha256sum tree/numbers | tee sum; sha256sum -c sum; cksum tree/zeros",
    ),
    (
        "dd split truncate",
        &[],
        "dd if=tree/zeros of=out bs=4k count=10 2>&1 | head -2; split -l 500 tree/numbers part.; truncate -s 9999 out; od -c tree/keys",
    ),
    (
        "find xargs",
        &[],
        "find tree -type f -print0 | sort -z | xargs -0 -n2 -P2 wc -c | sort; find tree -name two -exec cat {} \\; ; find tree -type d -empty -delete",
    ),
    (
        "grep",
        &[],
        "grep -rn '^1.*9$' tree/numbers; grep -c 7 tree/numbers tree/down; grep -q absent tree/keys",
    ),
    (
        "sed awk",
        &[],
        "sed -i.old 's/1/one/g' tree/keys; cat tree/keys; awk '{n+=$1} END {print n; system(\"echo from awk\"); print \"x\" | \"cat\"}' tree/numbers",
    ),
    (
        "diff patch cmp",
        &[("patch", "patch")],
        "sed s/5/five/ tree/numbers >new; diff -u --label a --label b tree/numbers new >p; patch tree/numbers p; cmp tree/numbers new; diff tree/keys tree/others",
    ),
    (
        "tar",
        &[],
        "tar cf t.tar tree; mkdir out; tar xpf t.tar -C out; tar tvf t.tar; tar czf t.tgz tree; tar xOzf t.tgz tree/keys; tar xf nothing",
    ),
    (
        "gzip bzip2 xz",
        &[("xz", "xz-utils"), ("bzip2", "bzip2")],
        "gzip -kn tree/numbers; xz -kT2 tree/numbers; bzip2 -k tree/down; zcat tree/numbers.gz | md5sum; xz -dc tree/numbers.xz | md5sum; gzip -t tree/keys",
    ),
    (
        "cpio",
        &[("cpio", "cpio")],
        "cd tree; find . | sort | cpio -o -H newc --reproducible >../a.cpio; mkdir ../out; cd ../out; cpio -id <../a.cpio",
    ),
    ("env", &[], "env; env -i A=1 env; env -u HOME env; printenv PATH"),
    (
        "id who date",
        &[],
        "id; groups; logname; whoami; date -d @0 +%F; TZ=Asia/Tokyo date -d @0; uname -s; hostname; nproc; tty",
    ),
    (
        "timeout kill",
        &[],
        "timeout 0.2 sleep 5; echo $?; timeout -s KILL 0.2 sleep 5; echo $?; sleep 5 & kill $!; wait $!; echo $?; (kill -SEGV $$BASHPID; exit 3); sh -c 'kill -ABRT $$'; echo $?",
    ),
    (
        "nice nohup setsid",
        &[],
        "nice -n 3 nice; nohup echo kept; setsid -w echo apart; stdbuf -oL echo line; setpriv --no-new-privs grep NoNewPrivs /proc/self/status; ionice",
    ),
    (
        "tee seq expr",
        &[],
        "seq 5 | tee a b | tac; expr 6 '*' 7; printf '%05d\\n' 42; factor 360; numfmt --to=iec 123456789; basename /a/b; realpath tree/a/link; readlink tree/a/link",
    ),
    (
        "ps free mount",
        &[("ps", "procps")],
        "ps -o comm= -p $$; free | wc -l; mount | wc -l; df tree | tail -1 | wc -w; du -s tree; uptime | wc -l",
    ),
    (
        "flock",
        &[("flock", "util-linux")],
        "flock lock sh -c 'echo held; flock -n lock echo never; echo $?'; flock -x 9 9>other; echo $?",
    ),
    (
        "script",
        &[("script", "bsdutils")],
        "script -qec 'tty | cut -c1-8; stty size; ls tree; test -t 1 && echo terminal' typescript </dev/null",
    ),
    (
        "file strings",
        &[("file", "file"), ("strings", "binutils")],
        "file tree/*; strings -n 5 /bin/true | head -20",
    ),
    (
        "ldd nm objdump",
        &[("nm", "binutils")],
        "objdump -d /bin/true | tail -3; readelf -d /bin/true; nm -D /bin/true | head -5",
    ),
    (
        "vi",
        &[("vim.tiny", "vim-tiny")],
        "vim.tiny -u NONE -es -c '%s/a/b/g' -c wq tree/keys </dev/null; cat tree/keys",
    ),
    ("bc dc m4", &[("bc", "bc"), ("m4", "m4")], "echo '2^200' | bc; echo 'define(a,b)a' | m4"),
    (
        "openssl",
        &[("openssl", "openssl")],
        "openssl sha256 tree/numbers; openssl req -x509 -newkey rsa:2048 -nodes -keyout k -out c -subj /CN=x -days 1 2>/dev/null; openssl x509 -in c -noout -subject; openssl enc -aes-128-cbc -K 00 -iv 00 -in tree/keys 2>&1 | od -c",
    ),
    (
        "getent",
        &[],
        "getent passwd root nobody; getent hosts localhost; getent services ssh; getent ahosts 127.0.0.1; getent passwd nobody-here; echo $?",
    ),
    (
        "bash",
        &[("bash", "bash")],
        r#"exec bash -c 'shopt -s lastpipe; set -o pipefail
f() { local -a words; mapfile -t words <tree/numbers; echo ${#words[@]}; }; f
diff <(sort tree/down) <(sort tree/numbers); cat <<<here; coproc cat; echo to >&${COPROC[1]}; read -u ${COPROC[0]} back; echo $back; eval "exec ${COPROC[1]}>&-"; wait
exec {fd}<tree/keys; read -u $fd line; echo $line $fd; exec {fd}<&-; trap "echo term" TERM; kill -TERM $$; ulimit -n; ulimit -c
false | true; echo $?; (exit 7); echo $?; wait; for i in 1 2 3; do echo $i & done | sort; wait; echo $(< tree/keys); umask; type cat; exit 5'"#,
    ),
    (
        "dash",
        &[("dash", "dash")],
        "exec dash -c 'set -e; for f in tree/*; do test -d $f && echo $f || :; done; cat tree/keys | while read a b; do echo $b $a; done; x=$(echo sub); echo $x; trap \"echo bye\" EXIT; sleep 0.05 & wait; exec 3<tree/keys; read l <&3; echo $l; exit 4'",
    ),
    (
        "job control",
        &[("bash", "bash")],
        "exec bash -mc 'sleep 5 & kill -STOP %1; sleep 0.1; jobs -s | wc -l; kill -CONT %1; kill %1; wait %1; echo $?; (sleep 0.05; exit 9) & fg >/dev/null; echo $?'",
    ),
    (
        "descriptors",
        &[("bash", "bash")],
        "exec 5<tree/keys 7>seven 200>high; ls -l /proc/self/fd | awk 'NR>1 {print $9}'; bash -c 'for f in /proc/$$/fd/*; do echo ${f##*/}; done; ulimit -n 16; ls tree'; exec cat <&5 >&7",
    ),
    (
        "process state",
        &[],
        "grep -E 'Threads|Sig|Umask|NoNew|Seccomp|Cap' /proc/self/status; cat /proc/self/limits /proc/self/cmdline",
    ),
    (
        "closed streams",
        &[],
        "cat tree/keys >&-; echo $?; sh -c 'ls tree' <&- 2>&-; sort <&- ; echo $?; ls tree >/dev/full; echo $?; seq 1 100000 | head -1; exec <&- >&- 2>&-",
    ),
    (
        "rsync",
        &[("rsync", "rsync")],
        "rsync -a tree/ copy; rsync -a --delete --itemize-changes tree/ copy; echo x >>tree/keys; rsync -aci tree/ copy; rsync nothing copy",
    ),
    (
        "perl",
        &[("perl", "perl")],
        r#"exec perl -e 'open my $f, "<", "tree/keys" or die; print sort <$f>; print `echo sub`; system("exit 3"); print $? >> 8, "\n";
my $pid = fork; if (!$pid) { exec "echo", "child" } waitpid $pid, 0; $SIG{ALRM} = sub { print "alarm\n" }; alarm 1; select undef, undef, undef, 2;
opendir my $d, "tree"; print join " ", sort readdir $d; print "\n"; open my $p, "-|", "ls tree"; print <$p>; print -s "tree/zeros", " $! ", 0 + $!, "\n"; open my $n, "<", "absent"; print 0 + $!, "\n"; print `cat /proc/self/fd/0 2>&1`; kill 9, $$'"#,
    ),
    (
        "python3",
        &[("python3", "python3")],
        r#"exec /usr/bin/python3 -c '
import os, subprocess, socket, threading, signal, tempfile, sqlite3, ssl, json, ctypes, mmap, select, asyncio, multiprocessing
print(open("tree/keys").read(), subprocess.run(["sh", "-c", "echo out; exit 3"], capture_output=True))
a, b = socket.socketpair(); a.send(b"x"); print(b.recv(9), select.select([b], [], [], 0))
t = [threading.Thread(target=lambda: open("tree/numbers").read()) for _ in range(8)]; [x.start() for x in t]; [x.join() for x in t]
print(sorted(os.listdir("/proc/self/fd")), threading.active_count(), signal.getsignal(signal.SIGPIPE), os.getcwd())
s = socket.create_server(("127.0.0.1", 0)); c = socket.create_connection(s.getsockname()); d, _ = s.accept(); c.sendall(b"q" * 99); print(len(d.recv(999)))
print(sqlite3.connect("db").execute("select sqlite_version()").fetchone(), ctypes.CDLL(None).getppid() == os.getppid())
async def f():
    p = await asyncio.create_subprocess_exec("echo", "hi", stdout=-1); return (await p.communicate())[0]
print(asyncio.run(f())); print(multiprocessing.get_context("fork").Pool(2).map(abs, [-1, -2])); print(socket.getaddrinfo("localhost", 80, type=1))
pid = os.fork()
if not pid: os._exit(9)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])); os.abort()'"#,
    ),
    (
        "python3 zipapp",
        &[("python3", "python3")],
        "mkdir app; echo 'print(__name__)' >app/__main__.py; python3=/usr/bin/python3; $python3 -m zipapp app; $python3 app.pyz; $python3 -m venv --without-pip env && env/bin/python -c 'import sys; print(sys.prefix != sys.base_prefix)'",
    ),
    (
        "node",
        &[("node", "nodejs")],
        r#"exec node -e '
const fs = require("fs"), cp = require("child_process"), net = require("net"), { Worker } = require("worker_threads");
console.log(fs.readFileSync("tree/keys", "utf8"), cp.execSync("echo sub").toString(), cp.spawnSync("sh", ["-c", "exit 4"]).status);
new Worker("require(\"worker_threads\").parentPort.postMessage(1)", { eval: true }).on("message", m => console.log("worker", m));
const s = net.createServer(c => c.end("bye")).listen(0, "127.0.0.1", () => net.connect(s.address().port, "127.0.0.1").on("data", d => console.log(String(d))).on("close", () => s.close()));
require("dns").lookup("localhost", { family: 4 }, (e, a) => console.log(e, a)); fs.promises.readdir("tree").then(l => console.log(l.sort()));
process.on("exit", () => process.exitCode = 6)'"#,
    ),
    (
        "java",
        &[("java", "default-jre-headless"), ("javac", "default-jdk-headless")],
        r#"cat >H.java <<'J'
import java.io.*; import java.net.*; import java.nio.file.*;
public class H { public static void main(String[] a) throws Exception {
 System.out.println(Files.readAllLines(Path.of("tree/keys"))); Process p = new ProcessBuilder("sh", "-c", "echo sub; exit 3").start();
 System.out.println(new String(p.getInputStream().readAllBytes()) + p.waitFor());
 try (ServerSocket s = new ServerSocket(0, 1, InetAddress.getLoopbackAddress()); Socket c = new Socket(s.getInetAddress(), s.getLocalPort()); Socket d = s.accept()) { c.getOutputStream().write(65); System.out.println(d.getInputStream().read()); }
 Thread[] t = new Thread[8]; for (int i = 0; i < 8; i++) { t[i] = new Thread(() -> { try { Files.readString(Path.of("tree/numbers")); } catch (IOException e) { throw new UncheckedIOException(e); } }); t[i].start(); }
 for (Thread x : t) x.join(); System.out.println(InetAddress.getByName("localhost")); System.exit(5); } }
J
exec java -XX:+UseSerialGC -Xshare:auto H.java"#,
    ),
    (
        "ruby",
        &[("ruby", "ruby")],
        r#"exec ruby -rsocket -ropen3 -rtempfile -e 'puts File.read("tree/keys"), `echo sub`, Open3.capture2("sort", stdin_data: "b\na\n"); fork { exit! 7 }; Process.wait; p $?.exitstatus
s = TCPServer.new("127.0.0.1", 0); c = TCPSocket.new("127.0.0.1", s.addr[1]); d = s.accept; c.puts "hello"; puts d.gets; 8.times.map { Thread.new { File.size("tree/zeros") } }.each(&:join); p Dir.children("tree").sort; IO.popen("cat", "r+") { |i| i.write "x"; i.close_write; puts i.read }; abort "the end"'"#,
    ),
    (
        "php",
        &[("php", "php-cli")],
        r#"exec php -n -r 'echo file_get_contents("tree/keys"), shell_exec("echo sub"); $p = proc_open(["sh", "-c", "cat; exit 3"], [["pipe", "r"], ["pipe", "w"]], $io); fwrite($io[0], "in"); fclose($io[0]); echo stream_get_contents($io[1]), proc_close($p), "\n";
$s = stream_socket_server("tcp://127.0.0.1:0"); $c = stream_socket_client("tcp://" . stream_socket_get_name($s, false)); $d = stream_socket_accept($s); fwrite($c, "hi\n"); echo fgets($d); print_r(scandir("tree")); echo gethostbyname("localhost"), "\n"; exit(8);'"#,
    ),
    (
        "sqlite3",
        &[("sqlite3", "sqlite3")],
        "sqlite3 db 'pragma journal_mode=wal; create table t(a); with recursive n(i) as (select 1 union all select i+1 from n where i<20000) insert into t select i from n; select count(*), sum(a) from t; vacuum; pragma integrity_check'; sqlite3 db .dump | md5sum; sqlite3 db 'select * from absent'",
    ),
    (
        "curl",
        &[("curl", "curl"), ("python3", "python3")],
        "/usr/bin/python3 -m http.server --bind 127.0.0.1 39181 >log 2>&1 & server=$!; for i in 1 2 3 4 5 6 7 8 9; do curl -sf http://localhost:39181/tree/keys && break; sleep 0.2; done; curl -s -o got http://127.0.0.1:39181/tree/numbers; cmp got tree/numbers; curl -s http://127.0.0.1:39182/; echo $?; kill $server; wait $server 2>said; echo $?; rm said",
    ),
    (
        "wget",
        &[("wget", "wget"), ("python3", "python3")],
        "/usr/bin/python3 -m http.server --bind 127.0.0.1 39183 >log 2>&1 & server=$!; sleep 1; wget -q --tries=3 http://127.0.0.1:39183/tree/keys; cat keys; kill $server; wait $server 2>said; echo $?; rm said",
    ),
    (
        "socat",
        &[("socat", "socat")],
        "socat UNIX-LISTEN:s,fork EXEC:cat & server=$!; sleep 0.3; echo through | socat - UNIX-CONNECT:s; kill $server; wait $server 2>said; echo $?; rm said; echo pty | socat -t1 - EXEC:cat,pty,raw,echo=0",
    ),
    (
        "strace",
        &[("strace", "strace")],
        "strace -f -e trace=openat -e signal=none -o log cat tree/keys; grep -c tree/keys log; rm log",
    ),
    (
        "gdb",
        &[("gdb", "gdb")],
        "gdb -batch -nx -ex run -ex 'info inferiors' -ex quit --args /bin/echo traced 2>/dev/null | grep -v -i -e thread -e libthread -e warning",
    ),
];

const REPOSITORY: &str = r#"
export GIT_AUTHOR_DATE='2000-01-01T00:00:00Z' GIT_COMMITTER_DATE='2000-01-01T00:00:00Z'
git init -q -b main repo; cd repo; git config user.email a@b.c; git config user.name n; git config gc.auto 0; git config pack.threads 1
for i in $(seq 1 40); do mkdir -p d$((i % 5)); seq 1 $((i * 20)) >d$((i % 5))/$i; done; git add .; git commit -qm first; touch -d @1000000000 d*/*
"#;

const PROJECT: &str = r#"
for i in 1 2 3 4 5 6; do echo "int f$i(int n) { return n * $i; }" >f$i.c; done
cat >main.c <<'C'
#include <stdio.h>
int f1(int), f6(int); int main(void) { printf("%d\n", f1(2) + f6(7)); return f1(3); }
C
printf 'OBJECTS = f1.o f2.o f3.o f4.o f5.o f6.o main.o\nall: program check\nprogram: $(OBJECTS)\n\tgcc -o $@ $^\n%%.o: %%.c\n\tgcc -O2 -g -c -o $@ $<\ncheck: program\n\t./program || echo $$?\nclean:\n\trm -f *.o\n' >Makefile
"#;

const CRATE: &str = r#"
mkdir -p src; printf '[package]\nname = "small"\nversion = "0.1.0"\nedition = "2021"\n[workspace]\n' >Cargo.toml
echo 'fn main() { println!("{}", std::fs::read_dir(".").unwrap().count()); } #[test] fn t() { assert_eq!(4, 2 + 2) }' >src/main.rs
"#;

const SSHD: &str = r#"
mkdir -p .ssh /run/sshd; chmod 700 .ssh; ssh-keygen -q -t ed25519 -N '' -f key; ssh-keygen -q -t ed25519 -N '' -f host; cat key.pub >keys; chmod 755 .
printf 'Port 39184\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile %s/keys\nStrictModes no\nUsePAM no\nPidFile none\nSubsystem sftp internal-sftp\n' $PWD $PWD >config
"#;

const POSTGRES: &str = r#"
mkdir -m 777 data; bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1); chown postgres data; ln -s $bin bin
setpriv --reuid=postgres --regid=postgres --init-groups bin/initdb -D data -A trust -N >/dev/null
"#;

const NGINX: &str = r#"
mkdir -p www tmp; seq 1 5000 >www/numbers; echo hello >www/index.html; chmod -R a+rX .
cat >conf <<N
worker_processes 2; pid $PWD/pid; error_log $PWD/error.log warn; daemon off;
events { worker_connections 64; }
http { access_log $PWD/access.log; client_body_temp_path tmp/b; proxy_temp_path tmp/p; fastcgi_temp_path tmp/f; uwsgi_temp_path tmp/u; scgi_temp_path tmp/s;
 server { listen 127.0.0.1:39185; root $PWD/www; sendfile on; gzip on; location /again/ { proxy_pass http://127.0.0.1:39185/; } } }
N
"#;

/// Name, needs, script that prepares, script.
const LARGER: &[(&str, Needs, &str, &str)] = &[
    (
        "git",
        &[("git", "git")],
        REPOSITORY,
        r#"export GIT_AUTHOR_DATE='2000-01-02T00:00:00Z' GIT_COMMITTER_DATE='2000-01-02T00:00:00Z'; cd repo
git status -s; echo x >>d1/1; git diff --stat; git commit -qam second; git log --oneline --stat; git checkout -qb side HEAD~; echo y >>d2/2; git commit -qam third
git merge -q main -m merged; git rebase -q main; git log --graph --oneline; git stash list; git clone -q . ../clone; git -C ../clone fsck; git gc -q; git count-objects -v
git archive HEAD | tar t | wc -l; git blame d1/1 | tail -1; git grep -c 19 | tail -2; git worktree add -q ../tree side~ 2>&1; git checkout nothing; echo $?
# The index itself holds times and inodes.
git ls-files --stage | md5sum"#,
    ),
    (
        "make gcc",
        &[("make", "make"), ("gcc", "gcc")],
        PROJECT,
        // The order in which they finish is random, also in make's own output.
        "make -j3 -O 2>&1 | sort; make; make clean; exec make nothing",
    ),
    (
        "cmake g++",
        &[("cmake", "cmake"), ("g++", "g++"), ("make", "make")],
        "printf 'cmake_minimum_required(VERSION 3.0)\\nproject(p CXX)\\nadd_executable(p p.cpp)\\n' >CMakeLists.txt; echo '#include <iostream>\nint main() { std::cout << 1 << std::endl; }' >p.cpp",
        "cmake -S . -B build && make -C build && build/p",
    ),
    // Without the cache of rustc's answers, whose order is random, and the database of caches, which has
    // times in it.
    (
        "cargo build",
        &[("cargo", "cargo")],
        CRATE,
        "export CARGO_HOME=$PWD/home RUSTUP_HOME=$PWD/home CARGO_CACHE_RUSTC_INFO=0; cargo build --offline -q && target/debug/small; cargo test --offline -q; cargo build --offline --features nothing; echo $?; rm -f home/.global-cache",
    ),
    (
        "ssh",
        &[("ssh", "openssh-client"), ("/usr/sbin/sshd", "openssh-server")],
        SSHD,
        r#"/usr/sbin/sshd -D -e -f config 2>log & server=$!; options="-F none -i key -o StrictHostKeyChecking=no -o UserKnownHostsFile=known -o LogLevel=ERROR"; sleep 0.5
ssh $options -p 39184 127.0.0.1 'echo remote; exit 7'; echo $?; seq 1 5000 | ssh $options -p 39184 127.0.0.1 'md5sum'; ssh $options -tt -p 39184 127.0.0.1 'test -t 0 && echo terminal' </dev/null
scp -q $options -P 39184 config 127.0.0.1:$PWD/copy; cmp config copy; echo "get config got" | sftp -q -b - $options -P 39184 127.0.0.1:$PWD; cmp config got; kill $server; wait $server 2>said; echo $?; rm said; grep -c 'Accepted publickey' log; rm log"#,
    ),
    (
        "nginx",
        &[("nginx", "nginx-light"), ("curl", "curl")],
        NGINX,
        r#"nginx -p $PWD -e error.log -c $PWD/conf & server=$!; for i in 1 2 3 4 5 6 7 8 9; do curl -sf http://127.0.0.1:39185/ && break; sleep 0.2; done
for i in $(seq 1 30); do curl -sf http://127.0.0.1:39185/numbers; done | md5sum; curl -s --compressed http://127.0.0.1:39185/again/numbers | md5sum; curl -so /dev/null -w '%{http_code}\n' http://127.0.0.1:39185/absent
kill -HUP $server; sleep 0.5; curl -s http://127.0.0.1:39185/; kill -QUIT $server; wait $server; echo $?; cut -d' ' -f6- access.log | sort | uniq -c; cat error.log"#,
    ),
    (
        "redis",
        &[("redis-server", "redis-server"), ("redis-cli", "redis-tools")],
        "",
        r#"redis-server --port 0 --unixsocket $PWD/s --dir $PWD --save '' --appendonly yes --daemonize no >log & server=$!; r="redis-cli -s s"; for i in 1 2 3 4 5 6 7 8 9; do $r ping && break; sleep 0.2; done
$r set a 1; $r incr a; for i in $(seq 1 50); do echo "rpush l $i"; done | $r | tail -1; $r save; $r bgrewriteaof; sleep 0.5; $r eval 'return redis.call("llen", "l")' 0; redis-benchmark -s s -q -n 3000 -t set,get | wc -l >/dev/null
$r dbsize; $r shutdown; wait $server; echo $?; ls"#,
    ),
    (
        "postgres pgbench",
        &[("psql", "postgresql"), ("/usr/share/doc/postgresql-contrib", "postgresql-contrib")],
        POSTGRES,
        r#"as="setpriv --reuid=postgres --regid=postgres --init-groups"; $as bin/pg_ctl -D data -w -o "-k $PWD -c listen_addresses=" -l data/log start >/dev/null; export PGHOST=$PWD PGUSER=postgres PGDATABASE=postgres
psql -Atc 'create table t as select generate_series(1, 10000) n; select count(*), sum(n) from t; select 1/0'; bin/pgbench -q -i -s 1 2>/dev/null; bin/pgbench -c 4 -j 2 -t 50 2>/dev/null | grep -e processed -e failed
psql -Atc 'select count(*) from pgbench_history; vacuum; select pg_backend_pid() > 0'; pg_dump -t t | grep -v -e '^--' -e restrict | md5sum; $as bin/pg_ctl -D data -w -m fast stop; echo $?; grep -c -e FATAL -e PANIC data/log; rm -r data"#,
    ),
    (
        "chromium",
        &[("chromium", "chromium")],
        "echo '<html><body><p id=p></p><script>document.getElementById(\"p\").textContent = 6 * 7 + navigator.language</script></body></html>' >page.html",
        "chromium --headless --no-sandbox --disable-gpu --user-data-dir=$PWD/profile --dump-dom file://$PWD/page.html 2>/dev/null >dom; code=$?; rm -rf profile .config .cache .pki .local *.org.chromium* .org.chromium* Dconf; cat dom; exit $code",
    ),
    (
        "chromium sandboxed",
        &[("chromium", "chromium")],
        "echo '<p>plain</p>' >page.html; mkdir -m 777 own; chmod 777 .",
        "chmod 755 page.html; HOME=$PWD/own TMPDIR=$PWD/own setpriv --reuid=65534 --regid=65534 --clear-groups chromium --headless --disable-gpu --user-data-dir=$PWD/own/profile --dump-dom file://$PWD/page.html 2>/dev/null >dom; code=$?; rm -rf own; cat dom; exit $code",
    ),
    (
        "apt dpkg",
        &[("dpkg-deb", "dpkg"), ("apt-cache", "apt")],
        "mkdir -p p/DEBIAN p/usr; printf 'Package: small\\nVersion: 1\\nArchitecture: all\\nMaintainer: a <a@b.c>\\nDescription: x\\n' >p/DEBIAN/control; echo x >p/usr/x",
        "SOURCE_DATE_EPOCH=0 dpkg-deb -b p small.deb; dpkg-deb -x small.deb out; dpkg-deb -I small.deb; dpkg -l bash | tail -1; apt-cache policy bash; dpkg -S /bin/bash",
    ),
    (
        "busybox",
        &[("busybox", "busybox")],
        TREE,
        "busybox ls -l tree; busybox ash -c 'echo $0; busybox sort -r tree/keys | busybox head -1'; busybox tar cf - tree | busybox md5sum; busybox awk 'END {print NR}' tree/numbers",
    ),
];
