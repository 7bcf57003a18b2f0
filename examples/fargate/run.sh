#!/bin/sh
# Shows the changes that put the sensor into a task definition (default: before.json).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../pair.sh"
task=${1:-$here/before.json}
image=${IMAGE:-111122223333.dkr.ecr.eu-west-1.amazonaws.com/glassbox:0.1.0}
patched=$(mktemp)
trap 'rm -f "$patched"' EXIT

showing_changes "$glassbox" patch ecs --image "$image" --diff "$task"
"$glassbox" patch ecs --image "$image" -o "$patched" "$task" 2>/dev/null
# Patching again changes nothing.
"$glassbox" patch ecs --check "$patched"
