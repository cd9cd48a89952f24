# shellcheck shell=bash
# What the scripts here share: where things are, which version and commit they are of, and their tools.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit

target_folder=${CARGO_TARGET_DIR:-$root/target}
# What is to be published, and what is thrown away.
packages=$target_folder/packages
work=$target_folder/packaging
mkdir -p "$packages" "$work"

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -1)
# Packages of one commit are the same bytes whenever and wherever they are made.
if [ -z "${FACEGRAD_COMMIT:-}" ]; then
    FACEGRAD_COMMIT=$(git describe --always --abbrev=12 --exclude '*' --dirty)
fi
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export FACEGRAD_COMMIT SOURCE_DATE_EPOCH
export LC_ALL=C TZ=UTC
umask 022

# The oldest C library that the program starts with: that of RHEL 8 and Debian 10.
glibc=2.28

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# Checks the name of a target.
triple_of() {
    case "${1:-x86_64}" in
        x86_64 | aarch64) echo "${1:-x86_64}-unknown-linux-gnu" ;;
        *) fail "the architecture is x86_64 or aarch64, not $1" ;;
    esac
}

# Tools from PyPI, in the versions of a list, in a virtual environment that is made anew when the list changes.
python_tools() {
    local list=$1 folder sum
    folder=$work/$(basename "$list" .txt)
    sum=$(sha256sum "$list" | cut -c1-12)
    if [ ! -e "$folder/$sum" ]; then
        rm -rf "$folder"
        python3 -m venv "$folder"
        "$folder/bin/pip" install -q --require-hashes -r "$list"
        touch "$folder/$sum"
    fi
    export PATH="$folder/bin:$PATH"
}

# A tool from crates.io: its name, version, and Cargo's further arguments.
cargo_tool() {
    local name=$1 version=$2
    shift 2
    if [ ! -e "$work/cargo-tools/$name-$version" ]; then
        # It runs for seconds: what it takes to compile counts.
        CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_TARGET_DIR="$work/cargo-tools/target" \
            cargo install -q --locked --force --root "$work/cargo-tools" "$name@$version" "$@"
        rm -rf "$work/cargo-tools/target"
        touch "$work/cargo-tools/$name-$version"
    fi
    export PATH="$work/cargo-tools/bin:$PATH"
}

# A folder as a tar of its files in order, with neither owners nor times of its own, on standard output.
tar_of() {
    tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=ustar \
        --mode=u+rw,go+r-w,a+X -C "$1" -cf - "$2"
}

# Paths of this machine stay out of the program, or two clones of a commit would make two programs.
reproducible_flags() {
    local cargo_home=${CARGO_HOME:-$HOME/.cargo}
    export RUSTFLAGS="--remap-path-prefix=$root=. --remap-path-prefix=$cargo_home=/cargo"
    export CARGO_INCREMENTAL=0
}
