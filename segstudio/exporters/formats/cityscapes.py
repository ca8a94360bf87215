"""Cityscapes' label images: the form of its benchmark server, or that of its ground truth.

A submission is one folder of ``CITY_SEQUENCE_FRAME_pred_labelIds.png`` whose pixels are label
ids, not train ids [1]_; cityscapesScripts finds the image of a result by the first three parts of
its name.

References
----------
.. [1] M. Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding", CVPR
   2016; https://github.com/mcordts/cityscapesScripts
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.core.options import option
from segstudio.core.types import LabelMap, Sample
from segstudio.datasets.encoding import encode_png
from segstudio.exporters._eight_bits import check_eight_bits
from segstudio.exporters._label_spaces import LABEL_SPACE_FILE, label_space_file
from segstudio.exporters._names import flat_names
from segstudio.exporters._photographs import photograph_file, photographs_option
from segstudio.exporters.base import EXPORTERS, ExportItem, FilesExporter, OutFile

_FRAME = re.compile(r"(?P<city>[^_]+)_\d+_\d+")
_IMAGE = "_leftImg8bit"


@EXPORTERS.register("cityscapes")
class CityscapesExporter(FilesExporter):
    """Grey PNGs of label ids under Cityscapes' names."""

    description = "Cityscapes labelIds: a folder for its benchmark, or the layout of gtFine."

    @dataclass(frozen=True)
    class Options:
        """Which of the two layouts."""

        layout: str = option(
            "submission",
            "One folder of NAME_pred_labelIds.png, or gtFine/SPLIT/CITY/NAME_gtFine_labelIds.png "
            "as the ground truth is stored.",
            choices=("submission", "dataset"),
        )
        images: str = photographs_option("none")

    def names(self, samples: Iterable[Sample]) -> dict[str, str]:
        """Return CITY_SEQUENCE_FRAME for Cityscapes' images, else names without folders."""
        return {key: name.removesuffix(_IMAGE) for key, name in flat_names(samples).items()}

    def check(self, label_space: LabelSpace, options: Any) -> None:
        """Refuse label spaces whose ids need more than 8 bits."""
        label_space = _with_label_ids(label_space)
        ids = [entry.source_id for entry in label_space.classes]
        check_eight_bits(label_space, "a Cityscapes label image", ids=ids, largest=255)

    def remarks(self, label_space: LabelSpace, options: Any) -> list[str]:
        """Return a sentence when the ids are not Cityscapes' own."""
        label_space = _with_label_ids(label_space)
        theirs = {entry.source_id: entry.name for entry in load_label_space("cityscapes").classes}
        if all(theirs.get(entry.source_id) == entry.name for entry in label_space.classes):
            return []
        return [
            f"The ids are those of the label space {label_space.name}, which are not Cityscapes' "
            "own: its scripts will take them for other classes."
        ]

    def side_files(self, label_space: LabelSpace, options: Any) -> dict[str, bytes]:
        """Return the class list with the ids of the files."""
        return {LABEL_SPACE_FILE: label_space_file(_with_label_ids(label_space))}

    def files(
        self, item: ExportItem, name: str, label_space: LabelSpace, options: Any
    ) -> list[OutFile]:
        """Return the label image, and the photograph below ``leftImg8bit``."""
        match = _FRAME.fullmatch(name)
        encode = partial(self._encode, label_space, match is not None)
        city = match["city"] if match else name.partition("_")[0]
        folder = f"{item.sample.split or 'val'}/{city}"
        place = f"{name}_pred_labelIds.png"
        if options.layout == "dataset":
            place = f"gtFine/{folder}/{name}_gtFine_labelIds.png"
        photograph = f"leftImg8bit/{folder}/{name}{_IMAGE}.png"
        return [
            OutFile(place, encode),
            *photograph_file(photograph, item, options.images, self.tally),
        ]

    def _encode(self, label_space: LabelSpace, is_named: bool, label_map: LabelMap) -> bytes:
        self.tally.add(
            "Names are not CITY_SEQUENCE_FRAME, so that cityscapesScripts will not find the image "
            "of these results",
            int(not is_named),
            "samples",
        )
        ids = _with_label_ids(label_space).to_source_ids(label_map)
        return encode_png(ids.astype(np.uint8))


@functools.lru_cache(maxsize=8)
def _with_label_ids(label_space: LabelSpace) -> LabelSpace:
    """Return the space with Cityscapes' label ids where all its classes are Cityscapes' own.

    Train ids are what networks count with; its scripts read label ids.
    """
    own = load_label_space("cityscapes")
    ids = {entry.name: entry.source_id for entry in own.classes}
    if not all(entry.name in ids for entry in label_space.classes):
        return label_space
    classes = tuple(replace(entry, source_id=ids[entry.name]) for entry in label_space.classes)
    used = {entry.source_id for entry in classes}
    ignored = tuple(value for value in own.ignore_ids if value not in used)
    return replace(label_space, classes=classes, ignore_ids=ignored)
