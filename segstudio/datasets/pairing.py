"""Which label file belongs to which image: by name, with the endings that tools add tolerated."""

from __future__ import annotations

from collections.abc import Iterable

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
    files : iterable of (str, str)
        POSIX path relative to the label folder, and absolute path.
    """

    def __init__(self, files: Iterable[tuple[str, str]]) -> None:
        self._by_key: dict[str, tuple[int, str]] = {}
        self._paths: dict[str, str] = {}
        for relative, path in files:
            self._paths[path] = relative
            key = without_suffix(relative)
            self._enter(key, -1, path)
            if key.endswith(TARGET_ENDINGS):
                for rank, ending in enumerate(TARGET_ENDINGS):
                    if key.endswith(ending):
                        self._enter(key.removesuffix(ending), rank, path)
        self._used: set[str] = set()

    def _enter(self, key: str, rank: int, path: str) -> None:
        known = self._by_key.get(key)
        if known is None or rank < known[0]:
            self._by_key[key] = (rank, path)

    def find(self, relative: str) -> str | None:
        """Return the label file of the image at ``relative`` (POSIX, with its ending), or None.

        The image's name with its ending counts too: SegStudio's own results are called
        ``0001.jpg.png``.
        """
        stem = without_suffix(relative)
        entry = self._by_key.get(relative) or self._by_key.get(stem)
        if entry is None and stem.endswith(_IMAGE_ENDINGS):
            bare = (stem.removesuffix(ending) for ending in _IMAGE_ENDINGS if stem.endswith(ending))
            entry = next((self._by_key[key] for key in bare if key in self._by_key), None)
        if entry is None:
            return None
        self._used.add(entry[1])
        return entry[1]

    def unused(self) -> list[str]:
        """Return the relative paths of the label files that `find` never gave out, sorted."""
        return sorted(relative for path, relative in self._paths.items() if path not in self._used)
