"""``segstudio export``: label maps in a form that other programs read."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from segstudio.cli.common import load_plugins, read_mapping, said_when_slow, say
from segstudio.cli.forms import parse_pairs
from segstudio.core.errors import SegStudioError, UsageError

__all__ = ["export"]


class Existing(StrEnum):
    """What happens to files that are already there."""

    REFUSE = "refuse"
    REPLACE = "replace"
    KEEP = "keep"


def export(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="Folder of a dataset, or its project.")
    ],
    format: Annotated[str, typer.Option(help="See `segstudio list exporters`.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Destination.")],
    what: Annotated[
        str, typer.Option(help="corrections, ground-truth or prediction:RUN.")
    ] = "corrections",
    project: Annotated[
        Path | None, typer.Option(help="The project's folder, if it is not in the dataset's.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only the samples of this split.")] = None,
    label_space: Annotated[
        str | None, typer.Option(help="What the values of the masks mean: a name or JSON file.")
    ] = None,
    set_option: Annotated[
        list[str] | None,
        typer.Option("--set", help="Option of the exporter, name=value; repeatable."),
    ] = None,
    format_of_source: Annotated[
        str | None, typer.Option("--source-format", help="Format of the dataset.")
    ] = None,
    mapping: Annotated[
        str | None,
        typer.Option(
            help="Mapping from the ground truth's label space, for exporters that compare with it."
        ),
    ] = None,
    existing: Annotated[
        Existing, typer.Option(help="What happens to files that are already there.")
    ] = Existing.REFUSE,
) -> int:
    """Write corrected, true or predicted label maps as files of another format."""
    from segstudio.cli.progress import StepDisplay
    from segstudio.core.options import build_options
    from segstudio.exporters.base import EXPORTERS, ExportItem
    from segstudio.session.session import Session

    load_plugins()
    exporter = EXPORTERS.get(format)()
    options = build_options(exporter.Options, parse_pairs(set_option or []))
    dataset, folder = _find_dataset(source, project)
    failed: list[str] = []
    done = 0

    def on_failed(item: ExportItem, error: SegStudioError) -> None:
        failed.append(item.sample.sample_id)
        print_failure(item.sample.sample_id, error)
        advance(item)

    def advance(item: ExportItem) -> None:
        nonlocal done
        done += 1
        display.report(done, len(items))

    session = Session()
    try:
        with said_when_slow(f"looking through {dataset} ..."):
            opened = session.open_dataset(
                dataset,
                format=format_of_source,
                split=split,
                label_space=label_space,
                project=folder,
            )
        for note in opened.notes:
            say(note)
        items, space = session.export_items(what, mapping=read_mapping(mapping))
        display = StepDisplay("exporting")
        written = exporter.write(
            items,
            output,
            label_space=space,
            options=options,
            existing=existing.value,
            on_written=advance,
            on_failed=on_failed,
        )
    finally:
        session.close()
    for note in exporter.notes:
        say(note)
    noun = "file" if len(written) == 1 else "files"
    print(f"{len(written)} {noun} in {output}")
    return 1 if failed else 0


def print_failure(sample_id: str, error: SegStudioError) -> None:
    """Name a sample that could not be exported."""
    say(f"{sample_id} failed: {error}")


def _find_dataset(source: Path, project: Path | None) -> tuple[Path, Path | None]:
    """Return the dataset's folder and the project's; None takes the usual place.

    Raises
    ------
    UsageError
        When the source is a project away from its dataset.
    """
    from segstudio.project.layout import PROJECT_FOLDER, ProjectLayout

    if not ProjectLayout(source).database.is_file():
        return source, project
    if source.resolve().name == PROJECT_FOLDER:
        return source.resolve().parent, project
    raise UsageError(
        f"{source} is a project that is not inside its dataset; name the dataset's folder, "
        f"and the project with --project {source}."
    )
