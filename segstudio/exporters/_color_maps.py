"""``labelmap.txt``: which colour is which class, as CVAT and Datumaro write and read it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from segstudio.core.label_space import LabelSpace
from segstudio.core.palette import Color, distinct_colors

__all__ = ["BLACK", "COLOR_MAP_FILE", "color_map_file", "recolored_note", "unique_colors"]

BLACK: Color = (0, 0, 0)
COLOR_MAP_FILE = "labelmap.txt"


def color_map_file(names: Iterable[str], colors: Iterable[Color]) -> bytes:
    """Return the content of `COLOR_MAP_FILE`; a background is added where no class is black."""
    entries = list(zip(names, colors, strict=True))
    if BLACK not in dict(entries).values():
        entries.insert(0, ("background", BLACK))
    lines = ["# label:color_rgb:parts:actions"]
    lines += [f"{_plain(name)}:{r},{g},{b}::" for name, (r, g, b) in entries]
    return ("\n".join(lines) + "\n").encode("utf-8")


def unique_colors(label_space: LabelSpace, reserved: Collection[Color] = ()) -> list[Color]:
    """Return a colour for each class that no other has; black only for a class "background".

    Parameters
    ----------
    label_space : LabelSpace
        Whose colours are kept where they can be.
    reserved : collection of (R, G, B)
        Colours that no class may have, besides black.
    """
    used: set[Color] = {BLACK, *reserved}
    spare = iter(distinct_colors(4 * len(label_space) + 4 * len(used)))
    colors = []
    taken = set(label_space.colors)
    for entry in label_space.classes:
        color = entry.color
        is_background = entry.name.lower() == "background" and color == BLACK
        if color in used and not is_background:
            color = next(other for other in spare if other not in used and other not in taken)
        used.add(color)
        colors.append(color)
    return colors


def recolored_note(label_space: LabelSpace, colors: Sequence[Color], reason: str) -> list[str]:
    """Return a sentence on classes that could not keep their colour, none when all could."""
    changed = sum(old != new for old, new in zip(label_space.colors, colors, strict=True))
    if not changed:
        return []
    noun = "class has" if changed == 1 else "classes have"
    return [f"{changed} {noun} another colour than in the label space, because {reason}."]


def _plain(name: str) -> str:
    """Return a class name without the separator of the file."""
    return name.replace(":", " ").replace("\n", " ")
