#!/bin/sh
# Patches compose.yaml, shows what was added, runs its service, and prints what that opened.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
glassbox=${GLASSBOX:-glassbox}
place=$(mktemp -d)
it() { ${COMPOSE:-docker compose} -p "example-$$" -f "$place/compose.yaml" "$@"; }
trap 'it down -v >/dev/null 2>&1 || true; rm -rf "$place"' EXIT

"$glassbox" patch compose ${GLASSBOX_IMAGE:+--image "$GLASSBOX_IMAGE"} -o "$place/compose.yaml" "$here/compose.yaml"
diff "$here/compose.yaml" "$place/compose.yaml" || true

# `up` does both steps at once where the engine runs health checks.
it up -d glassbox >/dev/null
until it exec -T glassbox /opt/glassbox/glassbox health >/dev/null 2>&1; do sleep 0.1; done
it run --rm --no-deps -T app

it stop glassbox >/dev/null
it logs glassbox | sed -n 's/.*"event":"file.open".*"path":"\([^"]*\)".*/opened \1/p' | sort -u
