"""The evaluation report: every number that a table, the command line or the window shows.

One place computes them, from stored counts and without a pixel, so no two screens can disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segstudio.core.label_space import LabelSpace
from segstudio.metrics import scores, uncertainty
from segstudio.metrics.counts import SampleCounts, sum_counts
from segstudio.metrics.definitions import DEFINITIONS

__all__ = [
    "DEFINITIONS",
    "ClassScores",
    "EvaluationReport",
    "RunCounts",
    "RunReport",
    "SampleScores",
    "ScoreRow",
    "Uncertainty",
    "build_report",
    "format_tables",
]


class RunCounts(NamedTuple):
    """One run's counts: its name, its model's name, and (sample id, counts) of each sample.

    ``uncertainty`` is False for a run that has label maps only.
    """

    run: str
    model: str
    samples: Sequence[tuple[str, SampleCounts]]
    uncertainty: bool = True


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Pooled scores of one class; NaN where a number does not exist."""

    index: int
    name: str
    iou: float
    iou_interval: tuple[float, float]
    accuracy: float
    precision: float
    dice: float
    target_pixels: int
    predicted_pixels: int


@dataclass(frozen=True, slots=True)
class SampleScores:
    """Scores of one sample's own counts.

    Attributes
    ----------
    classes : tuple of (str, float)
        Name and IoU of the classes that the target or the prediction holds.
    """

    sample_id: str
    miou: float
    pixel_accuracy: float
    classes: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """Pooled numbers of `segstudio.metrics.uncertainty`; NaN where one does not exist."""

    ece: float
    auroc: float
    auprc: float
    fpr95: float
    ause: float
    edge_entropy_ratio: float
    confident_error_share: float


@dataclass(frozen=True, slots=True, eq=False)
class RunReport:
    """What one run scored.

    Attributes
    ----------
    run, model : str
        Names.
    miou, pixel_accuracy, mean_accuracy, fw_iou, dice : float
        Pooled over all samples; means are over classes.
    miou_interval : (float, float)
        95 % bootstrap interval over samples; NaN with fewer than two.
    per_image_miou : float
        Mean over samples of each sample's own mean IoU.
    classes : tuple of ClassScores
        Pooled, by class index.
    confusion : ndarray of shape (C, C + 1), int64
        Pooled; the last column counts ignored predictions.
    per_sample : tuple of SampleScores
        In the order given.
    uncertainty : Uncertainty or None
        None where only label maps were scored.
    pooled : SampleCounts
        All counts added up, for plots.
    """

    run: str
    model: str
    miou: float
    pixel_accuracy: float
    mean_accuracy: float
    fw_iou: float
    dice: float
    miou_interval: tuple[float, float]
    per_image_miou: float
    classes: tuple[ClassScores, ...]
    confusion: NDArray[np.int64]
    per_sample: tuple[SampleScores, ...]
    uncertainty: Uncertainty | None
    pooled: SampleCounts


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationReport:
    """Scores of one or several runs over the same label space.

    Attributes
    ----------
    label_space : LabelSpace
        What the class indices mean.
    samples : int
        Samples that at least one run was scored on.
    failed : tuple of (str, str)
        Sample id and reason of what could not be scored.
    runs : tuple of RunReport
        In the order given.
    """

    label_space: LabelSpace
    samples: int
    failed: tuple[tuple[str, str], ...]
    runs: tuple[RunReport, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the document that ``segstudio evaluate --json`` prints; NaN becomes None."""
        return {
            "label_space": self.label_space.name,
            "samples": self.samples,
            "failed": [
                {"sample_id": sample_id, "error": error} for sample_id, error in self.failed
            ],
            "runs": [_run_json(run) for run in self.runs],
        }


def build_report(
    label_space: LabelSpace,
    runs: Iterable[RunCounts | tuple[str, str, Sequence[tuple[str, SampleCounts]]]],
    failed: Iterable[tuple[str, str]] = (),
    *,
    uncertainty: bool = True,
) -> EvaluationReport:
    """Score runs.

    Parameters
    ----------
    label_space : LabelSpace
        What the counts' classes are.
    runs : iterable of RunCounts
        One or several; plain (run, model, samples) tuples do.
    failed : iterable of (str, str)
        Sample id and the reason, one plain sentence.
    uncertainty : bool
        False where there was no network, only label maps: leaves out what needs one.

    Raises
    ------
    UsageError
        When counts belong to another number of classes.
    """
    entries = [RunCounts(*entry) for entry in runs]
    scored = {sample_id for entry in entries for sample_id, _ in entry.samples}
    return EvaluationReport(
        label_space=label_space,
        samples=len(scored),
        failed=tuple((str(sample_id), str(error)) for sample_id, error in failed),
        runs=tuple(_score_run(label_space, entry, uncertainty) for entry in entries),
    )


def _score_run(space: LabelSpace, entry: RunCounts, uncertainty_too: bool) -> RunReport:
    counts = [sample for _, sample in entry.samples]
    totals = scores.sample_totals(counts, len(space))
    pooled = sum_counts(counts, classes=len(space))
    confusion = pooled.confusion()
    low, high = scores.bootstrap_interval(totals, _means_and_classes)
    own_miou = scores.mean_iou(totals)
    return RunReport(
        run=entry.run,
        model=entry.model,
        miou=float(scores.mean_iou(confusion)),
        pixel_accuracy=float(scores.pixel_accuracy(confusion)),
        mean_accuracy=float(scores.mean_accuracy(confusion)),
        fw_iou=float(scores.frequency_weighted_iou(confusion)),
        dice=float(scores.mean_defined(scores.dice(confusion))),
        miou_interval=(float(low[0]), float(high[0])),
        per_image_miou=float(scores.mean_defined(own_miou)),
        classes=_class_scores(space, confusion, low[1:], high[1:]),
        confusion=confusion,
        per_sample=_sample_scores(space, entry, totals, own_miou),
        uncertainty=_uncertainty(pooled) if uncertainty_too and entry.uncertainty else None,
        pooled=pooled,
    )


def _means_and_classes(totals: scores.ClassTotals) -> NDArray[np.float64]:
    """Return mean IoU, then the IoU of each class, shape (D, 1 + C)."""
    per_class = scores.iou(totals)
    return np.concatenate([scores.mean_defined(per_class)[:, None], per_class], axis=1)


def _class_scores(
    space: LabelSpace,
    confusion: NDArray[np.int64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> tuple[ClassScores, ...]:
    totals = scores.class_totals(confusion)
    ious, dices = scores.iou(totals), scores.dice(totals)
    accuracies, precisions = scores.class_accuracy(totals), scores.precision(totals)
    return tuple(
        ClassScores(
            index=index,
            name=name,
            iou=float(ious[index]),
            iou_interval=(float(low[index]), float(high[index])),
            accuracy=float(accuracies[index]),
            precision=float(precisions[index]),
            dice=float(dices[index]),
            target_pixels=int(totals.target[index]),
            predicted_pixels=int(totals.predicted[index]),
        )
        for index, name in enumerate(space.names)
    )


def _sample_scores(
    space: LabelSpace,
    entry: RunCounts,
    totals: scores.ClassTotals,
    miou: NDArray[np.float64],
) -> tuple[SampleScores, ...]:
    names = space.names
    ious = scores.iou(totals)
    accuracy = scores.pixel_accuracy(totals)
    present = totals.union > 0
    return tuple(
        SampleScores(
            sample_id=sample_id,
            miou=float(miou[place]),
            pixel_accuracy=float(accuracy[place]),
            classes=tuple(
                (names[index], float(ious[place, index]))
                for index in np.flatnonzero(present[place]).tolist()
            ),
        )
        for place, (sample_id, _) in enumerate(entry.samples)
    )


def _uncertainty(pooled: SampleCounts) -> Uncertainty:
    entropy = pooled.entropy_histogram
    return Uncertainty(
        ece=uncertainty.ece(pooled.confidence_histogram),
        auroc=uncertainty.auroc(entropy),
        auprc=uncertainty.auprc(entropy),
        fpr95=uncertainty.fpr95(entropy),
        ause=uncertainty.ause(entropy),
        edge_entropy_ratio=uncertainty.edge_entropy_ratio(pooled),
        confident_error_share=uncertainty.confident_error_share(entropy),
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _run_json(run: RunReport) -> dict[str, Any]:
    document: dict[str, Any] = {
        "run": run.run,
        "model": run.model,
        "pooled": {
            "miou": _number(run.miou),
            "pixel_accuracy": _number(run.pixel_accuracy),
            "mean_accuracy": _number(run.mean_accuracy),
            "fw_iou": _number(run.fw_iou),
            "dice": _number(run.dice),
            "miou_interval": [_number(end) for end in run.miou_interval],
            "classes": [
                {
                    "index": entry.index,
                    "name": entry.name,
                    "iou": _number(entry.iou),
                    "accuracy": _number(entry.accuracy),
                    "precision": _number(entry.precision),
                    "dice": _number(entry.dice),
                    "target_pixels": entry.target_pixels,
                    "predicted_pixels": entry.predicted_pixels,
                }
                for entry in run.classes
            ],
        },
        "confusion": run.confusion[:, :-1].tolist(),
        "predicted_ignore": run.confusion[:, -1].tolist(),
        "per_sample": [
            {
                "sample_id": entry.sample_id,
                "miou": _number(entry.miou),
                "pixel_accuracy": _number(entry.pixel_accuracy),
                "classes": {name: _number(value) for name, value in entry.classes},
            }
            for entry in run.per_sample
        ],
    }
    if run.uncertainty is not None:
        document["uncertainty"] = {
            name: _number(getattr(run.uncertainty, name)) for name in Uncertainty.__slots__
        }
    return document


class ScoreRow(NamedTuple):
    """One line of a score table; NaN where a number does not exist.

    ``kind`` is "class" for a class, "mean" for the last line of a run: there ``iou``, ``accuracy``
    and ``precision`` are means over classes of pooled scores, ``pixels`` all labelled pixels.
    """

    run: str
    model: str
    kind: str
    name: str
    iou: float
    accuracy: float
    precision: float
    pixels: int


def format_tables(report: EvaluationReport) -> list[ScoreRow]:
    """Return the per-class table of each run as plain rows, the mean over classes last."""
    rows = []
    for run in report.runs:
        rows += [
            ScoreRow(
                run.run,
                run.model,
                "class",
                entry.name,
                entry.iou,
                entry.accuracy,
                entry.precision,
                entry.target_pixels,
            )
            for entry in run.classes
        ]
        precision = float(scores.mean_defined(scores.precision(run.confusion)))
        rows.append(
            ScoreRow(
                run.run,
                run.model,
                "mean",
                "mean over classes (pooled)",
                run.miou,
                run.mean_accuracy,
                precision,
                int(run.confusion.sum()),
            )
        )
    return rows
