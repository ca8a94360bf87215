"""The stored form of one sample's error regions: versioned, checked, compressed.

A header (magic, version, rows, check value) and a zlib stream.  The stream holds the columns of
`segstudio.analysis.regions.ROW` but the sample's number, one after the other: numbers with a
fraction as they are, whole numbers as one byte for their width, eight for the smallest of them
and what each has more than that, in the narrowest unsigned type that holds all.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.analysis.regions import IGNORED, ROW, RegionTable
from segstudio.analysis.taxonomy import ErrorKind
from segstudio.core.errors import CorruptProjectError, UsageError

__all__ = ["pack_regions", "unpack_regions"]

_HEADER = struct.Struct("<4sHII")
_COLUMN = struct.Struct("<Bq")
_MAGIC = b"SSrg"
_VERSION = 1
_WIDTHS = (1, 2, 4, 8)
_FIELDS = tuple(name for name in ROW.names or () if name != "sample")


def pack_regions(table: RegionTable) -> bytes:
    """Return the stored form of one sample's regions, the same bytes for the same rows.

    Raises
    ------
    UsageError
        When the table holds several samples.
    """
    if len(table.samples) != 1:
        raise UsageError(f"Regions are stored by sample, but these are of {len(table.samples)}.")
    parts = [_packed_column(np.ascontiguousarray(table.rows[name])) for name in _FIELDS]
    body = zlib.compress(b"".join(parts), 6)
    return _HEADER.pack(_MAGIC, _VERSION, len(table), zlib.crc32(body)) + body


def _packed_column(values: NDArray[Any]) -> bytes:
    if values.dtype.kind == "f":
        return values.tobytes()
    wide = values.astype(np.int64)
    least = int(wide.min(initial=2**62)) if wide.size else 0
    wide -= least
    width = next(size for size in _WIDTHS if int(wide.max(initial=0)) < 1 << (8 * size))
    return _COLUMN.pack(width, least) + wide.astype(f"<u{width}").tobytes()


def unpack_regions(data: bytes, sample_id: str) -> RegionTable:
    """Return what `pack_regions` stored.

    Parameters
    ----------
    data : bytes
        The stored form.
    sample_id : str
        The sample, for the table and for errors.

    Raises
    ------
    CorruptProjectError
        When the data is damaged, or of a newer version.
    """
    damaged = CorruptProjectError(
        f"The stored error regions of {sample_id} are damaged; analyse the run again."
    )
    if len(data) < _HEADER.size or data[:4] != _MAGIC:
        raise damaged
    _, version, count, check = _HEADER.unpack_from(data)
    if version > _VERSION:
        raise CorruptProjectError(
            f"The error regions of {sample_id} were written by a newer SegStudio; update this one."
        )
    body = data[_HEADER.size :]
    if version < 1 or check != zlib.crc32(body):
        raise damaged
    try:
        content = zlib.decompress(body)
        rows = np.zeros(count, ROW)
        offset = 0
        for name in _FIELDS:
            rows[name], offset = _read_column(content, offset, ROW[name], count)
    except (zlib.error, struct.error, ValueError, OverflowError, MemoryError) as error:
        raise damaged from error
    if offset != len(content) or not _is_sound(rows):
        raise damaged
    return RegionTable((sample_id,), rows)


def _read_column(
    content: bytes, offset: int, dtype: np.dtype[Any], count: int
) -> tuple[NDArray[Any], int]:
    if dtype.kind == "f":
        values = np.frombuffer(content, dtype, count, offset)
        return values, offset + values.nbytes
    width, least = _COLUMN.unpack_from(content, offset)
    if width not in _WIDTHS:
        raise ValueError("wrong width")
    offset += _COLUMN.size
    values = np.frombuffer(content, f"<u{width}", count, offset)
    return values.astype(np.int64) + least, offset + values.nbytes


def _is_sound(rows: NDArray[Any]) -> bool:
    """Return whether the rows can be what was measured."""
    fits = (rows["area"] > 0) & (rows["kind"] < len(ErrorKind)) & (rows["target"] < IGNORED)
    return bool(fits.all())
