"""`sign`."""

from __future__ import annotations

import cosign

from . import UsageError
from ._detached import payload_file, sign_detached
from ._flags import (
    Parser,
    annotation_pairs,
    client,
    docker_media_types,
    duration,
    format_flags,
    need_images,
    note,
    only,
    only_bool,
    registry_flags,
    wanted_format,
)
from ._generate import FORM_HELP, FORMS
from ._keys import load_private_key
from ._tlog import log_flags, tell, wanted_upload

TAG_WARNING = """\
WARNING: Image reference {image} uses a tag, not a digest, to identify the image to sign.
    This can lead you to sign a different image than the intended one. Please use a
    digest (example.com/ubuntu@sha256:abc123...) rather than tag
    (example.com/ubuntu:latest) for the input to cosign.
"""


def sign(arguments: list[str]) -> int:
    parser = Parser("sign", "--key FILE [FLAGS] IMAGE...", "Sign images, in registries or OCI layouts (oci:PATH).")
    parser.text("--key", help="the private key")
    parser.many("-a", "--annotations", help="key=value to sign along with the image")
    parser.text("--sign-container-identity", help="the name to sign for instead of the image's own")
    parser.switch("-r", "--recursive", help="sign every image that an index leads to as well")
    format_flags(
        parser, "legacy (default; cosign 1 to 3, skopeo and podman read it), bundle (cosign 3 writes it) or both"
    )
    parser.switch("--no-journal", help="take fewer requests; others who sign at the same time can lose the signature")
    parser.switch("--allow-journal-only", help="succeed although only this library finds the signature")
    parser.text("--tag-suffix", help="suffix of the signature's tag (default .sig; .cosign in 2021)")
    parser.text("--layout-tag", help="give the signed image this name in the layout")
    parser.text("--payload", help="sign the bytes of this file, in any format, and attach both")
    parser.text("--payload-form", help=FORM_HELP)
    parser.switch("--upload", default=True, help="false: print the signature in base64 and store nothing")
    parser.text("--output-signature", help="with --upload=false: write the signature to this file instead")
    parser.text("--output-payload", help="with --upload=false: write what was signed to this file")
    parser.switch("--tlog-upload", default=None, help="add the signature to the transparency log (default: if TLOG=1)")
    parser.switch("--force-tlog", help="add it also if the image is private")
    log_flags(parser)
    parser.switch("--use-signing-config", help="must be false so far")
    parser.switch("-y", "--yes", help="accepted: nothing is ever asked")
    registry_flags(parser)
    options = parser.read(arguments)
    format = wanted_format(options)
    only(options, "--payload-form", FORMS, "no such form")
    only_bool(options, "--use-signing-config", False, "signing configurations are not read yet")
    tlog = wanted_upload(options)
    images = need_images(parser, options.images)
    pairs = annotation_pairs(options.annotations)
    payload = None if options.payload is None else payload_file(options.payload)
    if payload is not None and pairs:
        raise UsageError("--payload and -a contradict each other: annotations are part of the payload")
    if not options.upload:
        return sign_detached(options, images, payload, pairs, format)
    if options.output_signature is not None or options.output_payload is not None:
        raise UsageError("--output-signature and --output-payload go with --upload=false")
    registries = client(options, images)
    docker = docker_media_types()
    code = 0
    with load_private_key(options.key) as key:
        signer = cosign.Signer(key, registries)
        for image in images:
            warn_of_tag(image)
            note("Signing artifact...")
            signed = signer.sign_image(
                image,
                format=format or "legacy",
                journal=not options.no_journal,
                annotations=pairs,
                identity=options.sign_container_identity,
                docker_media_types=docker,
                layout_tag=options.layout_tag,
                tag_suffix=options.tag_suffix,
                recursive=bool(options.recursive),
                tlog=tlog,
                payload=payload,
                payload_form=options.payload_form or "today",
                timeout=duration(options.timeout),
            )
            tell(signed)
            if signed.added:
                note(f"Pushing signature to: {signed.reference.partition('@')[0]}")
            else:
                note(f"This key has signed {signed.reference} before: nothing was written")
            if signed.layout_needs_name:
                note("WARNING: the image has no name in its layout, so some tools cannot find it beside its signature;")
                note("    name it with --layout-tag NAME")
            for signature in signed.signatures:
                if not _is_found_by_all(signature) and not options.allow_journal_only:
                    code = 1
    return code


def warn_of_tag(image: str) -> None:
    """What a tag names may change before it is signed."""
    if not image.startswith("oci:") and "@" not in image:
        note(TAG_WARNING.format(image=image))


def _is_found_by_all(signature: cosign.StoredSignature) -> bool:
    """Says what is to be known of where the signature is, and whether every tool finds it."""
    what = f"the {signature.format} signature"
    if signature.status == "stored":
        return True
    if signature.status == "stored_unprotected":
        note(f"WARNING: {what} is stored at {signature.place}, but not protected: {signature.reason}.")
        note(
            "    Somebody who signs at the same time may have overwritten it; verify it, and sign again if it is gone."
        )
        return True
    note(f"WARNING: {what} is only in the journal beside {signature.place}: {signature.reason}.")
    note(
        "    This cosign finds it there, other tools do not. Sign again when the registry takes it, in another format,"
    )
    note("    or accept this with --allow-journal-only.")
    return False
