#!/usr/bin/env bash
# Whether a program starts with glibc 2.28: which version each symbol asks for that it takes from a library, and which
# libraries these are.
set -euo pipefail
source "$(dirname "$0")/common.sh"

program=${1:?the program to look at}
needed=$(objdump -T "$program" | { grep -o 'GLIBC_[0-9.]*' || true; } | sort -uV)
[ -n "$needed" ] || fail "$program asks for no version of glibc: it is no program for Linux with glibc"
newest=$(tail -1 <<< "$needed")
[ "$(printf '%s\n' "GLIBC_$glibc" "$newest" | sort -V | tail -1)" = "GLIBC_$glibc" ] ||
    fail "$program asks for $newest, and $glibc is the newest that it may"

# What every system with glibc has, and GCC's library for unwinding.
allowed='libc\.so\.6|libm\.so\.6|libdl\.so\.2|libpthread\.so\.0|librt\.so\.1|libgcc_s\.so\.1|ld-linux-.*\.so\.[12]'
others=$(objdump -p "$program" | awk '$1 == "NEEDED" { print $2 }' | grep -vxE "$allowed" || true)
[ -z "$others" ] || fail "$program asks for ${others//$'\n'/, }, which not every system has"
echo "$program: $newest at most"
