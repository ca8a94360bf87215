"""labelme's JSON: one file beside each image, a shape for each class or region.

Shapes of the type "mask" (labelme 5.3 and later) keep every pixel: a PNG of ones inside the box
whose corner pixels, both included, are the two points [1]_.  Polygons run through the centres of a
region's outermost pixels, the larger first: labelme rounds down and paints outlines too, later
shapes on top, so that drawn by it they are the region with what it encloses, and what is enclosed
is painted over that.

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
from segstudio.datasets.shapes import ShapePainter
from segstudio.exporters._photographs import (
    photograph_ending,
    photograph_file,
    photographs_option,
)
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
            "Exact masks, or polygons, in whose holes ignored pixels are lost.",
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
        if options.shape == "polygon":
            shapes = _polygons(regions)
            self.tally.add(
                "labelme draws the polygons otherwise, mostly over ignored pixels inside a region",
                _changed(shapes, label_map, label_space.ignore_index),
            )
        else:
            shapes = _masks(regions)
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


def _polygons(regions: RegionMap) -> list[tuple[int, dict[str, Any]]]:
    """Return the outer outlines of the regions, in (x, y), by the size of their boxes."""
    import cv2

    found = []
    for region in regions.regions:
        mask = regions.mask(region).astype(np.uint8)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        for outline in outlines:
            corners = outline[:, 0] + (region.box.left, region.box.top) + 0.5
            if len(corners) < 3:  # a pixel or a line of them: labelme wants three points
                corners = corners[[0, -1, -1]]
            extent = float(np.ptp(corners[:, 0]) + 1) * float(np.ptp(corners[:, 1]) + 1)
            shape = {"shape_type": "polygon", "points": corners.tolist(), "mask": None}
            found.append((extent, region.index, shape))
    found.sort(key=lambda entry: -entry[0])
    return [(index, shape) for _, index, shape in found]


def _changed(
    shapes: list[tuple[int, dict[str, Any]]], label_map: LabelMap, ignore_index: int
) -> int:
    """Return how many pixels are otherwise in the map that labelme draws of polygons."""
    painter = ShapePainter((label_map.shape[0], label_map.shape[1]), ignore_index)
    for index, shape in shapes:
        painter.polygon(shape["points"], index, "an exported polygon", outline=True)
    return int(np.count_nonzero(painter.pixels() != label_map))


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
