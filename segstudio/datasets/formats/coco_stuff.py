"""COCO-Stuff's pixel maps (164k): ids 0..181 with gaps, 255 ignored.

Images in ``train2017/``, ``val2017/`` (also below ``images/``), maps in folders of the same names
below ``stuffthingmaps/``, ``annotations/`` or ``labels/``.  Maps called ``*_labelTrainIds.png``, as
tool boxes write them, hold class indices 0..170 and are read as such.

References
----------
H. Caesar, J. Uijlings and V. Ferrari, "COCO-Stuff: thing and stuff classes in context", CVPR 2018.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import NoDatasetError
from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.core.types import Sample
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat
from segstudio.datasets.images import TARGET_SUFFIXES, read_source_map
from segstudio.datasets.layouts import open_pairs
from segstudio.datasets.listing import peek, suffix_of
from segstudio.datasets.pairing import FolderPair

_TARGETS = ("stuffthingmaps", "stuffthingmaps_trainval2017", "annotations", "labels")
_SETS = {"train": "train", "val": "val", "test": "test"}
_TRAIN_IDS = "_labelTrainIds"


@FORMATS.register("coco-stuff")
class CocoStuffFormat(DatasetFormat):
    """COCO-Stuff's pixel maps."""

    description = "COCO-Stuff 164k: train2017/, val2017/ and pixel maps below stuffthingmaps/."

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.94 when a set of COCO's images has maps of its name."""
        return 0.94 if _find_pairs(path) else 0.0

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """Pair images and maps by name; see `DatasetFormat.open`."""
        pairs = _find_pairs(path)
        if not pairs:
            raise NoDatasetError(
                f"{path} is not in COCO-Stuff's layout: it has no folder such as val2017/ with "
                "pixel maps in stuffthingmaps/val2017/ or annotations/val2017/."
            )
        # Both versions may lie side by side; the original is read then.
        plain = any(_has_plain(path / pair.targets) for pair in pairs)
        return open_pairs(
            cls.name,
            path,
            pairs,
            label_space or load_label_space("coco-stuff"),
            decoder=_read,
            is_target=_is_plain if plain else None,
        )


def _find_pairs(path: Path) -> list[FolderPair]:
    pairs = []
    for top in ("", "images/"):
        try:
            names = sorted(os.listdir(path / top))[:400]
        except OSError:
            continue
        for name in names:
            split = next((s for word, s in _SETS.items() if name.startswith(f"{word}20")), None)
            if split is None or not (path / top / name).is_dir():
                continue
            target = next((t for t in _TARGETS if _holds_maps(path / t / name)), None)
            if target is not None:
                pairs.append(FolderPair(f"{top}{name}", f"{target}/{name}", split))
    return pairs


def _holds_maps(folder: Path) -> bool:
    return any(suffix_of(name) in TARGET_SUFFIXES for name, _ in peek(folder, 40))


def _has_plain(folder: Path) -> bool:
    return any(_is_plain(name) for name, is_folder in peek(folder, 40) if not is_folder)


def _is_plain(relative: str) -> bool:
    return _TRAIN_IDS not in relative and "_instanceTrainIds" not in relative


def _read(sample: Sample, shape: tuple[int, int]) -> NDArray[Any]:
    path = sample.target_path
    assert path is not None
    stored = read_source_map(path)
    if _is_plain(path.name):
        return stored
    space = load_label_space("coco-stuff")
    table = np.full(65536, 65535, np.uint16)  # no id: named as unknown by the label space
    table[: len(space)] = [entry.source_id for entry in space.classes]
    table[255] = 255
    return table[stored]
