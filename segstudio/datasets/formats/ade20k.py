"""ADE20K as the SceneParsing benchmark ships it (``ADEChallengeData2016``).

``images/{training,validation}/`` and ``annotations/{training,validation}/``; 1..150 are classes,
0 is everything else and is ignored.

References
----------
B. Zhou et al., "Scene parsing through ADE20K dataset", CVPR 2017.
"""

from __future__ import annotations

from pathlib import Path

from segstudio.core.errors import NoDatasetError
from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat
from segstudio.datasets.layouts import open_pairs, pairs_there
from segstudio.datasets.listing import peek
from segstudio.datasets.pairing import FolderPair

_SPLITS = {"training": "train", "validation": "val", "testing": "test"}
_SIGNS = ("objectInfo150.txt", "objectInfo150.csv", "sceneCategories.txt")


@FORMATS.register("ade20k")
class Ade20kFormat(DatasetFormat):
    """ADE20K with the 150 classes of the SceneParsing benchmark."""

    description = "ADE20K SceneParsing: images/ and annotations/ with training/, validation/."

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.95 when the folders are there with ADE20K's class list or file names."""
        base = _find_base(path)
        if base is None:
            return 0.0
        if any((path / base / sign).is_file() for sign in _SIGNS):
            return 0.95
        for split in _SPLITS:
            folder = path / base / "annotations" / split
            if any(name.startswith("ADE_") for name, _ in peek(folder, 20)):
                return 0.95
        return 0.0

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """Pair images and annotations by name; see `DatasetFormat.open`."""
        base = _find_base(path)
        if base is None:
            raise NoDatasetError(
                f"{path} is not in ADE20K's layout: it has no folders images/ and annotations/ "
                "with training/ or validation/ in them."
            )
        pairs = [
            FolderPair(f"{base}images/{folder}", f"{base}annotations/{folder}", split)
            for folder, split in _SPLITS.items()
        ]
        space = label_space or load_label_space("ade20k")
        return open_pairs(cls.name, path, pairs_there(path, pairs), space)


def _find_base(path: Path) -> str | None:
    for base in ("", "ADEChallengeData2016/"):
        for split in _SPLITS:
            if all((path / base / top / split).is_dir() for top in ("images", "annotations")):
                return base
    return None
