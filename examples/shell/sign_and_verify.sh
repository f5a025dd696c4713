#!/bin/sh
# Signs the image that the first argument names with a new key, and verifies it.
#     cp -r examples/image /tmp/image && sh examples/shell/sign_and_verify.sh oci:/tmp/image:v1
set -eu
image=${1:-oci:image:v1}
keys=$(mktemp -d)
trap 'rm -rf "$keys"' EXIT
export COSIGN_PASSWORD="${COSIGN_PASSWORD-change me}"

cosign generate-key-pair --output-key-prefix "$keys/cosign"
cosign sign --key "$keys/cosign.key" "$image"
cosign verify --key "$keys/cosign.pub" "$image"
