#!/bin/sh
# facegrad against PyTorch and ONNX Runtime on this machine; see README.md and compare.sh --help.
exec python3 "$(dirname "$0")/compare.py" "$@"
