"""``segstudio finetune``: a better model from one's own corrections."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segstudio.cli.common import JsonFlag, load_plugins, say
from segstudio.cli.forms import with_options
from segstudio.core.errors import UsageError
from segstudio.training.finetune_options import FinetuneOptions

__all__ = ["finetune"]


@with_options(FinetuneOptions, "options")
def finetune(
    project: Annotated[
        Path, typer.Argument(help="Folder of images whose project has corrections.")
    ],
    model: Annotated[str, typer.Option("--model", "-m", help="Name or path of the model.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Checkpoint to write.")],
    format: Annotated[str | None, typer.Option(help="Dataset format; sniffed by default.")] = None,
    project_folder: Annotated[
        str | None, typer.Option("--project", help="The project's folder, where it is elsewhere.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write the result even when it is worse.")
    ] = False,
    json: JsonFlag = False,
    *,
    options: FinetuneOptions,
) -> int:
    """Fine-tune a model on the corrected and checked images of a project.

    Some of them are kept back; the result is written only when it is better on these.
    """
    from segstudio.cli.common import find_project, open_patiently
    from segstudio.cli.progress import FinetuneDisplay
    from segstudio.cli.tables import print_json
    from segstudio.session.finetuning import FinetuneRequest
    from segstudio.session.finetuning import finetune as run

    load_plugins()
    root = project.parent if project.name == ".segstudio" else project
    dataset = open_patiently(root, format=format)
    if output.exists() and not output.is_file():
        raise UsageError(f"{output} is a folder; name the file of the new checkpoint.")
    request = FinetuneRequest(
        dataset, find_project(dataset.root, project_folder), model, output, options, force
    )
    with FinetuneDisplay() as display:
        report = run(request, display.report, cancelled=display.cancelled)
    if json:
        print_json(report.to_json())
    else:
        _print(report)
    if report.output is None:
        say(report.reason)
        return 1
    return 0


def _print(report: object) -> None:
    from segstudio.cli.tables import format_table, percent
    from segstudio.session.finetuning import FinetuneReport

    assert isinstance(report, FinetuneReport)
    rows = []
    for entry in (*report.classes, report.mean):
        both = entry.before is not None and entry.after is not None
        gain = 100 * (entry.after - entry.before) if both else None  # type: ignore[operator]
        span = entry.interval
        rows.append(
            [
                entry.name,
                percent(entry.before),
                percent(entry.after),
                "-" if gain is None else f"{gain:+.2f}",
                "-" if span is None else f"{100 * span[0]:+.2f} .. {100 * span[1]:+.2f}",
            ]
        )
    header = ["class", "before %", "after %", "gain", "95 % interval of the gain"]
    print(format_table(header, rows, right=range(1, len(header))))
    print(
        f"\nLearned from {len(report.learned)} images, judged on {len(report.held_out)} others, "
        f"{report.seconds:.0f} s."
    )
    if report.output is not None:
        print(report.reason)
