"""What the tests share: a fresh image in a folder, a key pair, and the command as a process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cosign
import pytest

ROOT = Path(__file__).resolve().parents[2]
DIGEST = "sha256:ea9afc656d4fdc1d3b6adcc5e9e0afe2f52bf239f37ecd2d0e40628a78614c82"
PASSWORD = "correct horse"


@pytest.fixture(scope="session")
def key() -> cosign.PrivateKey:
    return cosign.PrivateKey.generate()


@pytest.fixture(scope="session")
def key_files(tmp_path_factory: pytest.TempPathFactory, key: cosign.PrivateKey) -> Path:
    """The prefix of a key pair: `PREFIX.key`, `PREFIX.pub`."""
    prefix = tmp_path_factory.mktemp("keys") / "cosign"
    # The form of 2021 has the cheaper key derivation.
    key.save_pair(prefix, password=PASSWORD, format="cosign")
    return prefix


@pytest.fixture
def image(tmp_path: Path) -> str:
    """A real image in a folder of its own."""
    shutil.copytree(ROOT / "examples" / "image", tmp_path / "image")
    return f"oci:{tmp_path}/image:v1"


@pytest.fixture
def signed(image: str, key: cosign.PrivateKey) -> str:
    cosign.Signer(key).sign_image(image, annotations={"env": "prod"})
    return image


class Command:
    """Runs `cosign` as a user does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self, *arguments: str, stdin: bytes = b"", password: str | None = PASSWORD, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        env = {k: v for k, v in os.environ.items() if not k.startswith("COSIGN_")}
        if password is not None:
            env["COSIGN_PASSWORD"] = password
        done = subprocess.run(
            [sys.executable, "-m", "cosign", *arguments],
            input=stdin,
            capture_output=True,
            cwd=self.folder,
            env=env | environment,
            timeout=60,
        )
        result = subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode(errors="backslashreplace")
        )
        assert "Traceback" not in result.stderr, result.stderr
        assert PASSWORD not in result.stderr + result.stdout
        return result


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


class Registry:
    """The program cosign-test-registry: a registry on a loopback port that does what it is told."""

    def __init__(self) -> None:
        program = os.environ.get("COSIGN_TEST_REGISTRY")
        assert program, "COSIGN_TEST_REGISTRY is to be the program cosign-test-registry"
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        word, self.host = self._line().split()
        assert word == "listening"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def tell(self, **command: Any) -> Any:
        """Sends one command, see tests/src/registry/control.rs."""
        assert self.process.stdin is not None
        print(json.dumps(command), file=self.process.stdin, flush=True)
        answer = json.loads(self._line())
        assert "ok" in answer, (command, answer)
        return answer["ok"]

    def image(self, repository: str = "team/app") -> str:
        """A fresh image in a repository."""
        self.tell(add_image={"repository": repository, "tag": "v1"})
        return f"{self.host}/{repository}:v1"

    def close(self) -> None:
        self.process.communicate()
        assert self.process.returncode == 0


@pytest.fixture
def registry() -> Iterator[Registry]:
    started = Registry()
    yield started
    started.close()
