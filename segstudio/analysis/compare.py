"""Two runs over the same images: which is better, where, and who is right.

Scores come from stored counts; which pixels both call the same needs one pass over the label maps
(`segstudio.analysis.agreement`).  A difference is always *b minus a*: what changes when
the second run takes the place of the first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from segstudio.analysis.agreement import Agreement, agreement_json
from segstudio.analysis.tables import RunTable
from segstudio.core.errors import UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.metrics import scores
from segstudio.metrics.counts import LEVELS
from segstudio.metrics.resampling import percentile_interval
from segstudio.metrics.uncertainty import CONFIDENT_BELOW

__all__ = [
    "ClassDelta",
    "Comparison",
    "SamplePair",
    "compare_tables",
    "comparison_json",
]

Interval = tuple[float, float]
Pair = tuple[float, float]

LISTED = 10
"""Images named in each of the lists of where one run wins or both fail."""


@dataclass(frozen=True, slots=True)
class ClassDelta:
    """Pooled IoU of one class in both runs, and b minus a with its paired interval."""

    index: int
    name: str
    iou: Pair
    delta: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class SamplePair:
    """Scores of one sample's own counts in both runs; a point of the scatter plot.

    Attributes
    ----------
    sure_errors : (float, float)
        Share of the labelled pixels that is wrong with entropy below 0.10 log C.
    """

    sample_id: str
    miou: Pair
    pixel_accuracy: Pair
    sure_errors: Pair

    @property
    def delta(self) -> float:
        """Difference of the per-image mean IoU, b minus a."""
        return self.miou[1] - self.miou[0]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two runs over the samples that both have.

    Attributes
    ----------
    label_space : LabelSpace
        In which they are compared.
    runs : (str, str)
        Names of a and b.
    scored : int
        Samples with counts of both.
    pooled : tuple of two dict
        "miou", "pixel_accuracy", "mean_accuracy", "fw_iou", "dice" of a and of b.
    miou_interval : (float, float)
        95 % paired bootstrap interval of the difference of mIoU.
    classes : tuple of ClassDelta
        By class index.
    samples : tuple of SamplePair
    agreement : Agreement or None
        None when no label map was read.
    """

    label_space: LabelSpace
    runs: tuple[str, str]
    scored: int
    pooled: tuple[dict[str, float], dict[str, float]]
    miou_interval: Interval
    classes: tuple[ClassDelta, ...]
    samples: tuple[SamplePair, ...]
    agreement: Agreement | None = None

    def wins(self, side: int, count: int = LISTED) -> list[SamplePair]:
        """Return the samples where run ``side`` (0 or 1) is ahead, the furthest first."""
        sign = 1 if side else -1
        ahead = [entry for entry in self.samples if sign * entry.delta > 0]
        return sorted(ahead, key=lambda entry: -sign * entry.delta)[:count]

    def both_fail(self, count: int = LISTED) -> list[SamplePair]:
        """Return the samples that both get wrong while both are sure, the worst first.

        By the smaller of the two shares of pixels that are wrong with low entropy.
        """
        failing = [entry for entry in self.samples if min(entry.sure_errors) > 0]
        return sorted(failing, key=lambda entry: -min(entry.sure_errors))[:count]


def compare_tables(
    label_space: LabelSpace,
    a: RunTable,
    b: RunTable,
    *,
    runs: tuple[str, str] = ("a", "b"),
) -> Comparison:
    """Compare two runs by their counts over the samples that both have.

    Two tables without any sample, of images without ground truth, compare as nothing but NaN.

    Parameters
    ----------
    label_space : LabelSpace
        What the classes of both tables are.
    a, b : RunTable
    runs : (str, str)
        Their names.

    Raises
    ------
    UsageError
        When a table has another number of classes, or the runs share no scored sample.
    """
    if not a.classes == b.classes == len(label_space):
        raise UsageError(
            f"The runs {runs[0]} and {runs[1]} were not counted in the {len(label_space)} classes "
            f"of {label_space.name}; name a mapping that joins their label spaces."
        )
    known = set(b.sample_ids)
    common = [sample_id for sample_id in a.sample_ids if sample_id in known]
    if not common and (len(a) or len(b)):
        raise UsageError(
            f"The runs {runs[0]} and {runs[1]} have no scored image in common; "
            "run both models on the same images."
        )
    a, b = a.take(common), b.take(common)
    totals = a.class_totals(), b.class_totals()
    low, high = percentile_interval(b.draws() - a.draws())
    ious = [scores.iou(entry).tolist() for entry in totals]
    return Comparison(
        label_space=label_space,
        runs=runs,
        scored=len(common),
        pooled=(_pooled(totals[0]), _pooled(totals[1])),
        miou_interval=(float(low[0]), float(high[0])),
        classes=tuple(
            ClassDelta(
                index,
                name,
                (ious[0][index], ious[1][index]),
                ious[1][index] - ious[0][index],
                (float(low[1 + index]), float(high[1 + index])),
            )
            for index, name in enumerate(label_space.names)
        ),
        samples=_sample_pairs(a, b),
    )


def _pooled(totals: scores.ClassTotals) -> dict[str, float]:
    return {
        "miou": float(scores.mean_iou(totals)),
        "pixel_accuracy": float(scores.pixel_accuracy(totals)),
        "mean_accuracy": float(scores.mean_accuracy(totals)),
        "fw_iou": float(scores.frequency_weighted_iou(totals)),
        "dice": float(scores.mean_defined(scores.dice(totals))),
    }


def _sample_pairs(a: RunTable, b: RunTable) -> tuple[SamplePair, ...]:
    columns = []
    below = np.arange(LEVELS) < (LEVELS - 1) * CONFIDENT_BELOW
    for table in (a, b):
        labelled = table.totals.target.sum(-1)
        sure = table.entropy[:, 1, below].sum(-1, dtype=np.int64)
        shares = np.divide(sure, labelled, out=np.full(len(table), np.nan), where=labelled > 0)
        columns.append(scores.mean_iou(table.totals).tolist())
        columns.append(scores.pixel_accuracy(table.totals).tolist())
        columns.append(shares.tolist())
    rows = zip(a.sample_ids, *columns, strict=True)
    return tuple(
        SamplePair(sample_id, (miou_a, miou_b), (right_a, right_b), (sure_a, sure_b))
        for sample_id, miou_a, right_a, sure_a, miou_b, right_b, sure_b in rows
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _numbers(values: Iterable[float]) -> list[float | None]:
    return [_number(value) for value in values]


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Return the document that ``segstudio compare --json`` prints.

    ::

        {"label_space":, "samples":, "difference": "b - a",
         "runs": [{"run":, "pooled": {"miou":, "pixel_accuracy":, "mean_accuracy":, "fw_iou":,
                   "dice":}}, ... two: a, b],
         "delta": {"miou":, "miou_interval": [lo, hi], "pixel_accuracy":, "mean_accuracy":,
                   "fw_iou":, "dice":,
                   "classes": [{"index":, "name":, "iou": [a, b], "delta":, "interval": [lo, hi]}]},
         "per_sample": [{"sample_id":, "miou": [a, b], "delta":, "pixel_accuracy": [a, b],
                         "confident_errors": [a, b]}],
         "a_wins": [ids], "b_wins": [ids], "both_fail": [ids],
         "agreement": {"samples":, "pixels":, "agree":, "disagree":, "share":,
                       "matrix": [[...]], "b_ignores": [...],
                       "truth": {"labelled":, "both_right":, "only_a_right":, "only_b_right":,
                                 "both_wrong_same":, "both_wrong_different":,
                                 "both_wrong_and_sure":} or null}}

    ``samples`` counts those scored in both runs.  Intervals are 95 % paired bootstrap.
    ``confident_errors`` is the share of labelled pixels that is wrong with entropy below
    0.10 log C, which also orders ``both_fail``.  ``matrix[a][b]`` counts all pixels.  A number
    that does not exist is null; without a single label map ``agreement`` is null.
    """
    first, second = comparison.pooled
    delta: dict[str, Any] = {name: _number(second[name] - first[name]) for name in first}
    delta["miou_interval"] = _numbers(comparison.miou_interval)
    delta["classes"] = [
        {
            "index": entry.index,
            "name": entry.name,
            "iou": _numbers(entry.iou),
            "delta": _number(entry.delta),
            "interval": _numbers(entry.interval),
        }
        for entry in comparison.classes
    ]
    return {
        "label_space": comparison.label_space.name,
        "samples": comparison.scored,
        "difference": "b - a",
        "runs": [
            {"run": run, "pooled": {name: _number(value) for name, value in pooled.items()}}
            for run, pooled in zip(comparison.runs, comparison.pooled, strict=True)
        ],
        "delta": delta,
        "per_sample": [
            {
                "sample_id": entry.sample_id,
                "miou": _numbers(entry.miou),
                "delta": _number(entry.delta),
                "pixel_accuracy": _numbers(entry.pixel_accuracy),
                "confident_errors": _numbers(entry.sure_errors),
            }
            for entry in comparison.samples
        ],
        "a_wins": [entry.sample_id for entry in comparison.wins(0)],
        "b_wins": [entry.sample_id for entry in comparison.wins(1)],
        "both_fail": [entry.sample_id for entry in comparison.both_fail()],
        "agreement": agreement_json(comparison.agreement),
    }
