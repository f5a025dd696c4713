"""The exceptions are the error table of the core, and they survive pickling."""

import pickle

import cosign
import pytest
from cosign import _native, errors
from cosign.errors_table import ERRORS

TABLE = _native.error_table()


def test_the_generated_python_table_is_the_table_of_the_core() -> None:
    core = {name: (number, code, python, retry, kind) for name, number, kind, code, python, retry, _ in TABLE}
    assert core == ERRORS


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_each_row_has_a_public_class_and_pickles(row: tuple[str, int, str, int, str, bool, str]) -> None:
    name, number, kind, exit_code, python, retryable, _ = row
    report = '{"verdict": "refused"}' if kind == "refused" else None
    error = errors._make(
        python, "what happened", name, number, exit_code, retryable, '{"code": 1, "path": "x"}', report
    )
    assert type(error) is getattr(cosign, python)
    assert python in cosign.__all__
    for each in (error, pickle.loads(pickle.dumps(error))):
        assert (each.code, each.number, each.exit_code, each.retryable) == (name, number, exit_code, retryable)
        assert each.details == {"path": "x"}
        assert str(each) == "what happened"
        if isinstance(each, cosign.VerificationError):
            assert each.report == {"verdict": "refused"}
    # The three families never mix.
    assert isinstance(error, cosign.VerificationError) == (kind == "refused" and name != "IMAGE_NOT_FOUND")
    assert isinstance(error, cosign.RegistryError) == (kind == "unknown" or name == "IMAGE_NOT_FOUND")
    assert isinstance(error, cosign.ConfigError) == (kind in ("usage", "key"))


@pytest.mark.parametrize("name", errors.__all__)
def test_defaults_of_a_class_are_a_row_of_the_table(name: str) -> None:
    cls = getattr(cosign, name)
    if name in ("CosignError", "ConfigError", "VerificationError"):
        return
    row = next(row for row in TABLE if row[0] == cls.code)
    assert (row[1], row[3], row[4], row[5]) == (cls.number, cls.exit_code, name, cls.retryable)


def test_no_class_is_left_without_a_row() -> None:
    families = {"CosignError", "ConfigError", "VerificationError"}
    assert {row[4] for row in TABLE} == set(errors.__all__) - families


def test_builtin_bases() -> None:
    assert issubclass(cosign.ArgumentError, ValueError)
    assert issubclass(cosign.RegistryTimeout, TimeoutError)
    assert issubclass(cosign.FileError, OSError)
    assert not issubclass(cosign.RegistryError, cosign.VerificationError)
