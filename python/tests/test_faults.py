"""Verdicts under faults, by their classes and codes: each request of sign and verify fails in several ways.

A call that succeeds shows evidence for it; what could not be read is `RegistryError`, never `VerificationError`; the
signature of nobody is lost, and none is half written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count, product
from queue import SimpleQueue
from typing import Any, NamedTuple

import cosign
import pytest
from conftest import Registry

# Most of the time a case waits to try again.
WORKERS = 12
PATIENCE = 0.4
# Each case has an image of its own.
IMAGES = count()


class Fault(NamedTuple):
    do: Any
    expected: type[cosign.RegistryError]
    code: str


FAULTS = [
    Fault({"rate_limit": "absent"}, cosign.RateLimited, "RATE_LIMITED"),
    Fault({"oci_error": [500, "UNKNOWN"]}, cosign.RegistryUnavailable, "NETWORK"),
    Fault({"oci_error": [403, "DENIED"]}, cosign.AuthenticationError, "DENIED"),
    Fault({"text": [401, "who?"]}, cosign.AuthenticationError, "AUTH"),
    Fault("reset", cosign.RegistryUnavailable, "NETWORK"),
    Fault("truncate", cosign.RegistryUnavailable, "NETWORK"),
    Fault("wrong_bytes", cosign.RegistryError, "CONTENT"),
    Fault("portal", cosign.RegistryError, "PROTOCOL"),
    Fault("stall", cosign.RegistryTimeout, "TIMEOUT"),
]


class Case(NamedTuple):
    request: int
    fault: Fault
    # Whether everything after it fails, too.
    dead: bool

    @property
    def timeout(self) -> float | None:
        return PATIENCE if self.fault.do == "stall" else None

    def start(self, registry: Registry) -> None:
        if self.dead:
            registry.tell(fault={"when": "", "skip": self.request - 1, "do": self.fault.do})
        else:
            registry.tell(fail={"request": self.request, "do": self.fault.do})

    def is_of(self, error: cosign.CosignError) -> bool:
        """Whether this is the error for the fault."""
        # A bit flipped in a list of tags makes another list, or none at all.
        flipped = self.fault.code == "CONTENT" and error.code == "PROTOCOL"
        return isinstance(error, self.fault.expected) and (error.code == self.fault.code or flipped)


@pytest.fixture(scope="module")
def registries() -> Iterator[SimpleQueue[Registry]]:
    free: SimpleQueue[Registry] = SimpleQueue()
    all_of_them = [Registry() for _ in range(WORKERS)]
    for registry in all_of_them:
        free.put(registry)
    yield free
    for registry in all_of_them:
        registry.close()


@pytest.fixture(scope="module")
def strangers() -> cosign.PrivateKey:
    return cosign.PrivateKey.generate()


def verify(image: str, key: cosign.PrivateKey, **options: Any) -> int:
    """How many signatures of the key there are."""
    policy = cosign.Policy(keys=[key.public_key])
    # A new client each time, which knows nothing of the registry.
    return len(cosign.Verifier(policy, cosign.Client()).verify(image, **options).signatures)


def sign(image: str, key: cosign.PrivateKey, **options: Any) -> cosign.SignedImage:
    signer = cosign.Signer(key, cosign.Client())
    return signer.sign_image(image, format="both", annotations={"a": "b"}, **options)


def sweep(
    free: SimpleQueue[Registry],
    key: cosign.PrivateKey,
    rightly: Callable[[str], object],
    check: Callable[[Registry, str, Case], None],
) -> None:
    """Runs `check` for each request that `rightly` makes and each fault, on an image that `key` has signed."""
    counter = free.get()
    image = counter.image(f"team/r{next(IMAGES)}")
    sign(image, key)
    before = counter.tell(mark={})
    rightly(image)
    requests = counter.tell(mark={}) - before
    free.put(counter)
    assert requests >= 4

    def one(case: Case) -> bool:
        registry = free.get()
        try:
            image = registry.image(f"team/r{next(IMAGES)}")
            assert sign(image, key).status == "stored"
            hits = registry.tell(hits={})
            case.start(registry)
            check(registry, image, case)
            return bool(registry.tell(hits={}) > hits)
        finally:
            registry.tell(heal={})
            free.put(registry)

    alone = ("truncate", "wrong_bytes", "portal")
    cases = [
        Case(request, fault, dead)
        for request, fault, dead in product(range(1, requests + 1), FAULTS, (True, False))
        if dead or fault.do in alone
    ]
    with ThreadPoolExecutor(WORKERS) as pool:
        met = sum(pool.map(one, cases))
    assert met > len(cases) * 3 // 4


def test_the_signers_verification(registries: SimpleQueue[Registry], key: cosign.PrivateKey) -> None:
    def check(_: Registry, image: str, case: Case) -> None:
        try:
            assert verify(image, key, timeout=case.timeout) in (1, 2)
        except cosign.CosignError as error:
            assert case.is_of(error), (case, error)

    sweep(registries, key, lambda image: verify(image, key), check)


def test_a_strangers_verification(
    registries: SimpleQueue[Registry], key: cosign.PrivateKey, strangers: cosign.PrivateKey
) -> None:
    def rightly(image: str) -> None:
        with pytest.raises(cosign.NoMatchingSignatures):
            verify(image, strangers)

    def check(_: Registry, image: str, case: Case) -> None:
        with pytest.raises(cosign.CosignError) as caught:
            verify(image, strangers, timeout=case.timeout)
        assert case.is_of(caught.value) or type(caught.value) is cosign.NoMatchingSignatures, (case, caught.value)
        assert not isinstance(caught.value, cosign.NoSignatures)

    sweep(registries, key, rightly, check)


def test_signing(registries: SimpleQueue[Registry], key: cosign.PrivateKey, strangers: cosign.PrivateKey) -> None:
    def check(registry: Registry, image: str, case: Case) -> None:
        try:
            signed = sign(image, strangers, timeout=case.timeout)
        except cosign.CosignError as error:
            assert case.is_of(error), (case, error)
            # After the tag was resolved every error says how far it came; patience may end before.
            early = case.request == 1 or isinstance(error, cosign.RegistryTimeout)
            assert early or set(error.details["stages"]) == {"blobs", "journal", "tag", "checked"}
            registry.tell(heal={})
        else:
            registry.tell(heal={})
            found = verify(image, strangers, journal=signed.status == "journal_only")
            assert found == 2 or (found == 1 and signed.status != "stored"), (case, json.dumps(signed.to_dict()))
        # Whoever signed before is not lost, and nothing half written is in the way.
        assert verify(image, key, journal=False) == 2, case

    sweep(registries, key, lambda image: sign(image, strangers), check)
