"""JSON files that come with SegStudio and are called by name, or lie elsewhere by path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from segstudio.core.errors import UnknownNameError, UsageError
from segstudio.core.registry import did_you_mean
from segstudio.core.resources import resource_path

__all__ = ["load_json", "named_files"]


def named_files(folder: str) -> list[str]:
    """Return the names of the JSON files in a folder of the resources, sorted."""
    return sorted(path.stem for path in resource_path(folder).glob("*.json"))


def load_json(folder: str, kind: str, name_or_path: str | Path) -> tuple[Any, str]:
    """Load a JSON file by its name in a folder of the resources, or by its path.

    Parameters
    ----------
    folder : str
        Of the resources.
    kind : str
        What the file is, for messages.
    name_or_path : str or Path

    Returns
    -------
    data : object
    origin : str
        The file's path, for messages.

    Raises
    ------
    UnknownNameError
        When it is neither a known name nor an existing file.
    UsageError
        When the file cannot be read or is no JSON.
    """
    known = named_files(folder)
    if str(name_or_path) in known:
        path = resource_path(folder, f"{name_or_path}.json")
    else:
        path = Path(name_or_path)
        if not path.is_file():
            raise UnknownNameError(
                f"There is no {kind} {str(name_or_path)!r}: "
                f"{did_you_mean(str(name_or_path), known)}"
            )
    try:
        return json.loads(path.read_text(encoding="utf-8")), str(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as a {kind}: {error}.") from error
