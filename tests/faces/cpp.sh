#!/usr/bin/env bash
# cosign.hpp against an installed library: two compilers, two language versions, pkg-config and CMake.
# Needs COSIGN_PREFIX (what `make install` wrote) and clang++ in PATH or below COSIGN_TOOLS.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
COSIGN_PREFIX=${COSIGN_PREFIX:-${COSIGN_STAGE:?COSIGN_PREFIX is to be the prefix of make install}}
export PATH=${COSIGN_TOOLS:+$COSIGN_TOOLS:}$PATH
export PKG_CONFIG_PATH=$COSIGN_PREFIX/lib/pkgconfig
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

step() {
    local name=$1
    shift
    if "$@" >"$work/out" 2>&1; then
        passed=$((passed + 1))
        echo "ok   $name: $(tail -n 1 "$work/out")"
    else
        failed=$((failed + 1))
        echo "FAIL $name"
        sed 's/^/     /' "$work/out"
    fi
}

build_and_drive() {
    local compiler=$1 standard=$2 at=$work/$1-$2
    mkdir "$at" &&
        "$compiler" "-std=$standard" -O1 -Wall -Wextra -Wpedantic -Wshadow -Werror -pthread "$root/tests/cpp/driver.cpp" \
            $(pkg-config --cflags --libs cosign) "-Wl,-rpath,$COSIGN_PREFIX/lib" -o "$at/driver" &&
        "$at/driver" "$root/examples/image" "$at"
}

# A program may include it twice, and in two of its files.
two_files() {
    local compiler=$1
    printf '#include <cosign.hpp>\n#include <cosign.hpp>\nint two() { return cosign_version_number() > 0; }\n' >"$work/a.cpp"
    printf '#include <cosign.hpp>\nint two();\nint main() { return two() ? 0 : 1; }\n' >"$work/b.cpp"
    "$compiler" -std=c++17 -Wall -Wextra -Werror "$work/a.cpp" "$work/b.cpp" $(pkg-config --cflags --libs cosign) \
        "-Wl,-rpath,$COSIGN_PREFIX/lib" -o "$work/two" && "$work/two"
}

# What a user of the CMake package writes.
with_cmake() {
    mkdir "$work/cmake" && cat >"$work/cmake/CMakeLists.txt" <<CMAKE &&
cmake_minimum_required(VERSION 3.16)
project(driver CXX)
find_package(cosign CONFIG REQUIRED)
find_package(Threads REQUIRED)
add_executable(driver "$root/tests/cpp/driver.cpp")
target_compile_features(driver PRIVATE cxx_std_17)
target_link_libraries(driver PRIVATE cosign::cosign Threads::Threads)
CMAKE
        cmake -S "$work/cmake" -B "$work/cmake/build" -DCMAKE_PREFIX_PATH="$COSIGN_PREFIX" &&
        cmake --build "$work/cmake/build" && mkdir "$work/cmake/images" &&
        "$work/cmake/build/driver" "$root/examples/image" "$work/cmake/images"
}

for compiler in g++ clang++; do
    for standard in c++17 c++20; do
        step "$compiler -std=$standard" build_and_drive "$compiler" "$standard"
    done
    step "$compiler two files" two_files "$compiler"
done
step "CMake package" with_cmake

echo "$passed passed, $failed failed"
[[ $failed == 0 ]]
