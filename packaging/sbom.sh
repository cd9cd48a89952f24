#!/usr/bin/env bash
# The bill of materials of the program, in CycloneDX: `sbom.sh TARGET`. Prints the file.
set -euo pipefail
source "$(dirname "$0")/common.sh"

triple=${1:?the target}
file=$work/facegrad-$triple.cdx.json
cargo_tool cargo-cyclonedx 0.5.9
# It writes beside every Cargo.toml of a workspace: into a copy.
source=$work/sbom
rm -rf "$source"
mkdir -p "$source"
git ls-files -z 'Cargo.*' crates examples tests | xargs -0 cp --parents -P -t "$source"
(cd "$source" && cargo cyclonedx -q --manifest-path crates/cli/Cargo.toml --format json --spec-version 1.5 \
    --target "$triple" --no-build-deps --override-filename facegrad) >&2
# The place of the copy is nobody's business.
sed "s#$source#.#g" "$source/crates/cli/facegrad.json" > "$file"
grep -q '"burn-core"' "$file" || fail "$file does not name Burn"
echo "$file"
