#!/bin/sh
# Runs CMD with the sensor preloaded, and prints the files that it opened; exits as CMD does.
set -eu
glassbox=${GLASSBOX:-glassbox}
sensor=${GLASSBOX_LIB:?say where libglassbox.so is}
place=$(mktemp -d)
export GLASSBOX_SOCKET="$place/socket"

"$glassbox" collect -o "jsonl:$place/events.jsonl" &
collector=$!
until "$glassbox" health 2>/dev/null; do sleep 0.05; done

status=0
LD_PRELOAD="${LD_PRELOAD:+$LD_PRELOAD:}$sensor" "$@" || status=$?

kill "$collector"
wait "$collector"
sed -n 's/.*"event":"file.open".*"path":"\([^"]*\)".*/opened \1/p' "$place/events.jsonl" | sort -u
rm -rf "$place"
exit "$status"
