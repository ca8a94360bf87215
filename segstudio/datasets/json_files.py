"""Reading annotation files: JSON with the place of its mistakes, large JSON without all of it."""

from __future__ import annotations

import json
import mmap
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import UsageError

__all__ = ["JsonArrays", "JsonSpan", "index_arrays", "read_json", "read_text"]

MAX_BYTES = 1 << 28
"""Annotation files that are read at once are refused beyond this size."""

_CHUNK = 1 << 20
_STEP = 4096
"""Objects that are parsed at a time: some milliseconds."""
_DELTA = np.zeros(256, np.int8)
_DELTA[[ord("{"), ord("[")]] = 1
_DELTA[[ord("}"), ord("]")]] = -1
_IS_SPECIAL = _DELTA != 0
_IS_SPECIAL[[ord('"'), ord("\\")]] = True
_KEY_BEFORE = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:\s*\Z')


def read_text(path: Path, limit: int = MAX_BYTES) -> str:
    """Return a text file's content (UTF-8).

    Raises
    ------
    UsageError
        When it cannot be read, is no text or is larger than ``limit`` bytes.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(data) > limit:
        raise UsageError(f"{path} is larger than {limit >> 20} MiB and is not read as annotations.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no UTF-8 text (byte {error.start}).") from error


def read_json(path: Path, limit: int = MAX_BYTES) -> Any:
    """Return a parsed JSON file.

    Raises
    ------
    UsageError
        See `read_text`; when the file is not valid JSON, with line and column.
    """
    return _parsed(read_text(path, limit), path)


def _parsed(text: str, path: Path, start: int = 0) -> Any:
    """Parse the text that stands at byte ``start`` of a file."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        with open(path, "rb") as stream:
            before = stream.read(start)
        line = before.count(b"\n") + error.lineno
        column = error.colno
        if error.lineno == 1:
            column += len(before) - (before.rfind(b"\n") + 1)
        mistake = error.msg.removesuffix(" at")
        raise UsageError(
            f"{path} is not valid JSON: {mistake} at line {line}, column {column}."
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not usable JSON: {error}.") from error


@dataclass(frozen=True, slots=True)
class JsonSpan:
    """A top-level array of a JSON object: where it stands and where its objects stand.

    Attributes
    ----------
    start, end : int
        Bytes ``start..end-1`` are the array with its brackets.
    starts, ends : ndarray of shape (N,), int64
        Bytes of its N objects.
    """

    start: int
    end: int
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class JsonArrays:
    """The top-level arrays of a JSON object on disk, by key; nothing is parsed yet."""

    path: Path
    arrays: dict[str, JsonSpan]

    def load(self, key: str) -> Any:
        """Parse one array; [] when there is none.

        Raises
        ------
        UsageError
            When it is not valid JSON, with line and column in the file.
        """
        span = self.arrays.get(key)
        if span is None:
            return []
        if span.starts.size > _STEP:
            entries = self._load_in_steps(span)
            if entries is not None:
                return entries
        with open(self.path, "rb") as stream:
            stream.seek(span.start)
            data = stream.read(span.end - span.start)
        try:
            return _parsed(data.decode("utf-8"), self.path, span.start)
        except UnicodeDecodeError as error:
            at = span.start + error.start
            raise UsageError(f"{self.path} is no UTF-8 text (byte {at}).") from error

    def _load_in_steps(self, span: JsonSpan) -> list[Any] | None:
        """Parse an array of many objects by and by; None when anything else is in it.

        Parsing holds Python's lock: all images of COCO at once would halt a window.
        """
        found: list[Any] = []
        after = span.start + 1
        with open(self.path, "rb") as stream:
            for first in range(0, span.starts.size, _STEP):
                last = min(first + _STEP, span.starts.size) - 1
                begin, end = int(span.starts[first]), int(span.ends[last])
                stream.seek(after)
                data = stream.read(end - after)
                between, data = data[: begin - after].strip(), data[begin - after :]
                if between != (b"," if first else b""):
                    return None
                try:
                    found += json.loads(b"[" + data + b"]")
                except (ValueError, RecursionError):
                    return None  # parsing all of it says where the mistake is
                after = end
            stream.seek(after)
            rest = stream.read(span.end - 1 - after).strip()
        return found if not rest and len(found) == span.starts.size else None


def index_arrays(path: Path) -> JsonArrays:
    """Find the top-level arrays of a JSON object and the objects in them without parsing it.

    A file of COCO's size (half a gigabyte, nearly a million annotations) takes seconds to parse
    and ten times its size in memory; finding its brackets takes a fraction of both.

    Raises
    ------
    UsageError
        When the file cannot be read or its brackets do not match; with line and column.
    """
    try:
        with open(path, "rb") as stream:
            if stream.seek(0, 2) == 0:
                raise UsageError(f"{path} is empty; replace the file by a whole copy.")
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _indexed(data, path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error


def _indexed(data: mmap.mmap, path: Path) -> JsonArrays:
    positions, depths = _brackets(data, path)
    opens = depths > 0
    after = np.abs(depths)
    # after: depth behind an opening, in front of a closing bracket; 1 is the document itself.
    outer = after == 2
    starts, ends = positions[outer & opens], positions[outer & ~opens] + 1
    inner = after == 3
    inner_starts, inner_ends = positions[inner & opens], positions[inner & ~opens] + 1
    arrays: dict[str, JsonSpan] = {}
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if data[start] != ord("["):
            continue
        key = _KEY_BEFORE.search(data[max(0, start - 300) : start])
        if key is None:
            continue
        low, high = np.searchsorted(inner_starts, (start, end))
        name = key.group(1).decode("utf-8", "replace")
        arrays[name] = JsonSpan(start, end, inner_starts[low:high], inner_ends[low:high])
    return JsonArrays(path, arrays)


def _brackets(data: mmap.mmap, path: Path) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Return where brackets of depth 1..3 stand; depth positive for opening, negative closing."""
    found_positions: list[NDArray[np.int64]] = []
    found_depths: list[NDArray[np.int8]] = []
    depth = 0
    in_string = False
    begin, size = 0, len(data)
    while begin < size:
        end = min(begin + _CHUNK, size)
        while end < size and data[end - 1] == ord("\\"):
            end += 1  # a backslash and what it protects stay together
        block = np.frombuffer(data[begin:end], np.uint8)
        special = np.flatnonzero(_IS_SPECIAL[block])
        codes = block[special]
        is_quote = codes == ord('"')
        is_quote &= ~np.isin(special, _protected(special[codes == ord("\\")]))
        inside = (np.cumsum(is_quote) + in_string) % 2 == 1
        delta = _DELTA[codes]
        delta[inside] = 0
        if is_quote.any():
            in_string = bool((int(is_quote.sum()) + in_string) % 2)
        is_bracket = delta != 0
        delta = delta[is_bracket]
        depths = depth + np.cumsum(delta, dtype=np.int64)
        if depths.size:
            depth = int(depths[-1])
            if int(depths.min()) < 0:
                break
        levels = np.where(delta > 0, depths, depths + 1)
        kept = levels <= 3
        found_positions.append(special[is_bracket][kept] + begin)
        found_depths.append((levels[kept] * delta[kept]).astype(np.int8))
        begin = end
    if depth != 0 or in_string or not found_positions:
        _complain(data, path)
    return np.concatenate(found_positions), np.concatenate(found_depths)


def _protected(backslashes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places behind odd runs of backslashes."""
    if backslashes.size == 0:
        return backslashes
    breaks = np.flatnonzero(np.diff(backslashes) != 1)
    first = np.concatenate(([0], breaks + 1))
    last = np.concatenate((breaks, [backslashes.size - 1]))
    odd = (last - first) % 2 == 0
    return backslashes[last[odd]] + 1


def _complain(data: mmap.mmap, path: Path) -> None:
    """Raise with the place where the JSON breaks."""
    if len(data) <= MAX_BYTES:
        try:
            _parsed(data[:].decode("utf-8-sig"), path)
        except UnicodeDecodeError as error:
            raise UsageError(f"{path} is no UTF-8 text (byte {error.start}).") from error
    raise UsageError(f"{path} is not valid JSON: its brackets do not match, it may be cut short.")
