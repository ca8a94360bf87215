"""What a checkpoint's outputs mean and what it wants done to images, from what lies around.

A ``label_space.json`` that the user put beside the checkpoint comes first, then the file's own
list of class names, the ``config.json`` or ``variant.yml`` beside it, then the number of outputs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from segstudio.architectures._base import Recognition
from segstudio.checkpoints.files import FileContent
from segstudio.core.errors import NotACheckpointError
from segstudio.core.label_space import LabelSpace, label_space_names, load_label_space
from segstudio.core.preprocessing import Preprocessing

__all__ = [
    "label_space_beside",
    "label_space_of",
    "output_classes",
    "preprocessing_of",
    "summary_of",
]

_BY_COUNT = {
    11: "camvid",
    12: "camvid",
    19: "cityscapes",
    21: "voc",
    59: "pascal_context",
    60: "pascal_context",
    150: "ade20k",
    171: "coco-stuff",
}
"""Label spaces that a number of outputs stands for.

CamVid's twelfth output is its void; PASCAL Context's networks with 59 have none for background.
"""
_DATASETS = {"ade20k": "ade20k", "cityscapes": "cityscapes", "pascal_context": "pascal_context"}
"""Label spaces of the data sets that rstrudel/segmenter's ``variant.yml`` names."""
_NORMALISATIONS = {
    # rstrudel/segmenter rounds ImageNet's figures.
    "vit": ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "deit": ((123.68, 116.28, 103.53), (58.4, 57.12, 57.38)),
}
_MAX_TEXT = 4_000_000
"""Bytes of a file of facts; more than that is something else."""


def label_space_of(
    recognition: Recognition, content: FileContent, folder: Path | None, name: str
) -> LabelSpace | None:
    """Return what the outputs mean, None when nothing says so.

    Parameters
    ----------
    recognition : Recognition
        Number of outputs, and a label space's name when the layout says it.
    content : FileContent
        The file; MMSegmentation keeps class names and colours in ``meta``.
    folder : Path or None
        Where a ``config.json`` may lie.
    name : str
        What to call a label space that is none of ours.
    """
    if recognition.label_space is not None:
        return load_label_space(recognition.label_space)
    trained_on = _DATASETS.get(str(_variant(folder, "dataset_kwargs").get("dataset")))
    if trained_on is not None:
        return load_label_space(trained_on)
    classes, palette = _listed_classes(content.extras)
    if len(classes) != recognition.classes:
        classes, palette = _configured_classes(folder), []
    known = _BY_COUNT.get(recognition.classes)
    space = load_label_space(known) if known in label_space_names() else None
    if len(classes) != recognition.classes:
        return space
    if space is not None and _same(space, classes):
        return space
    entries: list[dict[str, Any]] = [{"name": entry} for entry in classes]
    if len(palette) == len(classes):
        for entry, color in zip(entries, palette, strict=True):
            entry["color"] = color
    return LabelSpace.from_json(
        {"name": name, "title": f"Classes of {name}", "classes": entries},
        f"The class list of the checkpoint {name}",
    )


def label_space_beside(path: Path) -> LabelSpace | None:
    """Return the label space that a user put beside a checkpoint, None when there is none.

    Parameters
    ----------
    path : Path
        The checkpoint ``NAME.pth``; ``NAME.label_space.json`` and ``label_space.json`` are looked
        for.

    Raises
    ------
    SegStudioError
        When the file is there but is no label space.
    """
    for name in (f"{path.stem}.label_space.json", "label_space.json"):
        if path.with_name(name).is_file():
            return load_label_space(path.with_name(name))
    return None


def output_classes(outputs: int, space: LabelSpace | None) -> tuple[int, ...] | None:
    """Return the class index of each output, None when the numbers do not fit.

    CamVid's networks often have a twelfth output for void; it becomes the ignore index.  PASCAL
    Context's often leave out the background, which is class 0.
    """
    if space is None or outputs == len(space):
        return tuple(range(outputs))
    if space.name == "pascal_context" and outputs == len(space) - 1:
        return tuple(range(1, len(space)))
    if space.name == "camvid" and outputs == len(space) + 1:
        return (*range(len(space)), space.ignore_index)
    return None


def preprocessing_of(preprocessing: Preprocessing, folder: Path | None) -> Preprocessing:
    """Return ``preprocessing`` with what the files of facts beside the checkpoint say.

    Those are a ``preprocessor_config.json`` (Hugging Face) and a ``variant.yml``
    (rstrudel/segmenter).  The latter's window and stride are those of training and demo; the
    published scores come from the recognised ones.
    """
    normalisation = _variant(folder, "dataset_kwargs").get("normalization")
    if normalisation in _NORMALISATIONS:
        found_mean, found_std = _NORMALISATIONS[normalisation]
        preprocessing = replace(preprocessing, mean=found_mean, std=found_std)
    data = _read_json(folder, "preprocessor_config.json")
    size: Any = data.get("size")
    mean: Any = data.get("image_mean")
    std: Any = data.get("image_std")
    changes: dict[str, Any] = {}
    if isinstance(size, Mapping):
        size = [size.get("height"), size.get("width")]
    elif isinstance(size, int):
        size = [size, size]
    if data.get("do_resize") is False:
        changes |= {"resize": "none", "size": None}
    elif _numbers(size, 2) and all(entry >= 1 for entry in size):
        height, width = (int(entry) for entry in size)
        changes |= {"resize": "exact", "size": (height, width), "antialias": True}
    scale = 255.0 if data.get("do_rescale") is not False else 1.0
    if data.get("do_normalize") is not False and _numbers(mean, 3) and _numbers(std, 3):
        changes["mean"] = tuple(entry * scale for entry in mean)
        changes["std"] = tuple(entry * scale for entry in std)
    return replace(preprocessing, **changes)


def summary_of(content: FileContent) -> dict[str, Any]:
    """Return the short plain facts that a file holds about itself, for its card."""
    meta = content.extras.get("meta")
    facts = {**content.extras, **(meta if isinstance(meta, Mapping) else {})}
    return {
        str(key): value
        for key, value in facts.items()
        if isinstance(value, (str, int, float)) and len(str(value)) <= 200
    }


def _listed_classes(extras: Mapping[str, Any]) -> tuple[list[str], list[list[int]]]:
    """Return names and colours from MMSegmentation's description (0.x or 1.x)."""
    meta = extras.get("meta")
    meta = meta if isinstance(meta, Mapping) else {}
    inner = meta.get("dataset_meta")
    inner = inner if isinstance(inner, Mapping) else {}
    names = meta.get("CLASSES") or inner.get("classes")
    palette = meta.get("PALETTE")
    palette = inner.get("palette") if palette is None else palette
    if not isinstance(names, Sequence) or isinstance(names, str):
        return [], []
    try:
        colors = [[int(part) for part in color] for color in (() if palette is None else palette)]
    except (TypeError, ValueError):
        colors = []
    if any(len(color) != 3 or not all(0 <= part <= 255 for part in color) for color in colors):
        colors = []
    return [str(entry) for entry in names], colors


def _configured_classes(folder: Path | None) -> list[str]:
    """Return the class names of a Hugging Face ``config.json``, in order."""
    names = _read_json(folder, "config.json").get("id2label")
    if not isinstance(names, Mapping):
        return []
    found = [names.get(str(index)) for index in range(len(names))]
    if any(not isinstance(entry, str) or entry.startswith("LABEL_") for entry in found):
        return []
    return [str(entry) for entry in found]


def _same(space: LabelSpace, names: Sequence[str]) -> bool:
    """Tell whether a list of names is that of a label space, any synonym of a class counting."""
    return all(
        _synonyms(entry.name) & _synonyms(name)
        for entry, name in zip(space.classes, names, strict=True)
    )


def _synonyms(name: str) -> set[str]:
    """Return the names in a list such as "car;auto;automobile"."""
    return {part.strip().lower() for part in name.replace(",", ";").split(";")}


def _variant(folder: Path | None, part: str) -> Mapping[str, Any]:
    """Return a part of the ``variant.yml`` of rstrudel/segmenter."""
    found = _read_facts(folder, "variant.yml", _parse_yaml).get(part)
    return found if isinstance(found, Mapping) else {}


def _parse_yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error).splitlines()[0]) from error


def _read_json(folder: Path | None, name: str) -> dict[str, Any]:
    return _read_facts(folder, name, json.loads)


def _read_facts(folder: Path | None, name: str, parse: Callable[[str], Any]) -> dict[str, Any]:
    path = folder / name if folder is not None else None
    if path is None or not path.is_file():
        return {}
    try:
        if path.stat().st_size > _MAX_TEXT:
            raise ValueError("it is too large for what it should be")
        data = parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise NotACheckpointError(
            f"{path} beside the checkpoint cannot be read ({error}); repair or remove it."
        ) from error
    return data if isinstance(data, dict) else {}


def _numbers(value: Any, length: int) -> bool:
    """Tell whether a value is a list of that many numbers."""
    return (
        isinstance(value, list)
        and len(value) == length
        and all(isinstance(entry, (int, float)) for entry in value)
    )
