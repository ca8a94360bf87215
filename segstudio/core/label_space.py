"""Label spaces: which class an index means, and how two of them meet.

A label map holds **class indices** 0..C-1 of a label space or its ignore index.  A dataset's files
hold **source ids**; the label space knows which id is which class and which ids are ignored.  A
model's space and a dataset's space meet through an explicit `LabelMapping`, never by equal index.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import LabelValueError, UsageError
from segstudio.core.named_files import load_json, named_files
from segstudio.core.palette import Color, distinct_colors
from segstudio.core.registry import did_you_mean
from segstudio.core.types import IGNORE_INDEX, IGNORE_INDEX_16, LabelMap

__all__ = [
    "ClassInfo",
    "LabelMapping",
    "LabelSpace",
    "label_space_names",
    "load_label_space",
    "load_mapping",
    "mapping_names",
]


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """One class.

    Attributes
    ----------
    index : int
        Class index in its label space.
    name : str
        The name a person reads.
    color : (int, int, int)
        RGB.
    source_id : int
        The value in the dataset's files.
    """

    index: int
    name: str
    color: Color
    source_id: int


@dataclass(frozen=True, slots=True)
class LabelSpace:
    """A named list of classes.

    Attributes
    ----------
    name : str
        "camvid", "ade20k", ...
    classes : tuple of ClassInfo
        In order of class index.
    ignore_ids : tuple of int
        Source ids whose pixels are ignored.
    title, source : str
        What a person reads; where the list comes from.
    """

    name: str
    classes: tuple[ClassInfo, ...]
    ignore_ids: tuple[int, ...] = (IGNORE_INDEX,)
    title: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        if [entry.index for entry in self.classes] != list(range(len(self.classes))):
            raise UsageError(
                f"The classes of label space {self.name} are not numbered 0, 1, 2, ..."
            )
        if not 1 <= len(self.classes) < IGNORE_INDEX_16:
            raise UsageError(f"The label space {self.name} has {len(self.classes)} classes.")
        ids = [entry.source_id for entry in self.classes]
        repeated = {entry for entry, count in Counter(ids).items() if count > 1}
        clash = repeated | (set(ids) & set(self.ignore_ids))
        if clash:
            raise UsageError(
                f"The label space {self.name} gives the source id {min(clash)} two meanings."
            )

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """Integer type of label maps in this space."""
        return np.uint8 if len(self.classes) <= IGNORE_INDEX else np.uint16

    @property
    def ignore_index(self) -> int:
        """255, or 65535 when the space has more than 255 classes."""
        return IGNORE_INDEX if self.dtype is np.uint8 else IGNORE_INDEX_16

    @property
    def names(self) -> list[str]:
        """Class names by index."""
        return [entry.name for entry in self.classes]

    @property
    def colors(self) -> list[Color]:
        """Class colours by index."""
        return [entry.color for entry in self.classes]

    @property
    def fingerprint(self) -> str:
        """A short hash of what decides the numbers: names, source ids, ignored ids."""
        content = [[entry.name, entry.source_id] for entry in self.classes], self.ignore_ids
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    def find(self, name: str) -> ClassInfo | None:
        """Return the class called ``name`` (case and surrounding blanks aside), else None.

        ADE20K's names are lists of synonyms ("car;auto;automobile"); each of them is found.  A
        whole name goes before another's synonym ("counter" before "buffet, counter").
        """
        wanted = name.strip().lower()
        whole = next((entry for entry in self.classes if entry.name.lower() == wanted), None)
        if whole is not None:
            return whole
        for entry in self.classes:
            parts = entry.name.replace(",", ";").split(";")
            if wanted in (part.strip().lower() for part in parts):
                return entry
        return None

    def from_source_ids(self, source_map: NDArray[Any], path: Path | str) -> LabelMap:
        """Turn a map of source ids into a label map.

        Parameters
        ----------
        source_map : ndarray of shape (H, W), integer
            Values as in the dataset's file.
        path : Path or str
            The file, for the error.

        Returns
        -------
        ndarray of shape (H, W), `dtype`

        Raises
        ------
        LabelValueError
            When a value is neither a source id nor an ignored one.
        """
        table, known = _source_table(self)
        if source_map.dtype.kind not in "ui" or (source_map.dtype.itemsize > 2):
            clipped = source_map.astype(np.int64)
            if clipped.size and not 0 <= int(clipped.min()) <= int(clipped.max()) < len(table):
                self._raise_unknown(clipped, path)
            source_map = clipped
        label_map = table[source_map]
        # The look-up of every pixel is spared where the table knows all values.
        if not known.all() and not bool(known[source_map].all()):
            self._raise_unknown(source_map, path)
        return label_map

    def to_source_ids(self, label_map: LabelMap) -> NDArray[np.uint16]:
        """Turn a label map into source ids; ignored pixels become the first ignored id."""
        table = np.full(
            np.iinfo(label_map.dtype).max + 1,
            self.ignore_ids[0] if self.ignore_ids else IGNORE_INDEX,
            np.uint16,
        )
        table[: len(self.classes)] = [entry.source_id for entry in self.classes]
        return table[label_map]

    def check(self, label_map: LabelMap, path: Path | str) -> None:
        """Raise when a label map holds something else than class indices or the ignore index.

        Raises
        ------
        LabelValueError
            Naming ``path``, the value and the label space.
        """
        outside = (label_map < 0) | (label_map >= len(self.classes))
        outside &= label_map != self.ignore_index
        if bool(outside.any()):
            value = int(label_map[outside].min())
            raise LabelValueError(
                f"{path} holds the class index {value}, but the label space {self.name} has "
                f"{len(self.classes)} classes; choose another label space or a mapping."
            )

    def _raise_unknown(self, source_map: NDArray[Any], path: Path | str) -> None:
        known = {entry.source_id for entry in self.classes} | set(self.ignore_ids)
        value = min(int(entry) for entry in np.unique(source_map) if int(entry) not in known)
        raise LabelValueError(
            f"{path} holds the value {value}, which the label space {self.name} does not know; "
            "choose another label space or a mapping."
        )

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready mapping, the form of ``resources/label_spaces/*.json``."""
        return {
            "name": self.name,
            "title": self.title,
            "source": self.source,
            "ignore_ids": list(self.ignore_ids),
            "classes": [
                {"name": entry.name, "color": list(entry.color), "id": entry.source_id}
                for entry in self.classes
            ],
        }

    @classmethod
    def from_json(cls, data: Any, origin: str = "the label space") -> LabelSpace:
        """Return the label space of a parsed JSON document.

        Accepts what `to_json` writes; a class may be a plain name, without ``color`` a distinct
        one is chosen, without ``id`` its place in the list.

        Raises
        ------
        UsageError
            When the document has another form; the message names ``origin``.
        """
        try:
            if not isinstance(data["classes"], list):
                raise TypeError("'classes' is no list")
            entries = [
                {"name": entry} if isinstance(entry, str) else dict(entry)
                for entry in data["classes"]
            ]
            palette = distinct_colors(len(entries))
            ignored = IGNORE_INDEX if len(entries) <= IGNORE_INDEX else IGNORE_INDEX_16
            classes = tuple(
                ClassInfo(
                    index=index,
                    name=str(entry["name"]),
                    color=_color(entry.get("color", palette[index])),
                    source_id=int(entry.get("id", index)),
                )
                for index, entry in enumerate(entries)
            )
            return cls(
                name=str(data.get("name", "custom")),
                classes=classes,
                ignore_ids=tuple(int(value) for value in data.get("ignore_ids", [ignored])),
                title=str(data.get("title", "")),
                source=str(data.get("source", "")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(
                f"{origin} is not a label space: it needs a list 'classes' of names, or of objects "
                f"with name, color and id ({error})."
            ) from error


def _color(value: Any) -> Color:
    red, green, blue = (int(part) for part in value)
    if not all(0 <= part <= 255 for part in (red, green, blue)):
        raise ValueError(f"colour {value} outside 0..255")
    return red, green, blue


@functools.lru_cache(maxsize=64)
def _source_table(space: LabelSpace) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return (table from source id to class index, which ids are known)."""
    table = np.full(65536, space.ignore_index, space.dtype)
    known = np.zeros(65536, bool)
    for entry in space.classes:
        table[entry.source_id] = entry.index
        known[entry.source_id] = True
    known[list(space.ignore_ids)] = True
    return table, known


@dataclass(frozen=True, slots=True)
class LabelMapping:
    """How classes of one label space are called in another.

    Attributes
    ----------
    name : str
        "coco-to-ade20k", ...
    source, target : str
        Names of the two label spaces.
    pairs : tuple of (str, tuple of str)
        Source class name and the target classes it is allowed to be; the first is the class it
        becomes.  A class that is not listed becomes ignored.
    """

    name: str
    source: str
    target: str
    pairs: tuple[tuple[str, tuple[str, ...]], ...]

    def table(self, source: LabelSpace, target: LabelSpace) -> NDArray[Any]:
        """Return the look-up table from source label map to target label map.

        Returns
        -------
        ndarray of shape (256 or 65536,), dtype of the target space
            Unmapped classes and the ignore index become the target's ignore index.

        Raises
        ------
        UsageError
            When a class of the mapping is in neither space.
        """
        table = np.full(np.iinfo(source.dtype).max + 1, target.ignore_index, target.dtype)
        for source_name, target_names in self.pairs:
            here = source.find(source_name)
            if here is None:
                raise UsageError(
                    f"The mapping {self.name} names the class {source_name!r}, which the label "
                    f"space {source.name} does not have: {did_you_mean(source_name, source.names)}"
                )
            for target_name in target_names:
                if target.find(target_name) is None:
                    raise UsageError(
                        f"The mapping {self.name} names the class {target_name!r}, which the "
                        f"label space {target.name} does not have: "
                        f"{did_you_mean(target_name, target.names)}"
                    )
            if target_names:
                there = target.find(target_names[0])
                assert there is not None
                table[here.index] = there.index
        return table

    @classmethod
    def from_json(cls, data: Any, origin: str = "the mapping") -> LabelMapping:
        """Return the mapping of a parsed JSON document.

        ``{"name":, "source":, "target":, "classes": {"sheep": "animal", "car": ["car", "van"]}}``

        Raises
        ------
        UsageError
            When the document has another form; the message names ``origin``.
        """
        try:
            pairs = tuple(
                (str(key), (value,) if isinstance(value, str) else tuple(map(str, value or ())))
                for key, value in data["classes"].items()
            )
            name = str(data.get("name", origin))
            return cls(name, str(data["source"]), str(data["target"]), pairs)
        except (KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"{origin} is not a label mapping: it needs 'source', 'target' and an object "
                f"'classes' from source class to target class ({error})."
            ) from error


def label_space_names() -> list[str]:
    """Return the names of the label spaces that come with SegStudio."""
    return named_files("label_spaces")


def mapping_names() -> list[str]:
    """Return the names of the label mappings that come with SegStudio."""
    return named_files("mappings")


def load_label_space(name_or_path: str | Path) -> LabelSpace:
    """Load a label space by name, or from a JSON file.

    Raises
    ------
    UnknownNameError
        When it is neither a known name nor an existing file.
    UsageError
        When the file is no label space.
    """
    data, origin = load_json("label_spaces", "label space", name_or_path)
    return LabelSpace.from_json(data, origin)


def load_mapping(name_or_path: str | Path) -> LabelMapping:
    """Load a label mapping by name, or from a JSON file; errors as `load_label_space`."""
    data, origin = load_json("mappings", "label mapping", name_or_path)
    return LabelMapping.from_json(data, origin)
