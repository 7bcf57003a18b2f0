#!/bin/bash
# A fleet on this machine: 3 collectors, 1 broker (NATS), 2 judges, 1 ClickHouse. The broker and a judge are killed
# and started again in the middle. Prints the ledger of what happened, asks ClickHouse the questions of
# questions.sql, and exits with 0 if every event of the sensors is there once.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../pair.sh"
for program in nats-server clickhouse-server curl python3; do needs "$program"; done
if "$glassbox" judge --from x --durable x 2>&1 | grep -q 'no client for NATS'; then
    [ -z "${GLASSBOX:-}" ] && command -v cargo >/dev/null ||
        give_up "'$glassbox' has no client for NATS; make one that has: cargo build --release -p glassbox --features nats"
    echo "building a glassbox that has a client for NATS, once (cargo build --profile demo)"
    (cd "$top" && cargo build --quiet --locked --profile demo -p glassbox --features nats)
    glassbox=${CARGO_TARGET_DIR:-$top/target}/demo/glassbox
fi
rounds=${ROUNDS:-4}
place=$(mktemp -d)
pids=()
clean_up() {
    kill -9 "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$place"
}
trap clean_up EXIT
cd "$place"

read -r nats http tcp between < <(python3 -c '
import socket
sockets = [socket.socket() for _ in range(4)]
for s in sockets: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))')
broker=nats://127.0.0.1:$nats

start_broker() {
    nats-server -js -sd "$place/streams" -a 127.0.0.1 -p "$nats" -l "$place/broker.log" &
    broker_pid=$!
    pids+=("$broker_pid")
    until (: <"/dev/tcp/127.0.0.1/$nats") 2>/dev/null; do sleep 0.05; done
}

start_clickhouse() {
    cat >config.xml <<XML
<?xml version="1.0"?><yandex><logger><level>error</level><console>1</console></logger>
<http_port>$http</http_port><tcp_port>$tcp</tcp_port><interserver_http_port>$between</interserver_http_port>
<listen_host>127.0.0.1</listen_host><path>$place/data/</path><tmp_path>$place/tmp/</tmp_path>
<mark_cache_size>100000000</mark_cache_size><users_config>users.xml</users_config>
<default_profile>default</default_profile><default_database>default</default_database></yandex>
XML
    cat >users.xml <<XML
<?xml version="1.0"?><yandex><profiles><default/></profiles><users><default><password></password>
<networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default></users>
<quotas><default/></quotas></yandex>
XML
    clickhouse-server --config-file="$place/config.xml" >clickhouse.log 2>&1 &
    pids+=($!)
    until (: <"/dev/tcp/127.0.0.1/$http") 2>/dev/null; do sleep 0.1; done
}

ask() { curl -sS --fail-with-body "http://127.0.0.1:$http/" --data-binary "$1"; }

start_judge() {
    "$glassbox" judge --from "$broker" --durable demo -o "falco:alerts-$1.json" \
        -o "clickhouse:http://127.0.0.1:$http/?table=seen" 2>>"judge-$1.log" &
    judge_pids[$1]=$!
    pids+=($!)
}

start_collector() {
    # A name of its own where that is allowed: each is a machine of the fleet.
    GLASSBOX_SOCKET=$place/socket-$1 "${unshare[@]}" sh -c "hostname node-$1 2>/dev/null; exec \"\$@\"" - \
        "$glassbox" collect -o "jsonl:$place/node-$1${2:-}.jsonl" \
        -o "nats:$broker,cluster=demo,spool=$place/spool-$1" 2>>"collector-$1.log" &
    collector_pids[$1]=$!
    pids+=($!)
    until GLASSBOX_SOCKET=$place/socket-$1 "$glassbox" health 2>/dev/null; do sleep 0.05; done
}

work() {
    LD_PRELOAD=$sensor GLASSBOX_SOCKET=$place/socket-$1 bash -c '
        for round in $(seq '"$rounds"'); do
            cat /etc/hostname /etc/shadow >/dev/null 2>&1
            echo $round >'"$place/out-$1"'
            chmod 700 '"$place/out-$1"'; rm '"$place/out-$1"'
            ls /nonexistent 2>/dev/null
        done
        python3 -c "
import socket, subprocess
try: socket.create_connection((\"127.0.0.1\", 9))
except OSError: pass
subprocess.run([\"sh\", \"-c\", \"id; uname -a\"], stdout=subprocess.DEVNULL)"
        curl -s http://127.0.0.1:9/ || true
        cp /bin/true '"$place/dropped-$1"'; '"$place/dropped-$1"'; rm '"$place/dropped-$1"'
    '
}
work_everywhere() {
    local workers=() node
    for node in 1 2 3; do work "$node" & workers+=($!); done
    wait "${workers[@]}"
}

unshare=(unshare --uts)
"${unshare[@]}" true 2>/dev/null || unshare=(env)
declare -A judge_pids collector_pids
start_broker
start_clickhouse
for judge in 1 2; do start_judge "$judge"; done
for node in 1 2 3; do start_collector "$node"; done

work_everywhere
until [ "$(ask 'SELECT count() FROM seen' 2>/dev/null || echo 0)" -gt 0 ]; do sleep 0.2; done
work_everywhere &
working=$!
sleep 0.5
kill -9 "$broker_pid" "${judge_pids[1]}"
echo "the broker and judge 1 were killed after $(ask 'SELECT count() FROM seen') rows"
work_everywhere
wait "$working"
start_broker
start_judge 1
work_everywhere
stop_collectors() {
    local node
    for node in 1 2 3; do kill "${collector_pids[$node]}"; done
    for node in 1 2 3; do wait "${collector_pids[$node]}"; done
}
stop_collectors
# What they had no time for waits in their spools: the next ones deliver it.
for node in 1 2 3; do start_collector "$node" -again; done
until [ -z "$(find spool-? -name '*.spool')" ]; do sleep 0.2; done
stop_collectors

expected=$(cat node-*.jsonl | wc -l)
for _ in $(seq 450); do
    [ "$(ask 'SELECT count() FROM seen FINAL')" -ge "$expected" ] && break
    sleep 0.2
done
for judge in 1 2; do kill "${judge_pids[$judge]}"; done
for judge in 1 2; do wait "${judge_pids[$judge]}"; done

[ -z "${LOGS:-}" ] || tail -n 20 ./*.log
ask 'SELECT json FROM seen FINAL FORMAT TSVRaw' >rows.json
ask 'SELECT count() FROM seen' >delivered
python3 - <<'PYTHON'
import collections, glob, json, sys
made = collections.Counter()
lost = 0
for name in glob.glob("node-*.jsonl"):
    for line in open(name):
        made[json.dumps(json.loads(line), sort_keys=True)] += 1
rows, ids = collections.Counter(), collections.Counter()
for line in open("rows.json"):
    event = json.loads(line)
    ids[event.pop("id")] += 1
    lost += event.get("count", 0) if event["event"] == "sensor.loss" else 0
    rows[json.dumps(event, sort_keys=True)] += 1
missing, strange = sum((made - rows).values()), sum((rows - made).values())
delivered = int(open("delivered").read())
print(f"events of the sensors and collectors: {sum(made.values())}")
print(f"rows of ClickHouse by id: {len(ids)}, of them more than once: {sum(n > 1 for n in ids.values())}")
print(f"rows before they were merged: {delivered}")
print(f"not there: {missing}, not known to the sensors: {strange}, reported as lost: {lost}")
sys.exit(missing > lost or any(n > 1 for n in ids.values()) or strange > 0)
PYTHON

# Questions end with a semicolon; the comment before each says what is asked.
number=0
while IFS= read -r -d ';' question; do
    [ -n "$(printf %s "$question" | tr -d '[:space:]')" ] || continue
    number=$((number + 1))
    title=$(printf %s "$question" | sed -n 's/^-- //p' | head -1)
    statement=$(printf %s "$question" | sed '/^--/d')
    answer=$(ask "$statement") || { echo "question $number fails: $answer"; exit 1; }
    echo "question $number: $title ($(printf %s "$answer" | grep -c '' || true) rows)"
    [ -z "${SHOW:-}" ] || printf '%s\n' "$answer"
done <"$here/questions.sql"
