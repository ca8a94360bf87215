"""Settings that survive a restart: one JSON file in the user's configuration folder."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

from segstudio.core.atomic import write_text

__all__ = ["Settings", "default_settings_path"]

_RECENT = 8
_FORMATS = 200


def default_settings_path() -> Path:
    """Return the settings file; ``SEGSTUDIO_CONFIG`` names another folder for it."""
    folder = os.environ.get("SEGSTUDIO_CONFIG")
    if folder:
        return Path(folder) / "settings.json"
    import platformdirs

    return Path(platformdirs.user_config_dir("segstudio", appauthor=False)) / "settings.json"


class Settings:
    """Named JSON values, written when they change.

    A file that cannot be read counts as empty: settings are a convenience, never a reason not to
    start.  A value that cannot be written is kept for the session.

    Parameters
    ----------
    path : Path, optional
        The file; None takes `default_settings_path`.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = default_settings_path() if path is None else path
        self._lock = threading.Lock()
        self._values: dict[str, Any] = {}
        try:
            data = json.loads(self.path.read_text(encoding="utf-8"))
            if isinstance(data, dict):
                self._values = data
        except (OSError, ValueError):
            pass

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of ``key``, ``default`` when it was never set."""
        return self._values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        """Set ``key`` to a JSON value and write the file.

        Raises
        ------
        WriteError
            When the file cannot be written; the value holds for this session all the same.
        """
        with self._lock:
            if self._values.get(key) == value:
                return
            self._values[key] = value
            text = json.dumps(self._values, indent=1, sort_keys=True)
            write_text(self.path, text, durable=False)

    def recent(self) -> list[str]:
        """Return the folders opened last, newest first, those that still exist."""
        paths = self._values.get("recent", [])
        return [path for path in paths if isinstance(path, str) and Path(path).exists()]

    def add_recent(self, path: Path) -> None:
        """Put a folder first among the recent ones."""
        name = str(path.resolve())
        others = [entry for entry in self._values.get("recent", []) if entry != name]
        self.set("recent", [name, *others][:_RECENT])

    def format_of(self, path: Path) -> str | None:
        """Return the format that the user chose for a folder or file, None when they did not."""
        found = self._formats().get(str(path.resolve()))
        return found if isinstance(found, str) else None

    def remember_format(self, path: Path, format: str) -> None:
        """Remember the format that the user chose; of many the oldest choices are forgotten.

        Raises
        ------
        WriteError
            See `set`.
        """
        name = str(path.resolve())
        others = [(key, value) for key, value in self._formats().items() if key != name]
        # A list, because the order of a JSON object is not kept when it is written.
        self.set("formats", [*others, (name, format)][-_FORMATS:])

    def _formats(self) -> dict[str, Any]:
        entries = self._values.get("formats", [])
        try:
            return dict(entries)
        except (TypeError, ValueError):
            return {}  # somebody else wrote it
