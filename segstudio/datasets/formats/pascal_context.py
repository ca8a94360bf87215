"""PASCAL Context on VOC 2010: ``JPEGImages/``, ``SegmentationClassContext/``, lists.

Masks hold 0 (background) and 1..59.  The label space ``pascal_context_59`` ignores the background.
The authors' own releases are read too: ``59_context_labels/`` and ``33_context_labels/`` (PNG, with
``59_labels.txt`` and ``33_labels.txt``) and ``trainval/`` (MATLAB files of 459 classes, with
``labels.txt``), each beside ``JPEGImages/``.

References
----------
R. Mottaghi et al., "The role of context for object detection and semantic segmentation in the
wild", CVPR 2014.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from segstudio.core.errors import NoDatasetError, UsageError
from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.core.types import Sample
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat
from segstudio.datasets.categories import Category, build_label_space
from segstudio.datasets.formats.voc import find_base, open_lists
from segstudio.datasets.images import TARGET_SUFFIXES
from segstudio.datasets.json_files import read_text
from segstudio.datasets.listing import peek, suffix_of
from segstudio.datasets.mat_files import read_mat_map

_MASKS = ("SegmentationClassContext", "59_context_labels", "33_context_labels", "trainval")
_NAMES = {
    "59_context_labels": "59_labels.txt",
    "33_context_labels": "33_labels.txt",
    "trainval": "labels.txt",
}
_LINE = re.compile(r"\s*(\d+)\s*:\s*(\S.*?)\s*$")
_MAT = (".mat",)


@FORMATS.register("pascal-context")
class PascalContextFormat(DatasetFormat):
    """PASCAL Context as tool boxes convert it."""

    description = "PASCAL Context: JPEGImages/, SegmentationClassContext/, ImageSets/ lists."

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.95 when images and context masks are there."""
        return 0.0 if _find(path) is None else 0.95

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """Read the lists, or take all images with a mask; see `DatasetFormat.open`."""
        found = _find(path)
        if found is None:
            raise NoDatasetError(
                f"{path} is not in the layout of PASCAL Context: it has no folder JPEGImages/ with "
                "a folder SegmentationClassContext/ (or 59_context_labels/, 33_context_labels/, "
                "trainval/) beside it."
            )
        base, folder = found
        notes: tuple[str, ...] = ()
        space = label_space
        if space is None:
            space, notes = _space(path / base, folder)
        in_mat = folder == "trainval"
        dataset = open_lists(
            cls.name,
            path,
            base,
            (folder,),
            ("SegmentationContext",),
            space,
            notes=notes,
            suffixes=_MAT if in_mat else TARGET_SUFFIXES,
        )
        return replace(dataset, decoder=_read) if in_mat else dataset


def _find(path: Path) -> tuple[str, str] | None:
    """Return where the layout begins and the folder of its masks."""
    for folder in _MASKS:
        base = find_base(path, (folder,))
        suffixes = _MAT if folder == "trainval" else TARGET_SUFFIXES
        if base is not None and any(
            suffix_of(name) in suffixes for name, _ in peek(path / base / folder, 40)
        ):
            return base, folder
    return None


def _space(root: Path, folder: str) -> tuple[LabelSpace | None, tuple[str, ...]]:
    """Return the label space of a folder of masks, and what is odd about it."""
    places = [root / folder / _NAMES.get(folder, ""), root / _NAMES.get(folder, "")]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        if folder in ("SegmentationClassContext", "59_context_labels"):
            return load_label_space("pascal_context"), ()
        return None, (
            f"{root} has no {_NAMES[folder]}, which names the classes of {folder}/; put it there "
            "or choose a label space.",
        )
    categories = []
    for number, line in enumerate(read_text(file).splitlines(), 1):
        if line.strip():
            found = _LINE.match(line)
            if found is None:
                raise UsageError(f"{file} has no class such as '1: wall' in line {number}.")
            categories.append(Category(int(found.group(1)), found.group(2)))
    space = build_label_space(categories, f"pascal-context-{len(categories)}", f"{file.name}.")
    named = load_label_space("pascal_context")
    ours = {entry.source_id: entry.name for entry in named.classes if entry.source_id}
    if {entry.id: entry.name for entry in categories if entry.id} == ours:
        space = named
    return space, ()


def _read(sample: Sample, shape: tuple[int, int]) -> NDArray[Any]:
    assert sample.target_path is not None
    return read_mat_map(sample.target_path, "LabelMap", shape)
