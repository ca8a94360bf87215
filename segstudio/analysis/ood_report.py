"""The out-of-distribution report as the JSON that ``segstudio ood`` prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from segstudio.analysis.anomaly import ComponentScores, Shift, number
from segstudio.analysis.ood import (
    Categories,
    CategoryCounts,
    Detection,
    detect,
    score_categories,
)

__all__ = ["OodRun", "ood_json"]


@dataclass(frozen=True, slots=True, eq=False)
class OodRun:
    """Everything about one model on out-of-distribution data.

    Attributes
    ----------
    run, model : str
        Names.
    categories : Categories
    counts : CategoryCounts
        Added up over samples.
    samples : int
        How many.
    components : ComponentScores or None
        Of the components out of the label space; None when there are none.
    shift : Shift or None
        Against data that the model was made for.
    """

    run: str
    model: str
    categories: Categories
    counts: CategoryCounts
    samples: int
    components: ComponentScores | None = None
    shift: Shift | None = None


def ood_json(runs: Sequence[OodRun], failed: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
    """Return the document that ``segstudio ood --json`` prints.

    ::

        {"failed": [{"sample_id":, "error":}],
         "runs": [{"run":, "model":, "label_space":, "source":, "samples":,
           "categories": [{"name":, "mapped_to":, "also_right": [...], "images":, "pixels":,
             "recall":, "recall_first":, "confused_with": [{"name":, "share":}],
             "mean_entropy":, "confident_error_share":}],
           "detection": {"auroc":, "auprc":, "fpr95":,
             "confidence": {"auroc":, "auprc":, "fpr95":},
             "components": {"threshold":, "siou":, "ppv":, "f1":, "targets":, "predicted":}},
           "shift": {"auroc":, "in_accuracy":, "out_accuracy":, "accuracy_drop":,
             "accuracy_drop_interval": [lo, hi], "in_mean_entropy":, "out_mean_entropy":,
             "in_entropy": [256 counts], "out_entropy": [256 counts]}}]}

    Categories are those that have pixels.  ``mapped_to`` is the class a category becomes, null
    out of the label space; ``also_right`` the other classes that its mapping allows.  ``recall``
    counts all of these, ``recall_first`` only ``mapped_to``.  Shares of ``confused_with`` are of
    all pixels of the category.  Entropy is in units of log C.  ``detection`` is by entropy, its
    ``confidence`` part by 1 - confidence; ``components`` is null without components out of the
    label space, ``shift`` null without ``--in-distribution``.
    """
    return {
        "failed": [{"sample_id": sample_id, "error": error} for sample_id, error in failed],
        "runs": [_run_json(run) for run in runs],
    }


def _run_json(run: OodRun) -> dict[str, Any]:
    by_entropy, by_confidence = detect(run.categories, run.counts)
    detection: dict[str, Any] = _detection_json(by_entropy)
    detection["confidence"] = _detection_json(by_confidence)
    detection["components"] = None if run.components is None else run.components.to_json()
    return {
        "run": run.run,
        "model": run.model,
        "label_space": run.categories.target.name,
        "source": run.categories.source.name,
        "samples": run.samples,
        "categories": [
            {
                "name": entry.name,
                "mapped_to": entry.mapped_to[0] if entry.mapped_to else None,
                "also_right": list(entry.mapped_to[1:]),
                "images": entry.images,
                "pixels": entry.pixels,
                "recall": number(entry.recall),
                "recall_first": number(entry.recall_first),
                "confused_with": [
                    {"name": name, "share": share} for name, share in entry.confused_with
                ],
                "mean_entropy": number(entry.mean_entropy),
                "confident_error_share": number(entry.confident_error_share),
            }
            for entry in score_categories(run.categories, run.counts)
        ],
        "detection": detection,
        "shift": None if run.shift is None else run.shift.to_json(),
    }


def _detection_json(detection: Detection) -> dict[str, Any]:
    return {name: number(getattr(detection, name)) for name in ("auroc", "auprc", "fpr95")}
