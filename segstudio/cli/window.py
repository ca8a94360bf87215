"""Which arguments open the window, and whether there is a display to open it on; no Qt here."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segstudio.cli.names import COMMANDS
from segstudio.core.errors import SegStudioError, UsageError
from segstudio.core.registry import did_you_mean

__all__ = ["WindowArguments", "display_problem", "parse_window_arguments"]


@dataclass(frozen=True, slots=True)
class WindowArguments:
    """What the window is to show, and where its picture is to be saved."""

    path: Path | None = None
    screenshot: Path | None = None


def parse_window_arguments(arguments: Sequence[str]) -> WindowArguments | None:
    """Return what the window is to do, None when the arguments are a command's.

    Raises
    ------
    UsageError
        When the path does not exist, or there is too much or too little.
    """
    if arguments and arguments[0] in COMMANDS:
        return None
    path: str | None = None
    screenshot: str | None = None
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word.startswith("--screenshot="):
            screenshot = word.partition("=")[2]
        elif word == "--screenshot":
            if not rest:
                raise UsageError("--screenshot needs the name of a file.")
            screenshot = rest.pop(0)
        elif word.startswith("-") and len(word) > 1:
            # Another option: the command line knows it (--help), or says that it does not.
            return None if path is None else _refuse(f"The window has no option {word}.")
        elif path is not None:
            _find(path)
            return _refuse(f"The window opens one path, not also {word!r}.")
        else:
            path = word
    return WindowArguments(
        None if path is None else _find(path), None if screenshot is None else Path(screenshot)
    )


def display_problem(environment: Mapping[str, str] = os.environ) -> SegStudioError | None:
    """Return why no window can be opened, None when nothing speaks against it."""
    names = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    if not sys.platform.startswith("linux") or any(environment.get(name) for name in names):
        return None
    return SegStudioError(
        "There is no display to open a window on (neither DISPLAY nor WAYLAND_DISPLAY is set); "
        "`segstudio demo --headless` and the other commands work without one."
    )


def _refuse(sentence: str) -> WindowArguments:
    raise UsageError(f"{sentence[:-1]}; see `segstudio --help`.")


def _find(word: str) -> Path:
    path = Path(word).expanduser()
    if path.exists():
        return path
    hint = ""
    if os.sep not in word and "." not in word:
        hint = f", and no command of that name: {did_you_mean(word, list(COMMANDS))}"
    raise UsageError(f"There is no file or folder {word}{hint or '; check the path.'}")
