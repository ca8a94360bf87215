"""ADE20K's grey PNGs: 1..150 the classes, 0 everything else.

A submission to the SceneParsing benchmark is one folder of PNGs named as the images [1]_; the
dataset's layout is ``annotations/{training,validation}/`` beside ``images/``.

References
----------
.. [1] B. Zhou et al., "Scene Parsing through ADE20K Dataset", CVPR 2017;
   https://github.com/CSAILVision/sceneparsing
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.core.options import option
from segstudio.core.types import LabelMap, Sample
from segstudio.datasets.encoding import encode_png
from segstudio.exporters._eight_bits import check_eight_bits
from segstudio.exporters._label_spaces import LABEL_SPACE_FILE, label_space_file
from segstudio.exporters._names import flat_names
from segstudio.exporters._photographs import photograph_file, photographs_option
from segstudio.exporters.base import EXPORTERS, ExportItem, FilesExporter, OutFile

_FOLDERS = {"train": "training", "val": "validation", "test": "testing"}


@EXPORTERS.register("ade20k")
class Ade20kExporter(FilesExporter):
    """Grey PNGs of class index + 1."""

    description = "ADE20K PNGs, class 1..150 and 0 for ignored: benchmark folder or dataset."

    @dataclass(frozen=True)
    class Options:
        """Which of the two layouts."""

        layout: str = option(
            "submission",
            "One folder of PNGs, or annotations/training and annotations/validation.",
            choices=("submission", "dataset"),
        )
        images: str = photographs_option("none")

    def names(self, samples: Iterable[Sample]) -> dict[str, str]:
        """Return names without folders."""
        return flat_names(samples)

    def check(self, label_space: LabelSpace, options: Any) -> None:
        """Refuse label spaces of more classes than 1..255."""
        ids = range(1, len(label_space) + 1)
        check_eight_bits(label_space, "an annotation of ADE20K", ids=ids, largest=255)

    def remarks(self, label_space: LabelSpace, options: Any) -> list[str]:
        """Return a sentence when the classes are not the benchmark's."""
        if label_space.names == load_label_space("ade20k").names:
            return []
        return [
            f"The classes are those of the label space {label_space.name}, numbered from 1, not "
            "ADE20K's 150: its scripts will take them for others."
        ]

    def side_files(self, label_space: LabelSpace, options: Any) -> dict[str, bytes]:
        """Return the class list with the numbers of the files."""
        classes = tuple(replace(c, source_id=c.index + 1) for c in label_space.classes)
        return {
            LABEL_SPACE_FILE: label_space_file(
                replace(label_space, classes=classes, ignore_ids=(0,))
            )
        }

    def files(
        self, item: ExportItem, name: str, label_space: LabelSpace, options: Any
    ) -> list[OutFile]:
        """Return the PNG, and the photograph below ``images``."""
        split = item.sample.split or "val"
        folder = _FOLDERS.get(split, split)
        is_dataset = options.layout == "dataset"
        place = f"annotations/{folder}/{name}.png" if is_dataset else f"{name}.png"
        return [
            OutFile(place, _encode),
            *photograph_file(f"images/{folder}/{name}.jpg", item, options.images, self.tally),
        ]


def _encode(label_map: LabelMap) -> bytes:
    # Class indices are 254 at most, so that the ignored 255 alone wraps around to 0.
    return encode_png((label_map + np.uint8(1)).astype(np.uint8))
