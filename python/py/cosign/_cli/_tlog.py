"""The transparency log on the command line: `TLOG=1`, `REKOR_SERVER` and the log's key, and what is said about it."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any, Literal

import cosign

from . import UsageError
from ._flags import Parser, note, os_path

NO_LOG_KEY = (
    "no transparency log is trusted, and none is built in: give the log's public key with --rekor-public-key FILE or "
    "SIGSTORE_REKOR_PUBLIC_KEY=FILE, or a trusted root that has it with --trusted-root FILE"
)


def enabled() -> bool:
    """Whether the environment asks for the transparency log, as in 2021: `TLOG=1`, and nothing else."""
    return os.environ.get("TLOG") == "1"


def log_flags(parser: Parser) -> None:
    """The flags of commands that may ask a transparency log."""
    parser.text("--rekor-url", help="the transparency log (default REKOR_SERVER, else Rekor's public one)")


def trust_flags(parser: Parser) -> None:
    """The flags that say which transparency logs are trusted."""
    parser.many("--rekor-public-key", help="a file with the public key of a log (default SIGSTORE_REKOR_PUBLIC_KEY)")
    parser.text("--trusted-root", help="a trusted_root.json whose logs are trusted")


def trusted_logs(options: argparse.Namespace, *, demanded: bool) -> dict[str, Any]:
    """What a policy is told of logs: from the flags, else from the environment.

    Without any, a demand for an entry is refused: nothing could prove it.
    """
    files = list(options.rekor_public_key)
    if not files and options.trusted_root is None:
        named = os.environ.get("SIGSTORE_REKOR_PUBLIC_KEY", "")
        files = [named] if named else []
    if demanded and not files and options.trusted_root is None:
        raise UsageError(NO_LOG_KEY)
    return {
        "tlog": demanded,
        "log_keys": [cosign.PublicKey.load(os_path(file)) for file in files],
        "trusted_root": None if options.trusted_root is None else os_path(options.trusted_root),
    }


def wanted_upload(options: argparse.Namespace) -> Literal["never", "public", "always"]:
    """What `TLOG=1`, `--tlog-upload` and `-force-tlog` say together."""
    if options.force_tlog:
        if options.tlog_upload is False:
            raise UsageError("--force-tlog and --tlog-upload=false contradict each other")
        return "always"
    wanted = enabled() if options.tlog_upload is None else options.tlog_upload
    return "public" if wanted else "never"


def tell(signed: cosign.SignedImage) -> None:
    """Says what became of the log, in the words of 2021 and of cosign 2."""
    if signed.tlog == "skipped_private":
        note("skipping upload of private image, use --force-tlog to upload")
    if signed.tlog == "forced_private":
        note("force uploading signature of private image to tlog")
    for signature in signed.signatures:
        log = signature.log
        if log is None:
            continue
        if log["created"]:
            note(f"Sucessfully appended to transparency log:  {log['url']} /api/v1/log/entries/{log['uuid']}")
            note(f"tlog entry created with index: {log['index']}")
        else:
            note("Signature already exists. Displaying proof")
            note(json.dumps({"index": log["index"], "uuid": log["uuid"], **(log["proof"] or {})}, ensure_ascii=False))
