"""Photographs that are no street: what a street network does with them is worth seeing.

They are the ones that scikit-image carries inside its wheel, so nothing is downloaded.
"""

from __future__ import annotations

import cv2

from segstudio.core.errors import UnknownNameError
from segstudio.core.registry import did_you_mean
from segstudio.core.types import Image

__all__ = ["OUT_OF_DISTRIBUTION", "load_out_of_distribution"]

_FUNCTIONS = {"cat": "chelsea", "coffee": "coffee", "rocket": "rocket", "astronaut": "astronaut"}

OUT_OF_DISTRIBUTION: tuple[str, ...] = tuple(_FUNCTIONS)
"""Names of the photographs."""

_LONGEST_SIDE = 640


def load_out_of_distribution(name: str) -> Image:
    """Return one of the photographs, its longer side at most 640 pixels.

    Parameters
    ----------
    name : str
        One of `OUT_OF_DISTRIBUTION`.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
        RGB.

    Raises
    ------
    UnknownNameError
        When there is none of that name.
    """
    if name not in _FUNCTIONS:
        known = list(OUT_OF_DISTRIBUTION)
        raise UnknownNameError(f"There is no photograph {name!r}: {did_you_mean(name, known)}")
    from skimage import data  # loads much, so only when a photograph is wanted

    picture: Image = getattr(data, _FUNCTIONS[name])()
    height, width = picture.shape[:2]
    scale = _LONGEST_SIDE / max(height, width)
    if scale < 1:
        size = (round(width * scale), round(height * scale))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype("uint8")
    return picture
