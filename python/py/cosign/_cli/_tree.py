"""`tree` and `doctor`: what hangs on an image, and who can read its signatures."""

from __future__ import annotations

import json
from typing import Any

import cosign

from ._flags import Parser, client, note, one_image, only, registry_flags

HEADINGS = {
    "signatures": "🔐 Signatures for an image tag",
    "signatures-2021": "🔐 Signatures of 2021 for an image tag",
    "attestations": "💾 Attestations for an image tag",
    "sbom": "📦 SBOMs for an image tag",
    "journal": "📓 Journal of signatures",
    "other": "🔗 Something else for an image tag",
}


def tree(arguments: list[str]) -> int:
    parser = Parser("tree", "[FLAGS] IMAGE", "Print everything that hangs on an image; nothing is verified.")
    found, image, output = _asked(parser, arguments, "tree")
    if output == "json":
        print(json.dumps(found))
    elif not found["attachments"] and found["complete"]:
        # cosign's words, which end without a newline.
        print(
            f"No Supply Chain Security Related Artifacts found for image {image},\n "
            f"start creating one with simply running$ cosign sign {image}",
            end="",
        )
    else:
        print(f"📦 Supply Chain Security Related artifacts for an image: {image}")
        for attachment in found["attachments"]:
            print(f"└── {_heading(attachment)}: {attachment['place']}")
            items = [f"🍒 {item['digest']}" for item in attachment["items"]]
            items += [f"❓ {attachment['problem']}"] if "problem" in attachment else []
            for item in items[:-1]:
                print(f"   ├── {item}")
            for item in items[-1:]:
                print(f"   └── {item}")
    return _finish(found)


def _heading(attachment: dict[str, Any]) -> str:
    if attachment["kind"] == "referrer":
        name = attachment.get("predicate_type") or attachment.get("artifact_type") or attachment["media_type"]
        return f"🔗 {name} artifacts via OCI referrer"
    return HEADINGS[attachment["kind"]]


def doctor(arguments: list[str]) -> int:
    about = "Say for each signature of an image which tools can read it; nothing is verified."
    parser = Parser("doctor", "[FLAGS] IMAGE", about)
    found, _, output = _asked(parser, arguments, "doctor")
    if output == "json":
        print(json.dumps(found))
        return _finish(found)
    print(found["reference"])
    for signature in found["signatures"]:
        by = "" if signature["by"] == "unknown" else f", by a {signature['by']}"
        print(f"\n{signature['format']} signature{by}: {signature['place']} ({signature['index']})")
        for reader in signature["readers"]:
            how = f": {reader['how']}" if reader.get("how") else ""
            print(f"  {reader['tool']:15} {'reads it' if reader['reads'] else 'no'}{how}")
        for advice in signature["advice"]:
            print(f"  -> {advice}")
    if not found["signatures"]:
        print("\nno signature was found" + ("" if found["complete"] else " in what could be read"))
    if found["attestations"]:
        print(f"\n{found['attestations']} attestations hang on it, which are no signatures")
    return _finish(found)


def _asked(parser: Parser, arguments: list[str], verb: str) -> tuple[dict[str, Any], str, str]:
    """What the verb found, the image as given, and the output that is wanted."""
    parser.text("-o", "--output", default="text", help="text (default) or json")
    registry_flags(parser)
    options = parser.read(arguments)
    only(options, "--output", ("text", "json"), "no such output")
    image = one_image(options.images)
    registries: cosign.Client = client(options, [image])
    found: dict[str, Any] = getattr(registries, verb)(image)
    return found, image, options.output


def _finish(found: dict[str, Any]) -> int:
    """The notes; and what could not be read makes the exit code that of its error: it is unknown, not absent."""
    import sys

    sys.stdout.flush()
    for text in found["notes"]:
        note(f"NOTE: {text}")
    for unread in found["unread"]:
        note(f"Error: {unread['place']} could not be read, so what is there is unknown: {unread['message']}")
    return exit_code(found["unread"][0]["code"]) if found["unread"] else 0


def exit_code(number: int) -> int:
    """The exit code of an error of this number."""
    from cosign import _native

    codes = {row[1]: row[3] for row in _native.error_table()}
    return codes.get(number, 20)
