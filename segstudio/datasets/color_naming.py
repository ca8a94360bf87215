"""Naming the colours of masks that come without a list of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segstudio.core.atomic import write_text
from segstudio.core.errors import NoDatasetError, SegStudioError, UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.core.palette import Color
from segstudio.datasets.base import Dataset
from segstudio.datasets.classes import CLASS_FILES
from segstudio.datasets.colors import read_color_codes
from segstudio.datasets.json_files import read_json

__all__ = [
    "ColorName",
    "MaskColor",
    "count_colors",
    "ignored_colors",
    "name_colors",
    "save_named_colors",
]

_IGNORED = "ignored_colors"

_LOOKED_AT = 40
_MOST = 256


@dataclass(frozen=True, slots=True)
class MaskColor:
    """A colour of some masks.

    Attributes
    ----------
    color : (int, int, int)
        Red, green, blue.
    pixels, masks : int
        How many pixels have it, and in how many masks it is.
    share : float
        Of all pixels that were looked at, 0..1.
    """

    color: Color
    pixels: int
    masks: int
    share: float


@dataclass(frozen=True, slots=True)
class ColorName:
    """What a colour means; without a name it is ignored."""

    color: Color
    name: str


def count_colors(dataset: Dataset, limit: int = _LOOKED_AT) -> list[MaskColor]:
    """Return the colours in masks spread over a dataset, most frequent first.

    Parameters
    ----------
    dataset : Dataset
    limit : int
        At most so many masks are read.

    Raises
    ------
    NoDatasetError
        When no mask can be read.
    UsageError
        When there are more than 256 colours: photographs, or masks saved with loss.
    """
    targets = [sample.target_path for sample in dataset.samples if sample.target_path is not None]
    step = max(1, -(-len(targets) // limit))
    pixels: dict[int, int] = {}
    masks: dict[int, int] = {}
    problem = f"{dataset.root} has no masks."
    for path in targets[::step]:
        try:
            codes, counts = np.unique(read_color_codes(path), return_counts=True)
        except SegStudioError as error:
            problem = str(error)
            continue
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            pixels[code] = pixels.get(code, 0) + count
            masks[code] = masks.get(code, 0) + 1
        if len(pixels) > _MOST:
            raise UsageError(
                f"{path} brings the masks of {dataset.root} to more than {_MOST} colours; they may "
                "have been saved with loss, and their colours cannot be classes."
            )
    if not pixels:
        raise NoDatasetError(problem)
    total = sum(pixels.values())
    ordered = sorted(pixels, key=lambda code: (-pixels[code], code))
    return [
        MaskColor(
            (code >> 16, code >> 8 & 255, code & 255), pixels[code], masks[code],
            pixels[code] / total,
        )
        for code in ordered
    ]  # fmt: skip


def name_colors(entries: Sequence[ColorName], name: str) -> LabelSpace:
    """Return the label space of named colours, classes in the order given.

    Raises
    ------
    UsageError
        When nothing is named, or a name or colour stands twice.
    """
    named = [entry for entry in entries if entry.name.strip()]
    if not named:
        raise UsageError("Name at least one colour; a colour without a name is ignored.")
    checked: dict[str, list[object]] = {
        "name": [entry.name.strip().lower() for entry in named],
        "colour": [entry.color for entry in named],
    }
    for what, values in checked.items():
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise UsageError(f"The {what} {twice} stands twice; each class has its own.")
    classes = [
        {"name": entry.name.strip(), "id": index, "color": list(entry.color)}
        for index, entry in enumerate(named)
    ]
    void = 255 if len(classes) <= 255 else 65535
    source = "Colours that were named."
    return LabelSpace.from_json(
        {"name": name, "classes": classes, "ignore_ids": [void], "source": source}
    )


def ignored_colors(root: Path) -> list[Color]:
    """Return the colours that the label space of a folder says to ignore."""
    try:
        document = read_json(root / CLASS_FILES[0])
    except UsageError:
        return []
    entries = document.get(_IGNORED) if isinstance(document, dict) else None
    found = []
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, list) and len(entry) == 3 and all(isinstance(v, int) for v in entry):
            found.append((entry[0], entry[1], entry[2]))
    return found


def save_named_colors(root: Path, entries: Sequence[ColorName], file: Path | None = None) -> Path:
    """Write the label space of named colours beside the images, where opening finds it.

    Parameters
    ----------
    root : Path
        The dataset's folder.
    entries : sequence of ColorName
    file : Path, optional
        Another place.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    UsageError
        See `name_colors`.
    WriteError
        When it cannot be written.
    """
    space = name_colors(entries, root.resolve().name or "colours")
    ignored = [list(entry.color) for entry in entries if not entry.name.strip()]
    path = root / CLASS_FILES[0] if file is None else file
    document = space.to_json() | {_IGNORED: ignored}
    write_text(path, json.dumps(document, indent=1) + "\n")
    return path
