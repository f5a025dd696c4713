"""The stub is the truth about the native module, and typed programs pass `mypy --strict`."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT


@pytest.mark.parametrize(
    "arguments",
    [
        ["mypy.stubtest", "cosign._native"],
        ["mypy", "--strict", "--cache-dir=/dev/null", str(ROOT / "examples" / "python" / "sign_and_verify.py")],
        ["mypy", "--strict", "--cache-dir=/dev/null", str(ROOT / "examples" / "python" / "verify_many.py")],
    ],
    ids=["stub", "example", "example of a batch"],
)
def test_types(tmp_path: Path, arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
