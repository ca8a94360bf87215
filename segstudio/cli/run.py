"""``segstudio run``: models over a dataset, results written as they come."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segstudio.cli.common import (
    DatasetArgument,
    ModelsOption,
    RunOptions,
    load_plugins,
    open_run_dataset,
    read_mapping,
    say,
)
from segstudio.cli.forms import with_options
from segstudio.core.errors import CancelledError, UsageError

if TYPE_CHECKING:
    from segstudio.cli.progress import RunDisplay
    from segstudio.datasets.base import Dataset
    from segstudio.session.runner import RunRequest

__all__ = ["build_request", "execute", "run"]


def build_request(dataset: Dataset, models: Sequence[str], options: RunOptions) -> RunRequest:
    """Return the request of a command; every model is looked for before the first one runs.

    Raises
    ------
    UnknownNameError
        When a model is neither a name nor an existing path.
    WriteError
        When the project's folder cannot be made.
    """
    from segstudio.core.label_space import load_label_space
    from segstudio.inference.catalogue import find_model, member_names
    from segstudio.project.layout import ProjectLayout, choose_project_folder
    from segstudio.session.runner import RunRequest

    mapping = read_mapping(options.mapping)
    meaning = options.model_label_space
    space = None if meaning is None else load_label_space(meaning)
    for model in models:
        for member in member_names(model):
            find_model(member)
    project = None if options.project is None else Path(options.project)
    folder, note = choose_project_folder(dataset.root, project)
    if note is not None:
        say(note)
    if options.repair:
        _repair(ProjectLayout(folder).database)
    return RunRequest(
        dataset,
        tuple(models),
        folder,
        device=options.device,
        precision=options.precision,
        window=options.window,
        refine=options.refine,
        model_label_space=space,
        restart=options.restart,
        mapping=mapping,
        save_scores=None if options.save_scores is None else Path(options.save_scores),
        batch=options.batch,
        tta=options.tta,
        engine=options.engine,
    )


def _repair(database: Path) -> None:
    """Put what can be read of a damaged project file in its place, and say so."""
    from segstudio.project.opening import repair_store

    aside = repair_store(database)
    if aside is not None:
        say(f"The damaged project file is kept as {aside}; what could be read of it goes on.")


def execute(request: RunRequest, display: RunDisplay) -> list[str]:
    """Run a request and return the names of its runs.

    Raises
    ------
    CancelledError
        When the user interrupted it; says what is done.
    """
    from segstudio.session.runner import run_models

    names = run_models(request, display, cancelled=display.cancelled)
    if display.cancelled():
        done = sum(entry.done for entry in display.finished)
        total = len(request.dataset) * len(request.models)
        raise CancelledError(
            f"Interrupted: {done} of {total} predictions are done and kept; "
            "run the command again to go on."
        )
    return names


@with_options(RunOptions, "options")
def run(dataset: DatasetArgument, model: ModelsOption = None, *, options: RunOptions) -> int:
    """Run models over a dataset; started again, it does only what is left."""
    options.check()
    if not model:
        raise UsageError("Name at least one model with -m; `segstudio list models` shows them.")
    load_plugins()
    request = build_request(open_run_dataset(dataset, options), model, options)

    from segstudio.cli.progress import RunDisplay

    with RunDisplay() as display:
        execute(request, display)
    _print_summary(request, display)
    return 1 if display.failed else 0


def _print_summary(request: RunRequest, display: RunDisplay) -> None:
    """Print one line per run, the scores of all its images, and where the results are."""
    from segstudio.cli.tables import format_table, percent
    from segstudio.project.layout import ProjectLayout
    from segstudio.project.store import Store

    layout = ProjectLayout(request.project)
    wanted = {sample.sample_id for sample in request.dataset.samples}
    store = Store(layout.database)
    try:
        rows = []
        for begun, ended in zip(display.started, display.finished, strict=True):
            known = store.mious(ended.run).items()
            scores = [value for key, value in known if key in wanted and value is not None]
            mean = percent(sum(scores) / len(scores)) if scores else "-"
            rows.append([ended.run, begun.model, ended.done, ended.failed, mean])
    finally:
        store.close()
    header = ["run", "model", "done", "failed", "mean of per-image mIoU (%)"]
    print(format_table(header, rows, right=(2, 3, 4)))
    for ended in display.finished:
        print(f"Results: {layout.run_folder(ended.run)}")
