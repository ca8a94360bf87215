"""What COCO's two forms share: category ids, image ids, JSON written piece by piece."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

from segstudio.core.label_space import LabelSpace
from segstudio.core.types import Sample
from segstudio.exporters._photographs import photograph_ending
from segstudio.exporters.base import ExportItem
from segstudio.exporters.documents import Records

__all__ = [
    "categories",
    "category_ids",
    "coco_document",
    "image_ids",
    "image_name",
]


def category_ids(label_space: LabelSpace) -> list[int]:
    """Return the category id of each class.

    The source id, as COCO's own label spaces have them, when all are 1 or more; else class index
    + 1, because readers take category 0 for the background.
    """
    ids = [entry.source_id for entry in label_space.classes]
    return ids if min(ids) >= 1 else [entry.index + 1 for entry in label_space.classes]


def categories(label_space: LabelSpace) -> list[dict[str, Any]]:
    """Return COCO's list of categories, with colours; none has instances."""
    return [
        {
            "id": number,
            "name": entry.name,
            "supercategory": "",
            "color": list(entry.color),
            "isthing": 0,
        }
        for number, entry in zip(category_ids(label_space), label_space.classes, strict=True)
    ]


def image_ids(samples: Iterable[Sample]) -> dict[str, int]:
    """Return the image id of each sample by sample id.

    COCO's own images are named by their id, and keep it; if any other image is among them, all
    are numbered from 1.
    """
    ids = [sample.sample_id for sample in samples]
    stems = [PurePosixPath(sample_id).stem for sample_id in ids]
    if all(stem.isascii() and stem.isdigit() and len(stem) <= 18 for stem in stems):
        numbers = [int(stem) for stem in stems]
        if len(set(numbers)) == len(numbers):
            return dict(zip(ids, numbers, strict=True))
    return {sample_id: number for number, sample_id in enumerate(ids, 1)}


def image_name(item: ExportItem, images: str) -> str:
    """Return an image's path below the image folder: the sample id.

    Photographs that are exported in another form have the ending of that form.
    """
    sample_id = item.sample.sample_id
    ending = photograph_ending(item)
    is_same = images == "none" or sample_id.lower().endswith(ending)
    return sample_id if is_same else sample_id + ending


def coco_document(
    records: Records,
    label_space: LabelSpace,
    images: str,
    annotations: Callable[[dict[str, int], list[int]], Iterator[Any]],
) -> Iterator[str]:
    """Yield a document of COCO's kind piece by piece.

    Parameters
    ----------
    records : Records
        Of each sample, a pair whose first is [height, width].
    label_space : LabelSpace
        The categories.
    images : {"none", "copy", "link"}
        See `photographs_option`.
    annotations : callable
        Takes the image ids by sample id and the category ids by class index, and yields the
        annotations.
    """
    ids = image_ids(records.samples)
    described = (
        {
            "id": ids[item.sample.sample_id],
            "file_name": image_name(item, images),
            "height": height,
            "width": width,
        }
        for item, _, ((height, width), _) in records
    )
    yield '{"info":{"description":"Exported by SegStudio"},\n"licenses":[],\n'
    yield from _json_list("images", described)
    yield ",\n"
    yield from _json_list("annotations", annotations(ids, category_ids(label_space)))
    yield ",\n"
    yield from _json_list("categories", categories(label_space))
    yield "}\n"


def _json_list(key: str, entries: Iterable[Any]) -> Iterator[str]:
    """Yield ``"key":[...]``, one entry a line."""
    yield f'"{key}":['
    for place, entry in enumerate(entries):
        text = json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
        yield (",\n" if place else "\n") + text
    yield "]"
