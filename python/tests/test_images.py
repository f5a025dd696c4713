"""Images in a folder: signed, verified, refused; results as values."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cosign
import pytest
from conftest import DIGEST


def policy(key: cosign.PrivateKey, **more: object) -> cosign.Policy:
    return cosign.Policy(keys=[key.public_key], **more)  # type: ignore[arg-type]


def test_sign_and_verify(image: str, key: cosign.PrivateKey) -> None:
    signed = cosign.Signer(key).sign_image(image, annotations={"env": "prod"})
    assert signed.added
    assert signed.digest == DIGEST
    assert signed.reference.endswith("@" + DIGEST)
    assert signed.signature_reference == cosign.triangulate(image)
    assert not cosign.Signer(key).sign_image(image, annotations={"env": "prod"}).added
    verified = cosign.Verifier(policy(key, annotations={"env": "prod"})).verify(image)
    assert (verified.image, verified.digest) == (image, DIGEST)
    assert verified.reference == cosign.resolve(image)
    (signature,) = verified.signatures
    assert signature.annotations == {"env": "prod"}
    assert signature.key_fingerprint == key.public_key.fingerprint
    assert json.loads(signature.payload)["critical"]["image"]["docker-manifest-digest"] == DIGEST
    assert verified.report["verdict"] == "verified"
    assert verified.to_dict() == json.loads(verified.to_json())
    assert verified.to_dict()["digest"] == DIGEST


def test_refusals_are_verification_errors_with_a_report(signed: str, key: cosign.PrivateKey) -> None:
    other = cosign.PrivateKey.generate()
    with pytest.raises(cosign.NoMatchingSignatures) as caught:
        cosign.Verifier(policy(other)).verify(signed)
    assert caught.value.report is not None
    assert caught.value.report["verdict"] == "refused"
    assert caught.value.exit_code == 12
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.report == caught.value.report
    with pytest.raises(cosign.VerificationError):
        cosign.Verifier(policy(key, annotations={"env": "test"})).verify(signed)
    with pytest.raises(cosign.ThresholdNotMet):
        both = cosign.Policy(keys=[key.public_key, other.public_key], threshold=2)
        cosign.Verifier(both).verify(signed)


def test_a_threshold_counts_distinct_signers(signed: str, key: cosign.PrivateKey) -> None:
    other = cosign.PrivateKey.generate()
    cosign.Signer(key).sign_image(signed, annotations={"again": "1"})
    both = cosign.Policy(keys=[key.public_key, other.public_key], threshold=2)
    with pytest.raises(cosign.ThresholdNotMet):
        cosign.Verifier(both).verify(signed)
    cosign.Signer(other).sign_image(signed)
    assert len(cosign.Verifier(both).verify(signed).signatures) == 3


def test_unsigned_and_absent_and_malformed(image: str, tmp_path: Path, key: cosign.PrivateKey) -> None:
    verifier = cosign.Verifier(policy(key))
    with pytest.raises(cosign.NoSignatures):
        verifier.verify(image)
    with pytest.raises(cosign.ImageNotFound):
        verifier.verify(image + "-none")
    with pytest.raises(cosign.ImageNotFound):
        verifier.verify(f"oci:{tmp_path}/none")
    for reference in ("", "oci:", "UPPER/case", "a b", "oci:x@sha256:zz"):
        with pytest.raises(cosign.InvalidReference):
            verifier.verify(reference)
    with pytest.raises(TypeError):
        verifier.verify(tmp_path)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        verifier.verify(image, annotation="x")  # type: ignore[call-arg]


def test_a_changed_byte_is_found(signed: str, tmp_path: Path, key: cosign.PrivateKey) -> None:
    blob = tmp_path / "image" / "blobs" / "sha256" / DIGEST.removeprefix("sha256:")
    data = blob.read_bytes()
    blob.chmod(0o644)
    blob.write_bytes(data[:-2] + b" }")
    with pytest.raises(cosign.CosignError) as caught:
        cosign.Verifier(policy(key)).verify(signed)
    assert not isinstance(caught.value, cosign.NoSignatures)


def test_policies_that_demand_nothing_are_errors(key: cosign.PrivateKey) -> None:
    for wrong in ({"keys": []}, {"keys": [key.public_key], "threshold": 0}, {"keys": [key.public_key], "threshold": 2}):
        with pytest.raises(cosign.InvalidPolicy):
            cosign.Policy(**wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        cosign.Policy(keys=[key.public_key], anotations={"a": "b"})  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        cosign.Policy(keys=[key.public_key.pem])  # type: ignore[list-item]
    with pytest.raises(cosign.InvalidPolicy):
        cosign.Policy.from_json('{"keys": [], "unknown": 1}')
    pem = json.dumps(key.public_key.pem)
    assert cosign.Policy.from_json(f'{{"keys": [{pem}]}}') == policy(key)


def test_everything_but_private_keys_pickles(signed: str, key: cosign.PrivateKey) -> None:
    verifier = cosign.Verifier(policy(key, annotations={"env": "prod"}), cosign.Client(timeout=5))
    result = cosign.Signer(key).sign_image(signed)
    verified = verifier.verify(signed)
    for value in (key.public_key, verifier.policy, verified, verified.signatures[0], result):
        assert pickle.loads(pickle.dumps(value)) == value
        if not isinstance(value, cosign.Policy):
            assert hash(pickle.loads(pickle.dumps(value))) == hash(value)
    assert pickle.loads(pickle.dumps(verifier)).verify(signed) == verified
    assert pickle.loads(pickle.dumps(verified)).report == verified.report


def test_results_are_frozen(signed: str, key: cosign.PrivateKey) -> None:
    verified = cosign.Verifier(policy(key)).verify(signed)
    for name in ("digest", "reference", "signatures"):
        with pytest.raises(AttributeError):
            setattr(verified, name, "sha256:00")
    with pytest.raises(TypeError):
        cosign.VerifiedImage()
    with pytest.raises(TypeError):

        class Mine(cosign.VerifiedImage):  # type: ignore[misc]
            pass


def test_clients_hide_credentials_and_refuse_layouts_when_told(image: str, key: cosign.PrivateKey) -> None:
    secret = "s3cret-token"
    client = cosign.Client(auth={"r.example.com": ("user", secret), "q.example.com": secret})
    assert secret not in repr(client)
    with pytest.raises(TypeError):
        pickle.dumps(client)
    with pytest.raises(cosign.CosignError):
        cosign.Client(layouts=False).resolve(image)
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(cosign.ArgumentError):
            cosign.Client(timeout=wrong)
    with pytest.raises(cosign.CosignError):
        cosign.Client(docker_config=b"not json")
    with pytest.raises(TypeError):
        cosign.Client(auth={"r.example.com": 5})  # type: ignore[dict-item]


def test_many_threads_sign_one_image_and_lose_nothing(image: str) -> None:
    keys = [cosign.PrivateKey.generate() for _ in range(12)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda key: cosign.Signer(key).sign_image(image), keys))
    everyone = cosign.Policy(keys=[key.public_key for key in keys], threshold=len(keys))
    assert len(cosign.Verifier(everyone).verify(image).signatures) == len(keys)
