#!/bin/sh
# Patches compose.yaml, shows the added lines, runs its service, and prints the programs that it started and the files that
# it opened.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../pair.sh"
install='pipx install podman-compose'
if [ -n "${COMPOSE:-}" ]; then
    compose=$COMPOSE
elif docker compose version >/dev/null 2>&1 && docker info >/dev/null 2>&1; then
    compose='docker compose' engine=docker
elif command -v podman-compose >/dev/null; then
    compose=podman-compose engine=podman
else
    give_up "needs 'docker compose' with a running docker, or podman-compose: apt-get install podman pipx; $install"
fi
case $(podman-compose --version 2>/dev/null) in
    *' 1.0.'*) [ "$compose" != podman-compose ] || give_up "needs a podman-compose newer than Debian 12's 1.0: $install" ;;
esac
place=$(mktemp -d)
it() { $compose -p "example-$$" -f "$place/compose.yaml" "$@"; }
trap 'it down -v >/dev/null 2>&1 || true; rm -rf "$place"' EXIT

# Makes an image of files of this machine: nothing is fetched from a registry. IMAGE FOLDER CHANGES
import() {
    image=$1 folder=$2 && shift 2
    tar -C "$folder" -cf - . | "$engine" import "$@" - "$image" >/dev/null
}
if [ -z "${GLASSBOX_IMAGE:-}" ]; then
    GLASSBOX_IMAGE=localhost/glassbox-example:1
    put "$glassbox" "$place/pair" /opt/glassbox
    cp "$sensor" "$place/pair/opt/glassbox/"
    import "$GLASSBOX_IMAGE" "$place/pair" --change 'ENTRYPOINT ["/opt/glassbox/glassbox", "collect"]' \
        --change 'ENV GLASSBOX_SOCKET=/opt/glassbox/socket' --change 'VOLUME /opt/glassbox'
fi
if [ -z "${APP_IMAGE:-}" ]; then
    export APP_IMAGE=localhost/app-example:1
    mkdir -p "$place/app/etc" "$place/app/tmp"
    echo hello >"$place/app/etc/motd"
    for program in /bin/sh /bin/cat; do put "$program" "$place/app"; done
    import "$APP_IMAGE" "$place/app" --change 'ENV PATH=/bin'
fi

"$glassbox" patch compose --image "$GLASSBOX_IMAGE" -o "$place/compose.yaml" "$here/compose.yaml"
diff "$here/compose.yaml" "$place/compose.yaml" || true

# If the engine runs health checks, `up` does both steps at once.
it up -d glassbox >/dev/null
until it exec -T glassbox /opt/glassbox/glassbox health >/dev/null 2>&1; do sleep 0.1; done
it run --rm --no-deps -T app

it stop glassbox >/dev/null
it logs glassbox | deeds >"$place/deeds"
# It fails where nothing was seen.
grep . "$place/deeds"
