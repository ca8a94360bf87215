"""X-AnyLabeling's masks with the mapping file that they were exported with.

The mapping is JSON: ``{"type": "grayscale", "colors": {"car": 7}}`` or ``{"type": "rgb", "colors":
{"car": [255, 0, 0]}}``.  Masks lie in a folder beside the images or beside their folder; 0 or black
is the background.

References
----------
X-AnyLabeling, user guide, "Mask" export.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segstudio.core.errors import NoDatasetError, SegStudioError, UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat
from segstudio.datasets.categories import Category, build_label_space
from segstudio.datasets.colors import ColorDecoder
from segstudio.datasets.formats.paired import find_pairs
from segstudio.datasets.images import TARGET_SUFFIXES
from segstudio.datasets.json_files import read_json
from segstudio.datasets.layouts import first_file, folders_of, open_pairs
from segstudio.datasets.listing import suffix_of
from segstudio.datasets.pairing import FolderPair

_LARGEST = 1 << 20
_BLACK = (0, 0, 0)
_FOLDERS = ("masks", "mask")


@FORMATS.register("x-anylabeling")
class XAnyLabelingFormat(DatasetFormat):
    """Masks of X-AnyLabeling."""

    description = "X-AnyLabeling masks: images, masks/ and the mapping JSON (grayscale or rgb)."

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.94 when a mapping file and masks are there."""
        return 0.94 if _find(path) and _mapping(path) is not None else 0.0

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """Pair images and masks by name; see `DatasetFormat.open`."""
        pairs, mapping = _find(path), _mapping(path)
        if not pairs or mapping is None:
            raise NoDatasetError(
                f"{path} is not in the layout of X-AnyLabeling's masks: it has no folder of masks "
                'with a mapping file ({"type": "grayscale", "colors": {...}}) beside it.'
            )
        file, kind, colors = mapping
        space = label_space or _space(path, file, kind, colors)
        decoder = None
        if kind == "rgb":
            ignored = [] if _BLACK in space.colors else [_BLACK]
            decoder = ColorDecoder.of_space(space, str(file), ignored)
        inside = pairs[0].targets
        return open_pairs(
            cls.name, path, pairs, space, decoder=decoder,
            is_image=(lambda name: not name.startswith(f"{inside}/")) if not pairs[0].images
            else None,
        )  # fmt: skip


def _find(path: Path) -> list[FolderPair]:
    """Return the folders: paired ones, or masks below the folder of the images."""
    pairs = find_pairs(path)
    if not pairs:
        names = folders_of(path)
        masks = next((names[name] for name in _FOLDERS if name in names), None)
        pairs = [] if masks is None else [FolderPair("", masks)]
    return [pair for pair in pairs if first_file(path / pair.targets, TARGET_SUFFIXES)]


def _mapping(path: Path) -> tuple[Path, str, dict[str, Any]] | None:
    """Return the first file that is a mapping, its type and its colours."""
    for file in _json_files(path):
        try:
            document = read_json(file, _LARGEST)
        except SegStudioError:
            continue  # no mapping; whoever this file belongs to says what is wrong with it
        if isinstance(document, dict) and document.get("type") in ("grayscale", "rgb"):
            colors = document.get("colors")
            if isinstance(colors, dict) and colors:
                return file, document["type"], colors
    return None


def _json_files(path: Path) -> Iterator[Path]:
    """Yield a few small JSON files at the top of a folder."""
    try:
        with os.scandir(path) as entries:
            names = [entry.name for entry in itertools.islice(entries, 400)]
    except OSError:
        return
    for name in sorted(names)[:400]:
        if suffix_of(name) == ".json":
            yield path / name


def _space(path: Path, file: Path, kind: str, colors: dict[str, Any]) -> LabelSpace:
    categories = [Category(0, "background", _BLACK)]
    for number, (name, value) in enumerate(colors.items(), 1):
        if name.strip("_").lower() == "background":
            continue
        if kind == "rgb":
            if not _is_color(value):
                raise UsageError(f"{file} has no colour [R, G, B] for {name!r} but {value!r}.")
            categories.append(Category(number, name, (value[0], value[1], value[2])))
        else:
            if not _is_level(value) or value == 0:
                raise UsageError(f"{file} has no grey value 1..255 for {name!r} but {value!r}.")
            categories.append(Category(int(value), name))
    ids = [entry.id for entry in categories]
    if len(set(ids)) < len(ids):
        raise UsageError(f"{file} has one grey value for two classes.")
    return build_label_space(categories, path.resolve().name, f"Classes of {file.name}.")


def _is_level(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255


def _is_color(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(_is_level, value))
