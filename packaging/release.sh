#!/usr/bin/env bash
# Everything that is published of this commit, into target/packages: `release.sh [x86_64|aarch64 …]`, both unless said
# otherwise. The list of steps around it is in README.md.
set -euo pipefail
source "$(dirname "$0")/common.sh"

[ -z "$(git status --porcelain)" ] || fail "there are changes without a commit; packages are made of commits"
[ $# -gt 0 ] || set -- x86_64 aarch64
rm -rf "$packages"
packaging/deny.sh
packaging/crates.sh
for architecture in "$@"; do
    packaging/wheel.sh "$architecture"
    program=$(packaging/build.sh "$architecture")
    packaging/archive.sh "$architecture" "$program"
    packaging/deb.sh "$architecture" "$program"
done
cp "$target_folder"/package/*-"$version".crate "$packages"
rm -f "$packages"/facegrad-test-devices-*.crate
(cd "$packages" && sha256sum -- * > SHA256SUMS)
cat "$packages/SHA256SUMS"
