"""``segstudio ood``: models on things they were not trained on, and whether they notice."""

from __future__ import annotations

from collections.abc import Sequence
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
    read_mapping,
    say,
)
from segstudio.cli.forms import with_options
from segstudio.cli.run import build_request, execute
from segstudio.core.errors import CancelledError, UsageError

if TYPE_CHECKING:
    from segstudio.analysis.ood_report import OodRun
    from segstudio.cli.progress import RunDisplay
    from segstudio.core.label_space import LabelMapping
    from segstudio.datasets.base import Dataset
    from segstudio.metrics.counts import SampleCounts

__all__ = ["ood"]

Failures = list[tuple[str, str]]


@with_options(RunOptions, "options")
def ood(
    dataset: DatasetArgument,
    model: ModelsOption = None,
    in_distribution: Annotated[
        Path | None,
        typer.Option(
            metavar="DATASET",
            help="Data that the models were made for, run as well: how far entropy and accuracy "
            "shift.",
        ),
    ] = None,
    in_split: Annotated[
        str | None, typer.Option(help="Only this split of --in-distribution.")
    ] = None,
    smallest_target: Annotated[
        int, typer.Option(min=0, help="Pixels of the smallest object counted as a component.")
    ] = 100,
    smallest_predicted: Annotated[
        int, typer.Option(min=0, help="Pixels of the smallest flagged component counted.")
    ] = 500,
    report: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also write ood.html, ood.json and categories.csv there."),
    ] = None,
    json: JsonFlag = False,
    *,
    options: RunOptions,
) -> int:
    """Score models on categories that a mapping (--mapping) leads to their classes, or to none.

    DATASET has ground truth in the mapping's source space, or is a COCO instances file or the
    folder that holds one.  Categories that lead to no class are out of the label space; entropy
    and 1 - confidence are scored as detectors of their pixels and, as in SegmentMeIfYouCan, of
    their connected components.

    --json prints {"runs": [{"run", "model", "categories": [{"name", "mapped_to", "also_right",
    "images", "pixels", "recall", "recall_first", "confused_with": [{"name", "share"}],
    "mean_entropy", "confident_error_share"}], "detection": {"auroc", "auprc", "fpr95",
    "confidence", "components": {"siou", "ppv", "f1", ...}}, "shift"}], "failed"}.  Shares are of
    all pixels of the category, entropy is in units of log C, a number that does not exist is null.
    """
    from segstudio.analysis.ood_report import ood_json
    from segstudio.cli.progress import RunDisplay
    from segstudio.cli.reports import say_failures
    from segstudio.cli.tables import print_json

    options.check()
    mapping = read_mapping(options.mapping)
    if mapping is None:
        raise UsageError(
            "Say with --mapping which category is which class; `segstudio list mappings` shows "
            "the mappings there are."
        )
    load_plugins()
    opened = open_run_dataset(dataset, options)
    with RunDisplay() as display:
        results, failed = _analyse(
            opened,
            model or [],
            mapping,
            options,
            display,
            inside=None if in_distribution is None else (in_distribution, in_split),
            smallest=(smallest_target, smallest_predicted),
        )
    told = {entry.sample_id for entry in display.failed}
    say_failures([entry for entry in failed if entry[0] not in told])
    if report is not None:
        from segstudio.session.ood import write_ood_report
        from segstudio.session.report_html import write_ood_html

        write_ood_report(results, failed, report)
        settings = {
            "dataset": opened.root.resolve(),
            "images": len(opened),
            "mapping": mapping.name,
            "in distribution": in_distribution or "–",
            "smallest components": f"{smallest_target} and {smallest_predicted} pixels",
        }
        write_ood_html(results, failed, report, settings=settings)
        say(f"The report is in {report}.")
    if json:
        print_json(ood_json(results, failed))
    else:
        print("\n\n".join(_text(result) for result in results))
    return 1 if failed else 0


def _analyse(
    dataset: Dataset,
    models: Sequence[str],
    mapping: LabelMapping,
    options: RunOptions,
    display: RunDisplay,
    *,
    inside: tuple[Path, str | None] | None,
    smallest: tuple[int, int],
) -> tuple[list[OodRun], Failures]:
    """Run what is not run yet, then make the passes over what is stored."""
    from segstudio.project.layout import ProjectLayout
    from segstudio.project.store import Store
    from segstudio.session.ood import analyse_ood, category_space

    category_space(dataset, mapping)  # what cannot be analysed is not run first
    if inside is not None and not models:
        raise UsageError("Name the models with -m to run them on --in-distribution too.")
    if models:
        request = build_request(dataset, models, options)
        runs, folder = execute(request, display), request.project
    else:
        folder, runs = find_project(dataset.root, options.project), []
    known = None if inside is None else _inside_counts(inside, models, options, display, folder)
    layout = ProjectLayout(folder)
    store = Store(layout.database)
    results: list[OodRun] = []
    failed: dict[str, str] = {}
    try:
        runs = runs or [
            record.run for record in store.runs() if record.label_space.name == mapping.target
        ]
        if not runs:
            raise UsageError(
                f"The project {folder} holds no run in the label space {mapping.target}; name a "
                "model with -m."
            )
        for number, run in enumerate(runs):
            result, problems = analyse_ood(
                dataset,
                store,
                layout,
                run,
                mapping,
                in_distribution=None if known is None else known[number],
                smallest=smallest,
                cancelled=display.cancelled,
            )
            results.append(result)
            failed.update(problems)
    finally:
        store.close()
    return results, sorted(failed.items())


def _inside_counts(
    inside: tuple[Path, str | None],
    models: Sequence[str],
    options: RunOptions,
    display: RunDisplay,
    project: Path,
) -> list[list[SampleCounts]]:
    """Run the models over the data that they were made for; return each one's counts."""
    from segstudio.project.layout import ProjectLayout
    from segstudio.project.store import Store
    from segstudio.session.evaluation import read_run_counts
    from segstudio.session.targets import build_target_reader

    path, split = inside
    here = replace(
        options,
        format=None,
        split=split,
        label_space=None,
        ground_truth=None,
        mapping=None,
        project=None if options.project is None else str(project / "in-distribution"),
        save_scores=None,
    )
    dataset = open_run_dataset(path, here)
    if not dataset.has_targets:
        raise UsageError(f"{path} has no ground truth, so there is no accuracy to compare with.")
    request = build_request(dataset, models, here)
    runs = execute(request, display)
    layout = ProjectLayout(request.project)
    store = Store(layout.database)

    def progress(done: int, total: int) -> None:
        if display.cancelled():
            raise CancelledError("Interrupted: the predictions are kept.")

    try:
        found = []
        for run in runs:
            reader = build_target_reader(dataset, store.run(run).label_space)
            assert reader is not None  # it has ground truth
            samples, _ = read_run_counts(reader, store, layout, run, progress)
            found.append([counts for _, counts in samples])
        return found
    finally:
        store.close()


def _text(result: OodRun) -> str:
    from segstudio.analysis.ood import detect, score_categories
    from segstudio.cli.tables import format_table, percent

    rows = [
        [
            entry.name,
            entry.mapped_to[0] if entry.mapped_to else "(none)",
            entry.images,
            f"{entry.pixels:,}",
            percent(entry.recall),
            ", ".join(f"{name} {percent(share, 0)}" for name, share in entry.confused_with),
            percent(entry.mean_entropy),
            percent(entry.confident_error_share),
        ]
        for entry in score_categories(result.categories, result.counts)
    ]
    header = ["category", "class", "images", "pixels", "recall %", "taken for (% of pixels)"]
    header += ["entropy %", "confident errors %"]
    lines = [
        f"run {result.run}  ·  {result.categories.source.name} seen as "
        f"{result.categories.target.name}  ·  {result.samples} images",
        "",
        format_table(header, rows, right=(2, 3, 4, 6, 7)),
        "",
    ]
    titles = ("entropy", "1 - confidence")
    for title, entry in zip(titles, detect(result.categories, result.counts), strict=True):
        lines.append(
            f"pixels out of the label space by {title}: AUROC {percent(entry.auroc)} %, AUPRC "
            f"{percent(entry.auprc)} %, FPR at 95 % TPR {percent(entry.fpr95)} %"
        )
    if result.components is not None:
        found = result.components
        lines.append(
            f"components out of the label space: sIoU {percent(found.siou)} %, PPV "
            f"{percent(found.ppv)} %, F1 {percent(found.f1)} %  ({found.targets} of at least "
            f"{found.smallest_target} pixels, {found.predicted} flagged of at least "
            f"{found.smallest_predicted})"
        )
    if result.shift is not None:
        shift = result.shift
        low, high = (percent(end) for end in shift.drop_interval)
        lines.append(
            f"against data it was made for: accuracy {percent(shift.in_accuracy)} to "
            f"{percent(shift.out_accuracy)} %, {percent(shift.drop)} lost (95 % interval {low} to "
            f"{high}); entropy is the higher one here for {percent(shift.auroc)} % of pixel pairs"
        )
    return "\n".join(lines)
