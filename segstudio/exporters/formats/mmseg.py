"""The folders that MMSegmentation trains on: ``img_dir``, ``ann_dir`` and the class list.

References
----------
MMSegmentation, "Prepare datasets" and "Add new datasets",
https://mmsegmentation.readthedocs.io
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from segstudio.core.label_space import LabelSpace
from segstudio.core.types import Sample
from segstudio.datasets.encoding import encode_png
from segstudio.exporters._eight_bits import check_eight_bits
from segstudio.exporters._label_spaces import LABEL_SPACE_FILE, label_space_file, stored_space
from segstudio.exporters._names import flat_names
from segstudio.exporters._photographs import (
    photograph_ending,
    photograph_file,
    photographs_option,
)
from segstudio.exporters.base import EXPORTERS, ExportItem, FilesExporter, OutFile


@EXPORTERS.register("mmseg")
class MmsegExporter(FilesExporter):
    """Grey PNGs of class indices in MMSegmentation's folders."""

    description = "MMSegmentation folders: img_dir, ann_dir with class indices, class list."

    @dataclass(frozen=True)
    class Options:
        """What goes beside the label maps."""

        images: str = photographs_option("copy")

    def names(self, samples: Iterable[Sample]) -> dict[str, str]:
        """Return names without folders."""
        return flat_names(samples)

    def check(self, label_space: LabelSpace, options: Any) -> None:
        """Refuse label spaces that reach MMSegmentation's ignored value 255."""
        check_eight_bits(label_space, "an annotation of MMSegmentation")

    def side_files(self, label_space: LabelSpace, options: Any) -> dict[str, bytes]:
        """Return the class list, and the METAINFO of a dataset class as JSON."""
        names = "".join(f"{name}\n" for name in label_space.names)
        meta = {"classes": label_space.names, "palette": [list(c) for c in label_space.colors]}
        space = stored_space(label_space, source_ids=False)
        return {
            LABEL_SPACE_FILE: label_space_file(space),
            "classes.txt": names.encode("utf-8"),
            "metainfo.json": (json.dumps(meta, ensure_ascii=False) + "\n").encode("utf-8"),
        }

    def files(
        self, item: ExportItem, name: str, label_space: LabelSpace, options: Any
    ) -> list[OutFile]:
        """Return the label map, and the photograph, whose ending is the dataset's img_suffix."""
        split = item.sample.split or "all"
        photograph = f"img_dir/{split}/{name}{photograph_ending(item)}"
        return [
            OutFile(f"ann_dir/{split}/{name}.png", encode_png),
            *photograph_file(photograph, item, options.images, self.tally),
        ]
