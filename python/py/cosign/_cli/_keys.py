"""`generate-key-pair`, `import-key-pair`, `public-key`."""

from __future__ import annotations

import os
import sys

import cosign

from . import UsageError, _passwords
from ._flags import Parser, no_arguments, note, only, os_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._native import _KeyFormat

ALGORITHMS = ("ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519", "rsa-2048", "rsa-3072", "rsa-4096")
URI_SCHEMES = ("http://", "https://", "awskms://", "gcpkms://", "azurekms://", "hashivault://", "k8s://", "gitlab://")


def generate_key_pair(arguments: list[str]) -> int:
    parser = Parser("generate-key-pair", "[FLAGS]", "Make a key pair: PREFIX.key (encrypted) and PREFIX.pub.")
    parser.text("--output-key-prefix", default="cosign", help="name of the two files (default cosign)")
    parser.text("--algorithm", default=ALGORITHMS[0], help=f"{ALGORITHMS[0]} (default), {', '.join(ALGORITHMS[1:])}")
    parser.text("--key-format", help="sigstore (default), or cosign: the form of 2021")
    options = parser.read(arguments)
    no_arguments(options.images)
    only(options, "--key-format", ("sigstore", "cosign"), "no such key format")
    only(options, "--algorithm", ALGORITHMS, "no such algorithm")
    # Nothing is made before the questions are answered.
    overwrite = _consent(options.output_key_prefix)
    password = _passwords.ask_new()
    key = cosign.PrivateKey.generate(options.algorithm)
    return _write(key, options.output_key_prefix, options.key_format, password, overwrite=overwrite)


def import_key_pair(arguments: list[str]) -> int:
    parser = Parser("import-key-pair", "--key FILE [FLAGS]", "Encrypt a private key in PEM for use with cosign.")
    parser.text("-k", "--key", help="the private key: PKCS#8, SEC1 or PKCS#1 in PEM, not encrypted")
    parser.text("-o", "--output-key-prefix", default="import-cosign", help="name of the files (default import-cosign)")
    parser.text("--key-format", help="sigstore (default), or cosign: the form of 2021")
    parser.switch("-y", "--yes", help="overwrite existing files without asking")
    options = parser.read(arguments)
    no_arguments(options.images)
    only(options, "--key-format", ("sigstore", "cosign"), "no such key format")
    key = cosign.PrivateKey.import_pem(source(options.key))
    overwrite = _consent(options.output_key_prefix, options.yes)
    return _write(key, options.output_key_prefix, options.key_format, _passwords.ask_new(), overwrite=overwrite)


def public_key(arguments: list[str]) -> int:
    parser = Parser("public-key", "--key FILE [FLAGS]", "Print the public key of a private key.")
    parser.text("--key", help="the private key")
    parser.text("--outfile", help="write it to this file instead")
    options = parser.read(arguments)
    no_arguments(options.images)
    with load_private_key(options.key) as key:
        public = key.public_key
    if options.outfile is None:
        sys.stdout.write(public.pem)
    else:
        public.save(options.outfile, overwrite=_passwords.consent_to_overwrite([options.outfile]))
        note(f"Public key written to {options.outfile}")
    return 0


def _consent(prefix: str, yes: bool = False) -> bool:
    return _passwords.consent_to_overwrite([f"{prefix}.key", f"{prefix}.pub"], yes)


def _write(
    key: cosign.PrivateKey, prefix: str, key_format: _KeyFormat | None, password: bytes, *, overwrite: bool
) -> int:
    private, public = key.save_pair(prefix, password=password, format=key_format or "sigstore", overwrite=overwrite)
    note(f"Private key written to {private}")
    note(f"Public key written to {public}")
    return 0


def load_private_key(reference: str | None) -> cosign.PrivateKey:
    """The private key that `--key` names; its password is asked for only when the file is good."""
    return cosign.PrivateKey.load(source(reference), password=_passwords.ask)


def load_public_key(reference: str | None, timeout: float | None = None) -> cosign.PublicKey:
    """The public key that `--key` names: a file, `env://NAME`, `https://…`, or the key itself in base64."""
    if reference and reference.startswith(("http://", "https://")):
        from ._fetch import fetch

        return cosign.PublicKey.load(fetch(reference, timeout))
    if reference and not reference.startswith(("env://", *URI_SCHEMES)):
        return cosign.PublicKey.load(reference)
    return cosign.PublicKey.load(source(reference))


def source(reference: str | None) -> bytes | os.PathLike[str]:
    """What a key reference names."""
    if not reference:
        raise UsageError("--key is required: the file of the key")
    if reference.startswith("env://"):
        value = os.environ.get(reference.removeprefix("env://"))
        if value is None:
            raise UsageError(f"--key={reference}: this environment variable is not set")
        return os.fsencode(value)
    if reference.startswith(URI_SCHEMES) or reference.startswith("pkcs11:"):
        raise UsageError(f"--key={reference}: this kind of key is not supported yet")
    path: os.PathLike[str] = os_path(reference)
    return path
