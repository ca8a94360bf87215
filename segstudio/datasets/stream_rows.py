"""Rows of huge JPEG, PNG and WebP files, which can only be decoded from the top.

libvips decodes as it goes; what was read last is kept, so that a reader whose windows overlap goes
on.  A reader that goes back further begins the file anew.  pyvips is an extra; without it such
files are decoded whole.
"""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import UnreadableImageError
from segstudio.core.types import Image

__all__ = ["StreamRows", "can_stream"]

_FORMATS = frozenset({"JPEG", "PNG", "WEBP"})
_MODES = frozenset({"L", "RGB"})
_STEP = 64
"""Rows that are decoded at a time."""
_KEPT_BYTES = 512_000_000
"""Of rows that were decoded last; windows of 1,024 rows over 100,000 columns take 300 MB."""


def can_stream(format_name: str | None, mode: str, orientation: int) -> bool:
    """Return whether a file that Pillow calls so can be read as it is decoded.

    Files that are turned, or whose pixels have to be converted, have to be whole for it.
    """
    known = format_name in _FORMATS and mode in _MODES and orientation == 1
    return known and importlib.util.find_spec("pyvips") is not None


class StreamRows:
    """An image file that is decoded from the top, as rows are asked for; for any thread.

    Parameters
    ----------
    path : Path
        See `can_stream`.
    size : (int, int)
        Its H and W.
    """

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        self.height, self.width = size
        self._path = path
        self._lock = threading.Lock()
        self._rewind()

    def read_rows(self, top: int, bottom: int) -> Image:
        """Return rows ``top..bottom-1`` as (bottom - top, W, 3) uint8.

        Raises
        ------
        UnreadableImageError
            When the file is damaged in front of these rows or there, or cannot be read any more.
        """
        with self._lock:
            if top < self._first:
                self._rewind()
            try:
                while self._next < bottom:
                    self._decode(top)
            except Exception as error:
                lines = str(error).strip().splitlines() or [type(error).__name__]
                raise UnreadableImageError(
                    f"{self._path} is damaged or cut short ({lines[0].strip()}); replace the file "
                    "by a whole copy."
                ) from error
            rows = np.concatenate(self._held)[top - self._first : bottom - self._first]
        return rows if rows.shape[2] == 3 else np.repeat(rows, 3, 2)

    def _rewind(self) -> None:
        self._region: Any = None
        self._held: list[NDArray[np.uint8]] = []
        self._first = self._next = 0

    def _decode(self, top: int) -> None:
        """Decode the next rows, and let go of those that nobody is likely to want again."""
        import pyvips

        if self._region is None:
            picture = pyvips.Image.new_from_file(
                str(self._path), access="sequential", fail_on="truncated"
            )
            self._region = pyvips.Region.new(picture)
            self._bands = picture.bands
        count = min(_STEP, self.height - self._next)
        data = self._region.fetch(0, self._next, self.width, count)
        rows = np.frombuffer(data, np.uint8).reshape(count, self.width, self._bands)
        self._held.append(rows)
        self._next += count
        most = max(1, _KEPT_BYTES // rows[0].nbytes)
        while self._next - self._first - len(self._held[0]) >= most and (
            self._first + len(self._held[0]) <= top
        ):
            self._first += len(self._held.pop(0))
