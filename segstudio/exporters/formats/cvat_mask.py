"""CVAT's "Segmentation mask 1.1": colour PNGs in PASCAL VOC's folders, and their colours.

``SegmentationObject``, which tells instances apart, is part of the documented layout; a label map
has none, so each class of an image is one object there.

References
----------
CVAT documentation, https://docs.cvat.ai/docs/dataset_management/formats/format-smask
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from segstudio.core.label_space import LabelSpace
from segstudio.core.options import option
from segstudio.core.palette import Color, apply_palette
from segstudio.core.types import LabelMap, Sample
from segstudio.datasets.encoding import encode_png
from segstudio.exporters._color_maps import (
    BLACK,
    COLOR_MAP_FILE,
    color_map_file,
    recolored_note,
    unique_colors,
)
from segstudio.exporters._names import flat_names
from segstudio.exporters._photographs import photograph_file, photographs_option
from segstudio.exporters.base import EXPORTERS, ExportItem, FilesExporter, OutFile


@EXPORTERS.register("cvat-mask")
class CvatMaskExporter(FilesExporter):
    """Colour PNGs and ``labelmap.txt``."""

    description = "CVAT Segmentation mask 1.1: colour PNGs, labelmap.txt, lists."

    @dataclass(frozen=True)
    class Options:
        """What goes beside the label maps."""

        objects: bool = option(
            True, "Also write SegmentationObject/, where each class of an image is one object."
        )
        images: str = photographs_option("none")

    def names(self, samples: Iterable[Sample]) -> dict[str, str]:
        """Return names without folders."""
        return flat_names(samples)

    def remarks(self, label_space: LabelSpace, options: Any) -> list[str]:
        """Return how many classes could not keep their colour."""
        return recolored_note(
            label_space,
            unique_colors(label_space),
            "CVAT tells classes apart by colour and black is its background",
        )

    def side_files(self, label_space: LabelSpace, options: Any) -> dict[str, bytes]:
        """Return the colours of the classes; CVAT's background is black."""
        return {COLOR_MAP_FILE: color_map_file(label_space.names, unique_colors(label_space))}

    def files(
        self, item: ExportItem, name: str, label_space: LabelSpace, options: Any
    ) -> list[OutFile]:
        """Return the colour PNG and the photograph."""
        encode = partial(self._encode, label_space)
        return [
            OutFile(f"SegmentationClass/{name}.png", encode),
            *(
                [OutFile(f"SegmentationObject/{name}.png", partial(_encode_objects, label_space))]
                if options.objects
                else []
            ),
            *photograph_file(f"JPEGImages/{name}.jpg", item, options.images, self.tally),
        ]

    def lists(
        self, written: Sequence[tuple[ExportItem, str]], label_space: LabelSpace, options: Any
    ) -> dict[str, bytes]:
        """Return the names, by split as CVAT's subsets; those without are "default"."""
        splits: dict[str, list[str]] = {}
        for item, name in written:
            splits.setdefault(item.sample.split or "default", []).append(name)
        return {
            f"ImageSets/Segmentation/{split}.txt": "".join(f"{n}\n" for n in names).encode("utf-8")
            for split, names in splits.items()
        }

    def _encode(self, label_space: LabelSpace, label_map: LabelMap) -> bytes:
        ignored = int(np.count_nonzero(label_map == label_space.ignore_index))
        self.tally.add("Ignored pixels are CVAT's background, as it has no such value", ignored)
        return encode_png(apply_palette(label_map, unique_colors(label_space)))


def _encode_objects(label_space: LabelSpace, label_map: LabelMap) -> bytes:
    """Return the objects of an image in PASCAL VOC's colours, numbered from 1 by class."""
    colors: list[Color] = [BLACK] * len(label_space)
    number = 0
    for index in np.unique(label_map[label_map != label_space.ignore_index]).tolist():
        if label_space.classes[index].name.lower() != "background":
            number += 1
            colors[index] = _object_color(number)
    return encode_png(apply_palette(label_map, colors))


def _object_color(number: int) -> Color:
    """Return VOC's colour of an object: the bits of its number, taken by threes, from the top."""
    channels = [0, 0, 0]
    for place in range(8):
        for channel in range(3):
            channels[channel] |= (number >> (3 * place + channel) & 1) << (7 - place)
    return channels[0], channels[1], channels[2]
