#!/usr/bin/env bash
# The files of a package in the order of a file system, for archive.sh and deb.sh: `stage.sh ARCHITECTURE PROGRAM`.
# Prints the folder: the program, its man pages and completions, texts, configs, licences, the bill of materials.
set -euo pipefail
source "$(dirname "$0")/common.sh"

triple=$(triple_of "${1:?the architecture}")
program=${2:?the program}
name=facegrad-$version-$triple
stage=$work/stage/$name
rm -rf "$stage"
mkdir -p "$stage"

install -m 755 "$program" "$stage/facegrad"
# Texts that the README leads to, and the configs that it starts with; what git does not know is not published.
git ls-files -z README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE configs docs checkpoints/README.md |
    while IFS= read -r -d '' file; do
        install -D -m 644 "$file" "$stage/$file"
    done

# Pages and completions come from the program itself: one that runs here, for another processor says the same.
manual=$program
if ! "$manual" --version > /dev/null 2>&1; then
    manual=${FACEGRAD_PROGRAM:-$target_folder/x86_64-unknown-linux-gnu/dist/facegrad}
fi
"$manual" --version | grep -qx "facegrad $version" || fail "$manual is not facegrad $version"
"$manual" manual man --out "$stage/man" > /dev/null
"$manual" manual completions --out "$stage/completions" > /dev/null

cp "$(packaging/licences.sh "$triple")" "$stage/THIRD-PARTY-LICENSES.txt"
cp "$(packaging/sbom.sh "$triple")" "$stage/facegrad.cdx.json"
echo "$stage"
