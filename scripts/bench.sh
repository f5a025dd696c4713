#!/usr/bin/env bash
# Figures: in-process (criterion), whole processes beside the real tools, and the size of the library.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools=$(scripts/tools.sh)
eval "$tools"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
stage=$PWD/target/bench-stage

make --no-print-directory install PREFIX="$stage" >/dev/null
cargo build --quiet --locked --release -p cosign-example
export COSIGN_RUST_EXAMPLE=$CARGO_TARGET_DIR/release/cosign-example COSIGN_C_EXAMPLE=$stage/verify
cc examples/c/verify.c -o "$COSIGN_C_EXAMPLE" -I"$stage/include" -L"$stage/lib" -lcosign -Wl,-rpath,"$stage/lib"
if [[ -z ${COSIGN_PYTHON:-} ]]; then
    scripts/wheel.sh >/dev/null
    rm -rf target/bench-venv
    "$COSIGN_VENV/bin/python" -m venv target/bench-venv
    target/bench-venv/bin/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps target/wheels/*.whl
    export COSIGN_PYTHON=$PWD/target/bench-venv/bin/python
fi

printf 'libcosign.so: %s bytes\n' "$(stat -L -c %s "$stage/lib/libcosign.so")"
python3 benches/processes.py
cargo bench --quiet --locked -p cosign-benches --bench core
