"""CVAT's "Segmentation mask 1.1": PASCAL VOC's folders with colours of its own, ``labelmap.txt``.

References
----------
CVAT documentation, "Segmentation mask".
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from segstudio.core.errors import NoDatasetError
from segstudio.core.label_space import LabelSpace
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat
from segstudio.datasets.colors import ColorDecoder, read_color_file, space_of_colors
from segstudio.datasets.formats.voc import find_base, is_by_colors, open_lists

_MASKS = ("SegmentationClass",)
_COLORS = "labelmap.txt"


@FORMATS.register("cvat-mask")
class CvatMaskFormat(DatasetFormat):
    """CVAT's export of masks."""

    description = "CVAT Segmentation mask 1.1: labelmap.txt, JPEGImages/, SegmentationClass/."

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.95 when the folders and the colours are there; less for masks of indices."""
        base = find_base(path, _MASKS)
        if base is None or not (path / base / _COLORS).is_file():
            return 0.0
        return 0.95 if is_by_colors(path / base, _MASKS) else 0.6

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """Read lists and colours; see `DatasetFormat.open`."""
        base = find_base(path, _MASKS)
        colors = path / (base or "") / _COLORS
        if base is None or not colors.is_file():
            raise NoDatasetError(
                f"{path} is not in the layout of CVAT's masks: it has no labelmap.txt with folders "
                "JPEGImages/ and SegmentationClass/ beside it."
            )
        entries = read_color_file(colors)
        space = space_of_colors(entries, path.resolve().name, f"Colours of {colors.name}.")
        void = [color for _, color in entries if color not in space.colors]
        dataset = open_lists(cls.name, path, base, _MASKS, ("Segmentation",), label_space or space)
        if label_space is not None:
            return replace(dataset, decoder=ColorDecoder.of_space(label_space, label_space.name))
        return replace(dataset, decoder=ColorDecoder.of_space(space, str(colors), void))
