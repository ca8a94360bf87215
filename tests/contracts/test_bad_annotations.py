"""What every format does with lists and annotation files that are broken or hostile."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segstudio.core.errors import SegStudioError
from segstudio.datasets.base import FORMATS

Maker = Callable[[Path], int]
Exercise = Callable[[Path, str], int]
Case = tuple[str, Path]

LISTS = {".json", ".xml", ".txt", ".csv"}
LEAVES: dict[str, Callable[[Any], Any]] = {
    "escaping names": lambda v: "../../../../etc/passwd" if isinstance(v, str) else v,
    "absolute names": lambda v: "/etc/passwd" if isinstance(v, str) else v,
    "names of Windows": lambda v: "C:\\Windows\\win.ini" if isinstance(v, str) else v,
    "empty texts": lambda v: "" if isinstance(v, str) else v,
    "texts for numbers": lambda v: "7" if _is_number(v) else v,
    "huge numbers": lambda v: 10**18 if _is_number(v) else v,
    "negative numbers": lambda v: -v - 1 if _is_number(v) else v,
    "endless numbers": lambda v: float("inf") if _is_number(v) else v,
    "nulls": lambda v: None,
    "numbers for lists": lambda v: 5 if isinstance(v, list) else v,
    "objects for lists": lambda v: {"a": 1} if isinstance(v, list) else v,
    "lists for objects": lambda v: [1] if isinstance(v, dict) else v,
}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def changed(value: Any, change: Callable[[Any], Any], depth: int = 0) -> Any:
    """Return a JSON value with ``change`` made to every value below the top."""
    if isinstance(value, dict):
        value = {key: changed(entry, change, depth + 1) for key, entry in value.items()}
    elif isinstance(value, list):
        value = [changed(entry, change, depth + 1) for entry in value]
    return change(value) if depth else value


def without(value: Any, key: str) -> Any:
    """Return a JSON value without a key, wherever it stands."""
    if isinstance(value, dict):
        return {name: without(entry, key) for name, entry in value.items() if name != key}
    if isinstance(value, list):
        return [without(entry, key) for entry in value]
    return value


def keys_of(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from keys_of(entry)


def files_of(folder: Path, suffixes: set[str]) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in suffixes)


@pytest.mark.parametrize("way", ["up", "up from below", "absolute", "Windows", "file URL"])
def test_annotations_cannot_name_pictures_outside(
    case: Case, exercise: Exercise, tmp_path: Path, way: str
) -> None:
    """Names of pictures in lists and annotations lead to others below the folder or nowhere."""
    name, folder = case
    outside = tmp_path / "outside.png"
    Image.fromarray(np.full((10, 14), 1, np.uint8)).save(outside)
    spelled = {
        "up": "../" * 4 + "outside.png",
        "up from below": "images/../../../../outside.png",
        "absolute": str(outside),
        "Windows": "..\\..\\..\\..\\outside.png",
        "file URL": outside.as_uri(),
    }[way]
    for depth in range(5):  # wherever the names start, one of these would be the file
        for path in files_of(folder, {".json", ".xml", ".txt"}):
            whole = path.read_text(encoding="utf-8")
            there = spelled.replace("../" * 4, "../" * (depth + 1), 1)
            text = json.dumps(there)[1:-1] if path.suffix == ".json" else there
            pattern = r"[^\s\"'<>]*\.(?:jpg|png)\b" if path.suffix != ".txt" else r"(?m)^[^#\n:]+$"
            path.write_text(re.sub(pattern, lambda _, t=text: t, whole), encoding="utf-8")
            with contextlib.suppress(SegStudioError):
                for sample in FORMATS.get(name).open(folder).samples:
                    for found in (sample.image_path, sample.target_path):
                        assert found is None or found.resolve().is_relative_to(folder)
            exercise(folder, name)
            path.write_text(whole, encoding="utf-8")


@pytest.mark.parametrize("how", sorted(LEAVES))
def test_annotation_files_with_every_value_changed(
    case: Case, exercise: Exercise, how: str
) -> None:
    name, folder = case
    for path in files_of(folder, {".json"}):
        document = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(changed(document, LEAVES[how])), encoding="utf-8")
        exercise(folder, name)
        path.write_text(json.dumps(document), encoding="utf-8")


def test_annotation_files_that_lack_a_key(case: Case, exercise: Exercise) -> None:
    name, folder = case
    for path in files_of(folder, {".json"}):
        document = json.loads(path.read_text(encoding="utf-8"))
        for key in sorted(set(keys_of(document))):
            path.write_text(json.dumps(without(document, key)), encoding="utf-8")
            exercise(folder, name)
        path.write_text(json.dumps(document), encoding="utf-8")


def test_lists_and_annotations_that_are_cut_or_strange(case: Case, exercise: Exercise) -> None:
    name, folder = case
    for path in files_of(folder, LISTS):
        whole = path.read_bytes()
        strange = (
            b"", b"\0" * 50, b"\xff\xfe\x00", b"[" * 100_000, b'{"a":' * 5_000,
            b"../../../etc/passwd\n",
            whole[:-1], whole[: len(whole) // 2], whole + whole, b"\xef\xbb\xbf" + whole,
            whole.replace(b"\n", b"\r\n"), whole.replace(b"/", b"\\"),
            b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        )  # fmt: skip
        for data in strange:
            path.write_bytes(data)
            exercise(folder, name)
        path.write_bytes(whole)
    assert exercise(folder, name) >= 0


def test_broken_json_is_told_with_its_place(case: Case) -> None:
    name, folder = case
    found = []
    for path in files_of(folder, {".json"}):
        whole = path.read_text(encoding="utf-8")
        path.write_text(whole[:-1] + ", ?", encoding="utf-8")
        try:
            dataset = FORMATS.get(name).open(folder)
            found += list(dataset.notes)
            for sample in dataset.samples:
                if sample.target_path == path:
                    dataset.read_target(sample)
        except SegStudioError as error:
            found.append(str(error))
        path.write_text(whole, encoding="utf-8")
    # ADE20K's files only name classes, and 10,000 of them are no reason to refuse the images.
    if files_of(folder, {".json"}) and name not in (
        *("ade20k-full", "x-anylabeling"),
        "cityscapes",  # its polygons are not read where there are pictures of ids
    ):
        assert any("line 1, column" in text for text in found), found
