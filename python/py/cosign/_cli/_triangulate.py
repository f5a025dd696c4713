"""`triangulate`."""

from __future__ import annotations

import cosign

from ._flags import Parser, client, one_image, only, registry_flags

SUFFIXES = {"signature": ".sig", "attestation": ".att", "sbom": ".sbom"}


def triangulate(arguments: list[str]) -> int:
    parser = Parser("triangulate", "[FLAGS] IMAGE", "Print where the signatures of an image are stored.")
    parser.text("--type", default="signature", help="signature (default), attestation, sbom or digest")
    parser.text("--tag-suffix", help="suffix of the signature's tag (default .sig; .cosign in 2021)")
    registry_flags(parser)
    options = parser.read(arguments)
    only(options, "--type", (*SUFFIXES, "digest"), "no such type")
    image = one_image(options.images)
    registries: cosign.Client = client(options, [image])
    if options.type == "digest":
        print(registries.resolve(image))
    else:
        print(registries.triangulate(image, suffix=options.tag_suffix or SUFFIXES[options.type]))
    return 0
