#!/bin/sh
# Installs what scripts/link.sh built: header, C++ header, libraries, pkg-config file, CMake package.
#
# PREFIX (/usr/local) is where it will live, DESTDIR (empty) a staging root in front of it, LIBDIR the name of the
# library folder in the prefix (lib). Nothing installed holds the prefix: the tree can be moved.
set -eu
cd "$(dirname "$0")/.."

prefix=${PREFIX:-/usr/local}
libdir=${LIBDIR:-lib}
case $prefix in
/*) ;;
*) prefix=$PWD/$prefix ;;
esac
root=${DESTDIR:-}$prefix

dist=$(scripts/link.sh)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
series=${version%.*}
# From <libdir>/pkgconfig and <libdir>/cmake/cosign back to the prefix.
up=$(echo "$libdir" | sed 's#[^/][^/]*#..#g')

mkdir -p "$root/include" "$root/$libdir/pkgconfig" "$root/$libdir/cmake/cosign"
install -m 644 include/cosign.h include/cosign.hpp "$root/include/"
install -m 644 "$dist/libcosign.a" "$root/$libdir/"
install -m 755 "$dist/libcosign.so.$version" "$root/$libdir/"
ln -sf "libcosign.so.$version" "$root/$libdir/libcosign.so.$series"
ln -sf "libcosign.so.$series" "$root/$libdir/libcosign.so"

fill() {
    sed -e "s#@VERSION@#$version#g" -e "s#@SERIES@#$series#g" -e "s#@LIBDIR@#$libdir#g" -e "s#@UP@#$up#g" "$1" >"$2"
    chmod 644 "$2"
}
fill ffi/cosign.pc.in "$root/$libdir/pkgconfig/cosign.pc"
fill ffi/cosign-config.cmake.in "$root/$libdir/cmake/cosign/cosign-config.cmake"
fill ffi/cosign-config-version.cmake.in "$root/$libdir/cmake/cosign/cosign-config-version.cmake"
echo "installed libcosign $version in $root"
