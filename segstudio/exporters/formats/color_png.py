"""Palette PNGs: the class colours to look at, the class indices to read, in one file."""

from __future__ import annotations

from typing import Any

from segstudio.core.errors import UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import IGNORE_INDEX, LabelMap
from segstudio.datasets.encoding import encode_color_map
from segstudio.exporters._label_spaces import LABEL_SPACE_FILE, label_space_file, stored_space
from segstudio.exporters.base import EXPORTERS, ExportItem, ImageExporter


@EXPORTERS.register("color-png")
class ColorPngExporter(ImageExporter):
    """One PNG per sample whose palette is that of the label space."""

    description = "Colour PNG in the class colours; its palette indices are the class indices."

    def check(self, label_space: LabelSpace, options: Any) -> None:
        """Refuse label spaces that a palette cannot hold."""
        if len(label_space) > IGNORE_INDEX:
            raise UsageError(
                f"The label space {label_space.name} has {len(label_space)} classes, but the "
                f"palette of a PNG holds {IGNORE_INDEX} and the ignored value; export index-png."
            )

    def side_files(self, label_space: LabelSpace, options: Any) -> dict[str, bytes]:
        """Return the class list."""
        space = stored_space(label_space, source_ids=False)
        return {LABEL_SPACE_FILE: label_space_file(space)}

    def encode(
        self, item: ExportItem, label_map: LabelMap, label_space: LabelSpace, options: Any
    ) -> bytes:
        """Return the PNG; ignored pixels are black, index 255."""
        return encode_color_map(label_map, label_space.colors)
