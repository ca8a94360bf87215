"""``segstudio compare``: two runs of a project, which is better and where."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segstudio.cli.common import (
    JsonFlag,
    find_project,
    open_patiently,
    open_to_read,
    read_mapping,
    say,
)
from segstudio.core.errors import NoDatasetError

if TYPE_CHECKING:
    from segstudio.analysis.compare import Comparison
    from segstudio.datasets.base import Dataset
    from segstudio.project.store import Store

__all__ = ["compare"]


def compare(
    project: Annotated[
        Path,
        typer.Argument(metavar="PROJECT", help="Folder of a project, or the dataset it is in."),
    ],
    run_a: Annotated[str, typer.Argument(metavar="RUN_A", help="Name of a run.")],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", help="Name of another run.")],
    dataset: Annotated[
        Path | None,
        typer.Option(
            metavar="DATASET",
            help="The dataset with the ground truth; found by itself where it is in its place.",
        ),
    ] = None,
    mapping: Annotated[
        str | None,
        typer.Option(help="Mapping between different label spaces: a name or JSON file."),
    ] = None,
    json: JsonFlag = False,
) -> int:
    """Compare two runs of a project; every difference is RUN_B minus RUN_A.

    --json prints {"label_space", "samples", "difference": "b - a", "runs": [{"run", "pooled"}],
    "delta": {"miou", "miou_interval", "pixel_accuracy", ..., "classes": [{"name", "iou": [a, b],
    "delta", "interval"}]}, "per_sample": [{"sample_id", "miou": [a, b], "delta",
    "pixel_accuracy", "confident_errors"}], "a_wins", "b_wins", "both_fail": [sample ids],
    "agreement": {"pixels", "agree", "disagree", "share", "matrix": [[a, b]], "truth":
    {"labelled", "both_right", "only_a_right", "only_b_right", "both_wrong_same",
    "both_wrong_different", "both_wrong_and_sure"}}, "failed"}.  Intervals are 95 % paired
    bootstrap over images; a number that does not exist is null.
    """
    from segstudio.analysis.compare import comparison_json
    from segstudio.cli.progress import StepDisplay
    from segstudio.cli.reports import say_failures
    from segstudio.cli.tables import print_json
    from segstudio.project.layout import ProjectLayout
    from segstudio.session.analysis import Analysis

    folder = find_project(project, None)
    layout = ProjectLayout(folder)
    with open_to_read(layout) as store:
        for name in (run_a, run_b):
            store.run(name)  # a misspelt name is said before anything is opened
        opened = _open_dataset(dataset, folder, store, (run_a, run_b))
        analysis = Analysis(opened, store, layout, mapping=read_mapping(mapping))
        with StepDisplay("comparing") as display:
            result, failed = analysis.compare(
                run_a, run_b, progress=display.report, cancelled=display.cancelled
            )
    say_failures(failed)
    if json:
        lost = [{"sample_id": sample_id, "error": error} for sample_id, error in failed]
        print_json({**comparison_json(result), "failed": lost})
    else:
        print(_text(result))
    return 1 if failed else 0


def _open_dataset(
    path: Path | None, project: Path, store: Store, runs: tuple[str, str]
) -> Dataset | None:
    """Return the dataset of a project, None where nothing tells which it is."""
    from segstudio.project.layout import PROJECT_FOLDER

    if path is not None:
        return open_patiently(path)
    root = project.resolve().parent if project.resolve().name == PROJECT_FOLDER else None
    if root is None:
        root = _dataset_root(store, runs)
    if root is None:
        say("No ground truth is at hand; name the dataset with --dataset to know who is right.")
        return None
    try:
        return open_patiently(root)
    except NoDatasetError as error:
        say(f"{error} The runs are compared without ground truth.")
        return None


def _dataset_root(store: Store, runs: tuple[str, str]) -> Path | None:
    """Return the folder that the runs' sample ids are relative to, told from their ground truth.

    Counts are stored with the path of the ground truth they were made against; the image lies
    below one of its folders.
    """
    for run in runs:
        for sample_id, (key, _) in store.counts(run).items():
            target = Path(key.split("|", 1)[0])
            for parent in target.parents:
                if (parent / sample_id).is_file():
                    return parent
    return None


def _text(result: Comparison) -> str:
    from segstudio.cli.tables import format_table, percent

    a, b = result.runs
    lines = [f"a = {a}  ·  b = {b}  ·  {result.label_space.name}  ·  {result.scored} scored images"]
    if result.scored:
        rows = [
            [
                entry.name,
                *(percent(value) for value in entry.iou),
                _signed(entry.delta),
                _interval(entry.interval),
            ]
            for entry in result.classes
        ]
        first, second = result.pooled
        rows.append(
            [
                "mean over classes",
                percent(first["miou"]),
                percent(second["miou"]),
                _signed(second["miou"] - first["miou"]),
                _interval(result.miou_interval),
            ]
        )
        header = ["class", "IoU a %", "IoU b %", "b - a", "95 % interval"]
        table = format_table(header, rows, right=(1, 2, 3, 4), rule_before=len(rows) - 1)
        lines += ["", table, ""]
        for title, entries in (("a", result.wins(0, 3)), ("b", result.wins(1, 3))):
            named = [f"{entry.sample_id} ({_signed(entry.delta)})" for entry in entries]
            lines.append(f"{title} wins most: {', '.join(named) or 'nowhere'}")
        failing = ", ".join(entry.sample_id for entry in result.both_fail(3))
        lines.append(f"both are wrong and sure: {failing or 'nowhere'}")
    agreement = result.agreement
    if agreement is not None and agreement.pixels:
        lines += ["", f"They agree on {percent(agreement.agreed / agreement.pixels)} % of pixels."]
        if agreement.labelled:
            parts = (
                ("both are right", agreement.both_right),
                ("only a is right", agreement.only_a_right),
                ("only b is right", agreement.only_b_right),
                ("both are wrong, alike", agreement.both_wrong_same),
                ("both are wrong, differently", agreement.both_wrong_different),
                ("both are wrong and sure", agreement.both_wrong_and_sure()),
            )
            lines.append("Of the labelled pixels:")
            lines += [f"  {percent(n / agreement.labelled):>6} %  {title}" for title, n in parts]
    return "\n".join(lines)


def _signed(value: float) -> str:
    return "-" if value != value else f"{100 * value:+.2f}"


def _interval(ends: tuple[float, float]) -> str:
    return "-" if ends[0] != ends[0] else " to ".join(_signed(end) for end in ends)
