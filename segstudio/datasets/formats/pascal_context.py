"""PASCAL Context on VOC 2010: ``JPEGImages/``, ``SegmentationClassContext/``, lists.

Masks hold 0 (background) and 1..59.  The label space ``pascal_context_59`` ignores the background.

References
----------
R. Mottaghi et al., "The role of context for object detection and semantic segmentation in the
wild", CVPR 2014.
"""

from __future__ import annotations

from pathlib import Path

from segstudio.core.errors import NoDatasetError
from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat
from segstudio.datasets.formats.voc import find_base, open_lists

_MASKS = ("SegmentationClassContext",)


@FORMATS.register("pascal-context")
class PascalContextFormat(DatasetFormat):
    """PASCAL Context as tool boxes convert it."""

    description = "PASCAL Context: JPEGImages/, SegmentationClassContext/, ImageSets/ lists."

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.95 when images and context masks are there."""
        return 0.0 if find_base(path, _MASKS) is None else 0.95

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """Read the lists, or take all images with a mask; see `DatasetFormat.open`."""
        base = find_base(path, _MASKS)
        if base is None:
            raise NoDatasetError(
                f"{path} is not in the layout of PASCAL Context: it has no folder JPEGImages/ with "
                "a folder SegmentationClassContext/ beside it."
            )
        space = label_space or load_label_space("pascal_context")
        return open_lists(cls.name, path, base, _MASKS, ("SegmentationContext",), space)
