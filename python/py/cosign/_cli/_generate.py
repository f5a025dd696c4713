"""`generate`."""

from __future__ import annotations

import sys

import cosign

from ._flags import Parser, annotation_pairs, client, one_image, only, registry_flags

FORMS = ("today", "2021")
FORM_HELP = "today (default), or 2021: the payload as cosign wrote it in March 2021"


def generate(arguments: list[str]) -> int:
    parser = Parser("generate", "[FLAGS] IMAGE", "Print the payload that sign signs, for signing it elsewhere.")
    parser.many("-a", "--annotations", help="key=value to sign along with the image")
    parser.text("--sign-container-identity", help="the name to sign for instead of the image's own")
    parser.text("--payload-form", help=FORM_HELP)
    registry_flags(parser)
    options = parser.read(arguments)
    only(options, "--payload-form", FORMS, "no such form")
    image = one_image(options.images)
    registries: cosign.Client = client(options, [image])
    payload = registries.generate(
        image,
        annotations=annotation_pairs(options.annotations),
        identity=options.sign_container_identity,
        payload_form=options.payload_form or "today",
    )
    # No newline: what is printed is what is signed.
    sys.stdout.buffer.write(payload)
    sys.stdout.buffer.flush()
    return 0
