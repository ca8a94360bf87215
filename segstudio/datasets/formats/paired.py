"""Images in one folder, label maps of the same names in another.

``images/`` + ``masks/``, ``img_dir/`` + ``ann_dir/`` and their kin, each with or without a folder
per split below (``images/train/``) or above (``train/images/``).
"""

from __future__ import annotations

from pathlib import Path

from segstudio.core.errors import NoDatasetError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import Sample
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat, split_names
from segstudio.datasets.classes import find_label_space
from segstudio.datasets.images import IMAGE_SUFFIXES, TARGET_SUFFIXES
from segstudio.datasets.layouts import folders_of
from segstudio.datasets.listing import peek, suffix_of
from segstudio.datasets.pairing import FolderPair, pair_folders

_IMAGE_FOLDERS = ("images", "img_dir", "image", "imgs", "img")
_TARGET_FOLDERS = (
    "masks",
    "ann_dir",
    "labels",
    "annotations",
    "mask",
    "label",
    "annotation",
    "segmentation",
    "segmentations",
    "ground_truth",
    "gt",
)
_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


@FORMATS.register("paired")
class PairedFormat(DatasetFormat):
    """Two folders, equal names."""

    description = (
        "Paired folders: images/ + masks/ (or labels/, annotations/), img_dir/ + ann_dir/; "
        "equal names, train/val/test folders optional."
    )

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.8 when the folders are there and hold images and label maps."""
        best = 0.0
        for pair in find_pairs(path):
            if _holds(path / pair.images, IMAGE_SUFFIXES):
                fits = _holds(path / pair.targets, TARGET_SUFFIXES)
                best = max(best, 0.8 if fits else 0.3)
        return best

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """Pair by names; images without a label map stay; see `DatasetFormat.open`."""
        pairs = find_pairs(path)
        if not pairs:
            raise NoDatasetError(
                f"{path} has no image folder with a label folder beside it, such as images/ and "
                "masks/ or img_dir/ and ann_dir/."
            )
        samples: list[Sample] = []
        notes: list[str] = []
        for pair in pairs:
            found, remarks = pair_folders(
                path, pair, split_of=_split_of if pair.split is None else None
            )
            samples += found
            notes += remarks
        if not samples:
            raise NoDatasetError(
                f"{path} has the folders {pairs[0].images}/ and {pairs[0].targets}/, but no image "
                "in the first."
            )
        if label_space is None:
            label_space, complaints = find_label_space(path)
            notes += complaints
        return Dataset(
            root=path,
            format=cls.name,
            samples=tuple(samples),
            label_space=label_space,
            splits=split_names(samples),
            title=path.resolve().name,
            notes=tuple(notes),
        )


def find_pairs(path: Path) -> list[FolderPair]:
    """Return the pairs of folders at the top, or else those inside folders named like splits."""
    names = folders_of(path)
    here = _first_pair(names, "", None)
    if here is not None:
        return [here]
    pairs = []
    for lower, split in _SPLITS.items():
        if lower in names:
            inside = _first_pair(folders_of(path / names[lower]), f"{names[lower]}/", split)
            if inside is not None:
                pairs.append(inside)
    return pairs


def _first_pair(names: dict[str, str], prefix: str, split: str | None) -> FolderPair | None:
    image = next((names[name] for name in _IMAGE_FOLDERS if name in names), None)
    target = next((names[name] for name in _TARGET_FOLDERS if name in names), None)
    if image is None or target is None:
        return None
    return FolderPair(prefix + image, prefix + target, split)


def _holds(folder: Path, suffixes: frozenset[str]) -> bool:
    return any(
        not is_folder and suffix_of(name) in suffixes for name, is_folder in peek(folder, 200)
    )


def _split_of(relative: str) -> str | None:
    folder, slash, _ = relative.partition("/")
    return _SPLITS.get(folder.lower()) if slash else None
