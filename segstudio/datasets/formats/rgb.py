"""Folders of images and of masks whose classes are colours.

``images/`` with ``labels/`` and their kin, CamVid's ``701_StillsRaw_full/`` with
``LabeledApproved_full/``, ``train/`` with ``train_labels/``, Potsdam's and Vaihingen's folders.

What a colour means is said by a file (``label_colors.txt``, ``class_dict.csv``, ``labelmap.txt``,
or a label space with colours), else by a known palette that has all colours of the first masks,
else by nobody: then each colour found becomes a class called after itself, and a note lists them.

References
----------
G. Brostow, J. Fauqueur and R. Cipolla, "Semantic object classes in video: a high-definition ground
truth database", Pattern Recognition Letters 30(2), 2009; ISPRS 2D semantic labelling contest.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from segstudio.core.errors import NoDatasetError, SegStudioError, UsageError
from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat
from segstudio.datasets.classes import find_label_space
from segstudio.datasets.color_naming import ignored_colors
from segstudio.datasets.colors import (
    COLOR_FILES,
    ColorDecoder,
    find_colors,
    is_color_picture,
    read_color_file,
    space_of_colors,
)
from segstudio.datasets.formats.paired import find_pairs
from segstudio.datasets.images import TARGET_SUFFIXES
from segstudio.datasets.layouts import first_file, folders_of, open_pairs
from segstudio.datasets.listing import plural
from segstudio.datasets.pairing import FolderPair

_BLACK = (0, 0, 0)
_PALETTES = ("camvid32", "isprs", "voc", "cityscapes-trainids", "mapillary-vistas")
"""Label spaces whose colours are tried, in this order, when no file names the colours."""

FOUND_COLORS = "Colours found in the masks."
"""Source of a label space whose classes nobody has named."""

_LOOKED_AT = 8
_PAIRS = (
    ("701_stillsraw_full", "labeledapproved_full"),
    ("701_stillsraw_full", "labels"),
    ("2_ortho_rgb", "5_labels_all"),
    ("2_ortho_rgb", "5_labels_for_participants"),
    ("top", "gts_for_participants"),
)


@FORMATS.register("rgb")
class RgbFormat(DatasetFormat):
    """Masks of colours."""

    description = "Colour masks: images/ + labels/ in RGB, with label_colors.txt or class_dict.csv."

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.9 when masks are RGB and a file names their colours, 0.85 without it."""
        if not any(_is_colored(path / pair.targets) for pair in _find(path)):
            return 0.0
        return 0.9 if _color_file(path) is not None else 0.85

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """Pair images and masks by name; see `DatasetFormat.open`."""
        pairs = _find(path)
        if not pairs:
            raise NoDatasetError(
                f"{path} has no image folder with a folder of colour masks beside it, such as "
                "images/ and labels/ or train/ and train_labels/."
            )
        dataset = open_pairs(cls.name, path, pairs, None)
        masks = [s.target_path for s in dataset.samples if s.target_path is not None]
        notes: list[str] = []
        if label_space is None:
            label_space, ignored, notes = _colors_of(path, masks[:_LOOKED_AT])
        else:
            ignored = [] if _BLACK in label_space.colors else [_BLACK]
        decoder = ColorDecoder.of_space(label_space, _origin(path, label_space), ignored)
        return replace(
            dataset,
            label_space=label_space,
            notes=(*dataset.notes, *notes),
            decoder=decoder,
        )


def _find(path: Path) -> list[FolderPair]:
    names = folders_of(path)
    for images, targets in _PAIRS:
        if images in names and targets in names:
            return [FolderPair(names[images], names[targets])]
    pairs = [
        FolderPair(names[split], names[f"{split}_labels"], split)
        for split in ("train", "val", "test")
        if split in names and f"{split}_labels" in names
    ]
    return pairs or find_pairs(path)


def _is_colored(folder: Path) -> bool:
    first = first_file(folder, TARGET_SUFFIXES)
    return first is not None and is_color_picture(first)


def _color_file(path: Path) -> Path | None:
    return next((path / name for name in COLOR_FILES if (path / name).is_file()), None)


def _origin(path: Path, space: LabelSpace) -> str:
    file = _color_file(path)
    return f"the label space {space.name}" if file is None else str(file)


def _colors_of(
    path: Path, masks: list[Path]
) -> tuple[LabelSpace, list[tuple[int, int, int]], list[str]]:
    """Return the label space of a folder's colours, colours that are ignored, and notes."""
    file = _color_file(path)
    notes: list[str] = []
    if file is not None:
        try:
            entries = read_color_file(file)
            space = space_of_colors(entries, path.resolve().name, f"Colours of {file.name}.")
            kept = set(space.colors)
            known = load_label_space("camvid32")
            if sorted(zip(space.names, space.colors, strict=True)) == sorted(
                zip(known.names, known.colors, strict=True)
            ):
                space = known
            return space, [color for _, color in entries if color not in kept], notes
        except SegStudioError as error:
            notes.append(str(error))
    named, complaints = find_label_space(path)
    notes += complaints
    if named is not None:
        void = [color for color in ignored_colors(path) if color not in named.colors]
        return named, [*void, *([] if _BLACK in named.colors else [_BLACK])], notes
    colors = find_colors(masks)
    if not colors:
        raise UsageError(f"{path} has no colour mask that can be read.")
    for name in _PALETTES:
        space = load_label_space(name)
        if set(colors) <= {*space.colors, _BLACK}:
            notes.append(f"The colours of {path} are those of {name}, which is assumed.")
            return space, [] if _BLACK in space.colors else [_BLACK], notes
    entries = [
        (f"#{red:02x}{green:02x}{blue:02x}", (red, green, blue)) for red, green, blue in colors
    ]
    shown = ", ".join(str(color) for color in colors[:12])
    notes.append(
        f"Nothing names the colours of {path}; its first {plural(len(masks), 'mask')} "
        f"{'has' if len(masks) == 1 else 'have'} {plural(len(colors), 'colour')}, most frequent "
        f"first: {shown}{', ...' if len(colors) > 12 else ''}; `segstudio colors` names them."
    )
    return space_of_colors(entries, path.resolve().name, FOUND_COLORS), [], notes
