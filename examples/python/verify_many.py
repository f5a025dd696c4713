"""Verifies every image of a list, many at a time: `python verify_many.py cosign.pub images.txt`."""

import sys

import cosign

policy = cosign.Policy(keys=[cosign.PublicKey.load(sys.argv[1])])
refused = False
with open(sys.argv[2]) as images:
    for result in cosign.Verifier(policy).verify_images(line.strip() for line in images):
        refused = refused or result.verified is None
        print(result.error.code if result.error else "verified", result.image)
sys.exit(refused)
