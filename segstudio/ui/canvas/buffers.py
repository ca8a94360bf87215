"""Memory for pictures that is used again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Buffers"]

_UNIT = 1 << 20
"""Buffers are multiples of so many pixels, so that one fits the next picture too."""


class Buffers:
    """Keeps what was given back, because fresh memory is slow to touch: milliseconds a megabyte.

    Parameters
    ----------
    limit : int
        Pixels of 32 bits that are kept at most, over all buffers.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._spare: list[NDArray[np.uint32]] = []

    @property
    def spare(self) -> int:
        """Pixels that are kept."""
        return sum(one.size for one in self._spare)

    def take(self, count: int) -> NDArray[np.uint32]:
        """Return a buffer of at least ``count`` pixels, holding anything.

        Parameters
        ----------
        count : int

        Returns
        -------
        ndarray of shape (n,), uint32
            The smallest one kept that is neither too small nor wastefully large, else a new one.
        """
        wanted = max(1, -(-count // _UNIT)) * _UNIT
        fitting = [one for one in self._spare if count <= one.size <= 2 * wanted]
        if not fitting:
            return np.empty(wanted, np.uint32)
        found = min(fitting, key=lambda one: one.size)
        self._spare = [one for one in self._spare if one is not found]
        return found

    def give(self, memory: NDArray[np.uint32]) -> None:
        """Take a buffer back that nobody looks into any more; the oldest ones make room."""
        if memory.size > self._limit:
            return
        self._spare.append(memory)
        while self.spare > self._limit:
            del self._spare[0]
