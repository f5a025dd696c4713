"""An index is signed with what it leads to, in a layout and in a registry, by Python and by the command."""

from __future__ import annotations

import base64
import hashlib
import json
import pickle
import shutil
from pathlib import Path

import cosign
import pytest
from conftest import DIGEST, Command, Registry

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def index_of() -> tuple[bytes, str]:
    """An index that leads to the example image, and its digest."""
    entry = {"mediaType": MANIFEST, "digest": DIGEST, "size": 499}
    text = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).encode()
    return text, f"sha256:{hashlib.sha256(text).hexdigest()}"


def in_layout(image: str) -> str:
    """The index in the layout of `image`, as a blob that only its digest names."""
    folder = Path(image.removeprefix("oci:").removesuffix(":v1"))
    text, digest = index_of()
    (folder / "blobs" / "sha256" / digest.removeprefix("sha256:")).write_bytes(text)
    return f"oci:{folder}@{digest}"


def signs_both(index: str, child: str) -> None:
    key = cosign.PrivateKey.generate()
    verifier = cosign.Verifier(cosign.Policy(keys=[key.public_key]))
    alone = cosign.Signer(key).sign_image(index)
    assert [signature.reference for signature in alone.signatures] == [alone.reference]
    with pytest.raises((cosign.NoSignatures, cosign.NoMatchingSignatures)):
        verifier.verify(child)
    signed = cosign.Signer(key).sign_image(index, recursive=True)
    assert [signature.added for signature in signed.signatures] == [False, True]
    assert signed.signatures[0].reference == signed.reference
    assert signed.signatures[1].reference.endswith(f"@{DIGEST}")
    assert [one["reference"] for one in signed.to_dict()["signatures"]] == [s.reference for s in signed.signatures]
    assert pickle.loads(pickle.dumps(signed)) == signed
    for at in (index, child):
        assert len(verifier.verify(at).signatures) == 1


def test_an_index_in_a_layout(image: str) -> None:
    signs_both(in_layout(image), image)


def test_an_index_in_a_registry(registry: Registry, image: str) -> None:
    folder = Path(image.removeprefix("oci:").removesuffix(":v1"))
    manifest = (folder / "blobs" / "sha256" / DIGEST.removeprefix("sha256:")).read_bytes()
    for tag, media_type, content in [("v1", MANIFEST, manifest), ("all", INDEX, index_of()[0])]:
        encoded = base64.b64encode(content).decode()
        registry.tell(add_manifest={"repository": "team/app", "tag": tag, "media_type": media_type, "base64": encoded})
    signs_both(f"{registry.host}/team/app:all", f"{registry.host}/team/app@{DIGEST}")


def test_the_command(command: Command, image: str, tmp_path: Path, key_files: Path) -> None:
    shutil.copy(f"{key_files}.key", tmp_path / "cosign.key")
    shutil.copy(f"{key_files}.pub", tmp_path / "cosign.pub")
    index = in_layout(image)
    assert command("sign", "--key", "cosign.key", "-y", index).returncode == 0
    assert command("verify", "--key", "cosign.pub", image).returncode == 10
    for flag in ("-r", "--recursive", "--recursive=true"):
        assert command("sign", "--key", "cosign.key", "-y", flag, index).returncode == 0
    for at in (index, image):
        assert command("verify", "--key", "cosign.pub", at).returncode == 0
