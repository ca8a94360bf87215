"""Bilinear interpolation along one axis: which source pixels make each pixel of the result.

Interpolating twice along an axis, as a network's input and its image ask for, is one weighted mean
of three neighbours.  Nothing at the size in between has to exist then.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Taps", "bilinear_taps", "chained_taps", "identity_taps", "source_positions"]


@dataclass(frozen=True, slots=True, eq=False)
class Taps:
    """The pixels of a source axis of which each of n pixels is the weighted sum.

    The arrays are not to be changed.

    Attributes
    ----------
    first : ndarray of shape (n,), int64
        The first source pixel; those beyond the source's end are its last one.
    weights : ndarray of shape (K, n), float32
        Of pixels ``first``, ``first + 1``, ... of the source.
    plain : (int, bool) or None
        The source's length and ``align_corners`` where this is exactly one bilinear interpolation
        of all of it, which PyTorch does itself.
    """

    first: NDArray[np.int64]
    weights: NDArray[np.float32]
    plain: tuple[int, bool] | None = None

    def __len__(self) -> int:
        return len(self.first)

    @property
    def reach(self) -> NDArray[np.int64]:
        """The last source pixel with any weight; it may lie beyond the end."""
        count = len(self.weights)
        return self.first + (count - 1 - (self.weights[::-1] != 0).argmax(0))

    def part(self, start: int, stop: int, offset: int = 0) -> Taps:
        """Return pixels ``start..stop-1``, of a source whose first ``offset`` pixels are gone."""
        return Taps(self.first[start:stop] - offset, self.weights[:, start:stop])

    def mirrored(self) -> Taps:
        """Return what gives the result in reverse order."""
        return Taps(self.first[::-1].copy(), self.weights[:, ::-1].copy())

    def apply(self, values: Tensor, axis: int) -> Tensor:
        """Return (C, h, w) float32 values with the axis 1 or 2 replaced by the n pixels."""
        length = values.shape[axis]
        if not self.weights[1:].any() and (self.weights[0] == 1).all():
            if len(self) == length and (self.first == np.arange(length)).all():
                return values
            return values.index_select(axis, self._indices(0, values, axis))
        if axis == 2 and self.plain is not None and self.plain[0] == length:
            size = (values.shape[1], len(self))  # the height stays
            return F.interpolate(
                values[None], size=size, mode="bilinear", align_corners=self.plain[1]
            )[0]
        shape = (1, -1, 1) if axis == 1 else (1, 1, -1)
        total: Tensor | None = None
        for place in range(len(self.weights)):
            weights = torch.tensor(self.weights[place], device=values.device).view(shape)
            pixels = values.index_select(axis, self._indices(place, values, axis))
            total = pixels.mul_(weights) if total is None else total.addcmul_(pixels, weights)
        assert total is not None
        return total

    def _indices(self, place: int, values: Tensor, axis: int) -> Tensor:
        indices = np.minimum(self.first + place, values.shape[axis] - 1)
        return torch.from_numpy(indices).to(values.device)


def identity_taps(length: int) -> Taps:
    """Return what leaves an axis as it is."""
    return Taps(np.arange(length), np.ones((1, length), np.float32))


@functools.lru_cache(maxsize=64)
def bilinear_taps(source: int, destination: int, align_corners: bool) -> Taps:
    """Return what ``interpolate(mode="bilinear")`` does along an axis; see `source_positions`."""
    first, after = source_positions(source, destination, align_corners)
    return Taps(first, np.stack([1 - after, after]), (source, align_corners))


@functools.lru_cache(maxsize=64)
def chained_taps(
    source: int, between: int, kept: int, destination: int, align_corners: bool
) -> Taps | None:
    """Return what two bilinear interpolations do along an axis.

    Parameters
    ----------
    source, between : int
        Length before and after the first one.
    kept : int
        How many of its pixels, from the first on, the second one sees.
    destination : int
        Length after the second one.
    align_corners : bool
        Of both.

    Returns
    -------
    Taps or None
        Of three source pixels; None when the first one makes the axis shorter, so that its
        neighbours lie further apart.
    """
    inner, after = source_positions(source, between, align_corners)
    outer, weight = source_positions(kept, destination, align_corners)
    beside = np.minimum(outer + 1, kept - 1)
    first = inner[outer]
    apart = inner[beside] - first
    if (apart > 1).any():
        return None
    weights = np.zeros((3, destination), np.float32)
    places = np.arange(destination)
    for pixel, share, start in ((outer, 1 - weight, 0 * apart), (beside, weight, apart)):
        weights[start, places] += share * (1 - after[pixel])
        weights[start + 1, places] += share * after[pixel]
    return Taps(first, weights)


@functools.lru_cache(maxsize=64)
def source_positions(
    source: int, destination: int, align_corners: bool
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return, per destination pixel, the source pixel before it and the next one's weight.

    The positions are those of ``interpolate(mode="bilinear")``: with ``align_corners`` the centres
    of the corner pixels coincide, without it the outer edges do.  The arrays are not to be changed.
    """
    index = np.arange(destination, dtype=np.float32)
    if align_corners:
        scale = np.float32((source - 1) / (destination - 1)) if destination > 1 else np.float32(0)
        position = index * scale
    else:
        scale = np.float32(source / destination)
        position = np.maximum((index + np.float32(0.5)) * scale - np.float32(0.5), 0)
    before = np.minimum(position.astype(np.int64), source - 1)
    return before, (position - before).astype(np.float32)
