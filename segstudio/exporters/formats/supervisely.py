"""Supervisely's project: ``meta.json``, and per dataset ``img`` and ``ann`` with bitmaps.

A bitmap is a PNG, deflated once more and in base64, at its box's corner (x, y).

References
----------
Supervisely documentation, "Supervisely annotation format",
https://developer.supervisely.com/getting-started/supervisely-annotation-format/objects
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from segstudio.core.label_space import LabelSpace
from segstudio.core.options import option
from segstudio.core.palette import hex_color
from segstudio.core.types import LabelMap, Sample
from segstudio.datasets.encoding import encode_png
from segstudio.exporters._names import flat_names
from segstudio.exporters._photographs import (
    photograph_ending,
    photograph_file,
    photographs_option,
)
from segstudio.exporters._regions import find_regions
from segstudio.exporters.base import EXPORTERS, ExportItem, FilesExporter, OutFile


@EXPORTERS.register("supervisely")
class SuperviselyExporter(FilesExporter):
    """One JSON of bitmaps per sample, in a project's folders."""

    description = "Supervisely project: meta.json, and JSON with a bitmap per class or region."

    @dataclass(frozen=True)
    class Options:
        """What an object is."""

        regions: str = option(
            "class",
            "One bitmap for all pixels of a class, or one for each connected component.",
            choices=("class", "component"),
        )
        images: str = photographs_option("copy")

    def names(self, samples: Iterable[Sample]) -> dict[str, str]:
        """Return names without folders."""
        return flat_names(samples)

    def side_files(self, label_space: LabelSpace, options: Any) -> dict[str, bytes]:
        """Return the project's classes."""
        classes = [
            {"title": entry.name, "shape": "bitmap", "color": hex_color(entry.color).upper()}
            for entry in label_space.classes
        ]
        return {"meta.json": _json({"classes": classes, "tags": [], "projectType": "images"})}

    def files(
        self, item: ExportItem, name: str, label_space: LabelSpace, options: Any
    ) -> list[OutFile]:
        """Return the JSON, named as the photograph with its ending, and the photograph."""
        folder = item.sample.split or "dataset"
        photograph = f"{name}{photograph_ending(item)}"
        encode = partial(self._encode, label_space, options.regions == "component")
        return [
            OutFile(f"{folder}/ann/{photograph}.json", encode),
            *photograph_file(f"{folder}/img/{photograph}", item, options.images, self.tally),
        ]

    def _encode(self, label_space: LabelSpace, components: bool, label_map: LabelMap) -> bytes:
        ignored = int(np.count_nonzero(label_map == label_space.ignore_index))
        self.tally.add("Ignored pixels are in no object, as Supervisely has no such value", ignored)
        found = find_regions(label_map, label_space.ignore_index, components=components)
        objects = []
        for region in found.regions:
            png = encode_png(found.mask(region).astype(np.uint8) * np.uint8(255))
            data = base64.b64encode(zlib.compress(png)).decode("ascii")
            objects.append(
                {
                    "description": "",
                    "geometryType": "bitmap",
                    "tags": [],
                    "classTitle": label_space.classes[region.index].name,
                    "bitmap": {"data": data, "origin": [region.box.left, region.box.top]},
                }
            )
        height, width = label_map.shape
        return _json(
            {
                "description": "",
                "tags": [],
                "size": {"height": height, "width": width},
                "objects": objects,
            }
        )


def _json(document: Any) -> bytes:
    return (json.dumps(document, ensure_ascii=False) + "\n").encode("utf-8")
