"""Which label file belongs to which image: by name, with the endings that tools add tolerated."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from segstudio.core.types import Sample
from segstudio.datasets.images import TARGET_SUFFIXES
from segstudio.datasets.listing import Listing, list_files, plural

__all__ = [
    "TARGET_ENDINGS",
    "FileIndex",
    "FolderPair",
    "TargetIndex",
    "pair_folders",
    "without_suffix",
]

AnyPath = TypeVar("AnyPath", Path, str)
"""What an index gives out: `Path` objects, or text where there are very many."""

TARGET_ENDINGS = (
    "_gtFine_labelIds",
    "_gtFine_labelTrainIds",
    "_gtCoarse_labelIds",
    "_gtCoarse_labelTrainIds",
    "_labelIds",
    "_labelTrainIds",
    "_gtFine_polygons",
    "_gtCoarse_polygons",
    "_labels_semantic",
    "_train_id",
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

_BY_LAST_LETTERS = {
    letters: [(rank, end) for rank, end in enumerate(TARGET_ENDINGS) if end[-2:] == letters]
    for letters in {end[-2:] for end in TARGET_ENDINGS}
}
"""The same with their ranks: most names are ruled out by their last two letters."""

_IMAGE_ENDINGS = ("_leftImg8bit", "_image", "_img", "_rgb", "_RGB", "_RGBIR", "_IRRG", "_sat")
"""What the name of an image may have that its label file's lacks."""


def without_suffix(path: str) -> str:
    """Return a POSIX path without the ending of its file name."""
    stem, _, ending = path.rpartition(".")
    return path if not stem or "/" in ending or stem[-1] == "/" else stem


class TargetIndex(Generic[AnyPath]):
    """Label files by the names their images may have.

    Parameters
    ----------
    files : iterable of (str, Path or str)
        POSIX path relative to the label folder, and the path.
    """

    def __init__(self, files: Iterable[tuple[str, AnyPath]]) -> None:
        self._paths: dict[str, AnyPath] = dict(files)
        self._used: set[str] = set()
        self._by_stem: dict[str, str] = {}
        self._by_ending: dict[str, tuple[int, str]] = {}
        for relative in self._paths:
            stem = without_suffix(relative)
            self._by_stem.setdefault(stem, relative)
            for rank, ending in _BY_LAST_LETTERS.get(stem[-2:], ()):
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

    def find(self, relative: str) -> AnyPath | None:
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


class FileIndex(Generic[AnyPath]):
    r"""Files by the names that lists and annotation files give them.

    Only files that were listed are ever given out: a name such as ``../../etc/passwd`` or
    ``C:\data\1.jpg`` cannot lead out of the folder, it is found by its tail or not at all.

    Parameters
    ----------
    files : iterable of (str, Path or str)
        POSIX path relative to the dataset's root, and the path.
    """

    def __init__(self, files: Iterable[tuple[str, AnyPath]]) -> None:
        self.paths: dict[str, AnyPath] = dict(files)
        self._by_name: dict[str, str | None] = {}
        for relative in self.paths:
            name = relative.rpartition("/")[2]
            # None stands for a name that several folders have: it says nothing on its own.
            self._by_name[name] = None if name in self._by_name else relative

    def find(self, name: str, folders: Sequence[str] = ("",)) -> str | None:
        """Return the relative path of the file called ``name``, None when there is none.

        Looked for below ``folders`` first (with their closing slash), then by tails of the name,
        longest first, and last by the bare file name when only one file has it.
        """
        for folder in folders:
            if f"{folder}{name}" in self.paths:
                return f"{folder}{name}"
        parts = [part for part in re.split(r"[/\\]+", name) if part not in ("", ".", "..")]
        if not parts:
            return None
        tails = ["/".join(parts[start:]) for start in range(len(parts))]
        for tail in tails:
            for folder in (*folders, ""):
                if f"{folder}{tail}" in self.paths:
                    return f"{folder}{tail}"
        return self._by_name.get(parts[-1])


@dataclass(frozen=True, slots=True)
class FolderPair:
    """An image folder, its label folder and the split they are for, as relative POSIX paths.

    Attributes
    ----------
    images, targets : str
        "" is the root itself; the label folder need not exist (test sets).
    split : str or None
        None when the folders belong to no split.
    """

    images: str
    targets: str
    split: str | None = None


def pair_folders(
    root: Path,
    pair: FolderPair,
    *,
    is_image: Callable[[str], bool] | None = None,
    is_target: Callable[[str], bool] | None = None,
    suffixes: Collection[str] = TARGET_SUFFIXES,
    targets: Listing | None = None,
    split_of: Callable[[str], str | None] | None = None,
    key: Callable[[str], str] | None = None,
) -> tuple[list[Sample], list[str]]:
    """Pair the images of one folder with the label files of another by their names.

    Parameters
    ----------
    root : Path
        The dataset's root.
    pair : FolderPair
        Where to look.
    is_image, is_target : callable, optional
        Which relative paths count; None takes all.
    suffixes : collection of str
        Endings of label files.
    targets : Listing, optional
        The label files, where they have been listed already.
    split_of : callable, optional
        Split of an image from its path relative to the image folder.
    key : callable, optional
        The path under which the label file of an image is looked for; None is the image's own.

    Returns
    -------
    samples : list of Sample
        All images; those without a label file have no target.
    notes : list of str
        One sentence on images without label files, one on label files without images.
    """
    images = list_files(root / pair.images)
    prefix = f"{pair.images}/" if pair.images else ""
    notes = list(images.notes)
    found = [entry for entry in images.entries if is_image is None or is_image(entry[0])]
    index = None
    if targets is None and (root / pair.targets).is_dir():
        targets = list_files(root / pair.targets, suffixes)
    if targets is not None:
        notes += targets.notes
        kept = (entry for entry in targets.entries if is_target is None or is_target(entry[0]))
        index = TargetIndex(kept)
    samples = []
    without = []
    for relative, full in found:
        target = None
        if index is not None:
            target = index.find(relative if key is None else key(relative))
            if target is None:
                without.append(prefix + relative)
        split = pair.split if split_of is None else split_of(relative) or pair.split
        samples.append(Sample.of_files(prefix + relative, full, target, split))
    here = f"{pair.images}/" if pair.images else str(root)
    if without:
        notes.append(
            f"{plural(len(without), 'image')} of {here} without a mask in "
            f"{pair.targets}/, {without[0]} first."
        )
    unused = index.unused() if index is not None else []
    if unused:
        notes.append(
            f"{plural(len(unused), 'mask')} of {pair.targets}/ without an image in "
            f"{here}, {unused[0]} first."
        )
    return samples, notes
