"""An evaluation report as files that spreadsheets and scripts read."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from segstudio.core.atomic import write_text
from segstudio.metrics.report import EvaluationReport

__all__ = ["class_rows", "csv_text", "write_report"]


def write_report(report: EvaluationReport, folder: Path) -> list[Path]:
    """Write ``report.json``, ``classes.csv``, ``samples.csv`` and ``confusion.csv``.

    Each file is written beside its place and renamed.  A number that does not exist is an empty
    cell.  Rows of ``confusion.csv`` are target classes, columns predicted ones, the last column
    the pixels that were predicted as ignored.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    WriteError
        When a file or the folder cannot be written.
    """
    content = {
        "report.json": json.dumps(report.to_json(), indent=1, allow_nan=False) + "\n",
        "classes.csv": csv_text(*class_rows(report)),
        "samples.csv": csv_text(*_sample_rows(report)),
        "confusion.csv": csv_text(*_confusion_rows(report)),
    }
    for name, text in content.items():
        write_text(folder / name, text)
    return [folder / name for name in content]


def class_rows(report: EvaluationReport) -> tuple[list[str], list[list[object]]]:
    """Return header and rows of the table of classes, pooled."""
    header = ["run", "index", "name", "iou", "iou_low", "iou_high", "accuracy", "precision"]
    header += ["dice", "target_pixels", "predicted_pixels"]
    rows: list[list[object]] = [
        [
            run.run,
            entry.index,
            entry.name,
            entry.iou,
            *entry.iou_interval,
            entry.accuracy,
            entry.precision,
            entry.dice,
            entry.target_pixels,
            entry.predicted_pixels,
        ]
        for run in report.runs
        for entry in run.classes
    ]
    return header, rows


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return comma-separated lines; NaN becomes an empty cell."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow(
            ["" if isinstance(cell, float) and math.isnan(cell) else cell for cell in row]
        )
    return buffer.getvalue()


def _sample_rows(report: EvaluationReport) -> tuple[list[str], list[list[object]]]:
    names = report.label_space.names
    rows: list[list[object]] = []
    for run in report.runs:
        for entry in run.per_sample:
            known = dict(entry.classes)
            ious = [known.get(name, math.nan) for name in names]
            rows.append([run.run, entry.sample_id, entry.miou, entry.pixel_accuracy, *ious])
    return ["run", "sample_id", "miou", "pixel_accuracy", *names], rows


def _confusion_rows(report: EvaluationReport) -> tuple[list[str], list[list[object]]]:
    names = report.label_space.names
    rows: list[list[object]] = [
        [run.run, name, *counts]
        for run in report.runs
        for name, counts in zip(names, run.confusion.tolist(), strict=True)
    ]
    return ["run", "target", *names, "ignored"], rows
