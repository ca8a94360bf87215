"""The demo without a window: run, score, and draw a figure of every image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segstudio.core.errors import SegStudioError
from segstudio.datasets.base import Dataset
from segstudio.datasets.encoding import write_image
from segstudio.datasets.images import read_source_map
from segstudio.metrics.report import EvaluationReport
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import RunRecord, Store
from segstudio.session.evaluation import evaluate_runs
from segstudio.session.figures import FigureContent, draw_figure
from segstudio.session.report_files import write_report

__all__ = ["DEMO_MODELS", "DemoResult", "finish_demo"]

DEMO_MODELS = ("enet-camvid",)
"""The embedded models that the demo runs."""


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo left behind.

    Attributes
    ----------
    report : EvaluationReport
    figures : tuple of Path
        One picture per image and run.
    failed : tuple of (str, str)
        Samples without a figure, and why.
    """

    report: EvaluationReport
    figures: tuple[Path, ...]
    failed: tuple[tuple[str, str], ...]


def finish_demo(
    dataset: Dataset,
    project: Path,
    runs: Sequence[str],
    output: Path,
    *,
    cancelled: Callable[[], bool] = lambda: False,
) -> DemoResult:
    """Score runs that are done, draw their figures and write the tables.

    Parameters
    ----------
    dataset : Dataset
        The demo's.
    project : Path
        Folder of its project.
    runs : sequence of str
        Names of the runs.
    output : Path
        Receives ``figures/`` and ``scores/``.
    cancelled : callable
        Asked before each figure.

    Raises
    ------
    SegStudioError
        When nothing can be scored or written.
    """
    layout = ProjectLayout(project)
    store = Store(layout.database)
    try:
        report = evaluate_runs(dataset, store, layout, runs)
        write_report(report, output / "scores")
        figures: list[Path] = []
        failed = list(report.failed)
        for record in (store.run(run) for run in runs):
            for sample in dataset.samples:
                if cancelled():
                    break
                name = sample.sample_id.rpartition("/")[2].rpartition(".")[0]
                path = output / "figures" / f"{name}-{record.run}.png"
                try:
                    content = _content(dataset, layout, record, sample.sample_id)
                except SegStudioError as error:
                    failed.append((sample.sample_id, str(error)))
                    continue
                write_image(path, draw_figure(content), durable=False)
                figures.append(path)
    finally:
        store.close()
    return DemoResult(report, tuple(figures), tuple(failed))


def _content(
    dataset: Dataset, layout: ProjectLayout, record: RunRecord, sample_id: str
) -> FigureContent:
    sample = dataset.sample(sample_id)
    has_target = sample.target_path is not None
    return FigureContent(
        title=sample_id.rpartition("/")[2],
        model=record.run,
        image=dataset.read_image(sample),
        prediction=read_source_map(layout.layer(record.run, "labels", sample_id)),
        entropy=read_source_map(layout.layer(record.run, "entropy", sample_id)).astype(np.uint8),
        label_space=record.label_space,
        target=dataset.read_target(sample, record.label_space) if has_target else None,
        note="" if has_target else "Out of distribution: nothing like it was in the training data.",
    )
