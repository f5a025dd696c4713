#!/usr/bin/env bash
# cosign.h and both libraries as a C program meets them: an installed prefix and two compilers, nothing else.
# Needs COSIGN_PREFIX (what `make install` wrote), COSIGN_TEST_REGISTRY and COSIGN_TEST_STACK (those programs), and clang in
# PATH, below COSIGN_TOOLS or in the tools' cache.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
COSIGN_PREFIX=${COSIGN_PREFIX:-${COSIGN_STAGE:?COSIGN_PREFIX is to be the prefix of make install}}
: "${COSIGN_TEST_REGISTRY:?the program cosign-test-registry}" "${COSIGN_TEST_STACK:?the program cosign-test-stack}"
cache=${COSIGN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/libcosign}
export PATH=${COSIGN_TOOLS:+$COSIGN_TOOLS:}$PATH:$cache/bin
export PKG_CONFIG_PATH=$COSIGN_PREFIX/lib/pkgconfig
header=$COSIGN_PREFIX/include/cosign.h
so=$COSIGN_PREFIX/lib/libcosign.so
archive=$COSIGN_PREFIX/lib/libcosign.a
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
strict=(-pedantic-errors -Wall -Wextra -Werror)
native=(-lgcc_s -lpthread -ldl -lm -lc)

step() {
    local name=$1
    shift
    if "$@" >"$work/out" 2>&1; then
        passed=$((passed + 1))
        printf 'ok   %s%s\n' "$name" "$(tail -n 1 "$work/out" | cut -c 1-100 | sed 's/^/: /')"
    else
        failed=$((failed + 1))
        echo "FAIL $name"
        sed 's/^/     /' "$work/out"
    fi
}

fresh() { rm -rf "${work:?}/$1" && cp -r "$root/examples/image" "$work/$1"; }
flags() { pkg-config --cflags --libs cosign; }
rpath() { printf '%s' "-Wl,-rpath,$COSIGN_PREFIX/lib"; }

# --- the header ---

# Alone, twice, and before anything else was included.
include_twice() {
    local compiler=$1 standard=$2 suffix=$3
    printf '#include <cosign.h>\n#include <cosign.h>\nint main(void) { return (int)(cosign_version_number() == 0); }\n' \
        >"$work/twice.$suffix"
    "$compiler" "-std=$standard" "${strict[@]}" -I"$COSIGN_PREFIX/include" -fsyntax-only "$work/twice.$suffix"
}

installed_header_is_the_committed_one() { cmp "$root/include/cosign.h" "$header" && cmp "$root/include/cosign.hpp" "$COSIGN_PREFIX/include/cosign.hpp"; }
doc_lint() { python3 "$root/tests/c/header.py" "$header" lint; }

# --- symbols ---

symbols_of() {
    case $1 in
    header) python3 "$root/tests/c/header.py" "$header" symbols ;;
    so) nm -D --defined-only "$so" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort ;;
    archive) nm -g --defined-only "$archive" | awk 'NF == 3 { print $3 }' | sort ;;
    esac
}
same_symbols() {
    symbols_of "$1" >"$work/symbols" && diff "$root/ffi/symbols.txt" "$work/symbols" &&
        ! grep -v '^cosign_' "$work/symbols" && echo "$(wc -l <"$work/symbols") symbols"
}
symbols_carry_versions() {
    local bare
    bare=$(nm -D --with-symbol-versions --defined-only "$so" | awk '$2 == "T"' | grep -vc "@@COSIGN_$(series)\$")
    [[ $bare == 0 ]] && echo "all of them @@COSIGN_$(series)"
}

# --- the shared library as a file ---

version() { sed -n 's/^#define COSIGN_VERSION "\(.*\)"/\1/p' "$header"; }
series() { version | sed 's/\.[^.]*$//'; }
versions_agree() {
    local v cargo pc cmake soname
    v=$(version)
    cargo=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)
    pc=$(pkg-config --modversion cosign)
    cmake=$(sed -n 's/^set(PACKAGE_VERSION "\(.*\)")/\1/p' "$COSIGN_PREFIX/lib/cmake/cosign/cosign-config-version.cmake")
    soname=$(readelf -d "$so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
    echo "header $v, Cargo $cargo, pkg-config $pc, CMake $cmake, soname $soname"
    [[ -n $v && $v == "$cargo" && $v == "$pc" && $v == "$cmake" && $soname == "libcosign.so.$(series)" ]] &&
        [[ $(readlink "$so") == "$soname" && $(readlink "$COSIGN_PREFIX/lib/$soname") == "libcosign.so.$v" ]]
}
stays_mapped_and_protected() {
    readelf -d "$so" >"$work/dynamic" && grep -q 'FLAGS_1.*NODELETE' "$work/dynamic" && grep -q 'NOW' "$work/dynamic" &&
        readelf -lW "$so" | grep -q GNU_RELRO && readelf -lW "$so" | grep 'GNU_STACK' | grep -qv E && echo "NODELETE NOW RELRO"
}
needs_only_the_system() {
    readelf -d "$so" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | sort >"$work/needed"
    ! grep -vE '^(libgcc_s\.so\.1|libc\.so\.6|libm\.so\.6|libpthread\.so\.0|libdl\.so\.2|ld-linux-x86-64\.so\.2)$' "$work/needed" &&
        echo $(cat "$work/needed")
}
has_no_search_path() { ! readelf -d "$so" | grep -E 'RPATH|RUNPATH'; }
holds_no_path_of_this_machine() {
    ! strings -n 8 "$so" | grep -F "$root/" && ! grep -rF "$COSIGN_PREFIX" "$COSIGN_PREFIX/lib/pkgconfig" "$COSIGN_PREFIX/lib/cmake"
}
size_is_bounded() {
    local bytes
    bytes=$(stat -Lc %s "$so")
    # 11,056,872 bytes in the thin profile, which tests use; the release profile is about a sixth smaller.
    echo "$bytes bytes" && ((bytes <= 11500000))
}

# --- programs ---

promises() {
    local at=$1
    shift
    fresh "$at" && "$@" -std=gnu99 -g -Wall -Wextra -Werror "$root/tests/c/abi.c" -pthread -o "$work/$at.abi" $(flags) "$(rpath)" &&
        "$work/$at.abi" "$work/$at"
}
promises_static() {
    fresh static && cc -std=gnu99 -Wall -Wextra -Werror -I"$COSIGN_PREFIX/include" "$root/tests/c/abi.c" "$archive" \
        "${native[@]}" -o "$work/static.abi" && ! readelf -d "$work/static.abi" | grep libcosign && "$work/static.abi" "$work/static"
}
sweep() {
    fresh sweep && python3 "$root/tests/c/header.py" "$header" sweep >"$work/sweep.c" &&
        cc -std=c99 -g -Wall -Wextra -Werror "$work/sweep.c" -o "$work/sweep.bin" $(flags) "$(rpath)" "$@" &&
        "$work/sweep.bin" "oci:$work/sweep:v1"
}
unload() {
    fresh unload && cc -std=gnu99 -Wall -Wextra -Werror -I"$COSIGN_PREFIX/include" "$root/tests/c/unload.c" -pthread -ldl -o "$work/unload.bin" &&
        "$work/unload.bin" "$so" "oci:$work/unload:v1"
}
blobs() {
    cc -std=gnu99 -g -Wall -Wextra -Werror "$root/tests/c/blob.c" -o "$work/blob" $(flags) "$(rpath)" "$@" &&
        "$work/blob" "$header"
}
example_c89() {
    local compiler=$1 file=$2
    "$compiler" -std=c89 "${strict[@]}" "$root/examples/c/$file.c" -o "$work/$file" $(flags) "$(rpath)"
}
# Our key, made and used by one example; the other refuses its image for a stranger's key.
examples_run() {
    fresh example || return 1
    "$work/sign_and_verify" "oci:$work/example:v1" | grep -q '^sha256:.*: 1 good signature' || return 1
    cat >"$work/keys.c" <<'C'
#include <cosign.h>
#include <stdio.h>
/* keys IMAGE FILE: signs with a new key and writes the public one. */
int main(int argc, char **argv)
{
    cosign_private_key *key = NULL; cosign_public_key *pub = NULL; cosign_client *client = NULL; cosign_buffer *pem = NULL;
    FILE *file = argc == 3 ? fopen(argv[2], "wb") : NULL;
    if (!file || cosign_private_key_generate(NULL, &key, NULL) || cosign_private_key_public(key, &pub, NULL)
        || cosign_public_key_to_pem(pub, &pem, NULL) || cosign_client_new(NULL, &client, NULL)
        || cosign_sign_image(client, argv[1], key, NULL, NULL, NULL, NULL))
        return 1;
    fwrite(cosign_buffer_data(pem), 1, cosign_buffer_len(pem), file);
    return fclose(file);
}
C
    cc "$work/keys.c" -o "$work/keys" $(flags) "$(rpath)" && fresh signed && fresh other || return 1
    "$work/keys" "oci:$work/signed:v1" "$work/right.pub" && "$work/keys" "oci:$work/other:v1" "$work/wrong.pub" || return 1
    "$work/verify" "oci:$work/signed:v1" "$work/right.pub" | grep '@sha256:.*: 1 good signature' || return 1
    if "$work/verify" "oci:$work/signed:v1" "$work/wrong.pub" 2>"$work/refused"; then return 1; fi
    grep '^300: ' "$work/refused" || return 1
    if "$work/verify" 2>/dev/null; then return 1; fi
}
# A registry over loopback: both formats, every status, and a 429 that is not "no signatures".
registry() {
    cc -std=c99 -g -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover=all "$root/tests/c/registry.c" \
        -o "$work/registry" $(flags) "$(rpath)" || return 1
    local host line image checked=0
    coproc REGISTRY { "$COSIGN_TEST_REGISTRY"; }
    read -r _ host <&"${REGISTRY[0]}" || return 1
    image=$host/team/app:v1
    tell() { echo "$1" >&"${REGISTRY[1]}" && read -r line <&"${REGISTRY[0]}" && [[ $line == '{"ok"'* ]] || { echo "$1: $line"; return 1; }; }
    expect() {
        local expected=$1 found
        shift
        found=$("$work/registry" "$@") || return 1
        [[ $found == "$expected" ]] || { echo "$*: $found, expected $expected"; return 1; }
        checked=$((checked + 1))
    }
    tell '{"add_image": {"repository": "team/app", "tag": "v1"}}' &&
        expect IMAGE_NOT_FOUND verify "$host/team/app:none" &&
        expect NO_SIGNATURES verify "$image" &&
        expect 'stored legacy=stored; verified legacy' sign "$image" legacy 1 &&
        expect NO_SIGNATURE_MATCHES verify "$image" &&
        expect 'stored bundle=stored; verified bundle' sign "$image" bundle 1 &&
        expect 'stored legacy=stored bundle=stored; verified legacy bundle' sign "$image" both 1 &&
        expect 'stored_unprotected legacy=stored_unprotected; verified legacy' sign "$image" legacy 0 &&
        tell '{"add_image": {"repository": "team/other", "tag": "v1"}}' &&
        tell '{"set": {"digest_alias": true}}' &&
        expect 'journal_only bundle=journal_only; verified bundle' sign "$host/team/other:v1" bundle 1 &&
        expect 'journal_only legacy=stored bundle=journal_only; verified legacy' sign "$host/team/other:v1" both 1 &&
        tell '{"fault": {"when": "GET *sha256-*", "do": {"rate_limit": {"seconds": 0}}}}' &&
        expect RATE_LIMITED verify "$image" || return 1
    eval "exec ${REGISTRY[1]}>&-"
    wait "$REGISTRY_PID" && echo "$checked answers"
}
# Each request of sign and verify fails in several ways: the codes, and what they claim.
faults() {
    cc -std=gnu99 -g -Wall -Wextra -Werror "$root/tests/c/faults.c" -pthread -o "$work/faults" $(flags) "$(rpath)" &&
        "$work/faults" "$COSIGN_TEST_REGISTRY"
}

# A real transparency log: a demand that is met, one that is not, a silent log.
transparency_log() {
    cc -std=c99 -g -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover=all "$root/tests/c/tlog.c" \
        -o "$work/tlog" $(flags) "$(rpath)" || return 1
    local host line found
    local -A stack
    coproc LOGGED { "$COSIGN_TEST_REGISTRY"; }
    read -r _ host <&"${LOGGED[0]}" && echo '{"add_image": {"repository": "logged", "tag": "v1"}}' >&"${LOGGED[1]}" || return 1
    # It stops when this end of its standard input is closed.
    rm -f "$work/stack.in" && mkfifo "$work/stack.in" && : >"$work/stack.out" || return 1
    "$COSIGN_TEST_STACK" <"$work/stack.in" >"$work/stack.out" &
    local servers=$!
    exec 7>"$work/stack.in"
    until grep -q '^$' "$work/stack.out"; do
        kill -0 "$servers" || return 1
        sleep 0.1
    done
    while IFS== read -r line found; do [[ -z $line ]] || stack[$line]=$found; done <"$work/stack.out"
    found=$("$work/tlog" "$host/logged:v1" "${stack[STACK_REKOR1]}" "${stack[STACK_REKOR1_PUB]}" "${stack[STACK_TRUSTED_ROOT]}")
    exec 7>&-
    eval "exec ${LOGGED[1]}>&-"
    wait "$servers" || return 1
    line='silent POLICY_EMPTY NO_SIGNATURE_MATCHES NETWORK uploaded OK+log OK+log OK+log failed '
    [[ $found == "$line" ]] || { echo "$found, expected $line"; return 1; }
}

# Signatures in a repository of their own, cleaned, collected and copied.
maintain() {
    cc -std=c99 -g -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover=all "$root/tests/c/maintain.c" \
        -o "$work/maintain" $(flags) "$(rpath)" || return 1
    local host line
    coproc KEPT { "$COSIGN_TEST_REGISTRY"; }
    read -r _ host <&"${KEPT[0]}" || return 1
    echo '{"add_image": {"repository": "team/app", "tag": "v1"}}' >&"${KEPT[1]}" && read -r line <&"${KEPT[0]}" || return 1
    "$work/maintain" "$host/team/app:v1" "$host/signatures" "$host/mirror/app:v1" >"$work/maintained" || return 1
    eval "exec ${KEPT[1]}>&-"
    wait "$KEPT_PID" && diff "$work/maintained" - <<'EXPECTED' && echo "$(wc -l <"$work/maintained") answers"
wrong=REFERENCE
kept=OK
beside=NO_SIGNATURES
named=OK
malformed=REFERENCE
copy=ok
copied=OK
again=ok
only=ARGUMENT
platform=ARGUMENT
gc=ok
kind=ARGUMENT
referrer=ok
legacy=OK
clean=ok
cleaned=NO_SIGNATURES
copy=OK
EXPECTED
}
# Many images at once, and a registry that accepts connections and never answers.
batches() {
    fresh signed && fresh other && "$work/keys" "oci:$work/signed:v1" "$work/right.pub" || return 1
    gcc -std=gnu99 -g -Wall -Wextra -Werror "$@" "$root/tests/c/batch.c" -o "$work/batch" $(flags) "$(rpath)" || return 1
    local host code
    coproc SILENT { "$COSIGN_TEST_REGISTRY"; }
    read -r _ host <&"${SILENT[0]}" && echo '{"fault": {"when": "", "do": "stall"}}' >&"${SILENT[1]}" || return 1
    "$work/batch" "$host" "oci:$work/signed:v1" "oci:$work/other:v1" "$work/right.pub"
    code=$?
    eval "exec ${SILENT[1]}>&-"
    wait "$SILENT_PID"
    return $code
}

# The verbs of 2021 on a layout and on a registry.
seed() {
    cc -std=c99 -g -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover=all "$root/tests/c/seed.c" \
        -o "$work/seed" $(flags) "$(rpath)" && fresh seed_image || return 1
    local host line
    coproc REGISTRY { "$COSIGN_TEST_REGISTRY"; }
    read -r _ host <&"${REGISTRY[0]}" || return 1
    echo '{"add_image": {"repository": "team/app", "tag": "v1"}}' >&"${REGISTRY[1]}" && read -r line <&"${REGISTRY[0]}" &&
        "$work/seed" "$work/seed_image" "$host/team/app:v1" || return 1
    eval "exec ${REGISTRY[1]}>&-"
    wait "$REGISTRY_PID" && echo "on a layout and a registry"
}

# The tree may be moved, and CMake finds it there.
moved_tree() {
    local there=$work/moved/deep
    mkdir -p "$there" "$work/cmake" && cp -a "$COSIGN_PREFIX/." "$there/" && fresh moved_image || return 1
    cat >"$work/cmake/CMakeLists.txt" <<CMAKE
cmake_minimum_required(VERSION 3.16)
project(example C)
find_package(cosign $(series) CONFIG REQUIRED)
add_executable(shared "$root/examples/c/sign_and_verify.c")
target_link_libraries(shared PRIVATE cosign::cosign)
add_executable(static "$root/examples/c/sign_and_verify.c")
target_link_libraries(static PRIVATE cosign::static)
CMAKE
    cmake -S "$work/cmake" -B "$work/cmake/build" -DCMAKE_PREFIX_PATH="$there" && cmake --build "$work/cmake/build" || return 1
    local kind
    for kind in shared static; do "$work/cmake/build/$kind" "oci:$work/moved_image:v1" || return 1; done
    readelf -d "$work/cmake/build/shared" | grep "$there" >/dev/null || return 1
    PKG_CONFIG_PATH=$there/lib/pkgconfig pkg-config --cflags --libs cosign | tee /dev/stderr | grep -q "moved/deep"
}

for compiler in gcc clang; do
    command -v "$compiler" >/dev/null || { echo "FAIL $compiler is missing"; failed=$((failed + 1)); continue; }
    for standard in c89 c99 c11 c17 c2x; do step "$compiler -std=$standard" include_twice "$compiler" "$standard" c; done
done
for compiler in g++ clang++; do
    command -v "$compiler" >/dev/null || { echo "FAIL $compiler is missing"; failed=$((failed + 1)); continue; }
    for standard in c++98 c++11 c++17 c++20; do step "$compiler -std=$standard" include_twice "$compiler" "$standard" cpp; done
done
step "the installed headers are the committed ones" installed_header_is_the_committed_one
step "every function's comment is complete" doc_lint
step "symbols of the header" same_symbols header
step "symbols of libcosign.so" same_symbols so
step "symbols of libcosign.a" same_symbols archive
step "symbol versions" symbols_carry_versions
step "versions agree" versions_agree
step "stays mapped, read-only after loading" stays_mapped_and_protected
step "needed libraries" needs_only_the_system
step "no search path" has_no_search_path
step "no path of the build machine" holds_no_path_of_this_machine
step "size" size_is_bounded
step "promises, gcc" promises gcc gcc
step "promises, clang" promises clang clang
step "promises, AddressSanitizer and UBSan" promises sanitized gcc -fsanitize=address,undefined -fno-sanitize-recover=all
step "promises, linked to libcosign.a" promises_static
step "every NULL, bad text and foreign object" sweep
step "the same under AddressSanitizer" sweep -fsanitize=address,undefined -fno-sanitize-recover=all
step "blobs" blobs
step "blobs under AddressSanitizer" blobs -fsanitize=address,undefined -fno-sanitize-recover=all
step "dlopen, use, dlclose" unload
for compiler in gcc clang; do
    for file in verify sign_and_verify; do step "example $file, $compiler c89" example_c89 "$compiler" "$file"; done
done
step "the examples verify and refuse" examples_run
step "a registry" registry
step "a transparency log" transparency_log
step "signatures elsewhere, clean, gc and copy" maintain
step "batches" batches
step "batches under AddressSanitizer" batches -fsanitize=address,undefined -fno-sanitize-recover=all
step "a registry that fails" faults
step "the verbs of 2021" seed
step "a moved tree, with CMake and pkg-config" moved_tree

echo "$passed passed, $failed failed"
[[ $failed == 0 ]]
