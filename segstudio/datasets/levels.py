"""An image at smaller and smaller sizes, so that a far view reads no more than the screen shows."""

from __future__ import annotations

import numpy as np

from segstudio.core.types import Image

__all__ = ["build_levels", "half_size", "level_count"]

_SMALLEST = 512
"""Pixels of the longer side at which there is nothing to gain by a smaller level."""

_ROWS = 512


def half_size(image: Image) -> Image:
    """Return an image of half the size, each pixel the mean of four.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8

    Returns
    -------
    ndarray of shape (ceil(H / 2), ceil(W / 2), 3), uint8
        A row or column left over at an odd edge stands for its missing neighbour too.
    """
    import cv2

    height, width = image.shape[:2]
    small = np.empty(((height + 1) // 2, (width + 1) // 2, 3), np.uint8)
    for top in range(0, height, _ROWS):
        band = image[top : top + _ROWS]
        odd = band.shape[0] % 2, width % 2
        if any(odd):
            band = np.pad(band, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge")
        size = band.shape[1] // 2, band.shape[0] // 2
        part = np.ascontiguousarray(band)
        small[top // 2 : top // 2 + size[1]] = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    return small


def level_count(height: int, width: int) -> int:
    """Return how many levels `build_levels` makes of an image of this size."""
    count = 1
    while max(height, width) > _SMALLEST:
        height, width, count = (height + 1) // 2, (width + 1) // 2, count + 1
    return count


def build_levels(image: Image) -> tuple[Image, ...]:
    """Return an image and its halves down to what a small window shows; for a thread.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8

    Returns
    -------
    tuple of ndarray
        ``levels[k]`` is ``ceil(H / 2**k)`` x ``ceil(W / 2**k)``; the first is the image itself, and
        all of them together take a third more memory.
    """
    levels = [image]
    while max(levels[-1].shape[:2]) > _SMALLEST:
        levels.append(half_size(levels[-1]))
    return tuple(levels)
