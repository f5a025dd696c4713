"""The exceptions of libcosign.

Every failure of the library is a `CosignError` that carries the row of the one error table: a stable `code`, its
`number`, the command's `exit_code`, whether it is `retryable`, and facts as `details`. Three families never mix:

- `VerificationError`: evidence was read and refused. Safe to show as "denied".
- `RegistryError`: the registry or layout could not be asked or read. This is not a verdict.
- `ConfigError`: an argument, key, password or policy is wrong.

The classes live in Python, not in the native module, so that they pickle: errors cross process pools unchanged.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class CosignError(Exception):
    """Base of everything this library raises on purpose."""

    code: str = "INTERNAL"
    """The stable name of the error, as in `docs/errors.md`."""
    number: int = 900
    """The stable number of the error, as in the C ABI."""
    exit_code: int = 1
    """What the command line exits with."""
    retryable: bool = False
    """Whether the same call may succeed later."""

    def __init__(self, message: str = "", **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = {}
        for name, value in facts.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.message,), self.__dict__.copy())


class ConfigError(CosignError):
    """An argument, a reference, a key or a policy is wrong; no registry was asked about signatures."""

    code, number, exit_code = "ARGUMENT", 100, 2


class ArgumentError(ConfigError, ValueError):
    """An argument is missing, empty, not decodable or out of range."""


class InvalidReference(ConfigError, ValueError):
    """An image reference or digest cannot be parsed."""

    code, number, exit_code = "REFERENCE", 102, 2


class UnsupportedError(ConfigError):
    """This version does not do what was asked."""

    code, number, exit_code = "UNSUPPORTED", 103, 1


class InvalidPolicy(ConfigError, ValueError):
    """The policy demands nothing, demands the impossible or has an unknown field."""

    code, number, exit_code = "POLICY_EMPTY", 306, 3


class KeyFileError(ConfigError, ValueError):
    """A key is malformed or in a format that is not accepted."""

    code, number, exit_code = "KEY_FORMAT", 200, 3


class UnsupportedKey(KeyFileError):
    """A key's algorithm, curve or size is not accepted."""

    code, number = "KEY_ALGORITHM", 201


class PasswordRequired(KeyFileError):
    """The key is encrypted and no password was given."""

    code, number = "PASSWORD_REQUIRED", 202


class WrongPassword(KeyFileError):
    """The password does not open the key, or the key file was changed."""

    code, number = "PASSWORD_WRONG", 203


class VerificationError(CosignError):
    """Evidence was read and refused.

    `report` lists every signature that was looked at, with each check and why it failed (or `None` where the refusal
    came before any signature was read).
    """

    code, number, exit_code = "NO_SIGNATURE_MATCHES", 300, 12
    report: dict[str, Any] | None = None


class NoMatchingSignatures(VerificationError):
    """Signatures were read and none satisfies the policy."""


class NoSignatures(VerificationError):
    """The place answered and holds no signature."""

    code, number, exit_code = "NO_SIGNATURES", 301, 10


class SignatureInvalid(VerificationError):
    """A signature does not verify with the key."""

    code, number = "SIGNATURE_INVALID", 302


class ClaimMismatch(VerificationError):
    """What was signed is malformed, names another image, or lacks a demanded annotation."""

    code, number = "PAYLOAD_MISMATCH", 303


class ThresholdNotMet(VerificationError):
    """Fewer distinct signers than the policy demands."""

    code, number = "THRESHOLD", 305


class RegistryError(CosignError, OSError):
    """The registry or layout could not be asked, or its answer cannot be used. Not a verdict about signatures."""

    code, number, exit_code = "PROTOCOL", 407, 20


class RegistryUnavailable(RegistryError):
    """The registry could not be reached, or answered with a server error."""

    code, number, retryable = "NETWORK", 400, True


class AuthenticationError(RegistryError):
    """The registry does not accept the credentials, or denies access."""

    code, number, exit_code = "AUTH", 401, 21


class ImageNotFound(RegistryError):
    """The image, tag or layout does not exist."""

    code, number, exit_code = "IMAGE_NOT_FOUND", 402, 11


class RateLimited(RegistryError):
    """The registry asks to slow down."""

    code, number, exit_code, retryable = "RATE_LIMITED", 406, 22, True


class RegistryTimeout(RegistryError, TimeoutError):
    """The deadline of the call passed."""

    code, number, retryable = "TIMEOUT", 501, True


class Cancelled(CosignError):
    """The caller cancelled the call."""

    code, number, exit_code, retryable = "CANCELLED", 500, 130, True


class CallbackError(CosignError):
    """A callback (for example the password's) raised or returned something else than it must; see `__cause__`."""

    code, number = "CALLBACK", 502


class ForkedError(CosignError):
    """An object was made before `fork()` and cannot be used in the child."""

    code, number = "FORKED", 503


class FileError(CosignError, OSError):
    """A file could not be read or written."""

    code, number = "IO", 600


class InternalError(CosignError):
    """A defect in this library; please report it."""


__all__ = [
    "ArgumentError",
    "AuthenticationError",
    "CallbackError",
    "Cancelled",
    "ClaimMismatch",
    "ConfigError",
    "CosignError",
    "FileError",
    "ForkedError",
    "ImageNotFound",
    "InternalError",
    "InvalidPolicy",
    "InvalidReference",
    "KeyFileError",
    "NoMatchingSignatures",
    "NoSignatures",
    "PasswordRequired",
    "RateLimited",
    "RegistryError",
    "RegistryTimeout",
    "RegistryUnavailable",
    "SignatureInvalid",
    "ThresholdNotMet",
    "UnsupportedError",
    "UnsupportedKey",
    "VerificationError",
    "WrongPassword",
]


def _make(
    python: str, message: str, code: str, number: int, exit_code: int, retryable: bool, facts: str, report: str | None
) -> CosignError:
    """Builds the exception of one row of the error table; called by the native module."""
    import json

    cls = globals().get(python)
    if not (isinstance(cls, type) and issubclass(cls, CosignError)):
        cls = CosignError
    details = {k: v for k, v in json.loads(facts).items() if k not in ("code", "name", "class", "message")}
    error: CosignError = cls(message)
    error.code, error.number, error.exit_code, error.retryable = code, number, exit_code, retryable
    error.details = details
    if isinstance(error, VerificationError):
        error.report = None if report is None else json.loads(report)
    return error
