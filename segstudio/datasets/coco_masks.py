"""Painting COCO's instance annotations as a semantic map; nothing here reads a file.

Overlap rule
------------
Regions are painted from the largest to the smallest, areas counted in pixels of the mask itself,
so what is small lies on top; equal areas keep the order of the annotations, later ones on top.
Crowd regions (``iscrowd``) have their category too, but lie below everything else.

References
----------
T.-Y. Lin et al., "Microsoft COCO: common objects in context", ECCV 2014; the run lengths are those
of the COCO API's ``maskApi.c``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import LabelValueError
from segstudio.core.types import Mask

__all__ = ["decode_counts", "decode_segmentation", "paint_instances"]

_MOST_CHARACTERS = 7
"""Of one compressed number: 35 bits, more than any picture has pixels."""


def paint_instances(
    annotations: Sequence[Mapping[str, Any]],
    shape: tuple[int, int],
    *,
    source_id: Callable[[Any], int] = int,
    background: int = 0,
    origin: str = "the annotations",
) -> NDArray[np.uint16]:
    """Paint the instances of one image; see the module for what happens where they overlap.

    Parameters
    ----------
    annotations : sequence of mapping
        With ``category_id``, ``segmentation`` (polygons, or run lengths, compressed or not) and
        optionally ``iscrowd``.  One without a segmentation (a mere box) paints nothing.
    shape : (int, int)
        Height and width of the image.
    source_id : callable
        From category id to the value painted, 0..65535.
    background : int
        Value of pixels that no instance covers.
    origin : str
        File and image, for errors.

    Returns
    -------
    ndarray of shape (H, W), uint16

    Raises
    ------
    LabelValueError
        When a segmentation is broken or belongs to an image of another size.
    """
    painted = np.full(shape, background, np.uint16)
    regions: list[tuple[bool, int, int, tuple[slice, slice], Mask, int]] = []
    for order, annotation in enumerate(annotations):
        segmentation = annotation.get("segmentation")
        if not segmentation:
            continue
        where = f"{origin}, annotation {annotation.get('id', order)}"
        mask = decode_segmentation(segmentation, shape, where)
        area = int(np.count_nonzero(mask))
        if not area:
            continue
        try:
            value = source_id(annotation["category_id"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise LabelValueError(
                f"{where} has a category that the file does not define: "
                f"{annotation.get('category_id')!r}."
            ) from error
        box = _bounds(mask)
        no_crowd = not annotation.get("iscrowd")
        # Only the part that is covered is kept: crowded images have hundreds of instances.
        regions.append((no_crowd, -area, order, box, mask[box].copy(), value))
    for _, _, _, box, mask, value in sorted(regions, key=lambda region: region[:3]):
        painted[box][mask] = value
    return painted


def decode_segmentation(segmentation: Any, shape: tuple[int, int], origin: str) -> Mask:
    """Return the mask of one ``segmentation``.

    Vertices farther from the image than its own size are moved there, which changes nothing
    inside; polygons of fewer than three vertices have no area and are passed over.

    Parameters
    ----------
    segmentation : list or mapping
        ``[[x, y, ...], ...]`` or ``{"size": [H, W], "counts": list or str}``.
    shape : (int, int)
        Height and width of the image.
    origin : str
        For errors.

    Returns
    -------
    ndarray of shape (H, W), bool

    Raises
    ------
    LabelValueError
        When it is neither, when run lengths do not cover the image exactly, when a coordinate is
        no number.
    """
    if isinstance(segmentation, Mapping):
        size = segmentation.get("size")
        if not isinstance(size, list | tuple) or list(size) != list(shape):
            raise LabelValueError(
                f"{origin} has run lengths for an image of size {_short(size)}, but its image is "
                f"{shape[0]} x {shape[1]} pixels (height x width)."
            )
        return decode_counts(segmentation.get("counts"), shape, origin)
    if not isinstance(segmentation, list):
        raise LabelValueError(f"{origin} has a segmentation that is neither polygons nor runs.")
    flat = segmentation and not isinstance(segmentation[0], list)
    polygons = [
        _checked_polygon(polygon, shape, origin)
        for polygon in ([segmentation] if flat else segmentation)
    ]
    return _fill([polygon for polygon in polygons if len(polygon) >= 6], shape)


def decode_counts(counts: Any, shape: tuple[int, int], origin: str) -> Mask:
    """Return the mask of COCO run lengths: columns first, starting with a run of zeros.

    Parameters
    ----------
    counts : list of int, str or bytes
        Plain or compressed.
    shape : (int, int)
        Height and width; the runs have to add up to their product.
    origin : str
        For errors.

    Raises
    ------
    LabelValueError
        When the runs are no numbers, negative, or do not add up.
    """
    height, width = shape
    try:
        if isinstance(counts, str):
            counts = counts.encode("ascii")
        if isinstance(counts, bytes):
            runs = _decompressed(counts)
        elif isinstance(counts, list):
            runs = np.asarray(counts)
            if runs.size and (runs.ndim != 1 or runs.dtype.kind not in "iu"):
                raise ValueError("runs that are no whole numbers")
            runs = runs.astype(np.int64)
        else:
            raise ValueError("no runs")
        if runs.size and (int(runs.min()) < 0 or int(runs.max()) > height * width):
            raise ValueError("a run that is negative or longer than the image")
        total = int(runs.sum())
        if total != height * width:
            raise ValueError(f"runs for {total} pixels where the image has {height * width}")
    except (ValueError, UnicodeEncodeError, OverflowError) as error:
        raise LabelValueError(f"{origin} has damaged run lengths: {error}.") from error
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def _decompressed(text: bytes) -> NDArray[np.int64]:
    """Return the runs of a compressed string (``rleFrString``).

    A character less 48 holds five bits and, in the sixth, whether more of the number follow; the
    last one's fifth bit is the sign.  From the fourth number on it is the difference to the one
    two places before.
    """
    codes = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    if codes.size == 0:
        return codes
    if int(codes.min()) < 0 or int(codes.max()) > 63:
        raise ValueError("a character that no run is written with")
    is_last = (codes & 32) == 0
    if not is_last[-1]:
        raise ValueError("they end in the middle of a number")
    ends = np.flatnonzero(is_last)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if int(lengths.max()) > _MOST_CHARACTERS:
        raise ValueError("a run that is longer than any image")
    place = np.arange(codes.size) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((codes & 31) << (5 * place), starts)
    negative = (codes[ends] & 16) != 0
    numbers[negative] -= np.int64(1) << (5 * lengths[negative])
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers


def _checked_polygon(polygon: Any, shape: tuple[int, int], origin: str) -> list[float]:
    if not isinstance(polygon, list) or len(polygon) % 2:
        raise LabelValueError(f"{origin} has a polygon that is no list of x, y, x, y, ...")
    limits = (float(shape[1]), float(shape[0]))
    try:
        values = [float(value) for value in polygon]
    except (TypeError, ValueError, OverflowError) as error:
        raise LabelValueError(f"{origin} has a polygon with a coordinate that is no number.") from (
            error
        )
    if not all(map(math.isfinite, values)):
        raise LabelValueError(f"{origin} has a polygon with a coordinate that is no number.")
    # The rasteriser walks along every edge: a vertex far away would cost time and memory.
    return [
        min(max(value, -limits[place % 2]), 2 * limits[place % 2])
        for place, value in enumerate(values)
    ]


def _fill(polygons: list[list[float]], shape: tuple[int, int]) -> Mask:
    """Return the union of polygons as the COCO API rasterises them."""
    from pycocotools import mask as coco

    if not polygons:
        return np.zeros(shape, bool)
    runs = coco.merge(coco.frPyObjects(polygons, *shape))
    # Its own decoder is passed over: with numpy 2 it warns at every call.
    return decode_counts(runs["counts"], shape, "the polygons")


def _bounds(mask: Mask) -> tuple[slice, slice]:
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
