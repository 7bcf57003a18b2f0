#!/bin/sh
# Patches compose.yaml, shows the added lines, runs its service, and prints the files that it opened.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
glassbox=${GLASSBOX:-glassbox}
place=$(mktemp -d)
it() { ${COMPOSE:-docker compose} -p "example-$$" -f "$place/compose.yaml" "$@"; }
trap 'it down -v >/dev/null 2>&1 || true; rm -rf "$place"' EXIT

"$glassbox" patch compose ${GLASSBOX_IMAGE:+--image "$GLASSBOX_IMAGE"} -o "$place/compose.yaml" "$here/compose.yaml"
diff "$here/compose.yaml" "$place/compose.yaml" || true

# If the engine runs health checks, `up` does both steps at once.
it up -d glassbox >/dev/null
until it exec -T glassbox /opt/glassbox/glassbox health >/dev/null 2>&1; do sleep 0.1; done
it run --rm --no-deps -T app

it stop glassbox >/dev/null
it logs glassbox | sed -n 's/.*"event":"file.open".*"path":"\([^"]*\)".*/opened \1/p' | sort -u
