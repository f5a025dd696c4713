#!/usr/bin/env python3
"""Checks the floors of core/src: no file uses a floor above its own, a sibling that floors.toml does not name, or a
library that belongs to another room.

    scripts/floors.py [SOURCE_DIRECTORY]

Paths are read from the source text with comments and strings blanked: `use` trees, inline paths, `super` and names that
lib.rs re-exports at the root. lib.rs itself is exempt: it names every floor.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Rules:
    """What floors.toml says."""

    floors: dict[str, int]
    siblings: dict[str, list[str]]
    libraries: dict[str, list[str]]

    @staticmethod
    def read(path: Path) -> Rules:
        table = tomllib.loads(path.read_text())
        rules = Rules(table["floors"], table["siblings"], table["libraries"])
        for module, others in rules.siblings.items():
            for other in others:
                if rules.floors[module] != rules.floors[other]:
                    raise SystemExit(f"{path}: {module} and {other} are not on one floor")
                rules.refuse_circle(other, [module, other])
        return rules

    def refuse_circle(self, module: str, way: list[str]) -> None:
        for other in self.siblings.get(module, []):
            if other == way[0]:
                raise SystemExit(f"floors.toml: the siblings form a circle: {' -> '.join([*way, other])}")
            self.refuse_circle(other, [*way, other])


def blank(match: re.Match[str]) -> str:
    """Spaces of the same shape, so that line numbers stay."""
    return re.sub(r"[^\n]", " ", match.group())


# In this order: whichever of them begins first hides the others inside it.
HIDDEN = re.compile(
    r"""//[^\n]* | /\*.*?\*/ | \bb?r(?P<hash>\#*)".*?"(?P=hash) | "(?:\\.|[^"\\])*" | '(?:\\.[^']*|[^'\\])'""",
    re.DOTALL | re.VERBOSE,
)
PATH = re.compile(r"(?<![\w:])(crate|self|super)\s*::")
INLINE_MODULE = re.compile(r"\bmod\s+\w+\s*\{")


def closing(text: str, start: int) -> int:
    """The position after the brace that closes the one at `start`."""
    depth = 0
    for position in range(start, len(text)):
        if text[position] == "{":
            depth += 1
        elif text[position] == "}":
            depth -= 1
            if depth == 0:
                return position + 1
    return len(text)


def leaves(text: str, position: int) -> Iterator[list[str]]:
    """Every path of the use tree (or plain path) that begins at `position`."""
    step = re.compile(r"\s*(?:(r#)?(\w+)|(\*))\s*(::)?").match(text, position)
    if step is not None:
        name = step.group(2) or "*"
        if step.group(4) is None:
            yield [name]
            return
        found = False
        for rest in leaves(text, step.end()):
            found = True
            yield [name, *rest]
        if not found:
            yield [name]
        return
    brace = re.compile(r"\s*\{").match(text, position)
    if brace is None:
        return
    end = closing(text, brace.end() - 1) - 1
    depth, part = 0, brace.end()
    for index in range(brace.end(), end + 1):
        if index == end or (text[index] == "," and depth == 0):
            yield from leaves(text, part)
            part = index + 1
        else:
            depth += {"{": 1, "}": -1}.get(text[index], 0)


def root_names(library: str) -> dict[str, str]:
    """Names that lib.rs re-exports at the root, each with the module it comes from."""
    names: dict[str, str] = {}
    for use in re.finditer(r"\bpub\s+use\s+(?:crate\s*::\s*)?", library):
        for path in leaves(library, use.end()):
            if len(path) > 1:
                names[path[-1]] = path[0]
    return names


def used(text: str, module: list[str]) -> Iterator[tuple[int, str]]:
    """The top-level names of the crate that a file's text uses, each with its line."""
    inline = [(m.start(), closing(text, m.end() - 1)) for m in INLINE_MODULE.finditer(text)]
    for match in PATH.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        inside = sum(start < match.start() < end for start, end in inline)
        for path in leaves(text, match.start()):
            here = [*module, *["(inline)"] * inside]
            while path and path[0] in ("crate", "self", "super"):
                here = [] if path[0] == "crate" else here[:-1] if path[0] == "super" else here
                path = path[1:]
            target = [*here, *path]
            if target:
                yield line, target[0]


def check(source: Path, rules: Rules) -> list[str]:
    """One line per violation, in the order of files."""
    root = root_names(HIDDEN.sub(blank, (source / "lib.rs").read_text()))
    violations: list[str] = []
    for file in sorted(source.rglob("*.rs")):
        relative = file.relative_to(source)
        if relative.as_posix() == "lib.rs":
            continue
        module = [*relative.parts[:-1], *([] if relative.stem == "mod" else [relative.stem])]
        own = module[0]
        if own not in rules.floors:
            violations.append(f"{relative}:1: {own} has no floor in scripts/floors.toml")
            continue
        text = HIDDEN.sub(blank, file.read_text())
        seen: set[tuple[int, str]] = set()
        for line, name in used(text, module):
            other = name if name in rules.floors else root.get(name, name)
            if other == own or other not in rules.floors or (line, other) in seen:
                continue
            seen.add((line, other))
            mine, theirs = rules.floors[own], rules.floors[other]
            if theirs > mine:
                violations.append(f"{relative}:{line}: {own} (floor {mine}) uses {other} (floor {theirs})")
            elif theirs == mine and other not in rules.siblings.get(own, []):
                violations.append(
                    f"{relative}:{line}: {own} uses its sibling {other}, which floors.toml does not allow"
                )
        for library, rooms in rules.libraries.items():
            if any(relative.as_posix() == room or relative.as_posix().startswith(room) for room in rooms):
                continue
            for match in re.finditer(rf"(?<![\w:.])(?:::\s*)?{library}\s*::|\buse\s+(?:::\s*)?{library}\b", text):
                line = text.count("\n", 0, match.start()) + 1
                violations.append(f"{relative}:{line}: {library} may be named only in {', '.join(rooms)}")
    return violations


def main(arguments: list[str]) -> int:
    source = Path(arguments[0]) if arguments else HERE.parent / "core" / "src"
    violations = check(source, Rules.read(HERE / "floors.toml"))
    for violation in violations:
        print(violation)
    print(f"floors: {len(list(source.rglob('*.rs')))} files, {len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
