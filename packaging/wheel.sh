#!/usr/bin/env bash
# A wheel for pip with the program in it: `wheel.sh [x86_64|aarch64]`. maturin builds the program as build.sh does,
# and checks that the wheel keeps what manylinux_2_28 promises.
set -euo pipefail
source "$(dirname "$0")/common.sh"

triple=$(triple_of "${1:-}")
python_tools packaging/requirements.txt
reproducible_flags
cd packaging/python
maturin build --zig --target "$triple" --compatibility "manylinux_${glibc/./_}" --auditwheel check --out "$packages"
