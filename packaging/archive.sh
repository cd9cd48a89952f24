#!/usr/bin/env bash
# An archive of the program for Linux: `archive.sh [x86_64|aarch64] [PROGRAM]`. Without PROGRAM it is built first.
set -euo pipefail
source "$(dirname "$0")/common.sh"

architecture=${1:-x86_64}
program=${2:-$(packaging/build.sh "$architecture")}
packaging/symbols.sh "$program" >&2
stage=$(packaging/stage.sh "$architecture" "$program")
archive=$packages/$(basename "$stage").tar.xz
# One thread: several cut the data into blocks by the machine's memory.
tar_of "$(dirname "$stage")" "$(basename "$stage")" | xz -9e -T1 -c > "$archive.part"
mv "$archive.part" "$archive"

# What was promised.
packed=$(stat -c %s "$archive")
unpacked=$(du -sb "$stage" | cut -f1)
echo "$archive: $((packed / 1000)) kB, unpacked $((unpacked / 1000)) kB"
[ "$packed" -le 20000000 ] || fail "the archive has more than 20 MB"
[ "$unpacked" -le 60000000 ] || fail "unpacked it has more than 60 MB"
