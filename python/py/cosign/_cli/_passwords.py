"""Where passwords come from: `COSIGN_PASSWORD` (also when empty), else the terminal, else all of standard input."""

from __future__ import annotations

import os
import sys

from . import Refusal
from ._flags import note

PROMPT = "Enter password for private key: "
AGAIN = "Enter password for private key again: "


def from_environment() -> bytes | None:
    """`COSIGN_PASSWORD`; set but empty counts as set."""
    value = os.environ.get("COSIGN_PASSWORD")
    return None if value is None else os.fsencode(value)


def interactive() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()


def ask() -> bytes:
    """The password of an existing key."""
    given = from_environment()
    if given is not None:
        return given
    return _type(PROMPT) if interactive() else _piped()


def ask_new() -> bytes:
    """The password of a new key; typed twice on a terminal."""
    given = from_environment()
    if given is not None:
        return given
    if not interactive():
        return _piped()
    password = _type(PROMPT)
    if password != _type(AGAIN):
        raise Refusal("passwords do not match")
    return password


def consent_to_overwrite(paths: list[str], yes: bool = False) -> bool:
    """Asks before a file is overwritten; returns whether one is there.

    Piped input is either the password or the answer, never both: without `COSIGN_PASSWORD` it is the password, and
    then an existing file is refused before anything is read.
    """
    existing = [path for path in paths if os.path.lexists(path)]
    for path in existing:
        note(f"WARNING: File {path} already exists. Overwrite?")
        if yes:
            continue
        if from_environment() is None and not interactive():
            raise Refusal(
                f"{path} already exists and standard input holds the password, not an answer; "
                "remove the file, choose another --output-key-prefix, or set COSIGN_PASSWORD"
            )
        confirm()
    return bool(existing)


def confirm() -> None:
    """Asks whether to go on, in cosign's words; anything but yes stops the command."""
    print("Are you sure you would like to continue? [y/N] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip() if sys.stdin is not None else ""
    if answer in ("", "n", "N"):
        raise Refusal("user declined the prompt")
    if answer not in ("y", "Y"):
        raise Refusal(f'invalid input "{answer}" (allowed values y, n)')


def _piped() -> bytes:
    """All of standard input, not trimmed: `printf 'pw\\n'` is another password than `printf pw`."""
    return sys.stdin.buffer.read() if sys.stdin is not None else b""


def _type(prompt: str) -> bytes:
    from getpass import getpass

    try:
        return getpass(prompt).encode("utf-8", "surrogateescape")
    except EOFError:
        raise Refusal("no password was typed") from None
