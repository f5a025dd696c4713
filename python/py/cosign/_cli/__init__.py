"""The `cosign` command: each sub-command is a few lines over the public API of `cosign`.

This file finds the sub-command, reads its flags, and turns every outcome into a message on standard error and an exit
code (`docs/errors.md`). No traceback reaches a user.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "generate-key-pair": ("_keys", "make a key pair: an encrypted private key and its public key"),
    "import-key-pair": ("_keys", "encrypt an existing private key for use with cosign"),
    "public-key": ("_keys", "print the public key of a private key"),
    "generate": ("_generate", "print the payload that sign signs, for signing it elsewhere"),
    "sign": ("_sign", "sign container images"),
    "verify": ("_verify", "verify signatures of container images"),
    "sign-blob": ("_blobs", "sign files"),
    "verify-blob": ("_blobs", "verify signatures of files"),
    "upload": ("_attach", "attach a signature that was made elsewhere, as in 2021"),
    "attach": ("_attach", "attach signature: the later name of upload"),
    "download": ("_download", "print the signatures that are stored for an image"),
    "tree": ("_tree", "print everything that hangs on an image"),
    "doctor": ("_tree", "say which tools can read the signatures of an image"),
    "triangulate": ("_triangulate", "print where the signatures of an image are stored"),
    "copy": ("_maintain", "copy an image with its signatures between registries and layouts"),
    "clean": ("_maintain", "remove signatures, attestations and SBOMs of an image"),
    "gc": ("_maintain", "remove journal entries that no signer needs any more"),
    "version": ("_version", "print the version"),
}


class UsageError(Exception):
    """The command line itself is wrong: exit code 2."""


class Refusal(Exception):
    """The command stops for a reason that is not an error of the library: exit code 1."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        return _say("interrupted", 130)
    except BrokenPipeError:
        # Whoever read our output is gone; nothing more may be written, not even by the interpreter's exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except UsageError as error:
        return _say(str(error), 2)
    except UnicodeEncodeError as error:
        # Python carries bytes that are no UTF-8 as halves of surrogate pairs; only file names may hold them.
        return _say(f"the argument {error.object!a} is not UTF-8", 2)
    except Refusal as error:
        return _say(str(error), 1)
    except Exception as error:
        return _failed(error)


def _run(arguments: list[str]) -> int:
    while arguments and arguments[0] in ("-d", "-v", "--verbose"):
        from . import _flags

        _flags.watch_requests = True
        arguments = arguments[1:]
    name, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if name in ("-h", "-help", "--help", "help"):
        if name == "help" and rest:
            return _run([rest[0], "--help"])
        print(_help())
        return 0
    if name in ("-version", "--version"):
        name = "version"
    if name not in COMMANDS:
        kind = "flag" if name.startswith("-") else "command"
        raise UsageError(f'unknown {kind} "{name}" for "cosign"; run "cosign help"')
    from importlib import import_module

    module = import_module(f"{__name__}.{COMMANDS[name][0]}")
    code: int = getattr(module, name.replace("-", "_"))(rest)
    return code


def _help() -> str:
    lines = ["Sign and verify container images.", "", "Usage: cosign COMMAND [FLAGS] [ARGUMENTS]", "", "Commands:"]
    lines += [f"  {name:18} {text}" for name, (_, text) in COMMANDS.items()]
    lines += ["", "Before a command, -d or -v prints each request, without credentials, on standard error."]
    return "\n".join([*lines, 'Run "cosign COMMAND --help" for the flags of a command.'])


def _failed(error: Exception) -> int:
    from ..errors import CosignError

    if isinstance(error, CosignError):
        return _say(_explain(error), error.exit_code)
    if isinstance(error, OSError):
        return _say(str(error), 1)
    return _say(f"internal error: {type(error).__name__}: {error}; please report it", 1)


def _explain(error: Exception) -> str:
    """cosign's words for the verdicts that scripts know, then ours."""
    from ..errors import ImageNotFound, NoSignatures, VerificationError

    text = str(error)
    if isinstance(error, NoSignatures):
        return text if "no signatures found" in text else f"no signatures found: {text}"
    if isinstance(error, ImageNotFound):
        return f"image tag not found: {text}"
    if isinstance(error, VerificationError):
        return text if "no matching signatures" in text else f"no matching signatures: {text}"
    return text


def _say(message: str, code: int) -> int:
    try:
        print(f"Error: {message}", file=sys.stderr, flush=True)
    except (OSError, ValueError):
        pass
    except UnicodeError:
        print(f"Error: {message!a}", file=sys.stderr)
    return code


__all__ = ["COMMANDS", "Refusal", "UsageError", "main"]
