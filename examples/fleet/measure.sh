#!/bin/bash
# Measures the whole way on this machine: sensor, collector, broker, judge, and the judge's file. Prints events a
# second, bytes an event in the broker's files, and processor seconds. Without other load; takes a minute.
set -euo pipefail
glassbox=${GLASSBOX:-glassbox}
sensor=${GLASSBOX_LIB:-$(dirname "$(command -v "$glassbox")")/libglassbox.so}
files=${FILES:-100000}
place=$(mktemp -d)
pids=()
trap 'kill -9 "${pids[@]}" 2>/dev/null; wait 2>/dev/null; rm -rf "$place"' EXIT
cd "$place"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
nats-server -js -sd "$place/streams" -a 127.0.0.1 -p "$port" -l "$place/log" & pids+=($!)
broker=$!
until (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.05; done
url=nats://127.0.0.1:$port
export GLASSBOX_SOCKET=$place/socket
"$glassbox" collect -o "nats:$url,spool=$place/spool,spool-max=4GB" 2>collector.log & pids+=($!)
collector=$!
until [ -S "$GLASSBOX_SOCKET" ]; do
    kill -0 $collector 2>/dev/null || { cat collector.log >&2; exit 1; }
    sleep 0.05
done
"$glassbox" judge --from "$url" --durable measure -o jsonl:out 2>judge.log & pids+=($!)
judge=$!
# The judge takes its leases.
sleep 5
seconds() { awk '{ print ($14 + $15) / '"$(getconf CLK_TCK)"' }' "/proc/$1/stat"; }
begun=$(date +%s.%N)
LD_PRELOAD=$sensor bash -c 'for ((i = 0; i < '"$files"'; i++)); do : <"/none/$i"; done 2>/dev/null; true'
made=$(date +%s.%N)
until [ "$(wc -l <out)" -ge "$files" ]; do sleep 0.1; done
ended=$(date +%s.%N)
count=$(wc -l <out)
bytes=$(cat "$place"/streams/jetstream/*/streams/GLASSBOX_EVENTS/msgs/*.blk | wc -c)
awk -v n="$count" -v b="$begun" -v m="$made" -v e="$ended" -v bytes="$bytes" -v json="$(wc -c <out)" -v c="$(seconds $collector)" \
    -v s="$(seconds $broker)" -v j="$(seconds $judge)" 'BEGIN {
    printf "events: %d, made at %.0f a second, through the whole way at %.0f a second\n", n, n / (m - b), n / (e - b)
    printf "bytes an event: %.0f in the stream, of them %.0f JSON\n", bytes / n, json / n
    printf "processor, microseconds an event: collector %.1f, broker %.1f, judge %.1f\n", c / n * 1e6, s / n * 1e6, j / n * 1e6 }'
cat collector.log judge.log
