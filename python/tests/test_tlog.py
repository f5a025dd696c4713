"""The transparency log through the Python API and the command line, against a real Rekor on loopback."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cosign
import pytest
from conftest import Command, Registry

NOWHERE = "http://127.0.0.1:9"


class Stack:
    """The program cosign-test-stack: a whole Sigstore on loopback."""

    def __init__(self) -> None:
        program = os.environ.get("COSIGN_TEST_STACK")
        assert program, "COSIGN_TEST_STACK is to be the program cosign-test-stack"
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.values: dict[str, str] = {}
        while line := self.process.stdout.readline().strip():
            name, _, value = line.partition("=")
            self.values[name] = value
        self.url = self.values["STACK_REKOR1"]
        self.key = Path(self.values["STACK_REKOR1_PUB"])

    def close(self) -> None:
        self.process.communicate()
        assert self.process.returncode == 0


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    started = Stack()
    yield started
    started.close()


def test_a_logged_signature_is_verified_by_its_entry(registry: Registry, stack: Stack, key: cosign.PrivateKey) -> None:
    image = registry.image()
    client = cosign.Client(rekor_url=stack.url)
    signed = cosign.Signer(key, client).sign_image(image, format="both", tlog="public")
    assert signed.tlog == "uploaded"
    logs = [signature.log for signature in signed.signatures]
    assert all(log is not None and log["created"] and log["url"] == stack.url for log in logs)
    assert pickle.loads(pickle.dumps(signed)) == signed
    assert cosign.Signer(key, client).sign_image(image).signatures[0].log is None

    log_key = cosign.PublicKey.load(stack.key)
    policy = cosign.Policy(keys=[key.public_key], tlog=True, log_keys=[log_key])
    assert policy.tlog and policy.log_keys == (log_key,)
    assert pickle.loads(pickle.dumps(policy)) == policy
    verified = cosign.Verifier(policy, cosign.Client(rekor_url=NOWHERE)).verify(image, format="bundle")
    (signature,) = verified.signatures
    assert signature.log is not None and signature.log["included"] and signature.log["integrated_time"] > 1_600_000_000
    assert pickle.loads(pickle.dumps(verified)) == verified
    assert verified.to_dict()["signatures"][0]["log"] == signature.log

    root = Path(stack.values["STACK_TRUSTED_ROOT"])
    for source in (root, root.read_bytes()):
        trusting = cosign.Policy(keys=[key.public_key], tlog=True, trusted_root=source)
        assert pickle.loads(pickle.dumps(trusting)) == trusting
        cosign.Verifier(trusting, cosign.Client(rekor_url=NOWHERE)).verify(image, offline=True)

    stranger = cosign.Policy(keys=[key.public_key], log_keys=[cosign.PrivateKey.generate().public_key])
    with pytest.raises(cosign.NoMatchingSignatures, match="no log that is trusted"):
        cosign.Verifier(stranger).verify(image, format="bundle")


def test_without_an_entry_a_demand_for_one_is_refused_and_a_silent_log_is_unknown(
    registry: Registry, stack: Stack, key: cosign.PrivateKey
) -> None:
    image = registry.image()
    cosign.Signer(key).sign_image(image)
    log_key = cosign.PublicKey.load(stack.key)
    policy = cosign.Policy(keys=[key.public_key], tlog=True, log_keys=[log_key])
    with pytest.raises(cosign.NoMatchingSignatures, match="has no entry of this signature") as refused:
        cosign.Verifier(policy, cosign.Client(rekor_url=stack.url)).verify(image)
    assert refused.value.report is not None
    with pytest.raises(cosign.NoMatchingSignatures, match="no log was asked"):
        cosign.Verifier(policy, cosign.Client(rekor_url=NOWHERE)).verify(image, offline=True)
    with pytest.raises(cosign.RegistryUnavailable, match="transparency log"):
        cosign.Verifier(policy, cosign.Client(rekor_url=NOWHERE)).verify(image)
    with pytest.raises(cosign.InvalidPolicy, match="give the log's public key"):
        cosign.Policy(keys=[key.public_key], tlog=True)
    with pytest.raises(cosign.InvalidPolicy):
        cosign.Policy(keys=[key.public_key], trusted_root=b"{}")
    with pytest.raises(cosign.ArgumentError):
        cosign.Signer(key).sign_image(image, tlog="perhaps")  # type: ignore[arg-type]
    with pytest.raises(cosign.ArgumentError):
        cosign.Client(rekor_url="log.test")
    client = cosign.Client(rekor_url=stack.url)
    assert pickle.loads(pickle.dumps(client)).__reduce__()[1] == client.__reduce__()[1]


def test_the_session_of_2021(command: Command, registry: Registry, stack: Stack, key_files: Path) -> None:
    image = registry.image("seed")
    private, public = f"{key_files}.key", f"{key_files}.pub"
    log = {"TLOG": "1", "REKOR_SERVER": stack.url}
    trust = {"SIGSTORE_REKOR_PUBLIC_KEY": str(stack.key)}

    signed = command("sign", "-key", private, image, **log)
    assert signed.returncode == 0 and signed.stdout == "", signed
    appended = [line for line in signed.stderr.splitlines() if line.startswith("Sucessfully appended")]
    assert len(appended) == 1
    assert appended[0].startswith(f"Sucessfully appended to transparency log:  {stack.url} /api/v1/log/entries/")
    assert "\ntlog entry created with index: " in signed.stderr

    # Without the log's key nothing can be proven, and none is built in.
    refused = command("verify", "-key", public, image, **log)
    assert refused.returncode == 2 and "--rekor-public-key" in refused.stderr, refused
    for arguments, environment in (([], trust), (["--rekor-public-key", str(stack.key)], {})):
        verified = command("verify", "-key", public, *arguments, image, **log, **environment)
        assert verified.returncode == 0, verified
        assert "  - Existence of the claims in the transparency log was verified offline\n" in verified.stderr
        assert json.loads(verified.stdout)[0]["critical"]["type"] == "cosign container image signature"

    # A signature that the log was not told of.
    bare = registry.image("bare")
    assert command("sign", "-key", private, bare).returncode == 0
    assert command("verify", "-key", public, bare, **trust).returncode == 0
    unlogged = command("verify", "-key", public, bare, **log, **trust)
    assert unlogged.returncode == 12 and "no entry of this signature" in unlogged.stderr, unlogged
    silent = command("verify", "-key", public, "--rekor-url", NOWHERE, bare, TLOG="1", **trust)
    assert silent.returncode == 20 and "transparency log" in silent.stderr, silent
    offline = command("verify", "-key", public, "--offline", bare, **log, **trust)
    assert offline.returncode == 12 and "no log was asked" in offline.stderr, offline
    root = ["--trusted-root", stack.values["STACK_TRUSTED_ROOT"]]
    assert command("verify", "-key", public, *root, "--offline", image, TLOG="1").returncode == 0

    # The log's key is given, nothing is demanded: what is there is judged all the same.
    stranger = key_files.parent / "stranger.pub"
    cosign.PrivateKey.generate().public_key.save(stranger, overwrite=True)
    wrong = command("verify", "-key", public, "--rekor-public-key", str(stranger), image)
    assert wrong.returncode == 12 and "no log that is trusted" in wrong.stderr, wrong
    assert command("verify", "-key", public, "--insecure-ignore-tlog", image, **trust).returncode == 0
    # Only exactly TLOG=1 asks for the log.
    assert command("verify", "-key", public, bare, TLOG="0", **trust).returncode == 0


def test_a_signature_that_is_there_already_shows_its_proof(
    command: Command, registry: Registry, stack: Stack, tmp_path: Path
) -> None:
    # RSA: the same payload gives the same signature.
    cosign.PrivateKey.generate("rsa-2048").save_pair(tmp_path / "rsa", password="correct horse", format="cosign")
    image = registry.image("one")
    log = ["--tlog-upload", "--rekor-url", stack.url]
    assert "created with index" in command("sign", "-key", "rsa.key", *log, image).stderr
    again = command("sign", "-key", "rsa.key", *log, image)
    assert again.returncode == 0, again
    lines = again.stderr.splitlines()
    proof = json.loads(lines[lines.index("Signature already exists. Displaying proof") + 1])
    assert proof["tree_size"] > proof["index"] >= 0 and len(proof["root"]) == 64


def test_a_private_image_is_not_told_of(command: Command, registry: Registry, stack: Stack, key_files: Path) -> None:
    image = registry.image("private")
    registry.tell(set={"auth": {"basic": ["u", "pw"]}})
    login = ["--registry-username", "u", "--registry-password", "pw"]
    sign = ["sign", "-key", f"{key_files}.key", *login]
    log = {"TLOG": "1", "REKOR_SERVER": stack.url}
    skipped = command(*sign, image, **log)
    assert skipped.returncode == 0, skipped
    assert "skipping upload of private image, use --force-tlog to upload\n" in skipped.stderr
    assert "tlog entry created" not in skipped.stderr
    forced = command(*sign, "-force-tlog", image, **log)
    assert forced.returncode == 0, forced
    assert "force uploading signature of private image to tlog\n" in forced.stderr
    assert "tlog entry created with index: " in forced.stderr
    untold = command(*sign, image, REKOR_SERVER=NOWHERE)
    assert untold.returncode == 0 and "tlog" not in untold.stderr, untold
