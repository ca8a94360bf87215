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
from segstudio.core.palette import Color, apply_palette, distinct_colors
from segstudio.core.types import LabelMap, Sample
from segstudio.datasets.encoding import encode_png
from segstudio.exporters._names import flat_names
from segstudio.exporters._photographs import photograph_file, photographs_option
from segstudio.exporters.base import EXPORTERS, ExportItem, FilesExporter, OutFile

_BLACK = (0, 0, 0)


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
        pairs = zip(label_space.colors, unique_colors(label_space), strict=True)
        changed = sum(old != new for old, new in pairs)
        if not changed:
            return []
        noun = "class has" if changed == 1 else "classes have"
        return [
            f"{changed} {noun} another colour than in the label space, because CVAT tells classes "
            "apart by colour and black is its background."
        ]

    def side_files(self, label_space: LabelSpace, options: Any) -> dict[str, bytes]:
        """Return the colours of the classes; CVAT's background is black."""
        lines = ["# label:color_rgb:parts:actions"]
        entries = list(zip(label_space.names, unique_colors(label_space), strict=True))
        if _BLACK not in dict(entries).values():
            entries.insert(0, ("background", _BLACK))
        lines += [f"{_plain(name)}:{r},{g},{b}::" for name, (r, g, b) in entries]
        return {"labelmap.txt": ("\n".join(lines) + "\n").encode("utf-8")}

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
    colors: list[Color] = [_BLACK] * len(label_space)
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


def unique_colors(label_space: LabelSpace) -> list[Color]:
    """Return a colour for each class that no other has; black only for a class "background"."""
    used: set[Color] = {_BLACK}
    spare = iter(distinct_colors(4 * len(label_space) + 4))
    colors = []
    taken = set(label_space.colors)
    for entry in label_space.classes:
        color = entry.color
        is_background = entry.name.lower() == "background" and color == _BLACK
        if color in used and not is_background:
            color = next(other for other in spare if other not in used and other not in taken)
        used.add(color)
        colors.append(color)
    return colors


def _plain(name: str) -> str:
    """Return a class name without the separator of ``labelmap.txt``."""
    return name.replace(":", " ").replace("\n", " ")
