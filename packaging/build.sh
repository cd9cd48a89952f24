#!/usr/bin/env bash
# The program for Linux with glibc 2.28 or newer: `build.sh [x86_64|aarch64]`. Prints where it is.
set -euo pipefail
source "$(dirname "$0")/common.sh"

triple=$(triple_of "${1:-}")
python_tools packaging/requirements.txt
reproducible_flags
cargo zigbuild --profile dist --locked -p facegrad --target "$triple.$glibc" >&2

program=$target_folder/$triple/dist/facegrad
packaging/symbols.sh "$program" >&2
echo "$program"
