#!/bin/sh
# `make demo`: the main job on a real image, from nothing but this clone. Everything it writes is below target/.
set -eu
cd "$(dirname "$0")/.."
demo=target/demo
target=${CARGO_TARGET_DIR:-$PWD/target}
export COSIGN_PASSWORD=demo

say() { printf '\n%s\n' "$*"; }

# Runs a command and demands its exit code: a refusal that fails for another reason would prove nothing.
expect() {
    want=$1
    shift
    printf '   $ %s\n' "$*"
    if "$@" >out 2>&1; then code=0; else code=$?; fi
    sed 's/^/   /' out
    if [ "$code" != "$want" ]; then
        printf '   exit code %s where %s was expected\n' "$code" "$want"
        exit 1
    fi
}

say "Building the library and two small programs over it; the first time takes some minutes."
rm -rf "$demo"
mkdir -p "$demo"
# The development profile builds fastest, and the tests use what it leaves behind.
cargo build --quiet --locked -p cosign-example -p cosign-ffi
dist=$(COSIGN_PROFILE=dev scripts/link.sh)
cp "$target/debug/cosign-example" "$demo/example"
# The run path lets the program find the library where it is, without installing it into the system.
cc -O2 -Iinclude examples/c/verify.c -L"$dist" -lcosign "-Wl,-rpath,$dist" -o "$demo/verify"
cp -r examples/image "$demo/image"
cd "$demo"

say "1. A key pair. The private key is encrypted with a password; the public key is for everyone."
expect 0 ./example keygen me

say "2. Sign the image. The signature is stored in the image's own folder, beside what it signs."
expect 0 ./example sign me.key oci:image:v1

say "3. Verify it with the public key."
expect 0 ./example verify me.pub oci:image:v1

say "4. The key of somebody else does not verify it (exit code 12: signatures, but none acceptable)."
expect 0 ./example keygen other
expect 12 ./example verify other.pub oci:image:v1

say "5. In a copy, one byte of the image changes. It is not the signed image any more (exit code 20)."
cp -r image changed
printf X | dd bs=1 seek=100 conv=notrunc 2>/dev/null \
    of=changed/blobs/sha256/ea9afc656d4fdc1d3b6adcc5e9e0afe2f52bf239f37ecd2d0e40628a78614c82
expect 20 ./example verify me.pub oci:changed:v1

say "6. The untouched image again, by a C program of one page that links libcosign.so."
expect 0 ./verify oci:image:v1 me.pub

rm -f out
say "Done: keys and images are in target/demo. The README shows the same in Python, C, C++, Go, Rust and shell."
