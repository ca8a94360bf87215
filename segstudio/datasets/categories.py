"""Label spaces from the class lists that annotation files carry."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segstudio.core.errors import UsageError
from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.core.types import IGNORE_INDEX, IGNORE_INDEX_16

__all__ = ["Category", "build_label_space", "hex_color", "read_categories"]

_BACKGROUND = "background"
_HIGHEST = 65_534


@dataclass(frozen=True, slots=True)
class Category:
    """One class of an annotation file: its id there, its name, its colour if it has one."""

    id: int
    name: str
    color: tuple[int, int, int] | None = None


def read_categories(entries: Any, path: Path) -> list[Category]:
    """Return the categories of a COCO file (``id``, ``name``, optional ``color``).

    Raises
    ------
    UsageError
        When an entry lacks its id or name, or an id is not in 0..65534 or there twice.
    """
    found: dict[int, Category] = {}
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"{path} has no list of categories; COCO's files do.")
    for entry in entries:
        try:
            number, name = entry["id"], str(entry["name"])
            if not isinstance(number, int) or isinstance(number, bool):
                raise TypeError("an id that is no whole number")
        except (KeyError, TypeError) as error:
            raise UsageError(f"{path} has a category without id and name ({error}).") from error
        if not 0 <= number <= _HIGHEST or number in found:
            raise UsageError(f"{path} has the category id {number} twice or outside 0..{_HIGHEST}.")
        found[number] = Category(number, name, _rgb(entry.get("color")))
    return list(found.values())


def build_label_space(
    categories: Sequence[Category],
    name: str,
    source: str,
    *,
    known: Iterable[str] = (),
    background: bool = False,
    ignored: Iterable[int] = (),
) -> LabelSpace:
    """Return the label space of an annotation file's categories.

    Parameters
    ----------
    categories : sequence of Category
        In the order of class indices.
    name, source : str
        For a space that has to be made.
    known : iterable of str
        Label spaces that come with SegStudio: one with the same ids and names is taken instead.
    background : bool
        Whether what nobody annotated (source id 0) is a class of its own; it is ignored otherwise.
        A category that is called background, or has the id 0, makes it one anyway.
    ignored : iterable of int
        Further ids that are ignored.
    """
    for candidate in known:
        space = load_label_space(candidate)
        theirs = [(entry.source_id, entry.name) for entry in space.classes]
        if sorted(theirs) == sorted((entry.id, entry.name) for entry in categories):
            return space
    entries = list(categories)
    ids = {entry.id for entry in entries}
    has_background = any(entry.name.strip("_").lower() == _BACKGROUND for entry in entries)
    if background and 0 not in ids and not has_background:
        entries.insert(0, Category(0, _BACKGROUND, (0, 0, 0)))
        ids.add(0)
    void = IGNORE_INDEX if IGNORE_INDEX not in ids else IGNORE_INDEX_16
    ignore_ids = {*ignored, void} | ({0} - ids)
    data = {
        "name": name,
        "source": source,
        "ignore_ids": sorted(ignore_ids - ids),
        "classes": [
            {"name": entry.name, "id": entry.id}
            | ({} if entry.color is None else {"color": list(entry.color)})
            for entry in entries
        ],
    }
    return LabelSpace.from_json(data, source)


@functools.lru_cache(maxsize=4096)
def hex_color(text: str) -> tuple[int, int, int] | None:
    """Return the RGB of ``#rrggbb``, None for anything else."""
    digits = text.strip().removeprefix("#")
    try:
        value = int(digits, 16)
    except ValueError:
        return None
    return (value >> 16, value >> 8 & 255, value & 255) if len(digits) == 6 else None


def _rgb(value: Any) -> tuple[int, int, int] | None:
    if isinstance(value, str):
        return hex_color(value)
    if isinstance(value, list) and len(value) == 3:
        parts = [part for part in value if isinstance(part, int) and 0 <= part <= 255]
        if len(parts) == 3:
            return parts[0], parts[1], parts[2]
    return None
