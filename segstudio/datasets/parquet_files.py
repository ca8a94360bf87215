"""Pictures in the cells of Parquet files, as Hugging Face's ``datasets`` stores them.

A cell is a struct with the bytes of an image file (``bytes``) or, where there are none, the name
of one (``path``), or the bytes alone.  One row group of one column is read at a time, a large one
in batches of rows, so memory does not grow with the file.
"""

from __future__ import annotations

import importlib.util
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from segstudio.core.errors import SegStudioError, UnreadableImageError, UsageError

__all__ = ["PARQUET_SUFFIXES", "ParquetFacts", "has_parquet_ends", "read_cell", "read_facts"]

PARQUET_SUFFIXES = frozenset({".parquet"})

_GROUP_BYTES = 1 << 27
"""A column of a row group is kept whole up to this size."""
_BATCH = 16
_KEPT = 4
"""Row groups that are kept."""


@dataclass(frozen=True, slots=True)
class ParquetFacts:
    """What the footer of a Parquet file says.

    Attributes
    ----------
    rows : int
    pictures : tuple of str
        Columns whose cells may be pictures, in the file's order.
    """

    rows: int
    pictures: tuple[str, ...]


@dataclass(slots=True)
class _Rows:
    """Cells of consecutive rows of a column."""

    first: int
    cells: Any

    def holds(self, row: int) -> bool:
        return self.first <= row < self.first + len(self.cells)


@dataclass(slots=True)
class _Stream:
    """A large row group that is being read in batches, and the row that comes next."""

    group: int
    following: int
    batches: Iterator[Any]


Key = tuple[Path, int, int, str]

_kept: OrderedDict[Key, list[_Rows]] = OrderedDict()
_streams: OrderedDict[Key, _Stream] = OrderedDict()
_lock = threading.Lock()


def has_parquet_ends(path: Path) -> bool:
    """Return whether a file begins and ends as Parquet files do."""
    try:
        with open(path, "rb") as stream:
            first = stream.read(4)
            stream.seek(-4, 2)
            return first == stream.read(4) == b"PAR1"
    except OSError:
        return False


def read_facts(path: Path) -> ParquetFacts:
    """Read the footer of a Parquet file.

    Raises
    ------
    UsageError
        When pyarrow is missing, or the file is damaged.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise UsageError(
            f"{path} is read with the package pyarrow, which is not installed; install "
            "segstudio[parquet]."
        )
    try:
        file = _open(path)
        pictures = [entry.name for entry in file.schema_arrow if _may_be_picture(entry.type)]
        return ParquetFacts(file.metadata.num_rows, tuple(pictures))
    except UnreadableImageError as error:
        raise UsageError(str(error)) from error


def read_cell(path: Path, place: str) -> bytes:
    """Return the image file in a cell.

    Parameters
    ----------
    path : Path
        The Parquet file.
    place : str
        Column and row, ``image/000012``.

    Raises
    ------
    UnreadableImageError
        When there is no such cell, it is empty, or the file is damaged.
    """
    column, _, number = place.rpartition("/")
    if not column or not (number.isascii() and number.isdigit()):
        raise UnreadableImageError(f"{path} has no cell {place!r}.")
    where = f"{path}, row {int(number)} of {column}"
    with _lock:
        cell = _cell(path, column, int(number), where).as_py()
    if isinstance(cell, dict):
        data, name = cell.get("bytes"), cell.get("path")
        cell = data if data is not None else _beside(path, name, where)
    if not isinstance(cell, bytes) or not cell:
        raise UnreadableImageError(f"{where} holds no image.")
    return cell


def _beside(path: Path, name: Any, where: str) -> bytes | None:
    """Return the file of that name below the Parquet file's folder; nothing outside is read."""
    if not isinstance(name, str) or not name:
        return None
    relative = PurePosixPath(name.replace("\\", "/"))
    if relative.is_absolute() or ".." in relative.parts or ":" in relative.parts[0]:
        raise UnreadableImageError(
            f"{where} names the file {name!r}, which is outside of its folder and is not read."
        )
    try:
        return (path.parent / relative).read_bytes()
    except OSError as error:
        raise UnreadableImageError(
            f"{where} names the file {name!r}, which cannot be read: {error.strerror or error}."
        ) from error


def _cell(path: Path, column: str, row: int, where: str) -> Any:
    """Return the scalar of a cell; the rows around it are kept."""
    try:
        state = path.stat()
    except OSError as error:
        raise UnreadableImageError(f"{path} cannot be read: {error.strerror or error}.") from error
    key = path, state.st_size, state.st_mtime_ns, column
    rows = next((entry for entry in _kept.get(key, ()) if entry.holds(row)), None)
    if rows is None:
        rows = _read_rows(key, row, where)
        known = _kept.setdefault(key, [])
        known.append(rows)
        del known[:-2]
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)
    _kept.move_to_end(key)
    return rows.cells[row - rows.first]


def _read_rows(key: Key, row: int, where: str) -> _Rows:
    path, column = key[0], key[3]
    file = _open(path)
    if column not in file.schema_arrow.names or row >= file.metadata.num_rows:
        raise UnreadableImageError(f"{where} is not there; open the dataset again.")
    groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    ends = np.cumsum([group.num_rows for group in groups])
    number = int(np.searchsorted(ends, row, side="right"))
    first = int(ends[number] - groups[number].num_rows)
    try:
        if groups[number].total_byte_size <= _GROUP_BYTES:
            table = file.read_row_group(number, columns=[column], use_threads=False)
            return _Rows(first, table.column(column).combine_chunks())
        stream = _streams.get(key)
        if stream is None or stream.group != number or row < stream.following:
            # Rows before the wanted one have to be passed over, so the place is kept.
            batches = file.iter_batches(
                _BATCH, row_groups=[number], columns=[column], use_threads=False
            )
            stream = _streams[key] = _Stream(number, first, batches)
        _streams.move_to_end(key)
        while len(_streams) > _KEPT:
            _streams.popitem(last=False)
        return _next_rows(stream, row, where)
    except SegStudioError:
        raise
    except Exception as error:
        raise _damaged(path, error) from error


def _next_rows(stream: _Stream, row: int, where: str) -> _Rows:
    for batch in stream.batches:
        rows = _Rows(stream.following, batch.column(0))
        stream.following += batch.num_rows
        if rows.holds(row):
            return rows
    raise UnreadableImageError(f"{where} is not there; open the dataset again.")


def _open(path: Path) -> Any:
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(path)
    except Exception as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UnreadableImageError:
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return UnreadableImageError(
        f"{path} is damaged or no Parquet file ({reason}); replace it by a whole copy."
    )


def _may_be_picture(kind: Any) -> bool:
    import pyarrow

    if pyarrow.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and pyarrow.types.is_binary(
            kind.field("bytes").type
        )
    return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))
