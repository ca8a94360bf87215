"""Where the files that come with SegStudio are.

They are found the same way from a source tree (``resources/`` beside the package), an installed
wheel (``segstudio/_resources``) and a frozen build (``resources/`` in the bundle).
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from segstudio.core.errors import SegStudioError

__all__ = ["bundled_plugins", "resource_path"]


def _package_folder() -> Path:
    return Path(__file__).resolve().parent.parent


@functools.cache
def _root(name: str) -> Path | None:
    frozen = getattr(sys, "_MEIPASS", None)
    candidates = [_package_folder() / f"_{name}", _package_folder().parent / name]
    if frozen is not None:
        candidates.insert(0, Path(frozen) / name)
    return next((path for path in candidates if path.is_dir()), None)


def resource_path(*parts: str) -> Path:
    """Return the path of a file or folder below ``resources/``.

    Raises
    ------
    SegStudioError
        When it is not there: the installation is incomplete.
    """
    root = _root("resources")
    path = root.joinpath(*parts) if root is not None else None
    if path is None or not path.exists():
        raise SegStudioError(
            f"The resource {'/'.join(parts)} is missing; "
            "the installation is incomplete, please install SegStudio again."
        )
    return path


def bundled_plugins() -> Path | None:
    """Return the folder of loose plugins that came with SegStudio, None when there is none."""
    beside = Path(sys.executable).resolve().parent / "plugins"
    if getattr(sys, "frozen", False) and beside.is_dir():
        return beside
    return _root("plugins")
