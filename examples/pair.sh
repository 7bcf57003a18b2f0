# Each run.sh reads this file first. It sets `glassbox` and `sensor`: the pair of GLASSBOX and GLASSBOX_LIB, else the
# newest one that was built in this repository (`cargo xtask demo`, `cargo build --release --workspace`,
# `cargo xtask dist`), else the installed one. And it has what several examples need.

# Ends with one line.
give_up() {
    echo "${here##*/}/run.sh: $*" >&2
    exit 69
}

# Ends with one line where a program is missing: `needs PROGRAM PACKAGE`.
needs() {
    command -v "$1" >/dev/null || give_up "needs $1, which is not installed; on Debian: apt-get install ${2:-$1}"
}

# Runs a command whose status 1 says that there are changes.
showing_changes() {
    changes=0
    "$@" || changes=$?
    [ "$changes" -le 1 ] || exit "$changes"
}

# Where Debian keeps the programs of administrators.
PATH=$PATH:/usr/sbin:/sbin
top=$(cd "$here/../.." && pwd)
glassbox=${GLASSBOX:-}
if [ -z "$glassbox" ]; then
    for built in "${CARGO_TARGET_DIR:-$top/target}/release" "${CARGO_TARGET_DIR:-$top/target}/demo" "$top/dist"; do
        [ -x "$built/glassbox" ] && [ -f "$built/libglassbox.so" ] || continue
        # `test -nt` is true as well where there is no other yet.
        [ -n "$glassbox" ] && ! [ "$built/glassbox" -nt "$glassbox" ] || glassbox=$built/glassbox
    done
fi
[ -n "$glassbox" ] || glassbox=$(command -v glassbox) || give_up "no glassbox here; make one: cargo xtask demo"
beside=$(dirname "$(readlink -f "$(command -v "$glassbox" || echo "$glassbox")")")
sensor=${GLASSBOX_LIB:-$beside/libglassbox.so}
[ -f "$sensor" ] || sensor=$beside/../lib/glassbox/libglassbox.so
[ -f "$sensor" ] || give_up "no libglassbox.so beside '$glassbox'; make one: cargo xtask demo"

# Copies a program of this machine with its loader and libraries into a root file system: `put PROGRAM ROOT [FOLDER]`.
put() {
    mkdir -p "$2${3:-$(dirname "$1")}"
    cp -L "$1" "$2${3:-$(dirname "$1")}/"
    for library in $(ldd "$1" 2>/dev/null | grep -o '/[^ ]*'); do
        mkdir -p "$2$(dirname "$library")"
        cp -L "$library" "$2$library"
    done
}

# The programs that were started, and the files that were opened, of JSON lines on stdin.
deeds() {
    sed -n '/"error":/d
        s/.*"event":"process.start".*"path":"\([^"]*\)".*/started \1/p
        s/.*"event":"file.open".*"path":"\([^"]*\)".*/opened \1/p' | sort -u
}
