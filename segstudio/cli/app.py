"""The command line's entry: builds the commands, shows an error once, sets the exit status."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import typer

from segstudio.cli.names import COMMANDS
from segstudio.core.errors import CancelledError, SegStudioError

__all__ = ["COMMANDS", "OpenWindow", "main"]

OpenWindow = Callable[[Path | None, Path | None, Sequence[str]], int]
"""Opens the window on a path, saves a screenshot if asked, starts these models."""

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

# Typer carries its own copy of click in newer releases and uses the installed one in older ones.
_ClickException = next(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException"
)


def _version(value: bool) -> None:
    if value:
        from segstudio import __version__

        print(f"segstudio {__version__}")
        raise typer.Exit


def _build() -> typer.Typer:
    from segstudio.cli.bench import bench
    from segstudio.cli.colors import colors
    from segstudio.cli.compare import compare
    from segstudio.cli.demo import demo
    from segstudio.cli.doctor import doctor
    from segstudio.cli.download import download_model
    from segstudio.cli.evaluate import evaluate
    from segstudio.cli.export import export
    from segstudio.cli.finetune import finetune
    from segstudio.cli.import_run import import_run
    from segstudio.cli.inspect import inspect_checkpoint
    from segstudio.cli.listing import list_things
    from segstudio.cli.look import look
    from segstudio.cli.ood import ood
    from segstudio.cli.run import run
    from segstudio.cli.score import score
    from segstudio.cli.train import train

    app = typer.Typer(
        name="segstudio",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        epilog="`segstudio` alone, or with a folder, an image or a checkpoint, opens the window.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def _group(
        version: bool = typer.Option(
            False, "--version", callback=_version, is_eager=True, help="Print the version."
        ),
    ) -> None:
        """Run, correct and understand semantic segmentation on local hardware."""

    app.command("demo")(demo)
    app.command("run")(run)
    app.command("evaluate")(evaluate)
    app.command("score")(score)
    app.command("colors")(colors)
    app.command("compare")(compare)
    app.command("ood")(ood)
    app.command("look")(look)
    app.command("export")(export)
    app.command("import-run")(import_run)
    app.command("train")(train)
    app.command("finetune")(finetune)
    app.command("inspect")(inspect_checkpoint)
    app.command("download")(download_model)
    app.command("list")(list_things)
    app.command("bench")(bench)
    app.command("doctor")(doctor)
    return app


def main(arguments: Sequence[str], *, open_window: OpenWindow | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str
        Without the program's name.
    open_window : callable, optional
        How a command opens the window; None where there is none.

    Returns
    -------
    int
        0 all done, 1 some samples failed, 2 unusable arguments or input, 130 interrupted.
    """
    try:
        command = _build()
        result = command(
            list(arguments), prog_name="segstudio", standalone_mode=False, obj=open_window
        )
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except CancelledError as error:
        _complain(str(error))
        return EXIT_INTERRUPTED
    except (KeyboardInterrupt, typer.Abort):
        _complain("Interrupted.")
        return EXIT_INTERRUPTED
    except SegStudioError as error:
        _complain(str(error))
        return EXIT_USAGE
    except BrokenPipeError:
        _abandon_stdout()
        return EXIT_BROKEN_PIPE
    except SystemExit as error:
        # Click meets a broken pipe by leaving with 1, which here means that samples failed.
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        _abandon_stdout()
        return EXIT_BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - a person reads a sentence, not a traceback
        if isinstance(error, _ClickException):
            _complain(_usage_sentence(error))
        else:
            _complain_of_bug(error)
        return EXIT_USAGE


def _complain(sentence: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(f"segstudio: {sentence}", file=sys.stderr)


def _complain_of_bug(error: Exception) -> None:
    if os.environ.get("SEGSTUDIO_DEBUG"):
        traceback.print_exception(error)
    text = " ".join(str(error).split())
    name = type(error).__name__
    _complain(
        f"An unexpected error stopped the command: {name}{': ' if text else ''}{text.rstrip('.')}; "
        "run again with SEGSTUDIO_DEBUG=1 for the details."
    )


def _usage_sentence(error: BaseException) -> str:
    """Return what is wrong with the arguments and where the help is, in one sentence."""
    message = " ".join(error.format_message().split())  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "segstudio"
    return f"{message.rstrip('.')}; see `{path} --help`."


def _abandon_stdout() -> None:
    """Keep the interpreter from complaining at exit that nobody reads any more."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
