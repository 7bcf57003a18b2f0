#!/bin/sh
# Runs CMD with the sensor preloaded, and prints the programs that it started and the files that it opened; exits as CMD
# does. Without CMD: a pipeline.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../pair.sh"
[ $# -gt 0 ] || set -- sh -c 'sort /etc/passwd | head -n 1 >/dev/null'
place=$(mktemp -d)
export GLASSBOX_SOCKET="$place/socket"

"$glassbox" collect -o "jsonl:$place/events.jsonl" &
collector=$!
trap 'kill "$collector" 2>/dev/null || true; rm -rf "$place"' EXIT
until "$glassbox" health 2>/dev/null; do sleep 0.05; done

status=0
LD_PRELOAD="${LD_PRELOAD:+$LD_PRELOAD:}$sensor" "$@" || status=$?

kill "$collector"
wait "$collector"
deeds <"$place/events.jsonl"
exit "$status"
