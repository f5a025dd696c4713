#!/usr/bin/env bash
# Everything that can be said about the sources without running them. All checks run; one that fails fails the whole.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools=$(scripts/tools.sh python) || exit 1
eval "$tools"
export MYPY_CACHE_DIR="${CARGO_TARGET_DIR:-$PWD/target}/mypy" RUFF_CACHE_DIR="${CARGO_TARGET_DIR:-$PWD/target}/ruff"
stage=$PWD/target/stage
passed=0 failed=()

check() {
    local name=$1 started=$SECONDS
    shift
    printf '== %s\n' "$name"
    if "$@"; then
        passed=$((passed + 1))
    else
        failed+=("$name")
        printf '== %s: FAILED\n' "$name"
    fi
    printf '== %s: %d s\n' "$name" $((SECONDS - started))
}

rust_format() { cargo fmt --all --check; }
rust_clippy() {
    # The second one as the pure suite and wasm build it: without a client and without aws-lc.
    cargo clippy --quiet --locked --workspace --all-targets -- -D warnings \
        && cargo clippy --quiet --locked -p cosign-core --no-default-features --features backend-rustcrypto --lib --tests \
            -- -D warnings
}
rust_docs() { RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --workspace --no-deps; }
python_ruff() {
    "$COSIGN_VENV/bin/ruff" check --quiet python \
        && "$COSIGN_VENV/bin/ruff" format --check --quiet python \
        && "$COSIGN_VENV/bin/ruff" check --quiet --config python/pyproject.toml scripts examples/python \
        && "$COSIGN_VENV/bin/ruff" format --check --quiet --config python/pyproject.toml scripts examples/python
}
python_types() {
    (cd python && "$COSIGN_VENV/bin/mypy" --strict --no-error-summary py/cosign) \
        && (cd scripts && "$COSIGN_VENV/bin/mypy" --strict --no-error-summary ./*.py)
}
shell_syntax() {
    local file bad=0
    for file in scripts/*.sh .ci/run tests/*/*.sh examples/*/*.sh; do
        [[ ! -f $file ]] || bash -n "$file" || bad=1
    done
    return $bad
}
go_format() {
    local unformatted
    unformatted=$(gofmt -l examples tests) || return 1
    [[ -z $unformatted ]] || { printf 'gofmt would change:\n%s\n' "$unformatted"; return 1; }
}
# Every Go module in the tree, against the installed library as its users see it.
go_vet() {
    COSIGN_PROFILE=${COSIGN_PROFILE:-thin} make --no-print-directory install PREFIX="$stage" || return 1
    local module modules=0
    while read -r module; do
        modules=$((modules + 1))
        # The servers of tests/stack would have to be built whole to be looked at; what the tests use of it is.
        local packages=./...
        [[ $module != tests/stack/go.mod ]] || packages=./cmd/registry
        (cd "$(dirname "$module")" && PKG_CONFIG_PATH=$stage/lib/pkgconfig go vet "$packages") || return 1
    done < <(find examples tests -name go.mod)
    ((modules > 0)) || { echo "no Go module found"; return 1; }
}
generated_files() { cargo run --quiet --locked -p cosign-tests --bin generate -- --check; }
# What the shared library and the wheel must not carry, and what the tests' feature must not bring in.
dependencies() {
    local tree package found
    for package in cosign-ffi cosign-python; do
        tree=$(cargo tree --locked -p "$package" -e normal --prefix none) || return 1
        if found=$(grep -E '^oci-(client|spec) ' <<<"$tree"); then
            printf '%s contains %s\n' "$package" "$found"
            return 1
        fi
    done
    tree=$(cargo tree --locked -p cosign-core --features oci-client -e normal --prefix none --target all) || return 1
    grep -q '^oci-client ' <<<"$tree" || { echo "the feature oci-client brings no oci-client"; return 1; }
    if found=$(grep -E '^(openssl|openssl-sys|native-tls|ring) ' <<<"$tree"); then
        printf 'a second TLS: %s\n' "$found"
        return 1
    fi
}
floors() { python3 scripts/floors.py && python3 scripts/floors_test.py 2>&1 | tail -3; }

check "rustfmt" rust_format
check "floors" floors
check "dependencies" dependencies
check "ruff" python_ruff
check "mypy" python_types
check "shell" shell_syntax
check "gofmt" go_format
check "clippy" rust_clippy
check "cargo doc" rust_docs
check "generated files" generated_files
check "go vet" go_vet

printf '%d checks passed, %d failed%s\n' "$passed" "${#failed[@]}" "${failed[*]:+: ${failed[*]}}"
((${#failed[@]} == 0))
