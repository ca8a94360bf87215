"""Errors: one family, one plain sentence each."""

from __future__ import annotations

import errno
import inspect

import pytest

from segstudio.core import errors
from segstudio.core.errors import SegStudioError, UnknownNameError, UsageError, WriteError


def test_every_error_is_of_the_family_and_exported() -> None:
    found = {
        name: entry
        for name, entry in inspect.getmembers(errors, inspect.isclass)
        if issubclass(entry, Exception)
    }
    assert set(found) == set(errors.__all__)
    assert all(issubclass(entry, SegStudioError) for entry in found.values())
    assert issubclass(UnknownNameError, UsageError)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ENOSPC, "the disk is full; free some space and try again"),
        (errno.EROFS, "the file system is read-only; choose another folder"),
        (errno.EACCES, "permission is denied; choose another folder or change its permissions"),
        (errno.EIO, "input/output error"),
        (None, "something odd"),
    ],
)
def test_a_write_error_says_which_file_and_why(code: int | None, reason: str) -> None:
    error = OSError("something odd") if code is None else OSError(code, "as the system says")
    assert str(WriteError.from_os_error("out/file.png", error)) == (
        f"Cannot write out/file.png: {reason}."
    )
