"""Undo and redo by stroke, per image, compressed, bounded in bytes over all images."""

from __future__ import annotations

import itertools
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.patch import MaskPatch
from segstudio.core.types import BBox

__all__ = ["EditHistory", "HistoryPool"]

_DEFAULT_BYTES = 256 << 20
_ENTRY_OVERHEAD = 400


@dataclass(frozen=True, slots=True)
class _Entry:
    """A stroke, kept as what the box held before and after."""

    order: int
    name: str
    box: BBox
    dtype: str
    before: bytes
    after: bytes

    @property
    def size(self) -> int:
        return len(self.before) + len(self.after) + _ENTRY_OVERHEAD

    def patch(self) -> MaskPatch:
        shape = (self.box.height, self.box.width)
        return MaskPatch(
            self.box, _unpacked(self.before, shape, self.dtype), _unpacked(self.after, shape, self.dtype)
        )


def _packed(values: NDArray[Any]) -> bytes:
    # Level 1: label maps are runs of few values, and a stroke must not wait for the rest.
    return zlib.compress(np.ascontiguousarray(values).tobytes(), 1)


def _unpacked(data: bytes, shape: tuple[int, int], dtype: str) -> NDArray[Any]:
    return np.frombuffer(zlib.decompress(data), dtype).reshape(shape)


class HistoryPool:
    """The histories of all images of a session under one limit of bytes.

    Parameters
    ----------
    max_bytes : int
        When it is exceeded the oldest strokes of any image are forgotten, undone ones included.
    """

    def __init__(self, max_bytes: int = _DEFAULT_BYTES) -> None:
        self.max_bytes = max_bytes
        self.used_bytes = 0
        self._order = itertools.count()
        self._histories: dict[str, EditHistory] = {}

    def history(self, sample_id: str) -> EditHistory:
        """Return the history of an image, the same object each time."""
        if sample_id not in self._histories:
            self._histories[sample_id] = EditHistory(pool=self)
        return self._histories[sample_id]

    def forget(self, sample_id: str) -> None:
        """Drop the history of an image."""
        history = self._histories.pop(sample_id, None)
        if history is not None:
            history.clear()

    def _next_order(self) -> int:
        return next(self._order)

    def _trim(self) -> None:
        while self.used_bytes > self.max_bytes:
            oldest = min(
                (history for history in self._histories.values() if history.oldest is not None),
                key=lambda history: history.oldest or 0,
                default=None,
            )
            if oldest is None:
                return
            oldest._drop_oldest()


class EditHistory:
    """The strokes of one image.

    Parameters
    ----------
    pool : HistoryPool, optional
        Shares its limit; None makes a pool for this history alone.
    """

    def __init__(self, pool: HistoryPool | None = None) -> None:
        if pool is None:
            pool = HistoryPool()
            pool._histories[""] = self
        self._pool = pool
        self._done: list[_Entry] = []
        self._undone: list[_Entry] = []

    @property
    def can_undo(self) -> bool:
        """Whether there is a stroke to take back."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether there is a stroke to do again."""
        return bool(self._undone)

    @property
    def names(self) -> list[str]:
        """Names of the strokes that are done, oldest first."""
        return [entry.name for entry in self._done]

    @property
    def undone_names(self) -> list[str]:
        """Names of the strokes that can be done again, next first."""
        return [entry.name for entry in reversed(self._undone)]

    @property
    def oldest(self) -> int | None:
        """Order number of the oldest stroke, None when there is none."""
        entries = self._done or self._undone[-1:]
        return entries[0].order if entries else None

    def push(self, name: str, patch: MaskPatch) -> None:
        """Remember a stroke; what was undone before it is forgotten."""
        for entry in self._undone:
            self._pool.used_bytes -= entry.size
        self._undone.clear()
        entry = _Entry(
            self._pool._next_order(),
            name,
            patch.box,
            patch.after.dtype.str,
            _packed(patch.before),
            _packed(patch.after),
        )
        self._done.append(entry)
        self._pool.used_bytes += entry.size
        self._pool._trim()

    def take_undo(self) -> tuple[str, MaskPatch] | None:
        """Move the last stroke to the undone ones; return its name and the patch that undoes it."""
        if not self._done:
            return None
        entry = self._done.pop()
        self._undone.append(entry)
        return entry.name, entry.patch().inverse()

    def take_redo(self) -> tuple[str, MaskPatch] | None:
        """Move the last undone stroke back; return its name and the patch that does it again."""
        if not self._undone:
            return None
        entry = self._undone.pop()
        self._done.append(entry)
        return entry.name, entry.patch()

    def clear(self) -> None:
        """Forget everything."""
        for entry in (*self._done, *self._undone):
            self._pool.used_bytes -= entry.size
        self._done.clear()
        self._undone.clear()

    def _drop_oldest(self) -> None:
        # Without strokes that are done, the undone ones go from the far end: the first of them
        # to be redone is the last to be forgotten.
        entry = self._done.pop(0) if self._done else self._undone.pop(0)
        self._pool.used_bytes -= entry.size
