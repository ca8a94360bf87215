"""Arrays that are too large for memory: in files of a scratch folder, mapped into memory.

A mapped array is used like any other; the operating system reads the pages that are looked at and
may drop them again.  Whoever walks over all of one goes by `row_bands`, which lets go of the pages
behind it, so that a map of a gigabyte never takes a gigabyte.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from segstudio.core.atomic import make_folder
from segstudio.core.errors import WriteError

__all__ = [
    "IN_MEMORY_BYTES",
    "LARGE_PIXELS",
    "is_large",
    "is_mapped",
    "new_array",
    "plain",
    "private_copy",
    "release_freed",
    "release_pages",
    "reserve",
    "row_bands",
    "scratch_folder",
]

LARGE_PIXELS = 128_000_000
"""Maps and photographs of more pixels are kept in files: 11,300 x 11,300."""

IN_MEMORY_BYTES = 1 << 30
"""Bytes up to which the copy that is written on is kept in memory all the same."""

_RELEASE_BYTES = 64 << 20


def is_large(height: int, width: int) -> bool:
    """Return whether an image of this size is kept in a file instead of memory."""
    return height * width > LARGE_PIXELS


def scratch_folder() -> Path:
    """Return the folder of scratch files; ``SEGSTUDIO_SCRATCH`` names another one.

    Raises
    ------
    WriteError
        When it cannot be made.
    """
    chosen = os.environ.get("SEGSTUDIO_SCRATCH")
    if chosen:
        return make_folder(Path(chosen))
    import platformdirs

    return make_folder(Path(platformdirs.user_cache_dir("segstudio", appauthor=False)) / "scratch")


def new_array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a new array in a file that is gone when the array is.

    Raises
    ------
    WriteError
        When the disk has no room for it.
    """
    folder = scratch_folder()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            reserve(file, int(np.prod(shape)) * dtype.itemsize)
            mapped = plain(np.memmap(file, dtype, "r+", shape=shape))
    except OSError as error:
        raise WriteError.from_os_error(folder, error) from error
    return mapped


def reserve(file: BinaryIO | Any, size: int) -> None:
    """Make a file so long and its room on the disk certain.

    Writing to a mapped file that the disk has no room for would kill the process.

    Raises
    ------
    OSError
        When there is no room.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    zeros = bytes(1 << 20)
    for start in range(0, size, len(zeros)):
        file.write(zeros[: size - start])
    file.flush()


def private_copy(values: NDArray[Any]) -> NDArray[Any]:
    """Return a C-contiguous copy to write on, in memory or, when it is very large, in a file.

    Memory is preferred up to a gigabyte, the one map of 30,000 x 30,000 that is painted: the first
    write to each page of a mapped file costs some ten microseconds.

    Raises
    ------
    WriteError
        When the disk has no room for it.
    """
    if values.ndim < 2 or not is_large(*values.shape[:2]):
        return np.array(values, order="C")
    in_memory = values.nbytes <= IN_MEMORY_BYTES
    copy: NDArray[Any] = (
        np.empty(values.shape, values.dtype) if in_memory else new_array(values.shape, values.dtype)
    )
    rows = max(1, _RELEASE_BYTES // max(1, values[0].nbytes))
    for top in range(0, len(values), rows):
        copy[top : top + rows] = values[top : top + rows]
        release_pages(values)
        release_pages(copy)
    return copy


def row_bands(values: NDArray[Any], rows: int) -> Iterator[NDArray[Any]]:
    """Yield an array's bands of rows from the top; pages of a mapped file are let go behind.

    Parameters
    ----------
    values : ndarray of shape (H, ...)
    rows : int
        Of a band; the last may have fewer.
    """
    walked = 0
    for top in range(0, len(values), rows):
        band = values[top : top + rows]
        yield band
        walked += band.nbytes
        if walked >= _RELEASE_BYTES:
            walked = 0
            release_pages(values)


def plain(mapped: NDArray[Any]) -> NDArray[Any]:
    """Return a mapped array as an ordinary one, which is quicker to cut."""
    return mapped.view(np.ndarray)


def is_mapped(values: NDArray[Any]) -> bool:
    """Return whether an array lies in a file instead of memory."""
    return _mapping(values) is not None


def _mapping(values: NDArray[Any]) -> mmap.mmap | None:
    base: Any = values
    while isinstance(base, np.ndarray):
        mapped: mmap.mmap | None = getattr(base, "_mmap", None)
        if mapped is not None:
            return mapped
        base = base.base
    return base if isinstance(base, mmap.mmap) else None


def release_pages(values: NDArray[Any], rows: slice | None = None) -> None:
    """Let the system take back the memory of a mapped array; its content stays in its file.

    Nothing happens for arrays in memory and where the system does not know how.

    Parameters
    ----------
    values : ndarray
        An array, or a view of one, of which all is let go.
    rows : slice, optional
        Only these rows of ``values``, ``start..stop-1``, and what shares a page with them; the
        rows must lie one behind the other.
    """
    mapped = _mapping(values)
    if mapped is None or not hasattr(mmap, "MADV_DONTNEED"):
        return
    with contextlib.suppress(ValueError):  # it was closed meanwhile
        if rows is None:
            mapped.madvise(mmap.MADV_DONTNEED)
            return
        part = values[rows]
        if part.size:
            begin = part.ctypes.data - np.frombuffer(mapped, np.uint8).ctypes.data
            first = begin // mmap.PAGESIZE * mmap.PAGESIZE
            mapped.madvise(mmap.MADV_DONTNEED, first, begin + part.nbytes - first)


def release_freed() -> None:
    """Let the system take back the memory that was freed but is kept for what comes next.

    glibc keeps what a thread has freed, hundreds of megabytes after work on a very large map.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
