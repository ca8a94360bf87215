"""The photograph with the class colours laid over it: for reports and slides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2

from segstudio.core.errors import SizeMismatchError
from segstudio.core.label_space import LabelSpace
from segstudio.core.options import option
from segstudio.core.palette import apply_palette
from segstudio.core.types import LabelMap
from segstudio.datasets.encoding import encode_png
from segstudio.exporters.base import EXPORTERS, ExportItem, ImageExporter


@EXPORTERS.register("overlay-png")
class OverlayPngExporter(ImageExporter):
    """One PNG per sample: photograph and class colours blended."""

    description = "Photograph with the class colours over it; ignored pixels show the photograph."

    @dataclass(frozen=True)
    class Options:
        """How the two are blended."""

        opacity: float = option(
            0.5,
            "How much of the class colour shows: 0 the photograph alone, 1 the colours alone.",
            minimum=0.0,
            maximum=1.0,
        )

    def encode(
        self, item: ExportItem, label_map: LabelMap, label_space: LabelSpace, options: Any
    ) -> bytes:
        """Return the RGB PNG.

        Raises
        ------
        SizeMismatchError
            When the label map is not of the image's size.
        """
        image = item.read_image()
        if image.shape[:2] != label_map.shape:
            raise SizeMismatchError(
                f"The label map of {item.sample.sample_id} is {label_map.shape[0]} x "
                f"{label_map.shape[1]} pixels (height x width), but its image is "
                f"{image.shape[0]} x {image.shape[1]}."
            )
        colors = apply_palette(label_map, label_space.colors)
        blended = cv2.addWeighted(image, 1.0 - options.opacity, colors, options.opacity, 0.0)
        ignored = label_map == label_space.ignore_index
        blended[ignored] = image[ignored]
        return encode_png(blended)
