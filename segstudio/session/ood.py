"""Models on data they were not made for, and what is written about it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from segstudio.analysis.anomaly import SMALLEST_PREDICTED, SMALLEST_TARGET
from segstudio.analysis.ood import score_categories
from segstudio.analysis.ood_report import OodRun, ood_json
from segstudio.core.atomic import write_text
from segstudio.core.label_space import LabelMapping
from segstudio.datasets.base import Dataset
from segstudio.metrics.counts import SampleCounts
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import Store
from segstudio.session.ood_counts import OodAnalysis
from segstudio.session.report_files import csv_text
from segstudio.session.targets import category_space

__all__ = ["analyse_ood", "category_space", "write_ood_report"]

Progress = Callable[[int, int], None]


def analyse_ood(
    dataset: Dataset,
    store: Store,
    layout: ProjectLayout,
    run: str,
    mapping: LabelMapping,
    *,
    in_distribution: Sequence[SampleCounts] | None = None,
    smallest: tuple[int, int] = (SMALLEST_TARGET, SMALLEST_PREDICTED),
    progress: Progress = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[OodRun, list[tuple[str, str]]]:
    """Analyse one stored run; what was counted before is not read again.

    Parameters
    ----------
    dataset : Dataset
        With ground truth in the label space that the mapping starts at.
    store, layout : Store, ProjectLayout
        The project that holds the run.
    run : str
    mapping : LabelMapping
        From the categories to the run's label space.
    in_distribution : sequence of SampleCounts, optional
        The same model's counts on data that it was made for.
    smallest : (int, int)
        Pixels below which a component of the ground truth, and a predicted one, is left out.
    progress : callable
        Receives (samples read, samples to read); components take a second pass.
    cancelled : callable
        Asked before each sample.

    Returns
    -------
    OodRun
    list of (str, str)
        Sample id and reason of what could not be counted.

    Raises
    ------
    UsageError
        When the mapping does not lead from the ground truth to the run's label space, or no
        sample has both.
    CancelledError
        When it was cancelled.
    """
    analysis = OodAnalysis(dataset, store, layout)
    total = analysis.missing(run, mapping, smallest=smallest)
    done = itertools.count()
    failed = analysis.analyse(
        run,
        mapping,
        smallest=smallest,
        step=lambda _problem, _sample_id: progress(next(done), total),
        cancelled=cancelled,
    )
    result = analysis.result(run, mapping, in_distribution=in_distribution, smallest=smallest)
    return result, failed


def write_ood_report(
    runs: Sequence[OodRun], failed: Sequence[tuple[str, str]], folder: Path
) -> list[Path]:
    """Write ``ood.json`` and ``categories.csv``; a number that does not exist is an empty cell.

    Raises
    ------
    WriteError
        When a file or the folder cannot be written.
    """
    header = ["run", "category", "mapped_to", "images", "pixels", "recall", "recall_first"]
    header += ["confused_with", "mean_entropy", "confident_error_share"]
    rows = [
        [
            run.run,
            entry.name,
            "|".join(entry.mapped_to),
            entry.images,
            entry.pixels,
            entry.recall,
            entry.recall_first,
            "|".join(f"{name}={share!r}" for name, share in entry.confused_with),
            entry.mean_entropy,
            entry.confident_error_share,
        ]
        for run in runs
        for entry in score_categories(run.categories, run.counts)
    ]
    content = {
        "ood.json": json.dumps(ood_json(runs, failed), indent=1, allow_nan=False) + "\n",
        "categories.csv": csv_text(header, rows),
    }
    for name, text in content.items():
        write_text(folder / name, text)
    return [folder / name for name in content]
