"""The stored form of sparse counts: versioned, checked, compressed.

A header (magic, version, classes, four sums, check value) and a zlib stream.  The stream holds,
for each table, the number of cells, then the gaps between cells and then the counts, both in the
narrowest unsigned type that holds them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import CorruptProjectError

__all__ = ["pack_sparse", "unpack_sparse"]

Cells = tuple[NDArray[np.int64], NDArray[np.int64]]

_HEADER = struct.Struct("<4sHI4qI")
_TABLE = struct.Struct("<IBB")
_MAGIC = b"SSct"
_VERSION = 1
_WIDTHS = (1, 2, 4, 8)
_DAMAGED = "The stored counts of a sample are damaged ({}); evaluate it again."


def pack_sparse(classes: int, sums: Sequence[int], tables: Sequence[Cells]) -> bytes:
    """Return the stored form.

    Parameters
    ----------
    classes : int
        C.
    sums : sequence of 4 int
        Sums that go with the tables.
    tables : sequence of (cells, counts)
        Ascending cell numbers and positive counts, int64.
    """
    parts = []
    for cells, counts in tables:
        gaps = np.diff(cells, prepend=0)
        widths = [_width(values) for values in (gaps, counts)]
        parts.append(_TABLE.pack(len(cells), *widths))
        parts += [
            values.astype(f"<u{width}").tobytes()
            for values, width in zip((gaps, counts), widths, strict=True)
        ]
    body = zlib.compress(b"".join(parts), 6)
    check = zlib.crc32(body, zlib.crc32(struct.pack("<I4q", classes, *sums)))
    return _HEADER.pack(_MAGIC, _VERSION, classes, *sums, check) + body


def _width(values: NDArray[np.int64]) -> int:
    largest = int(values.max()) if values.size else 0
    return next(width for width in _WIDTHS if largest < 1 << (8 * width))


def unpack_sparse(
    data: bytes, limits: Callable[[int], Sequence[int]]
) -> tuple[int, tuple[int, ...], list[Cells]]:
    """Return (classes, sums, tables) of what `pack_sparse` made.

    Parameters
    ----------
    data : bytes
        The stored form.
    limits : callable
        From the number of classes to the number of cells of each table.

    Raises
    ------
    CorruptProjectError
        When the data is damaged, or of a newer version.
    """
    if len(data) < _HEADER.size or data[:4] != _MAGIC:
        raise CorruptProjectError(_DAMAGED.format("no header"))
    _, version, classes, *rest = _HEADER.unpack_from(data)
    if version > _VERSION:
        raise CorruptProjectError(
            "The stored counts of a sample were written by a newer SegStudio; update this one."
        )
    *sums, check = rest
    body = data[_HEADER.size :]
    if (
        version < 1
        or classes < 1
        or check != zlib.crc32(body, zlib.crc32(struct.pack("<I4q", classes, *sums)))
    ):
        raise CorruptProjectError(_DAMAGED.format("wrong check value"))
    try:
        content = zlib.decompress(body)
        tables, offset = [], 0
        for limit in limits(classes):
            table, offset = _read_table(content, offset, limit)
            tables.append(table)
    except (zlib.error, struct.error, ValueError) as error:
        raise CorruptProjectError(_DAMAGED.format(error)) from error
    if offset != len(content):
        raise CorruptProjectError(_DAMAGED.format("wrong length"))
    return classes, tuple(sums), tables


def _read_table(content: bytes, offset: int, limit: int) -> tuple[Cells, int]:
    length, *widths = _TABLE.unpack_from(content, offset)
    offset += _TABLE.size
    arrays = []
    for width in widths:
        if width not in _WIDTHS:
            raise ValueError("wrong width")
        values = np.frombuffer(content, f"<u{width}", length, offset)
        arrays.append(values.astype(np.int64))
        offset += length * width
    cells = np.cumsum(arrays[0])
    ascending = not np.any(np.diff(cells) <= 0)
    if length and not (ascending and cells[0] >= 0 and cells[-1] < limit and arrays[1].min() > 0):
        raise ValueError("impossible cells")
    return (cells, arrays[1]), offset
