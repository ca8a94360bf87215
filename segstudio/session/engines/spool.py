"""Layers of huge images: arrays in a file that has no name, so that memory does not hold them."""

from __future__ import annotations

import mmap
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from segstudio.core.errors import WriteError

__all__ = ["SPOOL_BYTES", "empty_layer", "let_go"]

SPOOL_BYTES = 64_000_000
"""Layers from this size on are kept in a file."""
_DISK = Path("/var/tmp")
"""Never in memory, as the usual temporary folder of some systems is."""


def empty_layer(shape: tuple[int, int], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array to be filled; a large one lies in a file that vanishes with it.

    Raises
    ------
    WriteError
        When the disk has no room for it.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if size < SPOOL_BYTES:
        return np.empty(shape, dtype)
    folder = _DISK if _DISK.is_dir() and os.access(_DISK, os.W_OK) else None
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):
                # Without room a write to the mapped memory would kill the process.
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype, "r+" if file.seek(0, 2) else "w+", shape=shape)
    except OSError as error:
        place = folder or tempfile.gettempdir()
        raise WriteError(
            f"The prediction of a huge image takes {size / 1e6:.0f} MB in {place}, which cannot be "
            f"had: {error.strerror or error}."
        ) from error


def let_go(layer: NDArray[Any]) -> None:
    """Take a layer's pixels out of memory; they are read from the file when they are needed."""
    mapped = getattr(layer, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
