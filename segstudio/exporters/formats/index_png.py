"""Grey PNGs of class indices or source ids: the form that training tools read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from segstudio.core.label_space import LabelSpace
from segstudio.core.options import option
from segstudio.core.types import IGNORE_INDEX, LabelMap
from segstudio.datasets.encoding import encode_png
from segstudio.exporters._label_spaces import LABEL_SPACE_FILE, label_space_file, stored_space
from segstudio.exporters.base import EXPORTERS, ExportItem, ImageExporter


@EXPORTERS.register("index-png")
class IndexPngExporter(ImageExporter):
    """One grey PNG per sample, one number per pixel."""

    description = "Grey PNG of class indices, 8 or 16 bits, with the class list beside them."

    @dataclass(frozen=True)
    class Options:
        """What the numbers are."""

        source_ids: bool = option(
            False,
            "Write the ids of the original dataset instead of class indices; ignored pixels get "
            "its first ignored id.",
        )

    def side_files(self, label_space: LabelSpace, options: Any) -> dict[str, bytes]:
        """Return the class list."""
        space = stored_space(label_space, source_ids=options.source_ids)
        return {LABEL_SPACE_FILE: label_space_file(space)}

    def encode(
        self, item: ExportItem, label_map: LabelMap, label_space: LabelSpace, options: Any
    ) -> bytes:
        """Return the PNG; 8 bits when every id of the space fits."""
        if options.source_ids:
            ids = [entry.source_id for entry in label_space.classes]
            largest = max(*ids, *(label_space.ignore_ids[:1] or (IGNORE_INDEX,)))
            label_map = label_space.to_source_ids(label_map)
            label_map = label_map.astype(np.uint8 if largest <= 255 else np.uint16)
        return encode_png(label_map)
