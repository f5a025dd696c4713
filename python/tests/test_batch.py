"""Many images at once: results as they come, each image's trouble its own, and a good guest in the process."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cosign
import pytest
from conftest import ROOT, Command, Registry
from test_process import Silent, interruptible, silent_server  # noqa: F401


def policy(key: cosign.PrivateKey) -> cosign.Policy:
    return cosign.Policy(keys=[key.public_key])


def images(registry: Registry, key: cosign.PrivateKey, count: int) -> list[str]:
    """Signed images of one repository, by digest."""
    signer, found = cosign.Signer(key), []
    for n in range(count):
        digest = registry.tell(add_image={"repository": "team/app", "tag": f"v{n}"})
        found.append(f"{registry.host}/team/app@{digest}")
        signer.sign_image(found[-1], journal=False)
    return found


def test_each_image_has_one_result(registry: Registry, key: cosign.PrivateKey, signed: str) -> None:
    good = images(registry, key, 8)
    unsigned = registry.image("team/unsigned")
    asked = [*good, unsigned, "not a reference", signed, f"{registry.host}/team/app:v0", good[0]]
    verifier = cosign.Verifier(policy(key))
    results = {result.index: result for result in verifier.verify_images(asked)}
    assert sorted(results) == list(range(len(asked)))
    for index, result in results.items():
        assert result.image == asked[index]
        if index in (8, 9):
            assert result.verified is None
            assert type(result.error) is (cosign.NoSignatures if index == 8 else cosign.InvalidReference)
        else:
            assert result.error is None
            assert result.verified is not None
            assert result.verified == verifier.verify(asked[index])
            assert result.verified.image == asked[index]
        # What an `if` would make of it would be an accident.
        with pytest.raises(TypeError, match="neither true nor false"):
            bool(result)
        again = pickle.loads(pickle.dumps(result))
        assert (again.index, again.image, again.verified) == (index, asked[index], result.verified)
        assert type(again.error) is type(result.error)
        assert asked[index] in repr(result)
    # The options are those of `verify`.
    only = list(verifier.verify_images(good[:2], format="bundle", journal=False, at_once=1, per_host=1))
    assert [type(result.error) for result in only] == [cosign.NoSignatures] * 2
    assert list(verifier.verify_images([])) == []


def test_the_input_is_taken_lazily(registry: Registry, key: cosign.PrivateKey) -> None:
    good = images(registry, key, 2)
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            yield good[taken % 2]
            taken += 1

    with cosign.Verifier(policy(key)).verify_images(endless(), at_once=2) as batch:
        assert taken == 0
        for given, result in enumerate(batch, 1):
            assert result.verified is not None
            assert taken <= given + 16
            if given == 200:
                break
    assert list(batch) == []
    # One that is dropped in the middle leaves nothing behind that anybody waits for.
    next(cosign.Verifier(policy(key)).verify_images(endless(), at_once=2))


def test_what_the_input_raises_is_raised(registry: Registry, key: cosign.PrivateKey) -> None:
    good = images(registry, key, 1)

    def broken() -> Iterator[str]:
        yield good[0]
        raise LookupError("the list is torn")

    verifier = cosign.Verifier(policy(key))
    for bad, error in ((broken(), LookupError), ([*good, 7], TypeError)):
        batch = verifier.verify_images(bad)  # type: ignore[arg-type]
        with pytest.raises(error):
            list(batch)
        assert list(batch) == []
    for wrong in (7, good[0]):
        with pytest.raises(TypeError):
            verifier.verify_images(wrong)  # type: ignore[arg-type]

    batch = verifier.verify_images(item for _ in range(2) for item in [next(batch).image])
    with pytest.raises(ValueError, match="by the iterator of its images"):
        next(batch)


def test_bad_limits_are_told_at_once(key: cosign.PrivateKey) -> None:
    verifier = cosign.Verifier(policy(key))
    for limits in ({"at_once": 0}, {"per_host": 0}, {"image_timeout": 0.0}, {"image_timeout": -1.0}, {"timeout": 0.0}):
        with pytest.raises(cosign.ArgumentError):
            verifier.verify_images([], **limits)  # type: ignore[arg-type]
    with pytest.raises(cosign.InvalidPolicy):
        cosign.Verifier(cosign.Policy(keys=[])).verify_images([])


def test_the_timeout_is_the_batch_s_and_every_image_of_a_list_is_answered(
    silent_server: Silent,  # noqa: F811
    key: cosign.PrivateKey,
) -> None:
    asked = [f"{silent_server}/team/app{n}:v1" for n in range(5000)]
    verifier = cosign.Verifier(policy(key))
    results = list(verifier.verify_images(asked, at_once=4, timeout=0.2))
    assert sorted(result.index for result in results) == list(range(5000))
    assert {type(result.error) for result in results} == {cosign.RegistryTimeout}
    one = list(verifier.verify_images(asked[:3], image_timeout=0.1))
    assert [type(result.error) for result in one] == [cosign.RegistryTimeout] * 3


def test_threads_share_a_batch(registry: Registry, key: cosign.PrivateKey) -> None:
    asked = images(registry, key, 4) * 50
    batch = cosign.Verifier(policy(key)).verify_images(asked)
    seen: list[int] = []

    def work() -> None:
        seen.extend(result.index for result in batch if result.verified is not None)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(seen) == list(range(200))


def test_closing_ends_the_wait_of_another_thread(silent_server: Silent, key: cosign.PrivateKey) -> None:  # noqa: F811
    batch = cosign.Verifier(policy(key)).verify_images([f"{silent_server}/team/app:v1"])
    ended = threading.Event()

    def work() -> None:
        for result in batch:
            assert result.verified is None
        ended.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert silent_server.connected.wait(60)
    batch.close()
    assert ended.wait(60)
    thread.join()
    batch.close()


def test_ctrl_c_ends_a_batch(silent_server: Silent) -> None:  # noqa: F811
    script = """
import sys, cosign
verifier = cosign.Verifier(cosign.Policy(keys=[cosign.PrivateKey.generate().public_key]))
batch = verifier.verify_images(f"{sys.argv[1]}/team/app{n}:v1" for n in range(100))
try:
    next(batch)
except KeyboardInterrupt:
    assert list(batch) == []
    print("interrupted")
"""
    child = interruptible(["-c", script, silent_server], stdout=subprocess.PIPE)
    assert silent_server.connected.wait(60)
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=60)[0] == "interrupted\n"


def test_a_batch_does_not_cross_a_fork(registry: Registry, key: cosign.PrivateKey) -> None:
    batch = cosign.Verifier(policy(key)).verify_images(images(registry, key, 2) * 100, at_once=1)
    assert next(batch).verified is not None
    child = os.fork()
    if child == 0:
        code = 1
        try:
            next(batch)
        except cosign.ForkedError:
            del batch
            code = 0
        finally:
            os._exit(code)
    deadline = time.monotonic() + 60
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        assert time.monotonic() < deadline, "the child hangs"
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(ended[1]) == 0
    assert len(list(batch)) == 199


def test_the_example(registry: Registry, key: cosign.PrivateKey, key_files: Path, tmp_path: Path) -> None:
    good, unsigned = images(registry, key, 3), registry.image("team/unsigned")
    listed = tmp_path / "images.txt"
    listed.write_text("\n".join([*good, unsigned]) + "\n")
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "python" / "verify_many.py", f"{key_files}.pub", listed],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    lines = sorted(done.stdout.splitlines())
    assert lines == sorted([f"verified {image}" for image in good] + [f"NO_SIGNATURES {unsigned}"])


def test_the_command_verifies_many_and_prints_them_in_order(
    registry: Registry, key: cosign.PrivateKey, key_files: Path, command: Command
) -> None:
    good, unsigned = images(registry, key, 6), registry.image("team/unsigned")
    arguments = ["verify", "--key", f"{key_files}.pub"]
    # The first is the last to be answered.
    registry.tell(fault={"when": f"GET *{good[0].rpartition(':')[2]}.sig*", "times": 1, "do": {"delay": 300}})
    done = command(*arguments, *good)
    assert done.returncode == 0, done.stderr
    named = [line.split()[2] for line in done.stderr.splitlines() if line.startswith("Verification for")]
    assert named == good
    # The first that is not verified, in the order of the arguments, ends the command.
    done = command(*arguments, good[0], good[1], unsigned, good[2], f"{registry.host}/team/none:v1")
    assert done.returncode == 10, done.stderr
    named = [line.split()[2] for line in done.stderr.splitlines() if line.startswith("Verification for")]
    assert named == good[:2]
    assert [line[:1] for line in done.stdout.splitlines() if line] == ["[", "["]
