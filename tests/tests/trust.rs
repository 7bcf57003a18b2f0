//! A process gives its ring only to a collector of its own user or of root's, and a program that has more
//! rights than its starter heeds no variable. These tests run as root, and make namespaces.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;

use glassbox_tests::child::{self, Ending};
use glassbox_tests::events::{Events, Expect};
use glassbox_tests::victim::{Libc, compiled, programs};
use glassbox_tests::{glassbox, sensor};

/// A folder that every user may enter, with the pair.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::Builder::new().prefix("gbx-trust-").tempdir().unwrap());
        fs::set_permissions(place.0.path(), Permissions::from_mode(0o755)).unwrap();
        fs::copy(glassbox(), place.path("glassbox")).unwrap();
        fs::copy(sensor(), place.path("libglassbox.so")).unwrap();
        for uid in [0, 1000, 65534] {
            fs::create_dir(place.path(&format!("of{uid}"))).unwrap();
            chown(place.path(&format!("of{uid}")), Some(uid), Some(uid)).expect("these tests run as root");
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a script of bash in the folder, with [`LISTEN`] as a function.
    fn bash(&self, script: &str) -> Ending {
        let mut command = Command::new("/bin/bash");
        command.args(["-c", &format!("set -e\n{LISTEN}\n{script}")]).current_dir(self.0.path());
        command.env("HERE", self.0.path());
        child::run(command, b"")
    }

    fn events(&self, name: &str) -> Events {
        Events::read(&self.path(name), Expect::NothingLost)
    }
}

/// `listen UID NAME`: as UID, listens at NAME for a second, and says `got NAME` if a descriptor comes. The
/// shell goes on once it listens. `as UID COMMAND…`: runs a command as another user.
const LISTEN: &str = r#"
as() { setpriv --reuid "$1" --regid "$1" --clear-groups -- "${@:2}"; }
listen() {
    as "$1" /usr/bin/python3 -c '
import os, socket, sys
name = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.bind("\0" + name[1:] if name[0] == "@" else name)
if name[0] != "@": os.chmod(name, 0o777)
s.listen(5); s.settimeout(1.5)
print("ready", flush=True)
try:
    while True:
        c = s.accept()[0]; c.settimeout(1)
        try: fds = c.recvmsg(8192, 4096)[1]
        except OSError: continue
        if fds: print("got", name.removeprefix(os.environ["HERE"]), flush=True)
except OSError: pass
' "$2" >"$HERE/said.$1.${2//\//_}" &
    listeners="$listeners $!"
    for try in $(seq 500); do
        ! grep -q ready "$HERE/said.$1.${2//\//_}" || return 0
        sleep 0.02
    done
    return 99
}
heard() { wait $listeners; sort -u "$HERE"/said.* | grep -v ready || true; }
"#;

#[test]
fn a_listener_of_another_user_gets_no_ring() {
    let place = Place::new();
    let name = format!("@gbx-trust-{}", std::process::id());

    let ending = place.bash(&format!(
        "for uid in 1000 65534; do
             listen $uid {name}-$uid; listen $uid $HERE/of$uid/socket; listen $uid $HERE/of$uid/near
             for to in {name}-$uid $HERE/of$uid/socket $HERE/of$uid/near; do
                 GLASSBOX_SOCKET=$to LD_PRELOAD=$HERE/libglassbox.so cat /etc/hostname >/dev/null
                 for user in 1001 1002; do
                     GLASSBOX_SOCKET=$to LD_PRELOAD=$HERE/libglassbox.so as $user cat /etc/hostname >/dev/null
                 done
             done
         done
         heard"
    ));

    assert_eq!(("", 0), (ending.stdout.as_str(), ending.status.as_shell_code()), "{}", ending.stderr);
}

#[test]
fn a_listener_of_the_same_user_and_of_root_gets_the_ring() {
    let place = Place::new();
    let name = format!("@gbx-trust-own-{}", std::process::id());

    let ending = place.bash(&format!(
        "listen 0 {name}; listen 0 $HERE/of0/socket; listen 1000 $HERE/of1000/socket; listen 65534 $HERE/of65534/near
         chmod 755 $HERE/of0
         run() {{ as $1 env GLASSBOX_SOCKET=$2 LD_PRELOAD=$HERE/libglassbox.so cat /etc/hostname >/dev/null; }}
         run 65534 {name}; run 1000 $HERE/of0/socket; run 1000 $HERE/of1000/socket; run 65534 $HERE/of65534/near
         heard"
    ));

    let expected = format!("got /of0/socket\ngot /of1000/socket\ngot /of65534/near\ngot {name}\n");
    assert_eq!(expected, ending.stdout, "{}", ending.stderr);
}

#[test]
fn a_socket_on_a_mount_that_nobody_can_write_to_is_its_makers() {
    let place = Place::new();

    // A pod's volume: the collector's user writes to it, the programs see it read-only.
    let ending = place.bash(
        "mkdir volume app; chmod 777 volume
         listen 1000 $HERE/volume/socket
         unshare -m bash -c 'mount --bind volume app; mount -o remount,bind,ro app
             GLASSBOX_SOCKET=$HERE/app/socket LD_PRELOAD=$HERE/libglassbox.so cat /etc/hostname >/dev/null'
         heard",
    );

    assert_eq!("got /volume/socket\n", ending.stdout, "{}", ending.stderr);
}

#[test]
fn a_socket_file_that_a_mount_shows_read_only_is_its_makers() {
    let place = Place::new();

    let ending = place.bash(
        "listen 1000 $HERE/of1000/socket
         mkdir app; touch app/socket
         unshare -m bash -c 'mount --bind of1000/socket app/socket; mount -o remount,bind,ro app/socket
             GLASSBOX_SOCKET=$HERE/app/socket LD_PRELOAD=$HERE/libglassbox.so cat /etc/hostname >/dev/null'
         heard",
    );

    assert_eq!("got /of1000/socket\n", ending.stdout, "{}", ending.stderr);
}

#[test]
fn a_socket_on_a_writable_mount_or_below_a_read_only_root_is_nobodys_word() {
    let place = Place::new();

    // A service with ProtectSystem=strict: others go on writing to what it sees read-only.
    let ending = place.bash(
        "mkdir run; chmod 1777 run; as 1000 mkdir run/dead
         listen 1000 $HERE/run/dead/socket
         unshare -m bash -c 'mount --bind . .; mount -o remount,bind,ro $HERE
             GLASSBOX_SOCKET=$HERE/run/dead/socket LD_PRELOAD=$HERE/libglassbox.so cat /etc/hostname >/dev/null'
         mkdir volume app; chmod 777 volume
         listen 1000 $HERE/volume/socket
         unshare -m bash -c 'mount --bind volume app
             GLASSBOX_SOCKET=$HERE/app/socket LD_PRELOAD=$HERE/libglassbox.so cat /etc/hostname >/dev/null'
         heard",
    );

    assert_eq!("", ending.stdout, "{}", ending.stderr);
}

#[test]
fn programs_in_user_namespaces_are_seen_and_strangers_there_see_nothing() {
    let place = Place::new();
    let ways = [
        "unshare -Ur cat",
        "unshare -U cat",
        "unshare -U --map-user=5 cat",
        "as 1000 unshare -Ur cat",
        "as 1000 unshare -U --map-user=5 cat",
        "as 65534 unshare -Ur cat",
    ];

    for (index, way) in ways.iter().enumerate() {
        let output = format!("{index}.jsonl");
        let way = way.replace("as ", "./as ");
        let ending = place.bash(&format!(
            "printf '#!/bin/sh\\nu=$1; shift; exec setpriv --reuid $u --regid $u --clear-groups -- \"$@\"\\n' >as
             chmod 755 as; ./glassbox run -o jsonl:{output} -- {way} /etc/hostname >/dev/null"
        ));

        assert_eq!(0, ending.status.as_shell_code(), "{way}: {}", ending.stderr);
        assert_eq!(1, place.events(&output).opens("hostname").len(), "{way}");
    }

    // A stranger that listens at the name of a path, in the first namespace: it cannot prove anything.
    let ending = place.bash(
        "listen 65534 $HERE/of65534/socket
         for user in 0 1000; do
             as $user unshare -Ur env GLASSBOX_SOCKET=$HERE/of65534/socket LD_PRELOAD=$HERE/libglassbox.so \\
                 cat /etc/hostname >/dev/null
             as $user unshare -U env GLASSBOX_SOCKET=$HERE/of65534/socket LD_PRELOAD=$HERE/libglassbox.so \\
                 cat /etc/hostname >/dev/null
         done
         heard",
    );
    assert_eq!("", ending.stdout, "{}", ending.stderr);
}

/// Runs `gains_rights` as uid 1000 with rights by `command`, under `/etc/ld.so.preload`, with variables and
/// listeners of that user's choice. A collector of root's listens at the default name, and writes to
/// `events`.
fn with_rights(place: &Place, command: &str) -> Ending {
    let victim = compiled("gains_rights", Libc::Glibc);
    fs::copy(&victim.path, place.path("gains_rights")).unwrap();
    fs::copy(victim.path.with_file_name("libmark.so"), place.path("libmark.so")).unwrap();
    place.bash(&format!(
        "{command} gains_rights
         mkdir up wk; chown 1000 libmark.so
         mount --make-rprivate /; mount -t overlay overlay -o lowerdir=/etc,upperdir=up,workdir=wk /etc
         GLASSBOX_SOCKET=@glassbox ./glassbox collect -o jsonl:$HERE/events 2>collect.err & collector=$!
         until GLASSBOX_SOCKET=@glassbox ./glassbox health 2>/dev/null; do sleep 0.05; done
         listen 1000 @mine; listen 1000 $HERE/of1000/socket; listen 1000 $HERE/of1000/near
         echo $HERE/libglassbox.so >/etc/ld.so.preload
         for to in @mine $HERE/of1000/socket $HERE/of1000/near; do
             as 1000 env GLASSBOX_SOCKET=$to GLASSBOX_INLINE=$HERE/libmark.so GLASSBOX_RING_KIB=262144 ./gains_rights
         done
         as 1000 env GLASSBOX=off GLASSBOX_BARRED=seccomp AWS_LAMBDA_RUNTIME_API=x ./gains_rights
         rm /etc/ld.so.preload
         kill $collector; wait $collector || true
         heard"
    ))
}

#[test]
fn a_program_with_rights_heeds_no_variable_and_passes_none_on() {
    if std::env::var_os("GBX_IN_NAMESPACE").is_none() {
        // The default name belongs to the network namespace.
        let mut command = Command::new("unshare");
        command.args(["-m", "-n"]).arg(std::env::current_exe().unwrap()).env("GBX_IN_NAMESPACE", "1");
        command.args([
            "--exact",
            "a_program_with_rights_heeds_no_variable_and_passes_none_on",
            "--nocapture",
        ]);
        let ending = child::run(command, b"");
        assert_eq!(0, ending.status.as_shell_code(), "{}{}", ending.stdout, ending.stderr);
        return;
    }
    let kinds = [
        ("chown 0 gains_rights; chmod 4755", 0),
        ("chgrp 0 gains_rights; chmod 2755", 1000),
        ("setcap cap_dac_read_search+ep", 1000),
    ];
    for (command, euid) in kinds {
        let place = Place::new();

        let ending = with_rights(&place, command);

        let once = format!("secure 1 euid {euid}\nnext: euid {euid}\n");
        assert!(ending.stdout.starts_with(&once), "{command}: {}{}", ending.stdout, ending.stderr);
        assert!(!ending.stdout.contains("the library runs"), "{command}: {}", ending.stdout);
        assert!(!ending.stdout.contains("next: GLASSBOX"), "{command}: {}", ending.stdout);
        assert!(!ending.stdout.contains("got "), "{command}: {}", ending.stdout);
        let opens = place.events("events");
        let seen = opens.opens("hostname").iter().filter(|open| open.number("euid") == Some(euid)).count();
        assert!(seen >= 4, "{command}: root's collector saw {seen} opens of four programs");
        let _ = Command::new("umount").arg("/etc").status();
    }
}

#[test]
fn the_inline_engine_of_another_user_is_not_loaded() {
    let place = Place::new();
    let victim = compiled("gains_rights", Libc::Glibc);
    fs::copy(victim.path.with_file_name("libmark.so"), place.path("libmark.so")).unwrap();
    let run = "./glassbox run -o jsonl:events --inline $HERE/libmark.so -- true";

    let own = place.bash(run);
    let strangers = place.bash(&format!("chown 1000 libmark.so; {run}"));
    let open_to_all = place.bash(&format!("chown 0 libmark.so; chmod 666 libmark.so; {run}"));

    assert!(own.stdout.contains("the library runs as euid 0"), "{own:?}");
    assert_eq!(["", ""], [strangers.stdout, open_to_all.stdout].each_ref().map(String::as_str));
}

#[test]
fn a_sensor_that_others_may_change_is_not_loaded_as_root() {
    let place = Place::new();
    let run = |prepare: &str| place.bash(&format!("{prepare}; ./glassbox run -o jsonl:events -- true"));

    let strangers = run("chown 1000 libglassbox.so");
    let open_to_all = run("chown 0 libglassbox.so; chmod 666 libglassbox.so");
    let own = run("chmod 644 libglassbox.so");

    let statuses = [strangers, open_to_all, own].map(|ending| ending.status.as_shell_code());
    assert_eq!([66, 66, 0], statuses);
}

#[test]
fn a_sensor_that_not_everybody_can_load_is_copied_for_a_run_of_roots() {
    let place = Place::new();
    fs::create_dir(place.path("private")).unwrap();
    for file in ["glassbox", "libglassbox.so"] {
        fs::copy(place.path(file), place.path(&format!("private/{file}"))).unwrap();
    }
    fs::set_permissions(place.path("private"), Permissions::from_mode(0o700)).unwrap();

    let ending = place.bash(
        "mkdir temporary; export TMPDIR=$HERE/temporary
         private/glassbox run -o jsonl:$HERE/events -- setpriv --reuid 65534 --clear-groups sh -c '
             cat /etc/hostname >/dev/null; ls -A $TMPDIR; echo \"$LD_PRELOAD\"' >said
         ls -d $(dirname $(cat said)) 2>&1 | grep -c 'No such file'",
    );

    ending.assert_output(0, "1\n");
    let copy = fs::read_to_string(place.path("said")).unwrap();
    assert_eq!(1, copy.lines().count(), "TMPDIR shows {copy}");
    assert!(!copy.contains("private"), "{copy}");
    let events = place.events("events");
    let opened = events.only("cat's open", |event| event.is_file("hostname") && event.name() == "file.open");
    assert_eq!(Some(65534), opened.number("uid"));
}

#[test]
fn a_program_that_cannot_reach_the_sensor_is_not_asked_to_load_it() {
    let place = Place::new();

    let ending = place.bash(
        "mkdir -p jail/bin; cp /bin/sh /bin/true jail/bin
         for file in $(ldd /bin/sh /bin/true | grep -o '/[^ :]*\\.so[^ ]*'); do
             mkdir -p jail$(dirname $file); cp -L $file jail$file; done
         ./glassbox run -o jsonl:$HERE/events -- chroot jail /bin/sh -c '/bin/true; /bin/true; echo here'
         other=$(dirname $(ldd /bin/sh | grep -o '/[^ ]*libc[^ ]*'))/libm.so.6; cp -L $other jail$other
         ./glassbox run -o jsonl:/dev/null -- sh -c \"LD_PRELOAD=$other:\\$LD_PRELOAD exec chroot jail /bin/sh -c 'echo \\$LD_PRELOAD'\" >list
         grep -cx $other list",
    );

    ending.assert_output(0, "here\n1\n");
    assert_eq!("", ending.stderr, "{ending:?}");
    let events = place.events("events");
    let blind = events.only("the shell", |event| event.name() == "sensor.blind");
    assert_eq!((Some("out_of_reach"), "/bin/sh"), (blind.text("reason"), blind.path()));
}

#[test]
fn a_user_who_may_not_read_the_sensor_is_not_asked_to_load_it() {
    let place = Place::new();

    let ending = place.bash(
        "./glassbox run -o jsonl:$HERE/events -- sh -c '
             chmod 600 $LD_PRELOAD; chroot --userspec=65534:65534 / /bin/sh -c \"echo here\"'",
    );

    ending.assert_output(0, "here\n");
    assert_eq!("", ending.stderr, "{ending:?}");
    let events = place.events("events");
    let blind = events.only("the shell", |event| event.name() == "sensor.blind");
    assert_eq!(Some("out_of_reach"), blind.text("reason"));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_32_bit_program_is_not_asked_to_load_the_sensor() {
    const MANY: &str = "
import os, subprocess
subprocess.run(['./program'])
os.waitpid(os.posix_spawnp('program', ['program'], os.environ), 0)
opened = os.open('program', os.O_RDONLY)
if os.fork() == 0: os.execve(opened, ['program'], os.environ)
os.wait()";
    let place = Place::new();
    fs::copy(programs().join("foreign/loader.c"), place.0.path().join("loader.c")).unwrap();
    fs::write(place.0.path().join("many"), MANY).unwrap();

    let ending = place.bash(
        "gcc -m32 -O1 -nostdlib -static -fno-pic -no-pie -fno-stack-protector -fno-builtin -o loader loader.c
         echo 'void _start(void) {}' >program.c
         gcc -m32 -nostdlib -fPIE -pie -Wl,--dynamic-linker=$HERE/loader -o program program.c
         printf '#!%s\\n' $HERE/program >script; chmod 755 script
         export PATH=$HERE:$PATH
         ./glassbox run -o jsonl:$HERE/events -- sh -c './program; script; exec python3 many'
         ./glassbox run -o jsonl:$HERE/alone -- program",
    );

    ending.assert_output(0, &"here\n".repeat(6));
    assert_eq!("", ending.stderr, "{ending:?}");
    let blind = |file| {
        let events = place.events(file);
        let reasons =
            events.named("sensor.blind").map(|event| event.text("reason").unwrap_or_default().to_owned());
        reasons.collect::<Vec<_>>()
    };
    assert_eq!(["foreign_abi"; 5].as_slice(), blind("events"));
    assert_eq!(["foreign_abi"; 1].as_slice(), blind("alone"));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_32_bit_program_without_a_loader_passes_the_sensor_on() {
    let place = Place::new();
    fs::copy(programs().join("foreign/loader.c"), place.0.path().join("program.c")).unwrap();

    // The program says on stderr what it is to preload.
    let ending = place.bash(
        "make='gcc -m32 -O1 -nostdlib -fno-stack-protector -fno-builtin program.c'
         $make -static -fno-pic -no-pie -o fixed; $make -static-pie -fPIE -o movable
         for program in fixed movable; do
             ./glassbox run -o jsonl:/dev/null -- ./$program
             ./glassbox run -o jsonl:/dev/null -- sh -c ./$program
         done",
    );

    ending.assert_output(0, &"here\n".repeat(4));
    assert_eq!(4, ending.stderr.matches("libglassbox.so").count(), "{ending:?}");
}

#[test]
fn the_copy_of_a_sensor_goes_though_the_launcher_is_killed() {
    let place = Place::new();
    fs::set_permissions(place.0.path(), Permissions::from_mode(0o700)).unwrap();

    let ending = place.bash(
        "./glassbox run -o jsonl:$HERE/events -- sh -c 'dirname $LD_PRELOAD; kill -9 $PPID' >said || true
         for try in $(seq 500); do [ -e $(cat said) ] || exit 0; sleep 0.02; done; exit 1",
    );

    ending.assert_output(0, "");
    assert!(fs::read_to_string(place.path("said")).unwrap().contains("/glassbox-"));
}

#[test]
fn a_program_waits_a_moment_where_the_queue_of_connections_is_full() {
    let place = Place::new();
    fs::write(
        place.path("full.py"),
        "import os, socket, subprocess, time
name = os.environ['HERE'] + '/of0/socket'
def new():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.setblocking(False); return s
door, waiting = new(), []
door.bind(name); door.listen(0)
try:
    while True:
        waiting.append(new()); waiting[-1].connect(name)
except BlockingIOError: pass
env = dict(GLASSBOX_SOCKET=name, LD_PRELOAD=os.environ['HERE'] + '/libglassbox.so')
def starts(is_let_in):
    begun, got = time.monotonic(), 0
    p = subprocess.Popen(['/bin/true'], env=env)
    # connect(2), on x86_64 and aarch64
    while is_let_in and open('/proc/%d/syscall' % p.pid).read().split()[0] not in ('42', '203'): pass
    if is_let_in:
        door.accept()
    assert p.wait() == 0
    took = time.monotonic() - begun
    try:
        while is_let_in:
            got += len(door.accept()[0].recvmsg(8192, 4096)[1])
    except BlockingIOError: pass
    return got, took
got, took = starts(False)
print('without room:', got, took < 1)
got, took = starts(True)
print('with room:', got, took < 1)
",
    )
    .unwrap();

    let ending = place.bash("/usr/bin/python3 full.py");

    assert_eq!("without room: 0 True\nwith room: 1 True\n", ending.stdout, "{}", ending.stderr);
}
