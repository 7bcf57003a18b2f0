#!/bin/sh
# Runs an OCI bundle under the sensor, and prints the programs that it started and the files that it opened; exits as the
# container does. Without BUNDLE: one that is made of this machine's shell and cat.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../pair.sh"
needs runc
place=$(mktemp -d)
chmod 755 "$place"
export GLASSBOX_SOCKET="$place/socket"

if [ $# -gt 0 ]; then
    bundle=$1
else
    bundle=$place/bundle
    for folder in etc proc dev sys tmp; do mkdir -p "$bundle/rootfs/$folder"; done
    echo hello from the container >"$bundle/rootfs/etc/motd"
    for program in /bin/sh /bin/cat; do put "$program" "$bundle/rootfs"; done
    if [ "$(id -u)" = 0 ]; then runc spec -b "$bundle"; else runc spec --rootless -b "$bundle"; fi
    sed -i 's|"terminal": true|"terminal": false|; s|^\([[:space:]]*\)"sh"$|\1"/bin/sh", "-c", "cat /etc/motd"|' \
        "$bundle/config.json"
fi

"$glassbox" collect -o "jsonl:$place/events.jsonl" &
collector=$!
trap 'kill "$collector" 2>/dev/null || true; rm -rf "$place"' EXIT
until "$glassbox" health 2>/dev/null; do sleep 0.05; done

status=0
"$glassbox" runc --root "$place/state" run -b "$bundle" "example-$$" || status=$?

kill "$collector"
wait "$collector"
deeds <"$place/events.jsonl"
exit "$status"
