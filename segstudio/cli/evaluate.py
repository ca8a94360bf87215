"""``segstudio evaluate``: run what is not run yet, and score it against the ground truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segstudio.cli.common import (
    DatasetArgument,
    JsonFlag,
    ModelsOption,
    RunOptions,
    find_project,
    load_plugins,
    open_run_dataset,
    open_to_read,
    read_mapping,
    say,
)
from segstudio.cli.forms import with_options
from segstudio.cli.run import build_request, execute
from segstudio.core.errors import CancelledError, UsageError

if TYPE_CHECKING:
    from segstudio.cli.progress import RunDisplay
    from segstudio.core.label_space import LabelMapping
    from segstudio.datasets.base import Dataset
    from segstudio.metrics.report import EvaluationReport
    from segstudio.session.report_html import ReportSource

__all__ = ["evaluate"]


@with_options(RunOptions, "options")
def evaluate(
    dataset: DatasetArgument,
    model: ModelsOption = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also write report.html there (scores, plots and failures in one file; error "
            "regions are found first), "
            "report.json, classes.csv, samples.csv and confusion.csv.",
        ),
    ] = None,
    json: JsonFlag = False,
    *,
    options: RunOptions,
) -> int:
    """Score models on a dataset; without -m, the runs that its project already holds."""
    from segstudio.cli.progress import RunDisplay
    from segstudio.cli.reports import print_report, say_failures
    from segstudio.cli.tables import print_json

    options.check()
    load_plugins()
    opened = open_run_dataset(dataset, options)
    if not opened.has_targets:
        raise UsageError(
            f"{opened.root} has no ground truth to evaluate against; "
            "name a folder of label maps with --ground-truth."
        )
    with RunDisplay() as display:
        result, folder, mapping = _evaluate(opened, model or [], options, display)
    # An image that failed is also one that has no score, whether it has ground truth or not.
    known = {sample_id for sample_id, _ in result.failed}
    lost = {entry.sample_id: entry.error for entry in display.failed}
    extra = [(key, error) for key, error in lost.items() if key not in known]
    result = replace(result, failed=tuple(sorted((*result.failed, *extra))))
    told = {entry.sample_id for entry in display.failed}
    told |= {entry.sample_id for entry in display.unscored}
    say_failures([entry for entry in result.failed if entry[0] not in told])
    if report is not None:
        _write_report(result, report, opened, folder, mapping)
        say(f"The report is in {report}.")
    if json:
        print_json(result.to_json())
    else:
        print_report(result)
    return 1 if result.failed else 0


def _write_report(
    result: EvaluationReport,
    folder: Path,
    dataset: Dataset,
    project: Path,
    mapping: LabelMapping | None,
) -> None:
    from segstudio.project.layout import ProjectLayout
    from segstudio.project.store import Store
    from segstudio.session.report_files import write_report
    from segstudio.session.report_html import ReportSource, write_html_report

    write_report(result, folder)
    layout = ProjectLayout(project)
    store = Store(layout.database)
    try:
        source = ReportSource(dataset, store, layout, mapping)
        for run in result.runs:
            _find_errors(run.run, source)
        write_html_report(result, folder, source)
    finally:
        store.close()


def _find_errors(run: str, source: ReportSource) -> None:
    """Find the error regions that a run lacks: a report is never without them.

    What cannot be analysed is named; the report counts what can.
    """
    from segstudio.cli.progress import StepDisplay
    from segstudio.session.error_analysis import ErrorAnalysis

    analysis = ErrorAnalysis(source.dataset, source.store, source.layout, mapping=source.mapping)
    missing = analysis.missing(run)
    with StepDisplay(f"error regions of {run}") as display:
        entries = analysis.analyse(run, missing, is_cancelled=display.cancelled)
        for done, entry in enumerate(entries, 1):
            if entry.problem is not None:
                say(f"{entry.sample_id} was not analysed: {entry.problem}")
            display.report(done, len(missing))


def _evaluate(
    dataset: Dataset, models: list[str], options: RunOptions, display: RunDisplay
) -> tuple[EvaluationReport, Path, LabelMapping | None]:
    """Return the report of the named models, or of the runs that are there; project, mapping."""
    from segstudio.project.layout import ProjectLayout
    from segstudio.session.evaluation import evaluate_runs

    if models:
        request = replace(build_request(dataset, models, options), must_score=True)
        runs = execute(request, display)
        folder, mapping = request.project, request.mapping
    else:
        runs = []
        folder = find_project(dataset.root, options.project)
        mapping = read_mapping(options.mapping)

    def count_progress(done: int, total: int) -> None:
        if display.cancelled():
            raise CancelledError("Interrupted: the predictions are kept.")

    layout = ProjectLayout(folder)
    with open_to_read(layout) as store:
        runs = runs or [record.run for record in store.runs()]
        if not runs:
            raise UsageError(f"The project {folder} holds no runs yet; name a model with -m.")
        result = evaluate_runs(
            dataset, store, layout, runs, mapping=mapping, progress=count_progress
        )
        return result, folder, mapping
