#!/usr/bin/env bash
# The Go package against an installed library: vet, race detector, cgo's pointer checks, the static archive, vendoring.
# Needs COSIGN_PREFIX (what `make install` wrote), COSIGN_TEST_REGISTRY and COSIGN_TEST_STACK (those programs).
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
COSIGN_PREFIX=${COSIGN_PREFIX:-${COSIGN_STAGE:?COSIGN_PREFIX is to be the prefix of make install}}
export PKG_CONFIG_PATH=$COSIGN_PREFIX/lib/pkgconfig
export LD_LIBRARY_PATH=$COSIGN_PREFIX/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
# Nothing is downloaded: the modules here need only each other.
export GOFLAGS=-mod=mod GOPROXY=off GOWORK=off GOTOOLCHAIN=local
# Go's build cache does not see that the installed header or pkg-config file changed: put both into the cache's key.
installed=$(cat "$COSIGN_PREFIX/include/cosign.h" "$PKG_CONFIG_PATH/cosign.pc" | cksum | cut -d ' ' -f 1)
export CGO_CFLAGS="-O2 -g -DCOSIGN_INSTALLED=$installed"
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
passed=0 failed=0

step() {
    local name=$1
    shift
    if "$@" >"$work/out" 2>&1; then
        passed=$((passed + 1))
        echo "ok   $name"
    else
        failed=$((failed + 1))
        echo "FAIL $name"
        sed 's/^/     /' "$work/out"
    fi
}

# Counts the tests themselves, not the run.
tests() {
    local name=$1 dir=$2
    shift 2
    (cd "$dir" && "$@" 2>&1) >"$work/tests"
    local code=$? good bad
    good=$(grep -c '^--- PASS' "$work/tests")
    bad=$(grep -c '^--- FAIL' "$work/tests")
    if [[ $code != 0 || $good == 0 ]]; then
        [[ $bad != 0 ]] || bad=1
        sed 's/^/     /' "$work/tests"
    fi
    passed=$((passed + good)) failed=$((failed + bad))
    echo "$([[ $bad == 0 ]] && echo 'ok  ' || echo FAIL) $name: $good passed, $bad failed"
}

formatted() { [[ -z $(gofmt -l "$root/examples/go" "$root/tests/go") ]]; }
vet() { (cd "$root/$1" && go vet ./...); }

# A user's program with the archive inside: from a copy, since the archive is not part of the sources.
static() {
    mkdir -p "$work/static/examples" "$work/static/tests" &&
        cp -r "$root/examples/go" "$root/examples/image" "$work/static/examples/" &&
        cp -r "$root/tests/go" "$work/static/tests/" &&
        cp "$COSIGN_PREFIX/lib/libcosign.a" "$COSIGN_PREFIX/include/cosign.h" \
            "$work/static/examples/go/cosign/lib/linux_amd64/" &&
        cd "$work/static/examples/go/sign_and_verify" &&
        env -u PKG_CONFIG_PATH -u LD_LIBRARY_PATH go build -tags cosign_static -o "$work/static/program" . &&
        ! readelf -d "$work/static/program" | grep -q libcosign &&
        cp -r "$root/examples/image" "$work/static/image" &&
        env -u LD_LIBRARY_PATH "$work/static/program" "oci:$work/static/image:v1"
}

# `go mod vendor` drops folders without Go files: the one with the archive must stay.
vendored() {
    cd "$work/static/examples/go/sign_and_verify" && go mod vendor &&
        [[ -d vendor/example.com/libcosign/cosign/lib/linux_amd64 ]] &&
        GOFLAGS=-mod=vendor go build -o "$work/static/vendored" .
}

step gofmt formatted
for module in examples/go/cosign examples/go/sign_and_verify tests/go; do step "go vet $module" vet "$module"; done
tests "go test -race" "$root/tests/go" env GODEBUG=cgocheck=1 go test -race -count=1 -v ./...
tests "go test, GOEXPERIMENT=cgocheck2" "$root/tests/go" env GOEXPERIMENT=cgocheck2 go test -count=1 -v ./...
step "static archive" static
step "go mod vendor" vendored

echo "$passed passed, $failed failed"
[[ $failed == 0 ]]
