"""labelme: a JSON file of shapes for each image, beside it or in a folder of its own.

Shapes are painted in their order with labelme's own drawing: polygons, rectangles, circles, lines
(10 pixels wide), points (radius 5) and masks.  What no shape covers is "background", or is ignored
when a ``labels.txt`` names classes but no background; shapes called ``__ignore__`` are ignored.

References
----------
K. Wada, labelme, ``labelme/utils/shape.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from segstudio.core.errors import LabelValueError, NoDatasetError, SizeMismatchError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import IGNORE_INDEX, Sample
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat
from segstudio.datasets.blobs import decode_base64, decode_png_mask
from segstudio.datasets.categories import Category, build_label_space
from segstudio.datasets.classes import find_label_space
from segstudio.datasets.json_files import read_json
from segstudio.datasets.listing import list_files, peek, plural, suffix_of
from segstudio.datasets.pairing import TargetIndex
from segstudio.datasets.shapes import ShapePainter, checked_points

_BACKGROUNDS = ("background", "_background_")
_IGNORED = "__ignore__"
_LABEL = re.compile(rb'"label"\s*:\s*("(?:[^"\\]|\\.)*")')
_READ_FOR_NAMES = 2000
_LARGEST = 1 << 26
_FOLDERS = ("annotations", "labels", "json", "ann")


@FORMATS.register("labelme")
class LabelmeFormat(DatasetFormat):
    """labelme's annotation files."""

    description = "labelme: a JSON file of polygons and other shapes for each image."

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.9 when one of the first JSON files holds shapes."""
        if not path.is_dir():
            return 0.0
        looked = 0
        for name, is_folder in peek(path, 200):
            if not is_folder and suffix_of(name) == ".json":
                if _holds_shapes(path / name):
                    return 0.9
                looked += 1
                if looked == 8:
                    break
        return 0.0

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """Pair images and JSON files by name; see `DatasetFormat.open`.

        Names of classes come from ``labels.txt`` or, without it, from the first 2,000 files.
        """
        if cls.sniff(path) == 0:
            raise NoDatasetError(
                f"{path} is not in labelme's layout: no JSON file in it has a list 'shapes'."
            )
        images, files = list_files(path), list_files(path, (".json",))
        samples, notes = _pair(images.files, files.files)
        targets = [s.target_path for s in samples if s.target_path is not None]
        if not targets:
            raise NoDatasetError(
                f"None of the JSON files in {path} has an image of its name; put the images beside "
                "them."
            )
        if label_space is None:
            label_space, complaints = find_label_space(path)
            notes += complaints
        if label_space is None:
            label_space, more = _space_of(path, targets)
            notes += more
        return Dataset(
            root=path,
            format=cls.name,
            samples=tuple(samples),
            label_space=label_space,
            title=path.resolve().name,
            notes=(*images.notes, *notes),
            decoder=_Decoder(label_space),
        )


def _holds_shapes(path: Path) -> bool:
    try:
        with open(path, "rb") as stream:
            head = stream.read(1 << 16)
            stream.seek(-min(1 << 12, path.stat().st_size), 2)
            ends = head + stream.read(1 << 12)
    except OSError:
        return False
    return b'"shapes"' in ends and any(
        key in ends for key in (b'"imagePath"', b'"imageHeight"', b'"shape_type"')
    )


def _pair(
    images: list[tuple[str, Path]], files: list[tuple[str, Path]]
) -> tuple[list[Sample], list[str]]:
    """Pair by path without ending, then with the annotation folder taken out of the path."""
    index = TargetIndex(files)
    elsewhere = TargetIndex((_without_folder(relative), full) for relative, full in files)
    targets = index.find_all([(relative,) for relative, _ in images])
    rest = [place for place, target in enumerate(targets) if target is None]
    moved = elsewhere.find_all([(_without_image_folder(images[place][0]),) for place in rest])
    for place, target in zip(rest, moved, strict=True):
        targets[place] = target
    samples = [
        Sample(relative, full, target)
        for (relative, full), target in zip(images, targets, strict=True)
    ]
    used = {sample.target_path for sample in samples}
    orphans = [relative for relative, full in files if full not in used]
    without = [sample.sample_id for sample in samples if sample.target_path is None]
    notes = []
    if without:
        notes.append(f"{plural(len(without), 'image')} without a JSON file, {without[0]} first.")
    if orphans:
        notes.append(f"{plural(len(orphans), 'JSON file')} without an image, {orphans[0]} first.")
    return samples, notes


def _without_folder(relative: str) -> str:
    return "/".join(part for part in relative.split("/") if part not in _FOLDERS)


def _without_image_folder(relative: str) -> str:
    return "/".join(part for part in relative.split("/") if part not in ("images", "img"))


def _space_of(path: Path, targets: list[Path]) -> tuple[LabelSpace, list[str]]:
    names: set[str] = set()
    notes: list[str] = []
    for target in targets[:_READ_FOR_NAMES]:
        try:
            names |= set(_names_in(target))
        except (OSError, ValueError):
            continue  # a broken file is named when its sample is read
    if len(targets) > _READ_FOR_NAMES:
        notes.append(
            f"Class names are those of the first {_READ_FOR_NAMES} files of {path}; a labels.txt "
            "names all."
        )
    names -= {_IGNORED}
    background = next((name for name in _BACKGROUNDS if name in names), "background")
    ordered = [background, *sorted(names - {background})]
    categories = [Category(index, name) for index, name in enumerate(ordered)]
    # Ids must not run into 255, which is what is ignored.
    categories = [
        Category(entry.id + (entry.id >= IGNORE_INDEX), entry.name) for entry in categories
    ]
    return build_label_space(categories, path.resolve().name, "Labels of labelme's files."), notes


def _names_in(path: Path) -> Iterable[str]:
    with open(path, "rb") as stream:
        data = stream.read(_LARGEST)
    return [str(json.loads(text)) for text in _LABEL.findall(data)]


@dataclass(frozen=True, eq=False)
class _Decoder:
    space: LabelSpace

    def __call__(self, sample: Sample, shape: tuple[int, int]) -> NDArray[Any]:
        path = sample.target_path
        assert path is not None
        document = read_json(path)
        if not isinstance(document, dict) or not isinstance(document.get("shapes"), list):
            raise LabelValueError(f"{path} has no list 'shapes'; labelme's files do.")
        size = (document.get("imageHeight"), document.get("imageWidth"))
        if None not in size and size != shape:
            raise SizeMismatchError(
                f"{path} was drawn on {size[0]} x {size[1]} pixels (height x width), but its image "
                f"is {shape[0]} x {shape[1]}."
            )
        void = self.space.ignore_ids[0] if self.space.ignore_ids else IGNORE_INDEX
        background = next(
            (hit.source_id for hit in map(self.space.find, _BACKGROUNDS) if hit is not None), void
        )
        painter = ShapePainter(shape, background)
        for number, entry in enumerate(document["shapes"]):
            where = f"{path}, shape {number}"
            if not isinstance(entry, dict):
                raise LabelValueError(f"{where} is no object.")
            name = str(entry.get("label"))
            known = self.space.find(name)
            if known is None and name != _IGNORED:
                raise LabelValueError(
                    f"{where} has the label {name!r}, which the label space {self.space.name} does "
                    "not know."
                )
            _paint(painter, entry, void if known is None else known.source_id, where)
        return painter.pixels()


def _paint(painter: ShapePainter, entry: dict[str, Any], value: int, where: str) -> None:
    points = checked_points(entry.get("points"), where)
    kind = entry.get("shape_type") or "polygon"
    if kind in ("polygon", "oriented_rectangle"):
        painter.polygon(points, value, where, outline=True)
    elif kind == "rectangle":
        painter.rectangle(points, value, where)
    elif kind == "circle" and len(points) == 2:
        (x, y), (edge_x, edge_y) = points
        radius = ((x - edge_x) ** 2 + (y - edge_y) ** 2) ** 0.5
        painter.ellipse(((x - radius, y - radius), (x + radius, y + radius)), value, where)
    elif kind in ("line", "linestrip"):
        painter.line(points, value, where, width=10)
    elif kind in ("point", "points"):
        for x, y in points:
            painter.ellipse(((x - 5, y - 5), (x + 5, y + 5)), value, where)
    elif kind == "mask" and points:
        mask = decode_png_mask(decode_base64(entry.get("mask"), where), painter.shape, where)
        # labelme cuts fractions off, also below 0.
        painter.mask(mask, int(points[0][1]), int(points[0][0]), value)
    else:
        raise LabelValueError(f"{where} is a {kind!r} that cannot be painted.")
