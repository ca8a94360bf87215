"""What every format does with files that are missing, damaged, hostile or oddly named."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from segstudio.core.errors import SegStudioError
from segstudio.datasets.base import FORMATS
from segstudio.datasets.containers import find_container
from segstudio.datasets.opening import open_dataset

Maker = Callable[[Path], int]
Exercise = Callable[[Path, str], int]
Case = tuple[str, Path]

LISTS = {".json", ".xml", ".txt", ".csv"}
PICTURES = {".png", ".jpg", ".avi", ".parquet", ".mat"}
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


@pytest.fixture(params=FORMATS.names())
def case(request: pytest.FixtureRequest, tmp_path: Path, layouts: dict[str, Maker]) -> Case:
    folder = tmp_path / "set"
    folder.mkdir()
    layouts[request.param](folder)
    return request.param, folder


def files_of(folder: Path, suffixes: set[str]) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in suffixes)


def targets_of(name: str, folder: Path) -> list[Path]:
    paths = [s.target_path for s in FORMATS.get(name).open(folder).samples if s.target_path]
    return sorted({found[0] if (found := find_container(p)) else p for p in paths})


def resized(data: bytes, size: tuple[int, int]) -> bytes:
    """Return a picture of (height, width), in the form it has."""
    stream = io.BytesIO()
    with Image.open(io.BytesIO(data)) as picture:
        other = picture.resize((size[1], size[0]), Image.Resampling.NEAREST)
        other.save(stream, format=picture.format)
    return stream.getvalue()


def change_cell(folder: Path, column: str, change: Callable[[bytes], bytes]) -> None:
    """Change the bytes of the first picture in a column of the first Parquet file."""
    path = files_of(folder, {".parquet"})[0]
    table = pyarrow.parquet.read_table(path)
    cells = table[column].to_pylist()
    cells[0]["bytes"] = change(cells[0]["bytes"])
    place = table.schema.get_field_index(column)
    table = table.set_column(
        place, table.field(place), pyarrow.array(cells, table.field(place).type)
    )
    pyarrow.parquet.write_table(table, path)


def damage_frame(path: Path, number: int) -> None:
    """Overwrite one frame of a Motion JPEG, which is a chunk "00dc" in the file."""
    data = path.read_bytes()
    at = [found.start() for found in re.finditer(b"00dc.{4}\xff\xd8", data, re.DOTALL)][number]
    size = int.from_bytes(data[at + 4 : at + 8], "little")
    path.write_bytes(data[: at + 8] + bytes(size) + data[at + 8 + size :])


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "text", "a folder"])
def test_damaged_targets(case: Case, exercise: Exercise, damage: str) -> None:
    name, folder = case
    whole = exercise(folder, name)
    for path in targets_of(name, folder)[:1]:
        data = path.read_bytes()
        path.unlink()
        if damage == "a folder":
            path.mkdir()
        elif damage != "missing":
            kept = {"empty": b"", "cut": data[: len(data) // 2], "text": b"<html>no file</html>"}
            path.write_bytes(kept[damage])
    assert exercise(folder, name) <= whole


@pytest.mark.parametrize("size", [(3, 5), (14, 10), (1, 1)])
def test_targets_of_another_size_fail_alone(
    case: Case, exercise: Exercise, size: tuple[int, int]
) -> None:
    name, folder = case
    whole = exercise(folder, name)
    pictures = [path for path in targets_of(name, folder) if path.suffix == ".png"]
    if not targets_of(name, folder):
        pytest.skip("has no ground truth, so none can be of another size")
    elif name == "parquet":
        change_cell(folder, "label", lambda data: resized(data, size))
    elif pictures:
        pictures[0].write_bytes(resized(pictures[0].read_bytes(), size))
    else:
        # What is drawn or run-length coded has the size of the photograph that it was drawn on.
        path = FORMATS.get(name).open(folder).samples[0].image_path
        path.write_bytes(resized(path.read_bytes(), size))
    # Of all targets the one that was changed cannot be read, and only that.
    assert exercise(folder, name) == whole - 1


def test_photographs_that_are_none_fail_alone(case: Case, exercise: Exercise) -> None:
    name, folder = case
    dataset = FORMATS.get(name).open(folder)
    sample = dataset.samples[0]
    whole = exercise(folder, name)
    if name == "parquet":
        change_cell(folder, "image", lambda data: b"no picture")
    elif name == "video":
        damage_frame(folder / "clip.avi", 1)
    else:
        sample.image_path.write_bytes(b"no picture")
    assert exercise(folder, name) == whole - (sample.target_path is not None)
    readable = []
    for number, sample in enumerate(FORMATS.get(name).open(folder).samples):
        with contextlib.suppress(SegStudioError):
            readable.append((number, round(dataset.read_image(sample).mean())))
    assert len(readable) == len(dataset) - 1
    if name == "video":  # and no frame is taken for its neighbour
        assert [number for number, _ in readable] == [0, 2]
        assert np.allclose([value for _, value in readable], [10, 170], atol=3)


def test_links_in_circles_and_out_of_the_folder(
    case: Case, exercise: Exercise, tmp_path: Path
) -> None:
    name, folder = case
    ids = [sample.sample_id for sample in open_dataset(folder).samples]
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    for below in [path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink()]:
        (below / "up").symlink_to(folder, target_is_directory=True)
    (folder / "nowhere.png").symlink_to(tmp_path / "nowhere.png")
    again = [sample.sample_id for sample in FORMATS.get(name).open(folder).samples]
    assert sorted(again) == sorted(ids)
    assert exercise(folder, name) >= 0


@pytest.mark.parametrize(
    "stem",
    ["with blanks and (brackets)", "Grüße-日本語-😀", "CON", "aux", "nul.tar", "-rf", "a%20b",
     "trailing.", "x" * 200, "quote'\"`$(ls)", "semi;colon", "..a", "new\nline"],
)  # fmt: skip
def test_odd_names_are_samples_like_others(
    tmp_path: Path, exercise: Exercise, layouts: dict[str, Maker], stem: str
) -> None:
    for name in ("paired", "voc", "labelme"):
        folder = tmp_path / name
        folder.mkdir()
        layouts[name](folder)
        first = FORMATS.get(name).open(folder).samples[0]
        before = exercise(folder, name)
        shutil.copy(first.image_path, first.image_path.with_name(stem + first.image_path.suffix))
        if first.target_path is not None:
            target = first.target_path
            shutil.copy(target, target.with_name(stem + target.suffix))
        lists = folder / "ImageSets" / "Segmentation" / "train.txt"
        if lists.is_file():
            lists.write_text(f"{lists.read_text()}\n{stem}\n", encoding="utf-8")
        expected = before + (first.target_path is not None)
        listed = name != "voc" or "\n" not in stem
        hidden = stem.startswith(".")
        assert exercise(folder, name) == expected - (hidden or not listed) * (expected - before)
        ids = [sample.sample_id for sample in FORMATS.get(name).open(folder).samples]
        assert any(stem in sample_id for sample_id in ids) == (listed and not hidden)


def test_paths_of_more_than_300_characters(tmp_path: Path, exercise: Exercise) -> None:
    deep = Path("images", *["folder-" + "y" * 60] * 5)
    for top in ("images", "masks"):
        place = tmp_path / "set" / top / deep.relative_to("images")
        place.mkdir(parents=True)
        values = np.zeros((4, 6, 3) if top == "images" else (4, 6), np.uint8)
        Image.fromarray(values).save(place / "a.png")
    (tmp_path / "set" / "classes.txt").write_text("one\n")
    dataset = open_dataset(tmp_path / "set")
    assert len(dataset.samples[0].sample_id) > 300
    assert exercise(tmp_path / "set", "paired") == 1


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
