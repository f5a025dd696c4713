"""Signs the image that the first argument names with a new key, and verifies it.

cp -r examples/image /tmp/image && python examples/python/sign_and_verify.py oci:/tmp/image:v1
"""

import sys

import cosign

image = sys.argv[1] if len(sys.argv) > 1 else "oci:image:v1"
key = cosign.PrivateKey.generate()
cosign.Signer(key).sign_image(image)
verified = cosign.Verifier(cosign.Policy(keys=[key.public_key])).verify(image)
print(verified.digest)
