"""COCO-Stuff 10k: ``images/``, MATLAB files in ``annotations/`` and ``imageLists/``.

The array ``S`` holds 0 (unlabelled), 1..91 (things) and 92..182 (stuff): the ids of the 164k
pixel maps and one more.  They are read as the ids of the 164k maps, so both are one label space.

References
----------
H. Caesar, J. Uijlings and V. Ferrari, "COCO-Stuff: thing and stuff classes in context", CVPR 2018.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import LabelValueError, NoDatasetError, UsageError
from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.core.types import IGNORE_INDEX, Sample
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat
from segstudio.datasets.json_files import read_text
from segstudio.datasets.layouts import open_pairs
from segstudio.datasets.listing import peek, suffix_of
from segstudio.datasets.mat_files import read_mat_map
from segstudio.datasets.pairing import FolderPair, without_suffix

_SPLITS = ("train", "test")


@FORMATS.register("coco-stuff-10k")
class CocoStuff10kFormat(DatasetFormat):
    """COCO-Stuff's first release."""

    description = "COCO-Stuff 10k: images/, annotations/*.mat and imageLists/."

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.94 when images and MATLAB files are there."""
        return 0.94 if _is_there(path) else 0.0

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """Pair images and MATLAB files by name; see `DatasetFormat.open`."""
        if not _is_there(path):
            raise NoDatasetError(
                f"{path} is not in the layout of COCO-Stuff 10k: it has no folder images/ with "
                "MATLAB files (.mat) in annotations/."
            )
        splits, notes = _lists(path)
        return open_pairs(
            cls.name,
            path,
            [FolderPair("images", "annotations")],
            label_space or load_label_space("coco-stuff"),
            decoder=_read,
            suffixes=(".mat",),
            notes=notes,
            split_of=(lambda relative: splits.get(without_suffix(relative))) if splits else None,
        )


def _is_there(path: Path) -> bool:
    if not (path / "images").is_dir():
        return False
    return any(
        not is_folder and suffix_of(name) == ".mat"
        for name, is_folder in peek(path / "annotations", 40)
    )


def _lists(path: Path) -> tuple[dict[str, str], list[str]]:
    splits: dict[str, str] = {}
    notes: list[str] = []
    for split in _SPLITS:
        file = path / "imageLists" / f"{split}.txt"
        if file.is_file():
            try:
                for line in read_text(file).splitlines():
                    splits.setdefault(without_suffix(line.strip()), split)
            except UsageError as error:
                notes.append(str(error))
    return splits, notes


def _read(sample: Sample, shape: tuple[int, int]) -> NDArray[Any]:
    path = sample.target_path
    assert path is not None
    stored = read_mat_map(path, "S", shape)
    highest = int(stored.max(initial=0))
    if highest > 182:
        raise LabelValueError(f"{path} has the id {highest}; COCO-Stuff 10k goes up to 182.")
    return np.where(stored == 0, IGNORE_INDEX, stored - np.uint16(1)).astype(np.uint8)
