#!/usr/bin/env bash
# Builds and runs every example of the README, each on its own copy of the image, and checks what it prints.
# Needs COSIGN_PREFIX (what `make install` wrote) and COSIGN_PYTHON (a Python with the wheel, its command beside it).
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
COSIGN_PREFIX=${COSIGN_PREFIX:-${COSIGN_STAGE:?COSIGN_PREFIX is to be the prefix of make install}}
: "${COSIGN_PYTHON:?a Python that has the wheel installed}"
export PKG_CONFIG_PATH=$COSIGN_PREFIX/lib/pkgconfig
export LD_LIBRARY_PATH=$COSIGN_PREFIX/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
digest=sha256:ea9afc656d4fdc1d3b6adcc5e9e0afe2f52bf239f37ecd2d0e40628a78614c82
# Go's build cache does not see that the installed header or pkg-config file changed: put both into the cache's key.
installed=$(cat "$COSIGN_PREFIX/include/cosign.h" "$PKG_CONFIG_PATH/cosign.pc" | cksum | cut -d ' ' -f 1)
export CGO_CFLAGS="-O2 -g -DCOSIGN_INSTALLED=$installed"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# example NAME COMMAND…: the command gets a fresh image as last argument and must name the digest it verified.
example() {
    local name=$1
    shift
    local image=oci:$work/$name:v1
    cp -r "$root/examples/image" "$work/$name"
    if "$@" "$image" >"$work/out" 2>&1 && grep -q "$digest" "$work/out"; then
        passed=$((passed + 1))
        echo "ok   $name: $(grep -m 1 "$digest" "$work/out" | cut -c 1-100)"
    else
        failed=$((failed + 1))
        echo "FAIL $name"
        sed 's/^/     /' "$work/out"
    fi
}

c() { cc -std=c99 -Wall -Wextra -Werror "$root/examples/c/$1.c" $(pkg-config --cflags --libs cosign) -o "$work/c_$1"; }
cpp() { c++ -std=c++17 -Wall -Wextra -Werror "$root/examples/cpp/$1.cpp" $(pkg-config --cflags --libs cosign) -o "$work/cpp_$1"; }
in_c() { c sign_and_verify && "$work/c_sign_and_verify" "$@"; }
in_cpp() { cpp sign_and_verify && "$work/cpp_sign_and_verify" "$@"; }
in_go() { (cd "$root/examples/go/sign_and_verify" && GOFLAGS=-mod=mod GOPROXY=off go run . "$@"); }
in_rust() { (cd "$root" && cargo run --quiet -p cosign-example --bin sign_and_verify "$@"); }
in_python() { "$COSIGN_PYTHON" "$root/examples/python/sign_and_verify.py" "$@"; }
in_shell() { PATH=$(dirname "$COSIGN_PYTHON"):$PATH sh "$root/examples/shell/sign_and_verify.sh" "$@"; }

# What the README shows of a file stands in that file, line by line.
readme() {
    awk -v root="$root/" '
        /^<!-- examples\/.* -->$/ { file = root $2; next }
        /^```/ { if (file != "" && !inside) { inside = 1; while ((getline line < file) > 0) has[line] = 1; close(file); shown++ }
                 else if (inside) { inside = 0; file = ""; split("", has) }
                 next }
        inside && $0 != "" && !($0 in has) { print file " has no line: " $0; bad++ }
        END { exit shown < 6 || bad > 0 }
    ' "$root/README.md"
}

"$COSIGN_PYTHON" -c 'import cosign' || { echo "COSIGN_PYTHON ($COSIGN_PYTHON) has no cosign: install the wheel"; exit 1; }
for language in python c cpp go rust shell; do example "$language" "in_$language"; done
if readme; then passed=$((passed + 1)); echo "ok   the README shows these files"; else failed=$((failed + 1)); echo "FAIL README"; fi

echo "$passed passed, $failed failed"
[[ $failed == 0 ]]
