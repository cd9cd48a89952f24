#!/usr/bin/env bash
# The packages for a registry of Rust: `crates.sh` makes them and tries what `cargo install` and a program that uses the
# library would meet. They are unpacked into a workspace of their own, away from the repository, and compiled there with
# the release profile and the repository's lock file, so that dependencies that are compiled are not compiled anew, as
# `cargo package` would for each package alone. `crates.sh --no-verify` compiles nothing.
set -euo pipefail
source "$(dirname "$0")/common.sh"

cargo package --workspace --exclude facegrad-test-devices --no-verify --locked ${FACEGRAD_ALLOW_DIRTY:+--allow-dirty}

place=$work/crates
rm -rf "$place"
mkdir -p "$place"
packed=("$target_folder"/package/*-"$version".crate)
for crate in "${packed[@]}"; do
    name=$(basename "$crate" "-$version.crate")
    [ "$name" != facegrad-test-devices ] || continue
    tar -xzf "$crate" -C "$place"
    for file in LICENSE-MIT LICENSE-APACHE; do
        grep -q . "$place/$name-$version/$file" || fail "the package $name has no $file"
    done
done
cp Cargo.lock "$place"
{
    # As in the repository, with the packages in place of the rooms.
    echo '[workspace]'
    echo 'resolver = "3"'
    echo 'members = ["*-'"$version"'"]'
    sed -n '/^\[profile/,$p' Cargo.toml
    echo '[patch.crates-io]'
    for folder in "$place"/*-"$version"; do
        name=$(basename "$folder" "-$version")
        echo "$name = { path = \"$name-$version\" }"
    done
} > "$place/Cargo.toml"
cd "$place"
cargo metadata --format-version 1 --offline > /dev/null
changed=$(diff <(grep -c '^source' Cargo.lock) <(grep -c '^source' "$root/Cargo.lock") || true)
[ -z "$changed" ] || fail "the packages ask for other dependencies than the repository: $changed"
if [ "${1:-}" != --no-verify ]; then
    CARGO_TARGET_DIR=$target_folder cargo build --release --workspace
    "$target_folder/release/facegrad" --version
fi
