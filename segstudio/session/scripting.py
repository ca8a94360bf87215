"""Evaluation as one call, for scripts and the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from segstudio.core.label_space import LabelMapping
from segstudio.datasets.base import Dataset
from segstudio.metrics.report import EvaluationReport
from segstudio.project.layout import ProjectLayout, choose_project_folder
from segstudio.project.store import Store
from segstudio.session.evaluation import evaluate_runs
from segstudio.session.events import RunEvent
from segstudio.session.runner import RunRequest, run_models

__all__ = ["evaluate"]


def evaluate(
    dataset: Dataset,
    models: Sequence[str],
    *,
    project: Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    mapping: LabelMapping | None = None,
    restart: bool = False,
    report: Callable[[RunEvent], None] = lambda event: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> EvaluationReport:
    """Run models over a dataset where that is not done yet, and score them.

    Parameters
    ----------
    dataset : Dataset
        As `segstudio.api.open_dataset` returns.
    models : sequence of str
        Names of embedded models or paths of checkpoints.
    project : Path, optional
        Where results are kept; by default beside the dataset.
    device, precision : str
        See `segstudio.inference.devices`.
    mapping : LabelMapping, optional
        Between the dataset's label space and the models'.
    restart : bool
        Whether to predict again what is stored.
    report, cancelled : callable
        See `segstudio.session.runner.run_models`.

    Raises
    ------
    SegStudioError
        When nothing can be run or scored; samples that fail are in the report.
    """
    folder, _ = choose_project_folder(dataset.root, project)
    request = RunRequest(
        dataset,
        tuple(models),
        folder,
        device=device,
        precision=precision,
        restart=restart,
        mapping=mapping,
        must_score=True,
    )
    runs = run_models(request, report, cancelled=cancelled)
    layout = ProjectLayout(folder)
    store = Store(layout.database)
    try:
        return evaluate_runs(dataset, store, layout, runs, mapping=mapping)
    finally:
        store.close()
