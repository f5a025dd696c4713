"""`sign-blob`, `verify-blob`."""

from __future__ import annotations

import os
import sys

import cosign

from . import Refusal, UsageError, _passwords
from ._flags import Parser, duration, format_flags, note, only, only_bool, os_path, wanted_format
from ._keys import load_private_key, load_public_key
from ._tlog import trust_flags, trusted_logs

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

HASHES = ("sha256", "sha384", "sha512")


def sign_blob(arguments: list[str]) -> int:
    parser = Parser("sign-blob", "--key FILE [FLAGS] BLOB...", "Sign files, or standard input (-).")
    parser.text("--key", help="the private key")
    parser.switch("--b64", default=True, help="whether the signature is written in base64 (default true)")
    parser.text("--output-signature", "--output", help="write the signature to this file, not to standard output")
    parser.text("--bundle", help="write a bundle to this file: all that is needed to verify the blob")
    format_flags(
        parser, "bundle (default with --bundle; cosign 3 reads it), legacy (the JSON before bundles, and the signature)"
    )
    parser.text("--signature-digest-algorithm", help="sha256 with P-384 and P-521 keys, which cosign 2 verifies")
    parser.switch("--tlog-upload", help="must be false so far: no transparency log is written")
    parser.switch("--use-signing-config", help="must be false so far")
    parser.switch("-y", "--yes", help="accepted: nothing is ever asked")
    parser.text("-t", "--timeout", default="3m0s", help="time for one blob, as 90s or 3m (default 3m0s)")
    options = parser.read(arguments)
    only(options, "--signature-digest-algorithm", HASHES, "no such hash")
    only_bool(options, "--tlog-upload", False, "transparency logs are not written yet")
    only_bool(options, "--use-signing-config", False, "signing configurations are not read yet")
    legacy, bundle = _forms(options)
    blobs = options.images
    if not blobs:
        raise UsageError(f"no blob was given; usage: {parser.usage}")
    if len(blobs) > 1 and (options.bundle or options.output_signature):
        raise UsageError("several blobs and one output file: the last signature would replace the others")
    if blobs.count("-") > 1:
        raise UsageError("standard input can be read once")
    if "-" in blobs and _passwords.from_environment() is None and not _passwords.interactive():
        raise UsageError("standard input holds the blob, not the password of the key; set COSIGN_PASSWORD")
    with load_private_key(options.key) as key:
        signer = cosign.Signer(key)
        for blob in blobs:
            signed = signer.sign_blob(
                _blob(blob),
                digest_algorithm=options.signature_digest_algorithm,
                timeout=duration(options.timeout),
            )
            if blob != "-":
                note(f"Using payload from: {blob}")
            if options.bundle:
                _write(options.bundle, signed.bundle if bundle else signed.old_bundle)
                note(f"Wrote bundle to file {options.bundle}")
            if options.output_signature:
                _write(options.output_signature, signed.base64.encode() if options.b64 else signed.signature)
                note(f"Wrote signature to file {options.output_signature}")
            elif legacy:
                sys.stdout.buffer.write(f"{signed.base64}\n".encode() if options.b64 else signed.signature)
                sys.stdout.buffer.flush()
    return 0


def _forms(options: argparse.Namespace) -> tuple[bool, bool]:
    """Whether the signature is printed by itself, and whether `--bundle` is a sigstore bundle."""
    format = wanted_format(options)
    if format in ("bundle", "both") and not options.bundle:
        raise UsageError("must specify --bundle with --format=bundle or --new-bundle-format")
    if format is None:
        format = "bundle" if options.bundle else "legacy"
    return format in ("legacy", "both"), format in ("bundle", "both")


def verify_blob(arguments: list[str]) -> int:
    parser = Parser("verify-blob", "--key FILE [FLAGS] BLOB", "Verify a file, standard input (-), or a sha256:HEX.")
    parser.text("--key", help="the public key: a file, or the key itself in base64")
    parser.text("--signature", help="the signature: a file, - for standard input, or the signature itself in base64")
    parser.text("--bundle", help="the bundle, of cosign 3 or of before")
    format_flags(parser, "the only kind that counts: legacy or bundle (default both)")
    parser.text("--signature-digest-algorithm", help="the only hash that counts: sha256, sha384 or sha512")
    parser.switch("--insecure-ignore-tlog", default=None, help="false demands a transparency log's entry in the bundle")
    parser.switch("--private-infrastructure", help="true demands no transparency log's entry")
    parser.switch("--offline", help="accepted: nothing is ever asked, an entry must stand in the bundle")
    trust_flags(parser)
    parser.text("-t", "--timeout", default="3m0s", help="time for the blob, as 90s or 3m (default 3m0s)")
    options = parser.read(arguments)
    only(options, "--signature-digest-algorithm", HASHES, "no such hash")
    format = wanted_format(options)
    blobs = options.images
    if len(blobs) != 1:
        raise UsageError(f"accepts 1 arg(s), received {len(blobs)}")
    blob = blobs[0]
    if not options.signature and not options.bundle:
        raise UsageError("missing flag '--signature' (or '--bundle')")
    if options.signature and options.bundle:
        raise UsageError("--signature and --bundle: give one of them")
    if format == "bundle" and not options.bundle:
        raise UsageError("--format=bundle: a signature by itself is none; give --bundle")
    if blob == "-" and options.signature == "-":
        raise UsageError("standard input can be read once: it is the blob or the signature")
    # Not by TLOG=1: in 2021 neither of these commands knew a log, and sign-blob writes to none.
    demanded = options.insecure_ignore_tlog is False and not options.private_infrastructure
    logs = {} if options.insecure_ignore_tlog else trusted_logs(options, demanded=demanded)
    verifier = cosign.Verifier(cosign.Policy(keys=[load_public_key(options.key)], **logs))
    if options.insecure_ignore_tlog:
        note(
            "WARNING: Skipping tlog verification is an insecure practice that lacks transparency and auditability "
            "verification for the blob."
        )
    evidence: dict[str, Any] = {"digest_algorithm": options.signature_digest_algorithm, "name": blob}
    if options.bundle:
        evidence["bundle"] = os_path(options.bundle)
    else:
        evidence["signature"] = _signature(options.signature)
    if _is_digest(blob):
        verified = verifier.verify_blob_digest(blob, **evidence)
    else:
        verified = verifier.verify_blob(_blob(blob), **evidence, timeout=duration(options.timeout))
    found = verified.to_dict()["signatures"][0]["format"]
    if format not in (None, "both", found):
        raise Refusal(f"--format={format}: {options.bundle} is of the other kind ({found})")
    note("Verified OK")
    return 0


def _blob(name: str) -> Any:
    """The file of this name, or standard input."""
    return sys.stdin.buffer if name == "-" else os_path(name)


def _is_digest(name: str) -> bool:
    """`sha256:<hex>` and the like, unless there is such a file: as cosign reads it."""
    return name.partition(":")[0] in HASHES and not os.path.lexists(name)


def _signature(text: str) -> Any:
    """What `--signature` names: standard input, a file, or the signature itself.

    In 2021 the text itself never worked, since the question whether there is such a file was an error; and a file that
    could not be read counted as verified. Here only a name that nothing has is a text, and what cannot be read is an
    error.
    """
    if text == "-":
        return sys.stdin.buffer.read(1 << 20)
    try:
        os.lstat(text)
    except (FileNotFoundError, NotADirectoryError):
        return _literal(text)
    except OSError as error:
        import errno

        # A signature of RSA is longer than a file's name may be.
        if error.errno == errno.ENAMETOOLONG:
            return _literal(text)
        raise
    return os_path(text)


def _literal(text: str) -> bytes:
    import base64
    import binascii

    if text.startswith(("http://", "https://", "env://")):
        raise UsageError(f"--signature={text}: only files, - and base64 are read")
    try:
        base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise UsageError(f"--signature={text}: there is no such file, and it is no base64") from None
    return text.encode()


def _write(path: str, content: bytes) -> None:
    """An output file: 0600 as cosign writes it, and what stood there is replaced."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
