"""COCO-Stuff's pixel maps: grey PNGs of its ids 0..181, 255 ignored.

References
----------
H. Caesar, J. Uijlings and V. Ferrari, "COCO-Stuff: Thing and Stuff Classes in Context", CVPR 2018;
https://github.com/nightrome/cocostuff
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.core.types import IGNORE_INDEX, LabelMap, Sample
from segstudio.datasets.encoding import encode_png
from segstudio.exporters._eight_bits import check_eight_bits
from segstudio.exporters._label_spaces import LABEL_SPACE_FILE, label_space_file
from segstudio.exporters._names import flat_names
from segstudio.exporters._photographs import photograph_file, photographs_option
from segstudio.exporters.base import EXPORTERS, ExportItem, FilesExporter, OutFile


@EXPORTERS.register("coco-stuff")
class CocoStuffExporter(FilesExporter):
    """Grey PNGs of source ids in COCO-Stuff's folders."""

    description = "COCO-Stuff pixel maps: stuffthingmaps/SPLIT2017/NAME.png, ids 0..181, 255."

    @dataclass(frozen=True)
    class Options:
        """What goes beside the pixel maps."""

        images: str = photographs_option("none")

    def names(self, samples: Iterable[Sample]) -> dict[str, str]:
        """Return names without folders."""
        return flat_names(samples)

    def check(self, label_space: LabelSpace, options: Any) -> None:
        """Refuse label spaces whose ids need more than 8 bits."""
        ids = [entry.source_id for entry in label_space.classes]
        check_eight_bits(label_space, "a pixel map of COCO-Stuff", ids=ids)

    def remarks(self, label_space: LabelSpace, options: Any) -> list[str]:
        """Return a sentence when the ids are not COCO-Stuff's."""
        theirs = {entry.source_id: entry.name for entry in load_label_space("coco-stuff").classes}
        if all(theirs.get(entry.source_id) == entry.name for entry in label_space.classes):
            return []
        return [
            f"The ids are those of the label space {label_space.name}, not COCO-Stuff's: its "
            "scripts will take them for other classes."
        ]

    def side_files(self, label_space: LabelSpace, options: Any) -> dict[str, bytes]:
        """Return the class list with the ids of the files."""
        space = replace(label_space, ignore_ids=(IGNORE_INDEX,))
        return {LABEL_SPACE_FILE: label_space_file(space)}

    def files(
        self, item: ExportItem, name: str, label_space: LabelSpace, options: Any
    ) -> list[OutFile]:
        """Return the pixel map, and the photograph below ``images``."""
        folder = f"{item.sample.split or 'val'}2017"
        return [
            OutFile(f"stuffthingmaps/{folder}/{name}.png", partial(_encode, label_space)),
            *photograph_file(f"images/{folder}/{name}.jpg", item, options.images, self.tally),
        ]


def _encode(label_space: LabelSpace, label_map: LabelMap) -> bytes:
    table = np.full(256, IGNORE_INDEX, np.uint8)
    table[: len(label_space)] = [entry.source_id for entry in label_space.classes]
    return encode_png(table[label_map])
