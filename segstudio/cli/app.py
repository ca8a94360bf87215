"""The command line's entry: builds the commands, shows an error once, sets the exit status."""

from __future__ import annotations

import sys

import typer

from segstudio.core.errors import CancelledError, SegStudioError

__all__ = ["COMMANDS", "main"]

COMMANDS = ("train",)
"""Names of the subcommands; anything else that is not an option opens the window."""

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def _build() -> typer.Typer:
    from segstudio.cli.train import train

    app = typer.Typer(
        name="segstudio",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Run, correct and understand semantic segmentation on local hardware.",
    )

    @app.callback()
    def _group() -> None:
        """Run, correct and understand semantic segmentation on local hardware."""

    app.command("train")(train)
    return app


def main(arguments: list[str]) -> int:
    """Run one command.

    Returns
    -------
    int
        0 all done, 1 some samples failed, 2 unusable arguments or input, 130 interrupted.
    """
    try:
        result = _build()(arguments, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except CancelledError as error:
        print(error, file=sys.stderr)
        return EXIT_INTERRUPTED
    except SegStudioError as error:
        print(f"segstudio: {error}", file=sys.stderr)
        return EXIT_USAGE
    except (KeyboardInterrupt, typer.Abort):
        print("segstudio: interrupted.", file=sys.stderr)
        return EXIT_INTERRUPTED
