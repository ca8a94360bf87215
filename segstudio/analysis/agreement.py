"""What two runs say of the same pixels: one pass over their label maps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.types import LabelMap
from segstudio.metrics.confusion import confusion_matrix
from segstudio.metrics.counts import LEVELS
from segstudio.metrics.uncertainty import CONFIDENT_BELOW

__all__ = ["Agreement", "add_agreements", "agreement_json", "count_agreement"]

_TRUTH = (
    "labelled",
    "both_right",
    "only_a_right",
    "only_b_right",
    "both_wrong_same",
    "both_wrong_different",
)


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """What two runs say of the same pixels, added up over samples.

    Attributes
    ----------
    matrix : ndarray of shape (C, C + 1), int64
        Rows what a says, columns what b says, over all pixels, labelled or not; the last column
        holds pixels where only b says nothing (a class that its mapping leaves out).  Pixels
        where a says nothing are left out.
    labelled, both_right, only_a_right, only_b_right : int
        Pixels with ground truth, and who is right there.
    both_wrong_same, both_wrong_different : int
        Both wrong with the same class, with two different ones.
    both_wrong_levels : ndarray of shape (256,), int64
        Pixels that both get wrong by the entropy level of the less sure of the two, so any
        threshold of "both are sure" can be asked for; all 0 where an entropy was not known.
    samples : int
        How many samples were read.
    """

    matrix: NDArray[np.int64]
    labelled: int
    both_right: int
    only_a_right: int
    only_b_right: int
    both_wrong_same: int
    both_wrong_different: int
    both_wrong_levels: NDArray[np.int64]
    samples: int = 1

    @property
    def pixels(self) -> int:
        """Pixels that were compared."""
        return int(self.matrix.sum())

    @property
    def agreed(self) -> int:
        """Pixels for which both say the same class."""
        return int(np.trace(self.matrix))

    def both_wrong_and_sure(self, threshold: float = CONFIDENT_BELOW) -> int:
        """Return the pixels that both get wrong with entropy below ``threshold * log C``."""
        below = np.arange(LEVELS) < (LEVELS - 1) * threshold
        return int(self.both_wrong_levels[below].sum())


def count_agreement(
    a: LabelMap,
    b: LabelMap,
    classes: int,
    *,
    ignore_index: int,
    target: LabelMap | None = None,
    entropies: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None = None,
    name: str = "",
) -> Agreement:
    """Count what two predictions of one sample say.

    Parameters
    ----------
    a, b : ndarray of shape (H, W), integer
        Label maps of both runs, in one label space.
    classes, ignore_index : int
        C and the value that is no class.
    target : ndarray of shape (H, W), integer, optional
        Ground truth; without it nobody is right.
    entropies : pair of ndarray of shape (H, W), uint8, optional
        Entropy levels of both.
    name : str
        The sample, for the error.

    Raises
    ------
    LabelValueError, SizeMismatchError
        As `segstudio.metrics.confusion.confusion_matrix`.
    """
    matrix = confusion_matrix(a, b, classes, ignore_index=ignore_index, name=name)
    levels = np.zeros(LEVELS, np.int64)
    if target is None:
        return Agreement(matrix, 0, 0, 0, 0, 0, 0, levels)
    # Checks the ground truth's size and values.
    confusion_matrix(target, a, classes, ignore_index=ignore_index, name=name)
    labelled = target < classes
    right_a, right_b = (a == target) & labelled, (b == target) & labelled
    both = int(np.count_nonzero(right_a & right_b))
    wrong = labelled & ~(right_a | right_b)
    same = int(np.count_nonzero(wrong & (a == b)))
    wrong_pixels = int(np.count_nonzero(wrong))
    if entropies is not None:
        less_sure = np.maximum(*entropies)[wrong]
        levels = np.bincount(less_sure, minlength=LEVELS).astype(np.int64)
    return Agreement(
        matrix,
        labelled=int(np.count_nonzero(labelled)),
        both_right=both,
        only_a_right=int(np.count_nonzero(right_a)) - both,
        only_b_right=int(np.count_nonzero(right_b)) - both,
        both_wrong_same=same,
        both_wrong_different=wrong_pixels - same,
        both_wrong_levels=levels,
    )


def add_agreements(parts: Iterable[Agreement], classes: int) -> Agreement:
    """Add up the agreement of samples; of none at all it is all 0."""
    total = Agreement(
        np.zeros((classes, classes + 1), np.int64), 0, 0, 0, 0, 0, 0, np.zeros(LEVELS, np.int64), 0
    )
    for part in parts:
        total = replace(
            total,
            **{
                name: getattr(total, name) + getattr(part, name)
                for name in Agreement.__dataclass_fields__
            },
        )
    return total


def agreement_json(agreement: Agreement | None) -> dict[str, Any] | None:
    """Return the "agreement" part of ``segstudio compare --json``, None without a label map."""
    if agreement is None or not agreement.samples:
        return None
    pixels, agreed = agreement.pixels, agreement.agreed
    truth = None
    if agreement.labelled:
        truth = {name: getattr(agreement, name) for name in _TRUTH}
        truth["both_wrong_and_sure"] = agreement.both_wrong_and_sure()
    return {
        "samples": agreement.samples,
        "pixels": pixels,
        "agree": agreed,
        "disagree": pixels - agreed,
        "share": agreed / pixels if pixels else None,
        "matrix": agreement.matrix[:, :-1].tolist(),
        "b_ignores": agreement.matrix[:, -1].tolist(),
        "truth": truth,
    }
