"""Label files whose classes are colours: which colours there are, and what each means."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import LabelValueError, SegStudioError, UsageError
from segstudio.core.label_space import ClassInfo, LabelSpace
from segstudio.core.types import IGNORE_INDEX, IGNORE_INDEX_16, Sample
from segstudio.datasets.images import read_image, read_source_map
from segstudio.datasets.json_files import read_text

__all__ = [
    "COLOR_FILES",
    "ColorDecoder",
    "find_colors",
    "is_color_picture",
    "read_color_codes",
    "read_color_file",
    "space_of_colors",
]

COLOR_FILES = ("label_colors.txt", "labelmap.txt", "class_dict.csv", "colormap.csv", "colors.csv")
"""Names of the files that say which colour is which class, best first."""

_VOID = frozenset(
    {"void", "ignore", "ignored", "unlabeled", "unlabelled", "__ignore__", "no data", "nodata"}
)


def is_color_picture(path: Path) -> bool:
    """Return whether a label file stores colours rather than ids, from its header alone."""
    if path.suffix.lower() != ".png":
        return _stores_channels(path)
    try:
        with open(path, "rb") as stream:
            head = stream.read(26)
    except OSError:
        return False
    # Colour types 2 and 6 of the PNG specification, 11.2.1: red, green, blue and perhaps alpha.
    return head[:8] == b"\x89PNG\r\n\x1a\n" and len(head) == 26 and head[25] in (2, 6)


def _stores_channels(path: Path) -> bool:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return picture.mode in ("RGB", "RGBA")
    except (OSError, ValueError, SyntaxError):
        return False  # no picture: what is wrong with it is said when it is read


def read_color_codes(path: Path, *, red_first: bool = True) -> NDArray[np.int32]:
    """Return the colours of a picture as numbers.

    Parameters
    ----------
    path : Path
        A picture of 8 bits per channel, stored without loss.
    red_first : bool
        ``65536 R + 256 G + B``; False is the other way round, as panoptic files count.

    Raises
    ------
    UnreadableImageError
        See `segstudio.datasets.images.read_image`.
    """
    pixels = read_image(path)
    order = (0, 1, 2) if red_first else (2, 1, 0)
    first, second, third = (pixels[:, :, channel].astype(np.int32) for channel in order)
    return (first << 16) | (second << 8) | third


def read_color_file(path: Path) -> list[tuple[str, tuple[int, int, int]]]:
    """Return names and colours of one of `COLOR_FILES`.

    ``label_colors.txt`` of CamVid ("64 128 64  Animal"), ``labelmap.txt`` of CVAT
    ("car:255,0,0::") and CSV files with name, red, green and blue are understood.

    Raises
    ------
    UsageError
        When a line is none of these (with its number) or nothing is in it.
    """
    found: list[tuple[str, tuple[int, int, int]]] = []
    for number, line in enumerate(read_text(path, 1 << 20).splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        entry = _parse_line(text, path.suffix.lower() == ".csv")
        if entry is None:
            if number == 1 and path.suffix.lower() == ".csv":
                continue  # the heading
            raise UsageError(f"{path} has no class with an RGB colour in line {number}: {text!r}.")
        found.append(entry)
    if not found:
        raise UsageError(f"{path} names no class.")
    return found


def _parse_line(text: str, is_csv: bool) -> tuple[str, tuple[int, int, int]] | None:
    if is_csv:
        cells = [cell.strip() for cell in next(csv.reader([text]), [])]
        numbers = [cell for cell in cells if cell.isdigit()]
        names = [cell for cell in cells if cell and not cell.isdigit()]
        # A leading number is the class's id; the colour is the last three.
        parts, name = numbers[-3:], names[0] if names else ""
    elif ":" in text:
        name, _, rest = text.partition(":")
        parts = rest.split(":")[0].split(",")
    else:
        *parts, name = text.split(maxsplit=3)
    try:
        red, green, blue = (int(part) for part in parts)
    except ValueError:
        return None
    if not name.strip() or not all(0 <= value <= 255 for value in (red, green, blue)):
        return None
    return name.strip(), (red, green, blue)


def space_of_colors(
    entries: Sequence[tuple[str, tuple[int, int, int]]], name: str, source: str
) -> LabelSpace:
    """Return the label space of names and colours; source ids are class indices.

    Void and its synonyms are ignored.  A colour that stands twice belongs to the first.

    Raises
    ------
    UsageError
        When nothing but void is left.
    """
    kept = {color: entry for entry, color in reversed(entries) if entry.lower() not in _VOID}
    ordered = [color for _, color in entries if color in kept]
    colors = list(dict.fromkeys(ordered))
    if not colors:
        raise UsageError(f"{source} names no class besides void.")
    classes = tuple(
        ClassInfo(index, kept[color], color, index) for index, color in enumerate(colors)
    )
    ignored = IGNORE_INDEX if len(classes) <= IGNORE_INDEX else IGNORE_INDEX_16
    return LabelSpace(name, classes, (ignored,), source=source)


@dataclass(frozen=True)
class ColorDecoder:
    """Reads colour pictures as source ids; index files are read as they are.

    Attributes
    ----------
    ids : tuple of (int, int)
        Colour code (``65536 R + 256 G + B``) and source id.
    source : str
        Where the colours come from, for errors.
    """

    ids: tuple[tuple[int, int], ...]
    source: str

    @classmethod
    def of_space(
        cls,
        space: LabelSpace,
        source: str,
        ignored: Iterable[tuple[int, int, int]] = (),
    ) -> ColorDecoder:
        """Return the decoder of a label space's colours, and of colours that are ignored."""
        void = space.ignore_ids[0] if space.ignore_ids else IGNORE_INDEX
        ids = {_code(color): void for color in ignored}
        ids |= {_code(entry.color): entry.source_id for entry in reversed(space.classes)}
        return cls(tuple(sorted(ids.items())), source)

    def __call__(self, sample: Sample, shape: tuple[int, int]) -> NDArray[Any]:
        """Return the (H, W) source ids of a sample.

        Raises
        ------
        LabelValueError
            When a colour is not known, with how many pixels have it.
        UnreadableImageError
            When the file cannot be decoded.
        """
        path = sample.target_path
        assert path is not None
        try:
            return read_source_map(path)
        except LabelValueError:
            codes = read_color_codes(path)
        known = np.array([code for code, _ in self.ids], np.int32)
        values = np.array([value for _, value in self.ids], np.uint16)
        places = np.minimum(np.searchsorted(known, codes), len(known) - 1)
        strange = known[places] != codes
        if strange.any():
            code = int(codes[strange][0])
            raise LabelValueError(
                f"{path} has the colour {_text(code)} in {int((codes == code).sum())} pixels, "
                f"which {self.source} does not name."
            )
        return values[places]


def find_colors(paths: Iterable[Path], limit: int = 256) -> list[tuple[int, int, int]]:
    """Return the colours in some label files, most frequent first.

    Raises
    ------
    UsageError
        When there are more than ``limit``: a photograph, or masks saved with loss.
    """
    counts: dict[int, int] = {}
    for path in paths:
        try:
            codes, pixels = np.unique(read_color_codes(path), return_counts=True)
        except SegStudioError:
            continue  # what cannot be read is said when the sample is
        for code, count in zip(codes.tolist(), pixels.tolist(), strict=True):
            counts[code] = counts.get(code, 0) + count
        if len(counts) > limit:
            raise UsageError(
                f"{path} has more than {limit} colours; masks must be stored without loss."
            )
    ordered = sorted(counts, key=lambda code: (-counts[code], code))
    return [(code >> 16, code >> 8 & 255, code & 255) for code in ordered]


def _code(color: tuple[int, int, int]) -> int:
    return (color[0] << 16) | (color[1] << 8) | color[2]


def _text(code: int) -> str:
    return f"({code >> 16}, {code >> 8 & 255}, {code & 255})"
