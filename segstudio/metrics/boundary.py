"""Where boundaries between classes are: Boundary IoU as integers, and distances to a boundary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import UsageError
from segstudio.core.types import IGNORE_INDEX, IGNORE_INDEX_16, LabelMap
from segstudio.metrics.confusion import Kernel, check_maps, check_values, confusion_matrix
from segstudio.metrics.scores import mean_defined

__all__ = [
    "BAND_SHARE",
    "BoundaryCounts",
    "band_width",
    "boundary_band",
    "boundary_distance",
    "boundary_iou",
    "count_boundary",
    "mean_boundary_iou",
]

BAND_SHARE = 0.02
"""Width of the boundary band as a share of the image's diagonal."""


@dataclass(frozen=True, slots=True, eq=False)
class BoundaryCounts:
    """Integer counts behind Boundary IoU, of one sample or of several added up.

    Attributes
    ----------
    intersection : ndarray of shape (C,), int64
        Pixels in the boundary band of the class on both sides.
    union : ndarray of shape (C,), int64
        Pixels in the boundary band of the class on either side.
    """

    intersection: NDArray[np.int64]
    union: NDArray[np.int64]

    def __add__(self, other: BoundaryCounts) -> BoundaryCounts:
        """Return the pooled counts of both.

        Raises
        ------
        UsageError
            When they have different numbers of classes.
        """
        if len(self.union) != len(other.union):
            raise UsageError(
                f"Boundary counts over {len(self.union)} and over {len(other.union)} classes "
                "cannot be added; they belong to different label spaces."
            )
        return BoundaryCounts(self.intersection + other.intersection, self.union + other.union)


def band_width(shape: tuple[int, ...], share: float = BAND_SHARE) -> int:
    """Return the width of the boundary band in pixels: a share of the diagonal, at least 1.

    Rounded as in the published code, halves to even.

    Parameters
    ----------
    shape : (int, int)
        Height, width of the image.
    share : float
        Of the diagonal.
    """
    height, width = shape
    return max(1, round(share * float(np.sqrt(height**2 + width**2))))


def boundary_band(label_map: LabelMap, width: int) -> NDArray[np.bool_]:
    """Return which pixels lie in the boundary band of their own value.

    These are the pixels that eroding the mask of their value ``width`` times with a 3 x 3 square
    would take away, the world beyond the image counting as another value: pixels within ``width``
    px (chessboard distance) of another value or of the image's outside.  A window around a pixel
    is uniform exactly when its minimum equals its maximum, so one erosion and one dilation of the
    label map do for all values what the published code does for each.

    Parameters
    ----------
    label_map : ndarray of shape (H, W), uint8 or uint16
    width : int
        Pixels, at least 1.

    Returns
    -------
    ndarray of shape (H, W), bool
    """
    if not label_map.size:
        return np.zeros(label_map.shape, bool)
    import cv2

    contiguous = np.ascontiguousarray(label_map)
    # OpenCV makes one (2 width + 1)-square of so many passes, and leaves out what lies beyond
    # the image, so the frame is added by hand.
    square = np.ones((3, 3), np.uint8)
    lowest = cv2.erode(contiguous, square, iterations=width)
    highest = cv2.dilate(contiguous, square, iterations=width)
    band: NDArray[np.bool_] = lowest != highest
    band[:width] = band[-width:] = True
    band[:, :width] = band[:, -width:] = True
    return band


def count_boundary(
    target: LabelMap,
    prediction: LabelMap,
    classes: int,
    *,
    ignore_index: int = IGNORE_INDEX,
    width: int | None = None,
    kernel: Kernel = "auto",
    name: str = "",
) -> BoundaryCounts:
    """Count the boundary bands of a sample's classes [1]_.

    Ignored pixels are taken out of both maps first, so what is predicted there never matters and
    the edge of an ignore region bounds the classes on both sides alike; the masks of each class
    are then compared by the paper's formula, ``|(G_d & G) & (P_d & P)| / |(G_d & G) | (P_d & P)|``.

    Parameters
    ----------
    target, prediction : ndarray of shape (H, W), integer
        Label maps.
    classes : int
        C.
    ignore_index : int
        Value that is no class, at least C.
    width : int, optional
        d in pixels; `band_width` of the image when left out.
    kernel : {"auto", "numpy", "numba"}
        As in `segstudio.metrics.confusion.confusion_matrix`.
    name : str
        The sample, for the error.

    Raises
    ------
    LabelValueError, SizeMismatchError, UsageError
        As `segstudio.metrics.confusion.confusion_matrix`.

    References
    ----------
    .. [1] B. Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation
       Evaluation", CVPR 2021, equation 1.
    """
    target, prediction = check_maps(
        target, prediction, classes, ignore_index=ignore_index, name=name
    )
    check_values(target, prediction, classes, ignore_index, name)
    width = band_width(target.shape) if width is None else _checked_width(width)
    # Void is one class more; the joint counts of both banded maps then hold all three numbers.
    dtype, top = (
        (np.uint8, IGNORE_INDEX) if classes < IGNORE_INDEX else (np.uint16, IGNORE_INDEX_16)
    )
    labelled = target < classes
    banded = []
    for label_map in (target, prediction):
        kept = np.where(labelled & (label_map < classes), label_map, classes).astype(dtype)
        banded.append(np.where(boundary_band(kept, width), kept, dtype(classes)))
    joint = confusion_matrix(
        banded[0], banded[1], classes + 1, ignore_index=top, kernel=kernel, name=name
    )[:, : classes + 1]
    intersection = np.diagonal(joint)[:classes].copy()
    union = joint.sum(1)[:classes] + joint.sum(0)[:classes] - intersection
    return BoundaryCounts(intersection, union)


def _checked_width(width: int) -> int:
    if width < 1:
        raise UsageError(f"A boundary band must be at least 1 pixel wide, not {width}.")
    return width


def boundary_iou(counts: BoundaryCounts) -> NDArray[np.float64]:
    """Boundary IoU of each class, shape (C,), NaN where the class is on neither side.

    A class that only the prediction holds scores 0, as in `segstudio.metrics.scores.iou`.
    """
    result = np.full(counts.union.shape, np.nan)
    np.divide(counts.intersection, counts.union, out=result, where=counts.union > 0)
    return result


def mean_boundary_iou(counts: BoundaryCounts) -> float:
    """Mean of `boundary_iou` over the classes that have one, NaN when none has."""
    return float(mean_defined(boundary_iou(counts)))


def boundary_distance(target: LabelMap, classes: int) -> NDArray[np.float32]:
    """Return each pixel's exact Euclidean distance to the nearest boundary of the target.

    A boundary pixel has another class beside, above or below it; its distance is 0.  Ignore
    regions belong to no class: each of their pixels first takes the class of a nearest labelled
    pixel, so that a boundary under an ignore region runs midway through it (within about a
    pixel), and the border between a class and an ignore region is none.

    Parameters
    ----------
    target : ndarray of shape (H, W), uint8 or uint16
        Values from C on are ignored.
    classes : int
        C.

    Returns
    -------
    ndarray of shape (H, W), float32
        Pixels; infinite everywhere when the target holds fewer than two classes.
    """
    edge = _boundary_pixels(_filled(target, classes))
    if not edge.any():
        return np.full(target.shape, np.inf, np.float32)
    import cv2

    # Smaller masks are off by up to 3.5 px on photographs of 2048 x 1024.
    return np.asarray(
        cv2.distanceTransform((~edge).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    )


def _boundary_pixels(label_map: LabelMap) -> NDArray[np.bool_]:
    """Return which pixels have a 4-neighbour of another value."""
    edge = np.zeros(label_map.shape, bool)
    for one, other in (
        (np.s_[1:], np.s_[:-1]),
        (np.s_[:, 1:], np.s_[:, :-1]),
    ):
        differs = label_map[one] != label_map[other]
        edge[one] |= differs
        edge[other] |= differs
    return edge


def _filled(target: LabelMap, classes: int) -> LabelMap:
    """Return the map with ignored pixels in the class of a nearest labelled one."""
    void = target >= classes
    if not void.any() or void.all():
        return target
    import cv2

    _, nearest = cv2.distanceTransformWithLabels(
        void.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # Each labelled pixel has a number of its own, from 1.
    classes_of = np.zeros(int(nearest.max()) + 1, target.dtype)
    classes_of[nearest[~void]] = target[~void]
    filled: NDArray[Any] = target.copy()
    filled[void] = classes_of[nearest[void]]
    return filled
