#!/usr/bin/env bash
# Builds one wheel into target/wheels. WHEEL_PROFILE is the Cargo profile (default: release).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools=$(scripts/tools.sh python)
eval "$tools"
mkdir -p target/wheels
rm -f target/wheels/*.whl
"$COSIGN_VENV/bin/maturin" build --quiet --locked --profile "${WHEEL_PROFILE:-release}" --manifest-path python/Cargo.toml \
    --interpreter "$COSIGN_VENV/bin/python" --out target/wheels
ls target/wheels/*.whl
