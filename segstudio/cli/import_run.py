"""``segstudio import-run``: predictions of another program as a run."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from segstudio.cli.common import load_plugins, open_patiently, read_mapping, say

__all__ = ["import_run"]


class Values(StrEnum):
    """What the pixels of predicted label maps hold."""

    INDICES = "indices"
    IDS = "ids"
    COLORS = "colors"


def import_run(
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="Folder that was predicted.")],
    predictions: Annotated[
        Path,
        typer.Argument(
            metavar="PREDICTIONS",
            help="Folder of label maps named like the images, or a COCO results JSON file.",
        ),
    ],
    name: Annotated[str | None, typer.Option(help="Name of the run.")] = None,
    values: Annotated[
        Values,
        typer.Option(
            help="What the pixels hold: class indices (255 is ignored), the dataset's own ids, or "
            "the label space's colours."
        ),
    ] = Values.INDICES,
    predictions_label_space: Annotated[
        str | None,
        typer.Option(help="What the predictions mean, if not the dataset's label space."),
    ] = None,
    mapping: Annotated[
        str | None, typer.Option(help="Mapping between the two label spaces: a name or JSON file.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="Format of the dataset.")] = None,
    split: Annotated[str | None, typer.Option(help="Only the samples of this split.")] = None,
    label_space: Annotated[
        str | None, typer.Option(help="What the values of the ground truth mean.")
    ] = None,
    project: Annotated[
        Path | None, typer.Option(help="Folder of the results; DATASET/.segstudio by default.")
    ] = None,
) -> int:
    """Bring your own predictions: they become a run that is scored like any other."""
    from segstudio.core.label_space import load_label_space
    from segstudio.project.layout import ProjectLayout, choose_project_folder
    from segstudio.project.store import Store
    from segstudio.session.imports import ImportRequest
    from segstudio.session.imports import import_run as bring_in

    load_plugins()
    opened = open_patiently(dataset, format=format, split=split, label_space=label_space)
    for note in opened.notes:
        say(note)
    meaning = predictions_label_space
    request = ImportRequest(
        opened,
        predictions,
        name,
        values.value,
        None if meaning is None else load_label_space(meaning),
        read_mapping(mapping),
    )
    folder, elsewhere = choose_project_folder(opened.root, project)
    if elsewhere is not None:
        say(elsewhere)
    layout = ProjectLayout(folder)
    store = Store(layout.database)
    try:
        result = bring_in(
            request, store, layout,
            on_failed=lambda sample_id, reason: say(f"{sample_id} failed: {reason}"),
        )  # fmt: skip
    finally:
        store.close()
    for note in result.notes:
        say(note)
    noun = "prediction" if result.done == 1 else "predictions"
    print(f"{result.done} {noun} in the run {result.run}")
    print(f"Results: {layout.run_folder(result.run)}")
    return 1 if result.failed else 0
