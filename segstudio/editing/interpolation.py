"""Label maps of the frames between two corrected ones, by interpolating the shapes of classes.

References
----------
S. P. Raya and J. K. Udupa, "Shape-based interpolation of multidimensional objects", IEEE
Transactions on Medical Imaging 9(1), 1990: between two slices an object is where the interpolated
signed distance to its outline is positive.  Here with every class at once: a pixel gets the class
whose interpolated distance is largest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import SizeMismatchError
from segstudio.core.types import LabelMap, Mask

__all__ = ["interpolate_maps", "signed_distance"]

_HELD_BYTES = 1 << 29
"""Bytes of distances and labels that are held at a time; more frames are made in turns."""


def signed_distance(mask: Mask) -> NDArray[np.float32]:
    """Return the distance of every pixel's centre to the outline of a mask, positive inside.

    The outline runs between pixels, so no distance is 0.  Of a mask without an inside or without
    an outside all distances are minus or plus infinity.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool

    Returns
    -------
    ndarray of shape (H, W), float32
        In pixels.
    """
    import cv2

    if not mask.any():
        return np.full(mask.shape, -np.inf, np.float32)
    if mask.all():
        return np.full(mask.shape, np.inf, np.float32)
    inside, outside = (
        cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for part in (mask, ~mask)
    )
    return np.where(mask, inside - 0.5, 0.5 - outside).astype(np.float32)


def interpolate_maps(
    first: LabelMap,
    last: LabelMap,
    fractions: Sequence[float],
    *,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[LabelMap]:
    """Yield the label maps at places between two others.

    Every value is a class here, the ignore index too.  A class that only one of the maps holds
    has shrunk to nothing, or begins to grow, half way at the latest.

    Parameters
    ----------
    first, last : ndarray of shape (H, W), uint8 or uint16
    fractions : sequence of float
        Places, 0 for the first map to 1 for the last, both exact.
    is_cancelled : callable
        Asked once per class; then nothing more is yielded.

    Raises
    ------
    SizeMismatchError
        When the two maps differ in size or type.
    """
    if first.shape != last.shape or first.dtype != last.dtype:
        raise SizeMismatchError(
            f"The frames between a map of {first.shape[0]} x {first.shape[1]} and one of "
            f"{last.shape[0]} x {last.shape[1]} pixels cannot be interpolated; both must be of "
            "one size."
        )
    at_once = max(1, _HELD_BYTES // (first.size * (4 + first.itemsize)))
    for start in range(0, len(fractions), at_once):
        yield from _together(first, last, fractions[start : start + at_once], is_cancelled)


def _together(
    first: LabelMap,
    last: LabelMap,
    fractions: Sequence[float],
    is_cancelled: Callable[[], bool],
) -> list[LabelMap]:
    maps = [np.zeros_like(first) for _ in fractions]
    best = [np.full(first.shape, -np.inf, np.float32) for _ in fractions]
    for value in np.union1d(first, last):
        if is_cancelled():
            return []
        ends = _finite(signed_distance(first == value), signed_distance(last == value))
        for fraction, label_map, most in zip(fractions, maps, best, strict=True):
            distance = (1 - fraction) * ends[0] + fraction * ends[1]
            better = distance > most
            label_map[better] = value
            most[better] = distance[better]
    return maps


def _finite(
    first: NDArray[np.float32], last: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give a class that is nowhere, or everywhere, in one map a distance to reckon with."""
    # How deep a class (or, of one that is everywhere, what it leaves free) is in the other map:
    # then it is gone half way.
    ends = []
    for part, other in ((first, last), (last, first)):
        if np.isneginf(part[0, 0]):
            part = np.full(part.shape, -_depth(other), np.float32)
        elif np.isposinf(part[0, 0]):
            part = np.full(part.shape, _depth(-other), np.float32)
        ends.append(part)
    return ends[0], ends[1]


def _depth(distance: NDArray[np.float32]) -> float:
    """Return the largest distance, the size of the map where it has no outline."""
    deepest = float(distance.max())
    return max(deepest, 0.5) if np.isfinite(deepest) else float(max(distance.shape))
