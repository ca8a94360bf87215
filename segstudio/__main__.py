"""``segstudio`` and ``python -m segstudio``: commands run, anything else opens the window."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path


def main() -> int:
    """Run SegStudio with the process's arguments and return the exit status."""
    if getattr(sys, "frozen", False):
        # A frozen program is its own worker process: this call never returns there.
        import multiprocessing

        multiprocessing.freeze_support()
    for stream in (sys.stdout, sys.stderr):
        # File names may hold what a terminal cannot show; that must never stop a command.
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        return _main(sys.argv[1:])
    except KeyboardInterrupt:
        print("segstudio: Interrupted.", file=sys.stderr)
        return 130


def _main(arguments: list[str]) -> int:
    from segstudio.cli.window import display_problem, parse_window_arguments
    from segstudio.core.errors import SegStudioError

    try:
        window = parse_window_arguments(arguments)
        if window is None:
            from segstudio.cli.app import main as run_command

            return run_command(arguments, open_window=open_window)
        problem = display_problem()
        if problem is not None:
            raise problem
        return open_window(window.path, window.screenshot)
    except SegStudioError as error:
        print(f"segstudio: {error}", file=sys.stderr)
        return 2


def open_window(path: Path | None, screenshot: Path | None = None, run: Sequence[str] = ()) -> int:
    """Open the window and return its exit status when it is closed.

    Parameters
    ----------
    path : Path or None
        Folder, project, image or checkpoint to open.
    screenshot : Path, optional
        Save a picture of the window there once it shows the first image, and quit.
    run : sequence of str
        Models to run on what was opened.

    Raises
    ------
    SegStudioError
        When Qt cannot be loaded: a system library is missing.
    """
    from segstudio.core.errors import SegStudioError

    try:
        from segstudio.ui.app import main as run_window
    except ImportError as error:
        raise SegStudioError(
            f"The window cannot be opened ({error}); see the README for the system libraries that "
            "it needs. `segstudio demo --headless` and the other commands work without it."
        ) from error
    return run_window(path, screenshot, run=list(run))


if __name__ == "__main__":
    sys.exit(main())
