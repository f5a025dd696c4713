"""A registry over loopback: both formats, how a signature is stored, and what is unknown and not unsigned."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any, Literal, get_args

import cosign
import pytest
from conftest import DIGEST, Command, Registry

Format = Literal["legacy", "bundle", "both"]
# A registry that asks to slow down, whatever is asked about signatures.
SLOW = {"when": "GET *sha256-*", "do": {"rate_limit": {"seconds": 0}}}


def policy(key: cosign.PrivateKey) -> cosign.Policy:
    return cosign.Policy(keys=[key.public_key])


@pytest.fixture
def keys(tmp_path: Path, key_files: Path) -> None:
    """`cosign.key` and `cosign.pub` in the folder where the command runs."""
    shutil.copy(f"{key_files}.key", tmp_path / "cosign.key")
    shutil.copy(f"{key_files}.pub", tmp_path / "cosign.pub")


def lines(output: str) -> list[dict[str, Any]]:
    """What `verify` printed, whichever output it was asked for."""
    return json.loads(output) if output.startswith("\n[") else [json.loads(line) for line in output.splitlines()]


@pytest.mark.parametrize("referrers", ["on", "off"])
def test_both_formats(registry: Registry, referrers: str) -> None:
    registry.tell(set={"referrers": referrers})
    image = registry.image()
    for format in get_args(Format):
        key = cosign.PrivateKey.generate()
        with pytest.raises((cosign.NoSignatures, cosign.NoMatchingSignatures)):
            cosign.Verifier(policy(key)).verify(image)
        formats = ["legacy", "bundle"] if format == "both" else [format]
        signed = cosign.Signer(key).sign_image(image, format=format, annotations={"env": "prod"})
        assert (signed.status, signed.reason, signed.added) == ("stored", None, True)
        assert [signature.format for signature in signed.signatures] == formats
        assert signed.signature_reference == signed.signatures[0].place
        for signature in signed.signatures:
            assert (signature.status, signature.reason, signature.added) == ("stored", None, True)
            assert signature.place.startswith(registry.host)
        assert signed.to_dict()["signatures"][0]["format"] == formats[0]
        verified = cosign.Verifier(policy(key)).verify(image)
        assert [signature.format for signature in verified.signatures] == formats
        assert all(signature.annotations == {"env": "prod"} for signature in verified.signatures)
        assert verified.reference == signed.reference
        for only in ("legacy", "bundle"):
            if only in formats:
                assert len(cosign.Verifier(policy(key)).verify(image, format=only).signatures) == 1
            else:
                with pytest.raises((cosign.NoSignatures, cosign.NoMatchingSignatures)):
                    cosign.Verifier(policy(key)).verify(image, format=only)
        for value in (signed, *signed.signatures, *verified.signatures):
            assert pickle.loads(pickle.dumps(value)) == value
            assert hash(pickle.loads(pickle.dumps(value))) == hash(value)


def test_how_a_signature_is_stored(registry: Registry, key: cosign.PrivateKey) -> None:
    signer, verifier = cosign.Signer(key), cosign.Verifier(policy(key))
    plain = signer.sign_image(registry.image("team/plain"), journal=False)
    assert plain.status == plain.signatures[0].status == "stored_unprotected"
    assert plain.reason and plain.reason == plain.signatures[0].reason
    # As on GitLab: the fallback tag answers the image itself, so no bundle can be put there.
    registry.tell(set={"digest_alias": True})
    image = registry.image("team/alias")
    both = signer.sign_image(image, format="both")
    assert [signature.status for signature in both.signatures] == ["stored", "journal_only"]
    assert (both.status, both.reason) == ("journal_only", both.signatures[1].reason)
    assert "journal_only" in repr(both)
    assert len(verifier.verify(image, format="bundle").signatures) == 1
    with pytest.raises(cosign.NoSignatures):
        verifier.verify(image, format="bundle", journal=False)
    for wrong in ("", "tag", "LEGACY"):
        with pytest.raises(cosign.ArgumentError):
            signer.sign_image(image, format=wrong)  # type: ignore[arg-type]
        with pytest.raises(cosign.ArgumentError):
            verifier.verify(image, format=wrong)  # type: ignore[arg-type]


def test_unknown_is_not_unsigned(registry: Registry, key: cosign.PrivateKey) -> None:
    image, verifier = registry.image(), cosign.Verifier(policy(key))
    with pytest.raises(cosign.NoSignatures):
        verifier.verify(image)
    registry.tell(fault=SLOW)
    with pytest.raises(cosign.RateLimited) as caught:
        verifier.verify(image)
    assert caught.value.exit_code == 22
    assert not isinstance(caught.value, cosign.VerificationError)
    registry.tell(heal={})
    with pytest.raises(cosign.NoSignatures):
        verifier.verify(image)


def test_counting_attestations_is_reported(registry: Registry, key: cosign.PrivateKey) -> None:
    image = registry.image()
    cosign.Signer(key).sign_image(image)
    verified = cosign.Verifier(policy(key)).verify(image, any_predicate_type=True)
    assert verified.report["insecure"] == ["any predicate type"]
    assert cosign.Verifier(policy(key)).verify(image).report["insecure"] == []


def test_clients_pickle_unless_they_hold_a_secret(tmp_path: Path) -> None:
    client = cosign.Client(
        certs_dirs=[tmp_path], credential_helpers=True, token_servers={"r.example": "auth.other.example"},
        https_proxy="http://proxy.example:3128", no_proxy="localhost",
    )  # fmt: skip
    assert repr(pickle.loads(pickle.dumps(client))) == repr(client)
    with pytest.raises(TypeError):
        pickle.dumps(cosign.Client(https_proxy="http://user:secret@proxy.example:3128"))
    for wrong in ({"https_proxy": "socks5://p"}, {"system_ca": False}, {"client_certificate": (b"none", b"none")}):
        with pytest.raises(cosign.CosignError):
            cosign.Client(**wrong)  # type: ignore[arg-type]


@pytest.mark.usefixtures("keys")
def test_the_command_signs_in_both_formats(registry: Registry, command: Command) -> None:
    image = registry.image()
    repository = image.removesuffix(":v1")
    signed = command("sign", "--key", "cosign.key", "--format", "both", "-a", "z=<x>&y", image)
    assert (signed.returncode, signed.stdout) == (0, ""), signed.stderr
    assert f"Pushing signature to: {repository}\n" in signed.stderr
    assert "journal" not in signed.stderr
    legacy, bundle = lines(command("verify", "--key", "cosign.pub", image).stdout)
    assert legacy["critical"]["identity"] == {"docker-reference": repository}
    # Member by member as cosign 3.1.1 prints a bundle of its own.
    assert bundle == {
        "critical": {
            "identity": {"docker-reference": image},
            "image": {"docker-manifest-digest": legacy["critical"]["image"]["docker-manifest-digest"]},
            "type": "https://sigstore.dev/cosign/sign/v1",
        },
        "optional": {"z": "<x>&y"},
    }
    for flags in (["--format", "bundle"], ["--new-bundle-format"], ["--new-bundle-format=true", "--journal", "never"]):
        only = command("verify", "--key", "cosign.pub", *flags, image)
        assert (only.returncode, lines(only.stdout)) == (0, [bundle])
        assert '"optional":{"z":"\\u003cx\\u003e\\u0026y"}' in only.stdout
    assert lines(command("verify", "--key", "cosign.pub", "--new-bundle-format=false", image).stdout) == [legacy]
    text = command("verify", "--key", "cosign.pub", "-o", "text", "--format=bundle", image)
    assert text.stdout.count("\n") == 1 and lines(text.stdout) == [bundle]


@pytest.mark.usefixtures("keys")
def test_the_command_writes_one_format(registry: Registry, command: Command) -> None:
    for repository, flags, format in (
        ("a/a", [], "legacy"),
        ("a/b", ["--new-bundle-format=false"], "legacy"),
        ("a/c", ["--new-bundle-format"], "bundle"),
        ("a/d", ["--format=bundle", "--new-bundle-format=true"], "bundle"),
    ):
        image = registry.image(repository)
        assert command("sign", "--key", "cosign.key", *flags, image).returncode == 0
        verify = ("verify", "--key", "cosign.pub", image)
        other = "bundle" if format == "legacy" else "legacy"
        assert [command(*verify, "--format", name).returncode for name in (format, other)] == [0, 10]


@pytest.mark.usefixtures("keys")
def test_the_command_says_how_a_signature_is_stored(registry: Registry, command: Command) -> None:
    plain = registry.image("team/plain")
    done = command("sign", "--key", "cosign.key", "--no-journal", plain)
    assert done.returncode == 0
    assert f"WARNING: the legacy signature is stored at {plain.removesuffix(':v1')}:sha256-" in done.stderr
    registry.tell(set={"digest_alias": True})
    image = registry.image("team/alias")
    sign = ("sign", "--key", "cosign.key", "--format", "bundle", image)
    done = command(*sign)
    assert done.returncode == 1
    assert "WARNING: the bundle signature is only in the journal" in done.stderr
    assert "--allow-journal-only" in done.stderr
    assert command(*sign, "--allow-journal-only").returncode == 0
    verify = ("verify", "--key", "cosign.pub", image)
    assert command(*verify).returncode == 0
    assert command(*verify, "--journal=never").returncode == 10


@pytest.mark.usefixtures("keys")
def test_the_command_tells_unknown_from_unsigned(registry: Registry, command: Command) -> None:
    verify = ("verify", "--key", "cosign.pub", registry.image())
    assert command(*verify).returncode == 10
    registry.tell(fault=SLOW)
    slow = command(*verify)
    assert (slow.returncode, slow.stdout) == (22, "")
    assert "no signatures found" not in slow.stderr


def test_a_bundle_in_a_folder(image: str, key: cosign.PrivateKey) -> None:
    signed = cosign.Signer(key).sign_image(image, format="bundle")
    (signature,) = cosign.Verifier(policy(key)).verify(image).signatures
    assert (signed.status, signature.format) == ("stored", "bundle")
    statement = json.loads(signature.payload)
    assert statement["subject"][0]["digest"] == {"sha256": DIGEST.removeprefix("sha256:")}
