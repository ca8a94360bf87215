"""Which label file belongs to which image: by name, with the endings that tools add tolerated."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

__all__ = ["TARGET_ENDINGS", "TargetIndex", "without_suffix"]

TARGET_ENDINGS = (
    "_gtFine_labelIds",
    "_gtFine_labelTrainIds",
    "_labelIds",
    "_labelTrainIds",
    "_labels",
    "_label",
    "_masks",
    "_mask",
    "_segmentation",
    "_seg",
    "_annotation",
    "_annot",
    "_gt",
    "_L",
    "-labels",
    "-label",
    "-masks",
    "-mask",
    "-seg",
    "-gt",
    ".mask",
    ".label",
)
"""What the name of a label file may have after its image's name, best first."""

_IMAGE_ENDINGS = ("_leftImg8bit", "_image", "_img", "_rgb", "_sat")
"""What the name of an image may have that its label file's lacks."""


def without_suffix(path: str) -> str:
    """Return a POSIX path without the ending of its file name."""
    folder, slash, name = path.rpartition("/")
    dot = name.rfind(".")
    return f"{folder}{slash}{name[:dot] if dot > 0 else name}"


class TargetIndex:
    """Label files by the names their images may have.

    Parameters
    ----------
    files : iterable of (str, Path)
        POSIX path relative to the label folder, and the path.
    """

    def __init__(self, files: Iterable[tuple[str, Path]]) -> None:
        self._paths = dict(files)
        self._used: set[str] = set()
        self._by_stem: dict[str, str] = {}
        self._by_ending: dict[str, tuple[int, str]] = {}
        for relative in self._paths:
            stem = without_suffix(relative)
            self._by_stem.setdefault(stem, relative)
            if stem.endswith(TARGET_ENDINGS):
                for rank, ending in enumerate(TARGET_ENDINGS):
                    if stem.endswith(ending):
                        self._enter(stem.removesuffix(ending), rank, relative)

    def _enter(self, key: str, rank: int, relative: str) -> None:
        known = self._by_ending.get(key)
        if known is None or rank < known[0]:
            self._by_ending[key] = (rank, relative)

    def _look_up(self, stem: str) -> str | None:
        found = self._by_stem.get(stem)
        if found is None and stem in self._by_ending:
            found = self._by_ending[stem][1]
        return found

    def find(self, relative: str) -> Path | None:
        """Return the label file of the image at ``relative`` (POSIX, with its ending), or None.

        The image's name with its ending counts too: SegStudio's own results are called
        ``0001.jpg.png``.
        """
        stem = without_suffix(relative)
        found = self._by_stem.get(relative) or self._look_up(stem)
        if found is None and stem.endswith(_IMAGE_ENDINGS):
            bare = (stem.removesuffix(ending) for ending in _IMAGE_ENDINGS if stem.endswith(ending))
            found = next((hit for hit in map(self._look_up, bare) if hit is not None), None)
        if found is None:
            return None
        self._used.add(found)
        return self._paths[found]

    def unused(self) -> list[str]:
        """Return the relative paths of the label files that `find` never gave out, sorted."""
        return sorted(self._paths.keys() - self._used)
