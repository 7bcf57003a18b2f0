//! The programs that recall is measured with: each is a script with its arguments.
//!
//! In a script, `$PORT` is the port of a local HTTP server, `$FREE` a port for a server of its own, and the
//! arguments are the compiled victims that it asks for. The script runs in an empty directory of its own and
//! must succeed.

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use super::check::{Fields, compare};
use super::places::Place;
use super::trace::{read, strace};
use super::{Recalls, kept, recall, report};
use crate::artefacts::target;
use crate::child::{self, Status};
use crate::events::Events;
use crate::server::Server;
use crate::victim::{self, Libc};
use crate::{Collector, Scene};

/// One program, or several that belong together.
#[derive(Debug)]
pub struct Program {
    /// The name in the table.
    pub name: &'static str,
    /// The interpreter of the script: `sh`, `bash`, `python3`, `node`, `perl`.
    shell: &'static [&'static str],
    script: &'static str,
    /// The victims that the script runs.
    victims: fn() -> Vec<PathBuf>,
}

const fn program(name: &'static str, shell: &'static [&'static str], script: &'static str) -> Program {
    Program { name, shell, script, victims: Vec::new }
}

const SH: &[&str] = &["sh", "-c"];
/// Runs each of the victims, whatever its exit status.
const EACH: &str = r#"for victim; do mkdir -p each; (cd each; $victim > out 2>&1); rm -rf each; done; true"#;

/// Every program.
pub const PROGRAMS: &[Program] = &[
    program("bash", &["bash", "-c"], BASH),
    program("python3", &["/usr/bin/python3", "-c"], PYTHON3),
    program("node", &["node", "-e"], NODE),
    program("java", SH, JAVA),
    program("git", SH, GIT),
    program("curl", SH, CURL),
    program("perl", &["perl", "-e"], PERL),
    program("make", SH, MAKE),
    program("nginx", SH, NGINX),
    program("redis", SH, REDIS),
    program("postgres", SH, POSTGRES),
    program("sqlite3", SH, SQLITE3),
    program("tar", SH, TAR),
    program("find", SH, FIND),
    Program { name: "rust", shell: SH, script: EACH, victims: || vec![rust("rust_program")] },
    Program { name: "no-plt", shell: SH, script: EACH, victims: || of_c(Libc::GlibcWithoutPlt) },
    Program { name: "musl", shell: SH, script: EACH, victims: || of_c(Libc::Musl) },
];

/// The program of this name.
pub fn named(name: &str) -> Option<&'static Program> {
    PROGRAMS.iter().find(|program| program.name == name)
}

/// The C victims that together make every kind of call.
fn of_c(libc: Libc) -> Vec<PathBuf> {
    let names = ["open_family", "exec_family", "fork_variants", "sockets", "directories", "close_family"];
    names.iter().map(|name| victim::compiled(name, libc).path).collect()
}

/// Compiles a Rust victim as cargo would: it calls through the GOT alone, without a PLT.
fn rust(name: &str) -> PathBuf {
    let dir = target().join("victims/rust");
    fs::create_dir_all(&dir).expect("target/victims can be made");
    let (output, unfinished) = (dir.join(name), dir.join(format!("{name}.{}", std::process::id())));
    let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    command.args(["-O", "--edition", "2024", "-o"]).arg(&unfinished);
    command.arg(victim::programs().join(format!("{name}.rs")));
    let made = command.output().expect("rustc runs");
    assert!(made.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&made.stderr));
    fs::rename(&unfinished, &output).expect("target/victims can be written");
    output
}

impl Program {
    /// Its words and the variables that it needs, for a server at this port.
    pub(super) fn called(&self, port: u16) -> (Vec<OsString>, Vec<(&'static str, OsString)>) {
        let mut words: Vec<OsString> = self.shell.iter().map(OsString::from).collect();
        words.push(self.script.into());
        if self.shell == SH {
            words.push("sh".into());
        }
        words.extend((self.victims)().into_iter().map(OsString::from));
        // Its answer to questions about terminals, names and time zones must not depend on who runs the
        // tests.
        let variables = vec![
            ("TZ", "UTC".into()),
            ("GIT_CONFIG_NOSYSTEM", "1".into()),
            ("PORT", port.to_string().into()),
            ("FREE", free_port().to_string().into()),
        ];
        (words, variables)
    }

    /// Runs it under strace and the sensor at this place, and compares.
    ///
    /// `target/recall/NAME/` keeps the records of both, and a report that names each missed call; a place
    /// that is not the collector's has a folder of its own.
    ///
    /// # Errors
    /// The output of a program that did not succeed, or the promises that its events break.
    pub fn measure(&self, place: Place) -> Result<(Recalls, Fields), String> {
        // The scene is made for its directory and environment; the victim is not run.
        let scene = Scene::of("steady", &["0"]);
        scene.clean();
        let server = Server::start();
        let kept = kept(&place.folder(self.name));
        let (output, trace) = (kept.join("events.jsonl"), kept.join("strace"));
        fs::create_dir(&trace).expect("target/recall can be written");
        let socket = scene.beside("collect.sock");
        // strace shows every word as it is.
        let output_option = format!("jsonl:{}", output.display());
        let collector = Collector::start(&socket, &["--no-redact", "-o", &output_option]);
        let (words, variables) = self.called(server.port());
        let mut environment = scene.environment();
        environment.extend(variables);
        let prepared = place.prepare(&scene, &socket, &words, &environment);

        let preloaded = prepared.preloaded.iter().map(|(name, value)| (*name, value.as_path()));
        let traced = strace(&trace.join("t"), &preloaded.collect::<Vec<_>>());
        let mut command = scene.command(traced.get_program());
        command.args(traced.get_args()).args(&prepared.words).envs(environment);
        command.env("GLASSBOX_SOCKET", &socket);
        let ending = child::run(command, b"");

        let stopped = collector.stop();
        if ending.status != Status::Exited(0) || stopped.status != Status::Exited(0) {
            let (said, complained) = (ending.stdout, ending.stderr);
            return Err(format!("{}: {:?}\n{said}{complained}{}", self.name, ending.status, stopped.stderr));
        }
        let events = Events::checked(&output, place.expect())?;
        let trace = read(&trace.join("t"), self.script);
        let (recalls, pairs) = recall(&trace, &events);
        let fields = compare(&trace, &events, &pairs);
        let text = report(self.name, &recalls) + &fields.report();
        fs::write(kept.join("report.txt"), text).expect("target/recall can be written");
        Ok((recalls, fields))
    }
}

/// A loopback port that no process listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    listener.local_addr().expect("a bound socket has an address").port()
}

const BASH: &str = r#"
        mkdir deeper && cd deeper
        for i in 1 2 3; do echo line $i >> lines; done
        cat < lines | sort -r | tee sorted | wc -l > count
        found=$(grep 2 lines); echo "$found" > found
        cat <<END > here
$found
END
        ( cd /; ls etc > /dev/null )
        echo 'sourced=yes' > library.sh; . ./library.sh; read -r count < count; mapfile -t all < lines
        exec 7>seven; echo x >&7; exec 7>&-
        exec 8<>both; exec 9>&8; exec 8>&- 9>&-
        no-such-program 2>/dev/null
        ./not-there 2>/dev/null
        bash -c 'exec true'
        sh -c 'echo from sh > by-sh'
        env -i /bin/sh -c ': > by-an-empty-environment'
        (sleep 0.05; : > in-background) & wait
        echo * */* > globbed
        diff <(echo a) <(echo a)
        find . -name 'l*' -exec cat {} + > contents
        xargs -n1 -P2 basename < lines > names
        sed -i s/line/row/ lines; awk '{print $1}' lines > first; tar cf all.tar lines found; gzip -k lines; rm -f sorted
        exec 3<>/dev/tcp/127.0.0.1/$PORT; echo hello >&3; cat <&3 > answer
        (exec 4<>/dev/tcp/127.0.0.1/1) 2>/dev/null
        true"#;

const PYTHON3: &str = r#"
import ctypes, gzip, json, mmap, multiprocessing, os, pathlib, shutil, socket, sqlite3, subprocess, tempfile, threading
import urllib.request
port = int(os.environ["PORT"])
pathlib.Path("a").write_text("text"); open("b", "wb").write(b"x"); os.close(os.open("c", os.O_CREAT | os.O_RDWR))
shutil.copy("a", "copy"); shutil.copytree("/etc/ld.so.conf.d", "tree")
with tempfile.NamedTemporaryFile() as named, tempfile.TemporaryFile() as unnamed, tempfile.TemporaryDirectory(): pass
with gzip.open("z.gz", "wt") as packed: packed.write("text")
db = sqlite3.connect("data.sqlite"); db.execute("create table t (x)"); db.execute("insert into t values (1)"); db.commit()
list(os.scandir(".")); list(os.walk("tree")); json.dump({}, open("j.json", "w"))
mapped = open("a", "r+b"); mmap.mmap(mapped.fileno(), 0).close()
libc = ctypes.CDLL(None, use_errno=True); libc.close(libc.open(b"by-ctypes", os.O_CREAT | os.O_WRONLY, 0o600))
subprocess.run(["true"]); subprocess.run("cat a > by-shell; exit 3", shell=True)
subprocess.run(["cat"], stdin=open("a"), stdout=open("out", "w")); subprocess.run(["env", "-i", "true"])
subprocess.run(["true"], env={}); subprocess.run(["true"], close_fds=False, env={"A": "1"})
os.system("echo system > by-system"); os.popen("cat a").read(); os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
try: subprocess.run(["no-such-program"])
except FileNotFoundError: pass
child = os.fork()
if child == 0: os.execv("/bin/sh", ["sh", "-c", ": > by-fork-and-exec"])
os.waitpid(child, 0)
child = os.fork()
if child == 0: open("by-fork", "w").close(); os._exit(0)
os.waitpid(child, 0)
def work(): open("by-multiprocessing", "w").close()
one = multiprocessing.Process(target=work); one.start(); one.join()
threads = [threading.Thread(target=lambda n=n: open(f"thread{n}", "w").close()) for n in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
urllib.request.urlopen(f"http://127.0.0.1:{port}/").read(); urllib.request.urlopen(f"http://localhost:{port}/").read()
for address in [("127.0.0.1", 1)]:
    try: socket.create_connection(address)
    except OSError: pass
try: socket.socket(socket.AF_UNIX).connect("missing.sock")
except OSError: pass
waiting = socket.socket(); waiting.setblocking(False); waiting.connect_ex(("127.0.0.1", port)); waiting.close()
"#;

const NODE: &str = r#"
const fs = require("fs"), net = require("net"), http = require("http"), child = require("child_process");
const port = Number(process.env.PORT);
fs.writeFileSync("a", "text"); fs.readFileSync("a"); fs.appendFileSync("a", "more"); fs.copyFileSync("a", "copy");
fs.mkdirSync("d/e", { recursive: true }); fs.renameSync("copy", "d/renamed"); fs.symlinkSync("a", "link");
fs.chmodSync("a", 0o600); fs.truncateSync("a", 2); fs.linkSync("a", "hard"); fs.unlinkSync("hard");
fs.rmSync("d", { recursive: true }); fs.readdirSync("."); fs.mkdtempSync("temporary-");
try { fs.readFileSync("missing"); } catch {}
child.execFileSync("true"); child.execSync("cat a > by-shell; exit 0"); child.spawnSync("no-such-program");
child.execFileSync("true", [], { env: {} });
new (require("worker_threads").Worker)('require("fs").writeFileSync("by-worker", "x")', { eval: true });
const server = net.createServer((socket) => { socket.end("hello"); });
server.listen(0, "127.0.0.1", () => {
  net.connect(server.address().port, "127.0.0.1").on("data", () => {}).on("close", () => server.close());
});
http.get(`http://127.0.0.1:${port}/`, (answer) => answer.resume());
http.get(`http://localhost:${port}/`, (answer) => answer.resume()).on("error", () => {});
net.connect(1, "127.0.0.1").on("error", () => {});
fs.promises.writeFile("by-promise", "x").then(() => fs.promises.rm("by-promise"));
child.fork("-e", [], { execArgv: ["-e", "1"] });
"#;

const JAVA: &str = r#"
    java -version 2> version; java -Xshare:off -XX:+UseSerialGC --list-modules > modules
    keytool -genkeypair -alias a -keyalg EC -dname CN=a -keystore store -storepass secret 2>&1
    keytool -list -keystore store -storepass secret
    keytool -printcert -sslserver "127.0.0.1:$PORT"; keytool -printcert -sslserver 127.0.0.1:1
    true"#;

const GIT: &str = r#"
        set -e
        export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
        git init -q one; cd one
        for i in 1 2 3 4 5; do echo $i > file$i; done
        git add .; git commit -qm first; echo more >> file1; git status > /dev/null; git diff > /dev/null
        git commit -qam second; git checkout -q -b other; echo x > only-here; git add only-here; git commit -qm third
        git checkout -q -; git merge -q other; git log -p > /dev/null; git tag t; git stash list; git gc -q
        printf '#!/bin/sh\n: > by-a-hook\n' > .git/hooks/post-commit; chmod +x .git/hooks/post-commit
        git commit -q --allow-empty -m fourth
        cd ..; git clone -q one two; git clone -q "file://$PWD/one" three; git init -q --bare four
        cd one; git push -q ../four HEAD:refs/heads/main; git archive HEAD > /dev/null; git fsck > /dev/null 2>&1
        git ls-remote "http://127.0.0.1:$PORT/x" > /dev/null 2>&1 || true
        git ls-remote "git://127.0.0.1:1/x" > /dev/null 2>&1 || true"#;

const CURL: &str = r#"
        echo content > upload; echo 'silent' > config
        curl -s -o out "http://127.0.0.1:$PORT/"; curl -s "http://localhost:$PORT/a" "http://localhost:$PORT/b" > two
        curl -s -T upload "http://127.0.0.1:$PORT/"; curl -s -d @upload -c jar -D headers "http://127.0.0.1:$PORT/"
        curl -K config "http://127.0.0.1:$PORT/" > /dev/null; curl -s file:///etc/hostname > host
        curl -s "http://127.0.0.1:1/"; curl -s --unix-socket missing.sock http://x/; curl -s "http://[::1]:1/"
        curl -s -Z "http://127.0.0.1:$PORT/1" "http://127.0.0.1:$PORT/2" > parallel
        true"#;

const PERL: &str = r#"
use strict; use Fcntl; use File::Copy; use File::Path qw(make_path remove_tree); use File::Temp; use IO::Socket::INET; use POSIX ();
open(my $a, ">", "a") or die; print $a "text\n"; close $a; open($a, "+<", "a") or die; truncate($a, 2); close $a;
sysopen(my $b, "b", O_CREAT | O_RDWR) or die; close $b; copy("a", "c"); move("c", "d"); rename "d", "e"; link "e", "f";
symlink "e", "g"; chmod 0600, "e"; utime 1, 2, "e"; mkdir "h"; make_path("i/j"); remove_tree("i"); rmdir "h"; unlink "f";
opendir(my $dir, ".") or die; readdir $dir; closedir $dir; my ($temporary) = File::Temp->new; open(my $no, "<", "missing");
system "true"; system "echo x > by-shell"; my $out = `cat a`; open(my $pipe, "-|", "cat", "a"); <$pipe>; close $pipe;
my $child = fork; if (!$child) { exec "true" } waitpid $child, 0; $child = fork; if (!$child) { open(my $x, ">", "by-fork");
POSIX::_exit(0) } waitpid $child, 0; $child = fork; if (!$child) { sleep 60 } kill "TERM", $child; waitpid $child, 0;
my $socket = IO::Socket::INET->new("127.0.0.1:$ENV{PORT}"); print $socket "x\n"; <$socket>; close $socket;
IO::Socket::INET->new("127.0.0.1:1"); IO::Socket::INET->new("localhost:$ENV{PORT}"); do "./missing.pl"; eval { require Missing };
my $listener = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1"); exec "no-such-program"; exit 0;
"#;

const MAKE: &str = r##"
    set -e
    for part in one two three; do echo "#include \"all.h\"
int $part(void) { return sizeof(FILE); }" > $part.c; done
    printf '#include <stdio.h>\n#include <stdlib.h>\nint one(void), two(void), three(void);\n' > all.h
    printf '#include "all.h"\nint main(void) { printf("%%d\\n", one() + two() + three()); return 0; }\n' > main.c
    printf 'CFLAGS = -O1 -g\nall: main\nlibparts.a: one.o two.o\n\t$(AR) rcs $@ $^\nmain: main.o three.o libparts.a\n' > Makefile
    printf '\t$(CC) -o $@ $^\n%%.o: %%.c all.h\n\t$(CC) $(CFLAGS) -c -o $@ $<\nclean:\n\trm -f *.o *.a main\n' >> Makefile
    printf 'install: main\n\tmkdir -p root/bin && install -m 755 main root/bin/ && strip root/bin/main\n' >> Makefile
    make -s; ./main; touch one.c; make -s -j2; make -s install; gcc -flto -O2 -shared -fPIC -o all.so one.c two.c; make -s clean
    ! make -s no-such-target 2> errors"##;

const NGINX: &str = r#"
    set -e; PATH=$PATH:/usr/sbin
    mkdir -p logs root; echo page > root/index.html; chmod 755 . logs root
    cat > nginx.conf <<END
worker_processes 2; daemon on; pid nginx.pid; error_log logs/error.log;
events { worker_connections 64; }
http { access_log logs/access.log; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u;
scgi_temp_path s;
server { listen 127.0.0.1:$FREE; root $PWD/root; location /up { proxy_pass http://127.0.0.1:$PORT/; } } }
END
    nginx -p "$PWD" -e logs/error.log -t -c nginx.conf 2> tested; nginx -p "$PWD" -e logs/error.log -c nginx.conf
    for i in 1 2 3 4 5; do curl -s "http://127.0.0.1:$FREE/" > got; done
    curl -s "http://127.0.0.1:$FREE/missing" > got; curl -s "http://127.0.0.1:$FREE/up" > got; grep -q hello got
    nginx -p "$PWD" -e logs/error.log -c nginx.conf -s reopen; nginx -p "$PWD" -e logs/error.log -c nginx.conf -s reload
    curl -s "http://127.0.0.1:$FREE/" > got; grep -q page got; nginx -p "$PWD" -e logs/error.log -c nginx.conf -s quit
    while [ -e nginx.pid ]; do sleep 0.05; done"#;

const REDIS: &str = r#"
    set -e
    redis-server --port "$FREE" --bind 127.0.0.1 --dir "$PWD" --appendonly yes --logfile log --save "" > out &
    cli() { redis-cli -p "$FREE" "$@"; }
    until [ "$(cli ping 2> not-yet)" = PONG ]; do sleep 0.05; done
    cli set a 1; cli get a; cli bgsave; cli bgrewriteaof; cli config set appendonly no; cli save; cli client list
    redis-benchmark -p "$FREE" -n 200 -c 10 -q -t set,get; cli shutdown nosave; wait"#;

const POSTGRES: &str = r#"
    set -e
    for bin in /usr/lib/postgresql/*/bin; do PATH=$bin:$PATH; done
    # The server refuses to be root.
    as=; if [ "$(id -u)" = 0 ]; then as="setpriv --reuid=postgres --regid=postgres --clear-groups"; fi
    $as initdb -D open-to-all/data -A trust -U me --no-sync > initdb.out
    $as pg_ctl -D open-to-all/data -w -o "-k $PWD/open-to-all -h 127.0.0.1 -p $FREE -c fsync=off" -l open-to-all/log start > started
    psql() { command psql -X -q -h "$1" -p "$FREE" -U me -d postgres -c "$2" > queried; }
    psql 127.0.0.1 'create table t (x int); insert into t select generate_series(1, 1000); create index on t (x)'
    psql "$PWD/open-to-all" 'vacuum analyze t'; psql "$PWD/open-to-all" 'checkpoint'; psql localhost 'drop table t'
    $as pg_ctl -D open-to-all/data -w -m fast stop > stopped"#;

const SQLITE3: &str = r#"
    set -e
    sqlite3 one.db 'create table t (x); insert into t values (1), (2); create index i on t (x); select * from t' > selected
    sqlite3 one.db 'pragma journal_mode = wal; insert into t values (3); pragma wal_checkpoint; vacuum' > wal
    sqlite3 one.db '.output dumped' '.dump' '.output' '.shell true' '.backup two.db'; sqlite3 three.db < dumped
    printf '4\n5\n' > rows; sqlite3 three.db '.mode csv' '.import rows t' "attach 'two.db' as two" 'select count(*) from two.t' > joined
    sqlite3 :memory: 'create table big (x); with recursive n(i) as (select 1 union all select i + 1 from n where i < 999)
        insert into big select i from n; select sum(x) from big order by 1' > summed
    ! sqlite3 missing/x.db 'create table t (x)' 2> failed"#;

const TAR: &str = r#"
    set -e
    mkdir -p tree/a/b; for i in 1 2 3 4; do echo $i > tree/a/$i; done; ln -s a/1 tree/link; ln tree/a/2 tree/hard; mkfifo tree/fifo
    tar cf one.tar tree; tar tvf one.tar > listed; tar czf two.tar.gz tree; tar cjf three.tar.bz2 tree || true
    mkdir out; tar xpf one.tar -C out; tar xzf two.tar.gz -C out --overwrite; tar df one.tar; echo 5 > tree/a/5
    tar rf one.tar tree/a/5; tar uf one.tar tree; tar --delete -f one.tar tree/a/1; tar cf - tree | tar xf - -C out
    tar cf four.tar --remove-files tree; gzip one.tar; gunzip one.tar.gz; cp -a out copy; rm -rf out; mv copy moved"#;

const FIND: &str = r#"
    set -e
    for i in 1 2 3 4 5 6; do mkdir -p tree/$i; echo $i > tree/$i/file; done
    find tree -type f | xargs -n2 -P2 cat > together; find tree -name file -exec basename {} \; > names
    find tree -type f -print0 | xargs -0 sha256sum > sums; find tree -newer sums -execdir true {} +; find / -maxdepth 1 > roots
    find tree -type f -name file -delete; find tree -empty -type d -exec rmdir {} +; ! find missing 2> failed
    echo a b c | xargs -n1 sh -c 'echo "$0" >> each'; find . -user nobody; find . -printf '%u %t\n' > printed"#;
