#!/usr/bin/env bash
# What a cold build takes, crate by crate: `benches/build.sh [CARGO'S ARGUMENTS]`, such as `--config
# 'profile.release.package.burn-flex.opt-level=0'`. It compiles everything into a folder of its own, which is removed.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

# The compiler, as Cargo calls it: a line for each call with the processor time of all its threads.
if [ -n "${BUILD_TIMES:-}" ]; then
    crate=- level=0 before=
    for word in "$@"; do
        [ "$before" != --crate-name ] || crate=$word
        case $word in opt-level=*) level=${word#*=} ;; esac
        before=$word
    done
    TIMEFORMAT="$crate $level %U %S"
    exec 3>&2
    { time "$@" 2>&3; } 2>> "$BUILD_TIMES"
    exit
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
started=$SECONDS
cd "$root"
BUILD_TIMES=$folder/times RUSTC_WRAPPER=$root/benches/build.sh CARGO_TARGET_DIR=$folder/target \
    cargo build --release --locked "$@" >&2
awk -v wall="$((SECONDS - started))" '{ total += $3 + $4; calls++ } END {
    printf "%d calls of the compiler, %.1f minutes of processor time, %.1f minutes\n", calls, total / 60, wall / 60
}' "$folder/times"
printf '\n%-28s %5s %9s\n' crate level seconds
sort -k3,3 -n -r "$folder/times" | awk 'NR <= 15 { printf "%-28s %5s %9.1f\n", $1, $2, $3 + $4 }'
