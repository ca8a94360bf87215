"""Uncertain regions: connected pixels of one predicted class whose entropy is high."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segstudio.analysis.components import CONNECTIVITY, find_components
from segstudio.core.errors import CorruptProjectError
from segstudio.core.types import BBox, LabelMap, Mask

__all__ = [
    "MINIMAL_AREA",
    "UncertainRegion",
    "component_at",
    "find_uncertain",
    "pack_uncertain",
    "unpack_uncertain",
]

MINIMAL_AREA = 16
"""Pixels of the smallest region that is kept: what is smaller nobody would correct by hand."""

_ROW = np.dtype(
    [
        ("prediction", "<u2"),
        ("runner_up", "<i4"),
        ("area", "<u4"),
        ("top", "<u4"),
        ("left", "<u4"),
        ("height", "<u4"),
        ("width", "<u4"),
        ("row", "<u4"),
        ("column", "<u4"),
        ("entropy_sum", "<u8"),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UncertainRegion:
    """Connected pixels of one predicted class, each at least as uncertain as a level.

    Attributes
    ----------
    prediction : int
        Class index.
    runner_up : int or None
        The second most probable class of most of its pixels; None when none was kept.
    area : int
        Pixels.
    box : BBox
        The smallest box.
    anchor : (int, int)
        Row and column of its first pixel in reading order.
    entropy_sum : int
        Stored levels, 0..255 each, added up: the order of ranking.
    """

    prediction: int
    runner_up: int | None
    area: int
    box: BBox
    anchor: tuple[int, int]
    entropy_sum: int

    @property
    def mean_entropy(self) -> float:
        """Share of log C, 0..1."""
        return self.entropy_sum / (255.0 * self.area)


def find_uncertain(
    labels: LabelMap,
    entropy: NDArray[np.uint8],
    runner_up: LabelMap | None = None,
    *,
    level: int,
    classes: int,
    minimal_area: int = MINIMAL_AREA,
) -> list[UncertainRegion]:
    """Return the uncertain regions of a sample, the largest sum of entropy first.

    Pixels of different predicted classes are never of one region: along a boundary, where entropy
    is high on both sides, a region would otherwise wind through the whole image.

    Parameters
    ----------
    labels : ndarray of shape (H, W), uint8 or uint16
        Predicted classes.
    entropy : ndarray of shape (H, W), uint8
        ``round(255 * entropy / log C)``.
    runner_up : ndarray of shape (H, W), integer, optional
        Second most probable classes.
    level : int
        Smallest entropy of an uncertain pixel, 0..255.
    classes : int
        C; what is predicted from there on is no class.
    minimal_area : int
        Pixels of the smallest region.
    """
    void = np.iinfo(np.uint16).max
    codes = labels.astype(np.uint16)
    codes[(entropy < level) | (labels >= classes)] = void
    found = find_components(codes, void=int(void))
    if not len(found):
        return []
    flat = found.ids.reshape(-1)
    # In units of one level, exact: sums stay below 2^53.
    sums = np.bincount(flat, weights=entropy.reshape(-1), minlength=len(found) + 1)
    boxes = found.boxes()
    regions = []
    for number in np.flatnonzero(found.areas[1:] >= minimal_area):
        box = BBox(*(int(edge) for edge in boxes[number]))
        inside = found.ids[box.slices] == number + 1
        regions.append(
            UncertainRegion(
                prediction=int(found.values[number + 1]),
                runner_up=None
                if runner_up is None
                else _most(runner_up[box.slices][inside], classes),
                area=int(found.areas[number + 1]),
                box=box,
                anchor=(box.top, box.left + int(inside[0].argmax())),
                entropy_sum=int(sums[number + 1]),
            )
        )
    # Equal ones by place, so that the order is always the same.
    return sorted(regions, key=lambda region: (-region.entropy_sum, region.anchor))


def component_at(mask: Mask, row: int, column: int) -> Mask:
    """Return the connected pixels of a mask around one of them.

    Parameters
    ----------
    mask : ndarray of shape (h, w), bool
    row, column : int
        A pixel of the mask.

    Returns
    -------
    ndarray of shape (h, w), bool
        All False where the pixel is not of the mask.
    """
    import cv2

    _, numbers = cv2.connectedComponents(mask.astype(np.uint8), connectivity=CONNECTIVITY)
    here = int(numbers[row, column])
    return np.asarray((numbers == here) & (here > 0))


def pack_uncertain(regions: Iterable[UncertainRegion]) -> bytes:
    """Return regions in a compact form for storage, in their order."""
    rows = [
        (
            region.prediction,
            -1 if region.runner_up is None else region.runner_up,
            region.area,
            region.box.top,
            region.box.left,
            region.box.height,
            region.box.width,
            *region.anchor,
            region.entropy_sum,
        )
        for region in regions
    ]
    return zlib.compress(np.array(rows, _ROW).tobytes(), 1)


def unpack_uncertain(data: bytes, name: str) -> list[UncertainRegion]:
    """Return what `pack_uncertain` stored.

    Raises
    ------
    CorruptProjectError
        When the data of the sample ``name`` is damaged.
    """
    try:
        rows = np.frombuffer(zlib.decompress(data), _ROW)
    except (zlib.error, ValueError) as error:
        raise CorruptProjectError(
            f"The stored uncertain regions of {name} are damaged; run the model again."
        ) from error
    regions = []
    for prediction, runner_up, area, top, left, height, width, row, column, total in rows.tolist():
        regions.append(
            UncertainRegion(
                prediction=prediction,
                runner_up=None if runner_up < 0 else runner_up,
                area=area,
                box=BBox(top, left, top + height, left + width),
                anchor=(row, column),
                entropy_sum=total,
            )
        )
    return regions


def _most(values: LabelMap, classes: int) -> int | None:
    """Return the class that most of the values are, None when none is a class."""
    known = values[values < classes]
    return int(np.bincount(known).argmax()) if known.size else None
