"""An evaluation report as text for people."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from segstudio.cli.tables import format_table, percent

if TYPE_CHECKING:
    from segstudio.metrics.report import EvaluationReport, RunReport

__all__ = ["print_report", "say_failures"]


def say_failures(failed: Iterable[tuple[str, str]]) -> None:
    """Name each failed sample with its reason on stderr."""
    for sample_id, error in failed:
        print(f"{sample_id} failed: {error}", file=sys.stderr)


def print_report(report: EvaluationReport) -> None:
    """Print a table of classes and the pooled scores of each run."""
    for number, run in enumerate(report.runs):
        if number:
            print()
        print(_run_text(report, run))
    failed = len(report.failed)
    if failed:
        noun = "image" if failed == 1 else "images"
        print(f"\n{failed} {noun} could not be scored; stderr and --json say why.")


def _run_text(report: EvaluationReport, run: RunReport) -> str:
    title = f"run {run.run}  ·  {report.label_space.name}  ·  {len(run.per_sample)} images"
    rows = [
        [
            entry.name,
            percent(entry.iou),
            percent(entry.accuracy),
            percent(entry.precision),
            f"{entry.target_pixels:,}",
        ]
        for entry in run.classes
    ]
    low, high = (percent(end) for end in run.miou_interval)
    interval = "" if low == "-" else f"  (95 % interval {low} to {high})"
    precisions = [entry.precision for entry in run.classes if entry.precision == entry.precision]
    precision = sum(precisions) / len(precisions) if precisions else None
    rows.append(
        [
            "mean over classes",
            percent(run.miou),
            percent(run.mean_accuracy),
            percent(precision),
            f"{int(run.confusion.sum()):,}",
        ]
    )
    table = format_table(
        ["class", "IoU %", "accuracy %", "precision %", "pixels"],
        rows,
        right=(1, 2, 3, 4),
        rule_before=len(rows) - 1,
    )
    lines = [
        title,
        "",
        table,
        "",
        f"mIoU {percent(run.miou)} %{interval}",
        f"pixel accuracy {percent(run.pixel_accuracy)} %  ·  frequency-weighted IoU "
        f"{percent(run.fw_iou)} %  ·  Dice {percent(run.dice)} %",
        f"mean of per-image mIoU {percent(run.per_image_miou)} %",
    ]
    if run.uncertainty is not None:
        lines.append(
            f"entropy finds errors: AUROC {percent(run.uncertainty.auroc)} %, FPR at 95 % TPR "
            f"{percent(run.uncertainty.fpr95)} %  ·  calibration error (ECE) "
            f"{percent(run.uncertainty.ece)} %"
        )
    lines += [
        "",
        "Pooled: the counts of all images are added up first. A class that neither side holds has",
        "no IoU; one that only the prediction holds scores 0 and counts in the mean.",
    ]
    return "\n".join(lines)
