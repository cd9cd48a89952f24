#!/usr/bin/env bash
# A package for Debian 10, Ubuntu 20.04 and newer: `deb.sh [x86_64|aarch64] [PROGRAM]`. Without PROGRAM it is built
# first.
set -euo pipefail
source "$(dirname "$0")/common.sh"

architecture=${1:-x86_64}
program=${2:-$(packaging/build.sh "$architecture")}
packaging/symbols.sh "$program" >&2
stage=$(packaging/stage.sh "$architecture" "$program")
case $architecture in
    x86_64) debian=amd64 ;;
    aarch64) debian=arm64 ;;
esac

tree=$work/deb
rm -rf "$tree"
install -D -m 755 "$stage/facegrad" "$tree/usr/bin/facegrad"
share=$tree/usr/share
doc=$share/doc/facegrad
install -D -m 644 "$stage/completions/facegrad.bash" "$share/bash-completion/completions/facegrad"
install -D -m 644 "$stage/completions/_facegrad" "$share/zsh/vendor-completions/_facegrad"
install -D -m 644 "$stage/completions/facegrad.fish" "$share/fish/vendor_completions.d/facegrad.fish"
mkdir -p "$share/man/man1"
for page in "$stage"/man/*.1; do
    gzip -9nc "$page" > "$share/man/man1/${page##*/}.gz"
done
mkdir -p "$doc"
cp -r "$stage/README.md" "$stage/docs" "$stage/configs" "$stage/facegrad.cdx.json" "$doc"
gzip -9n < "$stage/CHANGELOG.md" > "$doc/changelog.gz"
gzip -9n < "$stage/THIRD-PARTY-LICENSES.txt" > "$doc/third-party-licenses.txt.gz"
{
    cat << END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: facegrad
Comment: The licences of the Rust packages that are compiled into the program are in
 third-party-licenses.txt.gz beside this file.

Files: *
Copyright: $(sed -n 's/^Copyright (c) //p' LICENSE-MIT)
License: MIT or Apache-2.0

License: Apache-2.0
 The text is in /usr/share/common-licenses/Apache-2.0.

License: MIT
END
    # In this format an empty line is a point.
    tail -n +3 LICENSE-MIT | sed '1{/^$/d}; s/^$/./; s/^/ /'
} > "$doc/copyright"

mkdir "$tree/DEBIAN"
cat > "$tree/DEBIAN/control" << END
Package: facegrad
Version: $version
Architecture: $debian
Section: science
Priority: optional
Maintainer: ${FACEGRAD_MAINTAINER:-$(git log -1 --format="%cn <%ce>")}
Installed-Size: $(du -sk --apparent-size "$tree/usr" | cut -f1)
Depends: libc6 (>= $glibc), libgcc-s1 | libgcc1
Suggests: libvulkan1, mesa-vulkan-drivers
Description: train and evaluate models for face recognition
 facegrad trains networks that turn a face into an embedding, compares losses
 such as ArcFace, CosFace and triplet, and measures models by the protocols of
 the field, with intervals. One program, on a CPU or on any GPU with Vulkan.
END
(cd "$tree" && find usr -type f -print0 | sort -z | xargs -0 md5sum) > "$tree/DEBIAN/md5sums"
chmod -R u+rwX,go+rX,go-w "$tree"

package=$packages/facegrad_${version}_$debian.deb
dpkg-deb --root-owner-group -Zxz -z9 --build "$tree" "$package" > /dev/null
echo "$package: $(($(stat -c %s "$package") / 1000)) kB"
