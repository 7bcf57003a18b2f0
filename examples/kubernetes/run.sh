#!/bin/sh
# Shows the lines that the patch adds to a manifest (default: pod.yaml); its own lines stay.
set -eu
glassbox=${GLASSBOX:-glassbox}
manifest=${1:-$(dirname "$0")/pod.yaml}
patched=$(mktemp)
trap 'rm -f "$patched"' EXIT

"$glassbox" patch k8s --image registry.example/glassbox:0.1.0 -o "$patched" "$manifest"
# Patching again changes nothing.
"$glassbox" patch k8s --check "$patched"
diff -u "$manifest" "$patched" || test $? = 1
