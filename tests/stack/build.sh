#!/usr/bin/env bash
# build.sh [BINDIR [registries]]: build the servers of the stack (default: into bin/ beside this script), or only its two
# registries, which take seconds where the rest takes minutes. Needs Go 1.26 and, for the first build, the Go module proxy.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=${1:-$here/bin}
mkdir -p "$bin"
bin=$(cd "$bin" && pwd)
cd "$here"
export GOTOOLCHAIN=local
registries="./cmd/registry github.com/olareg/olareg/cmd/olareg"
rest="./cmd/mkroot ./cmd/sidecar ./cmd/tlogd
  github.com/sigstore/rekor/cmd/rekor-server
  github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix
  github.com/sigstore/fulcio
  github.com/sigstore/timestamp-authority/v2/cmd/timestamp-server"
case ${2:-all} in
  registries) mains=$registries ;;
  all) mains="$registries $rest" ;;
  *) echo "build.sh: unknown part $2" >&2; exit 2 ;;
esac
# shellcheck disable=SC2086 # a list of words
go build -buildvcs=false -trimpath -ldflags='-s -w' -o "$bin/" $mains
[ ! -e "$bin/posix" ] || mv "$bin/posix" "$bin/rekor-tiles"
