#!/usr/bin/env bash
# Fetches what the tests need and runs all of them; the last line is the total.
#
#   scripts/test.sh              everything
#   scripts/test.sh rust faces   only these suites
#
# Nothing is skipped: a missing tool, an ignored test and a suite that ran no test are failures.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
all="rust pure wasm install wheel faces python"
suites=${*:-$all}

tools=$(scripts/tools.sh) || exit 1
eval "$tools"

# What the suites find in their environment: the tools' folder, the installed prefix, a Python that has the
# wheel and nothing of this tree, one Cargo profile for everything that is linked.
export COSIGN_PREFIX=$PWD/target/stage COSIGN_PYTHON=$PWD/target/venv/bin/python
export COSIGN_PROFILE=${COSIGN_PROFILE:-thin} WHEEL_PROFILE=${WHEEL_PROFILE:-thin}
# The registry of the Rust tests as a program, for those in C, Go and Python.
export COSIGN_TEST_REGISTRY=${CARGO_TARGET_DIR:-$PWD/target}/debug/cosign-test-registry
# And the whole Sigstore that they start.
export COSIGN_TEST_STACK=${CARGO_TARGET_DIR:-$PWD/target}/debug/cosign-test-stack
# Hostile or merely personal settings of the machine must not decide a test.
unset COSIGN_PASSWORD COSIGN_REPOSITORY COSIGN_KEY DOCKER_CONFIG REGISTRY_AUTH_FILE
unset TLOG REKOR_SERVER SIGSTORE_REKOR_PUBLIC_KEY

logs=$PWD/target/test-logs
mkdir -p "$logs"
lines=() total_passed=0 total_failed=0

# One suite's line. A suite that passed nothing has failed.
record() {
    local name=$1 passed=$2 failed=$3 seconds=$4
    if ((passed + failed == 0)); then failed=1; fi
    lines+=("$(printf '%-28s %5d passed, %d failed  (%d s)' "$name" "$passed" "$failed" "$seconds")")
    total_passed=$((total_passed + passed)) total_failed=$((total_failed + failed))
}

# Runs a command with its output shown and kept in a log; sets `code`, `log` and `seconds`.
run() {
    local name=$1 started=$SECONDS
    shift
    log=$logs/${name//[^a-zA-Z0-9]/-}.log
    printf '\n=== %s\n' "$name"
    "$@" 2>&1 | tee "$log"
    code=${PIPESTATUS[0]}
    seconds=$((SECONDS - started))
}

# `passed failed` summed over the binaries of cargo test; ignored tests count as failed. A test that starts itself again
# prints its child's result line too, so of each binary only the last one counts (doc tests have one per edition). With a
# second argument only the binary of that integration test is counted, with a third everything but it.
cargo_counts() {
    awk -v only="$2" -v but="$3" '
        function close_binary() { passed += good; failed += bad; good = bad = 0 }
        /^ *(Running|Doc-tests) / { close_binary(); here = $0; doc = /Doc-tests/ }
        /^test result: / || /\.\.\. test result: / {
            named = here ~ ("tests/" (only != "" ? only : but) "\\.rs")
            if ((only != "" && !named) || (but != "" && named)) next
            if (!doc) good = bad = 0
            for (i = 1; i < NF; i++) {
                if ($(i + 1) ~ /^passed/) good += $i
                if ($(i + 1) ~ /^(failed|ignored)/) bad += $i
            }
        }
        END { close_binary(); print passed + 0, failed + 0 }
    ' "$1"
}

record_cargo() {
    local name=$1 only=${2:-} but=${3:-} passed failed
    read -r passed failed < <(cargo_counts "$log" "$only" "$but")
    # A build error, or a test binary that died, has no result line of its own.
    if ((code != 0)) && [[ -z $only ]] && ! grep -q '^test result: FAILED' "$log"; then failed=$((failed + 1)); fi
    record "$name" "$passed" "$failed" "$seconds"
}

suite_rust() {
    run rust cargo test --locked --workspace --exclude cosign-python --no-fail-fast
    record_cargo "rust" "" interop
    record_cargo "interop (in rust's time)" interop
}

# The second crypto backend, alone, on the floors that it must carry. (The crate's own example needs a client.)
suite_pure() {
    run pure cargo test --locked -p cosign-core --no-default-features --features backend-rustcrypto --lib --tests \
        --no-fail-fast
    record_cargo "rust, pure backend"
}

suite_wasm() {
    run wasm cargo check --locked -p cosign-core --no-default-features --features backend-rustcrypto \
        --target wasm32-unknown-unknown
    record "wasm check" $((code == 0)) $((code != 0)) "$seconds"
}

suite_install() {
    rm -rf "$COSIGN_PREFIX"
    run install make --no-print-directory install PREFIX="$COSIGN_PREFIX"
    record "make install" $((code == 0)) $((code != 0)) "$seconds"
}

# The wheel as a user has it: built, installed into a fresh environment, and nothing of the source tree on the path.
suite_wheel() {
    run wheel python_environment
    record "wheel" $((code == 0)) $((code != 0)) "$seconds"
}

python_environment() {
    scripts/wheel.sh || return 1
    rm -rf target/venv
    "$COSIGN_VENV/bin/python" -m venv target/venv || return 1
    # pytest comes from the tools' environment; the wheel itself needs nothing.
    "$COSIGN_VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
        >"$(target/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tools.pth" || return 1
    target/venv/bin/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps target/wheels/*.whl
}

# A suite that misses it says so.
test_registry() { cargo build --quiet --locked -p cosign-tests --bin cosign-test-registry --bin cosign-test-stack; }

# C, C++, Go: each script prints one or more lines `N passed, N failed`.
suite_faces() {
    local script passed failed found=0
    test_registry
    for script in tests/faces/*.sh; do
        [[ -x $script ]] || continue
        found=1
        run "$(basename "$script" .sh)" "$script"
        read -r passed failed < <(awk '/^[0-9]+ passed, [0-9]+ failed/ { p += $1; f += $3 } END { print p + 0, f + 0 }' "$log")
        if ((code != 0 && failed == 0)); then failed=1; fi
        record "$(basename "$script" .sh)" "$passed" "$failed" "$seconds"
    done
    if ((found == 0)); then
        echo "no executable script in tests/faces"
        record "faces" 0 1 0
    fi
}

suite_python() {
    test_registry
    run python "$COSIGN_PYTHON" -m pytest -q -p no:cacheprovider -rs python/tests
    local passed failed
    read -r passed failed < <(awk '
        / in [0-9.]+s/ {
            for (i = 1; i < NF; i++) {
                if ($(i + 1) ~ /^passed/) passed = $i
                if ($(i + 1) ~ /^(failed|error|errors|skipped|xfailed|xpassed)/) failed += $i
            }
        }
        END { print passed + 0, failed + 0 }
    ' <(sed 's/\x1b\[[0-9;]*m//g; s/,//g; s/=//g' "$log"))
    if ((code != 0 && failed == 0)); then failed=1; fi
    record "python" "$passed" "$failed" "$seconds"
}

for suite in $suites; do
    [[ " $all " == *" $suite "* ]] || { echo "unknown suite $suite; there are: $all" >&2; exit 2; }
    "suite_$suite"
done

printf '\n=== all suites (%d s)\n' "$SECONDS"
printf '%s\n' "${lines[@]}"
printf '%d passed, %d failed\n' "$total_passed" "$total_failed"
((total_failed == 0))
