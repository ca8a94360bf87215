"""Which label file belongs to which image: by name, with the endings that tools add tolerated."""

from __future__ import annotations

import re
from collections import Counter
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
    "tails_of",
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

_Ranked = dict[str, list[tuple[int, str]]]


def _by_last_letters(endings: Sequence[str]) -> _Ranked:
    """Return endings with their ranks: most names are ruled out by their last two letters."""
    return {
        letters: [(rank, end) for rank, end in enumerate(endings) if end[-2:] == letters]
        for letters in {end[-2:] for end in endings}
    }


_IMAGE_ENDINGS = ("_leftImg8bit", "_image", "_img", "_rgb", "_RGB", "_RGBIR", "_IRRG", "_sat")
"""What the name of an image may have that its label file's lacks."""

_RANKED = _by_last_letters(TARGET_ENDINGS)
_RANKED_FOLDED = _by_last_letters([ending.casefold() for ending in TARGET_ENDINGS])
_IMAGE_ENDINGS_FOLDED = tuple(ending.casefold() for ending in _IMAGE_ENDINGS)


def tails_of(path: str) -> list[str]:
    """Return a POSIX path and what is left of it without its first folder, two, and so on."""
    parts = path.split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


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
    folded : bool
        Whether these paths, and those asked for, are case-folded.
    """

    def __init__(self, files: Iterable[tuple[str, AnyPath]], *, folded: bool = False) -> None:
        self._paths: dict[str, AnyPath] = dict(files)
        self._used: set[str] = set()
        self._by_stem: dict[str, str] = {}
        self._by_ending: dict[str, tuple[int, str]] = {}
        self._image_endings = _IMAGE_ENDINGS_FOLDED if folded else _IMAGE_ENDINGS
        ranked = _RANKED_FOLDED if folded else _RANKED
        for relative in self._paths:
            stem = without_suffix(relative)
            self._by_stem.setdefault(stem, relative)
            for rank, ending in ranked.get(stem[-2:], ()):
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
        if found is None and stem.endswith(self._image_endings):
            endings = (ending for ending in self._image_endings if stem.endswith(ending))
            bare = (stem.removesuffix(ending) for ending in endings)
            found = next((hit for hit in map(self._look_up, bare) if hit is not None), None)
        if found is None:
            return None
        self._used.add(found)
        return self._paths[found]

    def find_any_case(self, names: Iterable[Sequence[str]]) -> list[AnyPath | None]:
        """Return the label files of images that `find` had none for, whatever the case of names.

        Cameras and tools that came from Windows write ``A.JPG`` and ``a.png``.  Only label files
        that `find` never gave out are taken, and none where two of these images or two label
        files differ in nothing but case: then case means something.

        Parameters
        ----------
        names : iterable of sequence of str
            For each image the paths to look for as `find` does, best first.

        Returns
        -------
        list of Path, str or None
            As many as there are images.
        """
        wanted = [[name.casefold() for name in choices] for choices in names]
        if len(self._used) == len(self._paths):
            return [None] * len(wanted)
        stems = Counter(stem.casefold() for stem in {without_suffix(path) for path in self._paths})
        rest = TargetIndex(
            (
                (relative.casefold(), relative)
                for relative in self._paths.keys() - self._used
                if stems[without_suffix(relative).casefold()] == 1
            ),
            folded=True,
        )
        found = [
            next((hit for hit in map(rest.find, choices) if hit is not None), None)
            for choices in wanted
        ]
        takers = Counter(found)
        kept = [None if hit is None or takers[hit] > 1 else hit for hit in found]
        self._used.update(hit for hit in kept if hit is not None)
        return [None if hit is None else self._paths[hit] for hit in kept]

    def find_all(self, names: Sequence[Sequence[str]]) -> list[AnyPath | None]:
        """Return the label file of each image: `find`, then `find_any_case` for the rest.

        Parameters
        ----------
        names : sequence of sequence of str
            For each image the paths to look for, best first.
        """
        found = [
            next((hit for hit in map(self.find, choices) if hit is not None), None)
            for choices in names
        ]
        missing = [place for place, hit in enumerate(found) if hit is None]
        if missing:
            rest = self.find_any_case(names[place] for place in missing)
            for place, hit in zip(missing, rest, strict=True):
                found[place] = hit
        return found

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
        self._folded: FileIndex[str] | None = None

    def find(self, name: str, folders: Sequence[str] = ("",)) -> str | None:
        """Return the relative path of the file called ``name``, None when there is none.

        Looked for below ``folders`` first (with their closing slash), then by tails of the name,
        longest first, and by the bare file name when only one file has it; last in the same way
        whatever the case, among files that differ in more than case.
        """
        found = self._find(name, folders)
        if found is not None:
            return found
        if self._folded is None:
            counts = Counter(relative.casefold() for relative in self.paths)
            entries = ((relative.casefold(), relative) for relative in self.paths)
            self._folded = FileIndex(entry for entry in entries if counts[entry[0]] == 1)
        same = self._folded._find(name.casefold(), [folder.casefold() for folder in folders])
        return None if same is None else self._folded.paths[same]

    def _find(self, name: str, folders: Sequence[str]) -> str | None:
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
    targets_found: list[str | None] = [None] * len(found)
    without: list[str] = []
    if index is not None:
        names = [relative if key is None else key(relative) for relative, _ in found]
        targets_found = [index.find(name) for name in names]
        if None in targets_found:
            targets_found = index.find_all([(name,) for name in names])
        missing = (place for place, target in enumerate(targets_found) if target is None)
        without = [prefix + found[place][0] for place in missing]
    samples = []
    for (relative, full), target in zip(found, targets_found, strict=True):
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
