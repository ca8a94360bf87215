"""A folder that Hugging Face's ``datasets`` loads: ``load_dataset("imagefolder", data_dir=...)``.

``SPLIT/metadata.jsonl`` names an image and a label map in each line; the columns are called
``image`` and ``label``.  ``id2label.json`` is the class list in the form of ``transformers``.

References
----------
https://huggingface.co/docs/datasets/image_dataset, "ImageFolder", several images per row
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from segstudio.core.label_space import LabelSpace
from segstudio.core.types import Sample
from segstudio.datasets.encoding import encode_png
from segstudio.exporters._label_spaces import LABEL_SPACE_FILE, label_space_file, stored_space
from segstudio.exporters._names import flat_names
from segstudio.exporters._photographs import (
    photograph_ending,
    photograph_file,
    photographs_option,
)
from segstudio.exporters.base import EXPORTERS, ExportItem, FilesExporter, OutFile


@EXPORTERS.register("huggingface")
class HuggingfaceExporter(FilesExporter):
    """Grey PNGs of class indices with a table of pairs per split."""

    description = "Hugging Face image folder: images, label maps, metadata.jsonl per split."

    @dataclass(frozen=True)
    class Options:
        """What goes beside the label maps."""

        images: str = photographs_option("copy")

    def names(self, samples: Iterable[Sample]) -> dict[str, str]:
        """Return names without folders."""
        return flat_names(samples)

    def side_files(self, label_space: LabelSpace, options: Any) -> dict[str, bytes]:
        """Return the class list in both forms."""
        names = {str(entry.index): entry.name for entry in label_space.classes}
        space = stored_space(label_space, source_ids=False)
        return {
            LABEL_SPACE_FILE: label_space_file(space),
            "id2label.json": (json.dumps(names, ensure_ascii=False) + "\n").encode("utf-8"),
        }

    def files(
        self, item: ExportItem, name: str, label_space: LabelSpace, options: Any
    ) -> list[OutFile]:
        """Return the label map and the photograph."""
        split = _split(item)
        photograph = f"{split}/images/{name}{photograph_ending(item)}"
        return [
            OutFile(f"{split}/labels/{name}.png", encode_png),
            *photograph_file(photograph, item, options.images, self.tally),
        ]

    def lists(
        self, written: Sequence[tuple[ExportItem, str]], label_space: LabelSpace, options: Any
    ) -> dict[str, bytes]:
        """Return the table of each split."""
        splits: dict[str, list[str]] = {}
        for item, name in written:
            row = {"label_file_name": f"labels/{name}.png", "sample_id": item.sample.sample_id}
            if options.images != "none":
                row = {"image_file_name": f"images/{name}{photograph_ending(item)}", **row}
            splits.setdefault(_split(item), []).append(json.dumps(row, ensure_ascii=False) + "\n")
        return {
            f"{split}/metadata.jsonl": "".join(rows).encode("utf-8")
            for split, rows in splits.items()
        }


def _split(item: ExportItem) -> str:
    """Return the folder of a sample's split by the names that ``datasets`` knows."""
    split = item.sample.split or "train"
    return {"val": "validation"}.get(split, split)
