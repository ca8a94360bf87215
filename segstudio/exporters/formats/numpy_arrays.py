"""NumPy arrays: one ``.npy`` of class indices per sample."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from segstudio.core.label_space import LabelSpace
from segstudio.core.types import LabelMap
from segstudio.exporters._label_spaces import LABEL_SPACE_FILE, label_space_file, stored_space
from segstudio.exporters.base import EXPORTERS, ExportItem, ImageExporter


@EXPORTERS.register("numpy")
class NumpyExporter(ImageExporter):
    """One array per sample, uint8 or uint16."""

    description = "NumPy arrays (.npy) of class indices, with the class list beside them."
    ending = ".npy"

    def side_files(self, label_space: LabelSpace, options: Any) -> dict[str, bytes]:
        """Return the class list."""
        space = stored_space(label_space, source_ids=False)
        return {LABEL_SPACE_FILE: label_space_file(space)}

    def encode(
        self, item: ExportItem, label_map: LabelMap, label_space: LabelSpace, options: Any
    ) -> bytes:
        """Return the file; 255 or 65535 are ignored."""
        stream = io.BytesIO()
        np.save(stream, label_map, allow_pickle=False)
        return stream.getvalue()
