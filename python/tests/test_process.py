"""As a guest in a process: import, Ctrl-C, fork, exit, worker processes."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cosign
import pytest
from conftest import ROOT


def python(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60)


def interruptible(arguments: list[str], **options: object) -> subprocess.Popen[str]:
    """A child that takes Ctrl-C even where this process was started in the background, which makes SIGINT ignored."""
    take = signal.SIG_DFL
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [sys.executable, *arguments], text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, take), **options
    )


class Silent(str):
    """The address of a server that accepts connections and never answers."""

    connected: threading.Event


@pytest.fixture
def silent_server() -> object:
    listener = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []
    address = Silent(f"127.0.0.1:{listener.getsockname()[1]}")
    address.connected = threading.Event()

    def accept() -> None:
        while True:
            try:
                held.append(listener.accept()[0])
                address.connected.set()
            except OSError:
                return

    threading.Thread(target=accept, daemon=True).start()
    yield address
    listener.close()
    for connection in held:
        connection.close()


def test_import_is_light() -> None:
    heavy = ["argparse", "asyncio", "dataclasses", "json", "logging", "pathlib", "re", "threading", "typing"]
    script = f"""
import sys
before = set(sys.modules)
import cosign
print(sorted(set({heavy!r}) & (set(sys.modules) - before)))
"""
    assert python("import sys; sys.flags\n" + script).stdout == "[]\n"


def test_import_starts_no_thread() -> None:
    script = "import cosign, os; print(len(os.listdir('/proc/self/task')))"
    assert python(script).stdout == "1\n"


def test_ctrl_c_ends_a_call_that_waits_for_a_registry(silent_server: Silent) -> None:
    script = """
import sys, time, cosign
print("ready", flush=True)
start = time.monotonic()
try:
    cosign.resolve(sys.argv[1] + "/a/b:c", timeout=30)
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - start < 10)
"""
    child = interruptible(["-c", script, silent_server], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    assert silent_server.connected.wait(30)
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=30)[0] == "interrupted True\n"


def test_ctrl_c_ends_the_command_with_130(silent_server: Silent, key_files: object) -> None:
    arguments = ["-m", "cosign", "verify", "--key", f"{key_files}.pub", silent_server + "/a/b:c"]
    child = interruptible(arguments, stderr=subprocess.PIPE)
    assert silent_server.connected.wait(30)
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=30)
    assert (child.returncode, error) == (130, "Error: interrupted\n")


def test_a_timeout_is_unknown_and_not_a_verdict(silent_server: str) -> None:
    with pytest.raises(cosign.RegistryTimeout) as caught:
        cosign.resolve(silent_server + "/a/b:c", timeout=0.3)
    assert not isinstance(caught.value, cosign.VerificationError)
    assert caught.value.retryable


def test_a_client_works_in_the_child_after_fork(silent_server: str) -> None:
    script = """
import os, sys, warnings, cosign
warnings.simplefilter("ignore")
client = cosign.Client(timeout=0.3)
def ask():
    try:
        client.resolve(sys.argv[1] + "/a/b:c")
    except cosign.RegistryTimeout:
        return 0
    return 1
assert ask() == 0
child = os.fork()
if child == 0:
    os._exit(ask())
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), ask())
"""
    assert python(script, silent_server).stdout == "0 0\n"


def test_exit_with_a_call_in_flight(silent_server: str) -> None:
    script = """
import sys, threading, time, cosign
def ask():
    cosign.resolve(sys.argv[1] + "/a/b:c", timeout=30)
threading.Thread(target=ask, daemon=True).start()
time.sleep(0.3)
print("bye")
"""
    done = python(script, silent_server)
    assert (done.returncode, done.stdout, done.stderr) == (0, "bye\n", "")


def _verify(arguments: tuple[cosign.Verifier, str]) -> cosign.VerifiedImage:
    verifier, image = arguments
    return verifier.verify(image)


def test_worker_processes_return_results_and_errors(signed: str, key: cosign.PrivateKey) -> None:
    good = cosign.Verifier(cosign.Policy(keys=[key.public_key]))
    bad = cosign.Verifier(cosign.Policy(keys=[cosign.PrivateKey.generate().public_key]))
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(_verify, (good, signed)).result() == good.verify(signed)
        with pytest.raises(cosign.NoMatchingSignatures) as caught:
            pool.submit(_verify, (bad, signed)).result()
    assert caught.value.report is not None


def test_the_library_reads_no_environment(signed: str, key_files: object) -> None:
    script = """
import sys, cosign
policy = cosign.Policy(keys=[cosign.PublicKey.load(sys.argv[1])])
print(cosign.Verifier(policy).verify(sys.argv[2]).digest)
"""
    hostile = {
        "HTTP_PROXY": "http://127.0.0.1:1",
        "SSL_CERT_FILE": "/nonexistent",
        "HOME": "/nonexistent",
        "DOCKER_CONFIG": "/nonexistent",
        "COSIGN_REPOSITORY": "evil.example.com/x",
    }
    done = subprocess.run(
        [sys.executable, "-c", script, f"{key_files}.pub", signed],
        env=os.environ | hostile,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.startswith("sha256:"), done.stderr


def test_the_example_runs(image: str) -> None:
    example = ROOT / "examples" / "python" / "sign_and_verify.py"
    done = subprocess.run([sys.executable, str(example), image], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.startswith("sha256:")) == (0, True), done.stderr


def test_docstring_examples_run() -> None:
    import ast
    import doctest

    tree = ast.parse(Path(cosign.__file__).with_name("_native.pyi").read_text())
    parser, runner, count = doctest.DocTestParser(), doctest.DocTestRunner(), 0
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
            test = parser.get_doctest(text, {}, node.name, "_native.pyi", 0)
            count += len(test.examples)
            runner.run(test)
    assert (runner.failures, count >= 8) == (0, True)


def test_ctrl_c_ends_the_wait_for_a_locked_layout(image: str) -> None:
    script = """
import sys, cosign
key = cosign.PrivateKey.generate()
print("ready", flush=True)
try:
    cosign.Signer(key).sign_image(sys.argv[1])
except KeyboardInterrupt:
    print("interrupted")
"""
    folder = os.open(image.removeprefix("oci:").removesuffix(":v1"), os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    child = interruptible(["-c", script, image], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=30)[0] == "interrupted\n"
    os.close(folder)
    with pytest.raises(cosign.NoSignatures):
        cosign.Verifier(cosign.Policy(keys=[cosign.PrivateKey.generate().public_key])).verify(image)
