"""Blobs: `Signer.sign_blob`, `Verifier.verify_blob`, and the commands as transcripts."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import pickle
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import cosign
import pytest
from conftest import PASSWORD, ROOT, Command

VECTORS = ROOT / "tests" / "vectors" / "bundles"
BLOB = b"some bytes\n" * 50_000


@pytest.fixture
def keys(tmp_path: Path, key_files: Path) -> Path:
    """`cosign.key`, `cosign.pub` and two blobs in the folder where the command runs."""
    shutil.copy(f"{key_files}.key", tmp_path / "cosign.key")
    shutil.copy(f"{key_files}.pub", tmp_path / "cosign.pub")
    (tmp_path / "a").write_bytes(BLOB)
    (tmp_path / "b").write_bytes(b"other")
    return tmp_path


@pytest.fixture
def verifier(key: cosign.PrivateKey) -> cosign.Verifier:
    return cosign.Verifier(cosign.Policy(keys=[key.public_key]))


# --- the package -----------------------------------------------------------------------------------------------------


class Trickle:
    """A file object of our own: a few bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self.file = io.BytesIO(data)

    def read(self, size: int, /) -> bytes:
        return self.file.read(min(size, 100_003))


def test_every_source_is_the_same_blob(key: cosign.PrivateKey, verifier: cosign.Verifier, tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(BLOB)
    signer = cosign.Signer(key)
    sources: list[Any] = [BLOB, bytearray(BLOB), memoryview(BLOB), path, str(path), io.BytesIO(BLOB), Trickle(BLOB)]
    for source in sources:
        signed = signer.sign_blob(source)
        assert signed.digest == "sha256:" + hashlib.sha256(BLOB).hexdigest()
        assert signed.key_fingerprint == key.public_key.fingerprint
        key.public_key.verify(BLOB, signed.signature)
        assert base64.b64decode(signed.base64) == signed.signature
        assert json.loads(signed.old_bundle)["base64Signature"] == signed.base64
        for other in (BLOB, path, Trickle(BLOB)):
            verified = verifier.verify_blob(other, bundle=signed.bundle)
            assert (verified.digest, verified.signers) == (signed.digest, (signed.key_fingerprint,))
            assert verified.name == (str(path) if other is path else "")
        with path.open("rb") as file, pytest.raises(cosign.VerificationError):
            file.seek(1)
            verifier.verify_blob(file, bundle=signed.bundle)


def test_every_form_of_a_signature(key: cosign.PrivateKey, verifier: cosign.Verifier, tmp_path: Path) -> None:
    signed = cosign.Signer(key).sign_blob(BLOB)
    forms: list[dict[str, Any]] = [
        {"signature": signed.signature},
        {"signature": signed.base64.encode()},
        {"signature": memoryview(signed.base64.encode() + b"\n")},
        {"bundle": signed.bundle},
        {"bundle": signed.old_bundle},
        {"bundle": [b"{}", signed.bundle], "signature": (b"nothing",)},
    ]
    for number, form in enumerate(forms):
        assert verifier.verify_blob(BLOB, **form).to_dict()["report"]["verdict"] == "verified"
        with pytest.raises(cosign.NoMatchingSignatures) as refused:
            verifier.verify_blob(BLOB + b"x", **form, name="my blob")
        assert "my blob: no matching signatures" in str(refused.value)
        assert refused.value.report is not None
        assert refused.value.exit_code == 12
        for name, content in form.items():
            if not isinstance(content, list | tuple):
                path = tmp_path / str(number)
                path.write_bytes(content)
                for given in (path, str(path)):
                    files: dict[str, Any] = {name: given}
                    assert verifier.verify_blob(BLOB, **files).report["signatures"][0]["place"] == str(path)


def test_real_bundles_of_every_kind() -> None:
    for kind in ("p256", "p384", "p521", "ed25519", "rsa2048"):
        verifier = cosign.Verifier(cosign.Policy(keys=[cosign.PublicKey.load(VECTORS / f"{kind}.pub")]))
        for form in ("sigstore", "old"):
            bundle = VECTORS / f"blob-{kind}.{form}.json"
            assert verifier.verify_blob(VECTORS / "blob.txt", bundle=bundle).name.endswith("blob.txt")
            with pytest.raises(cosign.VerificationError):
                verifier.verify_blob(b"", bundle=bundle)


def test_a_hash_in_place_of_the_blob(key: cosign.PrivateKey, verifier: cosign.Verifier) -> None:
    signed = cosign.Signer(key).sign_blob(BLOB)
    assert verifier.verify_blob_digest(signed.digest, signature=signed.signature).digest == signed.digest
    with pytest.raises(cosign.VerificationError):
        verifier.verify_blob_digest("sha256:" + "0" * 64, signature=signed.signature)
    for bad in ("", "sha256:", "sha256:0", "md5:00", "sha256:" + "A" * 64, "sha256:" + "0" * 62):
        with pytest.raises(cosign.ArgumentError):
            verifier.verify_blob_digest(bad, signature=signed.signature)


def test_a_threshold_counts_keys() -> None:
    first, second = cosign.PrivateKey.generate(), cosign.PrivateKey.generate("ed25519")
    policy = cosign.Policy(keys=[first.public_key, second.public_key], threshold=2)
    one, two = (cosign.Signer(key).sign_blob(BLOB) for key in (first, second))
    verified = cosign.Verifier(policy).verify_blob(BLOB, bundle=one.bundle, signature=two.signature)
    assert len(verified.signers) == 2
    with pytest.raises(cosign.ThresholdNotMet):
        cosign.Verifier(policy).verify_blob(BLOB, bundle=[one.bundle, one.old_bundle])


def test_what_is_signed_by_p384_for_cosign_2() -> None:
    key = cosign.PrivateKey.generate("ecdsa-p384")
    signer = cosign.Signer(key)
    assert signer.sign_blob(BLOB).digest.startswith("sha384:")
    signed = signer.sign_blob(BLOB, digest_algorithm="sha256")
    verifier = cosign.Verifier(cosign.Policy(keys=[key.public_key]))
    verifier.verify_blob(BLOB, signature=signed.signature, digest_algorithm="sha256")
    with pytest.raises(cosign.VerificationError):
        verifier.verify_blob(BLOB, signature=signed.signature, digest_algorithm="sha384")
    with pytest.raises(cosign.UnsupportedError):
        signer.sign_blob(BLOB, digest_algorithm="sha512")
    with pytest.raises(cosign.ArgumentError):
        signer.sign_blob(BLOB, digest_algorithm="md5")  # type: ignore[arg-type]


def test_ed25519_says_how_much_it_signs() -> None:
    signer = cosign.Signer(cosign.PrivateKey.generate("ed25519"))
    with open("/dev/zero", "rb") as zeros, pytest.raises(cosign.UnsupportedError, match="67108864 bytes"):
        signer.sign_blob(zeros)


def test_bad_arguments(key: cosign.PrivateKey, verifier: cosign.Verifier, tmp_path: Path) -> None:
    signer = cosign.Signer(key)
    signed = signer.sign_blob(BLOB)
    with pytest.raises(cosign.ArgumentError):
        verifier.verify_blob(BLOB)
    annotated = cosign.Policy(keys=[key.public_key], annotations={"a": "b"})
    with pytest.raises(cosign.ArgumentError):
        cosign.Verifier(annotated).verify_blob(BLOB, signature=signed.signature)
    for missing in (tmp_path / "none", tmp_path):
        with pytest.raises(cosign.FileError, match=str(missing)):
            verifier.verify_blob(missing, signature=signed.signature)
        with pytest.raises(cosign.FileError, match=str(missing)):
            signer.sign_blob(missing)
        with pytest.raises(cosign.FileError, match=str(missing)):
            verifier.verify_blob(BLOB, bundle=missing)
    for wrong in (1, None, [b"x"]):
        with pytest.raises(TypeError):
            signer.sign_blob(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            verifier.verify_blob(BLOB, bundle=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="binary mode"):
        signer.sign_blob(io.StringIO("text"))  # type: ignore[arg-type]


def test_what_read_raises_is_never_the_end_of_the_blob(key: cosign.PrivateKey, verifier: cosign.Verifier) -> None:
    class Broken(Trickle):
        def __init__(self, answer: Any) -> None:
            super().__init__(BLOB)
            self.answer = answer

        def read(self, size: int, /) -> bytes:
            piece = super().read(size)
            if piece:
                return piece
            if isinstance(self.answer, BaseException):
                raise self.answer
            answer: bytes = self.answer
            return answer

    signed = cosign.Signer(key).sign_blob(BLOB)
    for answer, expected in (
        (ValueError("mine"), cosign.CallbackError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (cosign.FileError("mine"), cosign.FileError),
        (None, TypeError),
        (b"x" * (1 << 24), cosign.CallbackError),
    ):
        with pytest.raises(expected) as raised:
            verifier.verify_blob(Broken(answer), signature=signed.signature)
        if isinstance(answer, ValueError):
            assert raised.value.__cause__ is answer
        with pytest.raises(expected):
            cosign.Signer(key).sign_blob(Broken(answer))


def test_the_interpreter_is_free_while_a_blob_is_read(key: cosign.PrivateKey, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    signed: list[cosign.SignedBlob] = []
    worker = threading.Thread(target=lambda: signed.append(cosign.Signer(key).sign_blob(pipe)))
    worker.start()
    # Were it not, this thread would wait for the other, and that one for what is written here.
    with pipe.open("wb") as file:
        for _ in range(20):
            file.write(b"x" * 100_000)
            file.flush()
    worker.join()
    assert signed[0].digest == "sha256:" + hashlib.sha256(b"x" * 2_000_000).hexdigest()


def test_results_pickle_and_compare(key: cosign.PrivateKey, verifier: cosign.Verifier) -> None:
    signed = cosign.Signer(key).sign_blob(BLOB)
    verified = verifier.verify_blob(BLOB, signature=signed.signature)
    for result in (signed, verified):
        again = pickle.loads(pickle.dumps(result))
        assert again == result
        assert hash(again) == hash(result)
        assert repr(again) == repr(result)
    assert signed.base64 not in repr(signed)


# --- the commands ----------------------------------------------------------------------------------------------------


def test_the_session_of_2021(command: Command, keys: Path) -> None:
    signed = command("sign-blob", "-key", "cosign.key", "a")
    assert (signed.returncode, signed.stderr) == (0, "Using payload from: a\n")
    assert base64.b64encode(base64.b64decode(signed.stdout)).decode() + "\n" == signed.stdout
    raw = command("sign-blob", "-key", "cosign.key", "-b64=false", "-output", "a.sig", "a")
    assert (raw.returncode, raw.stdout) == (0, "")
    assert raw.stderr == "Using payload from: a\nWrote signature to file a.sig\n"
    assert (keys / "a.sig").read_bytes()[0] == 0x30
    (keys / "a.b64").write_text(signed.stdout)
    for signature in ("a.sig", "a.b64", signed.stdout.strip()):
        done = command("verify-blob", "-key", "cosign.pub", "-signature", signature, "a")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "Verified OK\n")
        refused = command("verify-blob", "-key", "cosign.pub", "-signature", signature, "b")
        assert (refused.returncode, refused.stdout) == (12, "")
        assert refused.stderr == ("Error: b: no matching signatures: the signature was not made by an accepted key\n")
    piped = command("verify-blob", "-key", "cosign.pub", "-signature", "-", "a", stdin=signed.stdout.encode())
    assert (piped.returncode, piped.stderr) == (0, "Verified OK\n")
    inline = base64.b64encode(cosign.PublicKey.load(keys / "cosign.pub").der).decode()
    assert command("verify-blob", "-key", inline, "-signature", "a.sig", "a").returncode == 0


def test_standard_input_and_several_blobs(command: Command, keys: Path) -> None:
    signed = command("sign-blob", "--key", "cosign.key", "-", stdin=BLOB)
    assert (signed.returncode, signed.stderr) == (0, "")
    done = command("verify-blob", "--key", "cosign.pub", "--signature", signed.stdout.strip(), "-", stdin=BLOB)
    assert (done.returncode, done.stderr) == (0, "Verified OK\n")
    assert command("verify-blob", "--key", "cosign.pub", "--signature", signed.stdout, "-", stdin=b"x").returncode == 12
    several = command("sign-blob", "--key", "cosign.key", "a", "b", "-", stdin=b"third")
    assert several.stderr == "Using payload from: a\nUsing payload from: b\n"
    lines = several.stdout.splitlines()
    for line, blob in zip(lines, ("a", "b", "-"), strict=True):
        arguments = ("verify-blob", "--key", "cosign.pub", "--signature", line, blob)
        assert command(*arguments, stdin=b"third").returncode == 0


def test_bundles_in_both_forms(command: Command, keys: Path) -> None:
    new = command("sign-blob", "--key", "cosign.key", "--bundle", "a.new", "a")
    assert (new.returncode, new.stdout) == (0, "")
    assert new.stderr == "Using payload from: a\nWrote bundle to file a.new\n"
    assert stat.S_IMODE((keys / "a.new").stat().st_mode) == 0o600
    assert json.loads((keys / "a.new").read_bytes())["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    old = command(
        "sign-blob", "--key", "cosign.key", "--new-bundle-format=false", "--tlog-upload=false", "--bundle", "a.old",
        "--output-signature", "a.sig", "a",
    )  # fmt: skip
    assert (old.returncode, old.stdout) == (0, "")
    assert old.stderr == "Using payload from: a\nWrote bundle to file a.old\nWrote signature to file a.sig\n"
    assert list(json.loads((keys / "a.old").read_bytes())) == ["base64Signature", "cert"]
    assert json.loads((keys / "a.old").read_bytes())["base64Signature"] == (keys / "a.sig").read_text()
    both = command("sign-blob", "--key", "cosign.key", "--format=both", "--bundle", "a.both", "a")
    assert "mediaType" in (keys / "a.both").read_text()
    assert command("verify-blob", "--key", "cosign.pub", "--signature", both.stdout.strip(), "a").returncode == 0
    for bundle, kind in (("a.new", "bundle"), ("a.old", "legacy")):
        flags = ("--key", "cosign.pub", "--insecure-ignore-tlog", "--bundle", bundle)
        done = command("verify-blob", *flags, "a")
        assert done.returncode == 0
        assert done.stderr == (
            "WARNING: Skipping tlog verification is an insecure practice that lacks transparency and auditability "
            "verification for the blob.\nVerified OK\n"
        )
        assert command("verify-blob", *flags, "b").returncode == 12
        assert command("verify-blob", *flags, "--format", kind, "a").returncode == 0
        other = command("verify-blob", *flags, "--format", {"bundle": "legacy", "legacy": "bundle"}[kind], "a")
        assert (other.returncode, "Verified OK" in other.stderr) == (1, False)
        digest = hashlib.sha256(BLOB).hexdigest()
        assert command("verify-blob", *flags, f"sha256:{digest}").returncode == 0
        assert command("verify-blob", *flags, f"sha256:{digest[:-1]}g").returncode == 2


def test_a_log_entry_can_be_demanded(command: Command, keys: Path) -> None:
    assert command("sign-blob", "--key", "cosign.key", "--bundle", "a.new", "a").returncode == 0
    flags = ("verify-blob", "--key", "cosign.pub", "--bundle", "a.new")
    nobody = command(*flags, "--insecure-ignore-tlog=false", "a")
    assert (nobody.returncode, "no transparency log is trusted" in nobody.stderr) == (2, True)
    missing = command(*flags, "--insecure-ignore-tlog=false", "--rekor-public-key", "cosign.pub", "a")
    assert (missing.returncode, "Verified" in missing.stderr) == (12, False)
    # As in 2021, the environment asks for a log only where there are images.
    assert command(*flags, "a", TLOG="1").returncode == 0


def test_an_attestation_is_no_signature_of_a_blob(command: Command, keys: Path) -> None:
    flags = ("--key", str(VECTORS / "p256.pub"), "--bundle", str(VECTORS / "attest-blob.sigstore.json"))
    refused = command("verify-blob", *flags, str(VECTORS / "blob.txt"))
    assert refused.returncode == 12
    assert "it holds an attestation (a DSSE envelope), which is no signature of a blob" in refused.stderr


# formats.md, section 10: the question whether there is such a file was answered with an error.
def test_bug_of_2021_a_literal_signature_never_verified(command: Command, keys: Path) -> None:
    for algorithm in ("ecdsa-p256", "rsa-4096"):
        key = cosign.PrivateKey.generate(algorithm)  # type: ignore[arg-type]
        key.public_key.save(keys / f"{algorithm}.pub")
        # The one of RSA is longer than the name of a file may be.
        literal = cosign.Signer(key).sign_blob(keys / "a").base64
        flags = ("verify-blob", "-key", f"{algorithm}.pub", "-signature")
        assert command(*flags, literal, "a").returncode == 0
        assert command(*flags, literal, "b").returncode == 12
        assert command(*flags, literal[:-4], "a").returncode == 12
    for nothing in ("no-such-file", "a/b", "", "https://host.test/sig"):
        refused = command("verify-blob", "-key", "cosign.pub", "-signature", nothing, "a")
        assert (refused.returncode, "Verified" in refused.stderr) == (2, False), nothing


# formats.md, section 10: a signature file that could not be read was success, silently.
def test_bug_of_2021_an_unreadable_signature_verified(command: Command, keys: Path) -> None:
    (keys / "folder").mkdir()
    (keys / "dangling").symlink_to("nowhere")
    (keys / "empty").write_bytes(b"")
    (keys / "circle").symlink_to("circle")
    for name, code in (("folder", 1), ("dangling", 1), ("circle", 1), ("empty", 12)):
        for flag in ("--signature", "--bundle"):
            refused = command("verify-blob", "-key", "cosign.pub", flag, name, "a")
            assert (refused.returncode, refused.stdout) == (code, ""), refused
            assert "Verified" not in refused.stderr
            assert refused.stderr.startswith("Error: ")
    nothing = command("verify-blob", "-key", "cosign.pub", "-signature", "-", "a", stdin=b"")
    assert nothing.returncode == 12


def test_mistakes_are_named_before_anything_is_signed(command: Command, keys: Path) -> None:
    sign = ("sign-blob", "--key", "cosign.key")
    verify = ("verify-blob", "--key", "cosign.pub")
    for arguments, code, message in (
        (sign, 2, "no blob was given"),
        ((*sign, "--bundle", "x", "a", "b"), 2, "the last signature would replace the others"),
        ((*sign, "--output-signature", "x", "a", "b"), 2, "the last signature would replace the others"),
        ((*sign, "-", "-"), 2, "standard input can be read once"),
        ((*sign, "--format=bundle", "a"), 2, "must specify --bundle"),
        ((*sign, "--new-bundle-format", "a"), 2, "must specify --bundle"),
        ((*sign, "--tlog-upload", "a"), 2, "transparency logs are not written yet"),
        ((*sign, "--output-certificate", "x", "a"), 2, "unknown flag: --output-certificate"),
        ((*sign, "--signature-digest-algorithm", "sha384", "a"), 1, "do not sign with sha384"),
        ((*sign, "--signature-digest-algorithm", "md5", "a"), 2, "no such hash"),
        ((*sign, "none"), 1, "none: cannot read the file"),
        ((*sign, "."), 1, ".: "),
        (verify, 2, "accepts 1 arg(s), received 0"),
        ((*verify, "--signature", "x", "a", "b"), 2, "accepts 1 arg(s), received 2"),
        ((*verify, "a"), 2, "missing flag '--signature'"),
        ((*verify, "--signature", "-", "-"), 2, "standard input can be read once"),
        ((*verify, "--signature", "a", "--bundle", "b", "a"), 2, "give one of them"),
        ((*verify, "--format=bundle", "--signature", "a", "a"), 2, "give --bundle"),
        ((*verify, "--certificate-identity", "x", "a"), 2, "unknown flag: --certificate-identity"),
        ((*verify, "--signature", "AAAA", "none"), 1, "none: cannot read the file"),
    ):
        done = command(*arguments)
        assert (done.returncode, done.stdout) == (code, ""), done
        assert message in done.stderr, done.stderr
    piped = command(*sign, "-", stdin=BLOB, password=None)
    assert (piped.returncode, piped.stdout) == (2, "")
    assert "standard input holds the blob, not the password of the key; set COSIGN_PASSWORD" in piped.stderr
    assert sorted(os.listdir(keys)) == ["a", "b", "cosign.key", "cosign.pub"]


def test_openssl_reads_what_the_command_writes(command: Command, keys: Path) -> None:
    assert command("sign-blob", "-key", "cosign.key", "-b64=false", "-output", "a.sig", "a").returncode == 0
    openssl = ["openssl", "dgst", "-sha256", "-verify", "cosign.pub", "-signature", "a.sig", "a"]
    assert subprocess.run(openssl, cwd=keys, capture_output=True).stdout == b"Verified OK\n"
    env = {**os.environ, "COSIGN_PASSWORD": PASSWORD}
    cosign_command = [sys.executable, "-m", "cosign", "sign-blob", "-key", "cosign.key", "-b64=false", "-"]
    piped = subprocess.run(cosign_command, cwd=keys, input=BLOB, capture_output=True, env=env, check=True)
    (keys / "b.sig").write_bytes(piped.stdout)
    assert subprocess.run([*openssl[:6], "b.sig", "a"], cwd=keys, capture_output=True).returncode == 0
