"""What a patch changes, found once for all that follow it."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.patch import MaskPatch
from segstudio.core.types import LabelMap, Mask

__all__ = ["Changes", "changes_of"]

_MANY = 1 << 13
"""Pixels of a box from which a histogram of all of it may beat gathering what changed."""

_DENSE = 8
"""Gathering and counting a pixel costs as much as the histogram of so many."""


class Changes:
    """The pixels of a patch that get another value.

    Parameters
    ----------
    patch : MaskPatch

    Attributes
    ----------
    mask : ndarray of shape (box.height, box.width), bool
        Those pixels.
    count : int
        How many they are.
    is_dense : bool
        Whether they are so many of a large box that its histogram is the quicker way.
    """

    def __init__(self, patch: MaskPatch) -> None:
        self._patch = patch
        self.mask: Mask = patch.before != patch.after
        self.count = int(np.count_nonzero(self.mask))
        self.is_dense = self.mask.size >= _MANY and self.count * _DENSE >= self.mask.size

    @functools.cached_property
    def at(self) -> NDArray[np.intp]:
        """(N,) int: where they are, counted along the rows of the box."""
        return self.mask.reshape(-1).nonzero()[0]

    @functools.cached_property
    def before(self) -> NDArray[Any]:
        """(N,) uint8 or uint16: what they held."""
        return self.gather(self._patch.before)

    @functools.cached_property
    def after(self) -> NDArray[Any]:
        """(N,) uint8 or uint16: what they hold now."""
        return self.gather(self._patch.after)

    def gather(self, part: LabelMap) -> NDArray[Any]:
        """Return what a map of the box, or the box's part of another map, holds there: (N,)."""
        return np.ascontiguousarray(part).reshape(-1).take(self.at)


@functools.lru_cache(maxsize=1)
def changes_of(patch: MaskPatch) -> Changes:
    """Return what a patch changes; remembered until the next one is asked for."""
    return Changes(patch)
