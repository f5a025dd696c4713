"""`verify`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

import cosign

from . import Refusal, UsageError
from ._flags import (
    Parser,
    annotation_pairs,
    client,
    duration,
    format_flags,
    need_images,
    note,
    only,
    registry_flags,
    wanted_format,
)
from ._keys import load_public_key
from ._tlog import enabled, log_flags, trust_flags, trusted_logs


def verify(arguments: list[str]) -> int:
    parser = Parser("verify", "--key FILE [FLAGS] IMAGE...", "Verify images, in registries or OCI layouts (oci:PATH).")
    parser.text("--key", help="the public key: a file, the key itself in base64, env://NAME or https://…")
    parser.many("-a", "--annotations", help="key=value that must be signed")
    parser.switch("--check-claims", default=True, help="whether what is signed must name this image (default true)")
    parser.text("-o", "--output", help="json (default) or text")
    parser.switch("--explain", help="print which signatures counted and why others did not, with -o json as JSON")
    parser.switch("--local-image", help="the images are paths of OCI layouts")
    format_flags(parser, "the only format that counts: legacy or bundle (default both)")
    parser.text("--journal", default="fallback", help="fallback (default): read the journal when all else fails; never")
    parser.text("--tag-suffix", help="suffix of the signature's tag (default .sig; .cosign in 2021)")
    parser.text("--signature-ref", help="the signature image itself, instead of looking for signatures of the image")
    parser.switch(
        "--insecure-ignore-tlog", default=None, help="false demands a transparency log's entry, as TLOG=1 does"
    )
    parser.switch("--private-infrastructure", help="true demands no transparency log's entry")
    parser.switch("--offline", help="ask no transparency log: its entry must stand beside the signature")
    log_flags(parser)
    trust_flags(parser)
    registry_flags(parser)
    options = parser.read(arguments)
    only(options, "--output", ("json", "text"), "no such output")
    only(options, "--journal", ("fallback", "never"), "no such use of the journal")
    format = wanted_format(options)
    wanted = annotation_pairs(options.annotations)
    if wanted and not options.check_claims:
        raise UsageError("--check-claims=false and -a contradict each other: annotations are claims")
    images = need_images(parser, options.images)
    if options.local_image:
        images = [_layout(path) for path in images]
    demanded = _demands_log(options)
    logs = {} if options.insecure_ignore_tlog else trusted_logs(options, demanded=demanded)
    key = load_public_key(options.key, duration(options.timeout))
    policy = cosign.Policy(keys=[key], annotations=wanted, **logs)
    named = [] if options.signature_ref is None else [options.signature_ref]
    verifier = cosign.Verifier(policy, client(options, images + named))
    if options.insecure_ignore_tlog:
        note(
            "WARNING: Skipping tlog verification is an insecure practice that lacks transparency and auditability "
            "verification for the signature."
        )
    batch = verifier.verify_images(
        images,
        format=format,
        journal=options.journal == "fallback",
        tag_suffix=options.tag_suffix,
        signature_reference=options.signature_ref,
        insecure_ignore_claims=not options.check_claims,
        offline=options.offline,
        image_timeout=duration(options.timeout),
    )
    output = options.output or "json"
    results = _in_order(batch)
    for shown in options.images:
        try:
            verified = next(results)
        except cosign.CosignError as error:
            if options.explain and "report" in error.details:
                _say(_explained(error.details["report"], options.output))
            raise
        # What cannot be shown is found out before anything is said about the image.
        if options.explain:
            shown_payloads = _explained(verified.report, options.output)
        else:
            shown_payloads = _shown(verified, shown, output)
        note(_checks(shown, output, verified, claims=options.check_claims, annotations=bool(wanted)))
        sys.stderr.flush()
        _say(shown_payloads)
    return 0


def _in_order(batch: cosign.Batch) -> Iterator[cosign.VerifiedImage]:
    """The images in the order of the arguments, however they are answered; the first that is not verified ends it."""
    answered: dict[int, cosign.BatchResult] = {}
    wanted = 0
    with batch:
        for result in batch:
            answered[result.index] = result
            while (next_one := answered.pop(wanted, None)) is not None:
                wanted += 1
                if next_one.verified is None:
                    raise next_one.error or cosign.InternalError("an image has no result")
                yield next_one.verified


def _say(output: bytes) -> None:
    sys.stdout.buffer.write(output)
    sys.stdout.buffer.flush()


def _explained(report: dict[str, Any], output: str | None) -> bytes:
    """The report, for people unless JSON was asked for."""
    import json

    from ._report import explain

    return (f"{json.dumps(report)}\n" if output == "json" else explain(report)).encode()


def _layout(path: str) -> str:
    if ":" in path or "@" in path:
        raise UsageError(
            f"--local-image: the path {path} holds a ':' or '@', which cannot be told from a tag or digest"
        )
    return f"oci:{path}"


def _demands_log(options: argparse.Namespace) -> bool:
    """Whether a log's entry is demanded: by `TLOG=1` as in 2021, or by cosign's flag set to false."""
    if options.private_infrastructure or options.insecure_ignore_tlog:
        return False
    return enabled() or options.insecure_ignore_tlog is False


def _checks(image: str, output: str, verified: cosign.VerifiedImage, *, claims: bool, annotations: bool) -> str:
    """What was checked: in the words of today, or with `-o text` in those of 2021."""
    lines = ["The following checks were performed on these signatures:"]
    if output != "text":
        lines = ["", f"Verification for {image} --", "The following checks were performed on each of these signatures:"]
    if annotations:
        lines.append("  - The specified annotations were verified.")
    if claims:
        lines.append("  - The cosign claims were validated")
    logs = [signature.log for signature in verified.signatures]
    if all(log is not None for log in logs):
        offline = all(log is not None and not log["included"] for log in logs)
        lines.append(
            "  - Existence of the claims in the transparency log was verified offline"
            if offline
            else "  - The claims were present in the transparency log"
        )
    lines.append("  - The signatures were verified against the specified public key")
    return "\n".join(lines)


def _shown(verified: cosign.VerifiedImage, name: str, output: str) -> bytes:
    """What standard output gets for one image: a line for each signature, or one list of all."""
    text = output == "text"
    lines = [_line(signature, name, verified.digest, text) for signature in verified.signatures]
    return b"".join(line + b"\n" for line in lines) if text else b"\n[" + b",".join(lines) + b"]\n"


def _line(signature: cosign.VerifiedSignature, name: str, digest: str, text: bool) -> bytes:
    if signature.format == "bundle":
        return _as_json(_statement(signature, name, digest))
    return signature.payload if text else _as_cosign(signature.payload)


def _statement(signature: cosign.VerifiedSignature, name: str, digest: str) -> dict[str, Any]:
    """A bundle's statement in the words of a legacy payload, as cosign 3 prints it."""
    import json

    statement = json.loads(signature.payload)
    # Without its claims checked, a statement may be about anything: what it says is shown, not what was asked for.
    subjects = statement["subject"]
    named = [f"{algorithm}:{value}" for subject in subjects for algorithm, value in subject["digest"].items()]
    annotations = signature.annotations
    if digest not in named:
        digest = named[0] if named else ""
        annotations = (subjects or [{}])[0].get("annotations") or {}
    return {
        "critical": {
            "identity": {"docker-reference": name},
            "image": {"docker-manifest-digest": digest},
            "type": statement["predicateType"],
        },
        "optional": dict(sorted(annotations.items())),
    }


def _as_cosign(payload: bytes) -> bytes:
    """The payload as cosign prints it: today's members in their order, whatever spelling was signed.

    A payload in another format, which only `--check-claims=false` lets pass, has no such members: `-o text` prints it.
    """
    import json

    try:
        document = json.loads(payload)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Refusal("the signed payload is not a simple-signing document; print it as it is with -o text")
    critical, optional = _member(document, "critical"), _member(document, "optional")
    identity, image = _member(critical, "identity"), _member(critical, "image")
    lines: dict[str, Any] = {
        "critical": {
            "identity": {"docker-reference": _member(identity, "docker-reference") or ""},
            "image": {"docker-manifest-digest": _member(image, "docker-manifest-digest") or ""},
            "type": _member(critical, "type") or "",
        },
        "optional": dict(sorted(optional.items())) if isinstance(optional, dict) else None,
    }
    return _as_json(lines)


def _as_json(lines: dict[str, Any]) -> bytes:
    """JSON as Go's encoder writes it."""
    import json

    text = json.dumps(lines, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    # Go replaces halves of surrogate pairs, which JSON can escape and UTF-8 cannot hold.
    return text.encode(errors="surrogatepass").decode(errors="replace").encode()


def _member(value: Any, name: str) -> Any:
    """A member in either of its two spellings (2021's was capitalised)."""
    if not isinstance(value, dict):
        return None
    return value.get(name, value.get(name[0].upper() + name[1:]))
