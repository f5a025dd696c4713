#!/usr/bin/env bash
# Makes the certificates of this folder anew with openssl 3.0: signer*.pem hold the key of keys/import/p256.pkcs8.pem,
# other.pem holds a key that is thrown away, and the signer's key only inside an extension.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
signer=../keys/import/p256.pkcs8.pem
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
years=(-days 36500)

openssl req -x509 -new -key "$signer" -subj /CN=signer "${years[@]}" -out signer.pem
# Without extensions openssl 3.0 writes version 1, whose first member is the serial number.
openssl req -new -key "$signer" -subj /CN=signer -out "$work/request"
openssl x509 -req -in "$work/request" -signkey "$signer" "${years[@]}" -out signer-v1.pem 2>/dev/null
openssl ecparam -name prime256v1 -genkey -noout -out "$work/other"
spki=$(openssl pkey -in "$signer" -pubout -outform DER | od -An -v -tx1 | tr -d ' \n' | sed 's/../&:/g; s/:$//')
openssl req -x509 -new -key "$work/other" -subj /CN=other "${years[@]}" -addext "1.2.3.4=DER:$spki" -out other.pem
