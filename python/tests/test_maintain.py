"""Signatures in a repository of their own, `clean`, `gc`, `copy`: from Python and from the command line."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import cosign
import pytest
from conftest import Command, Registry

SLOW = {"when": "DELETE *", "do": {"rate_limit": {"seconds": 0}}}


def verifier(key: cosign.PrivateKey, client: cosign.Client | None = None) -> cosign.Verifier:
    return cosign.Verifier(cosign.Policy(keys=[key.public_key]), client)


@pytest.fixture
def keys(tmp_path: Path, key_files: Path) -> None:
    shutil.copy(f"{key_files}.key", tmp_path / "cosign.key")
    shutil.copy(f"{key_files}.pub", tmp_path / "cosign.pub")


def test_signatures_in_a_repository_of_their_own(registry: Registry, key: cosign.PrivateKey) -> None:
    image = registry.image()
    kept = f"{registry.host}/signatures"
    client = cosign.Client(signature_repository=kept)
    signed = cosign.Signer(key, client).sign_image(image, format="both")
    assert all(signature.place.startswith(kept) for signature in signed.signatures)
    assert client.triangulate(image).startswith(f"{kept}:sha256-")
    assert len(verifier(key, pickle.loads(pickle.dumps(client))).verify(image).signatures) == 2
    with pytest.raises(cosign.NoSignatures):
        verifier(key).verify(image)
    named = verifier(key).verify(image, signature_reference=signed.signature_reference)
    assert len(named.signatures) == 1
    with pytest.raises(cosign.InvalidReference):
        verifier(key).verify(image, signature_reference="A/B")
    with pytest.raises(cosign.ArgumentError):
        verifier(key).verify(image, signature_reference=signed.signature_reference, format="bundle")
    for wrong in ("", "a.io/b:1", "https://a.io/b"):
        with pytest.raises(cosign.InvalidReference):
            cosign.Client(signature_repository=wrong)


def test_cosign_repository_is_read_by_the_command(
    registry: Registry, command: Command, keys: None, key: cosign.PrivateKey
) -> None:
    image, kept = registry.image(), f"{registry.host}/signatures"
    assert command("sign", "--key", "cosign.key", image, COSIGN_REPOSITORY=kept).returncode == 0
    verify = ("verify", "--key", "cosign.pub")
    assert command(*verify, image, COSIGN_REPOSITORY=kept).returncode == 0
    assert command(*verify, image).returncode == 10
    place = command("triangulate", image, COSIGN_REPOSITORY=kept).stdout.strip()
    assert place.startswith(f"{kept}:sha256-")
    assert command(*verify, "--signature-ref", place, image).returncode == 0
    assert command(*verify, "--signature-ref", f"{kept}:nothing", image).returncode == 10
    assert command(*verify, "--signature-ref", "A/B", image).returncode == 2
    cleaned = command("clean", "-f", image, COSIGN_REPOSITORY=kept)
    assert (cleaned.returncode, f"Removed {place} from {image}" in cleaned.stderr) == (0, True)
    assert command(*verify, image, COSIGN_REPOSITORY=kept).returncode == 10


@pytest.mark.parametrize("referrers", ["on", "off"])
def test_clean_and_gc(registry: Registry, key: cosign.PrivateKey, referrers: str) -> None:
    registry.tell(set={"referrers": referrers})
    image, client = registry.image(), cosign.Client()
    cosign.Signer(key).sign_image(image, format="both")
    assert client.gc(image)["removed"] == []
    assert client.gc(image, repair=True, whole_repository=True)["lost"] == 0
    client.clean(image, kind="referrer")
    assert len(verifier(key).verify(image).signatures) == 1
    done = client.clean(image)
    assert done["kept"] == [] and done["reference"].endswith(done["digest"])
    assert any(item["place"].endswith(".sig") for item in done["removed"])
    with pytest.raises(cosign.NoSignatures):
        verifier(key).verify(image)
    with pytest.raises(cosign.ArgumentError):
        client.clean(image, kind="everything")  # type: ignore[arg-type]
    with pytest.raises(cosign.ImageNotFound):
        client.clean(image.replace(":v1", ":v2"))


def test_what_was_not_heard_is_not_clean(registry: Registry, command: Command, key: cosign.PrivateKey) -> None:
    image = registry.image()
    cosign.Signer(key).sign_image(image)
    registry.tell(fault=SLOW)
    with pytest.raises(cosign.RateLimited) as caught:
        cosign.Client().clean(image)
    assert caught.value.details["removed"] == []
    assert command("clean", "-f", image).returncode == 22
    registry.tell(heal={})
    registry.tell(set={"delete": "off"})
    with pytest.raises(cosign.UnsupportedError):
        cosign.Client().clean(image)
    refused = command("clean", "-f", image)
    assert refused.returncode != 0 and "Removed" not in refused.stderr
    assert len(verifier(key).verify(image).signatures) == 1


def test_the_question(registry: Registry, command: Command, key: cosign.PrivateKey) -> None:
    image = registry.image()
    cosign.Signer(key).sign_image(image)
    asked = "Are you sure you would like to continue? [y/N] "
    for kind, what in {
        "all": "all signatures, SBOMs and attestations",
        "signature": "all signatures",
        "attestation": "all attestations",
        "sbom": "all SBOMs",
        "referrer": "all referrer attestations and/or signatures",
    }.items():
        done = command("clean", "--type", kind, image)
        warning = f"WARNING: this will remove {what} from the image\n{asked}Error: user declined the prompt\n"
        assert (done.returncode, done.stderr) == (1, warning)
    assert command("clean", image, stdin=b"n\n").stderr.endswith("user declined the prompt\n")
    assert command("clean", image, stdin=b"x\n").stderr.endswith('invalid input "x" (allowed values y, n)\n')
    assert len(verifier(key).verify(image).signatures) == 1
    done = command("clean", image, stdin=b"y\n")
    assert done.returncode == 0 and f".sig from {image}" in done.stderr
    with pytest.raises(cosign.NoSignatures):
        verifier(key).verify(image)
    wrong = command("clean", "--type", "x", image)
    assert (wrong.returncode, 'must be one of "signature", "attestation"' in wrong.stderr) == (2, True)
    for arguments in (("clean",), ("clean", "-f", image, image), ("gc",), ("copy", image), ("gc", "--nothing", image)):
        assert command(*arguments).returncode == 2, arguments


def test_copy(registry: Registry, command: Command, key: cosign.PrivateKey, tmp_path: Path) -> None:
    image, client = registry.image(), cosign.Client()
    cosign.Signer(key).sign_image(image, format="both")
    layout, there = f"oci:{tmp_path}/layout:v1", f"{registry.host}/mirror/app:v1"
    first = client.copy(image, layout)
    assert (first["added"], first["status"], first["left"]) == (2, "stored", [])
    assert len(verifier(key).verify(layout).signatures) == 2
    again = client.copy(layout, there, only=["sig"])
    assert again["added"] == 2
    done = command("copy", layout, there)
    assert (done.returncode, "Copied oci:" in done.stderr) == (0, True)
    assert len(verifier(key).verify(there).signatures) == 2
    assert client.copy(image, there)["blobs_sent"] == 0
    other = registry.image("team/other")
    cosign.Signer(key).sign_image(other)
    # Both images have the same bytes, so the name is theirs; another name in the layout is another image.
    assert command("copy", "--sig-only", other, there).returncode == 0
    for flags, message in {
        ("--only=sig,xx",): "invalid value for --only: xx, only the following values are supported: [sig att sbom]",
        ("--only=att", "--sig-only"): "contradict each other",
        ("--platform=linux/amd64",): "is no index",
    }.items():
        wrong = command("copy", *flags, image, there)
        assert (wrong.returncode, message in wrong.stderr) == (2, True), wrong.stderr
    with pytest.raises(cosign.ArgumentError):
        client.copy(image, there, only=["everything"])  # type: ignore[list-item]
    with pytest.raises(cosign.ImageNotFound):
        client.copy(image.replace(":v1", ":v2"), there)


def test_the_name_of_another_image_is_not_taken(
    registry: Registry, command: Command, key: cosign.PrivateKey, image: str
) -> None:
    there = registry.image("team/taken")
    before = cosign.resolve(there)
    with pytest.raises(cosign.FileError) as caught:
        cosign.Client().copy(image, there)
    assert (caught.value.code, cosign.resolve(there)) == ("FILE_EXISTS", before)
    assert command("copy", image, there).returncode == 1
    assert command("copy", "--force", image, there).returncode == 0
    assert cosign.resolve(there) != before
    registry.tell(fault={"when": "PUT *", "do": {"rate_limit": {"seconds": 0}}})
    slow = command("copy", image, f"{registry.host}/team/slow:v1")
    assert (slow.returncode, "Copied" in slow.stderr) == (22, False)


def test_gc_by_the_command(registry: Registry, command: Command, key: cosign.PrivateKey) -> None:
    registry.tell(set={"referrers": "off"})
    image = registry.image()
    cosign.Signer(key).sign_image(image, format="both")
    registry.tell(set={"referrers": "off", "date_skew": 30 * 3600})
    done = command("gc", "--repair", image)
    assert done.returncode == 0 and done.stderr.count("Removed ") == 2, done.stderr
    assert len(verifier(key).verify(image).signatures) == 2
    assert command("gc", "--whole-repository", image).stderr == ""
    assert json.loads(json.dumps(cosign.Client().gc(image)))["images"] == 1
