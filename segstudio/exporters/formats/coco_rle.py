"""COCO's JSON of annotations: a run-length mask for each class of an image, or each region.

Images, annotations and categories as in ``instances_*.json`` and ``stuff_*.json`` [1]_; masks are
pycocotools' own, pixel for pixel.

References
----------
.. [1] T.-Y. Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014;
   https://cocodataset.org/#format-data
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

import numpy as np

from segstudio.core.label_space import LabelSpace
from segstudio.core.options import option
from segstudio.core.types import LabelMap
from segstudio.exporters._coco import coco_document, image_name
from segstudio.exporters._photographs import photograph_file, photographs_option
from segstudio.exporters._polygons import coco_polygons
from segstudio.exporters._regions import RegionMap, find_regions
from segstudio.exporters.base import EXPORTERS, ExportItem, OutFile
from segstudio.exporters.documents import DocumentExporter, Records, text_document


@EXPORTERS.register("coco-rle")
class CocoRleExporter(DocumentExporter):
    """One JSON document of all samples."""

    description = "COCO annotations: JSON with run-length masks per class or region."

    @dataclass(frozen=True)
    class Options:
        """What an annotation is."""

        regions: str = option(
            "class",
            "One annotation for all pixels of a class, as in COCO-Stuff, or one for each "
            "connected component.",
            choices=("class", "component"),
        )
        shape: str = option(
            "rle",
            "Exact run-length masks, or polygons, which fill the holes of a region.",
            choices=("rle", "polygon"),
        )
        images: str = photographs_option("none")

    def remarks(self, label_space: LabelSpace, options: Any) -> list[str]:
        """Return what COCO has and a label map has not."""
        if options.regions == "class":
            return ["A label map has no instances: each class of an image is one annotation."]
        return ["A label map has no instances: each connected component is one annotation."]

    def files(
        self, item: ExportItem, name: str, label_space: LabelSpace, options: Any
    ) -> list[OutFile]:
        """Return the photograph, below ``images``."""
        place = f"images/{image_name(item, options.images)}"
        return photograph_file(place, item, options.images, self.tally)

    def record(
        self,
        item: ExportItem,
        name: str,
        label_map: LabelMap,
        label_space: LabelSpace,
        options: Any,
    ) -> Any:
        """Return the size, and [class index, mask, area, box] of each annotation."""
        ignored = int(np.count_nonzero(label_map == label_space.ignore_index))
        self.tally.add("Ignored pixels are in no annotation, as COCO has no such value", ignored)
        regions = find_regions(
            label_map, label_space.ignore_index, components=options.regions == "component"
        )
        masks: list[Any] = regions.encode()
        if options.shape == "polygon":
            masks = self._polygons(regions, masks)
        return [
            list(label_map.shape),
            [
                [region.index, mask, region.area, region.xywh]
                for region, mask in zip(regions.regions, masks, strict=True)
            ],
        ]

    def _polygons(self, regions: RegionMap, masks: list[Any]) -> list[Any]:
        """Return the outer outlines of each region as polygons, counting what they lose."""
        polygons, lost = coco_polygons(regions, masks)
        self.tally.add("Polygons differ from the label map, mostly in filled holes", lost)
        return polygons

    def documents(
        self, label_space: LabelSpace, options: Any
    ) -> Mapping[str, Callable[[Records, BinaryIO], None]]:
        """Return the one document."""

        def pieces(records: Records) -> Iterator[str]:
            annotations = partial(_annotations, records)
            return coco_document(records, label_space, options.images, annotations)

        return {"annotations.json": text_document(pieces)}


def _annotations(
    records: Records, images: dict[str, int], numbers: list[int]
) -> Iterator[dict[str, Any]]:
    # From 1: pycocotools takes the annotation 0 for one that is not matched.
    number = 0
    for item, _, (_, regions) in records:
        for index, mask, area, box in regions:
            number += 1
            yield {
                "id": number,
                "image_id": images[item.sample.sample_id],
                "category_id": numbers[index],
                "segmentation": mask,
                "area": area,
                "bbox": box,
                "iscrowd": 0,
            }
