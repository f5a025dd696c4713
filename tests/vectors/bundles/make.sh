#!/usr/bin/env bash
# Makes the vectors of this folder anew with real cosign 3.1.1 and Debian's registry (scripts/tools.sh): run from anywhere.
# ECDSA signatures and the times in manifests differ on each run; everything else comes out the same.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
here=$PWD root=$PWD/../../..
bin=${COSIGN_TOOLS:-$HOME/.cache/libcosign/bin}
work=$(mktemp -d)
export HOME=$work COSIGN_PASSWORD=test TUF_ROOT=$work/tuf DOCKER_CONFIG=$work/docker
export HTTP_PROXY=http://127.0.0.1:9 HTTPS_PROXY=http://127.0.0.1:9
port=${PORT:-5199}
cat >"$work/config.yml" <<YML
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $work/data}}
http: {addr: "127.0.0.1:$port"}
YML
"$bin/docker-registry" serve "$work/config.yml" >"$work/registry.log" 2>&1 &
registry=$!
trap 'kill $registry; rm -rf "$work"' EXIT
sleep 1

cosign() { "$bin/cosign3" "$@" >"$work/out" 2>&1 || { cat "$work/out" >&2; echo "failed: cosign $*" >&2; return 1; }; }
offline=(--use-signing-config=false --tlog-upload=false -y)
repo=127.0.0.1:$port/v
push() { "$bin/oras" cp --from-oci-layout "$root/examples/image:v1" --to-plain-http "$repo/$1:v1" >/dev/null; }
link() { cat "$work/data/docker/registry/v2/repositories/v/$1/_manifests/tags/$2/current/link"; }
blob() { local hex=${1#sha256:}; cat "$work/data/docker/registry/v2/blobs/sha256/${hex:0:2}/$hex/data"; }
json() { python3 -c 'import json,sys
v=json.load(sys.stdin)
for k in sys.argv[1:]: v = v[int(k)] if k.isdigit() else v[k]
print(v)' "$@"; }

# What hangs on the image of repository $1, the $2-th referrer: manifest and bundle under the name $3.
keep() {
    local image index digest
    image=$(link "$1" v1)
    index=$(link "$1" "${image/:/-}")
    blob "$index" >"$3.index.json"
    digest=$(json manifests "$2" digest <"$3.index.json")
    blob "$digest" >"$3.manifest.json"
    blob "$(json layers 0 digest <"$3.manifest.json")" >"$3.sigstore.json"
}

printf 'hello, blob\n' >blob.txt
keys=$here/../keys
declare -A private=([p256]=$keys/sigstore-n32768.key)
cp "$keys/sigstore-n32768.pub" p256.pub
for kind in p384 p521 ed25519 rsa2048; do
    cosign import-key-pair --key "$keys/import/$kind.pkcs8.pem" --output-key-prefix "$work/$kind"
    private[$kind]=$work/$kind.key
    cp "$work/$kind.pub" "$kind.pub"
done
for kind in p256 p384 p521 ed25519 rsa2048; do
    push "$kind"
    cosign sign --key "${private[$kind]}" "${offline[@]}" "$repo/$kind:v1"
    keep "$kind" 0 "image-$kind"
    cosign sign-blob --key "${private[$kind]}" "${offline[@]}" --bundle "blob-$kind.sigstore.json" blob.txt
    cosign sign-blob --key "${private[$kind]}" "${offline[@]}" --new-bundle-format=false --bundle "blob-$kind.old.json" blob.txt
done
push annotated
cosign sign --key "${private[p256]}" "${offline[@]}" -a 'z=<x>&y' -a u=é -a a=1 "$repo/annotated:v1"
keep annotated 0 image-annotated
push attested
echo '{"b":1,"a":{"c":true}}' >"$work/predicate.json"
cosign attest --key "${private[p256]}" "${offline[@]}" --type https://example.com/predicate --predicate "$work/predicate.json" "$repo/attested:v1"
keep attested 0 image-attested
cosign attest-blob --key "${private[p256]}" "${offline[@]}" --type https://example.com/predicate --predicate "$work/predicate.json" --bundle attest-blob.sigstore.json blob.txt
chmod 644 -- *.json *.pub *.txt
