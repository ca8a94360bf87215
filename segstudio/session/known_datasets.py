"""Data sets by name: those opened before, and those in the folders that the user keeps them in."""

from __future__ import annotations

import os
from pathlib import Path

from segstudio.core.errors import NoDatasetError
from segstudio.session.settings import Settings

__all__ = ["DATASETS_VARIABLE", "find_dataset", "known_datasets"]

DATASETS_VARIABLE = "SEGSTUDIO_DATASETS"
"""Names folders of data sets, separated as in PATH."""


def known_datasets() -> dict[str, Path]:
    """Return the folders that can be named, by their own names in lower case.

    First those that lie in the folders of ``SEGSTUDIO_DATASETS``, then those that the window
    opened last.
    """
    found: dict[str, Path] = {}
    for place in os.environ.get(DATASETS_VARIABLE, "").split(os.pathsep):
        folder = Path(place).expanduser()
        if place and folder.is_dir():
            for path in sorted(folder.iterdir()):
                if path.is_dir() and not path.name.startswith("."):
                    found.setdefault(path.name.lower(), path)
    for recent in Settings().recent():
        path = Path(recent)
        if path.is_dir():
            found.setdefault(path.name.lower(), path)
    return found


def find_dataset(name_or_path: str) -> Path:
    """Return the path of a data set; what exists at a path goes before a name.

    Raises
    ------
    NoDatasetError
        When it is neither.
    """
    path = Path(name_or_path).expanduser()
    if path.exists():
        return path
    known = known_datasets()
    found = known.get(name_or_path.lower())
    if found is None:
        there = f" (known are {', '.join(sorted(known)[:8])})" if known else ""
        raise NoDatasetError(
            f"There is no folder {name_or_path}, and no known data set of that name{there}; name "
            f"its path, or in {DATASETS_VARIABLE} the folder that it lies in."
        )
    return found
