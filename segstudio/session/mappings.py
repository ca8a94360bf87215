"""Label mappings: those that come with SegStudio, the user's own, and the one a project uses.

A user's mapping is a JSON file in the configuration folder, of the same form as the shipped ones;
it can be named wherever a shipped one can.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segstudio.core.atomic import write_text
from segstudio.core.errors import SegStudioError, UnknownNameError, UsageError
from segstudio.core.label_space import LabelMapping, LabelSpace, mapping_names
from segstudio.core.registry import did_you_mean
from segstudio.core.resources import resource_path
from segstudio.project.store import Store
from segstudio.session.settings import default_settings_path

__all__ = [
    "MappingDocument",
    "ProjectMappings",
    "Suggestion",
    "check_mapping",
    "find_mapping",
    "known_mappings",
    "mappings_folder",
    "save_mapping",
    "suggest_classes",
    "unmapped_classes",
    "user_mapping_names",
]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class MappingDocument:
    """A mapping with the words about it.

    Attributes
    ----------
    mapping : LabelMapping
    description, provenance : str
        What it does; who decided it and by what.
    """

    mapping: LabelMapping
    description: str = ""
    provenance: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the form of ``resources/mappings/*.json``; unmapped classes are left out."""
        mapping = self.mapping
        return {
            "name": mapping.name,
            "source": mapping.source,
            "target": mapping.target,
            "description": self.description,
            "provenance": self.provenance,
            "classes": {
                name: classes[0] if len(classes) == 1 else list(classes)
                for name, classes in mapping.pairs
                if classes
            },
        }

    @classmethod
    def from_json(cls, data: Any, origin: str) -> MappingDocument:
        """Return the mapping of a parsed document; errors as `LabelMapping.from_json`."""
        mapping = LabelMapping.from_json(data, origin)
        words = [str(data.get(key, "")) for key in ("description", "provenance")]
        return cls(mapping, *words)


def mappings_folder() -> Path:
    """Return the folder of the user's own mappings."""
    return default_settings_path().parent / "mappings"


def user_mapping_names() -> list[str]:
    """Return the names of the user's own mappings; those of shipped ones are never taken."""
    folder, shipped = mappings_folder(), set(mapping_names())
    names = (path.stem for path in folder.glob("*.json")) if folder.is_dir() else ()
    return sorted(name for name in names if name not in shipped)


def find_mapping(name_or_path: str | Path) -> MappingDocument:
    """Return a mapping by name, shipped or the user's own, or from a JSON file.

    Raises
    ------
    UnknownNameError
        When it is neither a known name nor a file.
    UsageError
        When the file is no mapping.
    """
    name = str(name_or_path)
    shipped, own = mapping_names(), user_mapping_names()
    if name in shipped:
        path = resource_path("mappings", f"{name}.json")
    elif name in own:
        path = mappings_folder() / f"{name}.json"
    else:
        path = Path(name_or_path)
        if not path.is_file():
            known = [*shipped, *own]
            raise UnknownNameError(
                f"There is no label mapping {name!r}: {did_you_mean(name, known)}"
            )
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as a label mapping: {error}.") from error
    return MappingDocument.from_json(data, str(path))


def known_mappings(ends: tuple[str, str] | None = None) -> list[MappingDocument]:
    """Return all mappings, or those between two label spaces in either direction.

    A file of the user's that is damaged is left out here; naming it says what is wrong.
    """
    found = []
    for name in (*mapping_names(), *user_mapping_names()):
        try:
            document = find_mapping(name)
        except SegStudioError:
            continue
        both = {document.mapping.source, document.mapping.target}
        if ends is None or both == set(ends):
            found.append(document)
    return found


def save_mapping(document: MappingDocument, path: Path | None = None) -> Path:
    """Write a mapping as JSON and return the file.

    Parameters
    ----------
    document : MappingDocument
    path : Path, optional
        Left out, it becomes one of the user's own under its name.

    Raises
    ------
    UsageError
        When its name is that of a shipped mapping or cannot be a file's name.
    WriteError
        When the file cannot be written.
    """
    name = document.mapping.name
    if path is None:
        if name in mapping_names():
            raise UsageError(f"{name} comes with SegStudio; save the mapping under another name.")
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"A mapping cannot be called {name!r}; use letters, digits, points, hyphens."
            )
        path = mappings_folder() / f"{name}.json"
    write_text(path, json.dumps(document.to_json(), indent=2, ensure_ascii=False) + "\n")
    return path


def check_mapping(mapping: LabelMapping, source: LabelSpace, target: LabelSpace) -> None:
    """Refuse a mapping with which nothing could be scored.

    Raises
    ------
    UsageError
        When it joins other label spaces, names a class that is not there, or leads every class
        to ignore.
    """
    if (mapping.source, mapping.target) != (source.name, target.name):
        raise UsageError(
            f"The mapping {mapping.name} leads from {mapping.source} to {mapping.target}, not "
            f"from {source.name} to {target.name}."
        )
    if len(unmapped_classes(mapping, source, target)) == len(source):
        raise UsageError(
            f"The mapping {mapping.name} leads every class of {source.name} to ignore, so nothing "
            "could be scored; give at least one class a counterpart."
        )


def unmapped_classes(
    mapping: LabelMapping, source: LabelSpace, target: LabelSpace
) -> tuple[str, ...]:
    """Return the names of the source's classes that become ignored; errors as the mapping's."""
    table = mapping.table(source, target)
    return tuple(
        entry.name for entry in source.classes if table[entry.index] == target.ignore_index
    )


# -- suggestions ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Target classes for a source class, the one it would become first, and why."""

    classes: tuple[str, ...]
    reason: str


def suggest_classes(source: LabelSpace, target: LabelSpace) -> dict[str, Suggestion]:
    """Return what classes could become, by reviewed mappings, equal names and synonyms.

    Returns
    -------
    dict of str to Suggestion
        By source class name; classes without an idea are missing.
    """
    reviewed = _reviewed(source, target)
    names = [(entry.name, _words_of(entry.name)) for entry in target.classes]
    found: dict[str, Suggestion] = {}
    for entry in source.classes:
        if entry.name in reviewed:
            found[entry.name] = reviewed[entry.name]
            continue
        own = _words_of(entry.name)
        for reason, fits in _RULES:
            match = next((name for name, words in names if fits(own, words)), None)
            if match is not None:
                found[entry.name] = Suggestion((match,), reason)
                break
    return found


def _reviewed(source: LabelSpace, target: LabelSpace) -> dict[str, Suggestion]:
    found: dict[str, Suggestion] = {}
    for document in known_mappings((source.name, target.name)):
        mapping = document.mapping
        if mapping.source != source.name:
            continue
        for name, classes in mapping.pairs:
            entry = source.find(name)
            known = [there.name for there in map(target.find, classes) if there is not None]
            if entry is not None and known and entry.name not in found:
                found[entry.name] = Suggestion(tuple(known), f"as in {mapping.name}")
    return found


def _words_of(name: str) -> tuple[str, ...]:
    """Return a class's synonyms in plain form, the main one first."""
    parts = name.replace(",", ";").split(";")
    plain = (re.sub(r"[^a-z0-9]+", " ", part.lower()).strip() for part in parts)
    return tuple(_singular(part) for part in plain if part)


def _singular(word: str) -> str:
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


Words = tuple[str, ...]


def _holds_word(own: Words, there: Words) -> bool:
    """Whether the last word of one is a whole name of the other: ``dining table``, ``table``."""
    return any(
        longer.split()[-1] == shorter
        for one in own
        for other in there
        for longer, shorter in ((one, other), (other, one))
    )


_RULES: tuple[tuple[str, Callable[[Words, Words], bool]], ...] = (
    ("same name", lambda own, there: own[:1] == there[:1]),
    ("synonym", lambda own, there: bool(set(own) & set(there))),
    ("part of the name", _holds_word),
)


# -- what a project uses ----------------------------------------------------------------------


class ProjectMappings:
    """The mappings that were chosen for a project, one for each pair of label spaces.

    Called with two label spaces it returns the mapping between them, None where none was chosen.

    Parameters
    ----------
    store : Store
        Keeps the whole mapping, so the project does not depend on the user's folder.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def __call__(self, source: LabelSpace, target: LabelSpace) -> LabelMapping | None:
        """Return the mapping between two label spaces, in whichever direction it leads."""
        document = self.get(source.name, target.name)
        return None if document is None else document.mapping

    def get(self, one: str, other: str) -> MappingDocument | None:
        """Return what was chosen between two label spaces, None when nothing was.

        Raises
        ------
        UsageError
            When what is stored is no mapping.
        """
        text = self._store.note(_note_name(one, other))
        if text is None:
            return None
        return MappingDocument.from_json(json.loads(text), "The project's label mapping")

    def choose(self, document: MappingDocument) -> None:
        """Use a mapping between its two label spaces from now on."""
        mapping = document.mapping
        self._store.set_note(
            _note_name(mapping.source, mapping.target), json.dumps(document.to_json())
        )


def _note_name(*ends: str) -> str:
    return " ".join(("mapping", *sorted(ends)))
