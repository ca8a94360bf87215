"""Label Studio's JSON of brush regions, with the labelling configuration that shows them.

The run lengths are those of Label Studio's own brush: of the RGBA picture of a region, row by row,
packed into bits by thi.ng's ``rle-pack`` [1]_.

References
----------
.. [1] K. Schmidt, https://github.com/thi-ng/umbrella, ``packages/rle-pack``; as used by
   ``label_studio_sdk.converter.brush``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from segstudio.core.label_space import LabelSpace
from segstudio.core.options import option
from segstudio.core.palette import hex_color
from segstudio.core.types import LabelMap, Mask
from segstudio.exporters._coco import image_name
from segstudio.exporters._photographs import photograph_file, photographs_option
from segstudio.exporters._regions import find_regions
from segstudio.exporters.base import EXPORTERS, ExportItem, OutFile
from segstudio.exporters.documents import DocumentExporter, Records, text_document

_WIDTHS = (3, 4, 8, 16)
"""Bits that a run's length may take; Label Studio's own choice."""


@EXPORTERS.register("label-studio")
class LabelStudioExporter(DocumentExporter):
    """One JSON of tasks with brush regions."""

    description = "Label Studio JSON: brush regions per image, with the labelling configuration."

    @dataclass(frozen=True)
    class Options:
        """What a region is, and where the images are."""

        regions: str = option(
            "class",
            "One region for all pixels of a class, or one for each connected component.",
            choices=("class", "component"),
        )
        prefix: str = option(
            "/data/local-files/?d=images/",
            "What stands before an image's path; by default Label Studio's local storage.",
        )
        images: str = photographs_option("none")

    def side_files(self, label_space: LabelSpace, options: Any) -> dict[str, bytes]:
        """Return the labelling configuration."""
        labels = "".join(
            f"    <Label value={quoteattr(c.name)} background={quoteattr(hex_color(c.color))}/>\n"
            for c in label_space.classes
        )
        text = (
            '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
            f'  <BrushLabels name="tag" toName="image">\n{labels}  </BrushLabels>\n</View>\n'
        )
        return {"label_config.xml": text.encode("utf-8")}

    def files(
        self, item: ExportItem, name: str, label_space: LabelSpace, options: Any
    ) -> list[OutFile]:
        """Return the photograph, below ``images``."""
        place = f"images/{image_name(item, options.images)}"
        return photograph_file(place, item, options.images, self.tally)

    def record(
        self,
        item: ExportItem,
        name: str,
        label_map: LabelMap,
        label_space: LabelSpace,
        options: Any,
    ) -> Any:
        """Return the size, and [class index, run lengths] of each region."""
        ignored = int(np.count_nonzero(label_map == label_space.ignore_index))
        self.tally.add(
            "Ignored pixels are in no region, as Label Studio has no such value", ignored
        )
        found = find_regions(
            label_map, label_space.ignore_index, components=options.regions == "component"
        )
        return [
            list(label_map.shape),
            [
                [region.index, encode_brush(found.values == region.value)]
                for region in found.regions
            ],
        ]

    def documents(
        self, label_space: LabelSpace, options: Any
    ) -> Mapping[str, Callable[[Records, BinaryIO], None]]:
        """Return the one document."""

        def pieces(records: Records) -> Iterator[str]:
            yield "["
            for number, (item, _, record) in enumerate(records):
                task = _task(item, record, label_space, options)
                text = json.dumps(task, ensure_ascii=False, separators=(",", ":"))
                yield (",\n" if number else "\n") + text
            yield "\n]\n"

        return {"tasks.json": text_document(pieces)}


def _task(item: ExportItem, record: Any, label_space: LabelSpace, options: Any) -> dict[str, Any]:
    (height, width), regions = record
    results = [
        {
            "id": f"region{number}",
            "type": "brushlabels",
            "from_name": "tag",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {
                "format": "rle",
                "rle": rle,
                "brushlabels": [label_space.classes[index].name],
            },
        }
        for number, (index, rle) in enumerate(regions, 1)
    ]
    image = options.prefix + quote(image_name(item, options.images))
    return {"data": {"image": image}, "annotations": [{"result": results}]}


def encode_brush(mask: Mask) -> list[int]:
    """Return a mask as the bytes of Label Studio's brush.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool

    Returns
    -------
    list of int
        0..255.  32 bits: number of values, 4 H W as every pixel counts four times; 5: bits per
        value - 1; four times 4: `_WIDTHS` - 1; then for each run 1 bit that it is one, 2 which
        width, the length - 1 in so many bits, 8 the value.  Zeros fill the last byte.
    """
    flat = mask.ravel()
    borders = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]])
    bits = [f"{4 * flat.size:032b}{7:05b}", *(f"{width - 1:04b}" for width in _WIDTHS)]
    for start, length in zip(borders[:-1].tolist(), _lengths(borders), strict=True):
        value = f"{255 if flat[start] else 0:08b}"
        while length > 0:
            part = min(length, 1 << _WIDTHS[-1])
            which = next(n for n, width in enumerate(_WIDTHS) if part <= 1 << width)
            bits.append(f"1{which:02b}{part - 1:0{_WIDTHS[which]}b}{value}")
            length -= part
    stream = np.frombuffer("".join(bits).encode("ascii"), np.uint8) - ord("0")
    packed: list[int] = np.packbits(stream).tolist()
    return packed


def _lengths(borders: NDArray[np.int64]) -> list[int]:
    """Return the lengths of runs of RGBA values: four to a pixel."""
    lengths: list[int] = (4 * np.diff(borders)).tolist()
    return lengths
