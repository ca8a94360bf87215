"""Scores as pure functions of integer counts, in float64.

Each takes a confusion of shape (..., C, C) or (..., C, C + 1), rows targets, or the `ClassTotals`
made of one; leading axes (samples, draws) are kept.  A score whose denominator is empty is NaN:
there is nothing to score, which is not the same as a score of 0.

Sum the counts of a set first and score the sum for a *pooled* score; score each sample's counts
for *per image* scores.  The two differ, and tables must say which they show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import UsageError
from segstudio.metrics.counts import SampleCounts
from segstudio.metrics.resampling import drawn_sums, percentile_interval

__all__ = [
    "ClassTotals",
    "ade20k_score",
    "bootstrap_interval",
    "class_accuracy",
    "class_totals",
    "dice",
    "frequency_weighted_iou",
    "iou",
    "mean_accuracy",
    "mean_defined",
    "mean_iou",
    "pixel_accuracy",
    "precision",
    "resampled_iou",
    "sample_totals",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ClassTotals:
    """What the scores need of a confusion: three numbers for each class.

    Attributes
    ----------
    hits : ndarray of shape (..., C)
        Pixels of the class that were predicted as it (true positives).
    target : ndarray of shape (..., C)
        Pixels whose target is the class (true positives + false negatives).
    predicted : ndarray of shape (..., C)
        Labelled pixels that were predicted as the class (true + false positives).
    """

    hits: NDArray[Any]
    target: NDArray[Any]
    predicted: NDArray[Any]

    @property
    def union(self) -> NDArray[Any]:
        """True positives + false positives + false negatives, shape (..., C)."""
        union: NDArray[Any] = self.target + self.predicted - self.hits
        return union


Counted = NDArray[Any] | ClassTotals
"""A confusion of shape (..., C, C) or (..., C, C + 1), or its totals."""


def class_totals(confusion: Counted) -> ClassTotals:
    """Return the class totals of a confusion.

    Raises
    ------
    ValueError
        When the last two axes are not (C, C) or (C, C + 1).
    """
    if isinstance(confusion, ClassTotals):
        return confusion
    if confusion.ndim < 2 or confusion.shape[-1] - confusion.shape[-2] not in (0, 1):
        raise ValueError(f"a confusion of shape {confusion.shape} is neither C x C nor C x (C + 1)")
    classes = confusion.shape[-2]
    return ClassTotals(
        hits=np.diagonal(confusion, axis1=-2, axis2=-1),
        target=confusion.sum(-1),
        predicted=confusion[..., :classes].sum(-2),
    )


def sample_totals(samples: Sequence[SampleCounts], classes: int) -> ClassTotals:
    """Return the class totals of each sample, shape (S, C) int64.

    Straight from the sparse counts: 5,000 dense confusions of 150 classes would be 900 MB.

    Raises
    ------
    UsageError
        When a sample was counted over another number of classes.
    """
    hits, target, predicted = (np.zeros((len(samples), classes), np.int64) for _ in range(3))
    if any(sample.classes != classes for sample in samples):
        raise UsageError(f"Some counts are not over {classes} classes: another label space.")
    if samples:
        lengths = [len(sample.counts) for sample in samples]
        which = np.repeat(np.arange(len(samples)), lengths)
        rows = np.concatenate([sample.rows for sample in samples])
        cols = np.concatenate([sample.cols for sample in samples])
        counts = np.concatenate([sample.counts for sample in samples])
        np.add.at(target, (which, rows), counts)
        same, kept = rows == cols, cols < classes
        np.add.at(hits, (which[same], rows[same]), counts[same])
        np.add.at(predicted, (which[kept], cols[kept]), counts[kept])
    return ClassTotals(hits, target, predicted)


def _ratio(numerator: NDArray[Any], denominator: NDArray[Any]) -> Floats:
    """Return numerator / denominator, NaN where the denominator is 0."""
    result = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    np.divide(numerator, denominator, out=result, where=denominator != 0)
    return result


def mean_defined(values: NDArray[Any]) -> Floats:
    """Return the mean along the last axis of what is not NaN, NaN where nothing is."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0.0).sum(-1), defined.sum(-1))


def iou(confusion: Counted) -> Floats:
    """Intersection over union of each class, ``TP / (TP + FP + FN)``, shape (..., C) [1]_.

    NaN where the union is empty.  A class that the target does not hold but the prediction does
    scores 0, and counts in `mean_iou`.

    Notes
    -----
    mmsegmentation agrees.  torchmetrics gives absent classes 0 unless told otherwise; detectron2
    drops every class that is absent from the ground truth, also where it was predicted.

    References
    ----------
    .. [1] M. Everingham et al., "The PASCAL Visual Object Classes Challenge", IJCV 2010.
    """
    totals = class_totals(confusion)
    return _ratio(totals.hits, totals.union)


def dice(confusion: Counted) -> Floats:
    """Dice coefficient (F1) of each class, ``2 TP / (2 TP + FP + FN)``, shape (..., C) [1]_.

    NaN where the union is empty; 0 for an absent class that was predicted.  Medical tools often
    give 1 where both sides are empty, which raises means over many empty images.

    References
    ----------
    .. [1] L. R. Dice, "Measures of the Amount of Ecologic Association Between Species", Ecology
       1945.
    """
    totals = class_totals(confusion)
    return _ratio(2 * totals.hits, totals.target + totals.predicted)


def precision(confusion: Counted) -> Floats:
    """Share of the pixels predicted as a class that are it, ``TP / (TP + FP)``, shape (..., C).

    NaN where the class was never predicted; scikit-learn warns and gives 0 there.
    """
    totals = class_totals(confusion)
    return _ratio(totals.hits, totals.predicted)


def class_accuracy(confusion: Counted) -> Floats:
    """Share of the pixels of a class that were found, ``TP / (TP + FN)``, shape (..., C).

    Also called recall.  NaN where the target does not hold the class; scikit-learn gives 0.
    """
    totals = class_totals(confusion)
    return _ratio(totals.hits, totals.target)


def pixel_accuracy(confusion: Counted) -> Floats:
    """Share of the labelled pixels that are right, shape (...) [1]_.

    Ignored predictions are wrong.  Papers that count void pixels of the target as a class report
    other values.

    References
    ----------
    .. [1] J. Long, E. Shelhamer, T. Darrell, "Fully Convolutional Networks for Semantic
       Segmentation", CVPR 2015.
    """
    totals = class_totals(confusion)
    return _ratio(totals.hits.sum(-1), totals.target.sum(-1))


def mean_accuracy(confusion: Counted) -> Floats:
    """Mean of `class_accuracy` over the classes that the target holds, shape (...) [1]_.

    Called "class average" in the CamVid literature.  Unlike `mean_iou` it does not see false
    positives of absent classes.

    References
    ----------
    .. [1] J. Long, E. Shelhamer, T. Darrell, "Fully Convolutional Networks for Semantic
       Segmentation", CVPR 2015.
    """
    return mean_defined(class_accuracy(confusion))


def mean_iou(confusion: Counted) -> Floats:
    """Mean of `iou` over the classes whose union is not empty, shape (...) [1]_.

    mmsegmentation agrees; torchmetrics counts absent classes as 0 by default, and detectron2
    leaves out absent classes that were predicted.

    References
    ----------
    .. [1] J. Long, E. Shelhamer, T. Darrell, "Fully Convolutional Networks for Semantic
       Segmentation", CVPR 2015.
    """
    return mean_defined(iou(confusion))


def frequency_weighted_iou(confusion: Counted) -> Floats:
    """Mean of `iou` weighted by the pixels of each class in the target, shape (...) [1]_.

    Classes that the target does not hold weigh nothing.

    References
    ----------
    .. [1] J. Long, E. Shelhamer, T. Darrell, "Fully Convolutional Networks for Semantic
       Segmentation", CVPR 2015.
    """
    totals = class_totals(confusion)
    weighted = np.where(totals.target > 0, iou(totals), 0.0) * totals.target
    return _ratio(weighted.sum(-1), totals.target.sum(-1))


def ade20k_score(confusion: Counted) -> Floats:
    """Mean of pixel accuracy and mean IoU, the score of the ADE20K benchmark, shape (...) [1]_.

    References
    ----------
    .. [1] B. Zhou et al., "Scene Parsing through ADE20K Dataset", CVPR 2017.
    """
    totals = class_totals(confusion)
    return (pixel_accuracy(totals) + mean_iou(totals)) / 2


def bootstrap_interval(
    samples: Counted,
    statistic: Callable[[ClassTotals], Floats] = mean_iou,
    *,
    other: Counted | None = None,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[Any, Any]:
    """Percentile interval of a pooled score, by drawing samples with replacement [1]_.

    Each draw takes S of the S samples, adds up their counts and scores the sum.  With ``other``
    (another model's counts of the *same* samples in the same order) both are drawn alike and the
    interval is that of the difference, which is what tells two models apart: most of each
    model's own spread comes from easy and hard images that both share.

    Parameters
    ----------
    samples : ndarray of shape (S, C, C) or (S, C, C + 1), or ClassTotals of shape (S, C)
        `sample_totals` makes the latter without dense confusions.
    statistic : callable
        From totals of shape (D, C) to scores of shape (D,) or (D, K).
    other : as ``samples``, optional
        The model whose score is subtracted.
    draws : int
        D.
    level : float
        Share of draws inside the interval.
    seed : int
        Equal seeds and sizes give equal draws.

    Returns
    -------
    low, high : float, or ndarray of shape (K,)
        NaN with fewer than two samples that hold a labelled pixel, which say nothing of the
        spread between samples, or where no draw has a score.

    References
    ----------
    .. [1] B. Efron, R. J. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    sides = [class_totals(samples)] + ([] if other is None else [class_totals(other)])
    count = sides[0].target.shape[0]
    if any(side.target.shape[0] != count for side in sides):
        raise UsageError("Two runs can only be compared on the same samples.")
    results = []
    for side in sides:
        columns = np.stack([side.hits, side.target, side.predicted])
        results.append(statistic(ClassTotals(*drawn_sums(columns, draws, seed))))
    values = results[0] if other is None else results[0] - results[1]
    if min(_labelled_samples(side) for side in sides) < 2:
        values = np.full_like(values, np.nan)
    low, high = percentile_interval(values, level)
    return (float(low), float(high)) if values.ndim == 1 else (low, high)


def resampled_iou(samples: Counted, *, draws: int = 1000, seed: int = 0) -> Floats:
    """Return mean IoU and the IoU of each class for draws of samples with replacement.

    The draws of `bootstrap_interval`, kept: equal numbers of samples are drawn alike, so the
    rows of two runs over the same samples may be subtracted from each other for the paired
    interval of their difference, without drawing again.

    Parameters
    ----------
    samples : ndarray of shape (S, C, C) or (S, C, C + 1), or ClassTotals of shape (S, C)
    draws : int
        D.
    seed : int
        As in `bootstrap_interval`.

    Returns
    -------
    ndarray of shape (D, 1 + C), float64
        Mean IoU first; NaN with fewer than two samples that hold a labelled pixel.
    """
    totals = class_totals(samples)
    classes = totals.target.shape[1]
    result = np.full((draws, 1 + classes), np.nan)
    if _labelled_samples(totals) < 2:
        return result
    # IoU needs two numbers of each class, not three, and none of a class that is not there.
    union = totals.union
    there = np.flatnonzero(union.any(0))
    columns = np.stack([totals.hits[:, there], union[:, there]])
    result[:, 1 + there] = _ratio(*drawn_sums(columns, draws, seed))
    result[:, 0] = mean_defined(result[:, 1:])
    return result


def _labelled_samples(totals: ClassTotals) -> int:
    """Return how many samples have anything to score."""
    return int(np.count_nonzero(totals.target.any(1)))
