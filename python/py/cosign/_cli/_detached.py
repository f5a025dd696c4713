"""`sign --upload=false`: the signature goes to standard output, and nothing is stored."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import cosign

from . import Refusal, UsageError
from ._flags import client
from ._keys import load_private_key

if TYPE_CHECKING:
    import argparse

# The core refuses what is longer; reading stops just behind it.
MAX_PAYLOAD = 1 << 20


def payload_file(path: str) -> bytes:
    """What was signed, to the byte."""
    with open(path, "rb") as file:
        payload = file.read(MAX_PAYLOAD + 1)
    if len(payload) > MAX_PAYLOAD:
        raise Refusal(f"{path}: the payload has more than {MAX_PAYLOAD} bytes, which no signature of an image has")
    if not payload:
        raise Refusal(f"{path}: the payload is empty")
    return payload


def sign_detached(
    options: argparse.Namespace,
    images: list[str],
    payload: bytes | None,
    pairs: dict[str, str],
    format: str | None,
) -> int:
    """Prints the base64 of each signature and a newline. A registry is asked only to resolve a tag."""
    if format in ("bundle", "both"):
        raise UsageError(f"--upload=false prints a signature of the legacy format, not --format={format}")
    if options.force_tlog or options.tlog_upload:
        raise UsageError("--upload=false stores nothing, also in no transparency log")
    if options.tag_suffix is not None or options.layout_tag is not None:
        raise UsageError("--upload=false stores nothing: --tag-suffix and --layout-tag have no meaning")
    files = [file for file in (options.output_signature, options.output_payload) if file is not None]
    if files and len(images) > 1:
        raise UsageError("--output-signature and --output-payload take one image")
    registries = client(options, images)
    with load_private_key(options.key) as key:
        signer = cosign.Signer(key, registries)
        for image in images:
            made = signer.sign_detached(
                image,
                payload=payload,
                annotations=pairs,
                identity=options.sign_container_identity,
                payload_form=options.payload_form or "today",
            )
            if options.output_payload is not None:
                _write(options.output_payload, made.payload)
            if options.output_signature is None:
                sys.stdout.write(f"{made.base64}\n")
            else:
                # cosign writes it without a newline.
                _write(options.output_signature, made.base64.encode())
    return 0


def _write(path: str, content: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
