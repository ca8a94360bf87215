"""KITTI's semantic benchmark: ``training/image_2/`` and ``training/semantic/`` (label ids).

References
----------
H. Abu Alhaija et al., "Augmented reality meets computer vision", International Journal of Computer
Vision 126(9), 2018.
"""

from __future__ import annotations

from pathlib import Path

from segstudio.core.errors import NoDatasetError
from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat
from segstudio.datasets.layouts import open_pairs, pairs_there
from segstudio.datasets.pairing import FolderPair


@FORMATS.register("kitti")
class KittiFormat(DatasetFormat):
    """KITTI's semantic benchmark, with Cityscapes' label ids."""

    description = "KITTI semantics: training/image_2/ and training/semantic/, testing/image_2/."

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.95 when images and label ids are there."""
        return 0.95 if _find(path) else 0.0

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """Pair images and label ids by name; see `DatasetFormat.open`."""
        pairs = _find(path)
        if not pairs:
            raise NoDatasetError(
                f"{path} is not in the layout of KITTI's semantic benchmark: it has no folder "
                "training/image_2/ with a folder training/semantic/ beside it."
            )
        return open_pairs(cls.name, path, pairs, label_space or load_label_space("cityscapes"))


def _find(path: Path) -> list[FolderPair]:
    for base in ("", "data_semantics/"):
        pairs = pairs_there(
            path,
            (
                FolderPair(f"{base}{folder}/image_2", f"{base}{folder}/semantic", split)
                for folder, split in (("training", "train"), ("testing", "test"))
            ),
        )
        if pairs:
            return pairs
    return []
