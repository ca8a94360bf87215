"""Label Studio's JSON export: brushes (run lengths) and polygons, one task per image.

Of several annotations of a task the first that was not cancelled is read.  Regions are painted in
their order; what none covers is the class "background".  Rectangles and ellipses are boxes of
objects, not masks, and are passed over.

References
----------
Label Studio documentation, "Export annotations"; thi.ng/umbrella, ``rle-pack``.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from numpy.typing import NDArray

from segstudio.core.errors import LabelValueError, NoDatasetError, SizeMismatchError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import IGNORE_INDEX, Sample
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat
from segstudio.datasets.blobs import decode_brush
from segstudio.datasets.categories import Category, build_label_space
from segstudio.datasets.json_files import read_json
from segstudio.datasets.listing import list_files, plural, suffix_of
from segstudio.datasets.pairing import FileIndex
from segstudio.datasets.shapes import ShapePainter, checked_points

_LABEL_KEYS = ("brushlabels", "polygonlabels")


@FORMATS.register("label-studio")
class LabelStudioFormat(DatasetFormat):
    """Label Studio's JSON export."""

    description = "Label Studio: a JSON export with brushes or polygons, and its images."

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.9 when a JSON file at the top begins as an export does."""
        return 0.0 if _find(path) is None else 0.9

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """Read the export and find its images; see `DatasetFormat.open`."""
        export = _find(path)
        if export is None:
            raise NoDatasetError(
                f"{path} is not in Label Studio's layout: it has no JSON export of tasks with "
                "annotations and their results."
            )
        tasks = read_json(export)
        listing = list_files(path)
        index = FileIndex(listing.files)
        samples: dict[str, Sample] = {}
        regions: dict[str, list[Any]] = {}
        missing = []
        for task in tasks if isinstance(tasks, list) else ():
            relative = _find_image(task, index)
            if relative is None:
                missing.append(task)
            elif relative not in samples:
                found = _result(task)
                target = None if found is None else export
                samples[relative] = Sample(relative, index.paths[relative], target)
                regions[relative] = found or []
        if not samples:
            raise NoDatasetError(
                f"None of the images of {export} is below {path}; put the images beside it."
            )
        notes = list(listing.notes)
        if missing:
            notes.append(f"{plural(len(missing), 'task')} of {export} without an image here.")
        if label_space is None:
            names = {name for found in regions.values() for name in map(_label, found) if name}
            ordered = ["background", *sorted(names - {"background"})]
            label_space = build_label_space(
                [Category(n + (n >= IGNORE_INDEX), name) for n, name in enumerate(ordered)],
                path.resolve().name,
                f"Labels of {export.name}.",
            )
        return Dataset(
            root=path,
            format=cls.name,
            samples=tuple(samples.values()),
            label_space=label_space,
            title=path.resolve().name,
            notes=tuple(notes),
            decoder=_Decoder(label_space, regions),
        )


def _find(path: Path) -> Path | None:
    try:
        with os.scandir(path) as entries:
            names = sorted(entry.name for entry in itertools.islice(entries, 400))
    except OSError:
        return None
    for name in [name for name in names if suffix_of(name) == ".json"][:8]:
        try:
            with open(path / name, "rb") as stream:
                head = stream.read(1 << 16)
        except OSError:
            continue
        is_list = head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
        if is_list and b'"annotations"' in head and b'"result"' in head:
            return path / name
    return None


def _find_image(task: Any, index: FileIndex[Path]) -> str | None:
    """Return the image of a task: its address leads to a server, so the name's tail decides."""
    if not isinstance(task, dict):
        return None
    data = task.get("data")
    values = list(data.values()) if isinstance(data, dict) else []
    for value in [*values, task.get("file_upload")]:
        if not isinstance(value, str):
            continue
        # "/data/local-files/?d=images/a.jpg", "/data/upload/3/5f3a-a.jpg", "s3://bucket/a.jpg"
        name = unquote(value.rpartition("?d=")[2].partition("?")[0])
        found = index.find(name)
        if found is None:
            # Uploads get a random beginning: 5f3a0b12-a.jpg.
            found = index.find(name.rpartition("/")[2].partition("-")[2])
        if found is not None:
            return found
    return None


def _result(task: dict[str, Any]) -> list[Any] | None:
    annotations = task.get("annotations")
    for annotation in annotations if isinstance(annotations, list) else ():
        if isinstance(annotation, dict) and not annotation.get("was_cancelled"):
            result = annotation.get("result")
            return result if isinstance(result, list) else None
    return None


def _label(region: Any) -> str | None:
    value = region.get("value") if isinstance(region, dict) else None
    for key in _LABEL_KEYS:
        labels = value.get(key) if isinstance(value, dict) else None
        if isinstance(labels, list) and labels:
            return str(labels[0])
    return None


@dataclass(frozen=True, eq=False)
class _Decoder:
    space: LabelSpace
    regions: dict[str, list[Any]]

    def __call__(self, sample: Sample, shape: tuple[int, int]) -> NDArray[Any]:
        background = self.space.find("background")
        void = self.space.ignore_ids[0] if self.space.ignore_ids else IGNORE_INDEX
        painter = ShapePainter(shape, void if background is None else background.source_id)
        for number, region in enumerate(self.regions[sample.sample_id]):
            name = _label(region)
            if name is None:
                continue
            where = f"{sample.target_path}, {sample.sample_id}, region {number}"
            known = self.space.find(name)
            if known is None:
                raise LabelValueError(
                    f"{where} has the label {name!r}, which the label space {self.space.name} does "
                    "not know."
                )
            size = (region.get("original_height"), region.get("original_width"))
            if size != shape:
                raise SizeMismatchError(
                    f"{where} was drawn on {size[0]} x {size[1]} pixels (height x width), but its "
                    f"image is {shape[0]} x {shape[1]}."
                )
            value = region["value"]
            if value.get("format") == "rle" or "rle" in value:
                painter.mask(decode_brush(value.get("rle"), shape, where), 0, 0, known.source_id)
            elif "points" in value:
                points = [
                    (x * shape[1] / 100, y * shape[0] / 100)  # they are per cent of the image
                    for x, y in checked_points(value["points"], where)
                ]
                painter.polygon(points, known.source_id, where, outline=True)
        return painter.pixels()
