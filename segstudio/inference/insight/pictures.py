"""Maps of numbers as pictures: colours by value, laid over the photograph."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from segstudio.core.types import BBox, Image

__all__ = ["heat_colors", "heat_table", "outlined", "overlay"]

_ANCHORS = ((0, 0, 4), (81, 18, 124), (183, 55, 121), (252, 137, 97), (252, 253, 191))
"""RGB at equal steps: dark violet over red to light yellow, brighter at every step."""


@functools.cache
def heat_table() -> NDArray[np.uint8]:
    """Return the (256, 3) RGB table of the heat colours, read-only."""
    places = np.linspace(0, 255, len(_ANCHORS))
    channels = np.array(_ANCHORS, np.float64).T
    table = np.stack([np.interp(np.arange(256), places, line) for line in channels], 1)
    found: NDArray[np.uint8] = np.rint(table).astype(np.uint8)
    found.setflags(write=False)
    return found


def heat_colors(
    values: NDArray[np.floating], *, low: float = 0.0, high: float | None = None
) -> Image:
    """Return the (H, W, 3) colours of (H, W) values.

    Parameters
    ----------
    values : ndarray of shape (H, W)
    low, high : float
        Values of the darkest and the lightest colour; ``high`` None takes the maximum.
    """
    top = float(values.max()) if high is None else high
    span = top - low
    shares = (values - low) / span if span > 0 else np.zeros(values.shape)
    return heat_table()[np.rint(np.clip(shares, 0, 1) * 255).astype(np.uint8)]


def overlay(image: Image, colors: Image, *, opacity: float = 0.6) -> Image:
    """Return colours laid over a photograph turned grey, so that no hue of its own misleads.

    Parameters
    ----------
    image, colors : ndarray of shape (H, W, 3), uint8
    opacity : float
        Of the colours, 0..1.
    """
    gray = image @ np.array([0.299, 0.587, 0.114])
    mixed = gray[..., None] * (1 - opacity) + colors * opacity
    return np.rint(mixed).clip(0, 255).astype(np.uint8)


def outlined(picture: Image, box: BBox, color: tuple[int, int, int]) -> Image:
    """Return a picture with the edge of a box drawn just inside it, two pixels where they fit."""
    found = picture.copy()
    part = found[box.slices]
    if part.size:
        inner = part[2:-2, 2:-2].copy()
        part[:] = color
        part[2:-2, 2:-2] = inner
    return found
