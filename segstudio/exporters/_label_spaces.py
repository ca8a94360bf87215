"""The class list that travels with an export, so that it opens again as it was meant."""

from __future__ import annotations

import json
from dataclasses import replace

from segstudio.core.label_space import LabelSpace

__all__ = ["LABEL_SPACE_FILE", "label_space_file", "stored_space"]

LABEL_SPACE_FILE = "label_space.json"


def stored_space(label_space: LabelSpace, *, source_ids: bool) -> LabelSpace:
    """Return the label space of the exported files: the ids that they hold are its source ids."""
    if source_ids:
        return label_space
    classes = tuple(replace(entry, source_id=entry.index) for entry in label_space.classes)
    return replace(label_space, classes=classes, ignore_ids=(label_space.ignore_index,))


def label_space_file(label_space: LabelSpace) -> bytes:
    """Return the content of `LABEL_SPACE_FILE`."""
    text = json.dumps(label_space.to_json(), indent=1, ensure_ascii=False)
    return (text + "\n").encode("utf-8")
