#!/bin/sh
# Shows the lines that the patch adds to a manifest (default: pod.yaml); its own lines stay.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../pair.sh"
manifest=${1:-$here/pod.yaml}
image=registry.example/glassbox:0.1.0
patched=$(mktemp)
trap 'rm -f "$patched"' EXIT

showing_changes "$glassbox" patch k8s --image "$image" --diff "$manifest"
"$glassbox" patch k8s --image "$image" -o "$patched" "$manifest" 2>/dev/null
# Patching again changes nothing.
"$glassbox" patch k8s --check "$patched"
