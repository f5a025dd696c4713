"""`clean`, `gc` and `copy`."""

from __future__ import annotations

import cosign

from . import UsageError, _passwords
from ._flags import Parser, client, note, registry_flags

# cosign's names, and what it says will be gone.
TYPES = {
    "signature": "all signatures",
    "attestation": "all attestations",
    "referrer": "all referrer attestations and/or signatures",
    "sbom": "all SBOMs",
    "all": "all signatures, SBOMs and attestations",
}
ONLY = ("sig", "att", "sbom")


def clean(arguments: list[str]) -> int:
    parser = Parser("clean", "[FLAGS] IMAGE", "Remove what hangs on an image: signatures, attestations, SBOMs.")
    parser.text("--type", default="all", help="signature, attestation, referrer (bundles), sbom or all (default)")
    parser.switch("-f", "--force", help="do not ask")
    registry_flags(parser)
    options = parser.read(arguments)
    image = _one(options.images)
    if options.type not in TYPES:
        names = '"signature", "attestation", "referrer", "sbom", or "all"'
        raise UsageError(f'invalid argument "{options.type}" for "--type" flag: must be one of {names}')
    registries: cosign.Client = client(options, [image])
    if not options.force:
        note(f"WARNING: this will remove {TYPES[options.type]} from the image")
        _passwords.confirm()
    try:
        cleaned = registries.clean(image, kind=options.type)
    except cosign.CosignError as error:
        _say_removed(error.details.get("removed", []), image)
        raise
    _say_removed(cleaned["removed"], image)
    return _say_kept(cleaned["kept"], image)


def gc(arguments: list[str]) -> int:
    parser = Parser(
        "gc",
        "[FLAGS] IMAGE",
        "Remove journal entries that no signer needs any more: older than a day and in their place.",
    )
    parser.switch("--repair", help="first merge what signature tags have lost to other writers, whatever its age")
    parser.switch("--whole-repository", help="the journals of all images in the repository of IMAGE")
    registry_flags(parser)
    options = parser.read(arguments)
    image = _one(options.images)
    registries: cosign.Client = client(options, [image])
    done = registries.gc(image, repair=options.repair, whole_repository=options.whole_repository)
    for repaired in done["repaired"]:
        note(f"Repaired {repaired['place']}")
        if repaired["status"] != "stored":
            note(f"WARNING: it is not protected: {repaired['reason']}.")
    _say_removed(done["removed"], image)
    if done["lost"]:
        note(f"WARNING: {done['lost']} signatures are only in the journal; merge them with --repair")
    # What stays because this registry cannot do better is no failure.
    _say_kept(done["kept"], image)
    return 0


def copy(arguments: list[str]) -> int:
    parser = Parser(
        "copy", "[FLAGS] SOURCE DESTINATION", "Copy an image with its signatures between registries and OCI layouts."
    )
    parser.many("--only", help="copy only these of sig, att, sbom, with commas")
    parser.switch("--sig-only", help="as --only=sig")
    parser.switch("-f", "--force", help="overwrite another image of that name at the destination")
    parser.text("--platform", help="of an index only the image for this os/architecture[/variant]")
    registry_flags(parser)
    options = parser.read(arguments)
    if len(options.images) != 2:
        raise UsageError(f"expected a source and a destination, got {len(options.images)} arguments")
    source, destination = options.images
    only = [name for value in options.only for name in value.split(",")]
    for name in only:
        if name not in ONLY:
            raise UsageError(
                f"invalid value for --only: {name}, only the following values are supported: [sig att sbom]"
            )
    if options.sig_only:
        if only and set(only) != {"sig"}:
            raise UsageError("--sig-only and --only contradict each other")
        only = ["sig"]
    registries: cosign.Client = client(options, [source, destination])
    copied = registries.copy(source, destination, only=only, force=options.force, platform=options.platform)
    note(f"Copied {copied['source']} to {copied['destination']}: {copied['added']} signatures and others were new")
    if copied["status"] != "stored":
        note(f"WARNING: not all of them are protected ({copied['status']}): {copied['reason']}.")
    for left in copied["left"]:
        note(f"could not copy {left['place']}: {left['reason']}")
    return 1 if copied["left"] or copied["status"] == "journal_only" else 0


def _one(images: list[str]) -> str:
    if len(images) != 1:
        raise UsageError(f"expected one image, got {len(images)}")
    return images[0]


def _say_removed(removed: list[dict[str, str | None]], image: str) -> None:
    for item in removed:
        note(f"Removed {item['place']} from {image}")
        if item["note"]:
            note(f"    {item['note']}")


def _say_kept(kept: list[dict[str, str]], image: str) -> int:
    for item in kept:
        note(f"could not delete {item['place']} from {image}: {item['reason']}")
    return 1 if kept else 0
