"""Sessions as they are documented, typed into a shell and compared line by line with what they print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import cosign
import pytest
from conftest import ROOT

if TYPE_CHECKING:
    from conftest import Registry

TRANSCRIPTS = sorted((ROOT / "tests" / "transcripts").glob("*.txt"))


def steps(text: str) -> list[tuple[str, list[str]]]:
    """The commands, each with the lines that it prints."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found and not line.startswith("# "):
            found[-1][1].append(line)
    for _, output in found:
        # Empty lines between a step and the next comment are no output.
        while output and not output[-1]:
            output.pop()
    return found


def pattern(line: str) -> str:
    escaped = re.escape(line)
    return escaped.replace(re.escape("⟨base64⟩"), "[A-Za-z0-9+/]+=*").replace(re.escape("⟨hex⟩"), "[0-9a-f]+")


def test_there_are_transcripts() -> None:
    assert [path.name for path in TRANSCRIPTS][:1] == ["session-2021.txt"]


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_a_session_prints_what_is_documented(path: Path, tmp_path: Path, registry: Registry) -> None:
    image = registry.image()
    pinned = cosign.Client().resolve(image)
    repository, _, digest = pinned.partition("@sha256:")
    names = {"HOST": registry.host, "IMAGE": image, "REPO": repository, "DIGEST": digest}

    def named(text: str) -> str:
        return re.sub(r"\b(HOST|IMAGE|REPO|DIGEST)\b", lambda found: names[found[0]], text)

    env = {k: v for k, v in os.environ.items() if not k.startswith("COSIGN_")}
    script = tmp_path / "step.sh"
    code = 0
    checked = steps(path.read_text())
    assert len(checked) > 30
    for number, (command, expected) in enumerate(checked):
        script.write_text(f'cosign() {{ "{sys.executable}" -m cosign "$@"; }}\n(exit {code})\n{named(command)}\n')
        done = subprocess.run(
            ["bash", str(script)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
            env=env,
            timeout=60,
        )
        code = done.returncode
        printed = done.stdout.decode()
        assert "Traceback" not in printed, printed
        lines = printed.splitlines()
        while lines and not lines[-1]:
            lines.pop()
        wanted = [named(line) for line in expected]
        same = len(lines) == len(wanted) and all(
            re.fullmatch(pattern(one), other) for one, other in zip(wanted, lines, strict=True)
        )
        assert same, f"step {number}: $ {command}\nexpected:\n" + "\n".join(wanted) + "\nprinted:\n" + "\n".join(lines)
