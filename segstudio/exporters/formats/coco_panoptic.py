"""COCO's panoptic form: a PNG of segment ids per sample and a JSON of what they are.

``panoptic/NAME.png`` holds ``R + 256 G + 65536 B``, the id of panopticapi [1]_, 0 for pixels that
are ignored; ``panoptic.json`` names the category of each id.

References
----------
.. [1] A. Kirillov et al., "Panoptic Segmentation", CVPR 2019;
   https://github.com/cocodataset/panopticapi
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

import numpy as np

from segstudio.core.label_space import LabelSpace
from segstudio.core.options import option
from segstudio.core.types import LabelMap, Sample
from segstudio.datasets.encoding import encode_png
from segstudio.exporters._coco import coco_document, image_name
from segstudio.exporters._names import flat_names
from segstudio.exporters._photographs import photograph_file, photographs_option
from segstudio.exporters._regions import Region, find_regions
from segstudio.exporters.base import EXPORTERS, ExportItem, OutFile
from segstudio.exporters.documents import DocumentExporter, Records, text_document


@EXPORTERS.register("coco-panoptic")
class CocoPanopticExporter(DocumentExporter):
    """PNGs of segment ids and one JSON document."""

    description = "COCO panoptic: PNGs of segment ids and a JSON document of their categories."

    @dataclass(frozen=True)
    class Options:
        """What a segment is."""

        regions: str = option(
            "class",
            "One segment for all pixels of a class, as panoptic stuff is, or one for each "
            "connected component.",
            choices=("class", "component"),
        )
        images: str = photographs_option("none")

    def names(self, samples: Iterable[Sample]) -> dict[str, str]:
        """Return names without folders, as panopticapi looks for the PNGs in one."""
        return flat_names(samples)

    def remarks(self, label_space: LabelSpace, options: Any) -> list[str]:
        """Return what the format has and a label map has not."""
        segment = "class of an image" if options.regions == "class" else "connected component"
        return [f"A label map has no instances: each {segment} is one segment of stuff."]

    def files(
        self, item: ExportItem, name: str, label_space: LabelSpace, options: Any
    ) -> list[OutFile]:
        """Return the PNG, and the photograph below ``images``."""
        encode = partial(_encode, label_space, options.regions == "component")
        photograph = f"images/{image_name(item, options.images)}"
        return [
            OutFile(f"panoptic/{name}.png", encode),
            *photograph_file(photograph, item, options.images, self.tally),
        ]

    def record(
        self,
        item: ExportItem,
        name: str,
        label_map: LabelMap,
        label_space: LabelSpace,
        options: Any,
    ) -> Any:
        """Return the size, and [segment id, class index, area, box] of each segment."""
        found = find_regions(
            label_map, label_space.ignore_index, components=options.regions == "component"
        )
        ids = _segment_ids(found.regions, label_space, options.regions == "component")
        return [
            list(label_map.shape),
            [
                [number, region.index, region.area, region.xywh]
                for number, region in zip(ids, found.regions, strict=True)
            ],
        ]

    def documents(
        self, label_space: LabelSpace, options: Any
    ) -> Mapping[str, Callable[[Records, BinaryIO], None]]:
        """Return the one document."""

        def pieces(records: Records) -> Iterator[str]:
            annotations = partial(_annotations, records)
            return coco_document(records, label_space, options.images, annotations)

        return {"panoptic.json": text_document(pieces)}


def _segment_ids(regions: list[Region], label_space: LabelSpace, components: bool) -> list[int]:
    """Return the id of each segment: its class's colour where that tells them apart."""
    red_first = [red + 256 * green + 65536 * blue for red, green, blue in label_space.colors]
    if components or 0 in red_first or len(set(red_first)) < len(red_first):
        return list(range(1, len(regions) + 1))
    return [red_first[region.index] for region in regions]


def _encode(label_space: LabelSpace, components: bool, label_map: LabelMap) -> bytes:
    """Return the RGB PNG of segment ids."""
    found = find_regions(label_map, label_space.ignore_index, components=components)
    ids = _segment_ids(found.regions, label_space, components)
    # Every value of the region map, the ignored one among them, finds its colour here.
    largest = int(found.values.max(initial=0))
    table = np.zeros((largest + 1, 3), np.uint8)
    for region, number in zip(found.regions, ids, strict=True):
        table[region.value] = (number & 255, number >> 8 & 255, number >> 16)
    return encode_png(table[found.values])


def _annotations(
    records: Records, images: dict[str, int], numbers: list[int]
) -> Iterator[dict[str, Any]]:
    for item, name, (_, segments) in records:
        yield {
            "image_id": images[item.sample.sample_id],
            "file_name": f"{name}.png",
            "segments_info": [
                {
                    "id": number,
                    "category_id": numbers[index],
                    "area": area,
                    "bbox": box,
                    "iscrowd": 0,
                }
                for number, index, area, box in segments
            ],
        }
