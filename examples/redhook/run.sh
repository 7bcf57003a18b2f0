#!/bin/sh
# Measures one hook written with redhook, and the sensor beside it: a line each, `WHAT<tab>REDHOOK<tab>GLASSBOX`.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../pair.sh"
needs cargo
needs cc gcc
needs musl-gcc musl-tools
needs readelf binutils
ours=$sensor
target=${CARGO_TARGET_DIR:-$top/target}/redhook
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
# No collector: the sensor stands aside, as the other hook has nothing to tell.
export GLASSBOX_SOCKET="$place/nobody"

cargo build --quiet --locked --manifest-path "$here/Cargo.toml" --target-dir "$target"
cargo build --quiet --locked --manifest-path "$here/Cargo.toml" --target-dir "$target" --release
debug=$target/debug/libredhook_open.so
theirs=$target/release/libredhook_open.so
cc -O1 -fexceptions -pthread -o "$place/victim" "$here/victim.c"
musl-gcc -O1 -pthread -o "$place/musl" "$here/victim.c"

line() { printf '%s\t%s\t%s\n' "$@"; }
for_both() { line "$1" "$("$2" "$theirs")" "$("$2" "$ours")"; }

needed() { readelf --dynamic --wide "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | paste -sd' ' | grep . || echo none; }
imports() { nm --dynamic --undefined-only "$1" | wc -l; }
exports() { nm --dynamic --defined-only "$1" | wc -l; }
kilobytes() { strip -o "$place/stripped" "$1" && echo $(($(stat -c %s "$place/stripped") / 1024)); }
line what redhook glassbox
for_both 'libraries that it needs' needed
for_both 'symbols that it needs' imports
for_both 'functions that it hooks, by symbol' exports
for_both 'file, stripped, KiB' kilobytes

# How a program ended that had the library: its last line, or what killed it.
end_of() {
    library=$1 && shift
    # A shell of its own keeps what it says of a killed child; no core files.
    said=$(sh -c 'ulimit -c 0; LD_PRELOAD=$0 "$@"; exit $?' "$library" "$@" 2>"$place/stderr") && status=0 || status=$?
    case $status in
        0) printf '%s\n' "$said" | tail -n1 ;;
        134) echo aborted ;;
        *) echo "ended with $status" ;;
    esac
}
seen_by_redhook=$(OPENS_FD=9 LD_PRELOAD=$theirs "$place/victim" opens 9>&1 | wc -l)
"$glassbox" run -o "jsonl:$place/events.jsonl" -- "$place/victim" opens
seen_by_ours=$(grep '"event":"file.open"' "$place/events.jsonl" | grep -cE '"path":"/dev/(null|zero|full)"')
line 'of open, open64 and __open_2 it sees' "$seen_by_redhook" "$seen_by_ours"
line 'a function that libc does not have is called' "$(end_of "$theirs" "$place/victim" missing)" "$(end_of "$ours" "$place/musl" missing)"
line 'a thread is cancelled in open, debug build' "$(end_of "$debug" "$place/victim" cancel)" '-'
line 'a thread is cancelled in open, release build' "$(end_of "$theirs" "$place/victim" cancel)" "$(end_of "$ours" "$place/victim" cancel)"
line 'a program of musl' "$(end_of "$theirs" "$place/musl" cancel)" "$(end_of "$ours" "$place/musl" cancel)"

# The least of several rounds, one after the other: what else runs here only adds.
least() { sort -n | head -n1; }
for _ in 1 2 3 4 5 6 7 8 9; do
    for name in bare theirs ours; do
        case $name in bare) library= ;; theirs) library=$theirs ;; ours) library=$ours ;; esac
        LD_PRELOAD=$library "$place/victim" calls 300000 >>"$place/calls.$name"
        "$place/victim" starts 100 "$library" >>"$place/starts.$name"
    done
done
more() { echo "$(($(least <"$place/$1.$2") - $(least <"$place/$1.bare")))"; }
line "a call of open, ns more than $(least <"$place/calls.bare")" "$(more calls theirs)" "$(more calls ours)"
line "a start of /bin/true, us more than $(least <"$place/starts.bare")" "$(more starts theirs)" "$(more starts ours)"
