"""Writing a grey PNG by bands of rows, for maps that are never whole in memory.

The pixels read back are those of `segstudio.datasets.encoding`; so is the way of packing them: each
as its difference to the one on its left, run-length coded.

References
----------
W3C, "Portable Network Graphics (PNG) Specification (Third Edition)", 2025.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from segstudio.core.atomic import replacing
from segstudio.core.errors import UsageError, WriteError

__all__ = ["PngRows", "writing_png_rows"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LARGEST = 2**31 - 1
_SUB = 1
"""Filter type: each byte less the one a pixel before it."""


class PngRows:
    """Takes the rows of a PNG from the top; comes from `writing_png_rows`."""

    def __init__(self, file: BinaryIO, size: tuple[int, int], dtype: np.dtype[Any]) -> None:
        self._file = file
        self._width = size[1]
        self._dtype = dtype
        self._missing = size[0]
        self._compressor = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
        file.write(_SIGNATURE)
        header = struct.pack(">IIBBBBB", size[1], size[0], 8 * dtype.itemsize, 0, 0, 0, 0)
        self._write_chunk(b"IHDR", header)

    def write(self, rows: NDArray[Any]) -> None:
        """Append rows.

        Parameters
        ----------
        rows : ndarray of shape (n, W)
            Of the type that was announced.

        Raises
        ------
        UsageError
            When they are of another width or type, or more than were announced.
        """
        if rows.ndim != 2 or rows.shape[1] != self._width or rows.dtype != self._dtype:
            raise UsageError(
                f"Rows of shape {rows.shape} and type {rows.dtype} do not belong to a PNG of "
                f"{self._width} pixels a row and type {self._dtype}."
            )
        if len(rows) > self._missing:
            raise UsageError(f"A PNG was given {len(rows) - self._missing} rows too many.")
        self._missing -= len(rows)
        step = self._dtype.itemsize
        pixels = np.ascontiguousarray(rows, self._dtype.newbyteorder(">"))
        values = pixels.view(np.uint8).reshape(len(rows), self._width * step)
        filtered = np.empty((len(rows), 1 + values.shape[1]), np.uint8)
        filtered[:, 0] = _SUB
        filtered[:, 1 : 1 + step] = values[:, :step]
        np.subtract(values[:, step:], values[:, :-step], out=filtered[:, 1 + step :])
        self._write_data(self._compressor.compress(filtered.data))

    def finish(self) -> None:
        """Write what ends the file.

        Raises
        ------
        UsageError
            When rows are missing.
        """
        if self._missing:
            raise UsageError(f"A PNG lacks its last {self._missing} rows.")
        self._write_data(self._compressor.flush())
        self._write_chunk(b"IEND", b"")

    def _write_data(self, data: bytes) -> None:
        for start in range(0, len(data), _LARGEST):
            self._write_chunk(b"IDAT", data[start : start + _LARGEST])

    def _write_chunk(self, kind: bytes, data: bytes) -> None:
        self._file.write(struct.pack(">I", len(data)) + kind)
        self._file.write(data)
        self._file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))


@contextlib.contextmanager
def writing_png_rows(
    path: Path | str, size: tuple[int, int], dtype: type[np.generic], *, durable: bool = True
) -> Iterator[PngRows]:
    """Yield a `PngRows`; when all rows were written the file takes its place, else it does not.

    Parameters
    ----------
    path : Path or str
        The PNG file; its folder is created when missing.
    size : (int, int)
        H and W.
    dtype : type
        uint8 or uint16.
    durable : bool
        See `segstudio.core.atomic.replacing`.

    Raises
    ------
    WriteError
        When the file cannot be written.
    UsageError
        When the size or type is no PNG's, or rows are missing at the end.
    """
    kind = np.dtype(dtype)
    if kind not in (np.uint8, np.uint16) or not all(1 <= side <= _LARGEST for side in size):
        raise UsageError(f"A map of {size[0]} x {size[1]} {kind} cannot be written as a PNG.")
    path = Path(path)
    with replacing(path, durable=durable) as temporary:
        try:
            file = temporary.open("wb")
        except OSError as error:
            raise WriteError.from_os_error(path, error) from error
        with file:
            rows = PngRows(file, size, kind)
            yield rows
            rows.finish()
