//! What is reported, measured against what `strace -f` saw of the same run: every exec, image and connect, and at least
//! 99 of 100 opens that the application made. The rule for what is set aside is in tests/src/strace.rs.
//!
//! The figures go to standard output (past the test harness's capture) and to target/recall/.

use std::fs;
use std::io::Write;

use glassbox_tests::child::{self, Status};
use glassbox_tests::events::{Events, Expect};
use glassbox_tests::server::Server;
use glassbox_tests::strace::{Kind, calls, kept, recall, report, strace};
use glassbox_tests::{Collector, Scene};

/// Runs `arguments` under strace and the sensor, and holds what was reported against what was done.
fn compare(program: &str, arguments: &[&str]) {
    // The victim is only the scene's excuse: its directory and environment are what is wanted.
    let scene = Scene::of("steady", &["0"]);
    scene.clean();
    let (events, trace, socket) =
        (scene.beside("events.jsonl"), scene.beside("trace"), scene.beside("collect.sock"));
    fs::create_dir(&trace).unwrap();
    let collector = Collector::start(&socket, &["-o", &format!("jsonl:{}", events.display())]);
    let traced = strace(&trace.join("t"), &socket);
    let mut command = scene.command(traced.get_program());
    command.args(traced.get_args()).args(arguments);
    // Its answer to questions about terminals, names and time zones must not depend on who runs the tests.
    command.env("TZ", "UTC").env("GIT_CONFIG_NOSYSTEM", "1");

    let ending = child::run(command, b"");

    assert_eq!(Status::Exited(0), ending.status, "{}{}", ending.stdout, ending.stderr);
    let stopped = collector.stop();
    assert_eq!(Status::Exited(0), stopped.status, "{}", stopped.stderr);
    let events = Events::read(&events, Expect::NothingLost);
    let recalls = recall(&calls(&trace.join("t")), &events);
    let text = report(program, &recalls);
    fs::write(kept(program), &text).unwrap();
    writeln!(std::io::stdout().lock(), "{text}").unwrap();
    let least = |kind| if kind == Kind::Open { 99.0 } else { 100.0 };
    let short: Vec<Kind> = recalls
        .iter()
        .filter(|(kind, recall)| recall.percent() < least(**kind))
        .map(|(kind, _)| *kind)
        .collect();
    assert!(short.is_empty(), "too few of {short:?} were reported:\n{text}");
    // A comparison in which nothing happened proves nothing.
    for kind in [Kind::Open, Kind::Image] {
        assert!(recalls.get(&kind).is_some_and(|recall| recall.made > 0), "no {kind:?} at all:\n{text}");
    }
}

#[test]
fn bash_is_reported_as_strace_saw_it() {
    let server = Server::start();
    let port = server.port();
    let script = format!(
        r#"
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
        find . -name 'l*' -exec cat {{}} + > contents
        xargs -n1 -P2 basename < lines > names
        sed -i s/line/row/ lines; awk '{{print $1}}' lines > first; tar cf all.tar lines found; gzip -k lines; rm -f sorted
        exec 3<>/dev/tcp/127.0.0.1/{port}; echo hello >&3; cat <&3 > answer
        (exec 4<>/dev/tcp/127.0.0.1/1) 2>/dev/null
        true"#
    );

    compare("bash", &["bash", "-c", &script]);
}

#[test]
fn python3_is_reported_as_strace_saw_it() {
    let server = Server::start();
    let port = server.port();
    let script = format!(
        r#"
import ctypes, gzip, json, mmap, multiprocessing, os, pathlib, shutil, socket, sqlite3, subprocess, tempfile, threading
import urllib.request
pathlib.Path("a").write_text("text"); open("b", "wb").write(b"x"); os.close(os.open("c", os.O_CREAT | os.O_RDWR))
shutil.copy("a", "copy"); shutil.copytree("/etc/ld.so.conf.d", "tree")
with tempfile.NamedTemporaryFile() as named, tempfile.TemporaryFile() as unnamed, tempfile.TemporaryDirectory(): pass
with gzip.open("z.gz", "wt") as packed: packed.write("text")
db = sqlite3.connect("data.sqlite"); db.execute("create table t (x)"); db.execute("insert into t values (1)"); db.commit()
list(os.scandir(".")); list(os.walk("tree")); json.dump({{}}, open("j.json", "w"))
mapped = open("a", "r+b"); mmap.mmap(mapped.fileno(), 0).close()
libc = ctypes.CDLL(None, use_errno=True); libc.close(libc.open(b"by-ctypes", os.O_CREAT | os.O_WRONLY, 0o600))
subprocess.run(["true"]); subprocess.run("cat a > by-shell; exit 3", shell=True)
subprocess.run(["cat"], stdin=open("a"), stdout=open("out", "w")); subprocess.run(["env", "-i", "true"])
subprocess.run(["true"], env={{}}); subprocess.run(["true"], close_fds=False, env={{"A": "1"}})
os.system("echo system > by-system"); os.popen("cat a").read(); os.waitpid(os.posix_spawn("/bin/true", ["true"], {{}}), 0)
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
threads = [threading.Thread(target=lambda n=n: open(f"thread{{n}}", "w").close()) for n in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
urllib.request.urlopen("http://127.0.0.1:{port}/").read(); urllib.request.urlopen("http://localhost:{port}/").read()
for address in [("127.0.0.1", 1)]:
    try: socket.create_connection(address)
    except OSError: pass
try: socket.socket(socket.AF_UNIX).connect("missing.sock")
except OSError: pass
waiting = socket.socket(); waiting.setblocking(False); waiting.connect_ex(("127.0.0.1", {port})); waiting.close()
"#
    );

    compare("python3", &["/usr/bin/python3", "-c", &script]);
}

#[test]
fn git_is_reported_as_strace_saw_it() {
    let server = Server::start();
    let port = server.port();
    let script = format!(
        r#"
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
        git ls-remote "http://127.0.0.1:{port}/x" > /dev/null 2>&1 || true
        git ls-remote "git://127.0.0.1:1/x" > /dev/null 2>&1 || true"#
    );

    compare("git", &["sh", "-c", &script]);
}

#[test]
fn curl_is_reported_as_strace_saw_it() {
    let server = Server::start();
    let port = server.port();
    let script = format!(
        r#"
        echo content > upload; echo 'silent' > config
        curl -s -o out "http://127.0.0.1:{port}/"; curl -s "http://localhost:{port}/a" "http://localhost:{port}/b" > two
        curl -s -T upload "http://127.0.0.1:{port}/"; curl -s -d @upload -c jar -D headers "http://127.0.0.1:{port}/"
        curl -K config "http://127.0.0.1:{port}/" > /dev/null; curl -s file:///etc/hostname > host
        curl -s "http://127.0.0.1:1/"; curl -s --unix-socket missing.sock http://x/; curl -s "http://[::1]:1/"
        curl -s -Z "http://127.0.0.1:{port}/1" "http://127.0.0.1:{port}/2" > parallel
        true"#
    );

    compare("curl", &["sh", "-c", &script]);
}
