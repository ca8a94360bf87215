"""Supervisely: ``meta.json``, and per dataset ``img/`` and ``ann/`` (``a.jpg.json``).

Bitmaps and polygons are painted in their order, polygons without their holes; rectangles, lines
and points have no mask and are passed over.  What no object covers is the class "background".

References
----------
Supervisely documentation, "Supervisely JSON format".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import LabelValueError, NoDatasetError, SizeMismatchError, UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import IGNORE_INDEX, Sample
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat
from segstudio.datasets.blobs import decode_base64, decode_png_mask, inflate
from segstudio.datasets.categories import Category, build_label_space, hex_color
from segstudio.datasets.json_files import read_json
from segstudio.datasets.layouts import folders_of, open_pairs
from segstudio.datasets.pairing import FolderPair
from segstudio.datasets.shapes import ShapePainter

_META = "meta.json"


@FORMATS.register("supervisely")
class SuperviselyFormat(DatasetFormat):
    """A project of Supervisely."""

    description = "Supervisely: meta.json, <dataset>/img/ and <dataset>/ann/ (bitmaps, polygons)."

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.95 when ``meta.json`` and a dataset's folders are there."""
        return 0.95 if (path / _META).is_file() and _pairs(path) else 0.0

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """Pair images and annotations by name; see `DatasetFormat.open`."""
        pairs = _pairs(path)
        if not pairs or not (path / _META).is_file():
            raise NoDatasetError(
                f"{path} is not in Supervisely's layout: it has no meta.json with a folder that "
                "holds img/ and ann/ beside it."
            )
        space = label_space or _space(path)
        return open_pairs(
            cls.name, path, pairs, space, decoder=_Decoder(space), suffixes=(".json",)
        )


def _pairs(path: Path) -> list[FolderPair]:
    pairs = []
    for name in ("", *sorted(folders_of(path).values())):
        prefix = f"{name}/" if name else ""
        if (path / prefix / "img").is_dir() and (path / prefix / "ann").is_dir():
            split = name if name in ("train", "val", "test") else None
            pairs.append(FolderPair(f"{prefix}img", f"{prefix}ann", split))
    # Splits only when every dataset is one: a sample is in a split or the dataset has none.
    if any(pair.split is None for pair in pairs):
        pairs = [FolderPair(pair.images, pair.targets) for pair in pairs]
    return pairs


def _space(path: Path) -> LabelSpace:
    meta = path / _META
    document = read_json(meta)
    try:
        entries = [(str(e["title"]), str(e.get("color", ""))) for e in document["classes"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{meta} has no list of classes with their titles ({error}).") from error
    entries = [entry for entry in entries if entry[0].lower() != "background"]
    categories = [Category(0, "background", (0, 0, 0))]
    for index, (name, color) in enumerate(entries, 1):
        categories.append(Category(index + (index >= IGNORE_INDEX), name, hex_color(color)))
    return build_label_space(categories, path.resolve().name, f"Classes of {_META}.")


@dataclass(frozen=True, eq=False)
class _Decoder:
    space: LabelSpace

    def __call__(self, sample: Sample, shape: tuple[int, int]) -> NDArray[Any]:
        path = sample.target_path
        assert path is not None
        document = read_json(path)
        try:
            objects = list(document["objects"])
            size = (document["size"]["height"], document["size"]["width"])
        except (KeyError, TypeError) as error:
            raise LabelValueError(f"{path} has no size and objects ({error}).") from error
        if size != shape:
            raise SizeMismatchError(
                f"{path} was drawn on {size[0]} x {size[1]} pixels (height x width), but its image "
                f"is {shape[0]} x {shape[1]}."
            )
        background = self.space.find("background")
        void = self.space.ignore_ids[0] if self.space.ignore_ids else IGNORE_INDEX
        painter = ShapePainter(shape, void if background is None else background.source_id)
        for number, entry in enumerate(objects):
            where = f"{path}, object {number}"
            known = (
                self.space.find(str(entry.get("classTitle"))) if isinstance(entry, dict) else None
            )
            if known is None:
                raise LabelValueError(
                    f"{where} has a class that the label space {self.space.name} does not know."
                )
            _paint(painter, entry, known.source_id, where)
        return painter.pixels()


def _paint(painter: ShapePainter, entry: dict[str, Any], value: int, where: str) -> None:
    bitmap, points = entry.get("bitmap"), entry.get("points")
    kind = entry.get("geometryType") or ("bitmap" if bitmap else "polygon")
    height, width = painter.shape
    if kind == "bitmap":
        try:
            left, top = (int(part) for part in bitmap["origin"])  # type: ignore[index]
            text = bitmap["data"]  # type: ignore[index]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise LabelValueError(f"{where} has a bitmap without data and origin.") from error
        # A PNG of one bit to four channels is not larger than this, its header included.
        png = inflate(decode_base64(text, where), height * (width * 4 + 16) + 65536, where)
        painter.mask(decode_png_mask(png, painter.shape, where), top, left, value)
    elif kind == "polygon" and isinstance(points, dict):
        area = ShapePainter(painter.shape)
        area.polygon(points.get("exterior"), 1, where, outline=True)
        for hole in points.get("interior") or ():
            area.polygon(hole, 0, where)
        painter.mask(np.asarray(area.pixels(), bool), 0, 0, value)
