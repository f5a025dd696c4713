#!/bin/sh
# Builds libcosign.a and libcosign.so into <target>/<profile>/dist/.
#
# rustc's own archive shows every symbol of the Rust runtime, so that two Rust libraries do not link into one program,
# and its own shared library takes no symbol versions. So the archive is linked once into one object that shows exactly
# the functions of ffi/symbols.txt, and both libraries are made of that object.
#
# COSIGN_PROFILE names the cargo profile (release), CARGO_TARGET_DIR the target folder.
set -eu
cd "$(dirname "$0")/.."

profile=${COSIGN_PROFILE:-release}
target=${CARGO_TARGET_DIR:-$PWD/target}
export CARGO_TARGET_DIR="$target"
cargo build --quiet --locked -p cosign-ffi --profile "$profile"

folder=$profile
[ "$profile" = dev ] && folder=debug
archive=$target/$folder/libcosign.a
dist=$target/$folder/dist
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
series=${version%.*} # the soname: 0.MINOR until 1.0

# Nothing to do when nothing changed.
stamp=$dist/.stamp
if [ -f "$stamp" ] && [ "$stamp" -nt "$archive" ] && [ "$stamp" -nt ffi/symbols.txt ] && [ "$stamp" -nt "$0" ]; then
    echo "$dist"
    exit 0
fi

work=$(mktemp -d "$target/$folder/link.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$dist"

roots=$(sed 's/^/-u /' ffi/symbols.txt)
# shellcheck disable=SC2086 # one word per symbol
ld -r --gc-sections $roots --whole-archive "$archive" -o "$work/pre.o"
objcopy --remove-section=.llvmbc --remove-section=.llvmcmd --strip-debug --keep-global-symbols=ffi/symbols.txt "$work/pre.o"

{
    echo "COSIGN_$series {"
    echo "  global:"
    sed 's/.*/    &;/' ffi/symbols.txt
    echo "  local: *;"
    echo "};"
} >"$work/cosign.map"

# -z nodelete: threads and thread-local destructors outlive dlclose. -s: the debug information is gone already.
${CC:-cc} -shared "$work/pre.o" -o "$work/libcosign.so" \
    "-Wl,-soname,libcosign.so.$series" "-Wl,--version-script=$work/cosign.map" \
    -Wl,-z,nodelete,-z,relro,-z,now,-z,defs,--gc-sections,--as-needed,-s -lgcc_s -lpthread -ldl -lm -lc
rm -f "$dist"/libcosign.*
ar rcsD "$work/libcosign.a" "$work/pre.o"
mv "$work/libcosign.a" "$dist/libcosign.a"
mv "$work/libcosign.so" "$dist/libcosign.so.$version"
ln -s "libcosign.so.$version" "$dist/libcosign.so.$series"
ln -s "libcosign.so.$series" "$dist/libcosign.so"
touch "$stamp"
echo "$dist"
