"""LoveDA: ``Train/{Urban,Rural}/images_png/`` with ``masks_png/``; ids 1..7, 0 is no data.

References
----------
J. Wang et al., "LoveDA: a remote sensing land-cover dataset for domain adaptive semantic
segmentation", NeurIPS Datasets and Benchmarks 2021.
"""

from __future__ import annotations

from pathlib import Path

from segstudio.core.errors import NoDatasetError
from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat
from segstudio.datasets.layouts import open_pairs, pairs_there
from segstudio.datasets.pairing import FolderPair


@FORMATS.register("loveda")
class LovedaFormat(DatasetFormat):
    """LoveDA as its authors ship it."""

    description = "LoveDA: Train/, Val/, Test/ with Urban/ and Rural/, images_png/ and masks_png/."

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.95 when images and masks are there."""
        return 0.95 if _find(path) else 0.0

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """Pair images and masks by name; see `DatasetFormat.open`."""
        pairs = _find(path)
        if not pairs:
            raise NoDatasetError(
                f"{path} is not in LoveDA's layout: it has no folder such as Train/Urban/ with "
                "images_png/ and masks_png/ in it."
            )
        return open_pairs(cls.name, path, pairs, label_space or load_label_space("loveda"))


def _find(path: Path) -> list[FolderPair]:
    return pairs_there(
        path,
        (
            FolderPair(f"{split}/{area}/images_png", f"{split}/{area}/masks_png", split.lower())
            for split in ("Train", "Val", "Test")
            for area in ("Rural", "Urban")
        ),
    )
