"""Corrected label maps with a second picture of where each pixel comes from.

``masks/NAME.png`` holds class indices, ``provenance/NAME.png`` one of the values of
``provenance.json``.  A pixel counts as painted by a person when it differs from what the
correction started from; painting the class that was there leaves no trace.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from segstudio.core.errors import SizeMismatchError
from segstudio.core.label_space import LabelSpace
from segstudio.core.options import option
from segstudio.core.types import LabelMap
from segstudio.datasets.encoding import encode_png
from segstudio.exporters._label_spaces import LABEL_SPACE_FILE, label_space_file, stored_space
from segstudio.exporters._photographs import (
    photograph_ending,
    photograph_file,
    photographs_option,
)
from segstudio.exporters.base import EXPORTERS, ExportItem, FilesExporter, OutFile

PROVENANCE = {"unlabelled": 0, "unknown": 1, "model": 2, "human": 3, "imported": 4}
"""Values of the provenance pictures."""


@EXPORTERS.register("corrected")
class CorrectedExporter(FilesExporter):
    """Label maps and their provenance."""

    description = "Corrected label maps with a provenance PNG: model, human or imported pixels."

    @dataclass(frozen=True)
    class Options:
        """What goes beside the label maps."""

        provenance: bool = option(True, "Also write where each pixel comes from.")
        images: str = photographs_option("none")

    def side_files(self, label_space: LabelSpace, options: Any) -> dict[str, bytes]:
        """Return the class list and the legend of the provenance."""
        space = stored_space(label_space, source_ids=False)
        files = {LABEL_SPACE_FILE: label_space_file(space)}
        if options.provenance:
            files["provenance.json"] = (json.dumps(PROVENANCE) + "\n").encode("utf-8")
        return files

    def files(
        self, item: ExportItem, name: str, label_space: LabelSpace, options: Any
    ) -> list[OutFile]:
        """Return the label map, its provenance, and the photograph below ``images``."""
        photograph = f"images/{name}{photograph_ending(item)}"
        provenance = partial(self._provenance, item, label_space)
        return [
            OutFile(f"masks/{name}.png", encode_png),
            *([OutFile(f"provenance/{name}.png", provenance)] if options.provenance else []),
            *photograph_file(photograph, item, options.images, self.tally),
        ]

    def _provenance(self, item: ExportItem, label_space: LabelSpace, label_map: LabelMap) -> bytes:
        unlabelled = label_map == label_space.ignore_index
        painted, rest = np.zeros(label_map.shape, bool), "unknown"
        if item.origin == "empty":
            painted = ~unlabelled
        elif item.origin is not None and item.read_origin is not None:
            painted, rest = self._origin(item, label_map) != label_map, item.origin
        else:
            self.tally.add("It is not known where the pixels come from", 1, "samples")
        found = np.full(label_map.shape, PROVENANCE[rest], np.uint8)
        found[unlabelled] = PROVENANCE["unlabelled"]
        # Also where a person took a label away.
        found[painted] = PROVENANCE["human"]
        return encode_png(found)

    @staticmethod
    def _origin(item: ExportItem, label_map: LabelMap) -> LabelMap:
        assert item.read_origin is not None
        origin = item.read_origin()
        if origin.shape != label_map.shape:
            raise SizeMismatchError(
                f"The label map of {item.sample.sample_id} is {label_map.shape[0]} x "
                f"{label_map.shape[1]} pixels (height x width), but what it was made from is "
                f"{origin.shape[0]} x {origin.shape[1]}."
            )
        return origin
