#!/usr/bin/env bash
# Figures: whole processes beside the real tools, in-process (criterion) beside OpenSSL, and the sizes of what is shipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools=$(scripts/tools.sh)
eval "$tools"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
stage=$PWD/target/bench-stage
export COSIGN_EXAMPLES=$stage/examples COSIGN_MEASURE=$stage/measure COSIGN_C_EXAMPLE=$stage/verify

make --no-print-directory install PREFIX="$stage" >/dev/null
mkdir -p "$COSIGN_EXAMPLES"
cc -O2 benches/measure.c -o "$COSIGN_MEASURE"
cc -O2 examples/c/verify.c -o "$COSIGN_C_EXAMPLE" -I"$stage/include" -L"$stage/lib" -lcosign -Wl,-rpath,"$stage/lib"
cc -O2 examples/c/sign_and_verify.c -o "$COSIGN_EXAMPLES/c" -I"$stage/include" -L"$stage/lib" -lcosign \
    -Wl,-rpath,"$stage/lib"
c++ -std=c++17 -O2 examples/cpp/sign_and_verify.cpp -o "$COSIGN_EXAMPLES/cpp" -I"$stage/include" -L"$stage/lib" \
    -lcosign -Wl,-rpath,"$stage/lib"
(
    cd examples/go/sign_and_verify
    PKG_CONFIG_PATH=$stage/lib/pkgconfig CGO_LDFLAGS="-Wl,-rpath,$stage/lib" GOFLAGS=-mod=mod GOPROXY=off \
        go build -o "$COSIGN_EXAMPLES/go" .
)
cargo build --quiet --locked --release -p cosign-example
export COSIGN_RUST_EXAMPLE=$CARGO_TARGET_DIR/release/cosign-example
cp "$CARGO_TARGET_DIR/release/sign_and_verify" "$COSIGN_EXAMPLES/rust"
if [[ -z ${COSIGN_PYTHON:-} ]]; then
    scripts/wheel.sh >/dev/null
    rm -rf target/bench-venv
    "$COSIGN_VENV/bin/python" -m venv target/bench-venv
    target/bench-venv/bin/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps target/wheels/*.whl
    export COSIGN_PYTHON=$PWD/target/bench-venv/bin/python
fi

printf 'sizes\n'
printf '  %-40s %9d bytes\n' libcosign.so "$(stat -L -c %s "$stage/lib/libcosign.so")" \
    libcosign.a "$(stat -L -c %s "$stage/lib/libcosign.a")"
for wheel in target/wheels/*.whl; do printf '  %-40s %9d bytes\n' "the wheel" "$(stat -c %s "$wheel")"; done
for peer in cosign2 cosign3; do
    # The name in bin/ is a script that starts the unpacked program.
    program=$(sed -n "s/^exec '\([^']*\)'.*/\1/p" "$COSIGN_TOOLS/$peer")
    printf '  %-40s %9d bytes\n' "real $peer" "$(stat -c %s "$program")"
done
python3 benches/processes.py
python3 benches/blobs.py
cargo bench --quiet --locked -p cosign-benches --bench cancel
cargo bench --quiet --locked -p cosign-benches --bench core >target/bench-core.log
python3 benches/figures.py
cargo build --quiet --locked --release -p cosign-tests --bin cosign-test-registry
COSIGN_TEST_REGISTRY=$CARGO_TARGET_DIR/release/cosign-test-registry cargo bench --quiet --locked -p cosign-benches --bench batch
for script in thousand losses hostile; do "$COSIGN_PYTHON" "benches/network/$script.py"; done
