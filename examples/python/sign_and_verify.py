"""Signs an image with a new key and verifies it. The image is a folder: `python sign_and_verify.py oci:PATH`."""

import sys

import cosign

image = sys.argv[1]

key = cosign.PrivateKey.generate()
cosign.Signer(key).sign_image(image)
verified = cosign.Verifier(cosign.Policy(keys=[key.public_key])).verify(image)
print(verified.digest)
