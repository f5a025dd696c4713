"""docs/commands.md names every command and every flag that the command line has."""

from __future__ import annotations

import re
from importlib import import_module

import pytest
from conftest import ROOT
from cosign import _cli
from cosign._cli import _flags

PAGE = (ROOT / "docs" / "commands.md").read_text()
# Commands whose first argument is part of their name.
FORMS = {"attach": ["signature"], "download": [None, "signature"]}


def sections() -> dict[str, str]:
    parts = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


class Seen(Exception):
    """The parser of a command, as it is when it begins to read."""


def flags(monkeypatch: pytest.MonkeyPatch, command: str, word: str | None) -> list[tuple[str, ...]]:
    def read(parser: _flags.Parser, arguments: list[str]) -> None:
        raise Seen(parser)

    monkeypatch.setattr(_flags.Parser, "read", read)
    module = import_module(f"cosign._cli.{_cli.COMMANDS[command][0]}")
    with pytest.raises(Seen) as caught:
        getattr(module, command.replace("-", "_"))([] if word is None else [word])
    parser: _flags.Parser = caught.value.args[0]
    return [tuple(action.option_strings) for action in parser._actions if "--help" not in action.option_strings]


def test_every_command_has_a_section() -> None:
    named = [name for name in sections() if name != "Registry flags"]
    assert sorted(named) == sorted(_cli.COMMANDS)


@pytest.mark.parametrize("command", _cli.COMMANDS)
def test_every_flag_is_named(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    text = sections()
    known: set[str] = set()
    for word in FORMS.get(command, [None]):
        for names in flags(monkeypatch, command, word):
            known.update(names)
            for name in names:
                # `attach signature` has the flags of `upload`.
                places = text[command] + text["Registry flags"] + (text["upload"] if command == "attach" else "")
                assert f"`{name}`" in places, f"{command} {name} is not on the page"
    # And the other way: what the first column names exists.
    for cells in re.findall(r"^\| (`-.*?) \|", text[command], flags=re.MULTILINE):
        for name in re.findall(r"`(-[^`]+)`", cells):
            assert name in known, f"the page names {name} of {command}, which does not exist"


def test_the_common_flags_are_those_of_commands_with_images(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = _flags.Parser("x", "", "")
    _flags.registry_flags(parser)
    known = {name for action in parser._actions for name in action.option_strings} - {"-h", "--help"}
    named = set()
    for cells in re.findall(r"^\| (`-.*?) \|", sections()["Registry flags"], flags=re.MULTILINE):
        named.update(re.findall(r"`(-[^`]+)`", cells))
    assert named == known
