#!/usr/bin/env bash
# Tries a package in a clean root file system, as root: `try.sh ROOT PACKAGE`. ROOT is a folder with a minimal Debian or
# Ubuntu, such as `mmdebstrap --variant=minbase bookworm ROOT` makes; it is not changed. PACKAGE is the archive or the .deb.
# Says how long it takes from the package to a trained network.
set -euo pipefail
source "$(dirname "$0")/common.sh"

clean=$(realpath "${1:?the root file system}")
package=$(realpath "${2:?the package}")
[ "$(id -u)" = 0 ] || fail "a root file system is entered by root only"
# What is written goes into a layer of its own, in memory.
layer=$(mktemp -d)
place=$layer/root
leave() {
    umount -q "$place/proc" "$place/dev" "$place" || true
    umount -q "$layer" || true
    rmdir "$layer"
}
trap leave EXIT
mount -t tmpfs -o size=2g tmpfs "$layer"
mkdir "$layer/upper" "$layer/work" "$place"
mount -t overlay -o "lowerdir=$clean,upperdir=$layer/upper,workdir=$layer/work" overlay "$place"
mount -t proc proc "$place/proc"
mount --bind /dev "$place/dev"
cp "$package" "$place/opt/"

inside() {
    chroot "$place" env -i HOME=/opt PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

inside grep PRETTY_NAME /etc/os-release
inside ldd --version | sed -n 1p
started=$(date +%s.%N)
case $package in
    *.tar.xz)
        # A minimal system has no xz, which a person's has.
        xz -dc "$package" | tar -x -C "$place/opt"
        folder=/opt/$(basename "$package" .tar.xz)
        program=$folder/facegrad
        ;;
    *.deb)
        inside dpkg --install "/opt/$(basename "$package")"
        program=/usr/bin/facegrad
        folder=/usr/share/doc/facegrad
        ;;
    *) fail "$package is neither .tar.xz nor .deb" ;;
esac
inside "$program" --version
inside sh -c "cd /opt && $program train $folder/configs/quickstart.toml"
inside sh -c "cd /opt && $program show checkpoints/quickstart"
awk -v from="$started" -v to="$(date +%s.%N)" 'BEGIN { printf "from the package to a trained network: %.1f s\n", to - from }'
if [ "${package##*.}" = deb ]; then
    inside sh -c 'test -e /usr/share/doc/facegrad/copyright && test -e /usr/share/bash-completion/completions/facegrad'
    inside dpkg --remove facegrad
    inside sh -c '! test -e /usr/bin/facegrad'
fi
