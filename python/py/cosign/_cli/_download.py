"""`download`: as in 2021, and `download signature` as today."""

from __future__ import annotations

import sys

import cosign

from . import UsageError
from ._flags import Parser, client, format_flags, one_image, registry_flags, wanted_format


def download(arguments: list[str]) -> int:
    if arguments and arguments[0] in ("attestation", "sbom"):
        raise UsageError(f"download {arguments[0]} is not supported yet")
    today = bool(arguments) and arguments[0] == "signature"
    command = "download signature" if today else "download"
    about = "Print the signatures that are stored for an image; nothing is verified."
    parser = Parser(command, "[FLAGS] IMAGE", about)
    if today:
        format_flags(parser, "the only format that is looked for: legacy or bundle (default both)")
    parser.text("--tag-suffix", help="suffix of the signature's tag (default .sig; .cosign in 2021)")
    registry_flags(parser)
    options = parser.read(arguments[1:] if today else arguments)
    image = one_image(options.images)
    registries: cosign.Client = client(options, [image])
    format = wanted_format(options) if today else "legacy"
    for signature in registries.download(image, format=format, tag_suffix=options.tag_suffix):
        line = signature.to_json() if today else signature.to_json_2021()
        if line is not None:
            sys.stdout.write(f"{line}\n")
    return 0
