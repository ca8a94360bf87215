"""CVAT's own XML ("CVAT for images 1.1"): polygons and run-length masks in ``annotations.xml``.

Shapes are painted from the lowest ``z_order`` up, equal ones in their order.  Boxes, lines and
points have no mask and are passed over.  What no shape covers is the class "background".  Polygons
are rasterised as CVAT's own exports do it, with the COCO API.

References
----------
CVAT documentation, "XML annotation format", version 1.1.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import LabelValueError, NoDatasetError, SizeMismatchError, UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import IGNORE_INDEX, Sample
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat
from segstudio.datasets.blobs import decode_box_runs
from segstudio.datasets.categories import Category, build_label_space, hex_color
from segstudio.datasets.coco_masks import decode_segmentation
from segstudio.datasets.listing import list_files, plural
from segstudio.datasets.pairing import FileIndex

_FILE = "annotations.xml"
_PAINTED = ("polygon", "mask")
_PASSED_OVER = ("box", "polyline", "points", "cuboid", "ellipse", "skeleton")

_BLOCK = 1 << 20
"""Older expats look through an unfinished tag again with every block, and a mask is one tag."""


@FORMATS.register("cvat-xml")
class CvatXmlFormat(DatasetFormat):
    """CVAT's own annotation file for images."""

    description = "CVAT for images 1.1: annotations.xml with polygons and masks, and its images."

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.94 when ``annotations.xml`` begins as CVAT's does."""
        try:
            with open(path / _FILE, "rb") as stream:
                return 0.94 if b"<annotations>" in stream.read(4096) else 0.0
        except OSError:
            return 0.0

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """Read the XML and find its images; see `DatasetFormat.open`."""
        if cls.sniff(path) == 0:
            raise NoDatasetError(
                f"{path} is not in CVAT's layout: it has no annotations.xml that begins with "
                "<annotations>."
            )
        found = _read(path / _FILE)
        listing = list_files(path)
        index = FileIndex(listing.files)
        samples: dict[str, Sample] = {}
        images: dict[str, _Image] = {}
        missing = []
        for image in found.images:
            relative = index.find(image.name, ("images/", "data/", ""))
            if relative is None:
                missing.append(image.name)
            elif relative not in samples:
                samples[relative] = Sample(relative, index.paths[relative], path / _FILE)
                images[relative] = image
        if not samples:
            raise NoDatasetError(
                f"None of the {plural(len(found.images), 'image')} that {path / _FILE} names is "
                f"below {path}; put the images beside it."
            )
        notes = list(listing.notes)
        if missing:
            notes.append(
                f"{plural(len(missing), 'image')} of {path / _FILE} not found, {missing[0]!r} "
                "first."
            )
        if found.passed_over:
            shapes = ", ".join(plural(n, k) for k, n in sorted(found.passed_over.items()))
            notes.append(f"{path / _FILE} has shapes without a mask that are left out: {shapes}.")
        if label_space is None:
            label_space = _space(path, found)
        return Dataset(
            root=path,
            format=cls.name,
            samples=tuple(samples.values()),
            label_space=label_space,
            title=path.resolve().name,
            notes=tuple(notes),
            decoder=_Decoder(label_space, images),
        )


@dataclass(slots=True)
class _Image:
    name: str
    size: tuple[str, str]
    shapes: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@dataclass(slots=True)
class _Found:
    """What the XML holds."""

    images: list[_Image] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    passed_over: Counter[str] = field(default_factory=Counter)


class _Reader:
    """Follows the elements of the XML; the handlers of an expat parser."""

    def __init__(self) -> None:
        self.found = _Found()
        self._path: list[str] = []
        self._text = ""
        self._label = ""

    def doctype(self, *_: object) -> None:
        raise UsageError("a document type, which CVAT does not write")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._path.append(tag)
        self._text = ""
        if tag == "image" and len(self._path) == 2:
            size = (attributes.get("height", ""), attributes.get("width", ""))
            self.found.images.append(_Image(attributes.get("name", ""), size))
        elif self._path[1:2] == ["image"] and len(self._path) == 3:
            if tag in _PAINTED:
                self.found.images[-1].shapes.append((tag, attributes))
                self.found.labels.setdefault(attributes.get("label", ""), "")
            elif tag in _PASSED_OVER:
                self.found.passed_over[tag] += 1
        elif tag == "track":
            raise UsageError("tracks of a video; export it as CVAT for images")

    def text(self, data: str) -> None:
        if self._path[-1:] in (["name"], ["color"]):
            self._text += data

    def end(self, tag: str) -> None:
        if self._path[-3:-1] == ["labels", "label"]:
            if tag == "name":
                self._label = self._text.strip()
                self.found.labels.setdefault(self._label, "")
            elif tag == "color":
                self.found.labels[self._label] = self._text.strip()
        self._path.pop()


def _read(path: Path) -> _Found:
    """Parse the XML as a stream, without entities.

    Raises
    ------
    NoDatasetError
        When it is not well-formed (with line and column) or not of images.
    """
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        with open(path, "rb") as stream:
            while block := stream.read(_BLOCK):
                parser.Parse(block)
            parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise NoDatasetError(
            f"{path} is not valid XML: {expat.ErrorString(error.code)} at line {error.lineno}, "
            f"column {error.offset + 1}."
        ) from error
    except LookupError as error:
        raise NoDatasetError(f"{path} is not valid XML: {error}.") from error
    except UsageError as error:
        raise NoDatasetError(f"{path} cannot be opened: it has {error}.") from error
    except OSError as error:
        raise NoDatasetError(f"{path} cannot be read: {error.strerror or error}.") from error
    return reader.found


def _space(path: Path, found: _Found) -> LabelSpace:
    named = [name for name in found.labels if name]
    background = next((name for name in named if name.lower() == "background"), None)
    ordered = [background or "background", *(name for name in named if name != background)]
    categories = [
        Category(
            index + (index >= IGNORE_INDEX),
            name,
            hex_color(found.labels.get(name, "")) or ((0, 0, 0) if index == 0 else None),
        )
        for index, name in enumerate(ordered)
    ]
    return build_label_space(categories, path.resolve().name, f"Labels of {_FILE}.")


@dataclass(frozen=True, eq=False)
class _Decoder:
    space: LabelSpace
    images: dict[str, _Image]

    def __call__(self, sample: Sample, shape: tuple[int, int]) -> NDArray[Any]:
        image = self.images[sample.sample_id]
        origin = f"{sample.target_path}, image {image.name}"
        if image.size != (str(shape[0]), str(shape[1])):
            raise SizeMismatchError(
                f"{origin} was drawn on {image.size[0]} x {image.size[1]} pixels (height x width), "
                f"but its image is {shape[0]} x {shape[1]}."
            )
        background = self.space.find("background")
        void = self.space.ignore_ids[0] if self.space.ignore_ids else IGNORE_INDEX
        painted = np.full(shape, void if background is None else background.source_id, np.uint16)
        for number, (kind, values) in sorted(enumerate(image.shapes), key=_by_z_order):
            where = f"{origin}, shape {number}"
            known = self.space.find(values.get("label", ""))
            if known is None:
                raise LabelValueError(
                    f"{where} has the label {values.get('label')!r}, which the label space "
                    f"{self.space.name} does not know."
                )
            if kind == "polygon":
                painted[_polygon(values, shape, where)] = known.source_id
            else:
                _paint_mask(painted, values, known.source_id, where)
        return painted


def _by_z_order(entry: tuple[int, tuple[str, dict[str, str]]]) -> int:
    try:
        return int(entry[1][1].get("z_order", "0"))
    except ValueError:
        return 0


def _polygon(values: dict[str, str], shape: tuple[int, int], where: str) -> NDArray[np.bool_]:
    text = values.get("points", "").replace(";", ",")
    try:
        flat = [float(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise LabelValueError(f"{where} has points that are no pairs of numbers.") from error
    return decode_segmentation([flat], shape, where)


def _paint_mask(
    painted: NDArray[np.uint16], values: dict[str, str], value: int, where: str
) -> None:
    try:
        top, left, height, width = (int(values[k]) for k in ("top", "left", "height", "width"))
    except (KeyError, ValueError, OverflowError) as error:
        raise LabelValueError(f"{where} has a mask without its box.") from error
    inside = top >= 0 and left >= 0 and height > 0 and width > 0
    if not inside or top + height > painted.shape[0] or left + width > painted.shape[1]:
        raise LabelValueError(f"{where} has a mask whose box is outside its image.")
    mask = decode_box_runs(values.get("rle", "").split(","), height, width, where)
    painted[top : top + height, left : left + width][mask] = value
