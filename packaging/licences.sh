#!/usr/bin/env bash
# The licences of all that is compiled into the program, with their texts: `licences.sh TARGET`. Prints the file.
set -euo pipefail
source "$(dirname "$0")/common.sh"

triple=${1:?the target}
file=$work/licences-$triple.txt
cargo_tool cargo-about 0.9.3 --features cli
cargo about generate --offline --locked --fail --target "$triple" --manifest-path crates/cli/Cargo.toml \
    --config packaging/about.toml --output-file "$file" packaging/about.hbs >&2
# One package of each dependency is named, or the list would be of something else.
grep -q '^burn-core ' "$file" || fail "$file does not name Burn"
echo "$file"
