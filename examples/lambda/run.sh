#!/bin/sh
# Makes the Lambda layer (default: in a folder of its own), prints the commands that publish it and switch it on, plays a
# sandbox with it on this machine, and prints what a function did in each invocation.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../pair.sh"
for program in unzip curl python3; do needs "$program"; done
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
layer=${1:-$place/layer.zip}

make_layer() { "$glassbox" lambda-layer ${PAIR:+--pair "$PAIR"} "$@" -o "$layer" 2>"$place/said"; }
if ! make_layer ${OPTIONS:-}; then
    [ -z "${PAIR:-}" ] && grep -q -e --unportable "$place/said" || { cat "$place/said" >&2; exit 1; }
    echo "this build runs on this machine only; take that of 'cargo xtask dist' for AWS" >&2
    make_layer --unportable || { cat "$place/said" >&2; exit 1; }
fi
unzip -l "$layer"
# The machine is in Lambda's words, at the end of the line.
said=$(cat "$place/said")
cat <<END
aws lambda publish-layer-version --layer-name glassbox --zip-file "fileb://$layer" \\
    --compatible-architectures ${said##* }
aws lambda update-function-configuration --function-name NAME --layers ARN-OF-THE-LAYER \\
    --environment 'Variables={LD_PRELOAD=/opt/lib/libglassbox.so}'
END
[ "${said##* }" = "$(uname -m | sed s/aarch64/arm64/)" ] || exit 0

# The sandbox has a network, processes and an /opt of its own.
unshare="unshare --mount --net --pid --fork --kill-child --mount-proc"
[ "$(id -u)" = 0 ] || unshare="$unshare --map-root-user"
$unshare true 2>/dev/null || give_up "cannot play a sandbox here: '$unshare' is not allowed; try as root"
mkdir "$place/opt"
unzip -q "$layer" -d "$place/opt"
cat >"$place/scenario.json" <<END
{"task": "$place", "runtime": ["$here/bootstrap"], "handler": "app", "telemetry": true,
 "environment": {"LD_PRELOAD": "/opt/lib/libglassbox.so", "TMPDIR": "$place"},
 "steps": [{"invoke": "first"}, {"invoke": "second"}]}
END
$unshare sh -c 'mount --make-rprivate / && mount --bind "$1" /opt && shift && exec "$@"' sh "$place/opt" \
    python3 "$top/tests/programs/lambda_sandbox.py" "$place/scenario.json" >"$place/played.json"
python3 - "$place/played.json" <<'PYTHON'
import json, sys
played = json.load(open(sys.argv[1]))
lines = "".join(said["stdout"] for said in played["said"] if said["who"] == "glassbox").splitlines()
events = [json.loads(line) for line in lines]
for reply in played["replies"]:
    print(f"request {reply['request_id']}: {reply['status']}, answered {reply['answer']!r}")
    for event in events:
        if event.get("request_id") == reply["request_id"] and "error" not in event:
            if event["event"] in ("process.start", "file.open"):
                print("  started" if event["event"] == "process.start" else "  opened", event["path"])
sys.exit(not events or any(reply["status"] != "success" for reply in played["replies"]))
PYTHON
