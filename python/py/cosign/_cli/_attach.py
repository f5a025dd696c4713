"""`upload`, as in 2021, and `attach`, which is its later name."""

from __future__ import annotations

import base64
import binascii
import os
import sys

import cosign

from . import Refusal, UsageError
from ._detached import payload_file
from ._flags import Parser, annotation_pairs, client, docker_media_types, note, one_image, only, registry_flags
from ._generate import FORM_HELP, FORMS
from ._sign import _is_found_by_all

MAX_SIGNATURE_TEXT = 64 << 10


def upload(arguments: list[str]) -> int:
    if arguments and arguments[0] in ("blob", "wasm"):
        raise UsageError(f"upload {arguments[0]} is not supported; upload attaches a signature, as in 2021")
    return _attach("upload", arguments)


def attach(arguments: list[str]) -> int:
    kind = arguments[0] if arguments else ""
    if kind in ("", "-h", "-help", "--help"):
        print("usage: cosign attach signature [FLAGS] IMAGE\n\nAttach a signature that was made elsewhere.")
        return 0
    if kind != "signature":
        raise UsageError(f"attach {kind} is not supported; there is: attach signature")
    return _attach("attach signature", arguments[1:])


def _attach(command: str, arguments: list[str]) -> int:
    parser = Parser(command, "--signature FILE|BASE64|- [FLAGS] IMAGE", "Attach a signature that was made elsewhere.")
    parser.text("--signature", help="a file, - for standard input, or the signature in base64")
    parser.text("--payload", help="the file that was signed (default: what generate prints)")
    parser.many("-a", "--annotations", help="those given to generate, when there is no --payload")
    parser.text("--sign-container-identity", help="the name given to generate, when there is no --payload")
    parser.text("--payload-form", help=FORM_HELP)
    parser.text("--tag-suffix", help="suffix of the signature's tag (default .sig; .cosign in 2021)")
    parser.text("--layout-tag", help="give the image this name in the layout")
    parser.switch("--no-journal", help="take fewer requests; others who sign at the same time can lose the signature")
    parser.switch("--allow-journal-only", help="succeed although only this library finds the signature")
    registry_flags(parser)
    options = parser.read(arguments)
    only(options, "--payload-form", FORMS, "no such form")
    image = one_image(options.images)
    pairs = annotation_pairs(options.annotations)
    payload = None if options.payload is None else payload_file(options.payload)
    signature = signature_bytes(options.signature)
    if payload is None and not pairs:
        note("WARNING: without --payload the signature is attached to what generate prints without annotations:")
        note("    if it was made with annotations, give them with -a, or the signed file with --payload")
    registries: cosign.Client = client(options, [image])
    attached = registries.attach_signature(
        image,
        signature,
        payload=payload,
        annotations=pairs,
        identity=options.sign_container_identity,
        payload_form=options.payload_form or "today",
        journal=not options.no_journal,
        docker_media_types=docker_media_types(),
        layout_tag=options.layout_tag,
        tag_suffix=options.tag_suffix,
    )
    if attached.added:
        note(f"Pushing signature to: {attached.signature_reference}")
    else:
        note(f"This signature of {attached.reference} was attached before: nothing was written")
    found = [_is_found_by_all(stored) for stored in attached.signatures]
    return 0 if all(found) or options.allow_journal_only else 1


def signature_bytes(reference: str | None) -> bytes:
    """The raw signature that `--signature` names: a file, standard input, or base64."""
    if not reference:
        raise UsageError("--signature is required: a file, - for standard input, or the signature in base64")
    if reference == "-":
        content, where = (
            sys.stdin.buffer.read(MAX_SIGNATURE_TEXT + 1) if sys.stdin is not None else b"",
            "standard input",
        )
    elif os.path.lexists(reference):
        with open(reference, "rb") as file:
            content, where = file.read(MAX_SIGNATURE_TEXT + 1), reference
    else:
        content, where = reference.encode("utf-8", "surrogateescape"), "--signature"
    if len(content) > MAX_SIGNATURE_TEXT:
        raise Refusal(f"{where}: more than {MAX_SIGNATURE_TEXT} bytes are no signature")
    text = b"".join(content.split())
    if not text:
        raise Refusal("empty signature")
    # As `openssl dgst -sign` prints it: no signature happens to be printable text.
    if any(byte > 0x7E or byte < 0x20 for byte in text):
        return content
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        what = "is neither a file nor base64" if where == "--signature" else "holds no signature in base64"
        raise UsageError(f"{where} {what}") from None
