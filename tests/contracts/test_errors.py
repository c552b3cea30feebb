"""One clear error for everything that can be raised."""

import errno
import inspect

import pytest

from wherry.contracts import errors
from wherry.contracts.errors import (
    DataError,
    GateRefusedError,
    WherryError,
    as_wherry_error,
)


def subclasses() -> list[type[WherryError]]:
    found = (kind for _, kind in inspect.getmembers(errors, inspect.isclass))
    return [kind for kind in found if issubclass(kind, WherryError)]


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in subclasses()]
    assert len(codes) == len(set(codes))
    assert all(code.startswith("E_") for code in codes)


@pytest.mark.parametrize(
    ("raised", "code", "exit_code"),
    [
        (DataError("bad", remedy="Mend it."), "E_DATA", 1),
        (GateRefusedError("no", remedy="Improve."), "E_GATE", 3),
        (OSError(errno.ENOSPC, "No space left on device", "/full"), "E_NOSPACE", 1),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "E_NOSPACE", 1),
        (PermissionError(errno.EACCES, "Permission denied", "/root"), "E_IO", 1),
        (KeyboardInterrupt(), "E_INTERRUPTED", 130),
        (ZeroDivisionError("division by zero"), "E_INTERNAL", 1),
    ],
)
def test_anything_raised_becomes_one_clear_error(
    raised: BaseException, code: str, exit_code: int
) -> None:
    error = as_wherry_error(raised)
    assert (error.code, error.exit_code) == (code, exit_code)
    assert error.remedy
