"""A target and a prediction, checked and brought into the form in which errors are looked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segstudio.core.types import IGNORE_INDEX, LabelMap
from segstudio.metrics.confusion import check_maps, check_values

__all__ = ["LabelPair", "build_pair"]


@dataclass(frozen=True, slots=True, eq=False)
class LabelPair:
    """A target and a prediction of one sample, without what does not count.

    Attributes
    ----------
    target : ndarray of shape (H, W), uint8 or uint16
        Class indices; C where the target is ignored.
    prediction : ndarray of shape (H, W), same dtype
        Class indices; C where the target is ignored, so that nothing predicted there matters, and
        where the prediction itself is the ignore index.
    classes : int
        C.
    wrong : ndarray of shape (K,), intp
        Wrong pixels in reading order, as indices of the flattened maps.
    """

    target: LabelMap
    prediction: LabelMap
    classes: int
    wrong: NDArray[np.intp]


def build_pair(
    target: LabelMap,
    prediction: LabelMap,
    classes: int,
    *,
    ignore_index: int = IGNORE_INDEX,
    name: str = "",
) -> LabelPair:
    """Check two label maps and pair them.

    Parameters
    ----------
    target, prediction : ndarray of shape (H, W), integer
        Label maps.
    classes : int
        C.
    ignore_index : int
        Value that is no class, at least C.
    name : str
        The sample, for the error.

    Raises
    ------
    LabelValueError, SizeMismatchError, UsageError
        As `segstudio.metrics.confusion.confusion_matrix`.
    """
    target, prediction = check_maps(
        target, prediction, classes, ignore_index=ignore_index, name=name
    )
    check_values(target, prediction, classes, ignore_index, name)
    void = target.dtype.type(classes)
    clean_target = np.minimum(target, void)
    clean_prediction = np.minimum(prediction, void)
    clean_prediction[clean_target == void] = void
    wrong = np.flatnonzero(clean_target != clean_prediction)
    return LabelPair(clean_target, clean_prediction, classes, wrong)
