#!/bin/sh
# Runs an OCI bundle under the sensor, and prints the files that it opened; exits as the container does.
set -eu
glassbox=${GLASSBOX:-glassbox}
bundle=${1:?usage: run.sh BUNDLE}
place=$(mktemp -d)
chmod 755 "$place"
export GLASSBOX_SOCKET="$place/socket"

"$glassbox" collect -o "jsonl:$place/events.jsonl" &
collector=$!
until "$glassbox" health 2>/dev/null; do sleep 0.05; done

status=0
"$glassbox" runc --root "$place/state" run -b "$bundle" "example-$$" || status=$?

kill "$collector"
wait "$collector"
sed -n 's/.*"event":"file.open".*"path":"\([^"]*\)".*/opened \1/p' "$place/events.jsonl" | sort -u
rm -rf "$place"
exit "$status"
