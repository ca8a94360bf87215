"""GeoTIFF label maps at the place on the earth that their photographs have.

The georeference is copied tag by tag from the photograph's file, so every coordinate system comes
out as it went in; the ignored value is GDAL's "no data".

References
----------
OGC 19-008r4, "OGC GeoTIFF Standard 1.1", 2019; GDAL, "GTiff", ``TIFFTAG_GDAL_NODATA``.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from segstudio.core.label_space import LabelSpace
from segstudio.core.palette import color_table
from segstudio.core.types import LabelMap
from segstudio.exporters._label_spaces import LABEL_SPACE_FILE, label_space_file, stored_space
from segstudio.exporters.base import EXPORTERS, ExportItem, ImageExporter

_GEOGRAPHIC = (33550, 33922, 34264, 34735, 34736, 34737)
"""ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeyDirectory and its two helpers."""

_NO_DATA = 42113

Tag = tuple[int, int, int, Any, bool]


@EXPORTERS.register("geotiff")
class GeotiffExporter(ImageExporter):
    """One TIFF of class indices per sample, with the photograph's georeference."""

    description = "GeoTIFF of class indices with the georeference of the photograph's TIFF."
    ending = ".tif"

    def side_files(self, label_space: LabelSpace, options: Any) -> dict[str, bytes]:
        """Return the class list."""
        space = stored_space(label_space, source_ids=False)
        return {LABEL_SPACE_FILE: label_space_file(space)}

    def encode(
        self, item: ExportItem, label_map: LabelMap, label_space: LabelSpace, options: Any
    ) -> bytes:
        """Return the TIFF: a palette picture up to 255 classes, else 16 bits of grey."""
        import tifffile

        tags = _georeference(item.sample.image_path, label_map.shape)
        if not tags:
            self.tally.add(
                "Photographs bring no georeference of the label map's size", 1, "samples"
            )
        no_data = f"{label_space.ignore_index}\0"
        tags.append((_NO_DATA, 2, len(no_data), no_data, True))
        colors: dict[str, Any] = {"photometric": "minisblack"}
        if label_map.dtype == np.uint8:
            table = color_table(label_space.colors).astype(np.uint16) * np.uint16(257)
            colors = {"photometric": "palette", "colormap": table.T}
        stream = io.BytesIO()
        tifffile.imwrite(
            stream,
            label_map,
            compression="zlib",
            rowsperstrip=max(1, 2**18 // label_map.shape[1]),
            metadata=None,
            extratags=tags,
            **colors,
        )
        return stream.getvalue()


def _georeference(path: Path, shape: tuple[int, ...]) -> list[Tag]:
    """Return the geographic tags of a TIFF of the same height and width, none of other files."""
    import tifffile

    if path.suffix.lower() not in {".tif", ".tiff"} or not path.is_file():
        return []
    try:
        with tifffile.TiffFile(path) as source:
            page = source.pages.first
            if (page.imagelength, page.imagewidth) != shape:
                return []
            found = (page.tags.get(code) for code in _GEOGRAPHIC)
            return [
                (tag.code, int(tag.dtype), tag.count, tag.value, True)
                for tag in found
                if tag is not None
            ]
    except (tifffile.TiffFileError, OSError, ValueError, IndexError):
        return []  # the photograph's own reader says what is wrong with it
