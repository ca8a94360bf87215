"""BDD100K's semantic segmentation: 10,000 images with Cityscapes' train ids.

``images/10k/<split>/`` with ``labels/sem_seg/masks/<split>/``, or the older ``seg/images/`` with
``seg/labels/``, whose files end in ``_train_id.png``.

References
----------
F. Yu et al., "BDD100K: a diverse driving dataset for heterogeneous multitask learning", CVPR 2020.
"""

from __future__ import annotations

from pathlib import Path

from segstudio.core.errors import NoDatasetError
from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat
from segstudio.datasets.layouts import open_pairs, pairs_there
from segstudio.datasets.pairing import FolderPair

_LAYOUTS = (("images/10k", "labels/sem_seg/masks"), ("seg/images", "seg/labels"))


@FORMATS.register("bdd100k")
class Bdd100kFormat(DatasetFormat):
    """BDD100K, old and new layout."""

    description = (
        "BDD100K: images/10k/ with labels/sem_seg/masks/, or seg/images/ with seg/labels/."
    )

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.95 when folders of both kinds are there."""
        return 0.95 if _find(path) else 0.0

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """Pair images and masks by name; see `DatasetFormat.open`."""
        pairs = _find(path)
        if not pairs:
            raise NoDatasetError(
                f"{path} is not in BDD100K's layout: it has neither images/10k/ with "
                "labels/sem_seg/masks/ nor seg/images/ with seg/labels/."
            )
        return open_pairs(
            cls.name, path, pairs, label_space or load_label_space("cityscapes-trainids")
        )


def _find(path: Path) -> list[FolderPair]:
    for base in ("", "bdd100k/"):
        for images, targets in _LAYOUTS:
            pairs = pairs_there(
                path,
                (
                    FolderPair(f"{base}{images}/{split}", f"{base}{targets}/{split}", split)
                    for split in ("train", "val", "test")
                ),
            )
            if pairs:
                return pairs
    return []
