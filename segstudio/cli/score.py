"""``segstudio score``: two folders of label maps, no network involved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segstudio.cli.common import JsonFlag, read_mapping
from segstudio.core.errors import UsageError

__all__ = ["score"]


def score(
    predictions: Annotated[
        Path, typer.Argument(metavar="PREDICTIONS", help="Folder of predicted label maps.")
    ],
    targets: Annotated[
        Path, typer.Argument(metavar="TARGETS", help="Folder of label maps of the ground truth.")
    ],
    label_space: Annotated[
        str,
        typer.Option(help="What the class indices mean: a label space's name or JSON file."),
    ],
    mapping: Annotated[
        str | None,
        typer.Option(
            help="Mapping from the predictions' label space to that of the targets: "
            "a name or JSON file."
        ),
    ] = None,
    json: JsonFlag = False,
) -> int:
    """Score predicted label maps against ground truth; files pair by name without extension."""
    from segstudio.cli.reports import print_report, say_failures
    from segstudio.cli.tables import print_json
    from segstudio.core.label_space import load_label_space
    from segstudio.session.evaluation import score_folders

    space = load_label_space(label_space)
    joined = read_mapping(mapping)
    if joined is not None and joined.target != space.name:
        raise UsageError(
            f"The mapping {joined.name} leads to {joined.target}, but the targets are in "
            f"{space.name}; choose another mapping or label space."
        )
    report = score_folders(
        predictions,
        targets,
        space,
        mapping=None if joined is None else (joined, load_label_space(joined.source)),
    )
    say_failures(report.failed)
    if json:
        print_json(report.to_json())
    else:
        print_report(report)
    return 1 if report.failed else 0
