"""labelme's JSON: one file beside each image, a shape for each class or region.

Shapes of the type "mask" (labelme 5.3 and later) keep every pixel: a PNG of ones inside the box
whose corner pixels, both included, are the two points [1]_.

References
----------
.. [1] K. Wada, labelme, https://github.com/wkentaro/labelme
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from segstudio.core.label_space import LabelSpace
from segstudio.core.options import option
from segstudio.core.types import LabelMap
from segstudio.datasets.encoding import encode_png
from segstudio.exporters._photographs import (
    photograph_ending,
    photograph_file,
    photographs_option,
)
from segstudio.exporters._polygons import coco_polygons, outer_outlines
from segstudio.exporters._regions import RegionMap, find_regions
from segstudio.exporters.base import EXPORTERS, ExportItem, FilesExporter, OutFile

_VERSION = "5.5.0"
"""The version whose files these are: the first with descriptions and masks as they are now."""


@EXPORTERS.register("labelme")
class LabelmeExporter(FilesExporter):
    """One JSON of shapes per sample."""

    description = "labelme JSON: a mask or polygon shape for each class or region of an image."

    @dataclass(frozen=True)
    class Options:
        """What a shape is."""

        regions: str = option(
            "class",
            "One shape for all pixels of a class, or one for each connected component.",
            choices=("class", "component"),
        )
        shape: str = option(
            "mask",
            "Exact masks, or polygons, which fill the holes of a region.",
            choices=("mask", "polygon"),
        )
        images: str = photographs_option("none")

    def side_files(self, label_space: LabelSpace, options: Any) -> dict[str, bytes]:
        """Return the list that ``labelme --labels`` takes."""
        names = ["__ignore__", *label_space.names]
        return {"labels.txt": "".join(f"{name}\n" for name in names).encode("utf-8")}

    def remarks(self, label_space: LabelSpace, options: Any) -> list[str]:
        """Return where labelme looks for photographs."""
        if options.images != "none":
            return []
        return [
            "labelme looks for each photograph beside its JSON file: set images to copy or link."
        ]

    def files(
        self, item: ExportItem, name: str, label_space: LabelSpace, options: Any
    ) -> list[OutFile]:
        """Return the JSON, and the photograph beside it."""
        photograph = f"{name}{photograph_ending(item)}"
        return [
            OutFile(f"{name}.json", partial(self._encode, item, label_space, options, photograph)),
            *photograph_file(photograph, item, options.images, self.tally),
        ]

    def _encode(
        self,
        item: ExportItem,
        label_space: LabelSpace,
        options: Any,
        photograph: str,
        label_map: LabelMap,
    ) -> bytes:
        ignored = int(np.count_nonzero(label_map == label_space.ignore_index))
        self.tally.add("Ignored pixels are in no shape, as labelme has no such value", ignored)
        regions = find_regions(
            label_map, label_space.ignore_index, components=options.regions == "component"
        )
        image_path = item.sample.sample_id if options.images == "none" else photograph
        shapes = self._polygons(regions) if options.shape == "polygon" else _masks(regions)
        document = {
            "version": _VERSION,
            "flags": {},
            "shapes": [
                {
                    "label": label_space.classes[index].name,
                    "group_id": None,
                    "description": "",
                    "flags": {},
                    **shape,
                }
                for index, shape in shapes
            ],
            "imagePath": image_path.rpartition("/")[2],
            "imageData": None,
            "imageHeight": label_map.shape[0],
            "imageWidth": label_map.shape[1],
        }
        return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode("utf-8")

    def _polygons(self, regions: RegionMap) -> list[tuple[int, dict[str, Any]]]:
        """Return the outer outlines of the regions, in (x, y)."""
        _, changed = coco_polygons(regions, regions.encode())
        self.tally.add("Polygons differ from the label map, mostly in filled holes", changed)
        return [
            (
                region.index,
                {
                    "shape_type": "polygon",
                    "points": outline[:, ::-1].astype(float).tolist(),
                    "mask": None,
                },
            )
            for place, region in enumerate(regions.regions)
            for outline in outer_outlines(regions, place)
        ]


def _masks(regions: RegionMap) -> list[tuple[int, dict[str, Any]]]:
    """Return the regions as mask shapes."""
    found = []
    for region in regions.regions:
        box = region.box
        png = encode_png(regions.mask(region).astype(np.uint8))
        points = [[box.left, box.top], [box.right - 1, box.bottom - 1]]
        shape = {
            "shape_type": "mask",
            "points": [[float(x), float(y)] for x, y in points],
            "mask": base64.b64encode(png).decode("ascii"),
        }
        found.append((region.index, shape))
    return found
