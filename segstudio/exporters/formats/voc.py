"""PASCAL VOC's folders: palette PNGs, lists of the samples, photographs if wanted.

``SegmentationClass/NAME.png``, ``JPEGImages/NAME.jpg``, ``ImageSets/Segmentation/SPLIT.txt``
[1]_.  torchvision's ``VOCSegmentation`` opens an export with photographs whose folder is called
``VOCdevkit/VOC2012``.  Datumaro, and CVAT with it, goes by the palette's colours, which
``labelmap.txt`` names; void has the colour and the name that it has there.

References
----------
.. [1] M. Everingham et al., "The PASCAL Visual Object Classes Challenge", IJCV 2010.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from segstudio.core.label_space import LabelSpace
from segstudio.core.types import IGNORE_INDEX, Sample
from segstudio.datasets.encoding import encode_color_map
from segstudio.exporters._color_maps import (
    BLACK,
    COLOR_MAP_FILE,
    color_map_file,
    recolored_note,
    unique_colors,
)
from segstudio.exporters._eight_bits import check_eight_bits
from segstudio.exporters._label_spaces import LABEL_SPACE_FILE, label_space_file, stored_space
from segstudio.exporters._names import flat_names
from segstudio.exporters._photographs import photograph_file, photographs_option
from segstudio.exporters.base import EXPORTERS, ExportItem, FilesExporter, OutFile

_VOID = (224, 224, 192)
"""The colour of index 255 in VOC's own masks."""


@EXPORTERS.register("voc")
class VocExporter(FilesExporter):
    """The layout of PASCAL VOC's segmentation task."""

    description = "PASCAL VOC folders: SegmentationClass palette PNGs, ImageSets, photographs."

    @dataclass(frozen=True)
    class Options:
        """What goes beside the label maps."""

        images: str = photographs_option("none")

    def names(self, samples: Iterable[Sample]) -> dict[str, str]:
        """Return names without folders."""
        return flat_names(samples)

    def check(self, label_space: LabelSpace, options: Any) -> None:
        """Refuse label spaces that a palette cannot hold."""
        check_eight_bits(label_space, "the palette PNG of PASCAL VOC")

    def remarks(self, label_space: LabelSpace, options: Any) -> list[str]:
        """Return how many classes could not keep their colour."""
        return recolored_note(
            label_space,
            unique_colors(label_space, (_VOID,)),
            "labelmap.txt tells classes apart by colour",
        )

    def side_files(self, label_space: LabelSpace, options: Any) -> dict[str, bytes]:
        """Return the class list, for us, as plain names, and with the palette's colours."""
        names = "".join(f"{name}\n" for name in label_space.names)
        space = stored_space(label_space, source_ids=False)
        return {
            LABEL_SPACE_FILE: label_space_file(space),
            "class_names.txt": names.encode("utf-8"),
            COLOR_MAP_FILE: color_map_file(
                [*label_space.names, "ignored"], [*unique_colors(label_space, (_VOID,)), _VOID]
            ),
        }

    def files(
        self, item: ExportItem, name: str, label_space: LabelSpace, options: Any
    ) -> list[OutFile]:
        """Return the palette PNG, whose ignored pixels are VOC's void 255, and the photograph."""
        colors = unique_colors(label_space, (_VOID,))
        unused = IGNORE_INDEX - len(colors)
        encode = partial(encode_color_map, colors=[*colors, *[BLACK] * unused, _VOID])
        return [
            OutFile(f"SegmentationClass/{name}.png", encode),
            *photograph_file(f"JPEGImages/{name}.jpg", item, options.images, self.tally),
        ]

    def lists(
        self, written: Sequence[tuple[ExportItem, str]], label_space: LabelSpace, options: Any
    ) -> dict[str, bytes]:
        """Return the names of each split, and of training and validation together."""
        splits: dict[str, list[str]] = {"trainval": []}
        for item, name in written:
            split = item.sample.split
            if split is not None and split != "trainval":
                splits.setdefault(split, []).append(name)
            if split in {None, "train", "val", "trainval"}:
                splits["trainval"].append(name)
        return {
            f"ImageSets/Segmentation/{split}.txt": "".join(f"{n}\n" for n in names).encode("utf-8")
            for split, names in splits.items()
            if names
        }
