"""``segstudio demo``: the embedded scenes and models, in the window or as figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segstudio.cli.common import say
from segstudio.cli.window import display_problem

__all__ = ["demo"]


def demo(
    context: typer.Context,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the demo is written.")
    ] = Path("segstudio-demo"),
    headless: Annotated[
        bool, typer.Option("--headless", help="Write figures and scores instead of a window.")
    ] = False,
) -> int:
    """Street scenes rendered by code, run, scored and shown; no data of yours is needed."""
    from segstudio.scenes.demo import write_demo
    from segstudio.session.demo import DEMO_MODELS

    open_window = context.obj
    if not headless and (open_window is None or display_problem() is not None):
        say("There is no display, so the demo runs without a window.")
        headless = True
    say(f"Writing the demo's images to {output} ...")
    folder = write_demo(output)
    if not headless:
        return int(open_window(folder, None, DEMO_MODELS))
    return _headless(folder, output)


def _headless(folder: Path, output: Path) -> int:
    from segstudio.cli.progress import RunDisplay
    from segstudio.cli.reports import print_report, say_failures
    from segstudio.cli.run import execute
    from segstudio.datasets.opening import open_dataset
    from segstudio.project.layout import choose_project_folder
    from segstudio.session.demo import DEMO_MODELS, finish_demo
    from segstudio.session.runner import RunRequest

    dataset = open_dataset(folder)
    project, note = choose_project_folder(dataset.root)
    if note is not None:
        say(note)
    with RunDisplay() as display:
        runs = execute(RunRequest(dataset, DEMO_MODELS, project), display)
        result = finish_demo(dataset, project, runs, output, cancelled=display.cancelled)
    say_failures(result.failed)
    print_report(result.report)
    print(f"\n{len(result.figures)} figures: {output / 'figures'}")
    print(f"scores: {output / 'scores'}")
    return 1 if result.failed else 0
