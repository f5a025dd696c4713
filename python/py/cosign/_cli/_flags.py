"""Flags as Go programs read them, on top of argparse.

`-key K`, `--key K`, `--key=K` are the same; a flag that needs a value takes the next argument whatever it looks like; a
boolean takes a value only after `=`; `--` ends the flags. A flag that a command does not have is refused by its name.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, Literal, NoReturn

from . import UsageError

watch_requests = False
"""Whether `-d` or `-v` stands before the command, as in 2021."""


class Parser(argparse.ArgumentParser):
    """An argument parser for one command."""

    def __init__(self, command: str, usage: str, description: str) -> None:
        super().__init__(
            prog=f"cosign {command}",
            usage=f"cosign {command} {usage}",
            description=description,
            allow_abbrev=False,
            argument_default=None,
        )

    def text(self, *names: str, default: str | None = None, help: str) -> None:
        """A flag with a value; the last one given counts."""
        self.add_argument(*names, default=default, metavar="VALUE", help=help)

    def many(self, *names: str, help: str) -> None:
        """A flag that can be repeated."""
        self.add_argument(*names, action="append", default=[], metavar="VALUE", help=help)

    def switch(self, *names: str, default: bool | None = False, help: str) -> None:
        """A boolean: `--flag`, `--flag=true`, `--flag=false`."""
        self.add_argument(*names, nargs="?", const=True, default=default, type=go_bool, metavar="BOOL", help=help)

    def read(self, arguments: list[str]) -> argparse.Namespace:
        """Parses the arguments of the command; positional ones become `images`."""
        flags, positional = self._split(arguments)
        parsed = self.parse_args(flags)
        parsed.images = positional
        return parsed

    def _split(self, arguments: list[str]) -> tuple[list[str], list[str]]:
        """Separates flags (each as one `--flag=value` word) from positional arguments."""
        flags: list[str] = []
        positional: list[str] = []
        rest = iter(arguments)
        for word in rest:
            if word == "--":
                positional.extend(rest)
            elif not word.startswith("-") or word == "-":
                positional.append(word)
            else:
                name, separator, value = word.partition("=")
                action = self._flag(name)
                if action is None and not word.startswith("--") and self._flag(word[:2]) is not None:
                    # `-ak=v`: a short flag with its value attached.
                    name, separator, value = word[:2], "=", word[2:]
                    action = self._flag(name)
                if action is None:
                    raise UsageError(f"unknown flag: {name}")
                name = max(action.option_strings, key=len)
                if separator:
                    flags.append(f"{name}={value}")
                elif action.nargs in (0, "?"):
                    flags.append(name)
                else:
                    following = next(rest, None)
                    if following is None:
                        raise UsageError(f"flag needs an argument: {word}")
                    flags.append(f"{name}={following}")
        return flags, positional

    def _flag(self, name: str) -> argparse.Action | None:
        known = self._option_string_actions
        return known.get(name) or (known.get("-" + name) if len(name) > 2 else None)

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def go_bool(text: str) -> bool:
    """Go's `strconv.ParseBool`."""
    if text in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    if text in ("0", "f", "F", "FALSE", "false", "False"):
        return False
    raise argparse.ArgumentTypeError(f'invalid argument "{text}": must be true or false')


def duration(text: str | None) -> float | None:
    """Go's `time.ParseDuration` in seconds: `90s`, `3m0s`, `1.5h`; 0 means no limit."""
    import re

    if text is None or text == "0":
        return None
    units = {"ns": 1e-9, "us": 1e-6, "\u00b5s": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
    part = r"(\d+(?:\.\d*)?|\.\d+)(ns|us|\u00b5s|ms|s|m|h)"
    if not re.fullmatch(f"(?:{part})+", text):
        raise UsageError(f'invalid argument "{text}" for "--timeout": write it as 90s, 3m or 1h30m')
    return sum(float(number) * units[unit] for number, unit in re.findall(part, text)) or None


def annotation_pairs(values: list[str]) -> dict[str, str]:
    """The pairs of all `-a` flags.

    Each value is one line of CSV (Go pflag's StringSlice) whose fields are `key=value`. What real cosign would drop
    silently (an empty value, a second line) or overwrite (a key with two values) is refused: a demand that is not
    checked must never pass.
    """
    pairs: dict[str, str] = {}
    for value in values:
        for field in csv_fields(value):
            parts = field.split("=")
            if len(parts) != 2 or not parts[0]:
                raise UsageError(f"unable to parse annotation: {field} (expected key=value)")
            if pairs.setdefault(parts[0], parts[1]) != parts[1]:
                raise UsageError(f"annotation {parts[0]} is given twice with different values")
    return pairs


def csv_fields(line: str) -> list[str]:
    """One record as Go's `encoding/csv` reads it (strict quotes, no trimming)."""
    shown = f'invalid argument "{line}" for "-a, --annotations"'
    line = line[:-1] if line.endswith("\n") else line
    if not line:
        raise UsageError(f"{shown}: it is empty (expected key=value)")
    fields: list[str] = []
    at = 0
    while True:
        if line.startswith('"', at):
            field = ""
            at += 1
            while True:
                end = line.find('"', at)
                if end < 0:
                    raise UsageError(f'{shown}: extraneous or missing " in quoted-field')
                field += line[at:end]
                at = end + 1
                if not line.startswith('"', at):
                    break
                field += '"'
                at += 1
            if at < len(line) and line[at] not in ",\r\n":
                raise UsageError(f'{shown}: extraneous or missing " in quoted-field')
        else:
            end = min((i for i in (line.find(c, at) for c in ",\n") if i >= 0), default=len(line))
            field = line[at:end]
            at = end
            if '"' in field:
                raise UsageError(f'{shown}: bare " in non-quoted field')
        fields.append(field)
        if at == len(line):
            return fields
        if line[at] != ",":
            raise UsageError(f"{shown}: it has a second line, which would not be read")
        at += 1


def docker_media_types() -> bool:
    """Whether the environment asks for Docker's media types in new signature images, as cosign reads it."""
    import os

    text = os.environ.get("COSIGN_DOCKER_MEDIA_TYPES", "")
    try:
        return bool(text) and go_bool(text)
    except argparse.ArgumentTypeError:
        raise UsageError(f"COSIGN_DOCKER_MEDIA_TYPES={text} in the environment: must be true or false") from None


def registry_flags(parser: Parser) -> None:
    """The flags of commands that may talk to a registry."""
    parser.switch("--allow-http-registry", help="allow plain HTTP for the registries of the images")
    parser.text("--registry-username", help="user name for the registries of the images")
    parser.text("--registry-password", help="password for the registries of the images")
    parser.text("--registry-token", help="bearer token for the registries of the images")
    parser.text("--registry-cacert", help="a file of certificate authorities to trust as well")
    parser.text("--registry-client-cert", help="a certificate (PEM file) for registries that ask for one")
    parser.text("--registry-client-key", help="its private key (PEM file, unencrypted)")
    parser.switch("-d", "--verbose", help="print each request, without credentials, on standard error")
    parser.switch("-v", help="the same")
    parser.text("-t", "--timeout", default="3m0s", help="time for one image, as 90s or 3m (default 3m0s)")


def client(options: argparse.Namespace, images: list[str]) -> Any:
    """The client for these images: from the environment, then from the flags."""
    import cosign
    from cosign import _native

    hosts = sorted({host for host in (_native._registry(image) for image in images) if host is not None})
    auth: dict[str, tuple[str, str] | str] = {}
    if options.registry_token:
        auth = dict.fromkeys(hosts, options.registry_token)
    elif options.registry_username or options.registry_password:
        auth = dict.fromkeys(hosts, (options.registry_username or "", options.registry_password or ""))
    ca = None if options.registry_cacert is None else os_path(options.registry_cacert)
    http = hosts if options.allow_http_registry else []
    seconds = duration(options.timeout)
    return cosign.Client.from_env(
        timeout=seconds,
        auth=auth,
        ca=ca,
        http_registries=http,
        client_certificate=client_certificate(options),
        rekor_url=getattr(options, "rekor_url", None),
        on_request=note if options.verbose or options.v or watch_requests else None,
    )


def client_certificate(options: argparse.Namespace) -> tuple[Any, Any] | None:
    """The certificate and key files for registries that ask for them: both or neither."""
    certificate, key = options.registry_client_cert, options.registry_client_key
    if (certificate is None) != (key is None):
        raise UsageError("--registry-client-cert and --registry-client-key go together")
    return None if certificate is None else (os_path(certificate), os_path(key))


def os_path(text: str) -> Any:
    """A path that is never taken for something else."""
    from pathlib import Path

    return Path(text)


def need_images(parser: Parser, images: list[str]) -> list[str]:
    """At least one image."""
    if not images:
        raise UsageError(f"no image was given; usage: {parser.usage}")
    return images


def one_image(images: list[str]) -> str:
    """Exactly one image."""
    if len(images) != 1:
        raise UsageError(f"expected one image, got {len(images)}")
    return images[0]


def no_arguments(images: list[str]) -> None:
    """No positional argument at all."""
    if images:
        raise UsageError(f"unexpected argument: {images[0]}")


def note(message: str) -> None:
    """One line for people."""
    print(message, file=sys.stderr)


def only(options: argparse.Namespace, flag: str, allowed: tuple[str, ...], why: str) -> None:
    """Refuses a value of a flag that this version does not implement."""
    value = getattr(options, flag.lstrip("-").replace("-", "_"))
    if value is not None and value not in allowed:
        raise UsageError(f"{flag}={value} is not supported: {why}; allowed: {', '.join(allowed)}")


FORMATS = ("legacy", "bundle", "both")


def format_flags(parser: Parser, help: str) -> None:
    """`--format`, and the words of cosign for the same choice."""
    parser.text("--format", help=help)
    parser.switch("--new-bundle-format", default=None, help="true: --format bundle; false: --format legacy")


def wanted_format(options: argparse.Namespace) -> Literal["legacy", "bundle", "both"] | None:
    """What these flags say, `None` for the default."""
    only(options, "--format", FORMATS, "no such format")
    format: Literal["legacy", "bundle", "both"] | None = options.format
    if options.new_bundle_format is None:
        return format
    meant: Literal["bundle", "legacy"] = "bundle" if options.new_bundle_format else "legacy"
    if format not in (None, meant):
        said = f"--new-bundle-format={str(options.new_bundle_format).lower()}"
        raise UsageError(f"--format={format} and {said} contradict each other")
    return meant


def only_bool(options: argparse.Namespace, flag: str, allowed: bool, why: str) -> None:
    """Refuses a boolean flag's value that this version does not implement."""
    value = getattr(options, flag.lstrip("-").replace("-", "_"))
    if value is not None and value is not allowed:
        raise UsageError(f"{flag}={str(value).lower()} is not supported: {why}")
