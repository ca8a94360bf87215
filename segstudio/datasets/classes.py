"""Label spaces that lie beside the images: ``label_space.json``, ``classes.txt`` and their kin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from segstudio.core.errors import SegStudioError, UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import IGNORE_INDEX

__all__ = ["CLASS_FILES", "find_label_space", "read_class_file"]

CLASS_FILES = ("label_space.json", "classes.json", "id2label.json", "classes.txt", "labels.txt")
"""Names looked for in a dataset's folder, best first."""


def find_label_space(root: Path) -> tuple[LabelSpace | None, tuple[str, ...]]:
    """Return the label space that a folder brings, and what is wrong with its class files.

    Parameters
    ----------
    root : Path
        The dataset's folder.

    Returns
    -------
    space : LabelSpace or None
        None when no class file can be read.
    notes : tuple of str
        One sentence for each class file that is there but cannot be read.
    """
    notes: list[str] = []
    for name in CLASS_FILES:
        path = root / name
        if path.is_file():
            try:
                return read_class_file(path), tuple(notes)
            except SegStudioError as error:
                notes.append(str(error))
    return None, tuple(notes)


def read_class_file(path: Path) -> LabelSpace:
    """Read a file of class names as a label space.

    JSON: SegStudio's own form, a list of names or objects, an object from id to name, or
    ``{"classes": [...], "palette": [...], "void": id}`` as segmentation tool boxes write.  Text:
    one name per line, ``__ignore__`` as labelme writes it becomes the ignored value 255.

    Raises
    ------
    UsageError
        When the file is not of one of these forms.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as a list of classes: {error}.") from error
    name = path.parent.resolve().name or "custom"
    if path.suffix.lower() != ".json":
        return _from_lines(text, name, path)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not valid JSON: {error}.") from error
    try:
        return LabelSpace.from_json(_normalised(document, name), str(path))
    except UsageError as error:
        if str(path) in str(error):
            raise
        # The label space itself complains (no class, an id twice) and does not know the file.
        raise UsageError(f"{path} cannot be used: {error}") from error


def _from_lines(text: str, name: str, path: Path) -> LabelSpace:
    lines = [line.strip() for line in text.splitlines()]
    names = [line for line in lines if line and not line.startswith("#") and line != "__ignore__"]
    if not names:
        raise UsageError(f"{path} names no class; write one name per line.")
    return LabelSpace.from_json({"name": name, "classes": names, "source": path.name}, str(path))


def _normalised(document: Any, name: str) -> Any:
    """Bring the accepted JSON forms into the one that `LabelSpace.from_json` reads."""
    if isinstance(document, list):
        return {"name": name, "classes": document}
    if not isinstance(document, dict):
        return document
    if "classes" not in document and document and all(str(key).isdigit() for key in document):
        entries = sorted((int(key), str(value)) for key, value in document.items())
        return {"name": name, "classes": [{"name": text, "id": key} for key, text in entries]}
    result = {"name": name, **document}
    classes = result.get("classes")
    palette = result.get("palette")
    if isinstance(classes, list) and isinstance(palette, list) and len(palette) >= len(classes):
        result["classes"] = [
            {"name": entry, "color": color, "id": index} if isinstance(entry, str) else entry
            for index, (entry, color) in enumerate(zip(classes, palette, strict=False))
        ]
    void = result.get("void")
    if isinstance(void, int) and isinstance(result.get("classes"), list):
        result["classes"] = [
            entry if not isinstance(entry, str) else {"name": entry, "id": index}
            for index, entry in enumerate(result["classes"])
        ]
        result["classes"] = [entry for entry in result["classes"] if entry.get("id") != void]
        result.setdefault("ignore_ids", sorted({void, IGNORE_INDEX}))
    return result
